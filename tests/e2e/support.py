"""The command line as a real process, mocks in a thread beside it, and what must hold afterwards.

    with start_blocking_portal() as portal, portal_mock(portal, STUDY) as mock:
        done = cli("get", mock.url, "--study", STUDY.uid, "-o", str(folder))

Rule: a promise is checked against the mock's own bytes, its own log of requests
and the folder; never against what the program says alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import pytest

from asyncdicom.mock import (
    MockServer,
    S3Server,
    ServerOptions,
    SyntheticArchive,
    SyntheticOptions,
)
from asyncdicom.mock.faults import FaultPlan
from asyncdicom.protocol.part10 import Part10Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.server import Recorded

__all__ = [
    "IMPATIENT_S",
    "PATIENT_S",
    "PROGRAM",
    "RUN_DEADLINE_S",
    "WORKERS",
    "Completed",
    "Mock",
    "Runs",
    "TruthStudy",
    "assert_speaks_plainly",
    "clean_environ",
    "cli",
    "files_below",
    "killed",
    "patience_for",
    "portal_mock",
    "reading_report",
]

PROGRAM = str(Path(sys.executable).with_name("asyncdicom"))

RUN_DEADLINE_S = 50.0
"""Of one process; a run that needs longer hangs, also on a machine that is slow and busy."""

PATIENT_S = "15"
"""`--timeout` where nothing is to stall: who shares a machine with many is not silent."""

IMPATIENT_S = "2"
"""`--timeout` where something stalls, beside what must not."""

WORKERS = 4
"""Processes at once: enough to hide their pauses, few enough for two cores."""

SENTENCE = re.compile(
    r"\d+ stored · \d+ missing · \d+ corrupt · (?:\d+ skipped [^·]*· )?[\d.]+ MB in "
)

C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Completed:
    """A process that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def last_line(self) -> str:
        """Last line on stderr: the sentence that a person trusts."""
        lines = self.err.splitlines()
        return lines[-1] if lines else ""


def clean_environ(**changes: str) -> dict[str, str]:
    """Return an environment without settings of ours, of proxies and of the user's home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ASYNCDICOM_") and not name.lower().endswith("_proxy")
    }
    return {**kept, "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent", **changes}


def cli(*words: str, stdin: str = "", **settings: Any) -> Completed:
    """Run `asyncdicom` to its end.

    Args:
        words: Arguments.
        stdin: What it may read.
        settings: More for `subprocess.run`.

    """
    begun_s = time.monotonic()
    done = subprocess.run(
        [PROGRAM, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=RUN_DEADLINE_S,
        check=False,
        env=settings.pop("env", None) or clean_environ(),
        **settings,
    )
    return Completed(done.returncode, done.stdout, done.stderr, time.monotonic() - begun_s)


def patience_for(reasons: Iterable[str]) -> str:
    """Return the `--timeout` for a run that is to fail for one of some reasons, or for none."""
    return IMPATIENT_S if "stalled" in reasons else PATIENT_S


def killed(
    words: tuple[str, ...],
    *,
    after_lines: int,
    pause_s: float,
    env: Mapping[str, str] | None = None,
) -> tuple[frozenset[str], int]:
    """Kill a run some time after it has told of a number of stored files.

    Returns:
        The paths that it told of, and its exit code: -9 unless it had ended before.

    """
    told: list[str] = []
    with subprocess.Popen(
        [PROGRAM, *words, "-v"], stderr=subprocess.PIPE, text=True, env=env or clean_environ()
    ) as process:
        assert process.stderr is not None
        try:
            stored = (line for line in process.stderr if line.startswith("stored "))
            told += islice(stored, after_lines)
            # Not a wait for anything: the kill shall come between two system calls.
            time.sleep(pause_s)
        finally:
            process.kill()
        told += process.stderr
    paths = (line.rpartition(" (")[0].rpartition(": ")[2] for line in told if line[-1:] == "\n")
    return frozenset(path for path in paths if path), process.returncode


class TruthStudy:
    """The first study of a synthetic archive, and the bytes each of its instances must have."""

    def __init__(self, **options: Any) -> None:
        self.archive = SyntheticArchive(SyntheticOptions(studies=1, **options))
        study = self.archive.studies[0]
        self.uid = study.study_instance_uid
        self.series = [series.series_instance_uid for series in study.all_series]
        every = [instance for series in study.all_series for instance in series.instances]
        self.files = {i.sop_instance_uid: b"".join(map(bytes, i.file())) for i in every}
        self.instances = list(self.files)
        self.frames = {
            i.sop_instance_uid: [
                b"".join(map(bytes, i.frame(n))) for n in range(1, i.frame_count + 1)
            ]
            for i in every
        }

    def digest(self, instance: str) -> str:
        """Return the sha256 of an instance."""
        return hashlib.sha256(self.files[instance]).hexdigest()


class Mock:
    """A mock server in another thread."""

    def __init__(self, portal: BlockingPortal, server: MockServer | S3Server, folder: Path) -> None:
        self._portal = portal
        self._server: Any = server
        self._read = 0
        self.url = server.url
        self.ca_file = folder / "ca.pem"
        if server.is_tls:
            self.ca_file.write_bytes(server.ca_pem)

    def set_faults(self, *faults: str) -> None:
        """Let other things go wrong from now on."""
        self._portal.call(setattr, self._server, "plan", FaultPlan(faults))

    def new_requests(self) -> list[Recorded]:
        """Return the requests since the last call."""
        every = self._portal.call(list, self._server.requests)
        new, self._read = every[self._read :], len(every)
        return new

    def until_left(self) -> None:
        """Wait until nobody is connected: a process that was killed may have left requests."""
        deadline_s = time.monotonic() + RUN_DEADLINE_S
        while self._portal.call(len, self._server._connections):
            assert time.monotonic() < deadline_s, "somebody stays connected"
            time.sleep(0.002)


@contextmanager
def portal_mock(
    portal: BlockingPortal,
    study: TruthStudy,
    *faults: str,
    tls: bool = False,
    options: ServerOptions | None = None,
    **settings: Any,
) -> Iterator[Mock]:
    """Serve a study from the thread of a portal; a bug of the mock is raised at the end."""
    server = MockServer(study.archive, faults=faults, tls=tls, options=options, **settings)
    with (
        tempfile.TemporaryDirectory(prefix="mock-") as folder,
        portal.wrap_async_context_manager(server),
    ):
        yield Mock(portal, server, Path(folder))


class Runs(Generic[C, R]):
    """Results of cases, computed side by side and ahead of the tests that ask for them."""

    def __init__(
        self, cases: Iterable[C], perform: Callable[[C], R], pool: ThreadPoolExecutor | None = None
    ) -> None:
        self._own_pool = ThreadPoolExecutor(WORKERS) if pool is None else None
        pool = self._own_pool or pool
        assert pool is not None, "either is there"
        self._results: dict[C, Future[R]] = {
            case: pool.submit(perform, case) for case in dict.fromkeys(cases)
        }

    def __getitem__(self, case: C) -> R:
        return self._results[case].result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for result in self._results.values():
            result.cancel()
        wait(self._results.values())
        if self._own_pool is not None:
            self._own_pool.shutdown()

    @classmethod
    def of_module(
        cls,
        request: pytest.FixtureRequest,
        kind: type[C],
        perform: Callable[[C], R],
        pool: ThreadPoolExecutor | None = None,
    ) -> Self:
        """Perform the selected cases of a module: parameters named `case`, of one kind.

        Args:
            request: Of the fixture, which belongs to the module.
            kind: Class of the cases.
            perform: Makes the result of a case; called in a thread.
            pool: Shared with other kinds of cases, or None for one of its own.

        """
        cases: list[C] = []
        for item in request.session.items:
            if isinstance(item, pytest.Function) and item.getparent(pytest.Module) is request.node:
                case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
                if isinstance(case, kind):
                    cases.append(case)
        return cls(cases, perform, pool)


def reading_report(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a report; each of them has to be whole."""
    text = path.read_text()
    assert text == "" or text.endswith("\n"), "the last line of the report is torn"
    return [json.loads(line) for line in text.splitlines()]


