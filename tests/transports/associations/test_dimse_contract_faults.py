"""The contract of `ports.dimse`, where peers misbehave: both engines, the same errors."""

from __future__ import annotations

import asyncio
import itertools
import struct
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AssociationAborted,
    AssociationRejected,
    AsyncDicomError,
    ConnectionLost,
    FetchError,
    ProtocolError,
    Stalled,
    TlsRejected,
    TransportError,
    Unreachable,
)
from asyncdicom.protocol.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindResponse,
    CGetResponse,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    ErrorDetails,
)
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT
from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AssociateReject,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)
from asyncdicom.transports.associations.engines import open_dimse_transport
from asyncdicom.transports.associations.settings import TlsSettings
from tests.support.dcmtk import running_storescp
from tests.support.peers import require_peer
from tests.support.processes import free_port
from tests.support.pynetdicom_peer import PynetdicomOptions, running_pynetdicom_peer
from tests.support.scripted_peer import ScriptedPeer, message_pdus, open_peer, pdv_pdus
from tests.transports.associations.conftest import SLICES, SLICES_STUDY
from tests.transports.associations.support import CT, EVERYTHING, KeptStorage, settings_for, until
from tests.transports.associations.test_dimse_contract import get as get_study

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from asyncdicom.ports.dimse import Association, DimseTransport
    from tests.transports.associations.conftest import Archive, Authority

    Script = Callable[[ScriptedPeer], Awaitable[None]]

pytestmark = pytest.mark.anyio

one_loop = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")]
)

ECHO, FIND, GET, MOVE, STORE = 1, 3, 5, 7, 9
"""Context IDs of the proposal."""
PENDING, SUCCESS, CANCELLED = 0xFF00, 0x0000, 0xFE00


@asynccontextmanager
async def opened(engine: str, port: int, **changes: Any) -> AsyncIterator[DimseTransport]:
    transport = open_dimse_transport(engine, settings_for(port, **changes))
    try:
        yield transport
    finally:
        await transport.aclose()


@asynccontextmanager
async def associated(engine: str, port: int, **changes: Any) -> AsyncIterator[Association]:
    async with (
        opened(engine, port, **changes) as transport,
        transport.associate(EVERYTHING) as association,
    ):
        yield association


async def echo(engine: str, port: int, **changes: Any) -> None:
    async with associated(engine, port, **changes) as association:
        await association.echo()


async def find(engine: str, port: int, **changes: Any) -> list[bytes]:
    async with associated(engine, port, **changes) as association:
        context = association.context_for(STUDY_ROOT.find)
        return [one.identifier async for one in association.find(context, b"ask")]


async def get(engine: str, port: int, storage: KeptStorage, **changes: Any) -> list[int]:
    async with associated(engine, port, **changes) as association:
        context = association.context_for(STUDY_ROOT.get)
        return [one.status async for one in association.get(context, b"ask", storage)]


def after_associating(act: Script) -> Script:
    """Make a script that associates, reads the request, and acts."""

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await act(peer)

    return script


async def says_http(peer: ScriptedPeer) -> None:
    await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await peer.silence()


async def says_nothing(peer: ScriptedPeer) -> None:
    await peer.silence()


async def closes(peer: ScriptedPeer) -> None:
    await peer.pdu()
    peer.close()


async def resets(peer: ScriptedPeer) -> None:
    await peer.pdu()
    peer.reset()


async def aborts(peer: ScriptedPeer) -> None:
    await peer.pdu()
    await peer.send(encode(Abort(2, 1)))


async def says_half(peer: ScriptedPeer) -> None:
    await peer.pdu()
    await peer.send(struct.pack(">BxI", 2, 200), bytes(50))
    await peer.silence()


async def answers_with_data(peer: ScriptedPeer) -> None:
    await peer.pdu()
    await peer.send(*message_pdus(ECHO, CEchoResponse(1, 0)))
    await peer.silence()


