"""`asyncdicom idc`, as far as no object store is asked; `get` is in tests/e2e/test_idc.py."""

from __future__ import annotations

import csv
import io
import json
import resource
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import click
import pytest

from asyncdicom.cli.app import main
from asyncdicom.cli.idc import command
from asyncdicom.cli.idc_options import IdcCommand
from asyncdicom.cli.idc_sizes import size
from asyncdicom.cli.idc_tables import RowFormat, write_rows
from tests.support.idc_index import (
    EARLIER_UUID,
    UUID,
    index_row,
    instance_row,
    prior_row,
    write_index,
    write_instances,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = "00000000-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows = [
        index_row(),
        index_row(
            PatientID="P2",
            SeriesInstanceUID="1.2.2",
            Modality="SM",
            crdc_series_uuid=SECOND,
            aws_bucket="idc-open-data-two",
            source_DOI="10.1/two",
            series_size_MB=20_000.5,
        ),
    ]
    return str(write_index(tmp_path_factory.mktemp("index"), rows, prior=[prior_row()]))


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, and how it ended."""

    code: object
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs `asyncdicom idc` in this process, on the small index."""

    capture: pytest.CaptureFixture[str]
    index: str

    def __call__(self, *words: str, index: str | None = None) -> Ran:
        with pytest.raises(SystemExit) as end:
            main(["idc", *words, "--index", index or self.index])
        printed = self.capture.readouterr()
        return Ran(end.value.code, printed.out, printed.err)


@pytest.fixture
def idc(capsys: pytest.CaptureFixture[str], index: str) -> Runner:
    return Runner(capsys, index)


