"""`get` and `find` against every DIMSE fault of the mock, as processes.

Three kinds of runs:

* the *story* of a fault on instances: one instance, the victim, is damaged whenever it is
  sent; then, in the same folder, the fault happens once more and passes;
* faults of whole operations and associations, for good, and once;
* all faults on instances at once, one each, over each engine and each way to retrieve.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.mock.dimse_effects import DIMSE_EFFECTS
from tests.e2e.dimse_support import DimseTruth, dimse_mock
from tests.e2e.support import (
    IMPATIENT_S,
    PATIENT_S,
    WORKERS,
    Completed,
    Runs,
    assert_books_agree,
    assert_only_true_files,
    assert_speaks_plainly,
    cli,
    files_below,
    patience_for,
    reading_report,
)
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.dimse import RecordedDimse
    from tests.e2e.dimse_support import DimseMock

LONGEST_RUN_S = 45.0

STUDY = DimseTruth(series=2, instances=3, rows=16)
VICTIM = STUDY.instances[2]


@dataclass(frozen=True, slots=True)
class Row:
    """What a fault has to lead to."""

    fault: str
    """Name, or name and options."""
    reasons: frozenset[str] = frozenset()
    """Reasons with which the victim may be reported; none if the fault is harmless."""
    mended: bool = True
    """Whether a second try brings the victim."""

    def of(self, *options: str) -> str:
        """Spell the fault for the sub-operations that options select."""
        name, _, own = self.fault.partition(":")
        return f"{name}:suboperation:{','.join(filter(None, (*options, own)))}"


def row(fault: str, *reasons: str, name: str, mended: bool = True) -> Any:
    return pytest.param(Row(fault, frozenset(reasons), mended), id=name)


PROTOCOL = "protocol-error"
INVALID = ("invalid-uid", "content-error", "protocol-error", "uid-mismatch")
"""A UID that is none is refused where it is met first: in the command or in the data set."""

ROWS = [
    row("abort", "association-aborted", name="A-ABORT in the middle"),
    row("abort:at=0", "association-aborted", name="A-ABORT before the data set"),
    row("close", "connection-lost", name="connection closed in the middle"),
    row("close:at=0", "connection-lost", name="connection closed before the data set"),
    row("silence", "stalled", name="silence in the middle"),
    row("half-pdu", "stalled", name="silence inside of a PDU"),
    row("late:s=0.1", name="a pause in the middle"),
    row("garbage-pdu", PROTOCOL, name="a PDU type that does not exist"),
    row("pdu-length", PROTOCOL, name="a PDU of length 0"),
    row("pdu-length:length=4294967295", PROTOCOL, name="a PDU of length FFFFFFFF"),
    row("oversize-pdu", PROTOCOL, name="a PDU above the maximum length"),
    row("pdv-length", PROTOCOL, name="a PDV longer than its PDU"),
    row("unknown-context", PROTOCOL, name="a context that is none"),
    row("fail", "operation-failed", name="a failed sub-operation"),
    row("warn", name="a sub-operation with a warning"),
    row("lose", "incomplete", name="counted, but never sent"),
    row("short-dataset", "truncated", name="a short data set with the last flag"),
    row("short-dataset:by=2", "truncated", name="two bytes are missing"),
    row("long-dataset", PROTOCOL, name="bytes behind the data set"),
    row("no-dataset", "truncated", PROTOCOL, name="no data set at all"),
    row("other-uid", "uid-mismatch", name="another UID in the command"),
    row("hostile-uid", *INVALID, name="a UID that leads upwards"),
    row("hostile-uid:uid=", *INVALID, name="an empty UID"),
    row("hostile-uid:uid=%2Fetc%2Fpasswd", *INVALID, name="a UID that is an absolute path"),
    row("hostile-uid:uid=1.2%00.3", *INVALID, name="a UID with NUL"),
    row("hostile-uid:uid=1.%C3%A4", *INVALID, name="a UID that is not ASCII"),
    row("hostile-uid:uid=..", *INVALID, name="a UID of dots"),
    row("hostile-uid:uid=1.2,length=10000", *INVALID, name="a UID of 10 kB"),
    row("hostile-uid:where=command", *INVALID, name="a hostile UID in the command only"),
    row(
        "hostile-uid:where=dataset",
        *INVALID,
        name="a hostile UID in the data set only",
        mended=False,
    ),
    row("tiny-pdvs", name="fragments of one byte"),
    row("same-message-id", name="the same message ID"),
    row("twice", name="the instance comes twice"),
    row("interleave", PROTOCOL, name="two messages mixed"),
]
ROWS_INDEX: dict[Row, int] = {one.values[0]: index for index, one in enumerate(ROWS)}


@dataclass(frozen=True, slots=True)
class Told:
    """One run of `get`, and what it left."""

    done: Completed
    report: list[dict[str, Any]]
    requests: list[RecordedDimse]
    there: frozenset[str]
    """Instances on disk afterwards."""

    @property
    def failed(self) -> dict[str, dict[str, Any]]:
        """Lines of the report that name a failure, by SOP Instance UID."""
        lines = [line for line in self.report if line["outcome"] == "failed"]
        return {line.get("instance", ""): line for line in lines}

    @property
    def reasons(self) -> set[str]:
        """Reasons of all failures."""
        return {line["reason"] for line in self.failed.values()}


def get(mock: DimseMock, study: DimseTruth, folder: Path, *words: str, query: str = "") -> Told:
    """Run `get` with a report; check whatever holds for each run."""
    report, out = folder / "report.jsonl", folder / "out"
    done = cli(
        *("get", f"{mock.url}{query}", "--study", study.uid, "-o", str(out)),
        *("--durability", "none", "--timeout", PATIENT_S, "--report", str(report), "-r", "1"),
        *words,
    )
    lines = reading_report(report)
    assert_speaks_plainly(done)
    assert_books_agree(done, lines, out, study)
    assert done.seconds < LONGEST_RUN_S
    there = frozenset(assert_only_true_files(out, study))
    return Told(done, lines, mock.new_requests(), there)


def patience_with(fault: str) -> str:
    """Return the `--timeout` for a run that meets a fault, which may end by it."""
    return IMPATIENT_S if fault.startswith(("silence", "half-pdu")) else PATIENT_S


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Share the workers between all runs here."""
    with ThreadPoolExecutor(WORKERS) as pool:
        yield pool


