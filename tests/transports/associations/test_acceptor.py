"""The acceptor: whom it lets in, what it answers, and what it does not put up with."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AssociationAborted,
    AssociationRejected,
    ConfigError,
    ConnectionLost,
    OperationFailed,
    ProtocolError,
    Stalled,
)
from asyncdicom.ports.dimse import SubOperations
from asyncdicom.protocol.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CStoreRequest,
    CStoreResponse,
    OtherCommand,
)
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT, VERIFICATION
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal
from asyncdicom.protocol.upper_layer.pdu import (
    AssociateAccept,
    AssociateReject,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)
from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings
from asyncdicom.transports.associations.services import (
    BUSY,
    CALLED_AE_UNKNOWN,
    CALLING_AE_UNKNOWN,
    NOT_SUPPORTED,
    PENDING,
    Peer,
    Services,
)
from tests.support.scripted_peer import dial, message_pdus, pdv_pdus
from tests.transports.associations.support import (
    CT,
    PRIVATE,
    STORING,
    SYNTAXES,
    Archive,
    KeptStorage,
    associated,
    instance,
    serving,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from asyncdicom.transports.associations.services import Operation, Requestor

pytestmark = pytest.mark.anyio

CONTEXTS = (
    ContextProposal(VERIFICATION, SYNTAXES),
    ContextProposal(CT, SYNTAXES),
    ContextProposal(STUDY_ROOT.find, SYNTAXES),
    ContextProposal(STUDY_ROOT.get, SYNTAXES),
)
ECHO, STORE, FIND, GET = 1, 3, 5, 7


class Guarded(Services):
    def __init__(self) -> None:
        self.rejections: list[tuple[str, AssociateReject]] = []

    def rejected(self, requestor: Requestor, refusal: AssociateReject, /) -> None:
        self.rejections.append((requestor.calling_ae, refusal))

    def admit(self, requestor: Requestor, /) -> AssociateReject | None:
        assert requestor.address.startswith("127.0.0.1:")
        if requestor.called_ae != "ARCHIVE":
            return CALLED_AE_UNKNOWN
        return None if requestor.calling_ae == "FRIEND" else CALLING_AE_UNKNOWN


class Crowded(Archive):
    def __init__(self) -> None:
        super().__init__()
        self.rejections: list[tuple[str, AssociateReject]] = []

    def rejected(self, requestor: Requestor, refusal: AssociateReject, /) -> None:
        self.rejections.append((requestor.calling_ae, refusal))


@pytest.mark.parametrize(
    ("called", "calling", "expected"),
    [
        pytest.param("OTHER", "FRIEND", CALLED_AE_UNKNOWN, id="called AE"),
        pytest.param("ARCHIVE", "FOE", CALLING_AE_UNKNOWN, id="calling AE"),
    ],
)
async def test_who_is_not_admitted_is_refused_with_the_reason(
    called: str, calling: str, expected: AssociateReject
) -> None:
    services = Guarded()
    async with serving(services) as server, dial(server.port) as peer:
        answer = await peer.request(CONTEXTS, called_ae=called, calling_ae=calling)
        assert answer == expected
        assert server.statistics().rejected == 1
        assert services.rejections == [(calling, expected)]


async def test_who_is_admitted_is_let_in() -> None:
    async with serving(Guarded()) as server, dial(server.port) as peer:
        answer = await peer.request(CONTEXTS, calling_ae="FRIEND")
        assert isinstance(answer, AssociateAccept)
        assert [one.result for one in answer.contexts] == [0, 3, 3, 3]


async def test_one_association_too_many_is_told_that_we_are_busy() -> None:
    services = Crowded()
    async with serving(services, max_associations=2) as server:
        async with associated(server.port), associated(server.port):
            with pytest.raises(AssociationRejected) as caught:
                async with associated(server.port):
                    pytest.fail("that was one too many")
            assert caught.value.is_transient
            async with dial(server.port) as peer:
                assert await peer.request(CONTEXTS) == BUSY
            assert services.rejections == [("ASYNCDICOM", BUSY), ("SCRIPT", BUSY)]
        await until(lambda: server.statistics().associations == 0)
        async with associated(server.port) as association:
            await association.echo()
        assert server.statistics().associations_peak == 2


async def test_one_connection_too_many_is_closed() -> None:
    async with serving(Archive(), max_connections=1) as server, dial(server.port):
        await until(lambda: server.statistics().connections == 1)
        async with dial(server.port) as peer:
            await peer.silence()
        assert server.statistics().connections == 1


async def test_silence_before_the_request_ends_with_artim() -> None:
    async with serving(Archive(), artim_timeout_s=0.1) as server, dial(server.port) as peer:
        await peer.silence()
        await until(lambda: server.statistics().connections == 0)


async def test_silence_within_the_request_ends_with_artim() -> None:
    async with serving(Archive(), artim_timeout_s=0.1) as server, dial(server.port) as peer:
        await peer.send(b"\x01\x00\x00\x00\x10\x00")
        await peer.silence()


async def test_a_request_that_trickles_ends_with_artim() -> None:
    async with serving(Archive(), artim_timeout_s=0.2) as server, dial(server.port) as peer:
        reading = asyncio.create_task(peer.silence())
        await peer.send(b"\x01\x00\x00\x00\x40\x00")
        while not reading.done():
            # uvloop says RuntimeError where asyncio says ConnectionError.
            with suppress(ConnectionError, RuntimeError):
                await peer.send(b"\0")
            await asyncio.sleep(0.01)
        await reading


async def test_a_data_set_that_trickles_is_aborted() -> None:
    archive = Archive()
    async with (
        serving(archive, min_rate_window_s=0.2, min_bytes_per_s=100_000) as server,
        dial(server.port) as peer,
    ):
        await peer.request(CONTEXTS)
        first, *rest = message_pdus(STORE, CStoreRequest(1, CT, "1.2"), bytes(300), pdv_bytes=100)
        reading = asyncio.create_task(peer.aborted())
        await peer.send(first, rest[0])
        while not reading.done():
            with suppress(ConnectionError, RuntimeError):
                await peer.send(pdv_pdus(STORE, b"", is_command=False)[0][:11] + b"\0")
            await asyncio.sleep(0.01)
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], Stalled)
    assert archive.storage_handler.sinks[0].is_discarded


async def test_a_silent_association_is_aborted() -> None:
    archive = Archive()
    async with serving(archive, idle_timeout_s=0.1) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.aborted()
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], Stalled)


async def test_a_service_that_thinks_long_is_not_the_peers_silence() -> None:
    class Thinking(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            await asyncio.sleep(0.4)
            yield b"late"

    async with (
        serving(Thinking(), idle_timeout_s=0.1) as server,
        associated(server.port) as association,
    ):
        context = association.context_for(STUDY_ROOT.find)
        assert len([one async for one in association.find(context, b"ask")]) == 1


async def test_silence_instead_of_the_answer_to_a_sub_operation_is_a_stall() -> None:
    archive = Archive(instances=[instance(1)])
    roles = (ContextProposal(STUDY_ROOT.get, SYNTAXES), ContextProposal(CT, SYNTAXES, is_scp=True))
    async with serving(archive, idle_timeout_s=0.1) as server, dial(server.port) as peer:
        await peer.request(roles)
        await peer.send(*message_pdus(1, CGetRequest(1, STUDY_ROOT.get), b"ask"))
        assert isinstance((await peer.message()).command, CStoreRequest)
        await peer.aborted()
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], Stalled)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(struct.pack(">BxI", 4, 0xFFFFFFFF), id="PDU of 4 GiB"),
        pytest.param(struct.pack(">BxI", 4, 128 * 1024 + 1), id="PDU a byte too long"),
        pytest.param(struct.pack(">BxI", 4, 0), id="no PDV"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="TLS hello"),
        pytest.param(message_pdus(ECHO, CEchoResponse(1, 0))[0], id="an answer to nothing"),
        pytest.param(message_pdus(STORE, CStoreResponse(1, 0))[0], id="a store not sent"),
        pytest.param(message_pdus(99, CEchoRequest(1))[0], id="context not accepted"),
        pytest.param(pdv_pdus(FIND, b"\xff" * 9, is_command=True)[0], id="no command set"),
        pytest.param(
            b"".join(message_pdus(FIND, CFindRequest(n, STUDY_ROOT.find), b"x")[0] for n in (1, 2)),
            id="a command where a data set is due",
        ),
    ],
)
async def test_what_breaks_the_standard_is_aborted_and_others_are_served(sent: bytes) -> None:
    archive = Archive()
    async with serving(archive) as server, associated(server.port) as other:
        async with dial(server.port) as peer:
            await peer.request(CONTEXTS)
            await peer.send(sent)
            await peer.aborted()
        await other.echo()
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], ProtocolError)


@pytest.mark.parametrize("way", ["close", "reset", "abort"])
async def test_an_end_within_a_data_set_stores_nothing(way: str) -> None:
    archive = Archive()
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        *sent, _last = message_pdus(STORE, CStoreRequest(1, CT, "1.2"), bytes(300), pdv_bytes=100)
        await peer.send(*sent)
        await until(lambda: archive.storage_handler.sinks)
        if way == "abort":
            await peer.send(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")
        elif way == "reset":
            peer.reset()
        else:
            peer.close()
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], AssociationAborted if way == "abort" else ConnectionLost)
    assert archive.storage_handler.whole == {}
    assert archive.storage_handler.sinks[0].is_discarded


async def test_a_release_within_a_data_set_is_aborted() -> None:
    archive = Archive()
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        *sent, _last = message_pdus(STORE, CStoreRequest(1, CT, "1.2"), bytes(300), pdv_bytes=100)
        await peer.send(*sent, encode(ReleaseRequest()))
        await peer.aborted()
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], ProtocolError)
    assert archive.storage_handler.sinks[0].is_discarded


async def test_stores_sent_ahead_are_answered_in_their_order() -> None:
    archive = Archive()
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        for number in range(1, 101):
            store = CStoreRequest(number, CT, f"1.2.{number}")
            await peer.send(*message_pdus(STORE, store, b"x" * number))
        answers = [(await peer.message()).message_id for _ in range(100)]
    assert answers == list(range(1, 101))
    assert archive.storage_handler.whole == {f"1.2.{n}": b"x" * n for n in range(1, 101)}


async def test_the_sink_learns_who_stores_what() -> None:
    archive = Archive()
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS, calling_ae="MODALITY")
        store = CStoreRequest(7, CT, "1.2", move_originator="ASKER", move_message_id=9)
        await peer.send(*message_pdus(STORE, store, b"x"))
        await peer.message()
    request = archive.storage_handler.sinks[0].request
    assert (request.calling_ae, request.move_originator) == ("MODALITY", "ASKER")
    assert (request.message_id, request.move_message_id) == (7, 9)
    assert (request.sop_class_uid, request.transfer_syntax) == (CT, SYNTAXES[0])


async def test_a_server_without_storage_refuses_each_store() -> None:
    class Open(Services):
        def offers(self, _requestor: Requestor, _abstract_syntax: str, /) -> bool:
            return True

    async with serving(Open()) as server, associated(server.port, STORING) as association:
        context = association.context_for(CT)
        assert await association.store(context, "1.2", b"data") == NOT_SUPPORTED


async def test_by_default_private_classes_are_stored_and_nothing_is_queried() -> None:
    class Receiver(Services):
        def __init__(self) -> None:
            self.kept = KeptStorage()

        def storage(self, _requestor: Requestor, /) -> KeptStorage:
            return self.kept

    receiver = Receiver()
    async with serving(receiver) as server, dial(server.port) as peer:
        answer = await peer.request((*CONTEXTS, ContextProposal(PRIVATE, ("1.2.9", *SYNTAXES))))
        assert isinstance(answer, AssociateAccept)
        assert [one.result for one in answer.contexts] == [0, 0, 3, 3, 0]
        assert answer.contexts[-1].transfer_syntax == "1.2.9"


@pytest.mark.parametrize("kind", ["find", "get", "move"])
async def test_services_that_are_not_offered_are_refused(kind: str) -> None:
    class Nothing(Services):
        def offers(self, _requestor: Requestor, _abstract_syntax: str, /) -> bool:
            return True

    async with serving(Nothing()) as server, associated(server.port) as association:
        if kind == "find":
            with pytest.raises(OperationFailed, match="0122"):
                await anext(association.find(association.context_for(STUDY_ROOT.find), b""))
        elif kind == "get":
            context = association.context_for(STUDY_ROOT.get)
            statuses = [one.status async for one in association.get(context, b"", KeptStorage())]
            assert statuses == [NOT_SUPPORTED]
        else:
            context = association.context_for(STUDY_ROOT.move)
            statuses = [one.status async for one in association.move(context, b"", "THERE")]
            assert statuses == [NOT_SUPPORTED]


async def test_a_service_that_nobody_knows_is_answered_as_unrecognized() -> None:
    request = OtherCommand(
        0x0140,
        5,
        has_data_set=False,
        elements={0x0100: b"\x40\x01", 0x0110: b"\x05\x00", 0x0800: b"\x01\x01"},
    )
    async with serving(Archive()) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(ECHO, request))
        answer = (await peer.message()).command
        assert isinstance(answer, OtherCommand)
        assert (answer.command_field, answer.message_id) == (0x8140, 5)
        assert answer.elements[0x0900] == b"\x11\x02"
        await peer.send(*message_pdus(ECHO, CEchoRequest(6)))
        assert (await peer.message()).command == CEchoResponse(6, 0)


async def test_a_cancel_ends_a_find_with_fe00() -> None:
    archive = Archive(matches=1_000_000)
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(FIND, CFindRequest(3, STUDY_ROOT.find), b"ask"))
        await peer.message()
        await peer.send(*message_pdus(FIND, CCancelRequest(3)))
        while (answer := (await peer.message()).command) == pending(3):
            pass
        assert answer == CFindResponse(3, 0xFE00, STUDY_ROOT.find)


def pending(message_id: int) -> CFindResponse:
    return CFindResponse(message_id, PENDING, STUDY_ROOT.find, has_data_set=True)


async def test_a_cancel_that_comes_too_late_is_ignored() -> None:
    async with serving(Archive(matches=0)) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(FIND, CFindRequest(3, STUDY_ROOT.find), b"ask"))
        await peer.message()
        await peer.send(*message_pdus(FIND, CCancelRequest(3)))
        await peer.send(*message_pdus(ECHO, CEchoRequest(4)))
        assert (await peer.message()).command == CEchoResponse(4, 0)


async def test_a_get_that_is_cancelled_tells_how_far_it_came() -> None:
    class Watched(Archive):
        async def get(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
            yield SubOperations(PENDING, remaining=9, completed=1)
            await until(lambda: operation.is_cancelled)
            yield SubOperations(PENDING, remaining=8, completed=2, failed=0)

    async with serving(Watched()) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(GET, CGetRequest(3, STUDY_ROOT.get), b"ask"))
        await peer.message()
        await peer.send(*message_pdus(GET, CCancelRequest(3)))
        answer = (await peer.message()).command
        assert answer == CGetResponse(3, 0xFE00, STUDY_ROOT.get, remaining=8, completed=2, failed=0)


async def test_requests_sent_ahead_wait_for_their_turn() -> None:
    async with serving(Archive(matches=2)) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        for number in (1, 2, 3):
            request = CFindRequest(number, STUDY_ROOT.find)
            await peer.send(*message_pdus(FIND, request, b"ask"))
        answers = [(await peer.message()).message_id for _ in range(9)]
    assert answers == [1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("kind", ["find", "get"])
async def test_a_request_that_is_cancelled_before_its_turn_is_answered_with_fe00(kind: str) -> None:
    asked: list[int] = []

    class Gated(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            asked.append(operation.message_id)
            await until(lambda: operation.is_cancelled)
            yield b""

        async def get(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
            asked.append(operation.message_id)
            yield SubOperations(PENDING, remaining=1)

    context, model = (FIND, STUDY_ROOT.find) if kind == "find" else (GET, STUDY_ROOT.get)
    request = CFindRequest(2, model) if kind == "find" else CGetRequest(2, model)
    async with serving(Gated()) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(FIND, CFindRequest(1, STUDY_ROOT.find), b"ask"))
        await until(lambda: asked)
        await peer.send(*message_pdus(context, request, b"ask"))
        await peer.send(*message_pdus(context, CCancelRequest(2)))
        await peer.send(*message_pdus(FIND, CCancelRequest(1)))
        answers = [(await peer.message()).command for _ in range(2)]
        await peer.send(*message_pdus(ECHO, CEchoRequest(3)))
        assert (await peer.message()).command == CEchoResponse(3, 0)
    told = [(one.responds_to, one.status) for one in answers]  # type: ignore[union-attr]  # -- else it fails
    assert told == [(1, 0xFE00), (2, 0xFE00)]
    assert asked == [1]


async def test_requests_sent_ahead_without_end_are_refused() -> None:
    class Stuck(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            await asyncio.Event().wait()
            yield b""

    archive = Stuck()
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        request = message_pdus(FIND, CFindRequest(1, STUDY_ROOT.find), b"ask")
        await peer.send(*request * 40)
        await peer.aborted()
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], ProtocolError)


async def test_a_service_hears_that_its_peer_went_away() -> None:
    cancelled = asyncio.Event()

    class Stuck(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            self.operations.append(operation)
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            yield b""

    archive = Stuck()
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(FIND, CFindRequest(1, STUDY_ROOT.find), b"ask"))
        await until(lambda: archive.operations)
        peer.close()
        await cancelled.wait()


async def test_the_end_is_told_when_nothing_runs_any_more() -> None:
    told: list[str] = []

    class Slow(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            self.operations.append(operation)
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                told.append("service")
            yield b""

        def ended(self, _requestor: Requestor, _failure: BaseException | None, /) -> None:
            told.append("end")

    archive = Slow()
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(FIND, CFindRequest(1, STUDY_ROOT.find), b"ask"))
        await until(lambda: archive.operations)
        peer.close()
        await until(lambda: len(told) == 2)
    assert told == ["service", "end"]


async def test_a_service_that_never_waits_lets_others_run() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    class Hasty(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            before = turns
            for _ in range(200):
                yield b""
            self.statuses.append(turns - before)

    archive = Hasty()
    task = asyncio.create_task(others())
    async with serving(archive) as server, associated(server.port) as association:
        async for _ in association.find(association.context_for(STUDY_ROOT.find), b"ask"):
            pass
    task.cancel()
    assert archive.statuses[0] >= 199


class Bug(Exception):
    pass


def buggy_find(archive: Archive) -> None:
    async def find(operation: Operation, /) -> AsyncGenerator[bytes]:
        if operation.identifier:
            raise Bug
        yield b""

    archive.find = find  # type: ignore[method-assign]  # -- a bug


def buggy_echo(archive: Archive) -> None:
    async def echo(_requestor: Requestor, /) -> int:
        raise Bug

    archive.echo = echo  # type: ignore[method-assign]  # -- a bug


@pytest.mark.parametrize("break_it", [buggy_find, buggy_echo])
async def test_a_bug_of_a_service_aborts_is_reported_and_leaves_the_others_alone(
    break_it: Callable[[Archive], None],
) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: reported.append(told))
    archive = Archive()
    break_it(archive)
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(FIND, CFindRequest(1, STUDY_ROOT.find), b"ask"))
        await peer.send(*message_pdus(ECHO, CEchoRequest(2)))
        await peer.aborted()
        await until(lambda: reported)
        async with associated(server.port):
            pass
    assert [type(one["exception"]) for one in reported] == [Bug]
    assert isinstance(archive.endings[0], Bug)


async def test_an_operation_may_break_the_rules_for_tests_of_peers() -> None:
    class Rude(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            kind = operation.identifier
            if kind == b"abort":
                operation.abort()
            elif kind == b"close":
                operation.close()
            elif kind == b"write":
                await operation.write(struct.pack(">BxI", 4, 0xFFFFFFFF))
            else:
                data = CFindResponse(operation.message_id, 0xA700).encode()
                await operation.send(operation.context.context_id, data, is_command=True)
            await asyncio.Event().wait()
            yield b""

    async with serving(Rude()) as server:
        for kind, expected in (
            (b"abort", AssociationAborted),
            (b"close", ConnectionLost),
            (b"write", ProtocolError),
            (b"send", OperationFailed),
        ):
            async with associated(server.port) as association:
                context = association.context_for(STUDY_ROOT.find)
                with pytest.raises(expected):
                    await anext(association.find(context, kind))


async def test_several_stores_at_once_are_possible_for_tests_of_peers() -> None:
    class Eager(Archive):
        async def get(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
            ids = [await operation.begin_store(instance(number)) for number in range(10)]
            self.statuses = [await operation.stored(one) for one in reversed(ids)]
            yield SubOperations(0, completed=10)

    archive, storage = Eager(), KeptStorage()
    async with serving(archive) as server, associated(server.port) as association:
        get = association.get(association.context_for(STUDY_ROOT.get), b"ask", storage)
        assert [one.status async for one in get] == [0]
    assert archive.statuses == [0] * 10
    assert len(storage.whole) == 10


async def test_an_instance_that_the_peer_does_not_take_ends_a_get_with_a702() -> None:
    strange = replace(instance(1), transfer_syntax="1.2.840.10008.1.2.4.90")
    async with (
        serving(Archive(instances=[strange])) as server,
        associated(server.port) as association,
    ):
        get = association.get(association.context_for(STUDY_ROOT.get), b"", KeptStorage())
        assert [one.status async for one in get] == [0xA702]
        await association.echo()


@pytest.mark.parametrize(
    "answers",
    [pytest.param([1], id="another one"), pytest.param([0, 0], id="the same twice")],
)
async def test_an_answer_to_no_sub_operation_is_refused(answers: list[int]) -> None:
    archive = Archive(instances=[instance(1)])
    roles = (ContextProposal(STUDY_ROOT.get, SYNTAXES), ContextProposal(CT, SYNTAXES, is_scp=True))
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(roles)
        await peer.send(*message_pdus(1, CGetRequest(1, STUDY_ROOT.get), b"ask"))
        message = await peer.message()
        for more in answers:
            peer.writer.write(message_pdus(3, CStoreResponse(message.message_id + more, 0))[0])
        await peer.aborted()
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], ProtocolError)


@pytest.mark.parametrize("kind", ["close", "abort"])
async def test_a_service_may_end_it_instead_of_accepting(kind: str) -> None:
    class Rude(Archive):
        async def answering(self, _requestor: Requestor, peer: Peer, /) -> None:
            if kind == "abort":
                peer.abort()
            else:
                peer.close()
                await peer.closed()

    async with serving(Rude()) as server:
        with pytest.raises(ConnectionLost):
            async with associated(server.port):
                pytest.fail("it was ended")
        await until(lambda: server.statistics().connections == 0)


async def test_a_service_may_abort_instead_of_releasing() -> None:
    class Rude(Archive):
        async def releasing(self, _requestor: Requestor, peer: Peer, /) -> None:
            peer.abort()

    async with serving(Rude()) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(encode(ReleaseRequest()))
        await peer.aborted()
        await until(lambda: server.statistics().connections == 0)


async def test_a_service_may_write_what_it_likes_before_accepting() -> None:
    class Rude(Archive):
        async def answering(self, _requestor: Requestor, peer: Peer, /) -> None:
            await peer.write(b"HTTP/1.1 400 Bad Request")

    async with serving(Rude()) as server:
        with pytest.raises(ProtocolError):
            async with associated(server.port):
                pytest.fail("it was no answer")


async def test_failed_sub_operations_end_with_a_warning() -> None:
    class Failing(Archive):
        async def get(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
            yield SubOperations(PENDING, remaining=0, completed=1, failed=1)

    async with serving(Failing()) as server, associated(server.port) as association:
        get = association.get(association.context_for(STUDY_ROOT.get), b"ask", KeptStorage())
        pending, final = [one async for one in get]
    assert (pending.status, pending.remaining) == (PENDING, 0)
    # PS3.7 §9.1.3.1.6: only a pending response tells what remains.
    assert (final.status, final.remaining, final.failed) == (0xB000, None, 1)


async def test_a_release_is_answered_and_the_end_told() -> None:
    archive = Archive()
    async with serving(archive) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(encode(ReleaseRequest()))
        assert isinstance(await peer.pdu(), ReleaseResponse)
        await until(lambda: archive.endings)
    assert archive.endings == [None]


async def test_draining_waits_for_those_that_are_served() -> None:
    async with serving(Archive()) as server:
        async with associated(server.port) as association:
            draining = asyncio.create_task(server.drain())
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                async with dial(server.port):
                    pytest.fail("nobody is let in any more")
            await association.echo()
            assert not draining.done()
        await draining


async def test_leaving_a_server_ends_everything() -> None:
    before = asyncio.all_tasks()
    archive = Archive()
    async with serving(archive) as server, dial(server.port) as silent, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await server.__aexit__(None, None, None)
        await silent.silence()
        await peer.aborted()
        assert asyncio.all_tasks() == before
        assert server.statistics().connections == 0


async def test_a_port_that_is_taken_is_a_matter_of_configuration() -> None:
    async with serving(Services()) as server:
        with pytest.raises(ConfigError, match="cannot listen"):
            async with AssociationServer(ServerSettings(port=server.port), Services()):
                pytest.fail("it was taken")


@pytest.mark.parametrize("host", ["\xe4..b", "a\udcffb", "a\0b"], ids=ascii)
async def test_a_name_that_no_host_can_have_is_a_matter_of_configuration(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        async with AssociationServer(ServerSettings(host=host, port=0), Services()):
            pytest.fail("there is no such host")


async def test_a_port_that_is_none_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on '127\.0\.0\.1' port 65536"):
        async with AssociationServer(ServerSettings(port=65536), Services()):
            pytest.fail("there is no such port")


async def test_serving_lasts_until_it_is_cancelled() -> None:
    async with serving(Services()) as server:
        task = asyncio.create_task(server.serve())
        async with associated(server.port) as association:
            await association.echo()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_hundreds_of_silent_connections_do_not_keep_others_waiting() -> None:
    peers: list[asyncio.StreamWriter] = []
    async with serving(Services()) as server:
        try:
            for _ in range(300):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                peers.append(writer)
            async with asyncio.timeout(20), associated(server.port) as association:
                await association.echo()
        finally:
            for writer in peers:
                writer.transport.abort()
