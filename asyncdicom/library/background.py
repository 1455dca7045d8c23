"""Work that runs behind a stream or a job, and never longer than its source is open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from asyncdicom.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from asyncdicom.library.prefetch import Prefetch

__all__ = ["Background", "result_of", "streamed"]

T = TypeVar("T")


class Background:
    """The tasks of one source."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Begin work.

        Raises:
            UsageError: If the source was closed.

        """
        if self._is_closed:
            raise UsageError("the source is closed")
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Cancel what is under way, and wait for it."""
        self._is_closed = True
        await _cancel(*self._tasks)


async def result_of(task: asyncio.Task[T]) -> T:
    """Wait for a task and return its result; whoever is cancelled meanwhile cancels it.

    Raises:
        UsageError: If its source was closed before it had ended.

    """
    try:
        return await task
    except asyncio.CancelledError:
        waiting = asyncio.current_task()
        assert waiting is not None, "coroutines are driven by tasks"
        if waiting.cancelling() or not task.cancelled():
            raise
        raise UsageError("the source was closed before its work had ended") from None


async def streamed(
    background: Background, prefetch: Prefetch[T], work: Callable[[], Coroutine[Any, Any, None]]
) -> AsyncGenerator[T]:
    """Yield what work puts into a prefetch, then raise what it raised.

    Cancellation: cancels the work and waits for it; so does leaving early.

    """
    task = background.start(work)
    task.add_done_callback(lambda _: prefetch.end())
    try:
        while (item := await prefetch.take()) is not None:
            yield item
            del item
        await result_of(task)
    finally:
        await _cancel(task)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # whoever waits for the task is told; nobody else is