def test_a_selection_is_listed_as_csv(idc: Runner) -> None:
    ran = idc("select", "--collection-id", "c_one", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert ran.code == 0
    assert [row["crdc_series_uuid"] for row in rows] == [UUID, SECOND]
    assert (rows[0]["PatientID"], rows[0]["instances"], rows[0]["bytes"]) == ("P1", "2", "2000")


def test_a_selection_is_listed_as_json(idc: Runner) -> None:
    rows = json.loads(idc("select", EARLIER_UUID, "--json").out)
    assert rows == [
        {
            "collection_id": "c_one",
            "PatientID": "P1",
            "StudyInstanceUID": "1.2.1",
            "SeriesInstanceUID": "1.2.1.1",
            "Modality": "CT",
            "instances": None,
            "bytes": 10_000,
            "crdc_series_uuid": EARLIER_UUID,
        }
    ]


def test_a_selection_is_listed_as_a_table_up_to_a_limit(idc: Runner) -> None:
    heading, line, row = idc("select", "c_one", "--limit", "1").out.splitlines()
    assert heading.split()[:2] == ["collection_id", "PatientID"]
    assert set(line) == {"-", " "}
    assert row.split()[:2] == ["c_one", "P1"]


def test_an_estimate_sums_up_by_collection_and_modality(idc: Runner) -> None:
    ran = idc("estimate", f"c_one,{EARLIER_UUID}")
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["collection_id", "Modality", "series", "instances", "MB"]
    assert lines[2:4] == [["c_one", "CT", "2", "2", "0.0"], ["c_one", "SM", "1", "2", "20000.5"]]
    assert ran.out.splitlines()[-1] == (
        "3 series · 4 instances · 20.0 GB · 1 earlier versions (instances not counted)"
    )


def test_an_estimate_for_programs(idc: Runner) -> None:
    ran = idc("estimate", "c_one", "nobody", "--json", "--by", "PatientID")
    assert ran.code == 1
    assert ran.err == "asyncdicom: id 'nobody': not in the index\n"
    assert json.loads(ran.out) == {
        "series": 2,
        "instances": 4,
        "uncountedSeries": 0,
        "bytes": 20_000_502_000,
        "by": [
            {"PatientID": "P1", "series": 1, "instances": 2, "bytes": 2_000},
            {"PatientID": "P2", "series": 1, "instances": 2, "bytes": 20_000_500_000},
        ],
        "unmatched": ["id 'nobody': not in the index"],
    }


@pytest.mark.parametrize("name", ["select", "estimate", "manifest", "citations"])
def test_nothing_that_matches_has_an_exit_code_of_its_own(idc: Runner, name: str) -> None:
    ran = idc(name, "nobody")
    assert ran.code == 4
    assert "id 'nobody': not in the index" in ran.err


def test_instances_are_series_for_questions_where_an_index_knows_them(
    idc: Runner, tmp_path: Path
) -> None:
    rows = [instance_row(SOPInstanceUID="1.2.7", SeriesInstanceUID="1.2.2")]
    file = write_instances(tmp_path / "instances.parquet", rows)
    words = ("select", "--sop-instance-uid", "1.2.7", "--instance-index", str(file), "--json")
    assert [row["crdc_series_uuid"] for row in json.loads(idc(*words).out)] == [SECOND]
    # Of another series, it is none: which must not mean all of that series.
    ran = idc(*words, "--series-instance-uid", "1.2.1.1")
    assert (ran.code, json.loads(ran.out)) == (4, [])


def test_options_that_exclude_each_other_select_nothing(idc: Runner) -> None:
    ran = idc("estimate", "--analysis-results", "only")
    assert (ran.code, ran.err) == (4, "asyncdicom: nothing is selected\n")


@pytest.mark.parametrize(
    ("kind", "location", "line"),
    [
        ("s5cmd", "aws", f"cp s3://idc-open-data-two/{SECOND}/* ."),
        ("s5cmd", "gcs", f"cp s3://idc-open-idc1/{SECOND}/* ."),
        ("urls", "aws", f"s3://idc-open-data-two/{SECOND}/*"),
        ("series", "aws", "1.2.2"),
        ("uuids", "aws", SECOND),
    ],
)
def test_a_manifest_in_each_form_is_read_again(
    idc: Runner, tmp_path: Path, kind: str, location: str, line: str
) -> None:
    file = tmp_path / "manifest.txt"
    words = ("--format", kind, "--source-bucket-location", location, "-o", str(file))
    assert idc("manifest", "--patient-id", "P2", *words).code == 0
    heading, *lines = file.read_text().splitlines()
    assert heading == "# Imaging Data Commons: 1 series · 2 instances · 20.0 GB"
    assert lines[-1] == line
    told = json.loads(idc("select", str(file), "--json").out)
    assert [row["crdc_series_uuid"] for row in told] == [SECOND]


def test_a_file_that_exists_is_not_written_over(idc: Runner, tmp_path: Path) -> None:
    (tmp_path / "manifest.txt").write_text("mine")
    ran = idc("manifest", "P2", "-o", str(tmp_path / "manifest.txt"))
    assert ran.code == 2
    assert "File exists" in ran.err
    assert (tmp_path / "manifest.txt").read_text() == "mine"


def test_sql_answers_in_each_form(idc: Runner) -> None:
    query = "SELECT PatientID, instanceCount AS n FROM index ORDER BY ALL LIMIT 1"
    assert idc("sql", query).out == "PatientID  n\n---------  -\nP1         2\n"
    assert idc("sql", query, "--format", "csv").out == "PatientID,n\nP1,2\n"
    assert json.loads(idc("sql", query, "--json").out) == [{"PatientID": "P1", "n": 2}]
    assert json.loads(idc("sql", "SELECT 1 WHERE false", "--json").out) == []


def test_sql_may_come_on_stdin(idc: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 7 AS seven"))
    assert idc("sql", "-", "--format", "csv").out == "seven\n7\n"


def test_a_file_of_rows_is_whole_or_not_there(idc: Runner, tmp_path: Path) -> None:
    late = "SELECT CAST(if(range = 500000, 'x', '1') AS INT) FROM range(1000000)"
    ran = idc("sql", late, "--format", "csv", "-o", str(tmp_path / "rows.csv"))
    assert (ran.code, list(tmp_path.iterdir())) == (2, [])
    assert "the query was refused: Conversion Error" in ran.err


def test_a_disk_without_room_leaves_no_file_of_rows(idc: Runner, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"

    def is_small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    words = ["-m", "asyncdicom", "idc", "manifest", "--index", idc.index, "-o", str(file)]
    ran = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, preexec_fn=is_small, check=False
    )
    assert (ran.returncode, list(tmp_path.iterdir())) == (2, [])
    assert f"cannot write {file}: File too large" in ran.stderr


@pytest.mark.parametrize("query", ["SELECT * FROM read_text('/etc/hostname')", "DROP VIEW index"])
def test_sql_reads_the_index_and_changes_nothing(idc: Runner, query: str) -> None:
    ran = idc("sql", query)
    assert ran.code == 2
    assert ran.out == ""


def test_versions(idc: Runner) -> None:
    told = json.loads(idc("versions", "--json").out)
    assert (told["series"], told["earlierVersions"], told["package"]) == (2, 1, None)
    assert "2 series, 1 earlier versions" in idc("versions").out


def test_what_to_cite_needs_no_network(idc: Runner) -> None:
    ran = idc("citations", "c_one", "--dois")
    assert ran.out.splitlines() == ["10.1/one", "10.1/two", "10.1148/rg.230180"]


class _Resolver(BaseHTTPRequestHandler):
    """Knows all DOIs but one; redirects, as the real one does."""

    def do_GET(self) -> None:
        doi = self.path.removeprefix("/")
        if doi.startswith("agency/"):
            self._answer(200, f"{doi} as {self.headers['Accept']}", "text/plain")
        elif doi == "10.1/two":
            self._answer(404, "no such DOI", "text/html")
        else:
            self.send_response(302)
            self.send_header("Location", f"/agency/{doi}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _answer(self, status_code: int, text: str, media_type: str) -> None:
        self.send_response(status_code)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def resolver() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Resolver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def cite(index: str, resolver: str, *words: str) -> subprocess.CompletedProcess[str]:
    program = "from asyncdicom.cli.app import main; main()"
    where = ("--index", index, "--resolver-url", resolver, "-r", "0")
    return subprocess.run(
        [sys.executable, "-c", program, "idc", "citations", *words, *where],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )


def test_citations_come_from_a_resolver_and_failures_are_named(index: str, resolver: str) -> None:
    done = cite(index, resolver, "c_one")
    assert done.stdout == (
        "agency/10.1/one as text/x-bibliography; style=apa; locale=en-US\n\n"
        "agency/10.1148/rg.230180 as text/x-bibliography; style=apa; locale=en-US\n"
    )
    assert done.stderr == (
        "asyncdicom: no citation of https://doi.org/10.1/two: the server does not have it (404)\n"
    )
    assert done.returncode == 1


def test_a_form_is_asked_for_by_its_media_type(index: str, resolver: str) -> None:
    done = cite(index, resolver, "P1", "--format", "bibtex")
    assert "agency/10.1/one as application/x-bibtex" in done.stdout
    assert done.returncode == 0


def test_a_resolver_that_is_not_there_is_told(index: str) -> None:
    done = cite(index, "http://127.0.0.1:9", "P1")
    assert done.returncode == 5
    assert "no citation of https://doi.org/10.1/one" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["get"], "say what to get", id="nothing"),
        pytest.param(["get", "--patient-id", ""], "--patient-id is empty", id="an empty id"),
        pytest.param(["select", "--series", " , "], "--series-instance-uid is empty", id="a comma"),
        pytest.param(
            ["get", "x.txt", "--patient-id", "P1"], "no other selection", id="manifest and"
        ),
        pytest.param(["get", "--retry-failed", "x", "P1"], "no other selection", id="a report and"),
        pytest.param(["estimate", "x.txt"], "cannot read the manifest x.txt", id="no manifest"),
        pytest.param(["select", "--instance", "1.2.3"], "leave --sop-instance-uid", id="instances"),
        pytest.param(["select", "P1", "--index", "/nowhere"], "no such file", id="no index"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["idc", *words])
    assert end.value.code == 2
    assert told in capsys.readouterr().err


@click.command(cls=IdcCommand)
@click.argument("names", nargs=-1)
@click.option("--dry-run", is_flag=True)
@click.option("--bar/--no-bar", default=True)
@click.option("--value")
def flags(**options: Any) -> None:
    """Stand for a command with flags."""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param([], (False, True, ()), id="none"),
        pytest.param(["--dry-run"], (True, True, ()), id="bare"),
        pytest.param(["--dry-run", "True"], (True, True, ()), id="True"),
        pytest.param(["--dry-run", "false", "--bar", "False"], (False, False, ()), id="False"),
        pytest.param(["--dry-run=TRUE", "--bar=no"], (True, False, ()), id="with ="),
        pytest.param(["--no-bar", "a"], (False, False, ("a",)), id="the opposite"),
        pytest.param(["--dry-run", "a"], (True, True, ("a",)), id="an id behind a flag"),
        pytest.param(["a", "--dry-run", "b"], (True, True, ("a", "b")), id="between ids"),
        pytest.param(["--", "--dry-run", "True"], (False, True, ("--dry-run", "True")), id="--"),
        pytest.param(["True"], (False, True, ("True",)), id="a word alone"),
        pytest.param(["--value", "True"], (False, True, ()), id="the value of another option"),
    ],
)
def test_flags_may_be_followed_by_true_or_false(
    words: list[str], expected: tuple[bool, bool, tuple[str, ...]]
) -> None:
    params = flags.make_context("flags", list(words)).params
    assert (params["dry_run"], params["bar"], params["names"]) == expected


