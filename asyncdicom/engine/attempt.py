"""One task, tried until it succeeds or the policy has had enough.

The first try is a plain await. Only after a failure does tenacity take over
with pauses that grow at random (DICOMweb knows no retry; RFC 9110 §10.2.3 and
RFC 6585 §4 do) and never undercut what the server asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from asyncdicom.errors import AsyncDicomError
from asyncdicom.events import Retrying
from asyncdicom.policy.retry import is_worth_another_try, requested_pause_s
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    import tenacity

    from asyncdicom.engine.slot import Slot
    from asyncdicom.events import Observer
    from asyncdicom.policy.retry import RetryPolicy

__all__ = ["Attempts", "Performer", "Result"]

T = TypeVar("T")


class Performer(Protocol[T]):
    """What a job knows about its tasks."""

    async def perform(self, task: T, attempt: int) -> Iterable[T]:
        """Do the task and return the tasks that follow from it, lazily.

        Args:
            task: What to do.
            attempt: Number of this try, from 1.

        Raises:
            FetchError: If it failed; the policy decides about another try.
            StorageError: If this machine could not keep the result.

        """

    def give_up(self, task: T, error: AsyncDicomError, attempts: int) -> Iterable[T]:
        """Take note that a task failed for good; may return tasks to try instead."""


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """How a task ended, for now."""

    follow_ups: Iterable[T]
    error: AsyncDicomError | None
    tries: int
    """All tries so far, those before a deferral included."""
    may_be_deferred: bool = False
    """Whether one last try at the end of the queue is left."""


class Attempts(Generic[T]):
    """Tries tasks of one source."""

    def __init__(
        self,
        performer: Performer[T],
        policy: RetryPolicy,
        slot: Slot,
        observe: Observer | None,
    ) -> None:
        self._performer = performer
        self._policy = policy
        self._slot = slot
        self._observe = observe

    async def run(self, task: T, tries_before: int) -> Result[T]:
        """Try a task now.

        Args:
            task: What to do.
            tries_before: Tries already made; above 0 this is the last one.

        """
        try:
            return Result(await self._try(task, tries_before + 1), None, tries_before + 1)
        except AsyncDicomError as error:
            if tries_before or not is_worth_another_try(error):
                return Result((), error, tries_before + 1)
            return await self._again(task, error)

    async def _try(self, task: T, attempt: int) -> Iterable[T]:
        slot = self._slot
        if not slot.is_open:
            await slot.until_open()
        slot.enter_nowait()
        try:
            return await self._performer.perform(task, attempt)
        except AsyncDicomError as error:
            if pause_s := requested_pause_s(error):
                slot.pause(pause_s)
            raise
        finally:
            slot.leave_nowait()

    async def _again(self, task: T, first_error: AsyncDicomError) -> Result[T]:
        # Imported here: a run without a failure does not pay its 25 ms.
        import tenacity  # noqa: PLC0415 -- lazy on purpose

        policy = self._policy
        if policy.in_place == 0:
            return Result((), first_error, 1, may_be_deferred=policy.deferred > 0)
        wait = tenacity.wait_random_exponential(
            multiplier=policy.first_pause_s, max=policy.longest_pause_s
        )
        tries = _Tries(self, task, first_error)
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(policy.in_place + 1),
            wait=lambda state: max(wait(state), requested_pause_s(_error_of(state))),
            retry=tenacity.retry_if_exception(_is_retryable),
            before_sleep=tries.tell,
            reraise=True,
        )
        try:
            return Result(await retrying(tries.next), None, tries.made)
        except AsyncDicomError as error:
            may_be_deferred = policy.deferred > 0 and is_worth_another_try(error)
            return Result((), error, tries.made, may_be_deferred)

    async def once(self, task: T, attempt: int) -> Iterable[T]:
        """Make one more try."""
        return await self._try(task, attempt)

    def tell(self, event: Retrying) -> None:
        """Tell whoever listens about a failed try."""
        if self._observe is not None:
            self._observe(event)


class _Tries(Generic[T]):
    """The tries of one task; the first has failed already and is replayed, not repeated."""

    def __init__(self, attempts: Attempts[T], task: T, first_error: AsyncDicomError) -> None:
        self._attempts = attempts
        self._task = task
        self._first_error = first_error
        self.made = 0

    async def next(self) -> Iterable[T]:
        self.made += 1
        if self.made == 1:
            raise self._first_error
        return await self._attempts.once(self._task, self.made)

    def tell(self, state: tenacity.RetryCallState) -> None:
        error = _error_of(state)
        if isinstance(error, AsyncDicomError):
            pause_s = state.next_action.sleep if state.next_action else 0.0
            self._attempts.tell(Retrying(str(self._task), error, self.made, pause_s))


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, AsyncDicomError) and is_worth_another_try(error)
