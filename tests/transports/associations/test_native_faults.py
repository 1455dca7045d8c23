"""The native engine against a peer that follows a script: each fault has its error, and no harm."""

from __future__ import annotations

import asyncio
import resource
import struct
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AssociationAborted,
    AssociationRejected,
    ConnectionLost,
    FetchError,
    ProtocolError,
    Stalled,
    Unreachable,
)
from asyncdicom.protocol.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindResponse,
    CGetResponse,
    CStoreRequest,
    CStoreResponse,
)
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT
from asyncdicom.protocol.upper_layer.negotiation import (
    ContextProposal,
    Party,
    accept,
    propose,
)
from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AssociateReject,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)
from asyncdicom.transports.associations.native import NativeTransport
from asyncdicom.transports.associations.settings import TlsSettings
from tests.support.scripted_peer import ScriptedPeer, message_pdus, open_peer, pdv_pdus
from tests.transports.associations.support import (
    CT,
    EVERYTHING,
    SYNTAXES,
    KeptSink,
    KeptStorage,
    associated,
    settings_for,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncdicom.ports.dimse import StoreRequest

pytestmark = pytest.mark.anyio

one_loop = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")]
)

FIND, GET, STORE = 3, 5, 9
"""Context IDs of the proposal."""


async def echo(port: int, **changes: Any) -> None:
    async with associated(port, **changes) as association:
        await association.echo()


async def get(port: int, storage: KeptStorage, **changes: Any) -> list[int]:
    async with associated(port, **changes) as association:
        context = association.context_for(STUDY_ROOT.get)
        return [one.status async for one in association.get(context, b"ask", storage)]


async def find(port: int, **changes: Any) -> list[bytes]:
    async with associated(port, **changes) as association:
        context = association.context_for(STUDY_ROOT.find)
        return [one.identifier async for one in association.find(context, b"ask")]


def after_associating(
    act: Callable[[ScriptedPeer], Awaitable[None]],
) -> Callable[[ScriptedPeer], Awaitable[None]]:
    """Make a script that accepts, reads a request, and then does what is to be tested."""

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await act(peer)

    return script


@pytest.mark.parametrize(
    ("rejection", "is_transient"),
    [
        pytest.param(AssociateReject(1, 1, 1), False, id="no reason"),
        pytest.param(AssociateReject(1, 1, 2), False, id="application context"),
        pytest.param(AssociateReject(1, 1, 3), False, id="calling AE title"),
        pytest.param(AssociateReject(1, 1, 7), False, id="called AE title"),
        pytest.param(AssociateReject(1, 2, 2), False, id="protocol version"),
        pytest.param(AssociateReject(2, 3, 1), True, id="congestion"),
        pytest.param(AssociateReject(2, 3, 2), True, id="local limit"),
    ],
)
async def test_a_refused_association_tells_why_and_whether_to_come_again(
    rejection: AssociateReject,
    is_transient: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.pdu()
        await peer.send(encode(rejection))
        await peer.silence()

    async with open_peer(script) as port:
        transport = NativeTransport(settings_for(port))
        with pytest.raises(AssociationRejected) as caught:
            async with transport.associate(EVERYTHING):
                pytest.fail("it was refused")
        await transport.aclose()
    assert caught.value.is_transient is is_transient
    assert caught.value.origin == f"dicom://127.0.0.1:{port}"
    assert transport.statistics().rejections == {caught.value.message: 1}


async def silent(peer: ScriptedPeer) -> None:
    await peer.silence()


async def garbage(peer: ScriptedPeer) -> None:
    await peer.pdu()
    await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4)
    await peer.silence()


async def close_at_once(peer: ScriptedPeer) -> None:
    await peer.pdu()


async def reset_at_once(peer: ScriptedPeer) -> None:
    await peer.pdu()
    peer.reset()