def test_the_commands_of_idc_index_are_not_listed() -> None:
    with click.Context(command) as context:
        assert "get" in command.list_commands(context)
        assert not {one for one in command.list_commands(context) if one.startswith("download")}
        assert command.get_command(context, "download") is command.get_command(context, "get")


def test_a_table_cuts_what_is_long_and_hides_what_a_terminal_obeys() -> None:
    stream = io.StringIO()
    rows = [("a\x1b[31mb", "x" * 100, None, 0.1 + 0.2)]
    assert write_rows(stream, RowFormat.TABLE, ("a", "b", "c", "d"), rows) == 1
    row = stream.getvalue().splitlines()[-1]
    assert row == f"a?[31mb  {'x' * 71}…     0.3"


def test_a_long_answer_is_written_as_one_array() -> None:
    stream = io.StringIO()
    count = write_rows(stream, RowFormat.JSON, ("n",), ((n,) for n in range(2500)))
    assert count == 2500
    assert [row["n"] for row in json.loads(stream.getvalue())] == list(range(2500))


@pytest.mark.parametrize(
    ("byte_count", "told"),
    [
        (0, "0.0 MB"),
        (830_000, "0.8 MB"),
        (9_999_000_000, "9999.0 MB"),
        (10_000_000_000, "10.0 GB"),
        (26_367_667_449_894, "26.4 TB"),
    ],
)
def test_sizes_have_a_unit_that_fits(byte_count: int, told: str) -> None:
    """Theirs prints 0.83 MB as "0.83 bytes"."""
    assert size(byte_count) == told
