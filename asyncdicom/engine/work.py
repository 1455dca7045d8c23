"""The queue of a run: lazy, depth first, so that a plan is never held as a list.

A task may bring more tasks (the metadata of a study brings its instances, an
instance its frames). They come as iterators, kept on a stack: the newest is
drained first, so that what is planned but not begun stays as small as the
depth of the tree, not as large as the archive.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["WorkQueue"]

T = TypeVar("T")


class WorkQueue(Generic[T]):
    """Tasks to do: a stack of lazy iterators, and those put back for the very end.

    A task comes with the number of tries made before, 0 for all but deferred ones.
    `take` ends (returns None) when nothing is left *and* nobody who could still
    bring more is at work; every task taken must be answered by one `done`.
    """

    def __init__(self, tasks: Iterable[T]) -> None:
        self._stack: list[Iterator[T]] = [iter(tasks)]
        self._deferred: deque[tuple[T, int]] = deque()
        self._last_tries = False
        self._at_work = 0
        self._changed = asyncio.Event()
        self._closed = False

    def take_nowait(self) -> tuple[T, int] | None:
        """Return the next task and its earlier tries, or None if there is none now."""
        while self._stack and not self._closed:
            for task in self._stack[-1]:
                self._at_work += 1
                return task, 0
            self._stack.pop()
        # The last retries wait until everything else is settled, not only begun;
        # once they have begun, the workers share them.
        self._last_tries = self._last_tries or self._at_work == 0
        if self._deferred and self._last_tries and not self._closed:
            self._at_work += 1
            return self._deferred.popleft()
        return None

    async def take(self) -> tuple[T, int] | None:
        """Return the next task, or None when the run is over."""
        while (task := self.take_nowait()) is None:
            if self._closed or self._at_work == 0:
                self._changed.set()
                return None
            self._changed.clear()
            await self._changed.wait()
        return task

    def add(self, tasks: Iterable[T]) -> None:
        """Put tasks before all others; they are drawn one by one."""
        self._stack.append(iter(tasks))
        self._changed.set()

    def defer(self, task: T, tries: int) -> None:
        """Put a task that was tried before behind everything else."""
        self._deferred.append((task, tries))

    def done(self) -> None:
        """Say that one taken task is finished, deferred or given up."""
        self._at_work -= 1
        if self._at_work == 0:
            self._changed.set()

    def close(self) -> None:
        """Give out nothing more."""
        self._closed = True
        self._changed.set()

    def drain(self) -> Iterator[T]:
        """Yield what was never begun; used to name it as missing."""
        while self._stack:
            yield from self._stack.pop()
        while self._deferred:
            yield self._deferred.popleft()[0]
