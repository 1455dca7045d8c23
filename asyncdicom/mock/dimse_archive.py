"""What the mock does for its DIMSE peers: the services of an archive, and their faults."""

from __future__ import annotations

import asyncio
import fnmatch
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from asyncdicom.errors import ConnectionLost, FetchError, OperationFailed
from asyncdicom.mock.archive import Unreadable
from asyncdicom.mock.dimse_channel import Scene
from asyncdicom.mock.dimse_effects import Admission, Manner, Outcome
from asyncdicom.mock.dimse_identifiers import CANNOT_MATCH, read_identifier, write_answer
from asyncdicom.mock.dimse_move import moving_to
from asyncdicom.mock.dimse_objects import read_file_meta
from asyncdicom.mock.dimse_query import UNIQUE_KEYS, Answers, level_of, matching_instances, model_of
from asyncdicom.mock.dimse_retrieve import Counts, Retrieval, Way, broke_in
from asyncdicom.mock.dimse_store import Storage
from asyncdicom.protocol.dimse.messages import CFindResponse, CGetResponse, CMoveResponse
from asyncdicom.protocol.dimse.sop_classes import UNCOMPRESSED, VERIFICATION
from asyncdicom.protocol.dimse.statuses import Status
from asyncdicom.transports.associations.services import CALLED_AE_UNKNOWN, Services

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from asyncdicom.mock.archive import Archive, Attributes, Instance
    from asyncdicom.mock.dimse_channel import Sending
    from asyncdicom.mock.dimse_faults import DimseFault
    from asyncdicom.mock.dimse_identifiers import Asked
    from asyncdicom.mock.dimse_move import Destination
    from asyncdicom.ports.dimse import StoreRequest, SubOperations
    from asyncdicom.protocol.dimse.sop_classes import QueryLevel
    from asyncdicom.protocol.upper_layer.pdu import AssociateReject, ProposedContext
    from asyncdicom.transports.associations.services import Operation, Peer, Requestor

__all__ = ["DimseArchive", "DimseOptions"]

ANSWERS_AT_ONCE = 64
"""Read from an archive that blocks by one thread hop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DimseOptions:
    """Where and how the DIMSE face listens."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 for any free port."""
    ae_title: str = "MOCK"
    takes_any_called_ae: bool = False
    """Whether peers may call it as they like; else they are refused with 1/1/7."""
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    """Host and port of each AE title that a C-MOVE may name."""
    store_folder: Path | None = None
    """Where received instances are written; None keeps them in memory."""
    max_stored_bytes: int = 256 * 1024 * 1024
    lists_sop_classes: bool = False
    """Whether SOPClassesInStudy is answered: Orthanc does, dcmqrscp does not."""
    is_relational: bool = True
    """Whether keys of levels above may be left out (PS3.4 §C.4.1.3)."""
    max_associations: int = 64
    """At one time; the next is refused with 2/3/2."""
    max_pdu_bytes: int = 128 * 1024
    idle_timeout_s: float = 60.0


class Face(Protocol):
    """What the services are told by: `dimse.DimseServer`."""

    archive: Archive
    options: DimseOptions

    def decide(self, kind: str, path: str, calling_ae: str = "") -> DimseFault | None:
        """Record a request, and return the fault that it meets, or None."""


