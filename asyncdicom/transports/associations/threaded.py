"""An association whose library blocks, as the port wants it: driven by the loop, call by call.

    association = ThreadedAssociation(session, worker, settings)
    await association.secure(sock)
    await association.open()
    async for answer in association.find(context, identifier): ...
    await association.release()
    await association.close()          # always, and last

Strategy: a thread sends and waits for messages; whatever decides something runs in the
task of the caller. So sinks are called on the event loop, what they raise reaches the
caller, and who does not ask for the next message stops the peer: the session holds few.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
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
from asyncdicom.protocol.dimse.messages import (
    CCancelRequest,
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
)
from asyncdicom.protocol.dimse.sop_classes import VERIFICATION
from asyncdicom.protocol.dimse.statuses import (
    Operation,
    failure_of,
    is_pending,
    is_success,
)
from asyncdicom.transports.associations.dialogue import (
    Dialogue,
    Refusing,
    Transmitted,
    answer,
    pour,
)
from asyncdicom.transports.associations.sub_operations import heeding, sub_operations

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator, Callable, Sequence

    from asyncdicom.ports.dimse import StorageHandler
    from asyncdicom.transports.associations.dialogue import Request, Response
    from asyncdicom.transports.associations.settings import DimseSettings
    from asyncdicom.transports.associations.workers import Worker

__all__ = ["Session", "ThreadedAssociation"]

GRACE_S = 0.5
"""How long an abort may take to be sent and a thread to end, in seconds, before we cut."""


class Session(Protocol):
    """An association of a library that blocks. All is called in one thread, unless it says so."""

    @property
    def accepted(self) -> tuple[AcceptedContext, ...]:
        """Contexts, once open."""

    @property
    def peer_max_pdu_bytes(self) -> int:
        """As negotiated; 0 is no limit."""

    @property
    def peer(self) -> PeerFacts:
        """What the peer says about itself, once open."""

    def secure(self, sock: socket.socket) -> None:
        """Take a connection, which belongs to the session from now on, and make it TLS."""

    def open(self) -> None:
        """Associate."""

    def exchange(self, messages: Sequence[Transmitted]) -> list[Transmitted]:
        """Send messages, then wait for one of the peer; return it and some that are there."""

    def hear(self) -> None:
        """Take note that the peer is at work elsewhere. Called in any thread; does not wait."""

    def release(self) -> None:
        """Release the association (PS3.8 §7.2)."""

    def close(self) -> None:
        """Free everything; an association that is still there has been told to abort."""

    def stop(self) -> None:
        """Abort, and let whatever waits fail soon. Called in any thread; does not wait."""

    def cut(self) -> None:
        """Shut the connection down. Called in any thread; does not wait."""


class ThreadedAssociation:
    """An association of the port, on a session in a thread."""

    def __init__(self, session: Session, worker: Worker, settings: DimseSettings) -> None:
        self._session = session
        self._worker = worker
        self._settings = settings
        self._message_id = 0
        self._dialogue: Dialogue | None = None
        self._is_over = False
        self._closing: asyncio.Task[None] | None = None
        self._by_id: dict[int, AcceptedContext] = {}

    @property
    def accepted(self) -> tuple[AcceptedContext, ...]:
        """Contexts the peer accepted, in the order of their IDs."""
        return self._session.accepted

    @property
    def peer_max_pdu_bytes(self) -> int:
        """Longest variable field of a P-DATA-TF that the peer takes; 0 is no limit."""
        return self._session.peer_max_pdu_bytes

    @property
    def peer(self) -> PeerFacts:
        """What the peer says about itself."""
        return self._session.peer

    def context_for(self, abstract_syntax: str) -> AcceptedContext:
        """Return the first accepted context of a SOP class."""
        for context in self.accepted:
            if context.abstract_syntax == abstract_syntax:
                return context
        raise NotNegotiated(
            "the peer accepted no presentation context for the operation",
            abstract_syntaxes=(abstract_syntax,),
        )

    async def secure(self, sock: socket.socket) -> None:
        """Take a connection over, and agree on TLS where it is asked for.

        Raises:
            TlsRejected: If no trust could be established.

        """
        if self._closing is not None:
            sock.close()
            raise self._closed()
        await self._worker.run(self._session.secure, sock)

    async def open(self) -> None:
        """Associate.

        Raises:
            TlsRejected, AssociationRejected, NotNegotiated, ConnectionLost, Stalled,
                ProtocolError: As the port says.

        """
        limit_s = self._settings.acse_timeout_s
        if self._closing is not None:
            raise self._closed()
        try:
            async with asyncio.timeout(limit_s):
                await self._worker.run(self._session.open)
        except TimeoutError:
            raise Stalled(
                f"no answer to the association request within {limit_s:g} s",
                origin=self._settings.origin,
            ) from None
        self._by_id = {context.context_id: context for context in self.accepted}

    async def echo(self) -> None:
        """C-ECHO (PS3.7 §9.1.5)."""
        context = self.context_for(VERIFICATION)
        async with aclosing(self._responses(context, CEchoRequest(self._next_id()))) as responses:
            async for response, _ in responses:
                if not is_success(response.status):
                    raise failure_of(response.status, Operation.ECHO)

    async def find(self, context: AcceptedContext, identifier: bytes) -> AsyncGenerator[FindAnswer]:
        """C-FIND (PS3.7 §9.1.2): yield each pending answer."""
        request = CFindRequest(self._next_id(), context.abstract_syntax)
        async with aclosing(self._responses(context, request, identifier)) as responses:
            async for response, dataset in responses:
                if is_pending(response.status):
                    yield FindAnswer(bytes(dataset), context.transfer_syntax)
                elif not is_success(response.status):
                    raise failure_of(response.status, Operation.FIND)

    async def get(
        self, context: AcceptedContext, identifier: bytes, storage: StorageHandler
    ) -> AsyncGenerator[SubOperations]:
        """C-GET (PS3.7 §9.1.3): yield each response, the final one last."""
        request = CGetRequest(self._next_id(), context.abstract_syntax)
        told = self._responses(context, request, identifier, storage)
        async with aclosing(told) as responses:
            async for response, dataset in responses:
                yield sub_operations(response, dataset, context)

    async def move(
        self,
        context: AcceptedContext,
        identifier: bytes,
        destination: str,
        elsewhere: Callable[[], int] | None = None,
    ) -> AsyncGenerator[SubOperations]:
        """C-MOVE (PS3.7 §9.1.4): yield each response, the final one last."""
        hear, patience_s = self._session.hear, self._settings.idle_timeout_s
        request = CMoveRequest(self._next_id(), context.abstract_syntax, destination)
        async with aclosing(self._responses(context, request, identifier)) as responses:
            with heeding(elsewhere, hear, patience_s=patience_s):
                async for response, dataset in responses:
                    yield sub_operations(response, dataset, context)

    async def release(self) -> None:
        """Release the association, or abort it if the peer does not agree in time (PS3.8 §7.2)."""
        if self._dialogue is not None:
            await self._finish(self._dialogue)
        if self._is_over:
            return
        try:
            async with asyncio.timeout(self._settings.acse_timeout_s):
                await self._worker.run(self._session.release)
        except (AsyncDicomError, TimeoutError):
            self.stop()  # all that was asked for has been answered

    def stop(self) -> None:
        """Abort; whatever waits fails with `ConnectionLost`."""
        self._is_over = True
        self._session.stop()

    async def close(self) -> None:
        """Abort what is left, and end the thread; takes at most a few times `GRACE_S`.

        Cancellation: it is raised when that is done.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        try:
            await asyncio.shield(self._closing)
        except asyncio.CancelledError:
            await asyncio.wait([self._closing])
            raise

    async def _close(self) -> None:
        self.stop()
        try:
            async with asyncio.timeout(GRACE_S):
                await self._worker.idle()
        except TimeoutError:
            self._session.cut()
        await self._worker.run(self._session.close)
        self._worker.end()

    def _closed(self) -> ConnectionLost:
        return ConnectionLost("the transport was closed", origin=self._settings.origin)

    def _next_id(self) -> int:
        """Return a message ID (PS3.7 §9.3): none that is outstanding."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    async def _responses(
        self,
        context: AcceptedContext,
        request: Request,
        identifier: bytes = b"",
        storage: StorageHandler | None = None,
    ) -> AsyncGenerator[tuple[Response, memoryview | bytes]]:
        """Perform an operation: yield the responses to it, the final one last."""
        dialogue = Dialogue(context, request, storage)
        dialogue.replies.append(Transmitted(context.context_id, request, identifier))
        await self._begin(dialogue)
        try:
            while dialogue.is_open:
                response = await self._response(dialogue)
                yield response
        except GeneratorExit:
            await self._finish(dialogue)
            raise
        except BaseException:
            self.stop()
            raise

    async def _begin(self, dialogue: Dialogue) -> None:
        """Make sure that no other operation is under way; one left half-way is cancelled."""
        if self._dialogue is not None:
            if self._dialogue.is_waiting:
                raise UsageError("one operation at a time per association")
            await self._finish(self._dialogue)
            # What came behind a final response belongs nowhere; the next one stumbles over it.
            dialogue.arrived.extend(self._dialogue.arrived)
        if self._is_over:
            raise ConnectionLost("the association is over", origin=self._settings.origin)
        self._dialogue = dialogue

    async def _response(self, dialogue: Dialogue) -> tuple[Response, memoryview | bytes]:
        """Return the next response, having stored what the peer sends before it."""
        dialogue.is_waiting = True
        try:
            while True:
                while not dialogue.arrived:
                    await self._exchange(dialogue)
                message = dialogue.arrived.popleft()
                if isinstance(message.command, CStoreRequest):
                    dialogue.replies.append(await self._store(message, dialogue))
                else:
                    return dialogue.response(message), message.dataset
        finally:
            dialogue.is_waiting = False

    async def _exchange(self, dialogue: Dialogue) -> None:
        """Send the request, or what is to be answered, and wait for more."""
        messages, dialogue.replies = dialogue.replies, []
        dialogue.arrived.extend(await self._worker.run(self._session.exchange, messages))

    async def _store(self, message: Transmitted, dialogue: Dialogue) -> Transmitted:
        """Give a data set to the storage, and return the answer to its C-STORE."""
        assert isinstance(message.command, CStoreRequest), "others are responses"
        context = self._by_id.get(message.context_id)
        if context is None or dialogue.storage is None:
            raise ProtocolError("the peer stores without having been asked to")
        sink = dialogue.storage.begin(self._store_request(message.command, context))
        status = await pour(message.dataset, sink)
        return Transmitted(message.context_id, answer(message.command, status))

    def _store_request(self, command: CStoreRequest, context: AcceptedContext) -> StoreRequest:
        return StoreRequest(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax=context.transfer_syntax,
            message_id=command.message_id,
            calling_ae=self._settings.called_ae,
            move_originator=command.move_originator,
            move_message_id=command.move_message_id,
        )

    async def _finish(self, dialogue: Dialogue) -> None:
        """Cancel an operation that is not over, and wait until it is; abort if it does not end."""
        async with dialogue.finishing:
            if self._is_over or not dialogue.is_open:
                return
            cancel = CCancelRequest(dialogue.request.message_id)
            dialogue.replies.append(Transmitted(dialogue.context.context_id, cancel))
            dialogue.storage = Refusing()
            try:
                async with asyncio.timeout(self._settings.idle_timeout_s):
                    while dialogue.is_open:
                        await self._response(dialogue)
            except (AsyncDicomError, TimeoutError):
                self.stop()
            except BaseException:
                self.stop()
                raise