async def chooses_another_syntax(peer: ScriptedPeer) -> None:
    await peer.associate(transfer_syntax="1.2.840.10008.1.2.4.90")
    await peer.silence()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(says_http, ProtocolError, id="speaks HTTP"),
        pytest.param(says_nothing, Stalled, id="says nothing"),
        pytest.param(says_half, Stalled, id="says half of it"),
        pytest.param(closes, ConnectionLost, id="closes"),
        pytest.param(resets, ConnectionLost, id="resets"),
        pytest.param(aborts, AssociationAborted, id="aborts"),
        pytest.param(answers_with_data, ProtocolError, id="answers with data"),
        pytest.param(chooses_another_syntax, ProtocolError, id="chooses what was not proposed"),
    ],
)
async def test_an_association_that_does_not_begin_says_why(
    engine: str, script: Script, expected: type[FetchError]
) -> None:
    async with open_peer(script) as port:
        with pytest.raises(expected) as caught:
            await echo(engine, port, acse_timeout_s=0.3)
    if isinstance(caught.value, TransportError):
        assert caught.value.origin == f"dicom://127.0.0.1:{port}"


@one_loop
@pytest.mark.parametrize(
    ("reject", "is_transient", "why"),
    [
        pytest.param((1, 1, 1), False, "no reason given", id="1/1/1"),
        pytest.param((1, 1, 3), False, "calling AE title not recognized", id="1/1/3"),
        pytest.param((1, 1, 7), False, "called AE title not recognized", id="1/1/7"),
        pytest.param((1, 2, 2), False, "protocol version not supported", id="1/2/2"),
        pytest.param((2, 3, 1), True, "temporary congestion", id="2/3/1"),
        pytest.param((2, 3, 2), True, "local limit exceeded", id="2/3/2"),
    ],
)
async def test_a_refusal_says_why_and_whether_to_come_back(
    engine: str,
    reject: tuple[int, int, int],
    is_transient: bool,  # noqa: FBT001 -- a column of the table
    why: str,
) -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.pdu()
        await peer.send(encode(AssociateReject(*reject)))
        await peer.silence()

    async with open_peer(script) as port, opened(engine, port) as transport:
        with pytest.raises(AssociationRejected, match=why) as caught:
            async with transport.associate(EVERYTHING):
                pytest.fail("it was refused")
        assert caught.value.is_transient == is_transient
        assert transport.statistics().rejections == {caught.value.message: 1}
        assert transport.statistics().in_flight == 0


async def test_where_nobody_listens_is_unreachable(engine: str) -> None:
    with pytest.raises(Unreachable, match="no connection"):
        await echo(engine, free_port())


async def test_a_name_that_does_not_exist_is_unreachable(engine: str) -> None:
    with pytest.raises(Unreachable):
        await echo(engine, 104, host="archive.invalid")


def a_store(pdv_bytes: int = 100) -> bytes:
    """Return a C-STORE as bytes: a command, and a data set in several PDVs."""
    command = pdv_pdus(STORE, CStoreRequest(1, CT, "1.2.3").encode(), is_command=True)
    data = pdv_pdus(STORE, bytes(range(200)), is_command=False, pdv_bytes=pdv_bytes)
    return b"".join(command + data)


@one_loop
@pytest.mark.parametrize("way", ["close", "reset", "abort"])
async def test_an_end_within_a_message_stores_nothing(engine: str, way: str) -> None:
    sent = a_store()
    cuts = list(range(0, len(sent), 29))
    waiting = iter(cuts)

    async def act(peer: ScriptedPeer) -> None:
        await peer.send(sent[: next(waiting)])
        if way == "abort":
            await peer.send(encode(Abort(0)))
        elif way == "reset":
            peer.reset()

    async with open_peer(after_associating(act)) as port:
        for _ in cuts:
            storage = KeptStorage()
            with pytest.raises((ConnectionLost, ProtocolError)):
                await get(engine, port, storage)
            assert storage.whole == {}
            assert all(sink.is_discarded for sink in storage.sinks)


@one_loop
async def test_silence_within_a_message_is_a_stall_within_its_limit(engine: str) -> None:
    sent = a_store()
    cuts = list(range(0, len(sent), 53))
    waiting = iter(cuts)
    loop = asyncio.get_running_loop()

    async def act(peer: ScriptedPeer) -> None:
        await peer.send(sent[: next(waiting)])
        await peer.silence()

    async with open_peer(after_associating(act)) as port:
        for _ in cuts:
            storage = KeptStorage()
            begun_s = loop.time()
            with pytest.raises(Stalled):
                await get(engine, port, storage, idle_timeout_s=0.1)
            assert 0.1 <= loop.time() - begun_s < 15
            assert storage.whole == {}
            assert all(sink.is_discarded for sink in storage.sinks)