async def abort_at_once(peer: ScriptedPeer) -> None:
    await peer.pdu()
    await peer.send(encode(Abort(2, 1)))
    await peer.silence()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(silent, Stalled, id="says nothing"),
        pytest.param(garbage, ProtocolError, id="speaks HTTP"),
        pytest.param(close_at_once, ConnectionLost, id="closes"),
        pytest.param(reset_at_once, ConnectionLost, id="resets"),
        pytest.param(abort_at_once, AssociationAborted, id="aborts"),
    ],
)
async def test_an_association_that_fails_to_begin_has_its_error(
    script: Callable[[ScriptedPeer], Awaitable[None]], expected: type[FetchError]
) -> None:
    async with open_peer(script) as port:
        with pytest.raises(expected) as caught:
            await echo(port, acse_timeout_s=0.2)
    assert type(caught.value) is expected


async def test_an_answer_that_accepts_what_was_not_proposed_is_refused() -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate(transfer_syntax="1.2.3")
        await peer.aborted()

    async with open_peer(script) as port:
        with pytest.raises(ProtocolError):
            await echo(port)


async def test_a_handshake_that_never_ends_is_left_in_time() -> None:
    async with open_peer(silent) as port:
        with pytest.raises(Unreachable, match=r"within 0.2 s"):
            await echo(port, connect_timeout_s=0.2, tls=TlsSettings(verify=False))


async def test_a_peer_that_stalls_is_left_after_the_idle_time() -> None:
    aborted = asyncio.Event()

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await peer.aborted()
        aborted.set()

    async with open_peer(script) as port:
        with pytest.raises(Stalled):
            await echo(port, idle_timeout_s=0.2)
        await aborted.wait()


class SlowSink(KeptSink):
    async def end(self) -> int:
        await asyncio.sleep(0.5)
        return await super().end()


class SlowStorage(KeptStorage):
    def begin(self, request: StoreRequest, /) -> KeptSink:
        self.sinks.append(SlowSink(request))
        return self.sinks[-1]


async def test_a_disk_that_is_slow_is_not_the_peers_stall() -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await peer.send(*message_pdus(STORE, CStoreRequest(1, CT, "1.2"), b"data"))
        await peer.message()
        await peer.send(*message_pdus(GET, CGetResponse(1, 0)))
        await peer.release()

    storage = SlowStorage()
    async with open_peer(script) as port:
        assert await get(port, storage, idle_timeout_s=0.2) == [0]
    assert storage.whole == {"1.2": b"data"}


async def test_a_peer_that_takes_nothing_is_a_stall() -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await asyncio.Event().wait()

    async with open_peer(script) as port, associated(port, idle_timeout_s=0.3) as association:
        context = association.context_for(CT)
        with pytest.raises(Stalled):
            await association.store(context, "1.2", bytes(64 * 1024 * 1024))


async def drip(peer: ScriptedPeer, data: bytes) -> None:
    for one in data:
        await peer.send(bytes([one]))
        await asyncio.sleep(0.02)


async def test_a_peer_that_trickles_within_a_message_is_a_stall() -> None:
    async def act(peer: ScriptedPeer) -> None:
        await drip(peer, three_pdvs())

    storage = KeptStorage()
    async with open_peer(after_associating(act)) as port:
        with pytest.raises(Stalled, match=r"only \d+ bytes"):
            await get(port, storage, idle_timeout_s=1, min_rate_window_s=0.3)
    assert storage.whole == {}


async def test_a_peer_that_trickles_where_any_throughput_is_allowed_is_borne() -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await drip(peer, b"".join(message_pdus(GET, CGetResponse(1, 0)))[:40])
        await peer.send(b"".join(message_pdus(GET, CGetResponse(1, 0)))[40:])
        await peer.release()

    async with open_peer(script) as port:
        assert await get(port, KeptStorage(), min_rate_window_s=0.2, min_bytes_per_s=0) == [0]


