"""Runs commands when something has happened: never through a shell, and never for long.

Rule: what a hook does or does not do changes nothing of what was received and answered. It
begins after the answer was decided on, and nobody waits for it but the end of the receiver.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asyncdicom.receiver.events import (
    AssociationEnded,
    HookFailed,
    InstanceStored,
    StudyCompleted,
)
from asyncdicom.receiver.hook_commands import PLACEHOLDERS, HookCommand, environment
from asyncdicom.receiver.hook_values import values_of

if TYPE_CHECKING:
    from asyncdicom.receiver.events import ReceiverEvent, ReceiverObserver
    from asyncdicom.receiver.settings import HookSettings
    from asyncdicom.receiver.statistics import ReceiverStatistics

__all__ = ["Hooks"]

MAX_WAITING = 10_000
"""Hooks that wait for their turn; the next is told as failed: memory is bounded, too."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One command that is to be run."""

    hook: str
    command: HookCommand
    what: str
    values: dict[str, str]

    def failed(self, reason: str) -> HookFailed:
        return HookFailed(self.hook, self.command.program, self.what, reason)


class Hooks:
    """Runs hooks in the order of their events, a few at a time; for one event loop."""

    def __init__(
        self,
        settings: HookSettings,
        root: str,
        tell: ReceiverObserver,
        statistics: ReceiverStatistics,
    ) -> None:
        """Prepare.

        Args:
            settings: What to run.
            root: Output folder.
            tell: Told of each hook that failed.
            statistics: Counters to add to.

        Raises:
            ConfigError: If a command is not usable.

        """
        texts = {
            "object": settings.on_object,
            "association": settings.on_association,
            "study": settings.on_study,
        }
        self._commands = {
            hook: HookCommand.parse(text, PLACEHOLDERS[hook])
            for hook, text in texts.items()
            if text is not None
        }
        self._max_at_once = settings.max_at_once
        self._timeout_s = settings.timeout_s
        self._root = str(Path(root).absolute())
        self._tell = tell
        self._statistics = statistics
        self._waiting: deque[_Run] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def note(self, event: ReceiverEvent) -> None:
        """Begin what is to be run for an event, or let it wait."""
        if not self._commands:
            return
        hook = _hook_for(event)
        command = self._commands.get(hook)
        if command is None:
            return
        what, values = values_of(event, self._root)
        run = _Run(hook, command, what, values)
        if len(self._waiting) >= MAX_WAITING:
            self._tell(run.failed(f"was not run: {MAX_WAITING} others wait"))
            return
        self._waiting.append(run)
        self._begin()

    async def aclose(self, wait_s: float) -> None:
        """Run what waits for so long, in seconds; then kill, and tell the rest as failed."""
        idle = asyncio.create_task(self._idle())
        await asyncio.wait({idle}, timeout=wait_s)
        self.hurry()
        await idle

    def hurry(self) -> None:
        """Kill what runs, and tell what waits as failed."""
        while self._waiting:
            self._tell(self._waiting.popleft().failed("was not run: the receiver ended before"))
        for task in self._running:
            task.cancel()

    async def _idle(self) -> None:
        while self._running:
            await asyncio.wait(self._running)

    def _begin(self) -> None:
        while self._waiting and len(self._running) < self._max_at_once:
            run = self._waiting.popleft()
            self._statistics.hooks_run += 1
            task = asyncio.create_task(self._perform(run))
            self._running.add(task)
            task.add_done_callback(partial(self._ended, run))
        self._statistics.hooks_running = len(self._running)

    def _ended(self, run: _Run, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled():
            # Not told by the task: cancelled before its first step, it would say nothing.
            self._tell(run.failed("was killed: the receiver ended"))
        self._begin()

    async def _perform(self, run: _Run) -> None:
        try:
            reason = await self._outcome(run)
        except PermissionError:
            # Of the kill: behind sudo it is somebody else's.
            reason = "may not be killed, and runs on"
        if reason is not None:
            self._tell(run.failed(reason))

    async def _outcome(self, run: _Run) -> str | None:
        """Run a command, and say what was wrong with it, if anything.

        Raises:
            PermissionError: If it has to be killed, and is not ours.

        """
        try:
            process = await _started(run)
        except OSError as error:
            return f"cannot be run: {error.strerror}"
        try:
            code = await asyncio.wait_for(process.wait(), self._timeout_s)
        except TimeoutError:
            await _kill(process)
            return f"was killed after {self._timeout_s:g} s"
        except asyncio.CancelledError:
            await _kill(process)
            raise
        return f"ended with {code}" if code else None


async def _started(run: _Run) -> asyncio.subprocess.Process:
    """Start a command; whatever was started is there for its starter, or killed."""
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *run.command.arguments(run.values),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env=os.environ | environment(run.values),
            # Its own group, so that its children can be killed with it, and a Ctrl-C for
            # us is none for it.
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # A loop may forget a process whose start is cancelled (uvloop 0.23).
        await asyncio.wait({starting})
        if starting.exception() is None:
            await _kill(starting.result())
        raise


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process and its children, and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _hook_for(event: ReceiverEvent) -> str:
    match event:
        case InstanceStored():
            return "object"
        case AssociationEnded():
            return "association"
        case StudyCompleted():
            return "study"
        case _:
            return ""
