"""`get` against every fault of the mock: what is damaged is named, and nothing else is lost.

Three kinds of runs, each of the real command against a real socket:

* the *story* of a fault: the answer for the study has it, and the answer for one
  instance, the victim, has it for good; then a second run in which it happens
  once; then a third one without it;
* all faults at once, one instance each, over every engine and HTTP version;
* faults while the study is looked up, and while it travels with other framings.
"""

from __future__ import annotations

import fnmatch
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.mock import ServerOptions, WebOptions
from asyncdicom.mock.messages import Framing
from asyncdicom.mock.registry import EFFECTS
from tests.e2e.support import (
    IMPATIENT_S,
    PATIENT_S,
    WORKERS,
    Completed,
    Runs,
    TruthStudy,
    assert_books_agree,
    assert_only_true_files,
    assert_speaks_plainly,
    cli,
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

STUDY = TruthStudy(series=2, instances=4, rows=64)

BROKEN_S = "5"
"""`--timeout` where an answer breaks off half-way. The engine gathers what 4 KiB/s bring in this
time before it hands anything on, and what it gathered is lost with the connection: here less
than half of the study, so that something is known to be there."""

NOWHERE = "https://127.0.0.1:1/dicom-web"
"""Nobody listens there; from http: it is no step down in safety."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a fault has to lead to."""

    fault: str
    """Name, or name and options."""
    reasons: frozenset[str] = frozenset()
    """Reasons with which the victim may be reported; none if the fault is harmless."""
    mended: bool = True
    """Whether a second try brings the victim: the fault speaks of the moment."""
    stops: bool = False
    """Whether a study that is answered so is not asked for instance by instance."""
    victim: int = -1
    """Which instance the fault is for: the one that the study's answer does not bring."""
    certain: bool = True
    """Whether each engine sees it: what comes whole before the fault may be kept."""

    def of(self, kinds: str, *options: str) -> str:
        """Spell the fault for some kinds of requests."""
        name, _, own = self.fault.partition(":")
        told = ",".join(filter(None, (*options, own)))
        return f"{name}:{kinds}:{told}" if told else f"{name}:{kinds}"


def row(fault: str, *reasons: str, name: str, marks: Any = (), **settings: Any) -> Any:
    return pytest.param(Row(fault, frozenset(reasons), **settings), id=name, marks=marks)


LOST = ("connection-lost",)
STOPPED = {"stops": True}
REFUSED = {"mended": False}

ROWS = [
    row("truncate", "truncated", name="ends cleanly before the close delimiter"),
    row("truncate:at=0", "truncated", name="ends cleanly before anything"),
    row("cut", *LOST, name="connection closed in the middle"),
    row("cut:at=head", *LOST, **STOPPED, name="connection closed before the head"),
    row("reset", *LOST, name="TCP reset in the middle"),
    row("reset:at=head", *LOST, **STOPPED, name="TCP reset before the head"),
    row("stall", "stalled", name="silence in the middle"),
    row("stall:at=head", "stalled", **STOPPED, name="silence before the head"),
    row("goaway", *LOST, **STOPPED, name="GOAWAY before the head"),
    row("delay:s=0.1", name="a head that is late but comes"),
    row("delay:s=inf", "stalled", **STOPPED, name="a head that never comes"),
    row("drip:rate=20000", name="a slow body"),
    row("drip", "stalled", **STOPPED, certain=False, name="a body that trickles"),
    row("length", *LOST, "protocol-error", certain=False, name="Content-Length above the body"),
    row("length:by=-10", "truncated", *LOST, "protocol-error", name="Content-Length below it"),
    row("endless-header", "protocol-error", "limit-exceeded", *LOST, name="a head without end"),
    row("endless-part-header", "limit-exceeded", **REFUSED, name="a part header without end"),
    row("gzip-bomb:size=2e7", "limit-exceeded", **REFUSED, name="a gzip bomb"),
    row("html-200", "unexpected-content", **REFUSED, name="a login page with status 200"),
    row("empty", "truncated", "unexpected-content", name="200 without content"),
    row("redirect", "redirect-refused", **REFUSED, name="a redirect in a circle"),
    row(f"redirect:to={NOWHERE}", "unreachable", **STOPPED, name="a redirect to nowhere"),
    row("content-type", "unexpected-content", **REFUSED, name="another media type"),
    row("wrong-boundary", "truncated", name="another boundary than announced"),
    row("no-boundary", "protocol-error", name="no boundary announced"),
    row("missing-part", "protocol-error", name="a part is missing"),
    row("duplicate-part", name="a part comes twice"),
    row("short-part", "truncated", name="a part is short in a whole payload"),
    row("no-parts", "protocol-error", name="nothing but the close delimiter"),
    row("corrupt", "truncated", "protocol-error", name="a flipped bit breaks the structure"),
    row("preamble", name="text before and after the parts"),
    row("bare-lf", name="lines end with LF"),
    row("204", "unexpected-content", **REFUSED, name="204"),
    row("206", "incomplete", name="206"),
    row("400", "origin-error", **REFUSED, name="400"),
    row("401", "unauthorized", **REFUSED, **STOPPED, name="401"),
    row("403", "unauthorized", **REFUSED, **STOPPED, name="403"),
    row("404", "not-found", **REFUSED, name="404"),
    row("406", "not-acceptable", name="406"),
    row("410", "not-found", **REFUSED, name="410"),
    row("429", "throttled", name="429"),
    row("500", "origin-error", name="500"),
    row("503:retry-after=0", "throttled", name="503 with Retry-After"),
    row("wrong-uid:part=8", "uid-mismatch", name="a UID that nobody has"),
    row("wrong-uid", "uid-mismatch", victim=0, name="another instance's UID"),
]
WIRE_ROWS = [
    pytest.param(*one.values, id=one.id) for one in ROWS if one.id != "a body that trickles"
]
"""All but the one that takes half a minute where a trickle counts as progress."""


@dataclass(frozen=True, slots=True)
class Told:
    """One run of the command, and what it left."""

    done: Completed
    report: list[dict[str, Any]]
    requests: list[Recorded]
    there: frozenset[str] = frozenset()
    """Instances on disk afterwards."""

    @property
    def failed(self) -> dict[str, dict[str, Any]]:
        """Lines of the report that name a failure, by SOP Instance UID."""
        lines = [line for line in self.report if line["outcome"] == "failed"]
        return {line.get("instance", ""): line for line in lines}

    @property
    def retrieved(self) -> list[str]:
        """Paths of the requests for instances, in order."""
        return [r.path for r in self.requests if is_retrieval(r.path)]


def is_retrieval(path: str) -> bool:
    return any(
        fnmatch.fnmatchcase(path.removeprefix("/dicom-web/"), pattern) and path.count("/") == depth
        for pattern, depth in (
            ("studies/*", 3),
            ("studies/*/series/*", 5),
            ("studies/*/series/*/instances/*", 7),
        )
    )


def path_of(study: TruthStudy, instance: str) -> str:
    series = instance.rpartition(".")[0]
    return f"/dicom-web/studies/{study.uid}/series/{series}/instances/{instance}"


def get(mock: Mock, study: TruthStudy, folder: Path, *words: str) -> Told:
    """Run `get` with a report; check whatever holds for each run."""
    report, out = folder / "report.jsonl", folder / "out"
    done = cli(
        *("get", mock.url, "--study", study.uid, "-o", str(out), "--durability", "none"),
        *("--timeout", PATIENT_S, "--report", str(report), "-r", "1", *words),
    )
    lines = reading_report(report)
    told = Told(done, lines, mock.new_requests(), frozenset(assert_only_true_files(out, study)))
    assert_speaks_plainly(done)
    assert_books_agree(done, lines, out, study)
    assert done.seconds < LONGEST_RUN_S
    return told


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Share the workers between all runs here, the longest of which begin first."""
    with ThreadPoolExecutor(WORKERS) as pool:
        yield pool


# The story of each fault


@dataclass(frozen=True, slots=True)
class Story:
    """Three runs into one folder."""

    victim: str
    first: Told
    """The study's answer and the victim's have the fault, for good."""
    second: Told
    """What is asked for first has it once."""
    third: Told | None
    """No fault; None where the second has shown what it would show."""


@pytest.fixture(scope="module")
def stories(
    request: pytest.FixtureRequest,
    portal: BlockingPortal,
    pool: ThreadPoolExecutor,
    parades: Runs[Wire, Parade],
    tmp_path_factory: Any,
) -> Iterator[Runs[Row, Story]]:
    base = tmp_path_factory.mktemp("stories")

    def perform(case: Row) -> Story:
        victim = STUDY.instances[case.victim]
        folder = base / f"{ROWS_INDEX[case]}"
        folder.mkdir()
        with portal_mock(portal, STUDY) as mock:
            mock.set_faults(case.of("study"), case.of("instance", f"path=*/{victim}"))
            patience = ("--timeout", IMPATIENT_S if "stalled" in case.reasons else BROKEN_S)
            first = get(mock, STUDY, folder, "--granularity", "study", *patience)
            mock.set_faults(case.of("study+series+instance", "times=1"))
            second = get(mock, STUDY, folder, *patience)
            mock.set_faults()
            is_last = case.mended and case.fault not in RUN_THRICE
            return Story(victim, first, second, None if is_last else get(mock, STUDY, folder))

    with Runs.of_module(request, Row, perform, pool) as runs:
        yield runs


RUN_THRICE = ("truncate", "cut", "reset:at=head")
"""Of those that the second run mends."""

ROWS_INDEX: dict[Row, int] = {one.values[0]: index for index, one in enumerate(ROWS)}


def test_the_tables_cover_every_fault_of_the_mock() -> None:
    covered = {one.values[0].fault.partition(":")[0] for one in (*ROWS, *LOOKUPS)}
    assert set(EFFECTS) <= covered


@pytest.mark.parametrize("case", ROWS)
def test_what_is_damaged_is_named_with_a_reason(stories: Runs[Row, Story], case: Row) -> None:
    story = stories[case]
    failed = story.first.failed
    if not case.reasons:
        assert failed == {}
    elif case.stops:
        assert set(failed) == set(STUDY.instances)
    else:
        assert set(failed) == {story.victim}
    assert {line["reason"] for line in failed.values()} <= case.reasons


@pytest.mark.parametrize("case", ROWS)
def test_whatever_is_not_damaged_is_stored_whole(stories: Runs[Row, Story], case: Row) -> None:
    first = stories[case].first
    assert first.there == set(STUDY.instances) - set(first.failed)


@pytest.mark.parametrize("case", ROWS)
def test_no_fault_ends_in_exit_0_unless_everything_is_there(
    stories: Runs[Row, Story], case: Row
) -> None:
    expected = 0 if not case.reasons else 5 if case.stops else 1
    assert stories[case].first.done.code == expected


@pytest.mark.parametrize("case", ROWS)
def test_a_fault_that_happens_once_is_mended_or_named(stories: Runs[Row, Story], case: Row) -> None:
    second = stories[case].second
    if case.mended:
        assert second.done.code == 0
        assert second.there == set(STUDY.instances)
    else:
        assert second.done.code != 0
        assert second.failed


@pytest.mark.parametrize("case", ROWS)
def test_the_second_run_asks_only_for_what_is_missing(stories: Runs[Row, Story], case: Row) -> None:
    story = stories[case]
    if case.stops:
        asked = {f"/dicom-web/studies/{STUDY.uid}"}
    else:
        asked = {path_of(STUDY, story.victim)} if case.reasons else set()
    assert set(story.second.retrieved) == asked


@pytest.mark.parametrize(
    "case", [one for one in ROWS if not one.values[0].mended or one.values[0].fault in RUN_THRICE]
)
def test_the_third_run_completes_or_retrieves_nothing(stories: Runs[Row, Story], case: Row) -> None:
    third = stories[case].third
    assert third is not None
    assert third.done.code == 0
    assert third.there == set(STUDY.instances)
    assert bool(third.retrieved) == (not case.mended)


# All faults at once, over every engine


@dataclass(frozen=True, slots=True)
class Wire:
    """How the bytes travel."""

    engine: str
    tls: bool = False
    workers: int = 4
    """One at a time where faults of a connection would hit its other streams."""


@dataclass(frozen=True, slots=True)
class Parade:
    """Two runs in which each instance has its own fault."""

    permanent: Told
    once: Told


WIRES = [
    pytest.param(Wire("pyreqwest", tls=True, workers=1), id="pyreqwest over HTTP2"),
    pytest.param(Wire("httpx", tls=True, workers=1), id="httpx over HTTP2"),
    pytest.param(Wire("pyreqwest"), id="pyreqwest over HTTP1.1"),
    pytest.param(Wire("httpx"), id="httpx over HTTP1.1"),
    pytest.param(Wire("aiohttp"), id="aiohttp over HTTP1.1"),
]

MANY = TruthStudy(series=1, instances=len(WIRE_ROWS) + 3, rows=16)
"""An instance for each fault that can be met on the wire, and three that meet none."""

INSTANCE_OF: dict[Row, str] = {}
for _param, _uid in zip(WIRE_ROWS, MANY.instances, strict=False):
    _row = _param.values[0]
    assert isinstance(_row, Row)
    INSTANCE_OF[_row] = _uid


@pytest.fixture(scope="module")
def parades(
    request: pytest.FixtureRequest,
    portal: BlockingPortal,
    pool: ThreadPoolExecutor,
    tmp_path_factory: Any,
) -> Iterator[Runs[Wire, Parade]]:
    base = tmp_path_factory.mktemp("parades")

    def perform(case: Wire) -> Parade:
        folder = base / f"{case.engine}-{case.tls}"
        folder.mkdir()
        every = [(one, f"path=*/{uid}") for one, uid in INSTANCE_OF.items()]
        words = ["--http-engine", case.engine, "-c", str(case.workers)]
        words += ["--granularity", "instance", "--timeout", IMPATIENT_S]
        with portal_mock(portal, MANY, tls=case.tls) as mock:
            if case.tls:
                words += ["--cacert", str(mock.ca_file)]
            mock.set_faults(*(one.of("instance", path) for one, path in every))
            permanent = get(mock, MANY, folder, *words, "-r", "0")
            mock.set_faults(*(one.of("instance", path, "times=1") for one, path in every))
            return Parade(permanent, get(mock, MANY, folder, *words))

    with Runs.of_module(request, Wire, perform, pool) as runs:
        yield runs


@pytest.mark.parametrize("case", WIRES)
def test_the_wire_is_the_one_that_is_meant(parades: Runs[Wire, Parade], case: Wire) -> None:
    versions = {request.http_version for request in parades[case].permanent.requests}
    assert versions == {"2" if case.tls else "1.1"}


@pytest.mark.parametrize("case", WIRES)
@pytest.mark.parametrize("fault", WIRE_ROWS)
def test_every_engine_catches_every_fault(
    parades: Runs[Wire, Parade], case: Wire, fault: Row
) -> None:
    permanent = parades[case].permanent
    line = permanent.failed.get(INSTANCE_OF[fault])
    if fault.certain:
        assert (line is not None) == bool(fault.reasons)
    assert line is None or line["reason"] in fault.reasons


@pytest.mark.parametrize("case", WIRES)
def test_nobody_pays_for_the_faults_of_others(parades: Runs[Wire, Parade], case: Wire) -> None:
    guilty = {uid for one, uid in INSTANCE_OF.items() if one.reasons}
    permanent = parades[case].permanent
    assert set(permanent.failed) <= guilty
    assert permanent.there == set(MANY.instances) - set(permanent.failed)


@pytest.mark.parametrize("case", WIRES)
def test_every_engine_mends_what_happens_once(parades: Runs[Wire, Parade], case: Wire) -> None:
    expected = {uid for one, uid in INSTANCE_OF.items() if one.reasons and not one.mended}
    once = parades[case].once
    assert set(once.failed) == expected
    assert once.there == set(MANY.instances) - expected


# Faults while the study is looked up, and other levels and framings


@dataclass(frozen=True, slots=True)
class Lookup:
    """A single run: faults that are there for good, and how it has to end."""

    fault: str
    code: int
    reason: str = ""
    """Of the failure that is named; none if everything has to be there."""
    words: tuple[str, ...] = ()
    framing: Framing = field(default=Framing.AUTO)
    gzip: bool = True
    """Whether JSON is compressed; the mock changes UIDs in plain JSON only."""
    damaged: int = 0
    """How many instances are named as failed; 0: the study, or nobody."""


def lookup(fault: str, code: int, reason: str = "", *words: str, name: str, **more: Any) -> Any:
    return pytest.param(Lookup(fault, code, reason, words, **more), id=name)


BY_SEARCH = ("--expect", "search", "--granularity", "instance")
BY_METADATA = ("--expect", "metadata")
SERIES = ("--granularity", "series")
CLOSE = {"framing": Framing.CLOSE}

LOOKUPS = [
    lookup("truncate:search", 0, name="a cut search is made up for by the metadata"),
    lookup("truncate:search", 1, "truncated", *BY_SEARCH, name="a cut search that has to do"),
    lookup("truncate:search+metadata", 1, "truncated", name="search and metadata are cut"),
    lookup("204:search", 0, name="a search that denies a study with metadata"),
    lookup("empty:search", 0, name="a search that is answered with nothing"),
    lookup("204:search", 4, "not-found", *BY_SEARCH, name="a search that finds nothing"),
    lookup("404:search+metadata", 4, "not-found", name="a study that does not exist"),
    lookup("500:search", 0, name="a search that fails"),
    lookup("500:search+metadata", 1, "origin-error", name="search and metadata fail"),
    lookup("401:search", 5, "unauthorized", name="a search that wants credentials"),
    lookup("html-200:any", 5, "unexpected-content", name="login pages everywhere"),
    lookup("reset:any:at=head", 5, "connection-lost", name="resets everywhere"),
    lookup("stall:any:at=head", 5, "stalled", name="silence everywhere"),
    lookup("gzip-bomb:search+metadata:size=2e7", 1, "protocol-error", name="bombs for JSON"),
    lookup("cap:search:n=3", 0, "", *BY_SEARCH, name="pages capped without a word"),
    lookup("warning:search:n=3", 1, "incomplete", *BY_SEARCH, name="pages capped with a warning"),
    lookup("short-pages:search", 0, "", *BY_SEARCH, name="pages half empty"),
    lookup("ignore-offset:search", 1, "incomplete", *BY_SEARCH, name="the offset is ignored"),
    lookup("ignore-offset:search", 0, name="the offset is ignored, and metadata decide"),
    lookup("repeat-pages:search", 1, "incomplete", *BY_SEARCH, name="pages are repeated"),
    lookup("wrong-uid:search", 0, gzip=False, name="the search names an instance twice"),
    lookup("truncate:metadata", 1, "truncated", *BY_METADATA, name="cut metadata"),
    lookup("cut:metadata", 5, "connection-lost", *BY_METADATA, name="metadata breaks off"),
    lookup("206:metadata", 1, "incomplete", *BY_METADATA, name="some of the metadata"),
    lookup("404:metadata", 4, "not-found", *BY_METADATA, name="no metadata"),
    lookup("truncate:series+instance", 1, "truncated", *SERIES, damaged=2, name="cut series"),
    lookup("missing-part:series", 0, "", *SERIES, name="a series lacks an instance"),
    lookup("wrong-boundary:series", 0, "", *SERIES, name="series with another boundary"),
    lookup("reset:series:nth=1", 0, "", *SERIES, name="the first series is reset"),
    lookup("404:series", 0, "", *SERIES, name="series are not served"),
    lookup("truncate:study+instance", 1, "truncated", **CLOSE, damaged=1, name="cut, then closed"),
    lookup("truncate:study+instance:at=0", 1, "truncated", **CLOSE, damaged=8, name="just closed"),
    lookup("truncate:study:parts=3", 0, "", **CLOSE, name="closed after three parts"),
    lookup("short-part:study+instance", 1, "truncated", **CLOSE, damaged=1, name="short, closed"),
    lookup("truncate:search+metadata", 1, "truncated", **CLOSE, name="JSON closed early"),
    lookup("preamble:any", 0, "", **CLOSE, name="everything whole and closed"),
]


@pytest.fixture(scope="module")
def lookups(
    request: pytest.FixtureRequest,
    portal: BlockingPortal,
    pool: ThreadPoolExecutor,
    stories: Runs[Row, Story],
    tmp_path_factory: Any,
) -> Iterator[Runs[Lookup, Told]]:
    base = tmp_path_factory.mktemp("lookups")

    def perform(case: Lookup) -> Told:
        folder = base / f"{abs(hash(case))}"
        folder.mkdir()
        options = ServerOptions(framing=case.framing)
        web = WebOptions(gzip=case.gzip)
        with portal_mock(portal, STUDY, case.fault, options=options, web=web) as mock:
            return get(mock, STUDY, folder, *case.words, "--timeout", patience_for([case.reason]))

    with Runs.of_module(request, Lookup, perform, pool) as runs:
        yield runs


@pytest.mark.parametrize("case", LOOKUPS)
def test_a_doubtful_list_is_never_taken_for_a_study(
    lookups: Runs[Lookup, Told], case: Lookup
) -> None:
    told = lookups[case]
    assert told.done.code == case.code
    assert {line["reason"] for line in told.failed.values()} == ({case.reason} - {""})
    if case.code == 0:
        assert told.there == set(STUDY.instances)
    elif case.damaged:
        assert len(told.failed) == case.damaged
        assert "" not in told.failed
    else:
        assert told.there == frozenset()


# What the peers got wrong (field/peers.md §3)


def test_a_last_part_that_is_1000_bytes_short_is_not_stored(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_mock(portal, STUDY) as mock:
        whole = sum(len(content) for content in STUDY.files.values())
        mock.set_faults(f"truncate:study:at={whole - 1000}", f"404:path=*/{STUDY.instances[-1]}")
        told = get(mock, STUDY, tmp_path, "--granularity", "study")
    assert told.done.code == 1
    assert STUDY.instances[-1] in told.failed
    assert STUDY.instances[-1] not in told.there


def test_a_last_part_that_is_never_sent_is_missed(portal: BlockingPortal, tmp_path: Path) -> None:
    faults = ("truncate:study:parts=7", f"404:path=*/{STUDY.instances[-1]}")
    with portal_mock(portal, STUDY, *faults) as mock:
        told = get(mock, STUDY, tmp_path, "--granularity", "study")
    assert told.done.code == 1
    assert set(STUDY.instances) - told.there == set(told.failed)


def test_parts_in_one_chunk_are_all_stored_and_no_credentials_are_invented(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_mock(portal, STUDY) as mock:
        told = get(mock, STUDY, tmp_path, "--granularity", "study")
    assert told.done.code == 0
    names = {name.lower() for request in told.requests for name, _ in request.headers}
    assert "authorization" not in names


@pytest.mark.parametrize("durability", ["none", "batch"])
def test_of_two_instances_under_one_uid_none_is_kept_unproven(
    portal: BlockingPortal, tmp_path: Path, durability: str
) -> None:
    claimed = STUDY.instances[1]
    faults = ("wrong-uid:study", f"404:instance:path=*/{claimed}")
    words = ("--granularity", "study", "--durability", durability)
    with portal_mock(portal, STUDY, *faults) as mock:
        told = get(mock, STUDY, tmp_path, *words)
        assert told.done.code == 1
        assert claimed in told.failed
        mock.set_faults()
        assert get(mock, STUDY, tmp_path, *words).there == set(STUDY.instances)


@pytest.mark.parametrize("engine", ["pyreqwest", "httpx", "aiohttp"])
def test_a_small_answer_that_is_always_cut_is_asked_for_in_parts(
    portal: BlockingPortal, tmp_path: Path, engine: str
) -> None:
    # Engines may gather some of a body, and lose it with the connection.
    small = TruthStudy(series=1, instances=4, rows=8)
    with portal_mock(portal, small, "cut:study") as mock:
        told = get(mock, small, tmp_path, "--granularity", "study", "--http-engine", engine)
    assert told.done.code == 0
    assert told.there == set(small.instances)