async def test_an_archive_may_think_between_messages() -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        for _ in range(5):
            await peer.send(*message_pdus(GET, PENDING_GET))
            await asyncio.sleep(0.1)
        await peer.send(*message_pdus(GET, CGetResponse(1, 0)))
        await peer.release()

    async with open_peer(script) as port:
        statuses = await get(port, KeptStorage(), min_rate_window_s=0.1, min_bytes_per_s=1e9)
    assert statuses == [0xFF00] * 5 + [0]


async def test_an_answer_to_the_association_that_trickles_is_a_stall() -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.pdu()
        await drip(peer, b"\x02\x00\x00\x00\xff\x00" + bytes(200))

    async with open_peer(script) as port:
        with pytest.raises(Stalled):
            await echo(port, acse_timeout_s=0.3)


async def test_a_peer_that_takes_its_time_gets_everything() -> None:
    dataset = bytes(64 * 1024 * 1024)
    received = 0

    async def script(peer: ScriptedPeer) -> None:
        nonlocal received
        await peer.associate()
        await asyncio.sleep(0.1)
        message = await peer.message()
        received = len(message.dataset)
        await peer.send(*message_pdus(STORE, CStoreResponse(message.message_id, 0)))
        await peer.release()

    async with open_peer(script) as port, associated(port) as association:
        assert await association.store(association.context_for(CT), "1.2", dataset) == 0
    assert received == len(dataset)


def three_pdvs() -> bytes:
    """Return a C-STORE as bytes: a command, and a data set in two PDVs."""
    dataset = bytes(range(200))
    command = pdv_pdus(STORE, CStoreRequest(1, CT, "1.2.3").encode(), is_command=True)
    return b"".join(command + pdv_pdus(STORE, dataset, is_command=False, pdv_bytes=100))


def borders(pdus: bytes) -> list[int]:
    """Return where PDUs begin."""
    found, at = [], 0
    while at < len(pdus):
        found.append(at)
        at += 6 + int.from_bytes(pdus[at + 2 : at + 6])
    return found


# An A-ABORT within another PDU would be that PDU's data.
@one_loop
@pytest.mark.parametrize(
    ("way", "cuts"),
    [
        pytest.param("close", range(len(three_pdvs())), id="close"),
        pytest.param("reset", range(len(three_pdvs())), id="reset"),
        pytest.param("abort", borders(three_pdvs()), id="abort between PDUs"),
    ],
)
async def test_an_end_at_any_byte_of_a_message_stores_nothing(
    way: str, cuts: Sequence[int]
) -> None:
    sent = three_pdvs()
    to_send = b""

    async def act(peer: ScriptedPeer) -> None:
        await peer.send(to_send)
        if way == "abort":
            await peer.send(encode(Abort(0)))
        elif way == "reset":
            peer.reset()

    async with open_peer(after_associating(act)) as port:
        for cut in cuts:
            to_send = sent[:cut]
            storage = KeptStorage()
            with pytest.raises(AssociationAborted if way == "abort" else ConnectionLost):
                await get(port, storage)
            assert storage.whole == {}
            assert all(sink.is_discarded for sink in storage.sinks)


@one_loop
async def test_silence_at_any_byte_of_a_message_is_a_stall_and_stores_nothing() -> None:
    sent = three_pdvs()
    to_send = b""

    async def act(peer: ScriptedPeer) -> None:
        await peer.send(to_send)
        await peer.silence()

    async with open_peer(after_associating(act)) as port:
        for cut in range(0, len(sent), 13):
            to_send = sent[:cut]
            storage = KeptStorage()
            with pytest.raises(Stalled):
                await get(port, storage, idle_timeout_s=0.03)
            assert storage.whole == {}
            assert all(sink.is_discarded for sink in storage.sinks)


