"""A download or a dump: to be awaited, iterated over, listened to and cancelled."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from asyncdicom.errors import Incomplete, UsageError
from asyncdicom.events import RunEnded
from asyncdicom.library.background import result_of
from asyncdicom.library.reporting import Downloaded, Extracted, Progress, Reporter
from asyncdicom.model import Failed, Stored

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

    from asyncdicom.events import Event
    from asyncdicom.library.background import Background
    from asyncdicom.library.reporting import Told

__all__ = ["Job"]

MAX_NAMED = 3
"""Failures that a message names; the job has all of them."""

CallbackT = TypeVar("CallbackT", bound="Callable[[Any], object]")


class Job:
    """A run that stores files; nothing happens before it is awaited or iterated over.

    `await job` runs it to its end and returns the sum (`RunEnded`), whose
    `is_complete` says whether everything asked for is stored and proven. A
    target that fails is part of the sum, not an exception; `failed` names it, and
    `check` makes an exception of it. So is being cancelled by `cancel`.

    `async for event in job` yields the same events as `asyncdicom get --json`, the
    last of which is that sum; leaving the loop early leaves the job running.

    Callbacks are plain functions, called on the event loop: they must not
    block. One that raises ends the job, and `await job` raises the same.

    Example:
        job = source.download(study, output)
        job.on_save(lambda stored: print("saved", stored.path))
        job.on_error(lambda failed: print("failed", failed.target, failed.error))
        async for event in job:
            print(event)
        ended = await job
        assert ended.is_complete

    Attributes:
        failed: Targets that failed for good, each with its error, so far.

    Raises:
        ConfigError: When it begins: if the output folder or an option is not usable.
        StorageError: If this machine cannot keep the records of the run.
        UsageError: If its source was closed before it had ended.

    Cancellation: cancelling who awaits a job cancels it and waits for it. Files
    that have their names are whole; no other files are left.

    """

    def __init__(
        self,
        work: Callable[[Reporter], Coroutine[Any, Any, RunEnded]],
        background: Background,
        name: str,
    ) -> None:
        self._work = work
        self._background = background
        self._name = name
        self._reporter = Reporter()
        self.failed: list[Failed] = []
        self._reporter.register(Failed, self.failed.append)
        self._task: asyncio.Task[RunEnded] | None = None

    def __repr__(self) -> str:
        if self._task is None:
            return f"<Job {self._name}, not begun>"
        return f"<Job {self._name}, {'ended' if self._task.done() else 'running'}>"

    def __await__(self) -> Generator[Any, None, RunEnded]:
        return result_of(self._begin()).__await__()

    async def __aiter__(self) -> AsyncGenerator[Event]:
        """Yield the events of the run from now on, then raise what it raised."""
        reporter, listener = self._reporter, self._reporter.listen()
        try:
            task = self._begin()
            if task.done():
                listener.end()
            while (event := await reporter.next_event(listener)) is not None:
                yield event
            await result_of(task)
        finally:
            reporter.forget(listener)

    def __del__(self) -> None:
        if self._task is None and self._reporter.stop_reason is None:
            warnings.warn(f"{self!r} was never awaited", ResourceWarning, stacklevel=1, source=self)

    async def start(self) -> RunEnded:
        """Run the job to its end, as awaiting it does; for who knows it from cod-retrieve."""
        return await self

    def cancel(self, *, grace_s: float = 0.0) -> None:
        """End the job in order; `await job` still returns the sum.

        Args:
            grace_s: Seconds that requests in flight have to end, at least 0.

        """
        if self._task is None or not self._task.done():
            self._reporter.stop("cancelled", grace_s=grace_s)

    def check(self) -> None:
        """Do nothing if everything asked for is stored and proven.

        Raises:
            Incomplete: If something is missing; it names the first ones. `failed` has all.
            UsageError: If the job has not ended, or its source was closed before.

        """
        if self._task is None or not self._task.done() or self._task.cancelled():
            raise UsageError("a job is checked when it has ended by itself")
        ended = self._task.result()
        if ended.is_complete:
            return
        kept, lost = ended.stored + ended.skipped, ended.missing + ended.corrupt
        parts = [f"{lost} of {kept + lost} failed"]
        parts += [f"{one.target}: {one.error}" for one in self.failed[:MAX_NAMED]]
        parts += ["…"] if len(self.failed) > MAX_NAMED else []
        parts += [f"stopped: {ended.aborted}"] if ended.aborted else []
        first = self.failed[0].error if self.failed else None
        raise Incomplete("; ".join(parts), expected=kept + lost, received=kept) from first

    def on_progress(self, callback: Callable[[Progress], object]) -> Callable[[Progress], object]:
        """Call back after each chunk of an answer.

        Returns:
            The callback, so that this can be used as a decorator; as all of these.

        Raises:
            UsageError: If the job has begun; as all of these.

        """
        return self._register(Progress, callback)

    def on_download(
        self, callback: Callable[[Downloaded], object]
    ) -> Callable[[Downloaded], object]:
        """Call back after an answer was received to its end."""
        return self._register(Downloaded, callback)

    def on_extract(self, callback: Callable[[Extracted], object]) -> Callable[[Extracted], object]:
        """Call back after instances were taken out of an answer; not of dumps, nor of buckets."""
        return self._register(Extracted, callback)

    def on_save(self, callback: Callable[[Stored], object]) -> Callable[[Stored], object]:
        """Call back after a file got its name, whole and verified."""
        return self._register(Stored, callback)

    def on_complete(self, callback: Callable[[RunEnded], object]) -> Callable[[RunEnded], object]:
        """Call back once, with the sum, after everything else."""
        return self._register(RunEnded, callback)

    def on_error(self, callback: Callable[[Failed], object]) -> Callable[[Failed], object]:
        """Call back for each target that failed for good."""
        return self._register(Failed, callback)

    def _register(self, kind: type[Told], callback: CallbackT) -> CallbackT:
        if self._task is not None:
            raise UsageError("callbacks are registered before a job begins")
        self._reporter.register(kind, callback)
        return callback

    def _begin(self) -> asyncio.Task[RunEnded]:
        if self._task is None:
            self._task = self._background.start(self._run)
            self._task.add_done_callback(lambda _: self._reporter.end())
        return self._task

    async def _run(self) -> RunEnded:
        ended = await self._work(self._reporter)
        if self._reporter.failure is not None:
            raise self._reporter.failure
        return ended
