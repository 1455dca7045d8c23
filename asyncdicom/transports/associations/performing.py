"""A C-FIND, C-GET or C-MOVE that we perform for a peer (PS3.7 §9.1.2 to §9.1.4)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from asyncdicom.errors import ConnectionLost, NotNegotiated, OperationFailed
from asyncdicom.ports.dimse import SubOperations
from asyncdicom.protocol.dimse.identifiers import Element, encode_identifier
from asyncdicom.protocol.dimse.messages import (
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
)
from asyncdicom.protocol.dimse.statuses import Status, is_pending
from asyncdicom.transports.associations.sub_operations import FAILED_SOP_INSTANCE_UID_LIST

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import AcceptedContext
    from asyncdicom.protocol.dimse.messages import CStoreResponse
    from asyncdicom.transports.associations.services import Instance, Requestor, Services
    from asyncdicom.transports.associations.wire import Arrived, Wire

__all__ = ["PerformedOperation"]


Query: TypeAlias = CFindRequest | CGetRequest | CMoveRequest


class PerformedOperation:
    """Implements `services.Operation`.

    Args:
        wire: Established.
        requestor: Who asked.
        contexts: Accepted ones, by ID.
        arrived: The request, and its identifier.

    """

    def __init__(
        self,
        wire: Wire,
        requestor: Requestor,
        contexts: dict[int, AcceptedContext],
        arrived: Arrived,
    ) -> None:
        request = arrived.command
        assert isinstance(request, Query), "only these are performed"
        self.requestor = requestor
        self.context = contexts[arrived.context_id]
        self.identifier = arrived.dataset
        self.is_cancelled = False
        self._wire = wire
        self._contexts = contexts
        self._request = request
        self._counts = SubOperations(Status.PENDING)
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._next_message_id = 1

    @property
    def message_id(self) -> int:
        """Of the request, 0 to 65535."""
        return self._request.message_id

    @property
    def destination(self) -> str:
        """AE title to move to (C-MOVE); else empty."""
        return self._request.move_destination if isinstance(self._request, CMoveRequest) else ""

    def storage_context(self, sop_class_uid: str, transfer_syntax: str) -> AcceptedContext:
        """Return a context in which the peer takes what we store."""
        for context in self._contexts.values():
            if (
                context.is_scp
                and context.abstract_syntax == sop_class_uid
                and context.transfer_syntax == transfer_syntax
            ):
                return context
        raise NotNegotiated("the peer takes no such instance", abstract_syntaxes=(sop_class_uid,))

    async def store(self, instance: Instance) -> int:
        """Send a C-STORE over this association (C-GET) and return the peer's status."""
        return await self.stored(await self.begin_store(instance))

    def expect_stored(self, message_id: int) -> None:
        """Take the answer to a C-STORE request of this message ID, once."""
        self._answers[message_id] = asyncio.get_running_loop().create_future()

    async def begin_store(self, instance: Instance) -> int:
        """Send a C-STORE without waiting for its answer; return its message ID."""
        context = self.storage_context(instance.sop_class_uid, instance.transfer_syntax)
        message_id = self._next_message_id
        self._next_message_id = message_id % 0xFFFF + 1
        self.expect_stored(message_id)
        request = CStoreRequest(message_id, instance.sop_class_uid, instance.sop_instance_uid)
        await self._wire.send(context.context_id, request, instance.dataset)
        return message_id

    async def stored(self, message_id: int) -> int:
        """Wait for the answer to `begin_store`, and return its status."""
        self._wire.connection.expect(True)
        try:
            return await self._answers[message_id]
        finally:
            self._wire.connection.expect(False)
            del self._answers[message_id]

    def answered(self, response: CStoreResponse) -> bool:
        """Take the answer to a C-STORE of ours; tell whether there was one to wait for."""
        answer = self._answers.get(response.responds_to)
        if answer is None or answer.done():
            return False
        answer.set_result(response.status)
        return True

    def cancel(self) -> None:
        """Take note of a C-CANCEL."""
        self.is_cancelled = True

    async def send(
        self, context_id: int, data: Buffer, *, is_command: bool, is_last: bool = True
    ) -> None:
        """Send bytes of a command or data set, as they are."""
        self._wire.machine.send_data(context_id, data, is_command=is_command, is_last=is_last)
        self._wire.flush()
        await self._wire.connection.drain()

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

    async def perform(self, services: Services) -> None:
        """Let a service answer, up to the final response, unless it was cancelled before."""
        try:
            if self.is_cancelled:
                status: int = Status.CANCEL
            elif isinstance(self._request, CFindRequest):
                status = await self._find(services.find(self))
            elif isinstance(self._request, CGetRequest):
                status = await self._retrieve(services.get(self))
            else:
                status = await self._retrieve(services.move(self))
        except OperationFailed as failure:
            status = failure.status
        except NotNegotiated:
            status = Status.UNABLE_TO_PERFORM_SUB_OPERATIONS
        await self._respond(replace(self._counts, status=status))

    async def _find(self, matches: AsyncGenerator[bytes]) -> int:
        async with aclosing(matches):
            async for identifier in matches:
                if self.is_cancelled:
                    return Status.CANCEL
                response = CFindResponse(
                    self.message_id,
                    Status.PENDING,
                    self._request.sop_class_uid,
                    has_data_set=True,
                )
                await self._wire.send(self.context.context_id, response, identifier)
                # A service that never waits would let nobody else run, and hear no C-CANCEL.
                await asyncio.sleep(0)
        return Status.CANCEL if self.is_cancelled else Status.SUCCESS

    async def _retrieve(self, progress: AsyncGenerator[SubOperations]) -> int:
        async with aclosing(progress):
            async for one in progress:
                self._counts = one
                if one.is_final:
                    return one.status
                if self.is_cancelled:
                    return Status.CANCEL
                await self._respond(one)
        self._counts = replace(self._counts, remaining=None)
        if self.is_cancelled:
            return Status.CANCEL
        return Status.SUB_OPERATIONS_WITH_FAILURES if self._counts.failed else Status.SUCCESS

    async def _respond(self, counts: SubOperations) -> None:
        identifier = b"" if is_pending(counts.status) else self._failed_uids(counts)
        await self._wire.send(
            self.context.context_id,
            self._response(counts, has_data_set=bool(identifier)),
            identifier,
        )

    def _response(
        self, counts: SubOperations, *, has_data_set: bool
    ) -> CFindResponse | CGetResponse | CMoveResponse:
        sop_class_uid = self._request.sop_class_uid
        if isinstance(self._request, CFindRequest):
            return CFindResponse(self.message_id, counts.status, sop_class_uid)
        kind = CGetResponse if isinstance(self._request, CGetRequest) else CMoveResponse
        return kind(
            self.message_id,
            counts.status,
            sop_class_uid,
            remaining=counts.remaining,
            completed=counts.completed,
            failed=counts.failed,
            warning=counts.warning,
            has_data_set=has_data_set,
        )

    def _failed_uids(self, counts: SubOperations) -> bytes:
        if not counts.failed_sop_instance_uids:
            return b""
        value = "\\".join(counts.failed_sop_instance_uids).encode("ascii", "replace")
        element = Element((FAILED_SOP_INSTANCE_UID_LIST,), "UI", value)
        return encode_identifier([element], self.context.transfer_syntax)
