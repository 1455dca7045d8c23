"""Messages over one connection: the upper layer's machine and the assembler, driven.

    arrival = await wire.next()              # Arrived, or an event of the association
    await wire.send(context_id, command)
    await wire.send(context_id, command, dataset)

Rule: data sets of C-STORE requests go to a sink, fragment by fragment, without a copy;
all others are identifiers, small, and held. What a sink raises is raised by `next`.

Strategy: an archive that stores waits for each answer, and for nothing else: how far a C-GET
has come is told when what came with it was answered, and not more often than anybody looks; of
an archive that says it with each instance, most is passed over. Where the sink need not wait
for anything (`end_nowait`), the answer leaves while the loop hands over what came, and whoever
called `next` hears nothing of it: to wake a task would take as long as to parse and write.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    LimitExceeded,
    ProtocolError,
    TransportError,
)
from asyncdicom.protocol.dimse.assembler import DataFragment, MessageAssembler, MessageBegan
from asyncdicom.protocol.dimse.messages import CGetResponse, CStoreRequest
from asyncdicom.protocol.dimse.statuses import Status, is_pending
from asyncdicom.protocol.dimse.store_answers import encode_store_response
from asyncdicom.protocol.upper_layer.association import NEED_DATA, AssociationEvent
from asyncdicom.protocol.upper_layer.p_data import fragment_bytes
from asyncdicom.protocol.upper_layer.pdu import PdvFragment
from asyncdicom.protocol.upper_layer.table import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import DimseStatistics, StoreSink
    from asyncdicom.protocol.dimse.messages import Message
    from asyncdicom.protocol.upper_layer.association import AssociationMachine
    from asyncdicom.protocol.upper_layer.reader import PduReader
    from asyncdicom.transports.associations.connection import Connection, Patience

__all__ = ["Arrival", "Arrived", "Wire"]

SLICE_BYTES = 1024 * 1024
"""Of a data set that is handed to the connection at a time, so that it need not hold all."""
MAX_ANSWERS = 8
"""At a time: a peer that sends more requests before it reads answers lets others have a turn."""
MAX_LATE = 1
"""Responses that are told late: archives send one with each instance; a flood is no progress."""
PROGRESS_S = 0.02
"""Time from one response that only says how far a C-GET has come to the next that is told; after
a C-STORE request that was refused, or that had to wait, each is: who hears it may want no more."""
MAX_IDENTIFIER_BYTES = 8 * 1024 * 1024
"""Longest data set that is held: the failed UIDs of 100,000 instances are 6.5 MB."""

_STA6: Final = State.STA6


class Arrived(NamedTuple):
    """A whole message of the peer."""

    context_id: int
    command: Message
    dataset: bytes = b""
    """Identifier; empty if there is none, or if it went to a sink."""
    sink: StoreSink | None = None
    """Took the data set of a C-STORE request; its `end` is to be called."""


Arrival: TypeAlias = Arrived | AssociationEvent


def _may_be_late(arrival: Arrival) -> bool:
    """Tell whether it only says how far an operation has come."""
    if not isinstance(arrival, Arrived) or not isinstance(arrival.command, CGetResponse):
        return False
    return is_pending(arrival.command.status)


class Wire:
    """One connection with its machine, for one task.

    Args:
        connection: Not yet, or just, made.
        machine: Upper layer of our side.
        origin: Peer, for messages of errors.
        statistics: Counters to add to.

    """

    def __init__(
        self,
        connection: Connection,
        machine: AssociationMachine,
        *,
        origin: str,
        statistics: DimseStatistics,
    ) -> None:
        self.connection = connection
        self.machine = machine
        self.begin_store: Callable[[int, CStoreRequest], StoreSink] | None = None
        """Makes the sink of a C-STORE request; while None, nobody may send any."""
        self._origin = origin
        self._statistics = statistics
        self._assembler = MessageAssembler()
        self._began: tuple[int, Message] | None = None
        self._sink: StoreSink | None = None
        self._held = bytearray()
        self._is_eof_told = False
        self._over: AsyncDicomError | None = None
        self._fragment_bytes = 1
        self._answers = 0
        self._late: deque[Arrival] = deque()
        self._told_s = float("-inf")
        self._is_progress_due = False

    @property
    def is_over(self) -> bool:
        """Whether it was aborted, or failed."""
        return self._over is not None

    @property
    def is_within_message(self) -> bool:
        """Whether more of what came last is due."""
        return not self._assembler.is_idle

    def established(self, *, peer_max_pdu_bytes: int, patience: Patience) -> None:
        """Say that messages follow: read more at a time, and be patient in another way."""
        self._fragment_bytes = fragment_bytes(peer_max_pdu_bytes)
        self.connection.set_patience(patience)
        self.connection.grow()

    async def next(self) -> Arrival:
        """Return the next message or event, in the order of the wire.

        Raises:
            AsyncDicomError: Of the machine, the assembler or a sink; the association is over.

        """
        self.check()
        arrival = self._advance()
        if arrival is not None:
            return arrival
        return await self.connection.arrival(self._advance)

    async def send(self, context_id: int, command: Message, dataset: Buffer = b"") -> None:
        """Send a message, its data set in slices as fast as the peer takes them."""
        self.check()
        self.machine.send_data(context_id, command.encode(), is_command=True, is_last=True)
        if command.has_data_set:
            await self._send_dataset(context_id, memoryview(dataset))
        self.flush()
        await self.connection.drain()

    async def send_command(self, context_id: int, encoded: bytes) -> None:
        """Send a message without a data set."""
        self.check()
        self.machine.send_data(context_id, encoded, is_command=True, is_last=True)
        self.flush()
        await self.connection.drain()

    def check(self) -> None:
        """Raise why the association is over, if it is."""
        if self._over is not None:
            raise self._over

    def flush(self) -> None:
        """Write what the machine wants to say, and close if it wants that."""
        self.connection.write(self.machine.data_to_send())
        if self.machine.must_close:
            self.connection.close()

    def abort(self) -> None:
        """Send A-ABORT, if there is an association, and close (PS3.8 §7.3)."""
        self.interrupt(ConnectionLost("the association was aborted"))
        self.discard()

    def fail(self, error: AsyncDicomError) -> None:
        """End the association because of an error; it is what the next caller gets, too."""
        self.interrupt(error)
        self.discard()

    def interrupt(self, error: AsyncDicomError) -> None:
        """End the association for a task that may be waiting, and that will discard its sink."""
        if isinstance(error, TransportError) and not error.origin:
            error.origin = self._origin
        if self._over is None:
            self._over = error
        self.machine.abort()
        self.flush()
        self.connection.fail(self._over)

    def discard(self) -> None:
        """Give up the data set that is under way, if there is one."""
        if self._sink is not None:
            self._sink.discard()
            self._sink = None

    def refuse(self, sink: StoreSink) -> None:
        """Give up the data set that is under way, if there is one; a sink takes the rest."""
        if self._sink is not None:
            self._sink.discard()
            self._sink = sink

    async def end(self) -> None:
        """Close the connection, wait for that, and cut the cycles in which all of this hangs.

        What was raised knows its frames, which know the wire, which knows what was raised: left
        to the garbage collector, thousands of associations would wait for it.
        """
        self.connection.close()
        await self.connection.closed()
        self.begin_store = None
        for failure in (self._over, self.connection.failure):
            if failure is not None:
                failure.__traceback__ = None

    def stored(self) -> None:
        """Say that the sink of the last C-STORE request came to its end."""
        self._sink = None

    def _advance(self) -> Arrival | None:
        """Parse on to the next whole message or event; None wants more bytes.

        Called by the loop as well: when it fails, nobody may send any more, at once.
        """
        self._answers = 0
        try:
            return self._parse()
        except AsyncDicomError as error:
            self.fail(error)
            raise

    def _parse(self) -> Arrival | None:
        """Parse on; what may be told late is told when nothing else is left to do."""
        if self._late:
            return self._late.popleft()
        machine = self.machine
        while True:
            arrived: Arrival | None = None
            reader = None if self._is_eof_told else machine.data_reader
            if reader is not None and reader.is_drained:
                if not self._feed():
                    break
            elif reader is not None and self._has_ended_at_once(reader):
                arrived = self._ended()
            elif (event := machine.next_event()) is not NEED_DATA:
                arrived = self._happened(event)
            elif not self._feed():
                break
            if arrived is None:
                continue
            is_progress = _may_be_late(arrived)
            if is_progress:
                if not self._is_due():
                    continue
                self._told_s, self._is_progress_due = self.connection.heard_s, False
            self._late.append(arrived)
            if len(self._late) > MAX_LATE or not is_progress:
                return self._late.popleft()
        self.connection.is_within_message = self.is_within_message
        return self._late.popleft() if self._late else None

    def _is_due(self) -> bool:
        """Tell whether somebody should hear how far an operation has come."""
        return self._is_progress_due or self.connection.heard_s - self._told_s >= PROGRESS_S

    def _next_whole(self, reader: PduReader) -> tuple[int, memoryview, memoryview | None] | None:
        """Return the next message that came whole, behind those that nobody has to hear of."""
        while (message := reader.whole_message()) is not None:
            _, command_set, dataset = message
            if (
                dataset is not None
                or self._is_due()
                or not self._assembler.is_progress(command_set)
            ):
                break
            reader.pass_message()
            self._statistics.messages_received += 1
        return message

    def _has_ended_at_once(self, reader: PduReader) -> bool:
        """Take a whole message, or what came of a data set, at once; tell whether it ended."""
        if self._began is not None:
            if self._sink is None:
                return False
            pieces, is_last = reader.take_data(self._began[0])
            if pieces:
                self._sink.write(*pieces)
            if is_last:
                self._assembler.end_data_set()
            return is_last
        if not self._assembler.is_idle or (message := self._next_whole(reader)) is None:
            return False
        context_id, command_set, dataset = message
        command = self._assembler.command_of(command_set, has_data_set=dataset is not None)
        if command is None:
            return False
        reader.pass_message()
        self._begin(context_id, command)
        if dataset is not None:
            self._take(dataset)
        return True

    def _feed(self) -> bool:
        """Hand the machine what there is, the end included; tell whether it was anything."""
        data = self.connection.take()
        if data is not None:
            self._statistics.bytes_received += len(data)
            self.machine.receive_data(data)
            return True
        if self.connection.failure is not None:
            raise self.connection.failure
        if not self.connection.has_ended:
            return False
        if self._is_eof_told:
            raise ConnectionLost("the connection is closed", origin=self._origin)
        self._is_eof_told = True
        self.machine.receive_eof()
        return True

    def _happened(self, event: AssociationEvent) -> Arrival | None:
        if not isinstance(event, PdvFragment):
            return event
        arrived: Arrived | None = None
        for one in self._assembler.receive(event):
            if isinstance(one, DataFragment):
                self._take(one.data)
            elif isinstance(one, MessageBegan):
                self._begin(*one)
            else:
                arrived = self._ended()
        return arrived

    def _begin(self, context_id: int, command: Message) -> None:
        self._began = context_id, command
        if isinstance(command, CStoreRequest):
            if self.begin_store is None:
                raise ProtocolError("the peer stores without having been asked to")
            self._sink = self.begin_store(context_id, command)

    def _take(self, data: Buffer) -> None:
        if self._sink is not None:
            self._sink.write(data)
        else:
            self._hold(data)

    def _ended(self) -> Arrived | None:
        assert self._began is not None, "a message begins before it ends"
        (context_id, command), self._began = self._began, None
        self._statistics.messages_received += 1
        if self._sink is not None and self._is_answered(context_id, command, self._sink):
            return None
        dataset = bytes(self._held)
        self._held.clear()
        return Arrived(context_id, command, dataset, self._sink)

    def _is_answered(self, context_id: int, command: Message, sink: StoreSink) -> bool:
        """Answer a C-STORE request whose sink need not wait for anything; tell whether it is."""
        assert isinstance(command, CStoreRequest), "nothing else has a sink"
        machine, connection = self.machine, self.connection
        if (
            self._answers >= MAX_ANSWERS
            or not connection.is_writable
            or machine.state is not _STA6
            or (status := sink.end_nowait()) is None
        ):
            self._is_progress_due = True
            return False
        self._answers += 1
        self._is_progress_due = self._is_progress_due or status != Status.SUCCESS
        self._sink = None
        encoded = encode_store_response(command, status)
        machine.send_data(context_id, encoded, is_command=True, is_last=True)
        connection.write(machine.data_to_send())
        connection.begin_message()
        return True

    def _hold(self, data: Buffer) -> None:
        if len(self._held) + len(data) > MAX_IDENTIFIER_BYTES:
            raise LimitExceeded(f"an identifier is longer than {MAX_IDENTIFIER_BYTES} bytes")
        self._held += data

    async def _send_dataset(self, context_id: int, dataset: memoryview) -> None:
        """Send a data set; each slice but the last fills its PDUs."""
        step = max(1, SLICE_BYTES // self._fragment_bytes) * self._fragment_bytes
        for start in range(0, max(len(dataset), 1), step):
            piece = dataset[start : start + step]
            is_last = start + step >= len(dataset)
            self.machine.send_data(context_id, piece, is_command=False, is_last=is_last)
            self.flush()
            await self.connection.drain()