# The story of each fault on an instance


@dataclass(frozen=True, slots=True)
class Story:
    """Two runs into one folder."""

    first: Told
    """The victim has the fault, for good."""
    second: Told
    """The first that is sent has it once."""


@pytest.fixture(scope="module")
def stories(
    request: pytest.FixtureRequest,
    portal: BlockingPortal,
    pool: ThreadPoolExecutor,
    tmp_path_factory: Any,
) -> Iterator[Runs[Row, Story]]:
    base = tmp_path_factory.mktemp("stories")

    def perform(case: Row) -> Story:
        folder = base / f"{ROWS_INDEX[case]}"
        folder.mkdir()
        with dimse_mock(portal, STUDY) as mock:
            mock.set_faults(case.of(f"path=*/{VICTIM}"))
            patience = ("--timeout", patience_for(case.reasons))
            first = get(mock, STUDY, folder, *patience)
            mock.set_faults(case.of("times=1"))
            return Story(first, get(mock, STUDY, folder, *patience))

    with Runs.of_module(request, Row, perform, pool) as runs:
        yield runs


def test_the_tables_cover_every_fault_of_the_mock() -> None:
    rows = {one.values[0].fault.partition(":")[0] for one in ROWS}
    others = {one.values[0].fault.partition(":")[0] for one in (*OPERATIONS, *QUERIES)}
    assert set(DIMSE_EFFECTS) <= rows | others
    assert {n for n, e in DIMSE_EFFECTS.items() if "suboperation" in e.kinds} <= rows


@pytest.mark.parametrize("case", ROWS)
def test_what_is_damaged_is_named_with_a_reason(stories: Runs[Row, Story], case: Row) -> None:
    first = stories[case].first
    assert set(first.failed) == ({VICTIM} if case.reasons else set())
    assert first.reasons <= case.reasons


@pytest.mark.parametrize("case", ROWS)
def test_whatever_is_not_damaged_is_stored_whole(stories: Runs[Row, Story], case: Row) -> None:
    first = stories[case].first
    assert first.there == set(STUDY.instances) - set(first.failed)
    assert first.done.code == (1 if case.reasons else 0)


@pytest.mark.parametrize("case", ROWS)
def test_a_fault_that_happens_once_is_mended_or_named(stories: Runs[Row, Story], case: Row) -> None:
    second = stories[case].second
    assert second.done.code == (0 if case.mended else 1)
    assert set(second.failed) == (set() if case.mended else {VICTIM})


