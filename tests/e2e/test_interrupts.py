"""A run that is stopped: by a signal, by its reader, by policy. It ends in order, and in time."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from tests.e2e.support import (
    PROGRAM,
    SENTENCE,
    Completed,
    Runs,
    TruthStudy,
    assert_books_agree,
    assert_only_true_files,
    clean_environ,
    cli,
    files_below,
    portal_mock,
    reading_report,
)
from tests.e2e.watching import Running, wait_for_stall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.server import Recorded
    from tests.e2e.support import Mock

STUDY = TruthStudy(series=2, instances=20, rows=16)

EXIT_S = 5.0
"""From the first signal to the end of the process, at most."""
AT_ONCE_S = 1.5
"""From the second one."""


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


def get_words(mock: Mock, folder: Path, *words: str) -> list[str]:
    return [
        *("get", mock.url, "-s", STUDY.uid, "-o", str(folder / "out"), "--durability", "none"),
        *("--granularity", "instance", "--report", str(folder / "report.jsonl"), *words),
    ]


def dump_words(mock: Mock, folder: Path, processes: int) -> list[str]:
    return [
        *("dump", "-w", mock.url, "-s", STUDY.uid, "-o", str(folder / "out")),
        *("--only", "instances", "--report", str(folder / "report.jsonl")),
        *("--processes", str(processes)),
    ]


# Signals


@dataclass(frozen=True, slots=True)
class Stop:
    """A run that gets a signal once nothing moves any more."""

    command: str
    number: int
    fault: str = "stall:path=*.1002/instances/*,at=1000"
    """Half of the instances come at once; silence for the others."""
    stalled: int = 8
    is_repeated: bool = False
    """Whether the signal comes twice."""
    processes: int = 1
    """Of a dump."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What the run left, and what a run from its report made of it."""

    done: Completed
    folder: Path
    report: list[dict[str, Any]]
    files: dict[str, bytes]
    completed: Completed
    requests: list[Recorded]
    """Of the run from the report."""


SIGINT = pytest.param(Stop("get", signal.SIGINT), id="SIGINT")
SIGTERM = pytest.param(Stop("get", signal.SIGTERM), id="SIGTERM")
TWICE = pytest.param(Stop("get", signal.SIGINT, is_repeated=True), id="SIGINT twice")
DUMP = pytest.param(Stop("dump", signal.SIGINT), id="SIGINT to dump")
SHARED = pytest.param(Stop("dump", signal.SIGTERM, processes=2), id="SIGTERM to two processes")
DUMPS = [DUMP, SHARED]
LOOKING = pytest.param(Stop("get", signal.SIGTERM, "stall:search:at=head", 1), id="at the lookup")
GETS = [SIGINT, SIGTERM, TWICE, LOOKING]


@pytest.fixture(scope="module")
def stops(
    request: pytest.FixtureRequest, portal: BlockingPortal, tmp_path_factory: Any
) -> Iterator[Runs[Stop, Stopped]]:
    base = tmp_path_factory.mktemp("stops")

    def perform(case: Stop) -> Stopped:
        folder = base / f"{abs(hash(case))}"
        folder.mkdir()
        with portal_mock(portal, STUDY, case.fault) as mock:
            words = dump_words(mock, folder, case.processes)
            if case.command == "get":
                words = get_words(mock, folder, "--json")
            with closing(Running(words)) as running:
                wait_for_stall(mock, case.stalled)
                running.signal(case.number)
                if case.is_repeated:
                    time.sleep(0.1)
                    running.signal(case.number)
                done = running.end()
            report, files = reading_report(folder / "report.jsonl"), files_below(folder / "out")
            mock.set_faults()
            mock.new_requests()
            source = ("-w", mock.url) if case.command == "dump" else (mock.url,)
            again = ("--retry-failed", str(folder / "report.jsonl"), "-o", str(folder / "out"))
            completed = cli(case.command, *source, *again)
            return Stopped(done, folder, report, files, completed, mock.new_requests())

    with Runs.of_module(request, Stop, perform) as runs:
        yield runs


