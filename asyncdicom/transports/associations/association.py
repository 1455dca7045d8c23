"""An association that we asked for, and the operations on it (PS3.7 §9.1); native engine.

Each operation is an `_Operation` in an `async with`: left in order it is over; left
early by its consumer (the generator is closed) it is cancelled with C-CANCEL and its
final response awaited; left by an error or a cancelled task it aborts the association.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import (
    ConnectionLost,
    FetchError,
    NotNegotiated,
    ProtocolError,
    Stalled,
    UsageError,
)
from asyncdicom.ports.dimse import (
    AcceptedContext,
    FindAnswer,
    PeerFacts,
    StoreRequest,
    SubOperations,
)
from asyncdicom.protocol.dimse import statuses
from asyncdicom.protocol.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
)
from asyncdicom.protocol.dimse.sop_classes import VERIFICATION
from asyncdicom.protocol.dimse.store_answers import encode_store_response
from asyncdicom.protocol.upper_layer.association import AssociationReleased, ReleaseRequested
from asyncdicom.transports.associations.connection import Patience
from asyncdicom.transports.associations.sub_operations import heeding, sub_operations
from asyncdicom.transports.associations.wire import Arrived

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import TracebackType

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StorageHandler, StoreSink
    from asyncdicom.protocol.dimse.messages import Message
    from asyncdicom.protocol.upper_layer.association import AssociationEvent
    from asyncdicom.protocol.upper_layer.negotiation import Negotiated
    from asyncdicom.transports.associations.settings import DimseSettings
    from asyncdicom.transports.associations.wire import Wire

__all__ = ["NativeAssociation", "RefusingSink", "answer_store"]


Response = CEchoResponse | CFindResponse | CGetResponse | CMoveResponse | CStoreResponse


class RefusingSink:
    """Swallows a data set and answers with a status."""

    def __init__(self, status: int) -> None:
        self._status = status

    def write(self, *_fragments: Buffer) -> None:
        """Drop the bytes."""

    async def end(self) -> int:
        """Refuse."""
        return self._status

    def end_nowait(self) -> int:
        """Refuse."""
        return self._status

    def discard(self) -> None:
        """Have nothing to give up."""


async def answer_store(wire: Wire, arrived: Arrived, request: CStoreRequest) -> None:
    """Let the sink of a C-STORE request end, and answer with its status."""
    assert arrived.sink is not None, "a C-STORE request has a sink"
    status = await arrived.sink.end()
    wire.stored()
    await wire.send_command(arrived.context_id, encode_store_response(request, status))


class _Operation:
    """One request and its responses."""

    def __init__(
        self,
        association: NativeAssociation,
        context: AcceptedContext,
        expected: type[Response],
        storage: StorageHandler | None = None,
    ) -> None:
        self.context = context
        self._expected = expected
        self.message_id = association.next_message_id()
        self.is_over = False
        self.is_waiting = False
        self._association = association
        self._wire = association.wire
        self._storage = storage
        self._finishing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._association.begin(self)
        if self._storage is not None:
            self._wire.begin_store = self._begin_store
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is GeneratorExit:
            await self.finish()
        elif kind is not None:
            self._association.abort()

    async def response(self) -> Arrived:
        """Return the next response, having answered what the peer stores before it."""
        self.is_waiting = True
        try:
            while True:
                arrived = await self._wire.next()
                if not isinstance(arrived, Arrived):
                    raise self._association.left(arrived)
                if isinstance(arrived.command, CStoreRequest):
                    await answer_store(self._wire, arrived, arrived.command)
                else:
                    return self._checked(arrived)
        finally:
            self.is_waiting = False

    async def finish(self) -> None:
        """Cancel the operation if it is not over, and wait until it is; raise nothing."""
        async with self._finishing:
            if self.is_over or self._association.is_over or self._wire.is_over:
                return
            self._storage = None
            self._wire.refuse(RefusingSink(statuses.Status.OUT_OF_RESOURCES))
            try:
                async with asyncio.timeout(self._association.settings.idle_timeout_s):
                    await self._wire.send(self.context.context_id, CCancelRequest(self.message_id))
                    while not self.is_over:
                        await self.response()
            except TimeoutError:
                self._association.is_over = True
                self._wire.fail(Stalled("the peer does not answer C-CANCEL"))
            except FetchError:
                self._association.abort()

    def _checked(self, arrived: Arrived) -> Arrived:
        command = arrived.command
        if not isinstance(command, self._expected):
            raise ProtocolError(f"a {command.name} came where none belongs")
        if command.responds_to != self.message_id:
            raise ProtocolError(f"the peer responds to message {command.responds_to}, not sent")
        if not statuses.is_pending(command.status):
            self.is_over = True
            self._wire.begin_store = None
        return arrived

    def _begin_store(self, context_id: int, command: CStoreRequest) -> StoreSink:
        if self._storage is None:
            return RefusingSink(statuses.Status.OUT_OF_RESOURCES)
        request = StoreRequest(
            command.sop_class_uid,
            command.sop_instance_uid,
            self._association.transfer_syntax_of(context_id),
            command.message_id,
            self._association.settings.called_ae,
            command.move_originator,
            command.move_message_id,
        )
        return self._storage.begin(request)


class NativeAssociation:
    """Implements `ports.dimse.Association`, and C-STORE as an SCU."""

    def __init__(self, wire: Wire, negotiated: Negotiated, settings: DimseSettings) -> None:
        self.wire = wire
        self.settings = settings
        self._negotiated = negotiated
        self._accepted = tuple(
            AcceptedContext(one.context_id, one.abstract_syntax, one.transfer_syntax, one.is_scp)
            for one in negotiated.contexts
            if one.is_accepted
        )
        self._transfer_syntaxes = {c.context_id: c.transfer_syntax for c in self._accepted}
        self._operation: _Operation | None = None
        self._message_id = 0
        self.is_over = False
        """Whether it was released or aborted."""

    @property
    def accepted(self) -> tuple[AcceptedContext, ...]:
        """Contexts the peer accepted, in the order of their IDs."""
        return self._accepted

    @property
    def peer_max_pdu_bytes(self) -> int:
        """Longest variable field of a P-DATA-TF that the peer takes; 0 is no limit."""
        return self._negotiated.answer.user.max_pdu_bytes

    @property
    def peer(self) -> PeerFacts:
        """What the peer says about itself."""
        user = self._negotiated.answer.user
        return PeerFacts(
            user.implementation_class_uid,
            user.implementation_version,
            user.async_operations.max_invoked,
        )

    def context_for(self, abstract_syntax: str) -> AcceptedContext:
        """Return the first accepted context of a SOP class.

        Raises:
            NotNegotiated: If the peer accepted none.

        """
        for context in self._accepted:
            if context.abstract_syntax == abstract_syntax:
                return context
        raise NotNegotiated(
            "the peer does not offer this service", abstract_syntaxes=(abstract_syntax,)
        )

    async def echo(self) -> None:
        """C-ECHO (PS3.7 §9.1.5)."""
        async with _Operation(self, self.context_for(VERIFICATION), CEchoResponse) as operation:
            await self._send(operation, CEchoRequest(operation.message_id))
            arrived = await operation.response()
        _raise_unless_success(_status_of(arrived), statuses.Operation.ECHO)

    async def find(self, context: AcceptedContext, identifier: bytes) -> AsyncGenerator[FindAnswer]:
        """C-FIND (PS3.7 §9.1.2): yield each pending answer."""
        async with _Operation(self, context, CFindResponse) as operation:
            request = CFindRequest(operation.message_id, context.abstract_syntax)
            await self._send(operation, request, identifier)
            while True:
                arrived = await operation.response()
                if operation.is_over:
                    break
                yield FindAnswer(arrived.dataset, context.transfer_syntax)
        _raise_unless_success(_status_of(arrived), statuses.Operation.FIND)

    async def get(
        self, context: AcceptedContext, identifier: bytes, storage: StorageHandler
    ) -> AsyncGenerator[SubOperations]:
        """C-GET (PS3.7 §9.1.3): yield each response, the final one last."""
        async with _Operation(self, context, CGetResponse, storage) as operation:
            request = CGetRequest(operation.message_id, context.abstract_syntax)
            await self._send(operation, request, identifier)
            while not operation.is_over:
                arrived = await operation.response()
                yield sub_operations(arrived.command, arrived.dataset, context)

    async def move(
        self,
        context: AcceptedContext,
        identifier: bytes,
        destination: str,
        elsewhere: Callable[[], int] | None = None,
    ) -> AsyncGenerator[SubOperations]:
        """C-MOVE (PS3.7 §9.1.4) to an AE title: yield each response, the final one last."""
        hear, patience_s = partial(self.wire.connection.expect, True), self.settings.idle_timeout_s
        async with _Operation(self, context, CMoveResponse) as operation:
            request = CMoveRequest(operation.message_id, context.abstract_syntax, destination)
            await self._send(operation, request, identifier)
            with heeding(elsewhere, hear, patience_s=patience_s):
                while not operation.is_over:
                    arrived = await operation.response()
                    yield sub_operations(arrived.command, arrived.dataset, context)

    async def store(self, context: AcceptedContext, sop_instance_uid: str, dataset: Buffer) -> int:
        """C-STORE (PS3.7 §9.1.1): send a data set, and return the status of the answer.

        Args:
            context: Its abstract syntax is the SOP class, its transfer syntax the data set's.
            sop_instance_uid: (0008,0018) of the data set.
            dataset: Without file meta information; must not change.

        """
        async with _Operation(self, context, CStoreResponse) as operation:
            request = CStoreRequest(operation.message_id, context.abstract_syntax, sop_instance_uid)
            await self._send(operation, request, dataset)
            return _status_of(await operation.response())

    async def release(self) -> None:
        """Release the association, or abort it if the peer does not agree in time (PS3.8 §7.2).

        What goes wrong here harms nothing that was done before, and is not raised.
        """
        if self._operation is not None:
            await self._operation.finish()
        if self.is_over or self.wire.is_over:
            return
        self.is_over = True
        self.wire.connection.set_patience(Patience(self.settings.acse_timeout_s, is_total=True))
        try:
            self.wire.machine.release()
            self.wire.flush()
            while not isinstance(arrival := await self.wire.next(), AssociationReleased):
                # A collision: the requestor of the association answers first (PS3.8 §7.2.2).
                if isinstance(arrival, ReleaseRequested):
                    self.wire.machine.respond_to_release()
                    self.wire.flush()
        except FetchError:
            self.wire.abort()

    def abort(self) -> None:
        """Abort the association, if it is not over (PS3.8 §7.3)."""
        self.is_over = True
        self.wire.abort()

    # For operations.

    def next_message_id(self) -> int:
        """Return a message ID that is not in use: 1 to 65535, then from 1 again."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    async def begin(self, operation: _Operation) -> None:
        """Make sure that no other operation is under way; one left half-way is cancelled.

        Raises:
            UsageError: If another one is awaited, or the association was left.

        """
        if self._operation is not None:
            if self._operation.is_waiting:
                raise UsageError("one operation at a time per association")
            await self._operation.finish()
        if self.is_over:
            raise ConnectionLost("the association is over", origin=self.settings.origin)
        self._operation = operation

    def left(self, event: AssociationEvent) -> ConnectionLost:
        """Agree to the end that the peer asks for within an operation; return the error."""
        assert isinstance(event, ReleaseRequested), "the machine refuses all else in Sta6"
        self.wire.machine.respond_to_release()
        self.wire.flush()
        return ConnectionLost(
            "the peer released the association before its answer", origin=self.settings.origin
        )

    def transfer_syntax_of(self, context_id: int) -> str:
        """Return the transfer syntax of a context that the machine let pass."""
        return self._transfer_syntaxes[context_id]

    async def _send(self, operation: _Operation, request: Message, dataset: Buffer = b"") -> None:
        await self.wire.send(operation.context.context_id, request, dataset)


def _status_of(arrived: Arrived) -> int:
    command = arrived.command
    assert isinstance(command, Response), "operations return responses only"
    return command.status


def _raise_unless_success(status: int, operation: statuses.Operation) -> None:
    if not statuses.is_success(status):
        raise statuses.failure_of(status, operation)
