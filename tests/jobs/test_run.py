"""A job is driven to its end, and what it never began is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import AsyncDicomError, NotFound, RunAborted, StorageError
from asyncdicom.jobs import run as run_module
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.policy.abort import AbortPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.anyio


class Job:
    """Fails the tasks it is told to."""

    def __init__(self, *failing: int) -> None:
        self.failing = failing
        self.performed: list[int] = []
        self.given_up: list[tuple[int, type[AsyncDicomError], int]] = []

    async def perform(self, task: int, attempt: int) -> Iterable[int]:
        self.performed.append(task)
        if task in self.failing:
            raise NotFound("gone", status_code=404)
        return ()

    def give_up(self, task: int, error: AsyncDicomError, attempts: int) -> Iterable[int]:
        self.given_up.append((task, type(error), attempts))
        return ()


def scheduler_for(job: Job, *, max_errors: int | None = None) -> Scheduler[int]:
    return Scheduler(job, SchedulerSettings(1, abort=AbortPolicy(max_errors=max_errors)))


async def test_a_run_ends_with_its_sum_after_everything_is_finished() -> None:
    job = Job()
    order: list[object] = []

    async def finish() -> None:
        order.append(list(job.performed))

    tally = Tally([lambda _: order.append("ended")])
    ended = await run_job(job, [1, 2], scheduler=scheduler_for(job), tally=tally, finish=finish)
    assert ended.aborted is None
    assert order == [[1, 2], "ended"]


async def test_what_an_aborted_run_never_began_is_given_up() -> None:
    job = Job(1)
    scheduler = scheduler_for(job, max_errors=0)
    ended = await run_job(job, [1, 2, 3], scheduler=scheduler, tally=Tally())
    assert ended.aborted == "1 error, at most 0 allowed"
    assert job.given_up == [(1, NotFound, 1), (2, RunAborted, 0), (3, RunAborted, 0)]


async def test_naming_what_was_never_begun_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "NAMING_S", -1.0)
    job = Job(1)
    scheduler = scheduler_for(job, max_errors=0)
    await run_job(job, iter(range(1, 1_000_000)), scheduler=scheduler, tally=Tally())
    assert job.given_up == [(1, NotFound, 1), (2, RunAborted, 0)]


async def test_what_cannot_be_finished_is_not_hidden() -> None:
    async def finish() -> None:
        raise StorageError("no space", path="x")

    job = Job()
    with pytest.raises(StorageError, match="no space"):
        await run_job(job, [1], scheduler=scheduler_for(job), tally=Tally(), finish=finish)