async def test_bytes_that_keep_coming_are_no_stall(engine: str) -> None:
    sent = a_store(pdv_bytes=10)

    async def act(peer: ScriptedPeer) -> None:
        for at in range(0, len(sent), 60):
            await peer.send(sent[at : at + 60])
            await asyncio.sleep(0.05)
        await peer.message()
        await peer.send(*message_pdus(GET, CGetResponse(1, SUCCESS)))
        await peer.release()

    storage = KeptStorage()
    async with open_peer(after_associating(act)) as port:
        assert await get(engine, port, storage, idle_timeout_s=0.4) == [SUCCESS]
    assert storage.whole == {"1.2.3": bytes(range(200))}


@one_loop
async def test_a_trickle_within_a_message_is_a_stall(engine: str) -> None:
    sent = a_store()

    async def act(peer: ScriptedPeer) -> None:
        for at in range(len(sent)):
            await peer.send(sent[at : at + 1])
            await asyncio.sleep(0.02)

    storage = KeptStorage()
    async with open_peer(after_associating(act)) as port:
        with pytest.raises(Stalled, match=r"only \d+ bytes came"):
            await get(engine, port, storage, min_bytes_per_s=1000, min_rate_window_s=0.3)
    assert storage.whole == {}


@pytest.mark.parametrize("script", [says_nothing, says_half])
async def test_closing_the_transport_ends_who_waits_to_associate(
    engine: str, script: Script
) -> None:
    async with open_peer(script) as port:
        transport = open_dimse_transport(engine, settings_for(port))

        async def associate() -> None:
            async with transport.associate(EVERYTHING):
                pytest.fail("nobody answered")

        task = asyncio.create_task(associate())
        await until(lambda: transport.statistics().in_flight)
        await transport.aclose()
        with pytest.raises(ConnectionLost):
            await task


@pytest.mark.parametrize("pdv_bytes", [1, 7, 1000])
async def test_fragments_of_any_size_make_the_same_message(engine: str, pdv_bytes: int) -> None:
    dataset = bytes(range(256)) * 8

    async def act(peer: ScriptedPeer) -> None:
        store = CStoreRequest(7, CT, "1.2.3", move_originator="ELSEWHERE", move_message_id=9)
        await peer.send(*message_pdus(STORE, store, dataset, pdv_bytes=pdv_bytes))
        answer = await peer.message()
        assert answer.command == CStoreResponse(7, SUCCESS, CT, "1.2.3")
        done = CGetResponse(1, SUCCESS, completed=1, failed=0)
        await peer.send(*message_pdus(GET, done, pdv_bytes=pdv_bytes))
        await peer.release()

    storage = KeptStorage()
    async with open_peer(after_associating(act)) as port:
        assert await get(engine, port, storage) == [SUCCESS]
    assert storage.whole == {"1.2.3": dataset}
    request = storage.sinks[0].request
    assert (request.move_originator, request.move_message_id) == ("ELSEWHERE", 9)