@pytest.mark.parametrize("case", [*GETS, *DUMPS])
def test_a_signal_ends_a_run_in_time_and_with_the_sentence(
    stops: Runs[Stop, Stopped], case: Stop
) -> None:
    done = stops[case].done
    is_interrupt = case.number == signal.SIGINT
    assert done.code == (130 if is_interrupt else 143)
    assert done.seconds < (AT_ONCE_S if case.is_repeated else EXIT_S)
    assert SENTENCE.match(done.last_line)
    assert done.last_line.endswith("stopped: interrupted" if is_interrupt else "terminated")
    assert "Traceback" not in done.err


@pytest.mark.parametrize("case", [SIGINT, SIGTERM, TWICE])
def test_everything_is_named_in_the_report_and_nothing_is_torn(
    stops: Runs[Stop, Stopped], case: Stop
) -> None:
    stopped = stops[case]
    stored = {line["path"] for line in stopped.report if line["outcome"] == "stored"}
    assert set(stopped.files) == stored
    assert all(stopped.files[f"{u}.dcm"] == STUDY.files[u] for u in STUDY.instances[:20])
    assert sorted(line["instance"] for line in stopped.report) == STUDY.instances
    failed = [line for line in stopped.report if line["outcome"] == "failed"]
    assert {line["reason"] for line in failed} == {"run-aborted"}
    told = f"{len(stored)} stored · {len(failed)} missing · 0 corrupt"
    assert stopped.done.last_line.startswith(told)


@pytest.mark.parametrize("case", DUMPS)
def test_a_stopped_dump_leaves_whole_payloads_only(stops: Runs[Stop, Stopped], case: Stop) -> None:
    stopped = stops[case]
    stored = {line["path"] for line in stopped.report if line["outcome"] == "stored"}
    assert {name for name in stopped.files if not name.endswith(".dump.json")} == stored
    assert len(stored) == 1 + 20


@pytest.mark.parametrize("case", [LOOKING])
def test_a_study_that_was_being_looked_up_is_named(stops: Runs[Stop, Stopped], case: Stop) -> None:
    [line] = stops[case].report
    assert (line["outcome"], line["study"]) == ("failed", STUDY.uid)


@pytest.mark.parametrize("case", GETS)
def test_json_lines_of_a_stopped_run_end_with_the_sum(
    stops: Runs[Stop, Stopped], case: Stop
) -> None:
    events = [json.loads(line) for line in stops[case].done.out.splitlines()]
    assert events[-1]["event"] == "ended"
    assert events[-1]["complete"] is False
    assert events[-1]["aborted"] in ("interrupted", "terminated")


@pytest.mark.parametrize("case", GETS)
def test_a_stopped_run_is_completed_from_its_report(stops: Runs[Stop, Stopped], case: Stop) -> None:
    stopped = stops[case]
    assert stopped.completed.code == 0, stopped.completed.err
    assert assert_only_true_files(stopped.folder / "out", STUDY) == set(STUDY.instances)
    if len(stopped.report) > 1:
        assert len(stopped.requests) == sum(x["outcome"] == "failed" for x in stopped.report)


@pytest.mark.parametrize("case", DUMPS)
def test_a_stopped_dump_is_completed_from_its_report(
    stops: Runs[Stop, Stopped], case: Stop
) -> None:
    stopped = stops[case]
    assert stopped.completed.code == 0, stopped.completed.err
    assert len(stopped.requests) == 20
    files = files_below(stopped.folder / "out")
    assert sum("/_/" in name and not name.endswith(".dump.json") for name in files) == 40


