"""What both acceptors do for those who store: one contract, two engines."""

from __future__ import annotations

import asyncio
import struct
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AssociationAborted,
    AssociationRejected,
    ConfigError,
    ConnectionLost,
    ProtocolError,
    Stalled,
)
from asyncdicom.ports.dimse import PresentationContext, Proposal
from asyncdicom.protocol.dimse.messages import (
    CEchoRequest,
    CFindRequest,
    CFindResponse,
    CStoreRequest,
    CStoreResponse,
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
from asyncdicom.transports.associations.native import NativeTransport
from asyncdicom.transports.associations.pynetdicom_acceptor import PynetdicomServer
from asyncdicom.transports.associations.services import BUSY, CALLED_AE_UNKNOWN, Services
from asyncdicom.transports.associations.settings import TlsSettings
from tests.support.scripted_peer import dial, message_pdus, pdv_pdus
from tests.transports.associations.support import (
    CT,
    PRIVATE,
    SYNTAXES,
    KeptSink,
    KeptStorage,
    associated,
    settings_for,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncdicom.ports.dimse import StoreRequest
    from asyncdicom.transports.associations.services import Requestor
    from tests.transports.associations.conftest import Authority

pytestmark = pytest.mark.anyio

SERVERS: dict[str, type[AssociationServer]] = {
    "native": AssociationServer,
    "pynetdicom": PynetdicomServer,
}

CONTEXTS = (
    ContextProposal(VERIFICATION, SYNTAXES),
    ContextProposal(CT, SYNTAXES),
    ContextProposal(STUDY_ROOT.find, SYNTAXES),
    ContextProposal(PRIVATE, ("1.2.9", *SYNTAXES)),
)
ECHO, STORE, FIND = 1, 3, 5
STORING = Proposal((PresentationContext(VERIFICATION, SYNTAXES), PresentationContext(CT, SYNTAXES)))
ABORT_PDU = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"


@dataclass
class Keeper(Services):
    """Takes everything, and remembers."""

    storage_handler: KeptStorage = field(default_factory=KeptStorage)
    endings: list[BaseException | None] = field(default_factory=list)
    rejections: list[AssociateReject] = field(default_factory=list)

    def storage(self, _requestor: Requestor, /) -> KeptStorage:
        return self.storage_handler

    def rejected(self, _requestor: Requestor, refusal: AssociateReject, /) -> None:
        self.rejections.append(refusal)

    def ended(self, _requestor: Requestor, failure: BaseException | None, /) -> None:
        self.endings.append(failure)

    @property
    def sinks(self) -> list[KeptSink]:
        return self.storage_handler.sinks


@pytest.fixture(params=list(SERVERS))
def server_class(request: pytest.FixtureRequest) -> type[AssociationServer]:
    return SERVERS[request.param]


@asynccontextmanager
async def serving(
    server_class: type[AssociationServer], services: Services, **changes: Any
) -> AsyncIterator[AssociationServer]:
    """Serve on a free port."""
    plain = ServerSettings(port=0, artim_timeout_s=30, idle_timeout_s=30)
    async with server_class(replace(plain, **changes), services) as server:
        yield server


async def test_contexts_are_answered_one_by_one(server_class: type[AssociationServer]) -> None:
    async with serving(server_class, Keeper()) as server, dial(server.port) as peer:
        answer = await peer.request(CONTEXTS)
    assert isinstance(answer, AssociateAccept)
    told = [(one.context_id, one.result) for one in answer.contexts]
    assert sorted(told) == [(1, 0), (3, 0), (5, 3), (7, 0)]
    chosen = {one.context_id: one.transfer_syntax for one in answer.contexts if not one.result}
    assert chosen == {1: SYNTAXES[0], 3: SYNTAXES[0], 7: "1.2.9"}
    assert answer.user.max_pdu_bytes == ServerSettings().max_pdu_bytes


async def test_roles_are_granted_as_proposed(server_class: type[AssociationServer]) -> None:
    proposed = (ContextProposal(CT, SYNTAXES, is_scp=True),)
    async with serving(server_class, Keeper()) as server, dial(server.port) as peer:
        answer = await peer.request(proposed)
    assert isinstance(answer, AssociateAccept)
    (role,) = answer.user.roles.values()
    assert (role.sop_class_uid, role.is_scu, role.is_scp) == (CT, True, True)


async def test_who_is_not_admitted_is_refused_with_the_reason(
    server_class: type[AssociationServer],
) -> None:
    class Guarded(Keeper):
        def admit(self, requestor: Requestor, /) -> AssociateReject | None:
            assert requestor.address.startswith("127.0.0.1:")
            assert requestor.calling_ae.strip() == "SCRIPT"
            return CALLED_AE_UNKNOWN

    guarded = Guarded()
    async with serving(server_class, guarded) as server, dial(server.port) as peer:
        assert await peer.request(CONTEXTS) == CALLED_AE_UNKNOWN
        await until(lambda: server.statistics().rejected == 1)
    assert guarded.rejections == [CALLED_AE_UNKNOWN]
    assert guarded.endings == []


async def test_one_association_too_many_is_told_that_we_are_busy(
    server_class: type[AssociationServer],
) -> None:
    async with serving(server_class, Keeper(), max_associations=2) as server:
        async with associated(server.port, STORING), associated(server.port, STORING):
            async with dial(server.port) as peer:
                assert await peer.request(CONTEXTS) == BUSY
            with pytest.raises(AssociationRejected):
                async with associated(server.port, STORING):
                    pytest.fail("that was one too many")
        await until(lambda: server.statistics().associations == 0)
        async with associated(server.port, STORING) as association:
            await association.echo()
        assert server.statistics().associations_peak == 2


@pytest.mark.parametrize("status", [0x0000, 0xA700])
async def test_what_a_sink_decides_is_answered(
    server_class: type[AssociationServer], status: int
) -> None:
    keeper = Keeper(KeptStorage(status))
    async with (
        serving(server_class, keeper) as server,
        associated(server.port, STORING) as association,
    ):
        context = association.context_for(CT)
        for number in range(5):
            uid = f"1.2.{number}"
            assert await association.store(context, uid, bytes([number]) * 300_001) == status
        await association.echo()
    whole = keeper.storage_handler.whole
    assert whole == {f"1.2.{n}": bytes([n]) * 300_001 for n in range(5)}
    await until(lambda: keeper.endings)
    assert keeper.endings == [None]


async def test_the_sink_learns_who_stores_what(server_class: type[AssociationServer]) -> None:
    keeper = Keeper()
    async with serving(server_class, keeper) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS, calling_ae="MODALITY")
        store = CStoreRequest(7, CT, "1.2", move_originator="ASKER", move_message_id=9)
        await peer.send(*message_pdus(STORE, store, b"xy"))
        answer = (await peer.message()).command
    assert answer == CStoreResponse(7, 0, CT, "1.2")
    request = keeper.sinks[0].request
    assert (request.calling_ae.strip(), request.move_originator) == ("MODALITY", "ASKER")
    assert (request.message_id, request.move_message_id) == (7, 9)
    assert (request.sop_class_uid, request.transfer_syntax) == (CT, SYNTAXES[0])


async def test_a_data_set_reaches_its_sink_before_its_last_byte_came(
    server_class: type[AssociationServer],
) -> None:
    keeper = Keeper()
    async with serving(server_class, keeper) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        *sent, last = message_pdus(STORE, CStoreRequest(1, CT, "1.2"), bytes(3000), pdv_bytes=1000)
        await peer.send(*sent)
        await until(lambda: keeper.sinks and len(keeper.sinks[0].data) == 2000)
        assert not keeper.sinks[0].is_whole
        await peer.send(last)
        await peer.message()
    assert keeper.storage_handler.whole == {"1.2": bytes(3000)}


async def test_a_query_is_refused_and_the_association_lives(
    server_class: type[AssociationServer],
) -> None:
    class Open(Keeper):
        def offers(self, _requestor: Requestor, _abstract_syntax: str, /) -> bool:
            return True

    async with serving(server_class, Open()) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(*message_pdus(FIND, CFindRequest(3, STUDY_ROOT.find), b"ask "))
        answer = (await peer.message()).command
        assert isinstance(answer, CFindResponse)
        assert (answer.responds_to, answer.status) == (3, 0x0122)
        await peer.send(*message_pdus(ECHO, CEchoRequest(4)))
        assert (await peer.message()).message_id == 4


@pytest.mark.parametrize("way", ["close", "reset", "abort"])
async def test_an_end_within_a_data_set_stores_nothing(
    server_class: type[AssociationServer], way: str
) -> None:
    keeper = Keeper()
    async with serving(server_class, keeper) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        *sent, _ = message_pdus(STORE, CStoreRequest(1, CT, "1.2"), bytes(300), pdv_bytes=100)
        await peer.send(*sent)
        await until(lambda: keeper.sinks)
        if way == "abort":
            await peer.send(ABORT_PDU)
        elif way == "reset":
            peer.reset()
        else:
            peer.close()
        await until(lambda: keeper.endings)
    assert isinstance(keeper.endings[0], AssociationAborted if way == "abort" else ConnectionLost)
    assert keeper.storage_handler.whole == {}
    assert keeper.sinks[0].is_discarded


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(struct.pack(">BxI", 4, 0xFFFFFFFF), id="PDU of 4 GiB"),
        pytest.param(struct.pack(">BxI", 4, 128 * 1024 + 1), id="PDU a byte too long"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(message_pdus(99, CEchoRequest(1))[0], id="context not accepted"),
        pytest.param(message_pdus(STORE, CStoreResponse(1, 0))[0], id="a store not sent"),
        pytest.param(
            b"".join(message_pdus(STORE, CStoreRequest(n, CT, "1.2"), b"x")[0] for n in (1, 2)),
            id="a command where a data set is due",
        ),
        pytest.param(
            message_pdus(STORE, CStoreRequest(1, CT, "1.2"), b"x")[0] + encode(ReleaseRequest()),
            id="a release where a data set is due",
        ),
    ],
)
async def test_what_breaks_the_standard_is_aborted_and_others_are_served(
    server_class: type[AssociationServer], sent: bytes
) -> None:
    keeper = Keeper()
    async with serving(server_class, keeper) as server, associated(server.port, STORING) as other:
        async with dial(server.port) as peer:
            await peer.request(CONTEXTS)
            await peer.send(sent)
            await peer.aborted()
        await other.echo()
        await until(lambda: keeper.endings)
    assert isinstance(keeper.endings[0], ProtocolError)
    assert keeper.storage_handler.whole == {}


