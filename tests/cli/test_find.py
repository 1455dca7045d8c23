"""`asyncdicom find` from the words of a command line to output, last line and exit code."""

from __future__ import annotations

import csv
import io
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncdicom import wiring
from asyncdicom.cli import app
from asyncdicom.errors import ConnectionLost, Unreachable
from asyncdicom.protocol.urls import parse_root
from asyncdicom.sources.dicomweb import DicomWebSource
from tests.support.scripted import ScriptedAnswer, ScriptedTransport, dicom_json, paging_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.http import HttpRequest

ROOT = "http://archive.test/dicom-web"


def study(number: int) -> dict[str, Any]:
    return {
        "00080020": {"vr": "DA", "Value": ["20250102"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00100020": {"vr": "LO", "Value": [f"P{number}"]},
        "0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]},
    }


STUDIES = [study(number) for number in range(25)]


def archive(request: HttpRequest) -> ScriptedAnswer:
    offset, limit = paging_of(request)
    return dicom_json(STUDIES[offset:][:limit])


class Find:
    """Runs the command against a scripted archive."""

    def __init__(self, capture: pytest.CaptureFixture[bytes]) -> None:
        self.answer: Callable[[HttpRequest], ScriptedAnswer | FetchError] = archive
        self.asked: list[str] = []
        self.stdout = b""
        self.last_line = ""
        self.stderr = ""
        self._capture = capture

    def __call__(self, *words: str, source: str = ROOT) -> int:
        with pytest.raises(SystemExit) as exited:
            app.main(["find", source, *words])
        self.stdout, stderr = self._capture.readouterr()
        self.stderr = stderr.decode()
        self.last_line = self.stderr.splitlines()[-1] if self.stderr else ""
        assert isinstance(exited.value.code, int)
        return exited.value.code

    @asynccontextmanager
    async def open_source(
        self, text: str, options: Mapping[str, Any]
    ) -> AsyncIterator[DicomWebSource]:
        transport = ScriptedTransport(self.answer)
        yield DicomWebSource(parse_root(text), transport)
        self.asked = [request.url.removeprefix(ROOT) for request in transport.requests]

    @property
    def fields(self) -> list[str]:
        """What was asked to be included."""
        words = parse_qsl(urlsplit(self.asked[0]).query)
        return [value for name, value in words if name == "includefield"]


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Find:
    runner = Find(capsysbinary)
    monkeypatch.setattr(wiring, "open_source", runner.open_source)
    return runner


def test_all_answers_are_listed(find: Find) -> None:
    assert find("--page-size", "10") == 0
    assert find.stdout.startswith(b"25 answers\n")
    assert find.last_line == "25 studies · 4 pages · complete"


def test_keys_level_and_options_reach_the_server(find: Find) -> None:
    words = ["PatientName=D*", "Modality", "--level", "series", "--fuzzy", "--limit", "7"]
    assert find(*words, "--includefield", "00100020,StudyDate") == 0
    assert find.fields == ["Modality", "00100020", "StudyDate"]
    assert find.asked[0].startswith("/series?PatientName=D*&includefield=Modality&")
    assert find.asked[0].endswith("&fuzzymatching=true&limit=7")
    assert find.last_line == "7 series · 1 page · limit reached"


def test_the_level_of_odil_is_understood(find: Find) -> None:
    find("QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.2.3", "--format", "json")
    assert find.asked[0] == "/studies/1.2.3/series?limit=1000"


def test_all_fields_are_asked_for_once(find: Find) -> None:
    find("--includefield", "all,Modality", "--format", "table")
    assert find.fields == ["all"]


def test_json_is_what_the_server_sent(find: Find) -> None:
    assert find("--format", "json") == 0
    assert json.loads(find.stdout) == STUDIES
    assert find.fields == []


def rows(text: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode())))


def test_csv_has_the_keys_as_columns(find: Find) -> None:
    assert find("PatientID", "StudyDate=20250102", "--format", "csv", "--limit", "1") == 0
    assert rows(find.stdout) == [["StudyDate", "PatientID"], ["20250102", "P0"]]
    assert find.fields == ["PatientID"]


def test_csv_without_bare_keys_has_the_usual_columns(find: Find) -> None:
    assert find("AccessionNumber=A", "PatientID=P0", "--format", "csv", "--limit", "1") == 0
    assert rows(find.stdout)[0] == [
        "AccessionNumber",
        "StudyDate",
        "PatientID",
        "PatientName",
        "ModalitiesInStudy",
        "StudyDescription",
        "NumberOfStudyRelatedInstances",
        "StudyInstanceUID",
    ]
    assert find.fields == rows(find.stdout)[0]


@pytest.mark.parametrize(
    ("level", "last"), [("series", "StudyInstanceUID"), ("instance", "SeriesInstanceUID")]
)
def test_every_level_has_usual_columns(find: Find, level: str, last: str) -> None:
    find("--level", level, "--format", "table")
    assert find.stdout.splitlines()[0].decode().split()[-1] == last


