"""One operation as an SCU sees it, whatever carries its messages (PS3.7 §9.1)."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.dimse.messages import (
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreResponse,
)
from asyncdicom.protocol.dimse.statuses import Status, is_pending

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import AcceptedContext, StorageHandler, StoreRequest, StoreSink
    from asyncdicom.protocol.dimse.messages import CStoreRequest, Message

__all__ = [
    "Dialogue",
    "Refusing",
    "Request",
    "Response",
    "Transmitted",
    "answer",
    "pour",
]

Request: TypeAlias = CEchoRequest | CFindRequest | CGetRequest | CMoveRequest
Response: TypeAlias = CEchoResponse | CFindResponse | CGetResponse | CMoveResponse

SLICE_BYTES = 1024 * 1024
"""Most of a data set that a sink gets at a time, so that the loop can do other things."""

_RESPONSES: dict[type[Request], type[Response]] = {
    CEchoRequest: CEchoResponse,
    CFindRequest: CFindResponse,
    CGetRequest: CGetResponse,
    CMoveRequest: CMoveResponse,
}


@dataclass(frozen=True, slots=True)
class Transmitted:
    """A whole message, of ours or of the peer."""

    context_id: int
    command: Message
    dataset: memoryview | bytes = b""


class Refusing:
    """Takes nothing that is stored after its C-GET was cancelled: handler and sink."""

    def begin(self, _request: StoreRequest, /) -> Refusing:
        """Take a data set, to drop it."""
        return self

    def write(self, *_fragments: Buffer) -> None:
        """Drop the bytes."""

    async def end(self) -> int:
        """Refuse."""
        return Status.OUT_OF_RESOURCES

    def end_nowait(self) -> int:
        """Refuse."""
        return Status.OUT_OF_RESOURCES

    def discard(self) -> None:
        """Have nothing to give up."""


class Dialogue:
    """One operation: what was asked, what came, and what is to be answered."""

    def __init__(
        self, context: AcceptedContext, request: Request, storage: StorageHandler | None
    ) -> None:
        self.context = context
        self.request = request
        self.storage = storage
        self.is_open = True
        """Whether the final response is still to come."""
        self.is_waiting = False
        """Whether somebody awaits a response."""
        self.arrived: deque[Transmitted] = deque()
        self.replies: list[Transmitted] = []
        self.finishing = asyncio.Lock()

    def response(self, message: Transmitted) -> Response:
        """Return a message as a response to our request.

        Raises:
            ProtocolError: If it is none.

        """
        command = message.command
        if not isinstance(command, _RESPONSES[type(self.request)]):
            raise ProtocolError(f"a {command.name} came where none belongs")
        if command.responds_to != self.request.message_id:
            raise ProtocolError(f"the peer responds to message {command.responds_to}, not sent")
        self.is_open = is_pending(command.status)
        return command


def answer(command: CStoreRequest, status: int) -> CStoreResponse:
    """Make the answer to a C-STORE."""
    return CStoreResponse(
        command.message_id, status, command.sop_class_uid, command.sop_instance_uid
    )


async def pour(dataset: memoryview | bytes, sink: StoreSink) -> int:
    """Give a data set to its sink; return the status that the sink decides on."""
    try:
        view = memoryview(dataset)
        for start in range(0, len(view), SLICE_BYTES):
            if start:
                await asyncio.sleep(0)
            sink.write(view[start : start + SLICE_BYTES])
        return await sink.end()
    except BaseException:
        sink.discard()
        raise