@pytest.mark.parametrize("case", ROWS)
def test_what_is_there_is_not_asked_for_again(stories: Runs[Row, Story], case: Row) -> None:
    story = stories[case]
    asked = {one.path.rpartition("/")[2] for one in sub_operations(story.second.requests)}
    assert asked == set(story.first.failed)


def sub_operations(requests: list[RecordedDimse]) -> list[RecordedDimse]:
    return [one for one in requests if one.kind == "suboperation"]


# Faults of whole operations and associations


@dataclass(frozen=True, slots=True)
class Operation:
    """A fault of whatever is asked for, and what it has to lead to."""

    fault: str
    code: int = 0
    """Exit code where it happens for good."""
    reasons: frozenset[str] = frozenset()
    once: int = 0
    """Exit code where it happens once."""
    words: str = ""
    """Part of what stderr says."""

    by_move: bool = False
    """Whether instances are moved to a receiver of our own."""
    most: int = 40
    """Retrievals at most: what cannot succeed is not asked for again and again."""


def operation(fault: str, code: int, *reasons: str, name: str, **settings: Any) -> Any:
    return pytest.param(Operation(fault, code, frozenset(reasons), **settings), id=name)


def move(fault: str, code: int, *reasons: str, name: str, **settings: Any) -> Any:
    return operation(fault, code, *reasons, name=f"C-MOVE: {name}", by_move=True, **settings)


OPERATIONS = [
    operation(
        "reject",
        *(5, "association-rejected"),
        name="wrong AE title",
        once=5,
        words="called AE title not recognized",
    ),
    operation(
        "reject:result=2,source=3,reason=1",
        *(5, "association-rejected"),
        name="congestion",
        words="temporary congestion",
    ),
    operation(
        "reject:result=2,source=3,reason=2",
        *(5, "association-rejected"),
        name="too many associations",
        words="local limit exceeded",
    ),
    operation("refuse-contexts", 5, "not-negotiated", name="no context at all", once=5),
    operation(
        "refuse-contexts:uid=1.2.840.10008.5.1.4.1.2.2.3",
        *(5, "not-negotiated"),
        name="no C-GET",
        words="does not offer",
    ),
    operation(
        "refuse-contexts:uid=1.2.840.10008.5.1.4.1.1.*",
        *(1, "not-negotiated", "operation-failed"),
        name="no storage class",
        most=100,
    ),
    operation("abort:association", 5, "association-aborted", name="A-ABORT for an answer"),
    operation("close:association", 5, "connection-lost", name="closed for an answer"),
    operation("silence:association", 5, "stalled", name="silence for an answer"),
    operation("late:association:s=0.1", 0, name="a late answer"),
    operation(
        "garbage-pdu:association",
        *(5, "unreachable"),
        name="garbage for an answer",
        words="nobody there speaks DICOM",
    ),
    operation("close:release", 0, name="closed instead of a release response"),
    operation("silence:release", 0, name="no release response"),
    operation("garbage-pdu:release", 0, name="garbage instead of a release response"),
    operation("A700:find", 1, "operation-failed", name="queries run out of resources"),
    operation("A900:find", 1, "operation-failed", name="queries are refused", once=1),
    operation(
        "C000:find:path=/find/IMAGE/*,sent=1",
        *(1, "operation-failed"),
        name="the list of instances breaks off with a failure",
        once=1,
    ),
    operation("abort:find:sent=1", 5, "association-aborted", name="A-ABORT in a list"),
    operation("close:find:sent=1", 5, "connection-lost", name="closed in a list"),
    operation("silence:find:sent=1", 5, "stalled", name="silence in a list"),
    operation("half-pdu:find", 5, "stalled", name="half a PDU for an answer to a query"),
    operation("unknown-message:find", 1, PROTOCOL, name="a response to another message"),
    operation("wrong-level:find", 0, name="answers of another level"),
    operation("answer-flood:find:n=500", 0, name="a flood of answers"),
    operation("A702:get", 1, "operation-failed", name="retrievals run out of resources"),
    operation("A702:get:sent=2", 0, name="retrievals run out of resources half-way"),
    operation("C000:get", 1, "operation-failed", name="retrievals fail"),
    operation("A801:get", 1, "operation-failed", name="a status of another operation"),
    operation("abort:get", 5, "association-aborted", name="A-ABORT for a retrieval"),
    operation("abort:get:sent=1", 0, name="A-ABORT after each instance"),
    operation("close:get:sent=1", 0, name="closed after each instance"),
    operation("pdu-length:get", 1, PROTOCOL, name="a PDU of length 0 for a retrieval"),
    operation("unknown-message:get", 1, PROTOCOL, name="a response to nobody's retrieval"),
    operation("ends-twice:get", 1, "incomplete", PROTOCOL, name="done before anything was sent"),
    operation("miscount:by=4", 0, name="counters that lie"),
    operation("unlisted", 0, name="no list of what failed"),
    operation("stop-at-first", 0, name="an archive that gives up, without a reason to"),
    operation("pending-flood:n=2000", 0, name="a flood of pending responses"),
    operation("window", 0, name="requests without waiting for answers"),
    move("A801:move", 1, "operation-failed", name="unknown destination", words="AE title"),
    move("A702:move", 1, "operation-failed", name="out of resources"),
    move("A702:move:sent=2", 0, name="out of resources half-way"),
    move("abort:move", 5, "association-aborted", name="A-ABORT for a retrieval"),
    move("abort:move:sent=1", 0, name="A-ABORT after each instance"),
    move("silence:move", 5, "stalled", name="silence for a retrieval"),
    move("unknown-message:move", 0, name="a response to nobody's retrieval"),
    move("miscount:move:by=4", 0, name="counters that lie"),
    move("pending-flood:move:n=1000", 0, name="a flood of pending responses"),
    move(
        "abort:suboperation",
        *(1, "operation-failed"),
        name="the archive aborts whatever it sends",
        most=100,
    ),
    move("close:suboperation:nth=3", 0, name="the archive's connection to us breaks"),
]


