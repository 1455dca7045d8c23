"""A C-GET or C-MOVE of the mock while it is performed (PS3.4 §C.4.2, §C.4.3).

retrieval = Retrieval(instances, channel, manner, attend)
async for response in retrieval.responses():
    yield response
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from asyncdicom.errors import NotNegotiated
from asyncdicom.mock.archive import Unreadable
from asyncdicom.mock.dimse_channel import Sending
from asyncdicom.mock.dimse_objects import as_sent
from asyncdicom.ports.dimse import SubOperations
from asyncdicom.protocol.dimse.statuses import Category, Status, category

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from asyncdicom.mock.archive import Instance
    from asyncdicom.mock.dimse_channel import Channel, Scene
    from asyncdicom.mock.dimse_effects import Manner, Outcome
    from asyncdicom.transports.associations.services import Instance as Sent

__all__ = ["Attendant", "Counts", "Retrieval", "Way", "broke_in"]

MAX_COUNT: Final = 0xFFFF
"""PS3.7 §9.3.3.2: counts have 16 bits."""


class Attendant(Protocol):
    """Decides what happens to each sub-operation."""

    async def attend(self, sending: Sending, /) -> Outcome | None:
        """Let a fault send an instance; None if it is to be sent as it should."""


@dataclass(slots=True)
class Counts:
    """Sub-operations by what became of them (PS3.7 §9.1.3.1.8 and the following)."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)

    def add(self, status: int, sop_instance_uid: str) -> None:
        """Count a sub-operation that ended with a status."""
        self.remaining -= 1
        match category(status):
            case Category.SUCCESS:
                self.completed += 1
            case Category.WARNING:
                self.warning += 1
            case _:
                self.failed += 1
                self.failed_uids.append(sop_instance_uid)

    @property
    def status(self) -> int:
        """Final status (PS3.4 Tables C.4-2 and C.4-3)."""
        if self.failed and not self.completed and not self.warning:
            return Status.UNABLE_TO_PERFORM_SUB_OPERATIONS
        if self.failed or self.warning:
            return Status.SUB_OPERATIONS_WITH_FAILURES
        return Status.SUCCESS

    def response(self, status: int, manner: Manner) -> SubOperations:
        """Say how far it is; the final response counts nothing that remains."""
        is_pending = status == Status.PENDING
        return SubOperations(
            status=status,
            remaining=min(self.remaining, MAX_COUNT) if is_pending else None,
            completed=min(self.completed + manner.miscounted, MAX_COUNT),
            failed=min(self.failed, MAX_COUNT),
            warning=min(self.warning, MAX_COUNT),
            failed_sop_instance_uids=(
                tuple(self.failed_uids) if manner.lists_failed and not is_pending else ()
            ),
        )


@dataclass(frozen=True, slots=True)
class Way:
    """Where instances are sent, and for whom."""

    channel: Channel
    peer_max_pdu_bytes: int
    is_blocking: bool
    """Whether reading instances may block."""
    move_originator: str = ""
    move_message_id: int | None = None

    def sending(self, sent: Sent, number: int) -> Sending:
        """Return an instance that is about to be sent this way."""
        return Sending(
            self.channel,
            sent,
            number,
            self.peer_max_pdu_bytes,
            self.move_originator,
            self.move_message_id,
        )


class Retrieval:
    """Sends instances, and says how far it is.

    Args:
        instances: What to send, in order.
        way: Where to.
        manner: How, and how it ends.
        attendant: Asked before each instance.

    """

    def __init__(
        self, instances: Sequence[Instance], way: Way, manner: Manner, attendant: Attendant
    ) -> None:
        self.counts = Counts(remaining=len(instances))
        self._instances = instances
        self._way = way
        self._manner = manner
        self._attendant = attendant

    async def responses(self, scene: Scene) -> AsyncGenerator[SubOperations]:
        """Yield a pending response after each sub-operation, then the final one.

        Args:
            scene: Where an interruption happens, if the manner has one.

        """
        manner, counts = self._manner, self.counts
        under_way: deque[tuple[int, Instance]] = deque()
        for number, instance in enumerate(self._instances):
            if number == manner.sent and await broke_in(manner, scene):
                break
            status = await self._sub_operation(number + 1, instance, under_way)
            if status is None:
                continue
            counts.add(status, instance.sop_instance_uid)
            if manner.stops_at_first and counts.failed:
                yield counts.response(Status.CANNOT_UNDERSTAND, manner)
                return
            for _ in range(manner.repeats):
                yield counts.response(Status.PENDING, manner)
        await self._settle(under_way)
        if manner.sent is not None and manner.sent >= len(self._instances):
            await broke_in(manner, scene)
        yield counts.response(counts.status if manner.status is None else manner.status, manner)

    async def _sub_operation(
        self, number: int, instance: Instance, under_way: deque[tuple[int, Instance]]
    ) -> int | None:
        """Send one instance and return its status, or None if it is not waited for yet."""
        channel = self._way.channel
        try:
            sent = await self._read(instance)
            outcome = await self._attendant.attend(self._way.sending(sent, number))
            if outcome is not None:
                return outcome.status
            if self._manner.requests_ahead == 1:
                return await channel.store(sent)
            under_way.append((await channel.begin_store(sent), instance))
        except (NotNegotiated, Unreadable):
            return Status.CANNOT_UNDERSTAND
        await self._settle(under_way, leave=self._manner.requests_ahead - 1)
        return None

    async def _read(self, instance: Instance) -> Sent:
        if self._way.is_blocking:
            return await asyncio.to_thread(as_sent, instance)
        return as_sent(instance)

    async def _settle(self, under_way: deque[tuple[int, Instance]], *, leave: int = 0) -> None:
        """Wait for the answers to requests that were sent ahead."""
        while len(under_way) > leave:
            message_id, instance = under_way.popleft()
            status = await self._way.channel.stored(message_id)
            self.counts.add(status, instance.sop_instance_uid)


async def broke_in(manner: Manner, scene: Scene) -> bool:
    """Let an interruption happen; tell whether the operation ends here."""
    if manner.interrupt is not None:
        await manner.interrupt(scene)
    return manner.status is not None