class DimseArchive(Services):
    """Serves an archive.

    Attributes:
        store: Takes what peers store.

    """

    def __init__(self, face: Face) -> None:
        options = face.options
        self.store = Storage(options.store_folder, options.max_stored_bytes, self._refusal)
        self._face = face
        self._answers = Answers(
            face.archive, options.ae_title, lists_sop_classes=options.lists_sop_classes
        )
        self._admissions: dict[int, Admission] = {}
        self._preferred: tuple[str, ...] | None = None

    def admit(self, requestor: Requestor) -> AssociateReject | None:
        """Let a peer in that calls us by our name."""
        path = f"/association/{requestor.calling_ae}/{requestor.called_ae}"
        fault = self._face.decide("association", path, requestor.calling_ae)
        admission = admission_of(fault)
        if admission.reject is not None:
            return admission.reject
        options = self._face.options
        if not options.takes_any_called_ae and requestor.called_ae != options.ae_title:
            return CALLED_AE_UNKNOWN
        self._admissions[id(requestor)] = admission
        return None

    async def answering(self, requestor: Requestor, peer: Peer) -> None:
        """Let faults of associations happen."""
        interrupt = self._admission(requestor).interrupt
        if interrupt is not None:
            scene = Scene(peer, 0, requestor.request.user.max_pdu_bytes)
            await until_closed(interrupt(scene), peer)

    async def releasing(self, requestor: Requestor, peer: Peer) -> None:
        """Let faults of releases happen."""
        fault = self._face.decide("release", "/release", requestor.calling_ae)
        if fault is not None and fault.effect.interrupt is not None:
            scene = Scene(peer, 0, requestor.request.user.max_pdu_bytes)
            await until_closed(fault.effect.interrupt(scene, fault.settings), peer)

    def ended(self, requestor: Requestor, _failure: BaseException | None) -> None:
        """Forget an association."""
        self._admissions.pop(id(requestor), None)

    def offers(self, requestor: Requestor, abstract_syntax: str) -> bool:
        """Offer verification, queries of both roots, and all that is none of a query."""
        refused = self._admission(requestor).refused
        if refused and fnmatch.fnmatchcase(abstract_syntax, refused):
            return False
        is_ours = model_of(abstract_syntax) is not None or abstract_syntax == VERIFICATION
        return is_ours or super().offers(requestor, abstract_syntax)

    def select(self, _requestor: Requestor, proposed: ProposedContext) -> str | None:
        """Choose what identifiers are written in, or what instances are stored in."""
        syntaxes = proposed.transfer_syntaxes
        is_storage = model_of(proposed.abstract_syntax) is None
        wanted = self._held_syntaxes() if is_storage else UNCOMPRESSED
        found = (one for one in wanted if one in syntaxes)
        return next(found, syntaxes[0] if is_storage and syntaxes else None)

    def _held_syntaxes(self) -> tuple[str, ...]:
        """List what the first study is stored in; the rest is likely to be like it."""
        if self._preferred is None:
            series = self._face.archive.studies[0].all_series
            held = [one.instances[0].transfer_syntax_uid for one in series]
            self._preferred = tuple(dict.fromkeys(held))
        return self._preferred

    def storage(self, _requestor: Requestor) -> Storage:
        """Take C-STOREs."""
        return self.store

    def _refusal(self, request: StoreRequest) -> int | None:
        path = f"/store/{request.sop_instance_uid}"
        return manner_of(self._face.decide("store", path, request.calling_ae)).status

    async def echo(self, requestor: Requestor) -> int:
        """Verify."""
        fault = self._face.decide("echo", "/echo", requestor.calling_ae)
        return manner_of(fault).status or Status.SUCCESS

    async def find(self, operation: Operation) -> AsyncGenerator[bytes]:
        """Answer a query."""
        asked, level = self._asked(operation)
        manner, _ = self._meet("find", operation, asked, level)
        scene = scene_of(operation)
        told = replace(asked, level=manner.level or asked.level)
        syntax = operation.context.transfer_syntax
        count = 0
        async with aclosing(self._found(asked, level)) as found:
            async for attributes in found:
                if count == manner.sent and await broke_in(manner, scene):
                    break
                answer = write_answer(told, attributes, syntax)
                for _ in range(manner.repeats):
                    yield answer
                count += 1
        if manner.sent is not None and count <= manner.sent:
            await broke_in(manner, scene)
        if manner.status:
            raise OperationFailed("a fault says so", status=manner.status)

    async def _found(self, asked: Asked, level: QueryLevel) -> AsyncGenerator[Attributes]:
        found = self._answers.find(asked, level)
        if not self._face.archive.is_blocking:
            for one in found:
                yield one
            return
        while some := await asyncio.to_thread(list, islice(found, ANSWERS_AT_ONCE)):
            for one in some:
                yield one

    async def get(self, operation: Operation) -> AsyncGenerator[SubOperations]:
        """Send what is asked for on the same association."""
        asked, level = self._asked(operation)
        manner, path = self._meet("get", operation, asked, level)
        way = self._way(operation)
        instances = await self._instances(asked, level)
        retrieval = Retrieval(instances, way, manner, _Attendant(self._face, path))
        async with aclosing(retrieval.responses(scene_of(operation))) as responses:
            async for response in responses:
                yield response

    async def move(self, operation: Operation) -> AsyncGenerator[SubOperations]:
        """Send what is asked for to somebody else."""
        asked, level = self._asked(operation)
        manner, path = self._meet("move", operation, asked, level)
        destination = self._face.options.destinations.get(operation.destination)
        if destination is None:
            status = Status.MOVE_DESTINATION_UNKNOWN
            raise OperationFailed("nobody is known by that name", status=status)
        instances = await self._instances(asked, level)
        titles = (operation.destination, self._face.options.ae_title)
        originator = (operation.requestor.calling_ae, operation.message_id)
        kinds = await asyncio.to_thread(kinds_of, instances)
        done = Counts(len(instances))
        try:
            async with moving_to(destination, titles, kinds, originator) as (channel, max_bytes):
                way = replace(
                    self._way(operation),
                    channel=channel,
                    peer_max_pdu_bytes=max_bytes,
                    move_originator=originator[0],
                    move_message_id=originator[1],
                )
                retrieval = Retrieval(instances, way, manner, _Attendant(self._face, path))
                done = retrieval.counts
                async with aclosing(retrieval.responses(scene_of(operation))) as responses:
                    async for response in responses:
                        yield response
        except FetchError:
            # Of the destination; that of the peer who asked is told by a cancelled task.
            yield undelivered(instances, done, manner)

    def _way(self, operation: Operation) -> Way:
        max_bytes = operation.requestor.request.user.max_pdu_bytes
        return Way(operation, max_bytes, self._face.archive.is_blocking)

    def _asked(self, operation: Operation) -> tuple[Asked, QueryLevel]:
        """Read a request.

        Raises:
            OperationFailed: A900 if it does not fit the model.

        """
        model = model_of(operation.context.abstract_syntax)
        asked = read_identifier(operation.identifier, operation.context.transfer_syntax)
        assert model is not None, "other contexts are refused"
        level = level_of(asked, model)
        if not self._face.options.is_relational:
            above = model.levels[: model.levels.index(level)]
            if any(len(asked.values(UNIQUE_KEYS[one])) != 1 for one in above):
                raise OperationFailed("a key of a level above is missing", status=CANNOT_MATCH)
        return asked, level

    def _meet(
        self, kind: str, operation: Operation, asked: Asked, level: QueryLevel
    ) -> tuple[Manner, str]:
        """Return how a request is performed, and its path."""
        named = "\\".join(asked.values(UNIQUE_KEYS[level]))
        path = f"/{kind}/{level}/{named}"
        return manner_of(self._face.decide(kind, path, operation.requestor.calling_ae)), path

    async def _instances(self, asked: Asked, level: QueryLevel) -> Sequence[Instance]:
        found = matching_instances(self._face.archive, asked, level)
        return await asyncio.to_thread(list, found)

    def _admission(self, requestor: Requestor) -> Admission:
        return self._admissions.get(id(requestor), Admission())


