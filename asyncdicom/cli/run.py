"""Run a command on uvloop, stop it in order on a signal, and turn its end into an exit code.

The first SIGINT or SIGTERM asks the running job to stop: nothing new begins,
what is in flight may end, the report is flushed. The second one drops what is
in flight.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import uvloop

from asyncdicom.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Interrupts", "Stoppable", "run", "spare_collections"]

T = TypeVar("T")

GRACE_S = 3.0
"""Seconds that in-flight work has after the first signal."""


NEW_OBJECTS_PER_COLLECTION = 10_000
"""A megabyte or two, where the default is 700 objects."""


class Stoppable(Protocol):
    """What can be stopped in order."""

    def stop(self, reason: str, *, grace_s: float) -> None:
        """Begin nothing more; end what is in flight within the grace."""


class Interrupts:
    """Signals received while a command runs.

    Attributes:
        exit_code: What the process shall end with, or None if no signal came.
        reason: What the signal did: `interrupted` or `terminated`.

    """

    def __init__(self) -> None:
        self.exit_code: ExitCode | None = None
        self.reason = "interrupted"
        self._running: Stoppable | None = None
        self._main: asyncio.Task[Any] | None = None

    def attach(self) -> None:
        """Take over SIGINT and SIGTERM for the running event loop."""
        self._main = asyncio.current_task()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._receive, "interrupted", ExitCode.INTERRUPTED)
        loop.add_signal_handler(signal.SIGTERM, self._receive, "terminated", ExitCode.TERMINATED)

    def stops(self, running: Stoppable) -> None:
        """From now on a signal stops this, in order, instead of cancelling the command."""
        self._running = running

    def _receive(self, reason: str, exit_code: ExitCode) -> None:
        is_first = self.exit_code is None
        if is_first:
            self.exit_code, self.reason = exit_code, reason
        if self._running is not None:
            self._running.stop(reason, grace_s=GRACE_S if is_first else 0.0)
        elif self._main is not None:
            self._main.cancel()


def run(work: Callable[[Interrupts], Coroutine[Any, Any, int]]) -> int:
    """Run a command to its end and return its exit code.

    Args:
        work: Makes the coroutine; it may hand what can be stopped to `Interrupts.stops`.

    """
    interrupts = Interrupts()
    spare_collections()
    try:
        code = uvloop.run(_attached(work, interrupts))
    except (asyncio.CancelledError, KeyboardInterrupt):
        # A job that was stopped has said so itself; here nothing had begun.
        sys.stderr.write(f"asyncdicom: {interrupts.reason} before anything was fetched\n")
        code = ExitCode.INTERRUPTED
    return code if interrupts.exit_code is None else interrupts.exit_code


def spare_collections() -> None:
    """Let the garbage collector look less often, and not at what was imported.

    That stays to the end, and a run makes hardly any cycles: looking for them as often as
    by default takes 4 % of the time of small answers.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_PER_COLLECTION, 20, 20)


async def _attached(
    work: Callable[[Interrupts], Coroutine[Any, Any, int]], interrupts: Interrupts
) -> int:
    interrupts.attach()
    return await work(interrupts)