@pytest.mark.parametrize("pdv_bytes", [1, 2, 7, 1000])
async def test_fragments_of_any_size_make_the_same_message(pdv_bytes: int) -> None:
    dataset = bytes(range(256)) * 8

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        request = await peer.message()
        store = CStoreRequest(7, CT, "1.2.3")
        await peer.send(*message_pdus(STORE, store, dataset, pdv_bytes=pdv_bytes))
        answer = await peer.message()
        assert answer.command == CStoreResponse(7, 0, CT, "1.2.3")
        done = CGetResponse(request.message_id, 0, completed=1)
        await peer.send(*message_pdus(GET, done, pdv_bytes=pdv_bytes))
        await peer.release()

    storage = KeptStorage()
    async with open_peer(script) as port:
        assert await get(port, storage) == [0]
    assert storage.whole == {"1.2.3": dataset}


async def test_stores_sent_ahead_are_answered_in_their_order() -> None:
    """A peer may ignore that the window is one operation (PS3.7 §D.3.3.3)."""
    answers: list[int] = []

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        request = await peer.message()
        for number in range(1, 51):
            store = CStoreRequest(number, CT, f"1.2.{number}")
            await peer.send(*message_pdus(STORE, store, b"%d" % number * 1000))
        for _ in range(50):
            message = await peer.message()
            assert isinstance(message.command, CStoreResponse)
            answers.append(message.command.responds_to)
        await peer.send(*message_pdus(GET, CGetResponse(request.message_id, 0)))
        await peer.release()

    storage = KeptStorage()
    async with open_peer(script) as port:
        assert await get(port, storage) == [0]
    assert answers == list(range(1, 51))
    assert len(storage.whole) == 50


REQUEST = propose([ContextProposal(CT, SYNTAXES)], Party("A", "B", 16384))
PENDING_GET = CGetResponse(1, 0xFF00, remaining=1)
BEGIN_OF_STORE = pdv_pdus(STORE, CStoreRequest(1, CT, "1.2").encode(), is_command=True)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(message_pdus(GET, CGetResponse(77, 0)), id="unknown message ID"),
        pytest.param(message_pdus(GET, CFindResponse(1, 0)), id="answer of another service"),
        pytest.param(message_pdus(GET, CEchoRequest(1)), id="a request nobody serves"),
        pytest.param(message_pdus(GET, CCancelRequest(1)), id="a cancel to a requestor"),
        pytest.param(message_pdus(11, CGetResponse(1, 0)), id="context not proposed"),
        pytest.param(message_pdus(4, CGetResponse(1, 0)), id="even context"),
        pytest.param(BEGIN_OF_STORE + message_pdus(GET, PENDING_GET), id="messages interleaved"),
        pytest.param(
            BEGIN_OF_STORE + pdv_pdus(GET, b"data", is_command=False), id="contexts interleaved"
        ),
        pytest.param(pdv_pdus(GET, b"data", is_command=False), id="data without command"),
        pytest.param(pdv_pdus(GET, b"\xff" * 40, is_command=True), id="no command set"),
        pytest.param(pdv_pdus(GET, b"", is_command=True), id="empty command set"),
        pytest.param([struct.pack(">BxI", 4, 0)], id="no PDV"),
        pytest.param([struct.pack(">BxII", 4, 6, 1000) + b"\1\0"], id="PDV beyond its PDU"),
        pytest.param([struct.pack(">BxI", 4, 0xFFFFFFFF)], id="PDU of 4 GiB"),
        pytest.param([struct.pack(">BxI", 4, 128 * 1024 + 1)], id="PDU a byte too long"),
        pytest.param([struct.pack(">BxI", 9, 4) + bytes(4)], id="unknown PDU"),
        pytest.param([b"\x16\x03\x01\x02\x00\x01"], id="TLS hello"),
        pytest.param(
            [encode(accept(REQUEST, [], max_pdu_bytes=16384))], id="another A-ASSOCIATE-AC"
        ),
        pytest.param([encode(ReleaseResponse())], id="an answer to no release"),
    ],
)
async def test_what_breaks_the_standard_is_answered_with_an_abort(sent: list[bytes]) -> None:
    aborted = asyncio.Event()

    async def act(peer: ScriptedPeer) -> None:
        await peer.send(*sent)
        await peer.aborted()
        aborted.set()

    storage = KeptStorage()
    async with open_peer(after_associating(act)) as port:
        with pytest.raises(ProtocolError):
            await get(port, storage)
        await aborted.wait()
    assert storage.whole == {}
    assert all(sink.is_discarded for sink in storage.sinks)


