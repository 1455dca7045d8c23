"""The run behind a `Job`: what services, buckets and COD stores do alike.

run = Run(reporter, slot, values)
job = DumpJob(..., run.tally)
return await run.drive(job, job.tasks(uids))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asyncdicom.connecting import scheduler_settings
from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from asyncdicom.engine.scheduler import Performer
    from asyncdicom.engine.slot import Slot
    from asyncdicom.events import Observer, RunEnded
    from asyncdicom.library.reporting import Reporter

__all__ = ["Run"]

T = TypeVar("T")


class Run:
    """One run on a source, until it ends or its reporter is told to stop.

    Args:
        reporter: Hears of everything, and stops it when asked.
        slot: Bookkeeping of the source.
        values: Of the options: how many at once, how often again, when to give up.
        further: Who listens, too.

    Attributes:
        tally: The books of the run; the job writes them.

    """

    def __init__(
        self, reporter: Reporter, slot: Slot, values: Mapping[str, Any], *further: Observer
    ) -> None:
        self.tally = Tally([reporter, *further])
        self._reporter = reporter
        self._slot = slot
        self._settings = scheduler_settings(values)

    def asking(self, question: Performer[T]) -> Scheduler[T]:
        """Return what asks one question before the tasks, and is stopped like the rest."""
        settings = SchedulerSettings(concurrency=1, retry=self._settings.retry)
        scheduler = Scheduler(question, settings, slot=self._slot, observe=self.tally.tell)
        self._reporter.drives(scheduler)
        return scheduler

    async def drive(
        self,
        job: Performer[T],
        tasks: Iterable[T],
        *,
        finish: Callable[[], Awaitable[None]] | None = None,
    ) -> RunEnded:
        """Perform tasks to the last one, and return the sum.

        Args:
            job: What performs them.
            tasks: The first ones.
            finish: Awaited before the books are closed.

        """
        if self._reporter.stop_reason is not None:
            return self.tally.end(self._reporter.stop_reason)
        scheduler = Scheduler(job, self._settings, slot=self._slot, observe=self.tally.tell)
        self._reporter.drives(scheduler)
        return await run_job(job, tasks, scheduler=scheduler, tally=self.tally, finish=finish)
