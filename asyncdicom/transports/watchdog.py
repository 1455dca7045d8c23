"""Ends exchanges that went silent or trickle, for all engines alike.

An engine's own read timeout is not enough: it restarts with every frame, so a
flood of empty DATA frames (RFC 9113 §6.1) or one byte per second keeps it
content for ever. Here one timer per transport looks at all exchanges; a read
costs two readings of the clock and no timer of its own.

    watch = watchdog.watch(translate)
    with watch:                       # silence is counted inside this block only
        data = await reader.read()
        watch.received(len(data))
    watchdog.forget(watch)

Strategy: like `asyncio.timeout`, the watchdog cancels the task that waits, and
the block turns exactly that cancellation into `Stalled`. A cancellation that
somebody else asked for as well still wins.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError, ConnectionLost, Stalled
from asyncdicom.policy.throughput import StallLimits, Throughput

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Watch", "Watchdog"]

LOOKS_PER_LIMIT = 8
"""A stall is noticed at most an eighth of the limit late."""


class Watch:
    """One exchange under guard, and the border where foreign exceptions end."""

    __slots__ = (
        "_clock",
        "_failure",
        "_loop",
        "_meter",
        "_pending_bytes",
        "_requests",
        "_task",
        "_translate",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        translate: Callable[[Exception], AsyncDicomError],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._translate = translate
        self._meter = Throughput()
        self._task: asyncio.Task[object] | None = None
        self._requests = 0
        self._pending_bytes = 0
        self._failure: AsyncDicomError | None = None

    @property
    def failure(self) -> AsyncDicomError | None:
        """Why the watchdog ended the exchange, or None."""
        return self._failure

    def received(self, byte_count: int) -> None:
        """Report progress, inside the block."""
        self._pending_bytes = byte_count

    def check(self, now_s: float, limits: StallLimits) -> None:
        """End the exchange if it is stalled."""
        if self._failure is None and (why := self._meter.verdict(now_s, limits)):
            self.end(Stalled(why))

    def end(self, failure: AsyncDicomError) -> None:
        """Fail the exchange: now if it waits, else at its next wait."""
        if self._failure is None:
            self._failure = failure
            if self._task is not None:
                self._task.cancel()

    def let_go(self) -> None:
        """Drop the way back to the exchange, which is over.

        The two would keep each other until the garbage collector comes, and with them what
        the engine's library holds: 60 MB of a run with 32 requests at once (240 KB each).
        """
        self._translate = _over

    def __enter__(self) -> None:
        if self._failure is not None:
            raise self._failure
        task = asyncio.current_task(self._loop)
        assert task is not None, "exchanges are driven by tasks"
        self._task = task
        self._requests = task.cancelling()
        self._meter.wait_begins(self._clock())

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        self._meter.wait_ends(self._clock(), self._pending_bytes)
        self._pending_bytes = 0
        if task is not None:
            if self._failure is not None:
                self._settle(task, error)
            # When a cancellation and data arrive together, pyreqwest 0.15 hands over the
            # data (149 of 2,149 times), and nobody would ever hear of the former.
            is_lost = error is None or isinstance(error, Exception)
            if is_lost and task.cancelling() > self._requests:
                raise asyncio.CancelledError
        if isinstance(error, Exception) and not isinstance(error, AsyncDicomError):
            raise self._translate(error) from error

    def _settle(self, task: asyncio.Task[object], error: BaseException | None) -> None:
        is_ours_alone = task.uncancel() <= self._requests
        if error is not None and is_ours_alone and self._failure is not None:
            raise self._failure from None


def _over(_error: Exception) -> AsyncDicomError:
    return ConnectionLost("the exchange is over")


class Watchdog:
    """Looks after the exchanges of one transport.

    Args:
        limits: What a stall is.
        clock: Monotonic clock, in seconds.

    """

    def __init__(self, limits: StallLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._watches: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._interval_s = min(limits.head_s, limits.idle_s, limits.window_s) / LOOKS_PER_LIMIT

    def watch(self, translate: Callable[[Exception], AsyncDicomError]) -> Watch:
        """Take an exchange under guard until it is forgotten.

        Args:
            translate: Turns an exception of the engine into one of ours.

        """
        loop = asyncio.get_running_loop()
        watch = Watch(self._clock, translate, loop)
        self._watches.add(watch)
        if self._timer is None:
            self._timer = loop.call_later(self._interval_s, self._look)
        return watch

    def forget(self, watch: Watch) -> None:
        """End the guard."""
        self._watches.discard(watch)
        watch.let_go()

    def look(self) -> None:
        """End every exchange that is stalled by now."""
        now_s = self._clock()
        for watch in tuple(self._watches):
            watch.check(now_s, self._limits)

    def end_all(self, reason: str) -> None:
        """Fail every exchange with `ConnectionLost`, and stop looking."""
        for watch in tuple(self._watches):
            watch.end(ConnectionLost(reason))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        self.look()
        if self._watches:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._look)
