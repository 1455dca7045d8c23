"""Where faults of DIMSE happen: a way to the peer, and what is under way on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from asyncdicom.protocol.dimse.messages import CStoreRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import AcceptedContext
    from asyncdicom.transports.associations.services import Instance

__all__ = ["Channel", "Scene", "Sending"]

FIRST_MESSAGE_ID = 0x4000
"""Of C-STORE requests that are written by hand; the acceptor's own begin at 1."""


class Channel(Protocol):
    """A way to a peer that may be misused: `services.Operation` is one."""

    def expect_stored(self, message_id: int, /) -> None:
        """Say that a C-STORE request is sent by hand, before it is."""

    def storage_context(self, sop_class_uid: str, transfer_syntax: str, /) -> AcceptedContext:
        """Return a context in which the peer takes an instance.

        Raises:
            NotNegotiated: If there is none.

        """

    async def store(self, instance: Instance, /) -> int:
        """Send a C-STORE and return the status of its answer."""

    async def begin_store(self, instance: Instance, /) -> int:
        """Send a C-STORE, and return its message ID."""

    async def stored(self, message_id: int, /) -> int:
        """Wait for the answer to a C-STORE."""

    async def send(
        self, context_id: int, data: Buffer, *, is_command: bool, is_last: bool = True
    ) -> None:
        """Send bytes of a command or data set."""

    async def write(self, data: Buffer) -> None:
        """Write bytes to the connection."""

    def abort(self) -> None:
        """Send A-ABORT and close."""

    def close(self) -> None:
        """Close the connection without a word."""


class Wires(Protocol):
    """What an interruption needs of a way to a peer."""

    async def write(self, data: Buffer) -> None:
        """Write bytes to the connection."""

    def abort(self) -> None:
        """Send A-ABORT and close."""

    def close(self) -> None:
        """Close the connection without a word."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where an interruption happens."""

    channel: Wires
    context_id: int
    """An accepted context; 0 before the association is established."""
    peer_max_pdu_bytes: int
    """What the peer takes, in bytes; 0 is no limit."""
    is_within_data: bool = False
    """Whether a data set has begun that did not end."""
    message_id: int = 0
    """Of the request that is performed."""
    respond: Callable[[int], Awaitable[None]] | None = None
    """Sends a final response of success to a message ID, by hand."""


@dataclass(frozen=True, slots=True)
class Sending:
    """One instance that is about to be sent."""

    channel: Channel
    instance: Instance
    number: int
    """Of the sub-operation, from 1."""
    peer_max_pdu_bytes: int
    move_originator: str = ""
    move_message_id: int | None = None

    @property
    def context(self) -> AcceptedContext:
        """Context to send it in.

        Raises:
            NotNegotiated: If there is none.

        """
        return self.channel.storage_context(
            self.instance.sop_class_uid, self.instance.transfer_syntax
        )

    def command(
        self, *, sop_instance_uid: str | None = None, has_data_set: bool = True
    ) -> CStoreRequest:
        """Return the request as it is written by hand."""
        instance = self.instance
        return CStoreRequest(
            FIRST_MESSAGE_ID + self.number % FIRST_MESSAGE_ID,
            instance.sop_class_uid,
            instance.sop_instance_uid if sop_instance_uid is None else sop_instance_uid,
            move_originator=self.move_originator,
            move_message_id=self.move_message_id,
            has_data_set=has_data_set,
        )

    async def transmit(self, command: CStoreRequest, *pieces: Buffer) -> int:
        """Send a request with a data set of pieces, and wait for the status of its answer."""
        context_id = self.context.context_id
        self.channel.expect_stored(command.message_id)
        await self.channel.send(context_id, command.encode(), is_command=True)
        for at, piece in enumerate(pieces, 1):
            is_last = at == len(pieces)
            await self.channel.send(context_id, piece, is_command=False, is_last=is_last)
        return await self.channel.stored(command.message_id)
