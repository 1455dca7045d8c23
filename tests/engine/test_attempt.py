"""One task is tried until it succeeds or the policy has had enough."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncdicom.engine.attempt import Attempts
from asyncdicom.engine.slot import Slot
from asyncdicom.errors import AsyncDicomError, ConnectionLost, NotFound, Throttled
from asyncdicom.events import Event, Retrying
from asyncdicom.policy.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.anyio

LOST = ConnectionLost("reset")
GONE = NotFound("gone", status_code=404)


class Performer:
    """Fails as often as it is told to."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.attempts: list[int] = []

    async def perform(self, task: str, attempt: int) -> Iterable[str]:
        self.attempts.append(attempt)
        if self.errors:
            raise self.errors.pop(0)
        return ["next"]

    def give_up(self, task: str, error: AsyncDicomError, attempts: int) -> Iterable[str]:
        raise AssertionError("the scheduler gives up, not the attempt")


def attempts_of(
    performer: Performer,
    retries: int = 3,
    *,
    slot: Slot | None = None,
    heard: list[Event] | None = None,
) -> Attempts[str]:
    policy = RetryPolicy(retries, first_pause_s=0.0, longest_pause_s=0.0)
    observe = None if heard is None else heard.append
    return Attempts(performer, policy, slot or Slot(), observe)


@pytest.mark.parametrize(
    ("retries", "errors", "tries", "error", "may_be_deferred"),
    [
        pytest.param(3, [], 1, None, False, id="at once"),
        pytest.param(3, [LOST], 2, None, False, id="at the second try"),
        pytest.param(3, [LOST, LOST], 3, None, False, id="at the third try"),
        pytest.param(3, [LOST] * 3, 3, LOST, True, id="not yet: one try is left for the end"),
        pytest.param(3, [GONE], 1, GONE, False, id="never"),
        pytest.param(3, [LOST, GONE], 2, GONE, False, id="never, as the second try tells"),
        pytest.param(1, [LOST], 1, LOST, True, id="one retry: it is for the end"),
        pytest.param(0, [LOST], 1, LOST, False, id="no retry"),
    ],
)
async def test_as_often_as_the_policy_says(
    *,
    retries: int,
    errors: list[AsyncDicomError],
    tries: int,
    error: AsyncDicomError | None,
    may_be_deferred: bool,
) -> None:
    performer = Performer(*errors)
    result = await attempts_of(performer, retries).run("a", 0)
    assert (result.error, result.tries, result.may_be_deferred) == (error, tries, may_be_deferred)
    assert performer.attempts == list(range(1, tries + 1))
    assert list(result.follow_ups) == ([] if error else ["next"])


@pytest.mark.parametrize("failing", [False, True])
async def test_the_last_try_is_one_try(*, failing: bool) -> None:
    performer = Performer(*[LOST] * failing)
    result = await attempts_of(performer).run("a", 3)
    assert performer.attempts == [4]
    assert (result.tries, result.may_be_deferred) == (4, False)
    assert result.error is (LOST if failing else None)


async def test_each_failed_try_is_told_with_its_pause() -> None:
    heard: list[Event] = []
    await attempts_of(Performer(LOST, LOST), heard=heard).run("a", 0)
    assert [(e.what, e.attempt, e.error) for e in heard if isinstance(e, Retrying)] == [
        ("a", 1, LOST),
        ("a", 2, LOST),
    ]


async def test_the_pause_that_was_asked_for_is_never_undercut() -> None:
    loop, slot = asyncio.get_running_loop(), Slot()
    begun_s = loop.time()
    throttled = Throttled("later", status_code=503, retry_after_s=0.08)
    await attempts_of(Performer(throttled), slot=slot).run("a", 0)
    # uvloop's clock counts whole milliseconds.
    assert loop.time() - begun_s > 0.078
    assert (slot.statistics().pauses, slot.statistics().in_flight) == (1, 0)


async def test_nothing_is_tried_during_a_pause() -> None:
    loop, slot = asyncio.get_running_loop(), Slot()
    begun_s = loop.time()
    slot.pause(0.05)
    await attempts_of(Performer(), slot=slot).run("a", 0)
    # uvloop's clock counts whole milliseconds.
    assert loop.time() - begun_s > 0.048


async def test_a_bug_is_not_tried_again() -> None:
    performer, slot = Performer(ZeroDivisionError()), Slot()
    with pytest.raises(ZeroDivisionError):
        await attempts_of(performer, slot=slot).run("a", 0)
    assert (performer.attempts, slot.statistics().in_flight) == ([1], 0)


async def test_a_bug_in_a_later_try_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await attempts_of(Performer(LOST, ZeroDivisionError())).run("a", 0)
