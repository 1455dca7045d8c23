"""A wire: what it makes of a peer's bytes does not depend on how they came, nor on who answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import AsyncDicomError, ProtocolError
from asyncdicom.ports.dimse import DimseStatistics
from asyncdicom.protocol.dimse.messages import (
    CEchoRequest,
    CFindRequest,
    CGetResponse,
    CStoreRequest,
)
from asyncdicom.protocol.upper_layer.association import AssociationMachine
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal, Party, accept, propose
from asyncdicom.protocol.upper_layer.p_data import p_data
from asyncdicom.protocol.upper_layer.pdu import Abort, AnsweredContext, ReleaseRequest, encode
from asyncdicom.transports.associations.association import answer_store
from asyncdicom.transports.associations.wire import MAX_ANSWERS, PROGRESS_S, Arrived, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncdicom.model import Buffer
    from asyncdicom.transports.associations.connection import Connection

pytestmark = pytest.mark.anyio

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
MAX_PDU_BYTES = 4096


@dataclass
class Scripted:
    """In place of a connection: each chunk is what one read brings."""

    chunks: list[bytes]
    written: bytearray = field(default_factory=bytearray)
    failure: AsyncDicomError | None = None
    has_ended: bool = False
    is_within_message: bool = False
    is_writable: bool = True
    heard_s: float = 0.0
    """Moves on by `gap_s` with each chunk."""
    gap_s: float = 0.0
    taken: int = 0

    @property
    def holds_more(self) -> bool:
        return bool(self.chunks) and self.taken == 0

    def take(self) -> memoryview | None:
        if not self.holds_more:
            self.taken = 0
            return None
        self.taken = 1
        self.heard_s += self.gap_s
        # Earlier views are overwritten, as the buffer of a connection is.
        return memoryview(bytearray(self.chunks.pop(0)))

    async def arrival(self, advance: Callable[[], Arrived | None]) -> Arrived:
        while (arrived := advance()) is None:
            self.has_ended = not self.chunks
        return arrived

    def write(self, parts: Sequence[Buffer]) -> None:
        self.written += b"".join(parts)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def begin_message(self) -> None:
        """Have no timer."""

    def fail(self, failure: AsyncDicomError) -> None:
        self.failure = self.failure or failure

    close = cut = begin_message


@dataclass
class Sink:
    """Keeps a data set, and answers with a status that depends on it."""

    whole: list[tuple[CStoreRequest, bytes]]
    request: CStoreRequest
    is_prompt: bool
    data: bytearray = field(default_factory=bytearray)
    is_discarded: bool = False

    def write(self, *fragments: Buffer) -> None:
        for fragment in fragments:
            self.data += fragment

    def end_nowait(self) -> int | None:
        return self._end() if self.is_prompt else None

    async def end(self) -> int:
        await asyncio.sleep(0)
        return self._end()

    def discard(self) -> None:
        self.is_discarded = True

    def _end(self) -> int:
        self.whole.append((self.request, bytes(self.data)))
        return len(self.data) % 2 * 0xA900


@dataclass
class Way:
    """How messages are read and answered."""

    is_prompt: bool
    """Whether sinks end without waiting."""
    reads_whole: bool = True
    """Whether messages that came whole are read at once."""


WAYS = (Way(is_prompt=False, reads_whole=False), Way(is_prompt=True, reads_whole=False))
FAST = (Way(is_prompt=True), Way(is_prompt=False))


class OneByOne(AssociationMachine):
    """Tells each event."""

    @property
    def data_reader(self) -> None:
        """Let nobody take several at once."""


def established(kind: type[AssociationMachine] = AssociationMachine) -> AssociationMachine:
    """Return an acceptor's machine with contexts 1 and 3."""
    machine = kind(is_requestor=False)
    machine.connected()
    asked = propose(
        [ContextProposal(CT, (EXPLICIT,)), ContextProposal("1.2.840.10008.1.1", (EXPLICIT,))],
        Party("A", "B", 16384),
    )
    machine.receive_data(encode(asked))
    machine.next_event()
    answers = [AnsweredContext(number, 0, EXPLICIT) for number in (1, 3)]
    machine.accept(accept(asked, answers, max_pdu_bytes=MAX_PDU_BYTES))
    machine.data_to_send()
    return machine


def wire_on(
    connection: Scripted, machine: AssociationMachine, statistics: DimseStatistics | None = None
) -> Wire:
    counters = statistics or DimseStatistics()
    return Wire(cast("Connection", connection), machine, origin="dicom:", statistics=counters)