def test_a_signal_while_studies_are_searched_for_is_told(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_mock(portal, STUDY, "stall:search:at=head") as mock:
        words = ["get", mock.url, "PatientID=4711", "-o", str(tmp_path / "out")]
        with closing(Running(words)) as running:
            wait_for_stall(mock, 1)
            running.signal(signal.SIGINT)
            done = running.end()
    assert done.code == 130
    assert done.seconds < EXIT_S
    assert done.err == "asyncdicom: interrupted before anything was fetched\n"


# Readers and terminals


@pytest.fixture
def whole_mock(portal: BlockingPortal) -> Iterator[Mock]:
    with portal_mock(portal, STUDY) as mock:
        yield mock


@pytest.fixture
def slow_mock(portal: BlockingPortal) -> Iterator[Mock]:
    with portal_mock(portal, STUDY, "delay:instance:s=0.1") as mock:
        yield mock


@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_a_reader_that_leaves_harms_nobody(whole_mock: Mock, tmp_path: Path, reader: str) -> None:
    words = " ".join(get_words(whole_mock, tmp_path, "--json"))
    done = subprocess.run(
        ["bash", "-c", f"{PROGRAM} {words} | {reader}"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=clean_environ(),
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert "Exception" not in done.stderr
    there = assert_only_true_files(tmp_path / "out", STUDY)
    report = reading_report(tmp_path / "report.jsonl")
    assert {line["instance"] for line in report if line["outcome"] == "stored"} == there


def test_json_lines_end_with_the_sum(whole_mock: Mock, tmp_path: Path) -> None:
    done = cli(*get_words(whole_mock, tmp_path, "--json"))
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [event["event"] for event in events].count("finished") == len(STUDY.instances)
    assert events[-1]["event"] == "ended"
    assert (events[-1]["stored"], events[-1]["complete"]) == (len(STUDY.instances), True)
    assert done.code == 0


@pytest.mark.parametrize("words", [(), ("-v",), ("-q",), ("--json",)])
def test_nothing_is_drawn_where_there_is_no_terminal(
    whole_mock: Mock, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = cli(*get_words(whole_mock, tmp_path, *words))
    for text in (done.out, done.err):
        assert "\x1b" not in text
        assert "\r" not in text
    assert SENTENCE.match(done.last_line)
    if words in ((), ("-q",)):
        assert len(done.err.splitlines()) == 1
        assert done.out == ""


def test_a_terminal_is_left_with_the_sentence(slow_mock: Mock, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *get_words(slow_mock, tmp_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=clean_environ(TERM="xterm"),
    )
    os.close(theirs)
    shown = read_terminal(ours)
    out, _ = process.communicate(timeout=50)
    assert process.returncode == 0
    assert out == b""
    [line] = visible_lines(shown)
    assert line.startswith(f"{len(STUDY.instances)} stored · 0 missing")


CONTROL = re.compile(r"\x1b\[([0-9?]*)([A-Za-z])")


def visible_lines(shown: str) -> list[str]:
    """Return what a terminal would show: carriage returns, line feeds, cursor up, erase line."""
    lines, row, at = [""], 0, 0
    for text in re.split(r"(\x1b\[[0-9?]*[A-Za-z]|\r|\n)", shown):
        control = CONTROL.fullmatch(text)
        if text == "\r":
            at = 0
        elif text == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif control is None:
            lines[row] = f"{lines[row][:at]:<{at}}{text}{lines[row][at + len(text) :]}"
            at += len(text)
        elif control[2] == "A":
            row -= int(control[1] or 1)
        elif control[2] == "K":
            lines[row] = ""
    return [line for line in lines if line.strip()]


def read_terminal(fd: int) -> str:
    """Return what a program writes to its terminal until it ends."""
    shown = b""
    while True:
        try:
            shown += os.read(fd, 4096)
        except OSError:  # Linux answers EIO once nobody has the other side open
            os.close(fd)
            return shown.decode()


# Policies


def test_abort_stops_at_the_first_failure(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_mock(portal, STUDY, f"500:path=*/{STUDY.instances[3]}") as mock:
        done = cli(*get_words(mock, tmp_path, "-a", "-c", "1", "-r", "0"))
        asked = [r for r in mock.new_requests() if "/instances/" in r.path]
    assert done.code == 3
    assert SENTENCE.match(done.last_line)
    assert "stopped: " in done.last_line
    assert len(asked) == 4
    report = reading_report(tmp_path / "report.jsonl")
    assert_books_agree(done, report, tmp_path / "out", STUDY)
    assert len(report) == len(STUDY.instances)


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        pytest.param(2, 1, id="as many as allowed"),
        pytest.param(3, 3, id="one more than allowed"),
    ],
)
def test_max_errors_is_a_bound(
    portal: BlockingPortal, tmp_path: Path, failing: int, code: int
) -> None:
    faults = [f"500:path=*/{uid}" for uid in STUDY.instances[5 : 5 + failing]]
    with portal_mock(portal, STUDY, *faults) as mock:
        done = cli(*get_words(mock, tmp_path, "--max-errors", "2", "-c", "1", "-r", "0"))
    assert done.code == code
    assert ("stopped: " in done.last_line) == (code == 3)
    assert_books_agree(done, reading_report(tmp_path / "report.jsonl"), tmp_path / "out", STUDY)