async def test_silence_before_the_request_ends_with_artim_and_costs_no_thread(
    server_class: type[AssociationServer],
) -> None:
    before = set(threading.enumerate())
    async with (
        serving(server_class, Keeper(), artim_timeout_s=0.3) as server,
        dial(server.port) as one,
        dial(server.port) as other,
    ):
        await until(lambda: server.statistics().connections == 2)
        assert set(threading.enumerate()) <= before
        await one.silence()
        await other.silence()
        await until(lambda: server.statistics().connections == 0)


async def test_silence_within_the_request_ends_with_artim(
    server_class: type[AssociationServer],
) -> None:
    async with (
        serving(server_class, Keeper(), artim_timeout_s=0.3) as server,
        dial(server.port) as peer,
    ):
        await peer.send(b"\x01\x00\x00\x00\x10\x00")
        await peer.silence()
        await until(lambda: server.statistics().connections == 0)


async def test_a_silent_association_is_aborted(server_class: type[AssociationServer]) -> None:
    keeper = Keeper()
    async with (
        serving(server_class, keeper, idle_timeout_s=0.3) as server,
        dial(server.port) as peer,
    ):
        await peer.request(CONTEXTS)
        await peer.aborted()
        await until(lambda: keeper.endings)
    assert isinstance(keeper.endings[0], Stalled)