@dataclass
class Seen:
    """All that a wire did."""

    stored: list[tuple[CStoreRequest, bytes]] = field(default_factory=list)
    others: list[object] = field(default_factory=list)
    failure: str = ""
    written: bytes = b""
    discarded: int = 0
    messages: int = 0


async def serve(chunks: list[bytes], way: Way) -> Seen:
    """Let a wire read and answer all chunks."""
    seen, statistics, sinks = Seen(), DimseStatistics(), list[Sink]()
    connection = Scripted(list(chunks))
    machine = established(AssociationMachine if way.reads_whole else OneByOne)
    wire = wire_on(connection, machine, statistics)

    def begin(_context_id: int, command: CStoreRequest) -> Sink:
        sinks.append(Sink(seen.stored, command, way.is_prompt))
        return sinks[-1]

    wire.begin_store = begin
    try:
        while True:
            arrived = await wire.next()
            if isinstance(arrived, Arrived) and isinstance(arrived.command, CStoreRequest):
                await answer_store(wire, arrived, arrived.command)
            elif isinstance(arrived, Arrived):
                seen.others.append((arrived.context_id, arrived.command, arrived.dataset))
            else:
                seen.others.append(arrived)
    except AsyncDicomError as error:
        seen.failure = f"{type(error).__name__}: {error}"
    seen.written = bytes(connection.written)
    seen.discarded = sum(one.is_discarded for one in sinks)
    seen.messages = statistics.messages_received
    return seen


def message(
    command: CStoreRequest | CFindRequest | CEchoRequest | CGetResponse,
    dataset: bytes = b"",
    *,
    context_id: int = 1,
    room: int = MAX_PDU_BYTES - 6,
) -> list[bytes]:
    """Return the PDUs of a message."""
    parts: list[Buffer] = []
    for data, is_command in ((command.encode(), True), (dataset, False)):
        if is_command or command.has_data_set:
            parts += p_data(
                *(context_id, data), is_command=is_command, is_last=True, max_fragment_bytes=room
            )
    return [bytes(part) for part in parts]


MESSAGES = st.builds(
    message,
    st.one_of(
        st.builds(
            CStoreRequest,
            st.integers(0, 65535),
            st.sampled_from((CT, "1.2")),
            st.sampled_from(("2.999.1", "2.999.22", "")),
            has_data_set=st.sampled_from((True, True, True, False)),
        ),
        st.builds(CFindRequest, st.integers(0, 65535), st.just("1.2")),
        st.builds(CEchoRequest, st.integers(0, 65535)),
    ),
    st.binary(max_size=40),
    context_id=st.sampled_from((1, 1, 1, 3, 5)),
    room=st.sampled_from((MAX_PDU_BYTES - 6, MAX_PDU_BYTES - 6, 20)),
)
"""Context 5 is none; room for 20 bytes makes many PDUs."""
ENDS = st.sampled_from((b"", b"\4\0", encode(ReleaseRequest()), encode(Abort(0)), b"\x09" * 12))


@given(
    st.lists(MESSAGES, max_size=12),
    ENDS,
    st.lists(st.integers(0, 900), max_size=6),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=2),
)
def test_messages_and_verdicts_are_the_same_whoever_reads_and_answers(
    messages: list[list[bytes]], end: bytes, cuts: list[int], damage: list[tuple[int, int]]
) -> None:
    stream = bytearray(b"".join(b"".join(one) for one in messages) + end)
    for at, value in damage:
        if at < len(stream):
            stream[at] = value
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [bytes(stream[a:b]) for a, b in pairwise(edges) if a < b]
    expected = asyncio.run(serve(chunks, WAYS[0]))
    assert asyncio.run(serve(chunks, WAYS[1])) == expected
    for way in FAST:
        assert asyncio.run(serve(chunks, way)) == expected
        assert asyncio.run(serve([bytes(stream)] if stream else [], way)) == expected


async def test_what_came_whole_is_neither_cut_nor_joined() -> None:
    chunk = b"".join(message(CStoreRequest(7, CT, "2.999.1"), b"data"))
    seen = await serve([chunk], Way(is_prompt=True))
    assert seen.stored == [(CStoreRequest(7, CT, "2.999.1"), b"data")]
    assert seen.messages == 1
    assert b"\x00\x00\x20\x01\x02\x00\x00\x00\x07\x00" in seen.written


