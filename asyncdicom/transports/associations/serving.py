"""One association that a peer asked for: its requests are answered by `Services` (PS3.7 §9).

Strategy: one task reads, for as long as the connection lives; it answers C-ECHO and
C-STORE itself. A C-FIND, C-GET or C-MOVE is performed by a second task, so that a
C-CANCEL, the answer to a sub-operation, or the end of the connection is heard at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from asyncdicom.errors import ConnectionLost, FetchError, ProtocolError
from asyncdicom.ports.dimse import AcceptedContext, StoreRequest
from asyncdicom.protocol.dimse.command_set import Element
from asyncdicom.protocol.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    CStoreResponse,
    OtherCommand,
)
from asyncdicom.protocol.dimse.statuses import Status
from asyncdicom.protocol.upper_layer.association import ReleaseRequested
from asyncdicom.transports.associations.association import RefusingSink, answer_store
from asyncdicom.transports.associations.performing import PerformedOperation
from asyncdicom.transports.associations.wire import Arrived

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StorageHandler, StoreSink
    from asyncdicom.transports.associations.services import Requestor, Services
    from asyncdicom.transports.associations.wire import Wire

__all__ = ["ServedAssociation", "WirePeer", "begin_store"]

MAX_WAITING = 32
"""Requests that a peer may send while another one is performed; the next aborts."""


class WirePeer:
    """Implements `services.Peer`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def write(self, data: Buffer) -> None:
        """Write bytes to the connection, as they are."""
        self._wire.connection.write([data])
        await self._wire.connection.drain()

    def abort(self) -> None:
        """Send A-ABORT and close."""
        self._wire.interrupt(ConnectionLost("a service aborted the association"))

    def close(self) -> None:
        """Close the connection without a word."""
        self._wire.connection.cut()

    async def closed(self) -> None:
        """Wait until the connection is closed."""
        await self._wire.connection.closed()


def begin_store(
    storage: StorageHandler | None, command: CStoreRequest, transfer_syntax: str, calling_ae: str
) -> StoreSink:
    """Begin what a peer stores, whichever engine heard it; refuse without a storage."""
    if storage is None:
        return RefusingSink(Status.SOP_CLASS_NOT_SUPPORTED)
    request = StoreRequest(
        command.sop_class_uid,
        command.sop_instance_uid,
        transfer_syntax,
        command.message_id,
        calling_ae,
        command.move_originator,
        command.move_message_id,
    )
    return storage.begin(request)


class ServedAssociation:
    """An established association, and what is under way on it.

    Args:
        wire: Established.
        services: Who answers.
        requestor: Who asked.
        contexts: Accepted ones, by ID.

    """

    def __init__(
        self,
        wire: Wire,
        services: Services,
        requestor: Requestor,
        contexts: dict[int, AcceptedContext],
    ) -> None:
        self._wire = wire
        self._services = services
        self._requestor = requestor
        self._contexts = contexts
        self._storage: StorageHandler | None = services.storage(requestor)
        self._operation: PerformedOperation | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[PerformedOperation] = deque()

    async def serve(self) -> None:
        """Answer until the peer releases the association.

        Raises:
            FetchError: What the peer did, or its connection.

        """
        self._wire.begin_store = self._begin_store
        try:
            while isinstance(arrived := await self._wire.next(), Arrived):
                await self._answer(arrived)
        except ConnectionLost:
            self._raise_bug()
            raise
        finally:
            await self._end_operation()
        assert isinstance(arrived, ReleaseRequested), "the machine refuses all else in Sta6"
        if self._wire.is_within_message:
            raise ProtocolError("the peer releases the association within a message")
        await self._services.releasing(self._requestor, WirePeer(self._wire))
        self._wire.check()
        self._wire.machine.respond_to_release()
        self._wire.flush()

    async def _answer(self, arrived: Arrived) -> None:
        match arrived.command:
            case CStoreRequest() as request:
                await answer_store(self._wire, arrived, request)
            case CStoreResponse() as response:
                self._stored(response)
            case CEchoRequest() as request:
                status = await self._services.echo(self._requestor)
                answer = CEchoResponse(request.message_id, status)
                await self._wire.send(arrived.context_id, answer)
            case CFindRequest() | CGetRequest() | CMoveRequest():
                self._begin_or_queue(arrived)
            case CCancelRequest(responds_to):
                self._cancel(responds_to)
            case OtherCommand() as other if other.is_request:
                await self._wire.send(arrived.context_id, _unrecognized(other))
            case other:
                raise ProtocolError(f"a {other.name} came where none belongs")

    def _begin_store(self, context_id: int, command: CStoreRequest) -> StoreSink:
        syntax = self._contexts[context_id].transfer_syntax
        return begin_store(self._storage, command, syntax, self._requestor.calling_ae)

    def _stored(self, response: CStoreResponse) -> None:
        if self._operation is None or not self._operation.answered(response):
            raise ProtocolError(f"the peer responds to message {response.responds_to}, not sent")

    def _cancel(self, message_id: int) -> None:
        """Cancel an operation; one that ended meanwhile is nobody's fault (PS3.7 §9.3.2.3).

        One that waits is answered, too, when it is its turn.
        """
        for one in (self._operation, *self._waiting):
            if one is not None and one.message_id == message_id:
                one.cancel()

    def _begin_or_queue(self, arrived: Arrived) -> None:
        operation = PerformedOperation(self._wire, self._requestor, self._contexts, arrived)
        if self._task is None:
            self._begin(operation)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(operation)
        else:
            raise ProtocolError(f"more than {MAX_WAITING} requests wait for an answer")

    def _begin(self, operation: PerformedOperation) -> None:
        self._operation = operation
        self._wire.connection.expect(False)
        self._task = asyncio.create_task(operation.perform(self._services))
        self._task.add_done_callback(self._performed)

    def _performed(self, task: asyncio.Task[None]) -> None:
        """Go on with what waits; a service that failed ends the association."""
        self._operation = None
        if task.cancelled():
            return
        if task.exception() is not None:
            self._wire.interrupt(ConnectionLost("the service failed"))
            return
        self._task = None
        self._wire.connection.expect(True)
        if self._waiting:
            self._begin(self._waiting.popleft())

    async def _end_operation(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def _raise_bug(self) -> None:
        """Raise what a service raised, unless it only met the end of the connection."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return
        bug = self._task.exception()
        if bug is not None and not isinstance(bug, FetchError):
            raise bug


def _unrecognized(request: OtherCommand) -> OtherCommand:
    """Make the answer 0211, unrecognized operation (PS3.7 §C.5.22)."""
    command_field = request.command_field | 0x8000
    elements = {
        Element.COMMAND_FIELD: command_field,
        Element.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
        Element.COMMAND_DATA_SET_TYPE: 0x0101,
        Element.STATUS: Status.UNRECOGNIZED_OPERATION,
    }
    values = {element: value.to_bytes(2, "little") for element, value in elements.items()}
    return OtherCommand(command_field, request.message_id, has_data_set=False, elements=values)
