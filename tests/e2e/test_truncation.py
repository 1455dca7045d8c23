"""An answer cut at every byte, however its framing ends: `get`, `dump` and `find` never believe it.

What the framing shows of a cut, and what it hides:

* shown: Content-Length, chunked, HTTP/2 without END_STREAM. The transport raises
  `ConnectionLost` (tests/transports), and so do the scripts here.
* hidden: a body that ends with its connection, and in pyreqwest 0.15 RST_STREAM(NO_ERROR)
  behind a head without Content-Length. The body just ends.

In between stands whatever a real socket does: the same cuts, at the places that matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import AsyncDicomError, ConnectionLost, Doubtful, FetchError
from asyncdicom.events import Finished
from asyncdicom.jobs.dump import DumpJob, DumpOptions
from asyncdicom.jobs.dump_plan import DumpTask
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.jobs.get import GetJob, GetOptions, GetTask
from asyncdicom.jobs.instance_store import InstanceStore
from asyncdicom.jobs.intake import WebRetriever
from asyncdicom.jobs.lookup import Lookup
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Failed, Resource, Target, Uid
from asyncdicom.policy.granularity import Granularity
from asyncdicom.protocol.urls import Root
from asyncdicom.sources.dicomweb import DicomWebSource
from asyncdicom.sources.search import search_instances
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.templates import parse_layout
from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.settings import TransportSettings
from tests.e2e.support import files_below
from tests.support.dicom import ct, uid
from tests.support.origin import Close, Send, open_origin
from tests.support.origin_h2 import (
    INTERNAL_ERROR,
    NO_ERROR,
    Data,
    GoAway,
    H2Speaker,
    Head,
    RstStream,
)
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from asyncdicom.events import Event
    from asyncdicom.ports.http import HttpTransport
    from tests.support.origin import Step

pytestmark = pytest.mark.anyio

one_loop = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")]
)
"""Thousands of cuts: what loops have to do with them, smaller tests show on both."""

ROOT = "http://archive.test/dicom-web"
STUDY, SERIES = Uid(uid("study", 1)), Uid(uid("series", 1))
INSTANCES = {Uid(uid("instance", n)): ct(number=n, rows=2, columns=2) for n in (1, 2, 3)}
WHOLE_STUDY = Target(Resource.STUDY, STUDY)

MULTIPART = 'multipart/related; type="application/dicom"; boundary=b1'


def multipart(contents: Iterable[bytes], content_type: bytes) -> bytes:
    """Return parts in a payload, each with its header."""
    head = b"--b1\r\nContent-Type: " + content_type + b"\r\n\r\n"
    return b"".join(head + content + b"\r\n" for content in contents) + b"--b1--\r\n"


PAYLOAD = multipart(INSTANCES.values(), b"application/dicom")
CLOSES_AT = len(PAYLOAD) - 2
"""The line end behind the close delimiter belongs to the epilogue (RFC 2046 §5.1.1)."""

ENDS_OF_PARTS = [
    match.end() if match.group(1) == b"\r\n" else match.start(1) + 2
    for match in re.finditer(rb"\r\n--b1(\r\n|--)", PAYLOAD)
]
"""Where the delimiter behind each part has been read: from there on it is known to be whole."""

ENDINGS = [
    pytest.param((), id="hidden by the framing"),
    pytest.param((ConnectionLost("cut"),), id="shown by the framing"),
]


def known_whole(at: int, *, ends_cleanly: bool = True) -> set[str]:
    """Return the instances that an answer cut there proves.

    The close delimiter ends with its line, or with the body.
    """
    *ends, last = ENDS_OF_PARTS
    known = (*ends, last if ends_cleanly else len(PAYLOAD))
    return {one for one, end in zip(INSTANCES, known, strict=True) if end <= at}


def answer(
    body: bytes, ending: tuple[ConnectionLost, ...], content_type: str = MULTIPART
) -> ScriptedAnswer:
    return ScriptedAnswer(200, (("content-type", content_type),), [body, *ending])


class KnownStudy(Lookup):
    """Knows the three instances without asking."""

    async def expectation_of(self, target: Target) -> Expectation:
        found = Expectation(target.study_instance_uid)
        for instance in INSTANCES:
            found.expect(instance, SERIES)
        return found


@dataclass
class Getting:
    """A get of the study into a folder, for as many answers as there are."""

    folder: OutputFolder
    root: Path

    async def get(self, transport: HttpTransport, root_url: str = ROOT) -> Shown:
        """Ask for the study once; return what was stored, and what is known to be missing."""
        told: list[Event] = []
        tally = Tally([told.append])
        source = DicomWebSource(Root(root_url), transport)
        async with InstanceStore(self.folder, Layout(parse_layout("flat"))) as store:
            options = GetOptions(granularity=Granularity.STUDY)
            job = GetJob(WebRetriever(source), KnownStudy(source), store, tally, options)
            assert [str(t) for t in await job.perform(GetTask(WHOLE_STUDY, is_lookup=True), 1)]
            task = GetTask(WHOLE_STUDY)
            try:
                again = list(await job.perform(task, 1))
            except AsyncDicomError as error:
                # Either it asks for them one by one, or it names them as failed.
                again = list(job.give_up(task, error, 1))
        outcomes = [event.outcome for event in told if isinstance(event, Finished)]
        failed = [outcome.target for outcome in outcomes if isinstance(outcome, Failed)]
        named = {str(t.sop_instance_uid) for t in (*failed, *(task.target for task in again))}
        return Shown(self._take_files(), named)

    async def get_alone(self, scripted: ScriptedAnswer) -> int:
        """Ask for one instance twice; return how many files there are."""
        source = DicomWebSource(Root(ROOT), always(scripted))
        async with InstanceStore(self.folder, Layout(parse_layout("flat"))) as store:
            job = GetJob(WebRetriever(source), KnownStudy(source), store, Tally(), GetOptions())
            await job.perform(GetTask(WHOLE_STUDY, is_lookup=True), 1)
            for attempt in (1, 2):
                with contextlib.suppress(Doubtful):
                    await job.perform(GetTask(INSTANCE), attempt)
        return len(files_below(self.root))

    def _take_files(self) -> set[str]:
        found = set()
        for name, content in files_below(self.root).items():
            instance = Uid(name.removesuffix(".dcm"))
            assert content == INSTANCES[instance]
            found.add(str(instance))
            (self.root / name).unlink()
        return found


@dataclass(frozen=True)
class Shown:
    """How a get ended."""

    stored: set[str]
    missing: set[str]
    """Asked for again, or named as failed."""


@pytest.fixture
def getting(tmp_path: Path) -> Iterator[Getting]:
    with OutputFolder.open(tmp_path, durability=Durability.NONE) as folder:
        yield Getting(folder, tmp_path)


def always(scripted: ScriptedAnswer) -> ScriptedTransport:
    return ScriptedTransport(lambda _: scripted)


@one_loop
@pytest.mark.parametrize("ending", ENDINGS)
async def test_get_keeps_what_is_proven_and_misses_the_rest(
    getting: Getting, ending: tuple[ConnectionLost, ...]
) -> None:
    for at in range(len(PAYLOAD)):
        proven = known_whole(at, ends_cleanly=not ending)
        shown = await getting.get(always(answer(PAYLOAD[:at], ending)))
        assert shown.stored == proven, at
        assert shown.missing == set(INSTANCES) - proven, at


@one_loop
async def test_a_cut_is_noticed_up_to_the_close_delimiter(getting: Getting) -> None:
    assert (await getting.get(always(answer(PAYLOAD[:CLOSES_AT], ())))).missing == set()
    assert (await getting.get(always(answer(PAYLOAD[: CLOSES_AT - 1], ())))).missing != set()


SINGLE = next(iter(INSTANCES))


@one_loop
@pytest.mark.parametrize("ending", ENDINGS)
async def test_get_believes_no_cut_instance_that_comes_alone(
    getting: Getting, ending: tuple[ConnectionLost, ...]
) -> None:
    content = INSTANCES[SINGLE]
    for at in range(len(content)):
        shown = await getting.get(always(answer(content[:at], ending, "application/dicom")))
        assert shown.stored == set(), at
        assert shown.missing == set(INSTANCES), at


# dump: no file, and a reason


FRAME = Target(Resource.FRAME, STUDY, SERIES, SINGLE, 1)
METADATA = Target(Resource.METADATA, STUDY)
INSTANCE = Target(Resource.INSTANCE, STUDY, SERIES, SINGLE)
JSON = b'[{"0020000D":{"vr":"UI","Value":["1.2"]}},\n {"00100010":{"vr":"PN","Value":["a]"]}}]'
OCTETS = 'multipart/related; type="application/octet-stream"; boundary=b1'
FRAME_BODY = multipart([b"0123\r\n--b1x--567"], b"application/octet-stream")

INSTANCE_BODY = multipart([INSTANCES[SINGLE]], b"application/dicom")


@dataclass(frozen=True)
class Dumped:
    """What is asked for, and what comes."""

    target: Target
    body: bytes
    content_type: str
    needed: int
    """Bytes without which it is not whole."""


DUMPED = [
    pytest.param(Dumped(METADATA, JSON, "application/dicom+json", len(JSON)), id="metadata"),
    pytest.param(Dumped(FRAME, FRAME_BODY, OCTETS, len(FRAME_BODY) - 2), id="frame"),
    pytest.param(Dumped(INSTANCE, INSTANCE_BODY, MULTIPART, len(INSTANCE_BODY) - 2), id="instance"),
    pytest.param(
        Dumped(INSTANCE, INSTANCES[SINGLE], "application/dicom", len(INSTANCES[SINGLE])),
        id="instance that comes alone",
    ),
]


@one_loop
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", DUMPED)
async def test_dump_leaves_no_file_of_a_cut_answer(
    tmp_path: Path, case: Dumped, ending: tuple[ConnectionLost, ...]
) -> None:
    with OutputFolder.open(tmp_path, durability=Durability.NONE) as folder:
        for at in range(case.needed):
            transport = always(answer(case.body[:at], ending, case.content_type))
            source = DicomWebSource(Root(ROOT), transport)
            async with DumpJob.here(source, folder, Tally(), DumpOptions()) as job:
                with pytest.raises(FetchError):
                    await job.perform(DumpTask(case.target), 1)
    assert files_below(tmp_path) == {}


CUT_SHORT = INSTANCES[SINGLE][: INSTANCES[SINGLE].index(b"\xe0\x7f\x10\0OW")]
"""Ends where its pixels should begin: a whole data set, for all that its structure says."""


@one_loop
async def test_an_odd_instance_is_kept_only_if_its_framing_shows_that_it_is_whole(
    getting: Getting,
) -> None:
    headers = (("content-type", "application/dicom"), ("content-length", str(len(CUT_SHORT))))
    assert (await getting.get_alone(ScriptedAnswer(200, headers[:1], CUT_SHORT))) == 0
    assert (await getting.get_alone(ScriptedAnswer(200, headers, CUT_SHORT))) == 1


@one_loop
@pytest.mark.parametrize(
    ("headers", "version", "is_kept"),
    [
        pytest.param((("content-length", "9"),), "1.1", True, id="a length"),
        pytest.param((("transfer-encoding", "chunked"),), "1.1", True, id="chunks"),
        pytest.param((), "1.1", False, id="the end of the connection"),
        pytest.param((), "2", True, id="END_STREAM"),
    ],
)
async def test_what_shows_no_end_is_not_dumped(
    tmp_path: Path,
    headers: tuple[tuple[str, str], ...],
    version: str,
    is_kept: bool,  # noqa: FBT001 -- a column
) -> None:
    fields = (("content-type", "image/jpeg"), *headers)
    transport = always(ScriptedAnswer(200, fields, b"\xff\xd8 a jpeg", version))
    rendered = Target(Resource.RENDERED, STUDY, SERIES, SINGLE)
    with OutputFolder.open(tmp_path, durability=Durability.NONE) as folder:
        source = DicomWebSource(Root(ROOT), transport)
        async with DumpJob.here(source, folder, Tally(), DumpOptions()) as job:
            if is_kept:
                await job.perform(DumpTask(rendered), 1)
            else:
                with pytest.raises(Doubtful):
                    await job.perform(DumpTask(rendered), 1)
    assert bool(files_below(tmp_path)) == is_kept


@one_loop
@pytest.mark.parametrize("ending", ENDINGS)
async def test_find_believes_no_cut_list(ending: tuple[ConnectionLost, ...]) -> None:
    for at in range(1, len(JSON)):
        transport = always(answer(JSON[:at], ending, "application/dicom+json"))
        source = DicomWebSource(Root(ROOT), transport)
        with pytest.raises(FetchError):
            [one async for one in search_instances(source, WHOLE_STUDY)]


# The same over sockets


PLACES = sorted(
    {0, 1, len(PAYLOAD) // 2}
    | {end + step for end in ENDS_OF_PARTS for step in (-9, -3, -2, -1, 0, 1, 40)}
)
PLACES = [at for at in PLACES if at < len(PAYLOAD)]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: " + MULTIPART.encode() + b"\r\n"
H2_TYPE = (("content-type", MULTIPART),)
H2_LENGTH = (*H2_TYPE, ("content-length", str(len(PAYLOAD))))


def by_length(body: bytes) -> tuple[Step, ...]:
    return Send(HEAD + b"Content-Length: %d\r\n\r\n" % len(PAYLOAD) + body), Close()


def chunked(body: bytes) -> tuple[Step, ...]:
    chunks = [
        b"%x\r\n" % len(body[n : n + 700]) + body[n : n + 700] + b"\r\n"
        for n in range(0, len(body), 700)
    ]
    return Send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)), Close()


def by_closing(body: bytes) -> tuple[Step, ...]:
    return Send(HEAD + b"Connection: close\r\n\r\n" + body), Close()


def h2(*ending: Step, head: tuple[tuple[str, str], ...] = H2_TYPE) -> Framing:
    return lambda body: (Head(200, head), Data(body), *ending)


if TYPE_CHECKING:
    Framing = Callable[[bytes], tuple[Step, ...]]

FRAMINGS = [
    pytest.param(by_length, id="Content-Length"),
    pytest.param(chunked, id="chunked"),
    pytest.param(by_closing, id="ends with the connection"),
    pytest.param(h2(Close()), id="HTTP2: the connection ends"),
    pytest.param(h2(Data(b"", is_last=True)), id="HTTP2: END_STREAM too early"),
    pytest.param(h2(Data(b"", is_last=True), head=H2_LENGTH), id="HTTP2: short of its length"),
    pytest.param(h2(RstStream(INTERNAL_ERROR)), id="HTTP2: RST_STREAM"),
    pytest.param(h2(RstStream(NO_ERROR)), id="HTTP2: RST_STREAM(NO_ERROR)"),
    pytest.param(h2(GoAway(), Close()), id="HTTP2: GOAWAY, then the end"),
]


@pytest.mark.parametrize("engine", ["pyreqwest", "httpx"])
@pytest.mark.parametrize("framing", FRAMINGS)
@one_loop
async def test_over_sockets_nothing_is_believed_either(
    getting: Getting, framing: Framing, engine: str
) -> None:
    is_h2 = framing not in (by_length, chunked, by_closing)
    settings = TransportSettings(h2c=is_h2, http2=is_h2)
    transport = open_transport(engine, settings)
    async with open_origin(h2=H2Speaker if is_h2 else None) as origin:
        for at in PLACES:
            root = f"{origin.url()}{at}"
            origin.serve(f"/{at}/studies/{STUDY}", *framing(PAYLOAD[:at]))
            shown = await getting.get(transport, root)
            # An engine may drop what came with the cut; it may add nothing.
            assert shown.stored <= known_whole(at), at
            assert shown.missing == set(INSTANCES) - shown.stored, at
        await transport.aclose()
    await asyncio.sleep(0)