async def test_who_stores_without_being_asked_is_refused() -> None:
    async def act(peer: ScriptedPeer) -> None:
        await peer.send(*message_pdus(STORE, CStoreRequest(1, CT, "1.2"), b"data"))
        await peer.aborted()

    async with open_peer(after_associating(act)) as port:
        with pytest.raises(ProtocolError, match="without having been asked"):
            await find(port)


async def test_an_answer_that_comes_twice_is_refused() -> None:
    async def act(peer: ScriptedPeer) -> None:
        await peer.send(*message_pdus(FIND, CFindResponse(1, 0)) * 2)
        await peer.silence()

    async with open_peer(after_associating(act)) as port, associated(port) as association:
        context = association.context_for(STUDY_ROOT.find)
        assert [one async for one in association.find(context, b"ask")] == []
        with pytest.raises(ProtocolError):
            await association.echo()


async def test_a_peer_that_releases_instead_of_answering_is_lost() -> None:
    async def act(peer: ScriptedPeer) -> None:
        await peer.send(encode(ReleaseRequest()))
        assert isinstance(await peer.pdu(), ReleaseResponse)

    async with open_peer(after_associating(act)) as port:
        with pytest.raises(ConnectionLost, match="released"):
            await find(port)


async def test_an_association_that_broke_serves_no_further_operation() -> None:
    async def act(peer: ScriptedPeer) -> None:
        peer.close()

    async with open_peer(after_associating(act)) as port, associated(port) as association:
        with pytest.raises(ConnectionLost):
            await association.echo()
        with pytest.raises(ConnectionLost):
            await association.echo()


@pytest.mark.parametrize("kind", ["silence", "abort", "close", "collision", "late data"])
async def test_a_release_that_fails_harms_nothing(kind: str) -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        message = await peer.message()
        await peer.send(*message_pdus(1, CEchoResponse(message.message_id, 0)))
        assert isinstance(await peer.pdu(), ReleaseRequest)
        if kind == "collision":
            await peer.send(encode(ReleaseRequest()))
            assert isinstance(await peer.pdu(), ReleaseResponse)
            await peer.send(encode(ReleaseResponse()))
        elif kind == "abort":
            await peer.send(encode(Abort(0)))
        elif kind == "silence":
            await peer.aborted()
        elif kind == "late data":
            await peer.send(*message_pdus(GET, PENDING_GET), encode(ReleaseResponse()))

    async with open_peer(script) as port:
        await echo(port, acse_timeout_s=0.3)


@pytest.mark.parametrize("kind", ["silent", "flooding", "gone"])
async def test_a_peer_that_ignores_a_cancel_is_left_in_time(kind: str) -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        pending = message_pdus(FIND, CFindResponse(1, 0xFF00, has_data_set=True), b"x")
        await peer.send(*pending)
        message = await peer.message()
        assert message.command == CCancelRequest(1)
        if kind == "silent":
            await peer.aborted()
        while kind == "flooding":
            await peer.send(*pending)
            await asyncio.sleep(0.01)

    async with open_peer(script) as port, associated(port, idle_timeout_s=0.3) as association:
        find = association.find(association.context_for(STUDY_ROOT.find), b"ask")
        async with aclosing(find):
            await anext(find)
        with pytest.raises((ConnectionLost, Stalled)):
            await association.echo()