def files_below(folder: Path) -> dict[str, bytes]:
    """Return everything below a folder that is not a folder, hidden files too.

    What a run that goes on takes away meanwhile is not there.
    """
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if not path.is_dir():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def assert_speaks_plainly(done: Completed) -> None:
    """Refuse tracebacks, log lines of libraries, and an end without the sentence."""
    assert "Traceback" not in done.err
    assert "Warning:" not in done.err
    assert "never retrieved" not in done.err
    assert SENTENCE.match(done.last_line), done.err


def whole_uid(content: bytes) -> str:
    """Walk a Part 10 file to its last byte, and return its SOP Instance UID."""
    walker = Part10Walker()
    walker.receive_data(content)
    return walker.receive_eof().sop_instance_uid


def assert_only_true_files(folder: Path, study: TruthStudy) -> set[str]:
    """Demand that each file is a whole and true instance under its name; return which are there."""
    found = set()
    for name, content in files_below(folder).items():
        uid = name.removesuffix(".dcm")
        assert name == f"{uid}.dcm", f"{name} is no instance"
        assert whole_uid(content) == uid
        assert content == study.files[uid], f"{name} has other bytes than the server's"
        found.add(uid)
    return found


def _kept(report: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what was stored or skipped and not taken back afterwards."""
    kept: list[Mapping[str, Any]] = []
    for line in report:
        if line["outcome"] in ("stored", "skipped"):
            kept.append(line)
        elif line["outcome"] == "withdrawn":
            twin = next(one for one in kept if one["instance"] == line["instance"])
            kept.remove(twin)
    return kept


def assert_books_agree(
    done: Completed, report: Sequence[Mapping[str, Any]], folder: Path, study: TruthStudy
) -> None:
    """Demand that report, folder, sentence and exit code tell one story."""
    there = assert_only_true_files(folder, study)
    kept = _kept(report)
    failed = [line for line in report if line["outcome"] == "failed"]
    assert sorted(line["instance"] for line in kept) == sorted(there)
    for line in kept:
        assert line["sha256"] == study.digest(line["instance"])
        assert line["path"] == f"{line['instance']}.dcm"
    for line in failed:
        assert line["reason"], line
        assert line["message"], line
        assert line.get("instance") not in there
    assert (done.code == 0) == (not failed), (done.code, failed)
    assert (done.code == 0) <= (there == set(study.instances)), "exit 0, but something is missing"
    told = [int(n) for n in re.findall(r"(\d+) (?:stored|missing|corrupt)", done.last_line)]
    stored = sum(line["outcome"] == "stored" for line in kept)
    assert (told[0], sum(told[1:])) == (stored, len(failed)), done.last_line
