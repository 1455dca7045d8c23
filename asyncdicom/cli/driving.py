"""What `dump` and `get` share: drive a job, show its progress, and judge its end."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.progress import observers_for, progress_bar
from asyncdicom.connecting import scheduler_settings
from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.engine.slot import Slot
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.engine.attempt import Performer
    from asyncdicom.events import Observer, RunEnded

__all__ = ["Driver", "drive", "exit_code_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Driver:
    """Runs a job with the options of its command.

    Attributes:
        tally: The books of the run; the job writes them.

    """

    tally: Tally
    options: Mapping[str, Any]
    interrupts: Interrupts

    async def run(
        self,
        job: Performer[T],
        tasks: Iterable[T],
        *,
        finish: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Run a job to its end and return the exit code."""
        scheduler = Scheduler(
            job,
            scheduler_settings(self.options),
            slot=Slot(tasks_per_s=self.options["rate"]),
            observe=self.tally.tell,
        )
        self.interrupts.stops(scheduler)
        says_else = any(self.options[name] for name in ("quiet", "verbose", "as_json"))
        wanted = self.options.get("show_progress_bar", True) and not says_else
        async with progress_bar(self.tally, wanted=wanted):
            ended = await run_job(job, tasks, scheduler=scheduler, tally=self.tally, finish=finish)
        return exit_code_of(ended, self.tally)


@asynccontextmanager
async def drive(
    options: Mapping[str, Any],
    interrupts: Interrupts,
    *further: Observer,
    sentence: Callable[[RunEnded], str] = str,
) -> AsyncIterator[Driver]:
    """Open what a run reports to, and close it whatever happens.

    Args:
        options: Values of the run options.
        interrupts: What a signal stops.
        further: Who listens, too.
        sentence: Makes the last line.

    """
    with ExitStack() as stack:
        observers = [*observers_for(options, sentence), *further]
        if options["report"]:
            # Imported here: who wants no report does not pay for it.
            from asyncdicom.storage.reports import ReportFile  # noqa: PLC0415 -- lazy on purpose

            observers.append(stack.enter_context(ReportFile.open(options["report"])))
        yield Driver(Tally(observers), options, interrupts)


def exit_code_of(ended: RunEnded, tally: Tally) -> ExitCode:
    """Return the exit code of a run that ended by itself or by policy."""
    if ended.is_complete:
        return ExitCode.COMPLETE
    if tally.was_refused_at_once:
        return ExitCode.UNREACHABLE
    if tally.found_nothing:
        return ExitCode.NO_MATCH
    return ExitCode.ABORTED if ended.aborted else ExitCode.INCOMPLETE
