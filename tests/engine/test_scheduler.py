"""The scheduler performs everything once, retries by the table, and stops when told."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.engine.slot import Slot
from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    DiskFull,
    NotFound,
    RunAborted,
    StorageError,
    Throttled,
)
from asyncdicom.events import Event, Retrying
from asyncdicom.policy.abort import AbortPolicy
from asyncdicom.policy.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

pytestmark = pytest.mark.anyio

IMPATIENT = RetryPolicy(retries=3, first_pause_s=0.0001, longest_pause_s=0.001)


class ScriptedPerformer:
    """Fails tasks as a script says; notes everything."""

    def __init__(
        self,
        failures: dict[str, list[AsyncDicomError]] | None = None,
        follow_ups: dict[str, Iterable[str]] | None = None,
    ) -> None:
        self.failures = failures or {}
        self.children = follow_ups or {}
        self.performed: list[str] = []
        self.given_up: list[tuple[str, AsyncDicomError, int]] = []
        self.at_once = 0
        self.at_once_peak = 0
        self.before: Callable[[str], Any] | None = None

    async def perform(self, task: str, attempt: int) -> Iterable[str]:
        self.at_once += 1
        self.at_once_peak = max(self.at_once_peak, self.at_once)
        try:
            await asyncio.sleep(0)
            self.performed.append(task)
            if self.before is not None:
                await self.before(task)
            if self.failures.get(task):
                raise self.failures[task].pop(0)
            return self.children.get(task, ())
        finally:
            self.at_once -= 1

    def give_up(self, task: str, error: AsyncDicomError, attempts: int) -> Iterable[str]:
        self.given_up.append((task, error, attempts))
        return ()


def scheduler_for(
    performer: ScriptedPerformer,
    *,
    concurrency: int = 4,
    retry: RetryPolicy = IMPATIENT,
    abort: AbortPolicy | None = None,
    slot: Slot | None = None,
    events: list[Event] | None = None,
) -> Scheduler[str]:
    settings = SchedulerSettings(concurrency, retry, abort or AbortPolicy())
    observe = None if events is None else events.append
    return Scheduler(performer, settings, slot=slot, observe=observe)


async def test_every_task_and_every_follow_up_is_performed_once() -> None:
    performer = ScriptedPerformer(follow_ups={"a": ["a1", "a2"], "a2": ["a21"]})
    await scheduler_for(performer).run(["a", "b", "c"])
    assert Counter(performer.performed) == Counter(["a", "b", "c", "a1", "a2", "a21"])


async def test_concurrency_is_reached_and_never_exceeded() -> None:
    performer = ScriptedPerformer()
    slot = Slot()
    await scheduler_for(performer, concurrency=3, slot=slot).run(str(n) for n in range(50))
    assert performer.at_once_peak == 3
    assert slot.statistics().in_flight == 0
    assert slot.statistics().in_flight_peak == 3


async def test_tasks_are_drawn_lazily() -> None:
    drawn = []

    def endless() -> Iterator[str]:
        for number in range(1000):
            drawn.append(number)
            yield str(number)

    performer = ScriptedPerformer({"5": [NotFound("gone", status_code=404)]})
    scheduler = scheduler_for(performer, concurrency=2, abort=AbortPolicy(max_errors=0))
    with pytest.raises(RunAborted):
        await scheduler.run(endless())
    assert len(drawn) < 20


async def test_a_follow_up_is_done_before_older_tasks() -> None:
    performer = ScriptedPerformer(follow_ups={"a": ["a1"]})
    await scheduler_for(performer, concurrency=1).run(["a", "b"])
    assert performer.performed == ["a", "a1", "b"]


async def test_a_transient_failure_is_retried_until_it_succeeds() -> None:
    lost: list[AsyncDicomError] = [ConnectionLost("reset"), ConnectionLost("reset")]
    performer = ScriptedPerformer({"a": lost})
    scheduler = scheduler_for(performer)
    await scheduler.run(["a"])
    assert performer.performed == ["a"] * 3
    assert performer.given_up == []
    assert scheduler.statistics().retried == 2


async def test_a_refusal_is_not_retried() -> None:
    refusal = NotFound("gone", status_code=404)
    performer = ScriptedPerformer({"a": [refusal]})
    await scheduler_for(performer).run(["a", "b"])
    assert performer.given_up == [("a", refusal, 1)]
    assert performer.performed.count("a") == 1


async def test_the_last_retry_comes_after_everything_else() -> None:
    performer = ScriptedPerformer({"a": [ConnectionLost("reset")] * 3})
    await scheduler_for(performer, concurrency=1).run(["a", "b", "c"])
    assert performer.performed == ["a", "a", "a", "b", "c", "a"]
    assert performer.given_up == []


async def test_retries_are_counted_and_then_given_up() -> None:
    performer = ScriptedPerformer({"a": [ConnectionLost("reset") for _ in range(9)]})
    await scheduler_for(performer).run(["a"])
    assert performer.performed == ["a"] * 4
    assert [attempts for _, _, attempts in performer.given_up] == [4]


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (1, 2), (2, 3), (5, 6)])
async def test_as_many_tries_as_asked_for(retries: int, tries: int) -> None:
    performer = ScriptedPerformer({"a": [ConnectionLost("reset") for _ in range(9)]})
    policy = RetryPolicy(retries, first_pause_s=0.0001, longest_pause_s=0.001)
    await scheduler_for(performer, retry=policy).run(["a"])
    assert performer.performed == ["a"] * tries


async def test_each_failed_try_is_told() -> None:
    events: list[Event] = []
    performer = ScriptedPerformer({"a": [ConnectionLost("reset")]})
    await scheduler_for(performer, events=events).run(["a"])
    assert [(e.what, e.attempt) for e in events if isinstance(e, Retrying)] == [("a", 1)]


async def test_retry_after_pauses_the_whole_source() -> None:
    loop = asyncio.get_running_loop()
    slot = Slot()
    throttled = Throttled("slow down", status_code=429, retry_after_s=0.15)
    performer = ScriptedPerformer({"a": [throttled]})
    starts: dict[str, float] = {}

    async def note(task: str) -> None:
        starts.setdefault(f"{task}{len(performer.performed)}", loop.time())

    performer.before = note
    begun = loop.time()
    await scheduler_for(performer, concurrency=1, slot=slot).run(["a", "b"])
    # b was taken by the same worker only after the pause that a's answer asked for.
    assert min(at for name, at in starts.items() if name.startswith("b")) - begun >= 0.15
    assert slot.statistics().pauses == 1


async def test_max_errors_stops_the_run_and_the_rest_can_be_named() -> None:
    failing: dict[str, list[AsyncDicomError]] = {
        str(n): [NotFound("gone", status_code=404)] for n in range(100)
    }
    performer = ScriptedPerformer(failing)
    scheduler = scheduler_for(performer, concurrency=1, abort=AbortPolicy(max_errors=2))
    with pytest.raises(RunAborted, match="3 errors, at most 2 allowed"):
        await scheduler.run(str(n) for n in range(100))
    named = {task for task, _, _ in performer.given_up} | set(scheduler.never_begun())
    assert named == {str(n) for n in range(100)}


async def test_a_full_disk_stops_the_run() -> None:
    full = DiskFull("no space left", path="out")
    performer = ScriptedPerformer({"1": [full]})
    scheduler = scheduler_for(performer, concurrency=1)
    with pytest.raises(RunAborted, match="no space left"):
        await scheduler.run(str(n) for n in range(50))
    assert len(performer.performed) == 2


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_what_keeps_tasks_from_being_drawn_ends_the_run_as_itself(concurrency: int) -> None:
    def drawn() -> Iterator[str]:
        yield "1"
        raise StorageError("not ours to read", path="out")

    scheduler = scheduler_for(ScriptedPerformer(), concurrency=concurrency)
    with pytest.raises(StorageError, match="not ours to read"):
        await scheduler.run(drawn())


async def test_stop_lets_in_flight_work_end() -> None:
    performer = ScriptedPerformer()
    scheduler = scheduler_for(performer, concurrency=2)

    async def stop_at_five(task: str) -> None:
        if task == "5":
            scheduler.stop("enough")
        await asyncio.sleep(0)

    performer.before = stop_at_five
    with pytest.raises(RunAborted, match="enough"):
        await scheduler.run(str(n) for n in range(100))
    assert performer.given_up == []
    assert len(performer.performed) + len(list(scheduler.never_begun())) == 100


@pytest.mark.parametrize("grace_s", [3.0, 0.0])
async def test_a_run_stopped_before_it_began_begins_nothing(grace_s: float) -> None:
    performer = ScriptedPerformer()
    scheduler = scheduler_for(performer)
    scheduler.stop("interrupted", grace_s=grace_s)
    await asyncio.sleep(0)
    with pytest.raises(RunAborted, match="interrupted"):
        await scheduler.run(["a", "b"])
    assert performer.performed == []
    assert list(scheduler.never_begun()) == ["a", "b"]


async def test_stop_without_grace_gives_up_what_is_in_flight() -> None:
    performer = ScriptedPerformer()
    scheduler = scheduler_for(performer, concurrency=2)
    never = asyncio.Event()

    async def hang(task: str) -> None:
        if task == "1":
            scheduler.stop("twice interrupted", grace_s=0)
        await never.wait()

    performer.before = hang
    with pytest.raises(RunAborted, match="twice interrupted"):
        await scheduler.run(["0", "1", "2"])
    assert {task for task, _, _ in performer.given_up} == {"0", "1"}
    assert list(scheduler.never_begun()) == ["2"]


async def test_cancelling_the_run_cancels_the_workers() -> None:
    performer = ScriptedPerformer()
    begun = asyncio.Event()

    async def hang(_: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    performer.before = hang
    running = asyncio.create_task(scheduler_for(performer).run(["a"]))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert performer.at_once == 0


async def test_a_bug_in_a_performer_is_not_swallowed() -> None:
    performer = ScriptedPerformer()

    async def break_down(_: str) -> None:
        raise ZeroDivisionError

    performer.before = break_down
    with pytest.raises(BaseExceptionGroup) as caught:
        await scheduler_for(performer).run(["a"])
    assert caught.group_contains(ZeroDivisionError)