async def test_what_is_stored_after_a_cancel_is_refused_and_the_end_awaited() -> None:
    statuses: list[int] = []

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await peer.send(*message_pdus(GET, PENDING_GET), *BEGIN_OF_STORE)
        while not isinstance((await peer.message()).command, CCancelRequest):
            pass
        await peer.send(*pdv_pdus(STORE, b"data", is_command=False))
        await peer.send(*message_pdus(STORE, CStoreRequest(2, CT, "1.3"), b"data"))
        for _ in range(2):
            command = (await peer.message()).command
            assert isinstance(command, CStoreResponse)
            statuses.append(command.status)
        await peer.send(*message_pdus(GET, CGetResponse(1, 0xFE00)))
        message = await peer.message()
        await peer.send(*message_pdus(1, CEchoResponse(message.message_id, 0)))
        await peer.release()

    storage = KeptStorage()
    async with open_peer(script) as port, associated(port) as association:
        get = association.get(association.context_for(STUDY_ROOT.get), b"ask", storage)
        async with aclosing(get):
            await anext(get)
        await association.echo()
    assert statuses == [0xA700, 0xA700]
    assert storage.whole == {}


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


@one_loop
async def test_a_flood_of_pending_answers_costs_no_memory() -> None:
    flood = 40_000
    sent = message_pdus(FIND, CFindResponse(1, 0xFF00, has_data_set=True), bytes(200))

    async def act(peer: ScriptedPeer) -> None:
        packet = b"".join(sent) * 100
        for _ in range(flood // 100):
            await peer.send(packet)
        await peer.send(*message_pdus(FIND, CFindResponse(1, 0)))
        await peer.release()

    async with open_peer(after_associating(act)) as port, associated(port) as association:
        before_bytes = resident_bytes()
        context = association.context_for(STUDY_ROOT.find)
        count = 0
        async for _ in association.find(context, b"ask"):
            count += 1
            if count == flood // 2:
                held_bytes = resident_bytes() - before_bytes
    assert count == flood
    # What has come by then are 7 MB on the wire, and 16 MB as objects.
    assert held_bytes < 4 * 1024 * 1024


async def test_a_consumer_that_pauses_makes_the_peer_wait() -> None:
    """Nothing grows while nobody reads: the buffer fills up, and then TCP's windows."""
    sent = 0
    packet = b"".join(
        message_pdus(FIND, CFindResponse(1, 0xFF00, has_data_set=True), bytes(8000)) * 10
    )

    async def act(peer: ScriptedPeer) -> None:
        nonlocal sent
        while True:
            await peer.send(packet)
            sent += len(packet)

    async with open_peer(after_associating(act)) as port, associated(port) as association:
        find = association.find(association.context_for(STUDY_ROOT.find), b"ask")
        await anext(find)
        connection = association.wire.connection
        await until(lambda: not connection._is_reading)
        assert connection._filled <= 256 * 1024
        association.abort()


async def test_an_identifier_longer_than_anybody_needs_is_refused() -> None:
    async def act(peer: ScriptedPeer) -> None:
        command = CFindResponse(1, 0xFF00, has_data_set=True)
        await peer.send(*pdv_pdus(FIND, command.encode(), is_command=True))
        piece = pdv_pdus(FIND, bytes(16000), is_command=False)[0]
        endless = piece[:11] + b"\0" + piece[12:]
        while True:
            await peer.send(endless)

    async with open_peer(after_associating(act)) as port:
        with pytest.raises(ProtocolError, match="identifier is longer"):
            await find(port)


async def test_a_garbled_list_of_failed_uids_is_no_list() -> None:
    async def act(peer: ScriptedPeer) -> None:
        response = CGetResponse(1, 0xB000, failed=1, has_data_set=True)
        await peer.send(*message_pdus(GET, response, b"\x08\x00\x58\x00UI\xff\xff1."))
        await peer.release()

    async with open_peer(after_associating(act)) as port:
        assert await get(port, KeptStorage()) == [0xB000]
