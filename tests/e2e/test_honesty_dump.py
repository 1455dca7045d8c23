"""`dump` against every fault of the mock: a file is there whole, or its record says why not.

Each instance of one study has its own fault, so that a single run meets all of
them; over HTTP/1.1 and HTTP/2. What a run leaves is compared with what a run
against a faultless mock has left, and that with the mock's own bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.mock import WebOptions
from asyncdicom.mock.registry import EFFECTS
from tests.e2e.support import (
    IMPATIENT_S,
    PATIENT_S,
    Completed,
    Runs,
    TruthStudy,
    assert_speaks_plainly,
    cli,
    files_below,
    patience_for,
    portal_mock,
    reading_report,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.server import Recorded
    from tests.e2e.support import Mock

LONGEST_RUN_S = 45.0

JSON = frozenset({"metadata"})
PARTS = frozenset({"frame", "instance"})
EVERY = JSON | PARTS


@dataclass(frozen=True, slots=True)
class Row:
    """What a fault has to lead to."""

    fault: str
    """Name, or name and options."""
    reasons: frozenset[str] = frozenset()
    """Reasons with which a target may be reported; none if the fault is harmless."""
    failing: frozenset[str] = EVERY
    """Kinds of targets that fail; the others of the instance are dumped."""
    kinds: str = "metadata+frame+instance"
    """Kinds of requests that meet the fault."""
    mended: bool = True
    """Whether a second try brings the target."""

    def of(self, instance: str, *options: str) -> str:
        """Spell the fault for the targets of an instance."""
        name, _, own = self.fault.partition(":")
        path = f"path=*/instances/{instance}*"
        return f"{name}:{self.kinds}:{','.join(filter(None, (path, *options, own)))}"


def row(fault: str, *reasons: str, name: str, **settings: Any) -> Any:
    return pytest.param(Row(fault, frozenset(reasons), **settings), id=name)


LOST = ("connection-lost",)
CUT = ("truncated",)
REFUSED: dict[str, Any] = {"mended": False}
IN_PARTS: dict[str, Any] = {"failing": PARTS}
SLOW: dict[str, Any] = {"kinds": "instance", "failing": frozenset({"instance"})}

ROWS = [
    row("truncate", *CUT, name="ends cleanly, too early"),
    row("truncate:at=0", *CUT, name="ends cleanly before anything"),
    row("cut", *LOST, name="connection closed in the middle"),
    row("cut:at=head", *LOST, name="connection closed before the head"),
    row("reset", *LOST, name="TCP reset in the middle"),
    row("reset:at=head", *LOST, name="TCP reset before the head"),
    row("stall", "stalled", **SLOW, name="silence in the middle"),
    row("stall:at=head", "stalled", **SLOW, name="silence before the head"),
    row("goaway", *LOST, name="GOAWAY before the head"),
    row("delay:s=0.1", name="a head that is late but comes"),
    row("drip:rate=50000", name="a slow body"),
    row("length", *LOST, "protocol-error", name="Content-Length above the body"),
    row("length:by=-10", *CUT, *LOST, "protocol-error", name="Content-Length below it"),
    row("endless-header", "protocol-error", "limit-exceeded", *LOST, name="a head without end"),
    row(
        "endless-part-header",
        "limit-exceeded",
        **REFUSED,
        kinds="frame+instance",
        failing=PARTS,
        name="a part header without end",
    ),
    row(
        "gzip-bomb:size=2e7",
        "limit-exceeded",
        **REFUSED,
        kinds="frame+instance",
        failing=PARTS,
        name="a gzip bomb",
    ),
    row("html-200", "unexpected-content", **REFUSED, name="a login page with status 200"),
    row("empty", *CUT, "unexpected-content", name="200 without content"),
    row("redirect", "redirect-refused", **REFUSED, name="a redirect in a circle"),
    row("redirect:to=https://127.0.0.1:1/", "unreachable", name="a redirect to nowhere"),
    row("content-type", "unexpected-content", **REFUSED, name="another media type"),
    row("wrong-boundary", *CUT, **IN_PARTS, name="another boundary than announced"),
    row("no-boundary", "protocol-error", **IN_PARTS, name="no boundary announced"),
    row("missing-part", "protocol-error", **IN_PARTS, name="a part is missing"),
    row("duplicate-part", "unexpected-content", **IN_PARTS, **REFUSED, name="a part twice"),
    row("short-part", *CUT, **IN_PARTS, name="a part is short in a whole payload"),
    row("no-parts", "protocol-error", **IN_PARTS, name="nothing but the close delimiter"),
    row(
        "corrupt",
        *CUT,
        "protocol-error",
        kinds="metadata+instance",
        failing=frozenset({"metadata", "instance"}),
        name="a flipped bit breaks the structure",
    ),
    row(
        "wrong-uid",
        "uid-mismatch",
        kinds="instance",
        failing=frozenset({"instance"}),
        name="the UID of another instance",
    ),
    row("preamble", name="text before and after the parts"),
    row("bare-lf", name="lines end with LF"),
    row("204", "unexpected-content", **REFUSED, name="204"),
    row("206", "incomplete", name="206"),
    row("400", "origin-error", **REFUSED, name="400"),
    row("401", "unauthorized", **REFUSED, name="401"),
    row("403", "unauthorized", **REFUSED, name="403"),
    row("404", "not-found", **REFUSED, name="404"),
    row("406", "not-acceptable", name="406"),
    row("410", "not-found", **REFUSED, name="410"),
    row("429", "throttled", name="429"),
    row("500", "origin-error", name="500"),
    row("503:retry-after=0", "throttled", name="503 with Retry-After"),
]

OF_SEARCHES = {"ignore-offset", "repeat-pages", "cap", "short-pages", "warning"}
"""`dump` does not search: it plans from the metadata."""

STUDY = TruthStudy(series=1, instances=len(ROWS) + 3, rows=16)
"""An instance for each fault, and three without."""

INSTANCE_OF: dict[Row, str] = {}
for _param, _uid in zip(ROWS, STUDY.instances, strict=False):
    INSTANCE_OF[_param.values[0]] = _uid

SMALL = TruthStudy(series=2, instances=3, rows=16)


@dataclass(frozen=True, slots=True)
class Told:
    """One run of the command, and what it left."""

    done: Completed
    report: list[dict[str, Any]]
    requests: list[Recorded]
    files: dict[str, bytes]

    def failed(self, instance: str) -> dict[str, dict[str, Any]]:
        """Lines of the report that name a failure of an instance, by kind."""
        return {
            line["kind"]: line
            for line in self.report
            if line["outcome"] == "failed" and line.get("instance") == instance
        }


def dump(mock: Mock, study: TruthStudy, folder: Path, *words: str) -> Told:
    """Run `dump` with a report; check whatever holds for each run."""
    report, out = folder / "report.jsonl", folder / "out"
    done = cli(
        *("dump", "-w", mock.url, "-s", study.uid, "-o", str(out), "-m"),
        *("--only", "metadata,frames,instances", "--timeout", PATIENT_S, "-r", "1"),
        *("--report", str(report), *words),
    )
    lines = reading_report(report)
    assert_speaks_plainly(done)
    assert done.seconds < LONGEST_RUN_S
    failed = [line for line in lines if line["outcome"] == "failed"]
    assert (done.code == 0) == (not failed)
    assert all(line["reason"] and line["message"] for line in failed)
    return Told(done, lines, mock.new_requests(), files_below(out))


def path_of(study: TruthStudy, instance: str, kind: str) -> str:
    series = instance.rpartition(".")[0]
    name = {"metadata": "metadata", "frame": "frames/1", "instance": f"_/{instance}"}[kind]
    return f"{study.uid}/series/{series}/instances/{instance}/{name}"


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@dataclass(frozen=True, slots=True)
class Wire:
    """How the bytes travel."""

    engine: str
    tls: bool = False
    workers: int = 8
    """One at a time where faults of a connection would hit its other streams."""
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Parade:
    """Five runs over one wire."""

    golden: Told
    """Into a folder of its own, without a fault."""
    permanent: Told
    once: Told
    """Each target that is asked for meets its fault once."""
    clean: Told
    again: Told


WIRES = [
    pytest.param(Wire("pyreqwest", tls=True, workers=1), id="pyreqwest over HTTP2"),
    pytest.param(Wire("pyreqwest", processes=2), id="pyreqwest over HTTP1.1, two processes"),
    pytest.param(Wire("aiohttp"), id="aiohttp over HTTP1.1"),
]


@pytest.fixture(scope="module")
def parades(
    request: pytest.FixtureRequest, portal: BlockingPortal, tmp_path_factory: Any
) -> Iterator[Runs[Wire, Parade]]:
    base = tmp_path_factory.mktemp("parades")

    def perform(case: Wire) -> Parade:
        folder, golden = (
            base / f"{case.engine}-{case.tls}",
            base / f"golden-{case.engine}-{case.tls}",
        )
        folder.mkdir()
        golden.mkdir()
        words = ["--http-engine", case.engine, "-c", str(case.workers)]
        words += ["--processes", str(case.processes), "--timeout", IMPATIENT_S]
        with portal_mock(portal, STUDY, tls=case.tls) as mock:
            if case.tls:
                words += ["--cacert", str(mock.ca_file)]
            whole = dump(mock, STUDY, golden, *words)
            mock.set_faults(*(one.of(uid) for one, uid in INSTANCE_OF.items()))
            permanent = dump(mock, STUDY, folder, *words, "-r", "0")
            every = ("per=path", "times=1")
            mock.set_faults(*(one.of(uid, *every) for one, uid in INSTANCE_OF.items()))
            once = dump(mock, STUDY, folder, *words)
            mock.set_faults()
            clean = dump(mock, STUDY, folder, *words)
            return Parade(whole, permanent, once, clean, dump(mock, STUDY, folder, *words))

    with Runs.of_module(request, Wire, perform) as runs:
        yield runs


def test_the_table_covers_every_fault_of_the_mock() -> None:
    covered = {one.values[0].fault.partition(":")[0] for one in ROWS}
    assert set(EFFECTS) <= covered | OF_SEARCHES


@pytest.mark.timeout(180)  # the first of them waits for all runs: 12 s with two cores
@pytest.mark.parametrize("case", WIRES)
def test_a_dump_holds_the_bytes_of_the_server(parades: Runs[Wire, Parade], case: Wire) -> None:
    golden = parades[case].golden
    assert golden.done.code == 0
    for uid, content in STUDY.files.items():
        assert golden.files[path_of(STUDY, uid, "instance") + ".bin"] == content
        assert golden.files[path_of(STUDY, uid, "frame") + ".bin"] == STUDY.frames[uid][0]
        [metadata] = json.loads(golden.files[path_of(STUDY, uid, "metadata")])
        assert metadata["00080018"]["Value"] == [uid]


@pytest.mark.parametrize("case", WIRES)
@pytest.mark.parametrize("fault", ROWS)
def test_what_is_damaged_is_named_and_has_no_file(
    parades: Runs[Wire, Parade], case: Wire, fault: Row
) -> None:
    permanent, uid = parades[case].permanent, INSTANCE_OF[fault]
    failed = permanent.failed(uid)
    assert set(failed) == (set(fault.failing) if fault.reasons else set())
    assert {line["reason"] for line in failed.values()} <= fault.reasons
    for kind, line in failed.items():
        path = path_of(STUDY, uid, kind)
        assert path not in permanent.files
        assert path + ".bin" not in permanent.files
        record = json.loads(permanent.files[path + ".dump.json"])
        assert record["error"]["reason"] == line["reason"]


@pytest.mark.parametrize("case", WIRES)
@pytest.mark.parametrize("fault", ROWS)
def test_what_is_not_damaged_is_there_with_the_right_bytes(
    parades: Runs[Wire, Parade], case: Wire, fault: Row
) -> None:
    parade, uid = parades[case], INSTANCE_OF[fault]
    for kind in EVERY - set(parade.permanent.failed(uid)):
        # The payload of a part is compared without its wrapper, which may be odd.
        path = path_of(STUDY, uid, kind) + ("" if kind == "metadata" else ".bin")
        assert parade.permanent.files[path] == parade.golden.files[path]


@pytest.mark.parametrize("case", WIRES)
def test_nothing_else_is_left_behind(parades: Runs[Wire, Parade], case: Wire) -> None:
    parade = parades[case]
    expected = set(parade.golden.files)
    for told in (parade.permanent, parade.once, parade.clean, parade.again):
        explained = {
            name for name in told.files if name.removesuffix(".error") + ".dump.json" in told.files
        }
        assert set(told.files) - expected <= {n for n in explained if n.endswith(".error")}


@pytest.mark.parametrize("case", WIRES)
@pytest.mark.parametrize("fault", ROWS)
def test_a_fault_that_happens_once_is_mended_or_named(
    parades: Runs[Wire, Parade], case: Wire, fault: Row
) -> None:
    once, uid = parades[case].once, INSTANCE_OF[fault]
    assert bool(once.failed(uid)) == bool(fault.reasons and not fault.mended)


@pytest.mark.parametrize("case", WIRES)
def test_the_next_run_asks_only_for_what_is_missing(
    parades: Runs[Wire, Parade], case: Wire
) -> None:
    parade = parades[case]
    for before, after in ((parade.permanent, parade.once), (parade.once, parade.clean)):
        failed = [line for line in before.report if line["outcome"] == "failed"]
        asked = {request.path for request in after.requests}
        assert len(asked) == len(failed)
        assert all("/instances/" in path for path in asked)


@pytest.mark.parametrize("case", WIRES)
def test_the_run_without_faults_completes_the_dump(parades: Runs[Wire, Parade], case: Wire) -> None:
    parade = parades[case]
    assert parade.clean.done.code == 0
    for name, content in parade.golden.files.items():
        if not name.endswith(".dump.json"):
            assert name in parade.clean.files
        if name.endswith((".bin", "metadata")):
            assert parade.clean.files[name] == content


@pytest.mark.parametrize("case", WIRES)
def test_what_failed_before_leaves_no_error_file(parades: Runs[Wire, Parade], case: Wire) -> None:
    assert [name for name in parades[case].clean.files if name.endswith(".error")] == []


@pytest.mark.parametrize("case", WIRES)
def test_a_complete_dump_is_verified_without_a_request(
    parades: Runs[Wire, Parade], case: Wire
) -> None:
    again = parades[case].again
    assert again.done.code == 0
    assert again.requests == []
    assert {line["outcome"] for line in again.report} == {"skipped"}


# Faults of the study's own metadata, and exit codes


@dataclass(frozen=True, slots=True)
class Code:
    """A run with faults that are there for good, and how it has to end."""

    faults: tuple[str, ...]
    code: int
    reason: str = ""
    failures: int = 1
    words: tuple[str, ...] = field(default=())


def code(fault: str, code: int, reason: str, *words: str, name: str, failures: int = 1) -> Any:
    return pytest.param(Code((fault,), code, reason, failures, words), id=name)


FRAME = f"*/{SMALL.instances[4]}/frames/1"
OF_STUDY = f"path=*/studies/{SMALL.uid}/metadata"

CODES = [
    code(f"truncate:any:{OF_STUDY}", 1, "truncated", name="metadata cut"),
    code(f"cut:any:{OF_STUDY}", 5, "connection-lost", name="metadata break off"),
    code(f"stall:any:{OF_STUDY}", 5, "stalled", name="metadata stop coming"),
    code(f"reset:any:at=head,{OF_STUDY}", 5, "connection-lost", name="no answer at all"),
    code(f"206:any:{OF_STUDY}", 1, "incomplete", name="some of the metadata"),
    code(f"204:any:{OF_STUDY}", 5, "unexpected-content", name="no metadata, with 204"),
    code(f"404:any:{OF_STUDY}", 4, "not-found", name="no such study"),
    code(f"401:any:{OF_STUDY}", 5, "unauthorized", name="credentials wanted"),
    code(f"403:any:{OF_STUDY}", 5, "unauthorized", name="forbidden"),
    code(f"500:any:{OF_STUDY}", 1, "origin-error", name="the server fails"),
    code(f"html-200:any:{OF_STUDY}", 5, "unexpected-content", name="a login page"),
    code(f"gzip-bomb:any:size=2e7,{OF_STUDY}", 1, "protocol-error", name="a bomb"),
    code(f"503:path={FRAME}", 1, "throttled", name="one frame is unavailable"),
    code(f"truncate:path={FRAME}", 1, "truncated", name="one frame is cut"),
    code("500:frame", 1, "origin-error", failures=6, name="no frame can be had"),
    code("500:frame", 3, "origin-error", "-c", "1", "-a", failures=0, name="abort at the first"),
]


@pytest.fixture(scope="module")
def codes(
    request: pytest.FixtureRequest, portal: BlockingPortal, tmp_path_factory: Any
) -> Iterator[Runs[Code, Told]]:
    base = tmp_path_factory.mktemp("codes")

    def perform(case: Code) -> Told:
        folder = base / f"{abs(hash(case))}"
        folder.mkdir()
        with portal_mock(portal, SMALL, *case.faults) as mock:
            return dump(mock, SMALL, folder, *case.words, "--timeout", patience_for([case.reason]))

    with Runs.of_module(request, Code, perform) as runs:
        yield runs


@pytest.mark.parametrize("case", CODES)
def test_no_fault_ends_in_exit_0(codes: Runs[Code, Told], case: Code) -> None:
    told = codes[case]
    failed = [line for line in told.report if line["outcome"] == "failed"]
    assert told.done.code == case.code
    assert case.reason in {line["reason"] for line in failed}
    if case.failures:
        assert len(failed) == case.failures
        assert {line["reason"] for line in failed} == {case.reason}


# What the peers got wrong (field/peers.md §3, M7 and M9)


def test_each_thing_is_asked_for_once_and_an_error_page_is_never_a_frame(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_mock(portal, SMALL, f"503:path={FRAME}") as mock:
        told = dump(mock, SMALL, tmp_path, "-r", "0")
    paths = [request.path for request in told.requests]
    assert len(paths) == len(set(paths)) == 1 + 2 + 3 * 6
    assert 404 not in {request.status for request in told.requests}
    frame = path_of(SMALL, SMALL.instances[4], "frame")
    assert frame not in told.files
    assert told.files[frame + ".error"] == b"a fault says 503\n"


def test_metadata_of_another_instance_are_refused(portal: BlockingPortal, tmp_path: Path) -> None:
    first = SMALL.instances[0]
    fault = f"wrong-uid:metadata:path=*/instances/{first}/metadata"
    # The mock changes UIDs in plain JSON only.
    with portal_mock(portal, SMALL, fault, web=WebOptions(gzip=False)) as mock:
        told = dump(mock, SMALL, tmp_path)
    assert told.done.code == 1
    assert told.failed(first)["metadata"]["reason"] == "uid-mismatch"
    assert path_of(SMALL, first, "metadata") not in told.files


def test_no_credentials_are_invented(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_mock(portal, SMALL) as mock:
        told = dump(mock, SMALL, tmp_path)
    names = {name.lower() for request in told.requests for name, _ in request.headers}
    assert "authorization" not in names
