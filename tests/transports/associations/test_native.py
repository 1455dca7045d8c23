"""The native engine against our own acceptor: all operations, in order and left early."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import pytest

from asyncdicom.errors import (
    AssociationAborted,
    ConfigError,
    ConnectionLost,
    NotNegotiated,
    OperationFailed,
    Unreachable,
    UsageError,
)
from asyncdicom.ports.dimse import PresentationContext, Proposal, SubOperations
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT, UNCOMPRESSED, VERIFICATION
from asyncdicom.protocol.upper_layer.user_information import ExtendedNegotiation
from asyncdicom.transports.associations.native import NativeTransport
from asyncdicom.transports.associations.services import PENDING, Services
from asyncdicom.transports.associations.settings import UserIdentity
from tests.transports.associations.support import (
    CT,
    EVERYTHING,
    MR,
    PRIVATE,
    STORING,
    SYNTAXES,
    Archive,
    KeptStorage,
    associated,
    instance,
    serving,
    settings_for,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncdicom.transports.associations.services import Operation, Requestor

pytestmark = pytest.mark.anyio


async def test_an_echo_is_answered() -> None:
    async with serving(Services()) as server, associated(server.port) as association:
        await association.echo()
        await association.echo()


async def test_an_echo_that_is_answered_with_a_failure_is_one() -> None:
    class Ill(Services):
        async def echo(self, _requestor: object, /) -> int:
            return 0x0110

    async with serving(Ill()) as server, associated(server.port) as association:
        with pytest.raises(OperationFailed, match="0110"):
            await association.echo()
        with pytest.raises(OperationFailed):
            await association.echo()


async def test_each_match_is_yielded_in_its_transfer_syntax() -> None:
    async with serving(Archive()) as server, associated(server.port) as association:
        context = association.context_for(STUDY_ROOT.find)
        found = [one async for one in association.find(context, b"ask")]
    assert [one.identifier for one in found] == [b"match 0", b"match 1", b"match 2"]
    assert {one.transfer_syntax for one in found} == set(SYNTAXES)


async def test_a_find_without_matches_yields_nothing() -> None:
    async with serving(Archive(matches=0)) as server, associated(server.port) as association:
        context = association.context_for(STUDY_ROOT.find)
        assert [one async for one in association.find(context, b"ask")] == []


async def test_a_failed_find_leaves_the_association_usable() -> None:
    class Refusing(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            yield b"one"
            raise OperationFailed("no such level", status=0xA900)

    async with serving(Refusing()) as server, associated(server.port) as association:
        context = association.context_for(STUDY_ROOT.find)
        answers = association.find(context, b"ask")
        assert (await anext(answers)).identifier == b"one"
        with pytest.raises(OperationFailed, match="A900"):
            await anext(answers)
        await association.echo()


async def test_a_find_left_early_is_cancelled_and_the_association_stays_usable() -> None:
    archive = Archive(matches=1_000_000)
    async with serving(archive) as server, associated(server.port) as association:
        context = association.context_for(STUDY_ROOT.find)
        async with aclosing(association.find(context, b"ask")) as answers:
            await anext(answers)
        assert archive.operations[0].is_cancelled
        await association.echo()


async def test_breaking_out_of_a_loop_is_as_good() -> None:
    archive = Archive(matches=1_000_000)
    async with serving(archive) as server:
        async with associated(server.port) as association:
            context = association.context_for(STUDY_ROOT.find)
            async for _ in association.find(context, b"ask"):
                break
            archive.matches = 1
            assert len([one async for one in association.find(context, b"ask")]) == 1
            async for _ in association.find(context, b"ask"):
                break
        await until(lambda: archive.endings == [None])


async def test_a_generator_that_outlives_its_association_is_cancelled_with_it() -> None:
    archive = Archive(matches=1_000_000)
    async with serving(archive) as server:
        async with associated(server.port) as association:
            answers = association.find(association.context_for(STUDY_ROOT.find), b"ask")
            await anext(answers)
        with pytest.raises(ConnectionLost):
            await anext(answers)
        await until(lambda: archive.endings == [None])


async def test_one_operation_at_a_time() -> None:
    class Slow(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            yield b"one"
            await asyncio.Event().wait()

    async with serving(Slow()) as server, associated(server.port) as association:
        answers = association.find(association.context_for(STUDY_ROOT.find), b"ask")
        await anext(answers)
        waiting = asyncio.create_task(anext(answers))
        await asyncio.sleep(0)
        with pytest.raises(UsageError):
            await association.echo()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_get_hands_over_each_instance_and_each_response() -> None:
    sent = [instance(number, size) for number, size in enumerate((0, 1, 1000, 700_000))]
    archive, storage = Archive(instances=sent), KeptStorage()
    async with serving(archive) as server, associated(server.port) as association:
        context = association.context_for(STUDY_ROOT.get)
        responses = [one async for one in association.get(context, b"ask", storage)]
    assert storage.whole == {one.sop_instance_uid: one.dataset for one in sent}
    assert [one.remaining for one in responses] == [3, 2, 1, 0, None]
    assert responses[-1] == SubOperations(0, completed=4, failed=0)
    request = storage.sinks[0].request
    assert (request.sop_class_uid, request.transfer_syntax) == (CT, SYNTAXES[0])
    assert request.calling_ae == "ARCHIVE"
    assert archive.operations[0].identifier == b"ask"


async def test_the_peer_hears_the_status_of_each_instance() -> None:
    archive, storage = Archive(instances=[instance(1), instance(2)]), KeptStorage(status=0xA700)
    async with serving(archive) as server, associated(server.port) as association:
        context = association.context_for(STUDY_ROOT.get)
        assert len([one async for one in association.get(context, b"ask", storage)]) == 3
    assert archive.statuses == [0xA700, 0xA700]


async def test_failed_uids_come_with_the_final_response() -> None:
    final = SubOperations(
        0xB000, completed=1, failed=2, warning=0, failed_sop_instance_uids=("1.2.3", "1.2.44")
    )

    class Failing(Archive):
        async def get(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
            yield final

        async def move(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
            yield final

    async with serving(Failing()) as server, associated(server.port) as association:
        get = association.get(association.context_for(STUDY_ROOT.get), b"ask", KeptStorage())
        assert [one async for one in get] == [final]
        move = association.move(association.context_for(STUDY_ROOT.move), b"ask", "THERE")
        assert [one async for one in move] == [final]


async def test_a_failed_get_is_told_not_raised() -> None:
    class Failing(Archive):
        def get(self, operation: Operation, /) -> AsyncGenerator[SubOperations]:
            raise OperationFailed("out of resources", status=0xA702)

    async with serving(Failing()) as server, associated(server.port) as association:
        get = association.get(association.context_for(STUDY_ROOT.get), b"ask", KeptStorage())
        assert [one.status async for one in get] == [0xA702]
        await association.echo()


async def test_a_move_names_its_destination() -> None:
    archive = Archive()
    async with serving(archive) as server, associated(server.port) as association:
        context = association.context_for(STUDY_ROOT.move)
        responses = [one async for one in association.move(context, b"ask", "THERE")]
    assert [one.status for one in responses] == [PENDING, 0]
    assert archive.operations[0].destination == "THERE"


async def test_a_get_left_early_stores_no_more() -> None:
    archive = Archive(instances=[instance(number) for number in range(200)])
    storage = KeptStorage()
    async with serving(archive) as server, associated(server.port) as association:
        get = association.get(association.context_for(STUDY_ROOT.get), b"ask", storage)
        async with aclosing(get):
            await anext(get)
        assert archive.operations[0].is_cancelled
        assert len(storage.whole) <= 2
        await association.echo()


async def test_what_a_sink_raises_ends_the_operation_and_aborts() -> None:
    class Full(KeptStorage):
        def begin(self, _request: object, /) -> NoReturn:
            raise OSError(28, "disk full")

    archive = Archive(instances=[instance(1), instance(2)])
    async with serving(archive) as server:
        async with associated(server.port) as association:
            context = association.context_for(STUDY_ROOT.get)
            with pytest.raises(OSError, match="disk full"):
                await anext(association.get(context, b"ask", Full()))
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], ConnectionLost)


@pytest.mark.parametrize("byte_count", [0, 1, 16_378, 16_379, 16_378 * 64, 2_000_001])
async def test_a_store_delivers_the_very_bytes(byte_count: int) -> None:
    archive = Archive()
    dataset = bytes(range(256)) * (byte_count // 256 + 1)
    async with (
        serving(archive, max_pdu_bytes=16384) as server,
        associated(server.port, STORING) as association,
    ):
        context = association.context_for(PRIVATE)
        assert await association.store(context, "1.2.3", dataset[:byte_count]) == 0
    assert archive.storage_handler.whole == {"1.2.3": dataset[:byte_count]}


async def test_what_is_stored_stays_stored_when_the_association_is_aborted_later() -> None:
    archive, storage = Archive(instances=[instance(1)]), KeptStorage()
    async with serving(archive) as server:
        async with associated(server.port) as association:
            get = association.get(association.context_for(STUDY_ROOT.get), b"ask", storage)
            assert [one.completed async for one in get] == [1, 1]
            association.abort()
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], AssociationAborted)
    assert not storage.sinks[0].is_discarded


async def test_an_error_of_the_user_aborts_the_association() -> None:
    async def run(port: int) -> None:
        async with associated(port):
            raise KeyError

    archive = Archive()
    async with serving(archive) as server:
        with pytest.raises(KeyError):
            await run(server.port)
        await until(lambda: archive.endings)
    assert isinstance(archive.endings[0], AssociationAborted)


async def test_services_not_accepted_are_named() -> None:
    class Picky(Services):
        def offers(self, _requestor: object, abstract_syntax: str, /) -> bool:
            return abstract_syntax == VERIFICATION

    async with serving(Picky()) as server, associated(server.port) as association:
        assert [one.abstract_syntax for one in association.accepted] == [VERIFICATION]
        with pytest.raises(NotNegotiated) as caught:
            association.context_for(MR)
    assert caught.value.abstract_syntaxes == (MR,)


async def test_an_association_without_any_service_is_none() -> None:
    class Closed(Services):
        def offers(self, _requestor: object, _abstract_syntax: str, /) -> bool:
            return False

    async with serving(Closed()) as server:
        with pytest.raises(NotNegotiated) as caught:
            async with associated(server.port, STORING):
                pytest.fail("nothing was accepted")
    assert caught.value.abstract_syntaxes == (CT, PRIVATE)


async def test_by_default_only_what_peers_can_read_is_selected_for_identifiers() -> None:
    deflated = "1.2.840.10008.1.2.1.99"
    proposal = Proposal(
        (
            PresentationContext(STUDY_ROOT.find, (deflated,)),
            PresentationContext(STUDY_ROOT.get, (deflated, *UNCOMPRESSED)),
            PresentationContext(CT, (deflated, *UNCOMPRESSED), is_scp=True),
        )
    )
    async with serving(Archive()) as server, associated(server.port, proposal) as association:
        selected = [(one.context_id, one.transfer_syntax) for one in association.accepted]
    assert selected == [(3, UNCOMPRESSED[0]), (5, deflated)]


async def test_what_we_say_about_ourselves_arrives() -> None:
    seen: list[Requestor] = []

    class Curious(Archive):
        def admit(self, requestor: Requestor, /) -> None:
            seen.append(requestor)

    negotiation = (STUDY_ROOT.find, b"\1\1")
    proposal = replace(EVERYTHING, extended_negotiation=(negotiation,))
    async with (
        serving(Curious()) as server,
        associated(server.port, proposal, identity=UserIdentity("johndoe", "s3cret")),
    ):
        (requestor,) = seen
    user = requestor.request.user
    assert (requestor.called_ae, requestor.calling_ae) == ("ARCHIVE", "ASYNCDICOM")
    assert user.identity is not None
    assert (user.identity.primary, user.identity.secondary) == (b"johndoe", b"s3cret")
    assert user.max_pdu_bytes == 128 * 1024
    assert user.implementation_version.startswith("ASYNCDICOM")
    assert ExtendedNegotiation(*negotiation) in user.items
    assert set(user.roles) == {CT}
    assert "johndoe" not in repr(requestor)


async def test_counters_count() -> None:
    async with serving(Archive()) as server:
        transport = NativeTransport(settings_for(server.port))
        async with transport.associate(EVERYTHING) as association:
            await association.echo()
            assert transport.statistics().in_flight == 1
        statistics = transport.statistics()
        await transport.aclose()
    assert (statistics.associations, statistics.in_flight, statistics.in_flight_peak) == (1, 0, 1)
    assert statistics.messages_received == 1
    assert statistics.bytes_received > 100
    assert transport.name == "native"


async def test_an_association_that_is_over_holds_no_buffer() -> None:
    """Thousands may come before the garbage collector does."""
    async with serving(Archive()) as server:
        async with associated(server.port) as association:
            await association.echo()
            assert association.wire.connection._view.nbytes > 0
        assert association.wire.connection._view.nbytes == 0
        assert association.wire.connection._timer is None


async def test_closing_the_transport_ends_what_is_under_way() -> None:
    class Silent(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            self.operations.append(operation)
            await asyncio.Event().wait()
            yield b""

    archive = Silent()

    async def ask(transport: NativeTransport) -> None:
        async with transport.associate(EVERYTHING) as association:
            async for _ in association.find(association.context_for(STUDY_ROOT.find), b"ask"):
                pass

    async with serving(archive) as server:
        transport = NativeTransport(settings_for(server.port))
        asking = asyncio.create_task(ask(transport))
        await until(lambda: archive.operations)
        await transport.aclose()
        with pytest.raises(ConnectionLost, match="closed"):
            await asking
        with pytest.raises(UsageError):
            async with transport.associate(EVERYTHING):
                pytest.fail("a closed transport associates with nobody")


async def test_closing_the_transport_ends_those_that_connect() -> None:
    async with serving(Archive()) as server:
        transport = NativeTransport(settings_for(server.port))

        async def connect() -> None:
            async with transport.associate(EVERYTHING):
                pytest.fail("it was closed before")

        connecting = asyncio.create_task(connect())
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(ConnectionLost, match="closed"):
            await connecting


async def test_nobody_listening_is_unreachable() -> None:
    async with serving(Services()) as server:
        port = server.port
    with pytest.raises(Unreachable) as caught:
        async with associated(port):
            pytest.fail("nobody was there")
    assert caught.value.origin == f"dicom://127.0.0.1:{port}"


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
async def test_a_host_that_is_no_name_is_unreachable(host: str) -> None:
    with pytest.raises(Unreachable, match="no name"):
        async with associated(104, host=host):
            pytest.fail("nobody was there")


async def test_peers_are_found_on_ipv6() -> None:
    async with (
        serving(Services(), host="::1") as server,
        associated(server.port, host="::1") as association,
    ):
        await association.echo()


async def test_a_host_of_several_addresses_is_found_on_the_one_that_listens() -> None:
    async with (
        serving(Services()) as server,
        associated(server.port, host="localhost") as association,
    ):
        await association.echo()


async def test_a_proposal_of_too_many_contexts_is_refused_before_anything_is_sent() -> None:
    contexts = tuple(PresentationContext(f"1.2.{n}", SYNTAXES) for n in range(129))
    async with serving(Services()) as server:
        with pytest.raises(ConfigError):
            async with associated(server.port, Proposal(contexts)):
                pytest.fail("no byte can number them")
