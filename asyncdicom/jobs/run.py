"""Drive a job to its end and close the books, however it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from asyncdicom.errors import RunAborted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from asyncdicom.engine.attempt import Performer
    from asyncdicom.engine.scheduler import Scheduler
    from asyncdicom.events import RunEnded
    from asyncdicom.jobs.tally import Tally

__all__ = ["run_job"]

T = TypeVar("T")

NAMING_S = 1.0
"""Time spent on naming what an aborted run never began: an exit must not take for ever."""


async def run_job(
    job: Performer[T],
    tasks: Iterable[T],
    *,
    scheduler: Scheduler[T],
    tally: Tally,
    finish: Callable[[], Awaitable[None]] | None = None,
) -> RunEnded:
    """Perform all tasks, name what was never begun, and return the sum.

    Args:
        job: What performs them.
        tasks: The first tasks; others follow from them.
        scheduler: What drives the job.
        tally: The books of the run.
        finish: Awaited before the books are closed, for what is stored at the end.

    Raises:
        StorageError: If this machine could not keep the records of the run.

    """
    aborted: str | None = None
    try:
        await scheduler.run(tasks)
    except RunAborted as error:
        aborted = str(error)
        _name_never_begun(job, scheduler, error)
    if finish is not None:
        await finish()
    return tally.end(aborted)


def _name_never_begun(job: Performer[T], scheduler: Scheduler[T], error: RunAborted) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + NAMING_S
    for task in scheduler.never_begun():
        job.give_up(task, error, 0)
        if loop.time() > deadline_s:
            return
