"""`echo`, `find` and `move` of DIMSE sources from words to output, last line and exit code."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom import dimse_wiring
from asyncdicom.cli import app
from asyncdicom.errors import (
    AssociationRejected,
    NotNegotiated,
    OperationFailed,
    Unreachable,
)
from tests.support.dicom import ct, uid
from tests.support.scripted_dimse import Fault, ScriptedPeer, refuse

if TYPE_CHECKING:
    from asyncdicom.errors import FetchError
    from asyncdicom.transports.associations.settings import DimseSettings

URL = "dicom://PEER@archive.test"
FILES = [ct(number=10 * study + n, series=study, study=study) for study in (1, 2) for n in (1, 2)]


class Command:
    """Runs a command against a scripted peer."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.peer = ScriptedPeer(FILES)
        self.engine = ""
        self.settings: DimseSettings | None = None
        self.out = self.err = ""
        self._capture = capture

    def __call__(self, *words: str) -> int:
        with pytest.raises(SystemExit) as exited:
            app.main(list(words))
        self.out, self.err = self._capture.readouterr()
        assert isinstance(exited.value.code, int)
        return exited.value.code

    @property
    def last_line(self) -> str:
        return self.err.splitlines()[-1]

    def open_transport(self, name: str, settings: DimseSettings) -> Any:
        self.engine, self.settings = name, settings
        return self.peer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    command = Command(capsys)
    monkeypatch.setattr(dimse_wiring, "open_dimse_transport", command.open_transport)
    return command


def test_options_reach_the_engine(run: Command) -> None:
    words = ["--calling-aet", "ME", "--max-pdu", "16384", "--timeout", "7", "--user", "joe:secret"]
    assert run("echo", "dicoms://PEER@h:11112?calling=X", *words, "--any-host-name") == 0
    settings = run.settings
    assert settings is not None
    assert (settings.host, settings.port, settings.called_ae) == ("h", 11112, "PEER")
    assert (settings.calling_ae, settings.max_pdu_bytes) == ("ME", 16384)
    assert (settings.idle_timeout_s, settings.connect_timeout_s) == (7.0, 10.0)
    assert settings.tls is not None
    assert (settings.tls.check_host_name, settings.tls.verify) == (False, True)
    assert settings.identity is not None
    assert (settings.identity.username, settings.identity.passcode) == ("joe", "secret")
    assert "secret" not in repr(settings)
    assert run.engine == "native"


def test_echoes_are_counted_and_timed(run: Command) -> None:
    assert run("echo", URL, "--repeat", "3") == 0
    assert run.peer.asked == ["echo"] * 3
    assert len(run.peer.established) == 1
    assert [line.split(":")[0] for line in run.err.splitlines()[:3]] == [
        "echo 1",
        "echo 2",
        "echo 3",
    ]
    assert run.last_line.startswith("3 of 3 answered · min ")
    assert run("echo", URL, "--json", "--repeat", "2") == 0
    assert [json.loads(line)["echo"] for line in run.out.splitlines()] == [1, 2]


def test_echoes_that_fail_now_and_then_are_code_1(run: Command) -> None:
    run.peer.refusals = [AssociationRejected("busy", is_transient=True)]
    assert run("echo", URL, "--repeat", "2", "-q") == 1
    assert run.last_line.startswith("1 of 2 answered")


@pytest.mark.parametrize("words", [["echo"], ["find"], ["move", "--to", "X", "--study", "1.2"]])
@pytest.mark.parametrize(
    ("error", "hint"),
    [
        pytest.param(
            AssociationRejected("called AE title not recognized"), "CALLED_AE", id="wrong called"
        ),
        pytest.param(
            AssociationRejected("calling AE title not recognized"), "--calling-aet", id="calling"
        ),
        pytest.param(AssociationRejected("no reason given"), "both AE titles", id="no reason"),
        pytest.param(
            AssociationRejected("temporary congestion", is_transient=True), "busy", id="busy"
        ),
        pytest.param(NotNegotiated("offers none"), "--model", id="another service"),
        pytest.param(Unreachable("no connection"), "the address", id="nobody there"),
    ],
)
def test_who_is_refused_before_any_work_reads_what_to_do(
    run: Command, words: list[str], error: FetchError, hint: str
) -> None:
    run.peer.refusals = [error] * 9
    command, *rest = words
    retry = [] if command == "echo" else ["-r", "0"]
    assert run(command, URL, *rest, *retry) == 5
    assert hint in run.err


def test_find_asks_for_what_people_want_to_see(run: Command) -> None:
    assert run("find", URL, "--format", "csv") == 0
    header, *rows = run.out.splitlines()
    assert header.endswith("NumberOfStudyRelatedInstances,StudyInstanceUID")
    assert [row.split(",")[-2:] for row in rows] == [["2", uid("study", n)] for n in (1, 2)]
    assert run.last_line == "2 studies · complete"