def test_a_terminal_gets_a_table_that_fits(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "90")
    assert find("--limit", "3") == 0
    lines = find.stdout.decode().splitlines()
    assert lines[0].startswith("StudyDate")
    assert len(lines) == 4
    assert max(map(len, lines)) <= 90


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.json", b"[\n{"), ("a.CSV", b"StudyDate,"), ("a.txt", b"25 answers\n")],
)
def test_a_file_is_written_in_the_format_of_its_name(
    find: Find, tmp_path: Path, name: str, start: bytes
) -> None:
    assert find("-o", str(tmp_path / name)) == 0
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert find.stdout == b""


def test_a_file_that_exists_is_kept(find: Find, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    assert find("-o", str(tmp_path / "a.json")) == 2
    assert (tmp_path / "a.json").read_text() == "mine"
    assert "exists" in find.last_line


def test_a_folder_that_is_missing_is_named(find: Find, tmp_path: Path) -> None:
    assert find("-o", str(tmp_path / "no" / "a.json")) == 2
    assert "No such file" in find.last_line


def test_a_search_that_failed_leaves_no_file(find: Find, tmp_path: Path) -> None:
    find.answer = lambda request: Unreachable("refused")
    assert find("-o", str(tmp_path / "a.json"), "--retry", "0") == 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "code", "last_line"),
    [
        pytest.param(
            dicom_json([]), 4, "0 studies · 1 page · nothing matches", id="nothing matches"
        ),
        pytest.param(
            dicom_json(STUDIES[:3]),
            1,
            "3 studies · 3 pages · 3 repeated · not complete: the server ignores the offset",
            id="the offset is ignored",
        ),
        pytest.param(
            ScriptedAnswer(401),
            5,
            "asyncdicom: the server wants credentials (401); give --user, --bearer or",
            id="credentials are wanted",
        ),
        pytest.param(
            ScriptedAnswer(200, (("content-type", "text/html"),), b"<html>"),
            5,
            "asyncdicom: the answer to a search was 200 text/html instead of DICOM JSON",
            id="a web page",
        ),
        pytest.param(
            ScriptedAnswer(400), 1, "asyncdicom: the server refused the request (400)", id="400"
        ),
        pytest.param(Unreachable("refused"), 5, "asyncdicom: refused", id="no connection"),
        pytest.param(ScriptedAnswer(500), 1, "asyncdicom: the server failed (500)", id="500"),
    ],
)
def test_the_end_is_told_and_has_its_exit_code(
    find: Find, answer: ScriptedAnswer | FetchError, code: int, last_line: str
) -> None:
    find.answer = lambda request: answer
    assert find("--retry", "0", "--format", "json") == code
    assert find.last_line.startswith(last_line)
    assert bool(find.stdout) == ("page" in last_line and "web page" not in last_line)


def test_what_came_before_a_failure_is_written(find: Find) -> None:
    def answer(request: HttpRequest) -> ScriptedAnswer | FetchError:
        return ConnectionLost("reset") if "offset=" in request.url else archive(request)

    find.answer = answer
    assert find("--page-size", "10", "--retry", "0", "--format", "json") == 1
    assert json.loads(find.stdout) == STUDIES[:10]
    assert find.last_line == "10 studies · 1 page · not complete: reset"


@pytest.mark.parametrize("is_quiet", [False, True], ids=["", "quiet"])
def test_remarks_of_the_server_are_passed_on(find: Find, is_quiet: bool) -> None:  # noqa: FBT001 -- a column of the table
    warning = ("warning", "299 archive: The fuzzymatching parameter is not supported.")
    find.answer = lambda request: dicom_json(
        [] if "offset=" in request.url else STUDIES[:1], warning
    )
    assert find("PatientID=other", *(["-q"] if is_quiet else [])) == 0
    said = find.stderr.splitlines()[:-1]
    assert said == (
        []
        if is_quiet
        else [
            "the server remarks: The fuzzymatching parameter is not supported.",
            "1 answers have another PatientID than asked for: the server ignores that key",
        ]
    )


def test_nothing_found_for_what_had_to_be_escaped_is_explained(find: Find) -> None:
    find.answer = lambda request: dicom_json([])
    assert find("StudyDescription=Foot left") == 4
    assert "? stands for each" in find.stderr
    assert find("StudyDescription=Foot?left") == 4
    assert "? stands for each" not in find.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["PatinetID=1"], "perhaps PatientID", id="a mistyped keyword"),
        pytest.param(["--includefield", "Nope"], "no attribute 'Nope'", id="a mistyped field"),
        pytest.param(["StudyDate=yesterday"], "expected 20200131", id="a date in words"),
        pytest.param(["--level", "patient"], "no patients", id="the patient level"),
        pytest.param(["--limit", "0"], "--limit", id="no answers at all"),
    ],
)
def test_what_cannot_be_asked_ends_before_any_request(
    find: Find, words: list[str], message: str
) -> None:
    assert find(*words) == 2
    assert message in find.stderr
    assert find.asked == []


@pytest.mark.parametrize("source", ["dicom://host:104", "s3://bucket", "idc:", "nonsense"])
def test_other_sources_are_refused(capsysbinary: pytest.CaptureFixture[bytes], source: str) -> None:
    assert Find(capsysbinary)(source=source) == 2


def test_help_shows_examples(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    find = Find(capsysbinary)
    assert find("--help") == 0
    assert b"asyncdicom find http://localhost:8042/dicom-web 'PatientName=DOE*'" in find.stdout