@dataclass(frozen=True, slots=True)
class Ends:
    """Two runs into two folders."""

    for_good: Told
    once: Told


@pytest.fixture(scope="module")
def ends(
    request: pytest.FixtureRequest,
    portal: BlockingPortal,
    pool: ThreadPoolExecutor,
    tmp_path_factory: Any,
) -> Iterator[Runs[Operation, Ends]]:
    def perform(case: Operation) -> Ends:
        folders = [tmp_path_factory.mktemp("ends") for _ in range(2)]
        once = f"{case.fault},times=1" if "=" in case.fault else f"{case.fault}:times=1"
        words, query, options = moving(free_port()) if case.by_move else ((), "", {})
        words = (*words, "--timeout", patience_with(case.fault))
        with dimse_mock(portal, STUDY, **options) as mock:
            mock.set_faults(case.fault)
            for_good = get(mock, STUDY, folders[0], *words, query=query)
            mock.set_faults(once)
            return Ends(for_good, get(mock, STUDY, folders[1], *words, query=query))

    with Runs.of_module(request, Operation, perform, pool) as runs:
        yield runs


def moving(port: int) -> tuple[tuple[str, ...], str, dict[str, Any]]:
    """Return options, the end of the URL, and what the archive has to know, for a C-MOVE."""
    words = ("--move-port", str(port), "--move-aet", "MOVER")
    return words, "?retrieve=move", {"destinations": {"MOVER": ("127.0.0.1", port)}}


@pytest.mark.parametrize("case", OPERATIONS)
def test_nothing_is_asked_for_again_and_again(ends: Runs[Operation, Ends], case: Operation) -> None:
    for told in (ends[case].for_good, ends[case].once):
        retrievals = [one for one in told.requests if one.kind in ("get", "move")]
        assert len(retrievals) <= case.most


@pytest.mark.parametrize("case", OPERATIONS)
def test_an_operation_that_fails_for_good_is_told(
    ends: Runs[Operation, Ends], case: Operation
) -> None:
    told = ends[case].for_good
    assert told.done.code == case.code, told.done.err
    assert told.reasons <= case.reasons
    assert bool(told.reasons) == bool(case.code)
    assert case.words in told.done.err
    if case.code == 0:
        assert told.there == set(STUDY.instances)
    if case.code == 5:
        assert told.there == set()


@pytest.mark.parametrize("case", OPERATIONS)
def test_an_operation_that_fails_once_is_tried_again_where_that_helps(
    ends: Runs[Operation, Ends], case: Operation
) -> None:
    told = ends[case].once
    assert told.done.code == case.once, told.done.err
    if case.once == 0:
        assert told.there == set(STUDY.instances)


