"""The sending side of a C-MOVE: an association of our own to the destination (PS3.4 §C.4.2)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

from asyncdicom.errors import ConnectionLost, NotNegotiated, ProtocolError
from asyncdicom.ports.dimse import PresentationContext, Proposal
from asyncdicom.protocol.dimse.messages import CStoreRequest, CStoreResponse
from asyncdicom.transports.associations.native import NativeTransport
from asyncdicom.transports.associations.settings import DimseSettings
from asyncdicom.transports.associations.wire import Arrived

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import AcceptedContext
    from asyncdicom.transports.associations.association import NativeAssociation
    from asyncdicom.transports.associations.services import Instance

__all__ = ["Destination", "MoveChannel", "moving_to"]

Destination = tuple[str, int]
"""Host and port."""


class MoveChannel:
    """Implements `dimse_channel.Channel` over an association that we asked for.

    Args:
        association: Established.
        originator: AE title and message ID of the C-MOVE.

    """

    def __init__(self, association: NativeAssociation, originator: tuple[str, int]) -> None:
        self._association = association
        self._wire = association.wire
        self._originator = originator
        self._message_id = 0

    def storage_context(self, sop_class_uid: str, transfer_syntax: str) -> AcceptedContext:
        """Return a context in which the destination takes an instance."""
        for context in self._association.accepted:
            if (context.abstract_syntax, context.transfer_syntax) == (
                sop_class_uid,
                transfer_syntax,
            ):
                return context
        raise NotNegotiated("the destination refuses it", abstract_syntaxes=(sop_class_uid,))

    def expect_stored(self, message_id: int) -> None:
        """Do nothing: answers are read when they are waited for."""

    async def store(self, instance: Instance) -> int:
        """Send a C-STORE and return the status of its answer."""
        return await self.stored(await self.begin_store(instance))

    async def begin_store(self, instance: Instance) -> int:
        """Send a C-STORE, and return its message ID."""
        context = self.storage_context(instance.sop_class_uid, instance.transfer_syntax)
        self._message_id = self._message_id % 0x3FFF + 1
        ae_title, message_id = self._originator
        request = CStoreRequest(
            self._message_id,
            instance.sop_class_uid,
            instance.sop_instance_uid,
            move_originator=ae_title,
            move_message_id=message_id,
        )
        await self._wire.send(context.context_id, request, instance.dataset)
        return self._message_id

    async def stored(self, message_id: int) -> int:
        """Wait for the answer to a C-STORE.

        Raises:
            ProtocolError: If something else comes.

        """
        arrived = await self._wire.next()
        if isinstance(arrived, Arrived) and isinstance(arrived.command, CStoreResponse):
            return arrived.command.status
        raise ProtocolError(f"no answer to message {message_id}")

    async def send(
        self, context_id: int, data: Buffer, *, is_command: bool, is_last: bool = True
    ) -> None:
        """Send bytes of a command or data set."""
        self._wire.machine.send_data(context_id, data, is_command=is_command, is_last=is_last)
        self._wire.flush()
        await self._wire.connection.drain()

    async def write(self, data: Buffer) -> None:
        """Write bytes to the connection."""
        self._wire.connection.write([data])
        await self._wire.connection.drain()

    def abort(self) -> NoReturn:
        """Send A-ABORT and close.

        Raises:
            ConnectionLost: Always: the archive itself goes on, and has to say what failed.

        """
        self._association.abort()
        raise ConnectionLost("a fault aborted the association")

    def close(self) -> NoReturn:
        """Close the connection without a word.

        Raises:
            ConnectionLost: As for `abort`.

        """
        self._wire.connection.cut()
        raise ConnectionLost("a fault closed the connection")


@asynccontextmanager
async def moving_to(
    destination: Destination,
    titles: tuple[str, str],
    instances: Iterable[tuple[str, str]],
    originator: tuple[str, int],
) -> AsyncGenerator[tuple[MoveChannel, int]]:
    """Associate with a destination; give a channel and the longest PDU that it takes.

    Args:
        destination: Where it listens.
        titles: Its AE title and ours.
        instances: SOP class and transfer syntax of what is to be sent.
        originator: AE title and message ID of the C-MOVE.

    Raises:
        TransportError: If there is no way to it.
        NotNegotiated: If it takes nothing of this.

    """
    contexts = tuple(
        PresentationContext(sop, (syntax,)) for sop, syntax in dict.fromkeys(instances)
    )
    host, port = destination
    called, calling = titles
    settings = DimseSettings(host=host, port=port, called_ae=called, calling_ae=calling)
    transport = NativeTransport(settings)
    try:
        async with transport.associate(Proposal(contexts)) as association:
            yield MoveChannel(association, originator), association.peer_max_pdu_bytes
    finally:
        await transport.aclose()