async def test_a_data_set_that_trickles_is_aborted(server_class: type[AssociationServer]) -> None:
    keeper = Keeper()
    limits = {"min_rate_window_s": 0.3, "min_bytes_per_s": 1_000_000}
    async with serving(server_class, keeper, **limits) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        command = message_pdus(STORE, CStoreRequest(1, CT, "1"), b"")[0]
        rest = pdv_pdus(STORE, bytes(999), is_command=False, pdv_bytes=1)
        reading = asyncio.create_task(peer.aborted())
        await peer.send(command)
        for byte in rest:
            if reading.done():
                break
            # uvloop says RuntimeError where asyncio says ConnectionError.
            with suppress(ConnectionError, RuntimeError):
                await peer.send(byte)
            await asyncio.sleep(0.01)
        await reading
        await until(lambda: keeper.endings)
    assert isinstance(keeper.endings[0], Stalled)
    assert keeper.sinks[0].is_discarded


async def test_a_peer_may_release(server_class: type[AssociationServer]) -> None:
    keeper = Keeper()
    async with serving(server_class, keeper) as server, dial(server.port) as peer:
        await peer.request(CONTEXTS)
        await peer.send(encode(ReleaseRequest()))
        assert isinstance(await peer.pdu(), ReleaseResponse)
        peer.close()
        await until(lambda: keeper.endings)
        await until(lambda: server.statistics().connections == 0)
    assert keeper.endings == [None]