class _Attendant:
    """Lets faults of sub-operations happen (`dimse_retrieve.Attendant`)."""

    def __init__(self, face: Face, path: str) -> None:
        self._face = face
        self._path = path

    async def attend(self, sending: Sending) -> Outcome | None:
        """Let a fault send an instance; None if it is to be sent as it should."""
        path = f"{self._path}/{sending.instance.sop_instance_uid}"
        fault = self._face.decide("suboperation", path)
        if fault is None:
            return None
        effect = fault.effect
        if effect.transmit is not None:
            return await effect.transmit(sending, fault.settings)
        return await interrupted(sending, fault)


async def interrupted(sending: Sending, fault: DimseFault) -> Outcome:
    """Send an instance, with an interruption inside of its data set."""
    data = memoryview(sending.instance.dataset)
    at = min(fault.settings.number("at", len(data) // 2), len(data))
    context_id = sending.context.context_id
    command = sending.command()
    sending.channel.expect_stored(command.message_id)
    await sending.channel.send(context_id, command.encode(), is_command=True)
    await sending.channel.send(context_id, data[:at], is_command=False, is_last=False)
    assert fault.effect.interrupt is not None, "effects on sub-operations transmit or interrupt"
    max_bytes = sending.peer_max_pdu_bytes
    scene = Scene(sending.channel, context_id, max_bytes, is_within_data=True)
    await fault.effect.interrupt(scene, fault.settings)
    await sending.channel.send(context_id, data[at:], is_command=False)
    return Outcome(await sending.channel.stored(command.message_id))


def admission_of(fault: DimseFault | None) -> Admission:
    """Return how an association is answered."""
    if fault is None:
        return Admission()
    if fault.effect.admit is not None:
        return fault.effect.admit(Admission(), fault.settings)
    return Admission(interrupt=interruption_of(fault))


def manner_of(fault: DimseFault | None) -> Manner:
    """Return how a request is performed."""
    if fault is None:
        return Manner()
    if fault.effect.behave is not None:
        return fault.effect.behave(Manner(), fault.settings)
    return Manner(sent=fault.settings.number("sent", 0), interrupt=interruption_of(fault))


def interruption_of(fault: DimseFault) -> Callable[[Scene], Awaitable[None]] | None:
    """Return the interruption of a fault with its settings, or None."""
    interrupt = fault.effect.interrupt
    return None if interrupt is None else lambda scene: interrupt(scene, fault.settings)


def scene_of(operation: Operation) -> Scene:
    """Return where interruptions between answers happen."""
    kind = operation.context.abstract_syntax
    model = model_of(kind)
    assert model is not None, "other contexts are refused"
    responses = {model.find: CFindResponse, model.get: CGetResponse, model.move: CMoveResponse}

    async def respond(message_id: int) -> None:
        command = responses[kind](message_id, Status.SUCCESS, kind).encode()
        await operation.send(operation.context.context_id, command, is_command=True)

    max_bytes = operation.requestor.request.user.max_pdu_bytes
    context_id = operation.context.context_id
    number = operation.message_id
    return Scene(operation, context_id, max_bytes, message_id=number, respond=respond)


async def until_closed(interruption: Awaitable[None], peer: Peer) -> None:
    """Let an interruption happen, for as long as the connection lives.

    Raises:
        ConnectionLost: If it ended meanwhile.

    """
    tasks = [asyncio.ensure_future(interruption), asyncio.ensure_future(peer.closed())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[1].done():
            raise ConnectionLost("the connection ended")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def kinds_of(instances: Sequence[Instance]) -> list[tuple[str, str]]:
    """List SOP class and transfer syntax of instances, one of each series where that is enough."""
    return list(dict.fromkeys(_kinds(instances)))


def _kinds(instances: Sequence[Instance]) -> Iterator[tuple[str, str]]:
    for instance in instances:
        try:
            head = bytes(next(iter(instance.file()), b""))
            yield read_file_meta(head)[0], instance.transfer_syntax_uid
        except (Unreadable, OSError):
            continue


def undelivered(instances: Sequence[Instance], done: Counts, manner: Manner) -> SubOperations:
    """Return the final response of a move whose destination is not there, or not any more."""
    for instance in instances[len(instances) - done.remaining :]:
        done.add(Status.OUT_OF_RESOURCES, instance.sop_instance_uid)
    return done.response(done.status, manner)