async def test_several_messages_in_one_pdu_are_all_there(engine: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        pdus = [
            *message_pdus(FIND, CFindResponse(1, PENDING, has_data_set=True), b"one"),
            *message_pdus(FIND, CFindResponse(1, PENDING, has_data_set=True), b"two"),
            *message_pdus(FIND, CFindResponse(1, SUCCESS)),
        ]
        values = b"".join(pdu[6:] for pdu in pdus)
        await peer.send(struct.pack(">BxI", 4, len(values)), values)
        await peer.release()

    async with open_peer(after_associating(act)) as port:
        assert await find(engine, port) == [b"one", b"two"]


async def test_stores_sent_ahead_are_answered_in_their_order(engine: str) -> None:
    """A peer may ignore that the window is one operation (PS3.7 §D.3.3.3)."""
    answers: list[int] = []

    async def act(peer: ScriptedPeer) -> None:
        for number in range(1, 51):
            store = CStoreRequest(number, CT, f"1.2.{number}")
            await peer.send(*message_pdus(STORE, store, b"%d" % number * 1000))
        answers.extend([(await peer.message()).message_id for _ in range(50)])
        await peer.send(*message_pdus(GET, CGetResponse(1, SUCCESS)))
        await peer.release()

    storage = KeptStorage()
    async with open_peer(after_associating(act)) as port:
        assert await get(engine, port, storage) == [SUCCESS]
    assert answers == list(range(1, 51))
    assert len(storage.whole) == 50


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.filterwarnings("ignore:The value length .* exceeds the maximum length")
@one_loop
@pytest.mark.parametrize("uid", ["../../../etc/x", "/abs", "1.2\\3", "..", "1." * 31 + "1", ""])
async def test_a_uid_reaches_the_storage_as_it_came(engine: str, uid: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        await peer.send(*message_pdus(STORE, CStoreRequest(1, CT, uid), b"data"))
        await peer.message()
        await peer.send(*message_pdus(GET, CGetResponse(1, SUCCESS)))
        await peer.release()

    storage = KeptStorage()
    async with open_peer(after_associating(act)) as port:
        assert await get(engine, port, storage) == [SUCCESS]
    assert [sink.request.sop_instance_uid for sink in storage.sinks] == [uid]


PENDING_GET = CGetResponse(1, PENDING, remaining=1)
SHORT_STATUS = b"".join(
    struct.pack("<HHI", 0, element, len(value)) + value
    for element, value in (
        *((0x0100, b"\x10\x80"), (0x0120, b"\1\0"), (0x0800, b"\1\1"), (0x0900, b"\0")),
    )
)
BEGIN_OF_STORE = pdv_pdus(STORE, CStoreRequest(1, CT, "1.2").encode(), is_command=True)


@one_loop
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(message_pdus(GET, CGetResponse(77, SUCCESS)), id="unknown message ID"),
        pytest.param(message_pdus(GET, CFindResponse(1, SUCCESS)), id="answer of another service"),
        pytest.param(message_pdus(GET, CEchoRequest(1)), id="a request nobody serves"),
        pytest.param(message_pdus(GET, CCancelRequest(1)), id="a cancel to a requestor"),
        pytest.param(message_pdus(11, CGetResponse(1, SUCCESS)), id="context not proposed"),
        pytest.param(message_pdus(4, CGetResponse(1, SUCCESS)), id="even context"),
        pytest.param(BEGIN_OF_STORE + message_pdus(GET, PENDING_GET), id="messages interleaved"),
        pytest.param(
            BEGIN_OF_STORE + pdv_pdus(GET, b"data", is_command=False), id="contexts interleaved"
        ),
        pytest.param(pdv_pdus(GET, b"data", is_command=False), id="data without command"),
        pytest.param(pdv_pdus(GET, b"\xff" * 40, is_command=True), id="no command set"),
        pytest.param(pdv_pdus(GET, b"", is_command=True), id="empty command set"),
        pytest.param(pdv_pdus(GET, SHORT_STATUS, is_command=True), id="a status of one byte"),
        pytest.param([struct.pack(">BxI", 4, 0)], id="no PDV"),
        pytest.param([struct.pack(">BxII", 4, 6, 1000) + b"\1\0"], id="PDV beyond its PDU"),
        pytest.param([struct.pack(">BxI", 4, 0xFFFFFFFF)], id="PDU of 4 GiB"),
        pytest.param([struct.pack(">BxI", 4, 128 * 1024 + 1)], id="PDU a byte too long"),
        pytest.param([struct.pack(">BxI", 2, 0x7FFFFFFF)], id="control PDU of 2 GiB"),
        pytest.param([struct.pack(">BxI", 9, 4) + bytes(4)], id="unknown PDU"),
        pytest.param([b"\x16\x03\x01\x02\x00\x01"], id="TLS hello"),
    ],
)
async def test_what_breaks_the_standard_is_answered_with_an_abort(
    engine: str, sent: Sequence[bytes]
) -> None:
    aborted = asyncio.Event()

    async def act(peer: ScriptedPeer) -> None:
        await peer.send(*sent)
        await peer.aborted()
        aborted.set()

    storage = KeptStorage()
    async with open_peer(after_associating(act)) as port:
        with pytest.raises(ProtocolError):
            await get(engine, port, storage)
        await aborted.wait()
    assert storage.whole == {}
    assert all(sink.is_discarded for sink in storage.sinks)