def test_a_permanent_rejection_is_not_tried_again(ends: Runs[Operation, Ends]) -> None:
    told = ends[OPERATIONS[0].values[0]].for_good
    assert [one.kind for one in told.requests] == ["association"]


# Archives that give up


def test_an_archive_that_gives_up_at_one_instance_gives_all_others(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with dimse_mock(portal, STUDY, "stop-at-first", f"fail:suboperation:path=*/{VICTIM}") as mock:
        told = get(mock, STUDY, tmp_path)
    assert told.done.code == 1
    assert set(told.failed) == {VICTIM}
    assert told.there == set(STUDY.instances) - {VICTIM}


def test_counters_that_lie_do_not_make_a_study_complete(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    lost = [f"lose:suboperation:path=*/{uid}" for uid in STUDY.instances[1::2]]
    with dimse_mock(portal, STUDY, *lost) as mock:
        first = get(mock, STUDY, tmp_path)
        mock.set_faults()
        second = get(mock, STUDY, tmp_path)
    assert first.done.code == 1
    assert set(first.failed) == set(STUDY.instances[1::2])
    assert first.reasons == {"incomplete"}
    assert second.done.code == 0
    asked = [one.path.rpartition("/")[2] for one in sub_operations(second.requests)]
    assert sorted(asked) == sorted(STUDY.instances[1::2])


def test_failures_without_a_list_are_found_all_the_same(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with dimse_mock(portal, STUDY, "unlisted", f"fail:suboperation:path=*/{VICTIM}") as mock:
        told = get(mock, STUDY, tmp_path)
    assert set(told.failed) == {VICTIM}
    assert VICTIM in told.done.err


# All faults at once


@dataclass(frozen=True, slots=True)
class Way:
    """How instances travel."""

    engine: str
    retrieve: str


WAYS = [
    pytest.param(Way(engine, retrieve), id=f"{engine}, C-{retrieve.upper()}")
    for engine in ("native", "pynetdicom")
    for retrieve in ("get", "move")
]
PARADE = [one.values[0] for one in ROWS]
PARADE_STUDY = DimseTruth(series=2, instances=len(PARADE) // 2 + 3, rows=8)


@pytest.fixture(scope="module")
def parades(
    request: pytest.FixtureRequest,
    portal: BlockingPortal,
    pool: ThreadPoolExecutor,
    tmp_path_factory: Any,
) -> Iterator[Runs[Way, Told]]:
    victims = dict(zip(PARADE_STUDY.instances, PARADE, strict=False))
    faults = [case.of(f"path=*/{uid}") for uid, case in victims.items()]

    def perform(way: Way) -> Told:
        folder = tmp_path_factory.mktemp("parade")
        words, query, options = moving(free_port()) if way.retrieve == "move" else ((), "", {})
        with dimse_mock(portal, PARADE_STUDY, *faults, **options) as mock:
            words = ("--dimse-engine", way.engine, "--timeout", IMPATIENT_S, *words)
            return get(mock, PARADE_STUDY, folder, *words, query=query)

    with Runs.of_module(request, Way, perform, pool) as runs:
        yield runs


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", WAYS)
def test_each_way_stores_what_is_whole_and_names_what_is_not(
    parades: Runs[Way, Told], case: Way
) -> None:
    told = parades[case]
    damaged = {uid for uid, row in zip(PARADE_STUDY.instances, PARADE, strict=False) if row.reasons}
    assert told.done.code == 1
    assert set(told.failed) == damaged
    assert told.there == set(PARADE_STUDY.instances) - damaged


# Files that are there


def test_no_fault_touches_a_file_that_is_there(portal: BlockingPortal, tmp_path: Path) -> None:
    with dimse_mock(portal, STUDY) as mock:
        get(mock, STUDY, tmp_path)
        assert sub_operations(get(mock, STUDY, tmp_path).requests) == []
        before = {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
        (tmp_path / "out" / f"{VICTIM}.dcm").unlink()
        for fault in ("abort", "close", "short-dataset", "hostile-uid", "other-uid"):
            mock.set_faults(f"{fault}:suboperation")
            told = get(mock, STUDY, tmp_path)
            assert set(told.failed) == {VICTIM}
    del before[f"{VICTIM}.dcm"]
    assert {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == before


def test_a_hostile_uid_leaves_nothing_outside_of_the_folder(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with dimse_mock(portal, STUDY, "hostile-uid:suboperation:uid=..%2F..%2Fx") as mock:
        inside = tmp_path / "a" / "b"
        inside.mkdir(parents=True)
        told = get(mock, STUDY, inside)
    assert told.there == set()
    assert set(files_below(tmp_path)) == {"a/b/report.jsonl"}


@pytest.mark.parametrize("throw", [1, 2])
def test_five_thousand_hostile_uids_leave_nothing_anywhere(
    portal: BlockingPortal, tmp_path: Path, throw: int
) -> None:
    study = DimseTruth(series=10, instances=255, rows=4)
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    with dimse_mock(portal, study, f"hostile-uid:suboperation:throw={throw}") as mock:
        told = get(mock, study, inside, "-r", "0")
    assert len(sub_operations(told.requests)) >= 5_000
    assert told.done.code == 1
    assert set(told.failed) == set(study.instances)
    assert set(files_below(tmp_path)) == {"a/b/report.jsonl"}


# Queries


@dataclass(frozen=True, slots=True)
class Query:
    """A fault of queries, and how `find` has to end."""

    fault: str
    code: int
    words: str = ""
    listed: int = 0
    """Studies on stdout, at least."""


def query(fault: str, code: int, words: str = "", *, name: str, listed: int = 0) -> Any:
    return pytest.param(Query(fault, code, words, listed), id=name)


LISTED = DimseTruth(series=1, instances=1, rows=8)

QUERIES = [
    query("late:find:s=0.1", 0, name="a pause", listed=3),
    query("wrong-level:find", 0, name="another level", listed=3),
    query("answer-flood:find:n=300", 0, name="a flood of answers", listed=3),
    query("reject", 5, "called AE title not recognized", name="wrong AE title"),
    query("refuse-contexts", 5, "offers none of the services", name="no context"),
    query("abort:association", 5, "abort", name="A-ABORT for an answer"),
    query("silence:association", 5, "nothing came", name="silence for an answer"),
    query("A700:find", 1, "A700", name="out of resources"),
    query("A900:find", 1, "A900", name="refused"),
    query("C000:find:sent=2", 1, "C000", name="a failure after two answers", listed=2),
    query("abort:find:sent=2", 1, "abort", name="A-ABORT after two answers", listed=2),
    query("close:find:sent=2", 1, "closed", name="closed after two answers", listed=2),
    query("silence:find:sent=2", 1, "nothing came", name="silence after two answers", listed=2),
    query("garbage-pdu:find", 1, "type 99", name="garbage"),
    query("pdu-length:find", 1, "without a PDV", name="a PDU of length 0"),
    query("oversize-pdu:find", 1, "were announced", name="a PDU above the maximum length"),
    query("pdv-length:find", 1, "does not fit", name="a PDV longer than its PDU"),
    query("unknown-context:find", 1, "which is none", name="a context that is none"),
    query("half-pdu:find", 5, "nothing came", name="half a PDU"),
    query("unknown-message:find", 1, "not sent", name="a response to another message"),
    query("ends-twice:find:sent=2", 0, name="done after two answers", listed=2),
]


@pytest.fixture(scope="module")
def queries(
    request: pytest.FixtureRequest, portal: BlockingPortal, pool: ThreadPoolExecutor
) -> Iterator[Runs[Query, Completed]]:
    study = DimseTruth(series=1, instances=1, rows=8)
    study.archive = type(study.archive)(type(study.archive.options)(studies=3, instances=1, rows=8))

    def perform(case: Query) -> Completed:
        with dimse_mock(portal, study, case.fault) as mock:
            patience = ("--timeout", patience_with(case.fault), "-r", "1")
            return cli("find", mock.url, "--format", "json", *patience)

    with Runs.of_module(request, Query, perform, pool) as runs:
        yield runs


@pytest.mark.parametrize("case", QUERIES)
def test_a_query_that_fails_is_told(queries: Runs[Query, Completed], case: Query) -> None:
    done = queries[case]
    assert done.code == case.code, done.err
    assert case.words in done.err
    assert "Traceback" not in done.err
    assert done.seconds < LONGEST_RUN_S
    studies = {uid_of(one) for one in json.loads(done.out or "[]")}
    assert len(studies) >= case.listed


def uid_of(answer: dict[str, Any]) -> str:
    uid: str = answer["0020000D"]["Value"][0]
    return uid
