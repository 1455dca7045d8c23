"""The contract of `ports.dimse`: both engines, against Orthanc, dcmqrscp and pynetdicom's SCP."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import (
    AssociationRejected,
    ConnectionLost,
    NotNegotiated,
    OperationFailed,
    UsageError,
)
from asyncdicom.ports.dimse import PresentationContext, Proposal
from asyncdicom.protocol.dimse.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
    UNCOMPRESSED,
    VERIFICATION,
    QueryLevel,
)
from asyncdicom.protocol.identifiers import Key, encode_identifier, texts_in
from asyncdicom.transports.associations.engines import open_dimse_transport
from asyncdicom.transports.associations.settings import DimseSettings, UserIdentity
from tests.support import dicom
from tests.support.dcmtk import running_storescp
from tests.support.peers import require_peer
from tests.support.pynetdicom_peer import PynetdicomOptions, running_pynetdicom_peer
from tests.transports.associations.conftest import KINDS, KINDS_STUDY, SLICES, SLICES_STUDY
from tests.transports.associations.support import CT, KeptSink, KeptStorage, serving, until
from tests.transports.associations.support import Archive as OwnArchive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from asyncdicom.ports.dimse import (
        AcceptedContext,
        Association,
        DimseTransport,
        StoreRequest,
        SubOperations,
    )
    from asyncdicom.protocol.dimse.sop_classes import QueryModel
    from asyncdicom.protocol.upper_layer.pdu import ProposedContext
    from asyncdicom.transports.associations.services import Requestor
    from tests.transports.associations.conftest import Archive, Held

pytestmark = pytest.mark.anyio

one_loop = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")]
)
"""For large tables: what the loop has to do with them is tested by the smaller ones."""

LEVEL, PATIENT_ID = 0x00080052, 0x00100020
STUDY_UID, SERIES_UID, INSTANCE_UID = 0x0020000D, 0x0020000E, 0x00080018
UNIQUE = {"PATIENT": PATIENT_ID, "STUDY": STUDY_UID, "SERIES": SERIES_UID, "IMAGE": INSTANCE_UID}
UNKNOWN_CLASS = "2.999.404"
SCREEN = "1.2.840.10008.5.1.4.1.1.7"

QUERYING = tuple(
    PresentationContext(uid, UNCOMPRESSED)
    for uid in (
        *(VERIFICATION, STUDY_ROOT.find, STUDY_ROOT.get, STUDY_ROOT.move),
        *(PATIENT_ROOT.find, PATIENT_STUDY_ONLY.find),
    )
)
STORING_CT = PresentationContext(CT, (EXPLICIT_VR_LITTLE_ENDIAN,), is_scp=True)
PLAIN = Proposal((*QUERYING, STORING_CT))


def settings_for(peer: Archive | int, **changes: Any) -> DimseSettings:
    """Patient enough for a busy machine."""
    plain = DimseSettings(
        host="127.0.0.1",
        port=peer if isinstance(peer, int) else peer.port,
        called_ae="ARCHIVE",
        calling_ae="CONTRACT",
        connect_timeout_s=30,
        acse_timeout_s=30,
        idle_timeout_s=30,
    )
    return replace(plain, **changes)


@asynccontextmanager
async def opened(engine: str, peer: Archive | int, **changes: Any) -> AsyncIterator[DimseTransport]:
    transport = open_dimse_transport(engine, settings_for(peer, **changes))
    try:
        yield transport
    finally:
        await transport.aclose()


@asynccontextmanager
async def associated(
    engine: str, peer: Archive | int, proposal: Proposal = PLAIN, **changes: Any
) -> AsyncIterator[Association]:
    async with (
        opened(engine, peer, **changes) as transport,
        transport.associate(proposal) as association,
    ):
        yield association


def keys(context: AcceptedContext, level: str, given: Mapping[int, str]) -> bytes:
    """Write an identifier with the level, what is given, and the key that is asked for."""
    vrs = {PATIENT_ID: "LO"}
    tree = {tag: Key(vrs.get(tag, "UI"), value) for tag, value in given.items()}
    tree.setdefault(UNIQUE[level], Key(vrs.get(UNIQUE[level], "UI")))
    return encode_identifier({LEVEL: Key("CS", level), **tree}, context.transfer_syntax)


async def find(association: Association, model: QueryModel, level: str, **given: str) -> list[str]:
    context = association.context_for(model.find)
    identifier = keys(context, level, {UNIQUE[name]: value for name, value in given.items()})
    tag = UNIQUE[level]
    return sorted(
        [
            texts_in(answer.identifier, answer.transfer_syntax, (tag,))[tag]
            async for answer in association.find(context, identifier)
        ]
    )


async def get(
    association: Association, storage: KeptStorage, level: str, **given: str
) -> list[SubOperations]:
    context = association.context_for(STUDY_ROOT.get)
    identifier = keys(context, level, {UNIQUE[name]: value for name, value in given.items()})
    return [one async for one in association.get(context, identifier, storage)]


async def move(
    association: Association, destination: str, level: str, **given: str
) -> list[SubOperations]:
    context = association.context_for(STUDY_ROOT.move)
    identifier = keys(context, level, {UNIQUE[name]: value for name, value in given.items()})
    return [one async for one in association.move(context, identifier, destination)]


def to_get(instances: Mapping[str, Held]) -> Proposal:
    """Offer one context for each SOP class and transfer syntax of instances."""
    kinds = {(one.sop_class_uid, one.transfer_syntax) for one in instances.values()}
    storing = [PresentationContext(uid, (syntax,), is_scp=True) for uid, syntax in sorted(kinds)]
    return Proposal((*QUERYING[:3], *storing))


async def test_an_echo_is_answered(engine: str, archive: Archive) -> None:
    async with associated(engine, archive) as association:
        await association.echo()
        await association.echo()


async def test_what_was_agreed_on_is_known(engine: str, archive: Archive) -> None:
    refused = PresentationContext(UNKNOWN_CLASS, UNCOMPRESSED)
    proposal = Proposal((QUERYING[0], refused, QUERYING[1], STORING_CT))
    async with associated(engine, archive, proposal) as association:
        accepted = [
            (one.context_id, one.abstract_syntax, one.is_scp)
            for one in association.accepted
            if one.abstract_syntax != UNKNOWN_CLASS
        ]
        assert accepted == [
            (1, VERIFICATION, False),
            (5, STUDY_ROOT.find, False),
            (7, CT, True),
        ]
        assert all(one.transfer_syntax in UNCOMPRESSED for one in association.accepted)
        assert association.peer_max_pdu_bytes >= 0
        with pytest.raises(NotNegotiated) as caught:
            association.context_for(STUDY_ROOT.get)
        assert caught.value.abstract_syntaxes == (STUDY_ROOT.get,)


async def test_who_gets_no_context_at_all_is_told(engine: str, pynetdicom_archive: Archive) -> None:
    unknown = PresentationContext(UNKNOWN_CLASS, UNCOMPRESSED)
    async with opened(engine, pynetdicom_archive) as transport:
        with pytest.raises(NotNegotiated) as caught:
            async with transport.associate(Proposal((unknown, unknown))):
                pytest.fail("nothing was agreed on")
        assert caught.value.abstract_syntaxes == (UNKNOWN_CLASS,)
        async with transport.associate(PLAIN) as association:
            await association.echo()


async def test_a_wrong_called_ae_title_is_named(engine: str, archive: Archive) -> None:
    async with opened(engine, archive, called_ae="NOBODY") as transport:
        with pytest.raises(AssociationRejected, match="called AE title not recognized") as caught:
            async with transport.associate(PLAIN):
                pytest.fail("nobody is called so")
        assert not caught.value.is_transient
        assert transport.statistics().rejections == {caught.value.message: 1}
        assert transport.statistics().associations == 0


LEVELS = [
    pytest.param(model, level, id=f"{model.name}, {level}")
    for model in (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY)
    for level in model.levels
]


@one_loop
@pytest.mark.parametrize(("model", "level"), LEVELS)
async def test_each_level_of_each_model_is_found(
    engine: str, archive: Archive, model: QueryModel, level: str
) -> None:
    given = {"PATIENT": "P-0042", "STUDY": KINDS_STUDY, "SERIES": dicom.uid("series", 1)}
    above = [str(one) for one in model.levels[: model.levels.index(QueryLevel(level))]]
    expected = {
        "PATIENT": ["P-0042"],
        "STUDY": [KINDS_STUDY, SLICES_STUDY],
        "SERIES": [dicom.uid("series", 1)],
        "IMAGE": [dicom.uid("instance", 101 + number) for number in range(len(KINDS))],
    }[level]
    path = {one: given[one] for one in above}
    async with associated(engine, archive) as association:
        if model in archive.models:
            assert await find(association, model, level, **path) == expected
            return
        with pytest.raises(NotNegotiated):
            await find(association, model, level, **path)


async def test_what_is_not_there_is_not_found(engine: str, archive: Archive) -> None:
    async with associated(engine, archive) as association:
        assert await find(association, STUDY_ROOT, "STUDY", STUDY="2.999.404") == []


async def test_a_level_that_does_not_exist_fails(engine: str, archive: Archive) -> None:
    async with associated(engine, archive) as association:
        context = association.context_for(STUDY_ROOT.find)
        identifier = encode_identifier({LEVEL: Key("CS", "FRAME")}, context.transfer_syntax)
        with pytest.raises(OperationFailed) as caught:
            [one async for one in association.find(context, identifier)]
        assert caught.value.status >= 0xA000
        await association.echo()


@one_loop
@pytest.mark.parametrize("kind", KINDS)
async def test_an_instance_arrives_byte_by_byte_as_it_is(
    engine: str, archive: Archive, held: Mapping[str, Held], kind: str
) -> None:
    wanted = held[kind]
    storage = KeptStorage()
    async with associated(engine, archive, to_get({kind: wanted})) as association:
        told = await get(
            association,
            storage,
            "IMAGE",
            STUDY=KINDS_STUDY,
            SERIES=dicom.uid("series", 1),
            IMAGE=wanted.sop_instance_uid,
        )
    assert storage.whole == {wanted.sop_instance_uid: wanted.data_set}
    assert (told[-1].status, told[-1].completed, told[-1].failed or 0) == (0, 1, 0)
    (sink,) = storage.sinks
    assert sink.request.sop_class_uid == wanted.sop_class_uid
    assert sink.request.transfer_syntax == wanted.transfer_syntax
    assert sink.request.calling_ae == "ARCHIVE"


async def test_a_study_of_every_kind_arrives_over_one_association(
    engine: str, archive: Archive, held: Mapping[str, Held]
) -> None:
    wanted = dict(held)
    if archive.name == "dcmqrscp":
        # It takes the first context of a SOP class, whatever its transfer syntax.
        wanted = {kind: held[kind] for kind in held if kind not in ("RLE", "JPEG-LS")}
    storage = KeptStorage()
    async with associated(engine, archive, to_get(wanted)) as association:
        told = await get(association, storage, "STUDY", STUDY=KINDS_STUDY)
    assert storage.whole == {one.sop_instance_uid: one.data_set for one in wanted.values()}
    assert told[-1].completed == len(wanted)
    assert all(one.is_final == (one is told[-1]) for one in told)


async def test_many_associations_get_at_the_same_time(engine: str, archive: Archive) -> None:
    async with opened(engine, archive) as transport:

        async def one_series(number: int) -> int:
            storage = KeptStorage()
            series = dicom.uid("series", 10 + number % 2)
            async with transport.associate(PLAIN) as association:
                await get(association, storage, "SERIES", STUDY=SLICES_STUDY, SERIES=series)
            return len(storage.whole)

        counts = await asyncio.gather(*(one_series(number) for number in range(6)))
        statistics = transport.statistics()
    assert counts == [SLICES // 2] * 6
    assert (statistics.associations, statistics.in_flight, statistics.in_flight_peak) == (6, 0, 6)
    assert statistics.messages_received >= 6 * SLICES // 2
    assert statistics.bytes_received > statistics.messages_received * 100


async def test_a_status_of_the_sink_reaches_the_peer(engine: str, archive: Archive) -> None:
    storage = KeptStorage(status=0xA700)
    async with associated(engine, archive) as association:
        told = await get(association, storage, "STUDY", STUDY=SLICES_STUDY)
        await association.echo()
    assert told[-1].failed
    assert not told[-1].completed
    assert told[-1].status != 0


class BrokenSinkError(Exception):
    """What a sink may raise: anything."""


@dataclass
class BreakingStorage(KeptStorage):
    """Raises where the second data set ends."""

    breaks_at: int = 2

    def begin(self, request: StoreRequest, /) -> KeptSink:
        super().begin(request)
        if len(self.sinks) == self.breaks_at:
            self.sinks[-1] = _BreakingSink(request)
        return self.sinks[-1]


class _BreakingSink(KeptSink):
    async def end(self) -> int:
        raise BrokenSinkError


async def test_what_a_sink_raises_ends_the_operation(engine: str, archive: Archive) -> None:
    storage = BreakingStorage()
    async with opened(engine, archive) as transport:
        with pytest.raises(BrokenSinkError):
            async with transport.associate(PLAIN) as association:
                await get(association, storage, "STUDY", STUDY=SLICES_STUDY)
        assert len(storage.whole) == 1
        assert storage.sinks[-1].is_discarded
        async with transport.associate(PLAIN) as association:
            await association.echo()


@pytest.mark.parametrize("model_level", ["IMAGE"])
async def test_a_find_that_is_left_is_cancelled(
    engine: str, archive: Archive, model_level: str
) -> None:
    async with associated(engine, archive) as association:
        context = association.context_for(STUDY_ROOT.find)
        given = {STUDY_UID: SLICES_STUDY, SERIES_UID: dicom.uid("series", 10)}
        answers = association.find(context, keys(context, model_level, given))
        async with aclosing(answers):
            await anext(answers)
        await association.echo()
        assert await find(association, STUDY_ROOT, "STUDY") == [KINDS_STUDY, SLICES_STUDY]


async def test_a_get_that_is_left_is_cancelled(engine: str, archive: Archive) -> None:
    storage = KeptStorage()
    async with associated(engine, archive) as association:
        context = association.context_for(STUDY_ROOT.get)
        responses = association.get(
            context, keys(context, "STUDY", {STUDY_UID: SLICES_STUDY}), storage
        )
        async with aclosing(responses):
            await anext(responses)
        kept = len(storage.whole)
        assert 1 <= kept <= SLICES
        await association.echo()
        assert len(storage.whole) == kept


async def test_a_second_operation_at_the_same_time_is_a_mistake(
    engine: str, archive: Archive
) -> None:
    async with associated(engine, archive) as association:
        storage = KeptStorage()
        getting = asyncio.create_task(get(association, storage, "STUDY", STUDY=SLICES_STUDY))
        await until(lambda: storage.sinks)
        with pytest.raises(UsageError):
            await association.echo()
        await getting
        await association.echo()
    assert len(storage.whole) == SLICES


async def test_a_cancelled_task_ends_its_association_alone(engine: str, archive: Archive) -> None:
    async with opened(engine, archive) as transport:
        storage = KeptStorage()

        async def all_of_it() -> None:
            async with transport.associate(PLAIN) as association:
                await get(association, storage, "STUDY", STUDY=SLICES_STUDY)

        task = asyncio.create_task(all_of_it())
        await until(lambda: storage.sinks)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.statistics().in_flight == 0
        async with transport.associate(PLAIN) as association:
            await association.echo()


@dataclass
class ClosingStorage(KeptStorage):
    """Asks for the end of its transport when the second data set begins."""

    transport: DimseTransport | None = None
    closing: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self, request: StoreRequest, /) -> KeptSink:
        if len(self.sinks) == 1:
            assert self.transport is not None
            self.closing.append(asyncio.create_task(self.transport.aclose()))
        return super().begin(request)


async def test_closing_the_transport_ends_what_is_under_way(engine: str, archive: Archive) -> None:
    async with opened(engine, archive) as transport:
        storage = ClosingStorage(transport=transport)
        with pytest.raises(ConnectionLost):
            async with transport.associate(PLAIN) as association:
                await get(association, storage, "STUDY", STUDY=SLICES_STUDY)
        await storage.closing[0]
        assert len(storage.whole) < SLICES
        with pytest.raises(UsageError):
            async with transport.associate(PLAIN):
                pytest.fail("it was closed")


@dataclass
class Choosy(OwnArchive):
    """Takes one kind of instance: one SOP class in one transfer syntax."""

    kind: tuple[str, str] = ("", "")

    def select(self, requestor: Requestor, proposed: ProposedContext, /) -> str | None:
        sop_class_uid, syntax = self.kind
        if proposed.abstract_syntax == sop_class_uid and syntax in proposed.transfer_syntaxes:
            return syntax
        return None


@one_loop
@pytest.mark.parametrize("kind", KINDS)
async def test_an_instance_moves_into_our_acceptor_as_it_is(
    engine: str, archive: Archive, held: Mapping[str, Held], mover_port: int, kind: str
) -> None:
    wanted = held[kind]
    receiver = Choosy(kind=(wanted.sop_class_uid, wanted.transfer_syntax))
    async with (
        serving(receiver, port=mover_port),
        associated(engine, archive) as association,
    ):
        told = await move(
            association,
            "MOVER",
            "IMAGE",
            STUDY=KINDS_STUDY,
            SERIES=dicom.uid("series", 1),
            IMAGE=wanted.sop_instance_uid,
        )
    assert (told[-1].status, told[-1].completed) == (0, 1)
    assert receiver.storage_handler.whole == {wanted.sop_instance_uid: wanted.data_set}
    (sink,) = receiver.storage_handler.sinks
    assert sink.request.move_originator == archive.names_as_originator
    assert sink.request.move_message_id == 1


async def test_a_study_moves_into_our_acceptor(
    engine: str, archive: Archive, mover_port: int
) -> None:
    receiver = OwnArchive()
    async with (
        serving(receiver, port=mover_port),
        associated(engine, archive) as association,
    ):
        told = await move(association, "MOVER", "STUDY", STUDY=SLICES_STUDY)
    assert (told[-1].status, told[-1].completed, told[-1].failed) == (0, SLICES, 0)
    assert len(receiver.storage_handler.whole) == SLICES


async def test_a_move_to_nobody_says_so(engine: str, archive: Archive) -> None:
    async with associated(engine, archive) as association:
        told = await move(association, "NOBODY", "STUDY", STUDY=SLICES_STUDY)
        await association.echo()
    assert len(told) == 1
    assert told[0].is_final
    assert told[0].status not in (0x0000, 0xB000)


async def test_a_move_where_nobody_listens_fails(engine: str, archive: Archive) -> None:
    async with associated(engine, archive) as association:
        told = await move(association, "MOVER", "STUDY", STUDY=SLICES_STUDY)
    assert told[-1].status != 0
    assert not told[-1].completed


@one_loop
async def test_instances_move_into_a_receiver_of_dcmtk(
    engine: str, held: Mapping[str, Held], files: Path, tmp_path: Path
) -> None:
    require_peer("dcmtk")
    (tmp_path / "scp").mkdir()
    with running_storescp(tmp_path / "scp") as receiver:
        options = PynetdicomOptions(mover_port=receiver.port)
        with running_pynetdicom_peer(files, options, tmp_path / "log") as peer:
            async with associated(engine, peer.port) as association:
                told = await move(association, "MOVER", "STUDY", STUDY=KINDS_STUDY)
        contents = [path.read_bytes() for path in receiver.folder.iterdir()]
    assert (told[-1].status, told[-1].completed) == (0, len(held))
    assert sorted(one[dicom.data_set_offset(one) :] for one in contents) == sorted(
        one.data_set for one in held.values()
    )


async def test_what_an_archive_cannot_send_is_named(
    engine: str, dcmqrscp_archive: Archive, held: Mapping[str, Held]
) -> None:
    plain = PresentationContext(SCREEN, (EXPLICIT_VR_LITTLE_ENDIAN,), is_scp=True)
    proposal = to_get({"CT": held["CT"], "SR": held["SR"]})
    async with associated(
        engine, dcmqrscp_archive, Proposal((*proposal.contexts, plain))
    ) as association:
        storage = KeptStorage()
        told = await get(association, storage, "STUDY", STUDY=KINDS_STUDY)
    compressed = {held[kind].sop_instance_uid for kind in ("RLE", "JPEG-LS", "JPEG 2000")}
    assert told[-1].status == 0xB000
    assert told[-1].failed == len(told[-1].failed_sop_instance_uids)
    assert set(told[-1].failed_sop_instance_uids) >= compressed
    assert set(storage.whole) == {held["CT"].sop_instance_uid, held["SR"].sop_instance_uid}


@one_loop
async def test_sub_operations_that_fail_are_counted_and_named(
    engine: str, files: Path, tmp_path: Path
) -> None:
    fails = (dicom.uid("instance", 3), dicom.uid("instance", 8))
    options = PynetdicomOptions(fails=fails)
    storage = KeptStorage()
    with running_pynetdicom_peer(files, options, tmp_path / "log") as peer:
        async with associated(engine, peer.port) as association:
            told = await get(association, storage, "STUDY", STUDY=SLICES_STUDY)
    assert told[-1].status == 0xB000
    assert (told[-1].completed, told[-1].failed) == (SLICES - 2, 2)
    assert sorted(told[-1].failed_sop_instance_uids) == sorted(fails)
    assert len(storage.whole) == SLICES - 2


@dataclass
class KillingStorage(KeptStorage):
    """Kills the peer when the third data set begins."""

    process_id: int = 0

    def begin(self, request: StoreRequest, /) -> KeptSink:
        if len(self.sinks) == 2:
            os.kill(self.process_id, signal.SIGKILL)
        return super().begin(request)


@one_loop
async def test_a_peer_that_is_killed_is_lost(engine: str, files: Path, tmp_path: Path) -> None:
    with running_pynetdicom_peer(files, log=tmp_path / "log") as peer:
        storage = KillingStorage(process_id=peer.process_id)
        async with opened(engine, peer.port) as transport:
            with pytest.raises(ConnectionLost):
                async with transport.associate(PLAIN) as association:
                    await get(association, storage, "STUDY", STUDY=SLICES_STUDY)
    assert 2 <= len(storage.whole) <= 3


@pytest.mark.parametrize(
    ("identity", "is_let_in"),
    [
        pytest.param(UserIdentity("reader"), True, id="a known name"),
        pytest.param(UserIdentity("reader", "secret"), True, id="a known name with passcode"),
        pytest.param(UserIdentity("stranger"), False, id="an unknown name"),
    ],
)
async def test_a_peer_is_told_who_asks(
    engine: str,
    identity_peer: int,
    identity: UserIdentity,
    is_let_in: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    async with opened(engine, identity_peer, identity=identity) as transport:
        if is_let_in:
            async with transport.associate(PLAIN) as association:
                await association.echo()
            return
        with pytest.raises(AssociationRejected) as caught:
            async with transport.associate(PLAIN):
                pytest.fail("a stranger is not let in")
    assert "stranger" not in str(caught.value)


@pytest.fixture(scope="module")
def identity_peer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("nothing")
    with running_pynetdicom_peer(folder, PynetdicomOptions(user="reader")) as peer:
        yield peer.port


async def test_no_thread_outlives_its_transport(engine: str, archive: Archive) -> None:
    before = set(threading.enumerate())
    async with opened(engine, archive) as transport:
        async with transport.associate(PLAIN) as association:
            await association.echo()
        with pytest.raises(NotNegotiated):
            async with transport.associate(PLAIN) as association:
                association.context_for(UNKNOWN_CLASS)
    ours = {one for one in threading.enumerate() if not one.name.startswith("asyncio_")} - before
    await until(lambda: not any(thread.is_alive() for thread in ours))