async def test_who_stores_without_being_asked_is_refused(engine: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        await peer.send(*message_pdus(STORE, CStoreRequest(1, CT, "1.2"), b"data"))
        await peer.aborted()

    async with open_peer(after_associating(act)) as port:
        with pytest.raises(ProtocolError, match="without having been asked"):
            await find(engine, port)


async def test_an_answer_that_comes_twice_is_refused(engine: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        await peer.send(*message_pdus(FIND, CFindResponse(1, SUCCESS)) * 2)
        await peer.silence()

    async with open_peer(after_associating(act)) as port, associated(engine, port) as association:
        context = association.context_for(STUDY_ROOT.find)
        assert [one async for one in association.find(context, b"ask")] == []
        with pytest.raises(ProtocolError):
            await association.echo()


async def test_a_peer_that_releases_instead_of_answering_is_lost(engine: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        await peer.send(encode(ReleaseRequest()))
        assert isinstance(await peer.pdu(), ReleaseResponse)

    async with open_peer(after_associating(act)) as port:
        with pytest.raises(ConnectionLost, match="released"):
            await find(engine, port)


async def move(engine: str, port: int, elsewhere: Callable[[], int], **changes: Any) -> list[int]:
    async with associated(engine, port, **changes) as association:
        context = association.context_for(STUDY_ROOT.move)
        told = association.move(context, b"ask", "US", elsewhere)
        return [one.status async for one in told]


async def test_a_move_is_not_silent_while_its_instances_come_elsewhere(engine: str) -> None:
    """An archive says how far it is between two instances, and one may take minutes."""

    async def act(peer: ScriptedPeer) -> None:
        await asyncio.sleep(1.2)
        await peer.send(*message_pdus(MOVE, CMoveResponse(1, SUCCESS)))
        await peer.release()

    async with open_peer(after_associating(act)) as port:
        assert await move(engine, port, itertools.count().__next__, idle_timeout_s=0.4) == [SUCCESS]


async def test_a_move_of_which_nothing_comes_elsewhere_is_a_stall(engine: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        await peer.aborted()

    async with open_peer(after_associating(act)) as port:
        with pytest.raises(Stalled, match="nothing came"):
            await move(engine, port, lambda: 7, idle_timeout_s=0.4)


async def test_an_association_that_broke_serves_no_further_operation(engine: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        peer.close()

    async with open_peer(after_associating(act)) as port, associated(engine, port) as association:
        with pytest.raises(ConnectionLost):
            await association.echo()
        with pytest.raises(ConnectionLost):
            await association.echo()


@pytest.mark.parametrize("kind", ["silence", "abort", "close", "collision"])
async def test_a_release_that_fails_harms_nothing(engine: str, kind: str) -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        message = await peer.message()
        await peer.send(*message_pdus(ECHO, CEchoResponse(message.message_id, SUCCESS)))
        assert isinstance(await peer.pdu(), ReleaseRequest)
        if kind == "collision":
            await peer.send(encode(ReleaseRequest()))
            assert isinstance(await peer.pdu(), ReleaseResponse)
            await peer.send(encode(ReleaseResponse()))
        elif kind == "abort":
            await peer.send(encode(Abort(0)))
        elif kind == "silence":
            await peer.aborted()

    async with open_peer(script) as port:
        await echo(engine, port, acse_timeout_s=0.3)


@pytest.mark.parametrize("kind", ["silent", "flooding", "gone"])
async def test_a_peer_that_ignores_a_cancel_is_left_in_time(engine: str, kind: str) -> None:
    pending = message_pdus(FIND, CFindResponse(1, PENDING, has_data_set=True), b"x")

    async def act(peer: ScriptedPeer) -> None:
        await peer.send(*pending)
        assert (await peer.message()).command == CCancelRequest(1)
        if kind == "silent":
            await peer.aborted()
        while kind == "flooding":
            await peer.send(*pending)
            await asyncio.sleep(0.01)

    async with (
        open_peer(after_associating(act)) as port,
        associated(engine, port, idle_timeout_s=0.3) as association,
    ):
        answers = association.find(association.context_for(STUDY_ROOT.find), b"ask")
        async with aclosing(answers):
            await anext(answers)
        with pytest.raises(ConnectionLost):
            await association.echo()


async def test_what_is_stored_after_a_cancel_is_refused_and_the_end_awaited(engine: str) -> None:
    statuses: list[int] = []

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await peer.send(*message_pdus(GET, PENDING_GET))
        while not isinstance((await peer.message()).command, CCancelRequest):
            pass
        for number in range(2):
            await peer.send(*message_pdus(STORE, CStoreRequest(number, CT, "1.3"), b"data"))
            command = (await peer.message()).command
            assert isinstance(command, CStoreResponse)
            statuses.append(command.status)
        await peer.send(*message_pdus(GET, CGetResponse(1, CANCELLED)))
        message = await peer.message()
        await peer.send(*message_pdus(ECHO, CEchoResponse(message.message_id, SUCCESS)))
        await peer.release()

    storage = KeptStorage()
    async with open_peer(script) as port, associated(engine, port) as association:
        responses = association.get(association.context_for(STUDY_ROOT.get), b"ask", storage)
        async with aclosing(responses):
            await anext(responses)
        await association.echo()
    assert statuses == [0xA700, 0xA700]
    assert storage.whole == {}


async def test_an_operation_that_was_left_unclosed_is_cancelled_by_the_next(engine: str) -> None:
    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await peer.send(*message_pdus(FIND, CFindResponse(1, PENDING, has_data_set=True), b"x"))
        assert (await peer.message()).command == CCancelRequest(1)
        await peer.send(*message_pdus(FIND, CFindResponse(1, CANCELLED)))
        message = await peer.message()
        await peer.send(*message_pdus(ECHO, CEchoResponse(message.message_id, SUCCESS)))
        await peer.release()

    async with open_peer(script) as port, associated(engine, port) as association:
        answers = association.find(association.context_for(STUDY_ROOT.find), b"ask")
        await anext(answers)
        await association.echo()
        await answers.aclose()


class EnoughError(Exception):
    """Ends an association by an error of ours."""


async def test_who_does_not_read_on_makes_the_peer_wait(engine: str) -> None:
    """Nothing grows while nobody reads: buffers fill up, and then TCP's windows."""
    sent_bytes = 0
    packet = b"".join(
        message_pdus(FIND, CFindResponse(1, PENDING, has_data_set=True), bytes(8000)) * 20
    )

    async def act(peer: ScriptedPeer) -> None:
        nonlocal sent_bytes
        while True:
            await peer.send(packet)
            sent_bytes += len(packet)

    async def ask_once(transport: DimseTransport) -> None:
        async with transport.associate(EVERYTHING) as association:
            answers = association.find(association.context_for(STUDY_ROOT.find), b"ask")
            await anext(answers)
            before = -1
            while before != sent_bytes:
                before = sent_bytes
                await asyncio.sleep(0.2)
            assert transport.statistics().bytes_received < 2 * 1024 * 1024
            raise EnoughError

    async with open_peer(after_associating(act)) as port, opened(engine, port) as transport:
        with pytest.raises(EnoughError):
            await ask_once(transport)


@one_loop
@pytest.mark.parametrize("what", ["identifier", "command set"])
async def test_what_grows_without_end_is_refused(engine: str, what: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        command = CFindResponse(1, PENDING, has_data_set=True)
        if what == "identifier":
            await peer.send(*pdv_pdus(FIND, command.encode(), is_command=True))
        piece = pdv_pdus(FIND, bytes(16000), is_command=what == "command set")[0]
        endless = piece[:11] + bytes([piece[11] & 1]) + piece[12:]
        while True:
            await peer.send(endless)

    async with open_peer(after_associating(act)) as port:
        with pytest.raises(ProtocolError, match=what):
            await find(engine, port)


@one_loop
async def test_a_garbled_list_of_failed_uids_is_no_list(engine: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        response = CGetResponse(1, 0xB000, failed=1, has_data_set=True)
        await peer.send(*message_pdus(GET, response, b"\x08\x00\x58\x00UI\xff\xff1."))
        await peer.release()

    async with open_peer(after_associating(act)) as port:
        assert await get(engine, port, KeptStorage()) == [0xB000]


async def test_comments_of_the_peer_reach_no_log_and_no_error(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    secret = "Doe^Jane was not found"

    async def act(peer: ScriptedPeer) -> None:
        details = ErrorDetails(error_comment=secret)
        await peer.send(*message_pdus(FIND, CFindResponse(1, 0xC001, details=details)))
        await peer.release()

    async with open_peer(after_associating(act)) as port:
        with pytest.raises(AsyncDicomError) as caught:
            await find(engine, port)
    assert "Doe" not in str(caught.value)
    assert "Doe" not in caplog.text
    assert [one.name for one in caplog.records if one.name.startswith("pynetdicom")] == []


# TLS (PS3.15 §B.12): a peer that speaks nothing else.


@pytest.fixture(scope="module")
def tls_port(
    tmp_path_factory: pytest.TempPathFactory, files: Path, authority: Authority
) -> Iterator[int]:
    options = PynetdicomOptions(cert_file=authority.identity("127.0.0.1"))
    log = tmp_path_factory.mktemp("tls") / "log"
    with running_pynetdicom_peer(files, options, log) as peer:
        yield peer.port


@pytest.fixture(scope="module")
def other_name_port(
    tmp_path_factory: pytest.TempPathFactory, files: Path, authority: Authority
) -> Iterator[int]:
    """A peer with a certificate for another name, that asks its clients for theirs."""
    options = PynetdicomOptions(
        cert_file=authority.identity("archive.test"), ca_file=authority.ca_file
    )
    log = tmp_path_factory.mktemp("tls") / "log"
    with running_pynetdicom_peer(files, options, log) as peer:
        yield peer.port


async def test_a_study_travels_over_tls(engine: str, tls_port: int, authority: Authority) -> None:
    tls = TlsSettings(ca_file=authority.ca_file)
    storage = KeptStorage()
    async with associated(engine, tls_port, tls=tls) as association:
        told = await get_study(association, storage, "STUDY", STUDY=SLICES_STUDY)
    assert (told[-1].status, len(storage.whole)) == (SUCCESS, SLICES)


async def test_a_certificate_of_nobody_we_trust_is_rejected(engine: str, tls_port: int) -> None:
    with pytest.raises(TlsRejected, match="no trusted authority"):
        await echo(engine, tls_port, tls=TlsSettings())


async def test_trust_can_be_given_up(engine: str, tls_port: int) -> None:
    await echo(engine, tls_port, tls=TlsSettings(verify=False))


async def test_the_name_in_the_certificate_counts_unless_told_otherwise(
    engine: str, other_name_port: int, authority: Authority
) -> None:
    tls = TlsSettings(ca_file=authority.ca_file, client_cert_file=authority.identity("client"))
    with pytest.raises(TlsRejected, match="another host name"):
        await echo(engine, other_name_port, tls=tls)
    await echo(engine, other_name_port, tls=replace(tls, check_host_name=False))


async def test_who_shows_no_certificate_where_one_is_asked_for_is_rejected(
    engine: str, other_name_port: int, authority: Authority
) -> None:
    tls = TlsSettings(ca_file=authority.ca_file, check_host_name=False)
    with pytest.raises((TlsRejected, ConnectionLost)):
        await echo(engine, other_name_port, tls=tls)


async def test_tls_to_a_plain_port_is_rejected(
    engine: str, pynetdicom_archive: Archive, authority: Authority
) -> None:
    with pytest.raises(TlsRejected):
        await echo(engine, pynetdicom_archive.port, tls=TlsSettings(ca_file=authority.ca_file))


async def test_plain_to_a_port_of_tls_fails_in_time(engine: str, tls_port: int) -> None:
    with pytest.raises((ConnectionLost, ProtocolError, Stalled)):
        await echo(engine, tls_port, acse_timeout_s=1)


async def test_a_peer_that_never_shakes_hands_is_unreachable(
    engine: str, authority: Authority
) -> None:
    tls = TlsSettings(ca_file=authority.ca_file)
    async with open_peer(says_nothing) as port:
        with pytest.raises(Unreachable):
            await echo(engine, port, tls=tls, connect_timeout_s=0.3)


@pytest.mark.parametrize("profile", ["bcp195", "bcp195-modified"])
async def test_dcmtk_speaks_the_profiles_of_tls(
    engine: str, profile: str, dcmtk_tls_port: int, authority: Authority
) -> None:
    tls = TlsSettings(
        profile=profile,
        ca_file=authority.ca_file,
        client_cert_file=authority.identity("client"),
    )
    await echo(engine, dcmtk_tls_port, tls=tls, called_ae="MOVER")


@pytest.fixture(scope="module")
def dcmtk_tls_port(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[int]:
    require_peer("dcmtk")
    identity = str(authority.identity("127.0.0.1"))
    words = ["+tls", identity, identity, "+cf", str(authority.ca_file)]
    with running_storescp(tmp_path_factory.mktemp("storescp"), *words) as receiver:
        yield receiver.port


async def test_many_faults_leave_no_task_behind(engine: str) -> None:
    async def act(peer: ScriptedPeer) -> None:
        peer.reset()

    before = len(asyncio.all_tasks())
    async with open_peer(after_associating(act)) as port:
        for _ in range(5):
            with pytest.raises(ConnectionLost):
                await find(engine, port)
    await until(lambda: len(asyncio.all_tasks()) <= before)
