"""Bounded workers that perform tasks with retries, until all is done or policy says stop.

    scheduler = Scheduler(performer, SchedulerSettings(concurrency=8), slot=Slot())
    await scheduler.run(tasks)

Strategy:
    * Decide synchronously, then do I/O: taking a task, counting, judging abort
      policies are plain function calls; a worker awaits only the work itself.
    * A task that fails is an outcome. What crosses `run` is a bug, a full disk
      (`StorageError`: the next file would fail as well) or `RunAborted`.
    * The first try costs nothing extra; tenacity enters only after a failure
      (`attempt.py`).
"""

from __future__ import annotations

import asyncio
from dataclasses import field
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncdicom.engine.attempt import Attempts, Performer
from asyncdicom.engine.slot import Slot
from asyncdicom.engine.work import WorkQueue
from asyncdicom.errors import AsyncDicomError, DiskFull, RunAborted
from asyncdicom.policy.abort import AbortPolicy
from asyncdicom.policy.retry import RetryPolicy
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.events import Observer

__all__ = ["Performer", "Scheduler", "SchedulerSettings", "SchedulerStatistics"]

T = TypeVar("T")

GRACE_S = 3.0
"""Time in-flight work has to end after an orderly stop; DESIGN allows 5 s for the whole exit."""


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """How a run is driven."""

    concurrency: int = 8
    """Tasks at once, at least 1: a default that no PACS notices."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    abort: AbortPolicy = field(default_factory=AbortPolicy)


@dataclass(slots=True)
class SchedulerStatistics:
    """Counters of a run."""

    finished: int = 0
    """Tasks that ended, well or not."""
    failed: int = 0
    retried: int = 0


class Scheduler(Generic[T]):
    """A pool of workers over one queue and one source."""

    def __init__(
        self,
        performer: Performer[T],
        settings: SchedulerSettings,
        *,
        slot: Slot | None = None,
        observe: Observer | None = None,
    ) -> None:
        self._performer = performer
        self._settings = settings
        self._slot = slot or Slot()
        self._attempts = Attempts(performer, settings.retry, self._slot, observe)
        self._queue: WorkQueue[T] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._stop_reason: str | None = None
        self._stopping: asyncio.TimerHandle | None = None
        self._statistics = SchedulerStatistics()

    async def run(self, tasks: Iterable[T]) -> None:
        """Perform all tasks and what follows from them.

        Raises:
            RunAborted: If a policy or `stop` ended the run early. Tasks never
                begun were then given up, so that each of them has an outcome.
            DiskFull: If the disk is full: no other task could succeed.

        Cancellation: cancels the workers and waits for them.

        """
        queue = self._queue = WorkQueue(tasks)
        if self._stop_reason is not None:
            queue.close()
        failure: AsyncDicomError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._workers = [
                    group.create_task(self._work(queue)) for _ in range(self._settings.concurrency)
                ]
        except* AsyncDicomError as group_error:
            # Not raised here: Python 3.11.2, that of Debian 12, makes a group of it again.
            failure = _only(group_error)
        finally:
            if self._stopping is not None:
                self._stopping.cancel()
        if failure is not None:
            raise failure
        if self._stop_reason is not None:
            raise RunAborted(self._stop_reason)

    def stop(self, reason: str, *, grace_s: float = GRACE_S) -> None:
        """End the run in order: begin nothing more, let what is in flight end, then cancel it.

        Args:
            reason: Why, for the last line the user sees.
            grace_s: Seconds that in-flight tasks have; 0 cancels them now.

        """
        self._stop_reason = self._stop_reason or reason
        if self._queue is not None:
            self._queue.close()
        if self._stopping is not None:
            self._stopping.cancel()
        self._stopping = asyncio.get_running_loop().call_later(grace_s, self._drop_in_flight)

    def never_begun(self) -> Iterable[T]:
        """Yield the tasks of a stopped run that nobody began; each is yielded once."""
        if self._queue is not None:
            yield from self._queue.drain()

    def statistics(self) -> SchedulerStatistics:
        """Return the counters."""
        return self._statistics

    def _drop_in_flight(self) -> None:
        for worker in self._workers:
            worker.cancel()

    async def _work(self, queue: WorkQueue[T]) -> None:
        while True:
            taken = queue.take_nowait() or await queue.take()
            if taken is None:
                return
            task, tries = taken
            try:
                await self._settle(queue, task, tries)
            except asyncio.CancelledError:
                if self._stop_reason is None:
                    raise
                # The run was stopped: the task has an outcome like any other.
                self._performer.give_up(task, RunAborted(self._stop_reason), tries)
                return
            finally:
                queue.done()

    async def _settle(self, queue: WorkQueue[T], task: T, tries_before: int) -> None:
        """Try a task until it has a result, an outcome, or its place at the end of the queue."""
        result = await self._attempts.run(task, tries_before)
        self._statistics.retried += result.tries - max(tries_before, 1)
        if result.error is None:
            self._count(failed=False)
            queue.add(result.follow_ups)
        elif result.may_be_deferred:
            queue.defer(task, result.tries)
        else:
            follow_ups = self._performer.give_up(task, result.error, result.tries)
            self._count(failed=True)
            queue.add(follow_ups)
            if isinstance(result.error, DiskFull):
                self.stop(str(result.error), grace_s=0)

    def _count(self, *, failed: bool) -> None:
        self._statistics.finished += 1
        if not failed:
            return
        self._statistics.failed += 1
        verdict = self._settings.abort.verdict(
            failed=self._statistics.failed, finished=self._statistics.finished
        )
        if verdict is not None and self._stop_reason is None:
            self.stop(verdict)


def _only(group: BaseExceptionGroup[AsyncDicomError]) -> AsyncDicomError:
    first = group.exceptions[0]
    return _only(first) if isinstance(first, BaseExceptionGroup) else first