async def test_who_sends_without_reading_gives_others_a_turn() -> None:
    chunk = b"".join(message(CStoreRequest(7, CT, "2.999.1"), b"data")) * (2 * MAX_ANSWERS)
    connection = Scripted([chunk])
    wire = wire_on(connection, established())
    stored: list[tuple[CStoreRequest, bytes]] = []
    wire.begin_store = lambda _, command: Sink(stored, command, is_prompt=True)
    arrived = await wire.next()
    assert isinstance(arrived, Arrived)
    assert len(stored) == MAX_ANSWERS
    await answer_store(wire, arrived, CStoreRequest(7, CT, "2.999.1"))
    assert len(stored) == MAX_ANSWERS + 1


async def test_nothing_is_answered_at_once_while_the_peer_does_not_read() -> None:
    chunk = b"".join(message(CStoreRequest(7, CT, "2.999.1"), b"data"))
    connection = Scripted([chunk], is_writable=False)
    wire = wire_on(connection, established())
    stored: list[tuple[CStoreRequest, bytes]] = []
    wire.begin_store = lambda _, command: Sink(stored, command, is_prompt=True)
    assert isinstance(await wire.next(), Arrived)
    assert stored == []


async def test_what_nobody_asked_for_is_refused_though_it_came_whole() -> None:
    chunk = b"".join(message(CStoreRequest(7, CT, "2.999.1"), b"data"))
    wire = wire_on(Scripted([chunk]), established())
    with pytest.raises(ProtocolError, match="without having been asked"):
        await wire.next()


def progress(remaining: int) -> bytes:
    status = 0xFF00 if remaining else 0
    return b"".join(message(CGetResponse(1, status, "1.2", remaining or None, 10 - remaining)))


def stored(data: bytes = b"data") -> bytes:
    return b"".join(message(CStoreRequest(7, CT, "2.999.1"), data))


async def told(chunks: list[bytes], gap_s: float, *, is_prompt: bool = True) -> list[int | None]:
    """Return how much was said to remain, each time that somebody was told."""
    wire = wire_on(Scripted(chunks, gap_s=gap_s), established())
    wire.begin_store = lambda _, command: Sink([], command, is_prompt)
    heard: list[int | None] = []
    while not heard or heard[-1] is not None:
        arrived = await wire.next()
        assert isinstance(arrived, Arrived)
        if isinstance(arrived.command, CGetResponse):
            heard.append(arrived.command.remaining)
        else:
            await answer_store(wire, arrived, CStoreRequest(7, CT, "2.999.1"))
    return heard


async def test_how_far_it_has_come_is_told_no_more_often_than_anybody_looks() -> None:
    chunks = [progress(remaining) + stored() for remaining in range(9, 0, -1)] + [progress(0)]
    assert await told(list(chunks), PROGRESS_S * 0.6) == [9, 7, 5, 3, 1, None]
    assert await told(list(chunks), PROGRESS_S * 1.1) == [*range(9, 0, -1), None]
    assert await told([b"".join(chunks)], 0.0) == [9, None]


async def test_what_is_passed_over_is_counted_and_hides_nothing_behind_it() -> None:
    statistics = DimseStatistics()
    flood = b"".join(progress(9) for _ in range(50))
    connection = Scripted([progress(9), flood[:-1], flood[-1:] + stored() + progress(0)])
    wire = wire_on(connection, established(), statistics)
    taken: list[tuple[CStoreRequest, bytes]] = []
    wire.begin_store = lambda _, command: Sink(taken, command, is_prompt=True)
    commands = [cast("Arrived", await wire.next()).command for _ in range(2)]
    assert [cast("CGetResponse", one).remaining for one in commands] == [9, None]
    assert ([data for _, data in taken], statistics.messages_received) == ([b"data"], 53)


async def test_after_a_refusal_the_next_progress_is_told() -> None:
    chunks = [
        progress(9),
        stored(),
        progress(8),
        stored(b"odd"),
        progress(7),
        stored(),
        progress(6),
    ]
    assert await told([*chunks, progress(0)], 0.0) == [9, 7, None]


async def test_who_has_to_wait_for_the_disk_hears_all_progress() -> None:
    chunks = [progress(remaining) + stored() for remaining in range(3, 0, -1)] + [progress(0)]
    assert await told(chunks, 0.0, is_prompt=False) == [3, 2, 1, None]
