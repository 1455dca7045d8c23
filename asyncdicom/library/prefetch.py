"""Items on their way from many workers to one consumer, within a budget of bytes.

    prefetch.hold(len(chunk))           # a worker received a piece of an item
    prefetch.put(item, weight_bytes)    # the item is whole
    item = await prefetch.take()        # the consumer wants one; the one before is given back

Rule: at most the budget is held, plus the rest of one item and the chunk that
each worker has in its hands. Held is what arrived in part, what waits, and the
item that the consumer has.

When parts of items alone use up the budget, nobody could ever finish. So one
worker, always the same until it is done, may go beyond: but only while the
consumer waits with nothing to take.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Prefetch"]

T = TypeVar("T")


class Prefetch(Generic[T]):
    """A bounded hand-over; for one event loop and one consumer.

    Args:
        budget_bytes: At least 1.

    Attributes:
        held_bytes: Held now.
        held_bytes_peak: Most that was ever held.

    """

    def __init__(self, budget_bytes: int) -> None:
        self.held_bytes = 0
        self.held_bytes_peak = 0
        self._budget_bytes = budget_bytes
        self._ready: deque[tuple[T, int]] = deque()
        self._taken_bytes = 0
        self._consumer_waits = False
        self._is_over = False
        self._privileged: object | None = None
        self._arrival = asyncio.Event()
        self._room = asyncio.Event()

    def hold(self, byte_count: int) -> None:
        """Count bytes in."""
        self.held_bytes += byte_count
        self.held_bytes_peak = max(self.held_bytes_peak, self.held_bytes)

    def release(self, byte_count: int) -> None:
        """Count bytes out."""
        self.held_bytes -= byte_count
        self._room.set()

    def put(self, item: T, byte_count: int) -> None:
        """Hand over an item whose bytes are held."""
        self._ready.append((item, byte_count))
        self._arrival.set()

    def end(self) -> None:
        """Let the consumer know that nothing more will be put."""
        self._is_over = True
        self._arrival.set()

    async def take(self) -> T | None:
        """Return the next item, or None after the last; the one before is no longer held."""
        self.release(self._taken_bytes)
        self._taken_bytes = 0
        while not self._ready:
            if self._is_over:
                return None
            await self._until_arrival()
        item, self._taken_bytes = self._ready.popleft()
        return item

    async def until_room(self, worker: object) -> None:
        """Wait until a worker may receive more."""
        while not self._may_receive(worker):
            self._room.clear()
            await self._room.wait()

    def leave(self, worker: object) -> None:
        """Take note that a worker will receive nothing more, for now."""
        if self._privileged is worker:
            self._privileged = None
            self._room.set()

    def _may_receive(self, worker: object) -> bool:
        if self.held_bytes < self._budget_bytes:
            return True
        if self._ready or not self._consumer_waits:
            return False
        if self._privileged is None:
            self._privileged = worker
        return self._privileged is worker

    async def _until_arrival(self) -> None:
        self._arrival.clear()
        self._consumer_waits = True
        self._room.set()
        try:
            await self._arrival.wait()
        finally:
            self._consumer_waits = False