@pytest.mark.parametrize(
    ("words", "code", "last_line"),
    [
        pytest.param(["PatientID"], 0, "2 studies · complete", id="a return key"),
        pytest.param(["--limit", "1"], 0, "1 study · limit reached", id="a limit"),
        pytest.param(["PatientID=x"], 4, "0 studies · nothing matches", id="nothing"),
        pytest.param(["--level", "image"], 0, "4 instances · complete", id="instances"),
        pytest.param(
            ["--model", "patient", "--level", "patient"], 0, "1 patient · complete", id="patients"
        ),
    ],
)
def test_the_last_line_of_find_says_how_it_went(
    run: Command, words: list[str], code: int, last_line: str
) -> None:
    assert (run("find", URL, *words), run.last_line) == (code, last_line)


def test_a_query_that_fails_in_the_middle_is_not_complete(run: Command) -> None:
    run.peer.find_faults = [refuse(0xC001)]
    assert run("find", URL) == 1
    assert "not complete" in run.last_line
    assert "C001" in run.last_line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--fuzzy"], "DICOMweb", id="fuzzy"),
        pytest.param(["--includefield", "all"], "DICOMweb", id="all fields"),
        pytest.param(["--model", "patient-study", "--level", "series"], "no level", id="no level"),
        pytest.param(["Rows=many"], "cannot have the value", id="no number"),
    ],
)
def test_what_cannot_be_asked_is_code_2(run: Command, words: list[str], message: str) -> None:
    assert run("find", URL, *words) == 2
    assert message in run.err


def test_a_move_reports_what_the_archive_counts(run: Command) -> None:
    run.peer.faults = [Fault(lies=True)]
    assert run("move", URL, "--to", "THERE", "--study", uid("study", 1)) == 0
    assert run.last_line == "2 completed · 0 failed · 0 with warnings (as the archive counts)"


def test_a_study_that_moves_nothing_is_named(run: Command) -> None:
    run.peer.faults = [Fault(lies=True)]
    studies = ["--study", uid("study", 1), "--study", "1.2.3.4"]
    assert run("move", URL, "--to", "THERE", *studies) == 1
    assert "failed study 1.2.3.4: the archive says that it moved nothing" in run.err
    assert "1 of 2 operations moved nothing" in run.last_line


def test_a_move_of_nothing_is_code_4(run: Command) -> None:
    assert run("move", URL, "--to", "THERE", "--study", "1.2.3.4") == 4
    assert "1 of 1 operations moved nothing" in run.last_line


def test_what_a_move_leaves_behind_is_named(run: Command) -> None:
    assert run("move", URL, "--to", "THERE", f"StudyInstanceUID={uid('study', 1)}", "-r", "0") == 1
    assert run.peer.asked == ["find STUDY", "move STUDY"]
    assert "1 of 1 operations moved nothing" in run.last_line


@pytest.mark.parametrize(
    "words",
    [[], ["--study", "1.2", "PatientID=1"]],
    ids=["nothing", "two ways"],
)
def test_a_move_needs_one_way_to_say_what(run: Command, words: list[str]) -> None:
    assert run("move", URL, "--to", "THERE", *words) == 2
    assert "say what to move" in run.err


def test_a_destination_that_is_not_known_has_a_hint(run: Command) -> None:
    run.peer.faults = [Fault(ends_with=OperationFailed("move destination unknown", status=0xA801))]
    assert run("move", URL, "--to", "THERE", "--study", uid("study", 1)) == 1
    assert "has to know the AE title" in run.err


@pytest.mark.parametrize("command", ["dump -w", "report"])
def test_commands_for_dicomweb_say_so(run: Command, command: str) -> None:
    name, *option = command.split()
    words = [name, *option, URL, *(["-s", "1.2", "-o", "x"] if option else [])]
    assert run(*words) == 2


@pytest.mark.parametrize(
    ("words", "most", "studies"),
    [
        pytest.param([], 4, 8, id="four by default"),
        pytest.param(["-c", "2"], 2, 8, id="as many as -c says"),
        pytest.param(["-c", "1"], 2, 8, id="one more than one, to list"),
        pytest.param(["-c", "1", "--max-associations", "1"], 1, 8, id="one at all"),
        pytest.param(["-c", "9"], 9, 9, id="more than four, too"),
        pytest.param(["--max-associations", "3"], 3, 8, id="as many as there may be"),
        pytest.param(["--max-associations", "3", "-c", "9"], 3, 8, id="never more than that"),
    ],
)
def test_associations_at_once(
    run: Command, tmp_path: Any, words: list[str], most: int, studies: int
) -> None:
    run.peer = ScriptedPeer(ct(number=n, series=n, study=n) for n in range(1, studies + 1))
    assert run("get", URL, "PatientID=P-0042", "-o", str(tmp_path), *words) == 0
    assert run.peer.open_peak <= most
    assert run.settings is not None


@pytest.mark.parametrize("title", ["", "SEVENTEENLETTERS_", "A\\B", "Ä"])
def test_no_destination_is_asked_for_that_is_no_ae_title(run: Command, title: str) -> None:
    assert run("move", URL, "--to", title, "--study", uid("study", 1)) == 2
    assert run.err.startswith("asyncdicom: destination AE title is not valid")
    assert run.peer.asked == []


class Nowhere(BaseHTTPRequestHandler):
    """Has nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_web_root_that_is_not_there_is_no_service(run: Command) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Nowhere) as server:
        threading.Thread(target=server.serve_forever).start()
        assert run("echo", f"http://127.0.0.1:{server.server_port}/nope") == 5
        server.shutdown()
    assert "404" in run.err