async def test_a_sink_that_fails_ends_its_association_only(
    server_class: type[AssociationServer],
) -> None:
    class Broken(KeptStorage):
        def begin(self, request: StoreRequest, /) -> KeptSink:
            if request.sop_instance_uid == "1.6":
                raise RuntimeError("a bug")
            return super().begin(request)

    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    keeper = Keeper(Broken())
    async with serving(server_class, keeper) as server, associated(server.port, STORING) as other:
        async with dial(server.port) as peer:
            await peer.request(CONTEXTS)
            await peer.send(*message_pdus(STORE, CStoreRequest(1, CT, "1.6"), b"xy"))
            await peer.aborted()
        assert await other.store(other.context_for(CT), "1.2", b"data") == 0
        await until(lambda: told)
    assert [str(one["exception"]) for one in told] == ["a bug"]


async def test_leaving_aborts_what_is_open_and_leaves_no_thread(
    server_class: type[AssociationServer],
) -> None:
    before = set(threading.enumerate())
    keeper = Keeper()
    async with (
        serving(server_class, keeper) as server,
        dial(server.port) as silent,
        dial(server.port) as peer,
    ):
        await peer.request(CONTEXTS)
        *sent, _ = message_pdus(STORE, CStoreRequest(1, CT, "1.2"), bytes(300), pdv_bytes=100)
        await peer.send(*sent)
        await until(lambda: keeper.sinks)
        await server.aclose()
        await peer.aborted()
        await silent.silence()
        assert server.statistics().connections == 0
        # A thread that has said its last word may still be on its way out.
        await until(lambda: set(threading.enumerate()) <= before)
    assert keeper.sinks[0].is_discarded
    assert isinstance(keeper.endings[0], asyncio.CancelledError)


async def test_draining_waits_for_those_who_are_there(
    server_class: type[AssociationServer],
) -> None:
    async with serving(server_class, Keeper()) as server:
        async with associated(server.port, STORING) as association:
            draining = asyncio.create_task(server.drain())
            await asyncio.sleep(0)
            await association.echo()
            assert not draining.done()
            with pytest.raises(OSError, match=r".*"):
                await asyncio.open_connection("127.0.0.1", server.port)
        await draining


async def test_a_port_that_is_taken_is_named(server_class: type[AssociationServer]) -> None:
    async with serving(server_class, Keeper()) as server:
        with pytest.raises(ConfigError, match=str(server.port)):
            async with serving(server_class, Keeper(), port=server.port):
                pytest.fail("there is only one")


async def test_tls_is_spoken_where_it_is_set(
    server_class: type[AssociationServer], authority: Authority
) -> None:
    ours = TlsSettings(client_cert_file=authority.identity("localhost"))
    theirs = TlsSettings(ca_file=authority.ca_file, check_host_name=False)
    keeper = Keeper()
    async with serving(server_class, keeper, tls=ours) as server:
        transport = NativeTransport(settings_for(server.port, tls=theirs))
        async with transport.associate(STORING) as association:
            context = association.context_for(CT)
            assert await association.store(context, "1.2", bytes(200_000)) == 0
        await transport.aclose()
        async with dial(server.port) as plain:
            await plain.send(b"\x01\x00\x00\x00\x00\x10")
            await plain.silence()
    assert keeper.storage_handler.whole == {"1.2": bytes(200_000)}
