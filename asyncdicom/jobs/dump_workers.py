"""Targets of a dump obtained by worker processes (`engine.processes`), each on a core.

    here:        async with DumpWorkers.over(workers, tally) as dumper: DumpJob(dumper, ...)
    in a worker: await serve_dump(sock, open_fetcher)

Python runs on one core, and so does a dump: for small answers that core is the limit, for
large ones it shares the other with the HTTP library. What is decided (plan, order, retries,
pauses, abort, books) stays in one process; workers only obtain what they are told to.

Rule: a record of failure is written by the worker whose try failed last, for only that
knows what was asked and answered.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncdicom.engine.channel import Channel
from asyncdicom.errors import AsyncDicomError, ConnectionLost, StorageError
from asyncdicom.jobs.dump_fetch import DumpFetcher, Obtained
from asyncdicom.jobs.dump_plan import DumpTask
from asyncdicom.model import Resource, Skipped, Stored, Target
from asyncdicom.policy.retry import requested_pause_s
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.engine.processes import WorkerProcess
    from asyncdicom.jobs.tally import Tally

    OpenFetcher: TypeAlias = Callable[
        [Callable[[int], object]], AbstractAsyncContextManager[DumpFetcher]
    ]

__all__ = ["DumpWorkers", "serve_dump"]

# What a message is, its first item.
_READY, _OBTAIN, _CANCEL, _GIVE_UP, _PAUSE, _OBTAINED, _FAILED = range(7)


class DumpWorkers:
    """Implements `Dumper`: hands each target to the worker with the least under way."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._links: list[_Link] = []
        self._failed: dict[Target, _Link] = {}

    @classmethod
    @asynccontextmanager
    async def over(
        cls, workers: Sequence[WorkerProcess], tally: Tally
    ) -> AsyncIterator[DumpWorkers]:
        """Open the channels, and close them at the end.

        Raises:
            AsyncDicomError: If a worker could not open the source or the folder.

        """
        self = cls(tally)
        try:
            for worker in workers:
                self._links.append(await _Link.over(worker.sock))
            await asyncio.gather(*(link.ready for link in self._links))
            yield self
        finally:
            for link in self._links:
                link.close()

    async def obtain(self, task: DumpTask, attempt: int, *, is_fresh: bool) -> Obtained:
        """Let a worker store one target unless it is there and verified."""
        target = task.target
        self._failed.pop(target, None)
        link = self._choose(target)
        try:
            facts = await link.call((*_packed(task), attempt, is_fresh))
        except AsyncDicomError as error:
            self._failed[target] = link
            self._spread_pause(link, requested_pause_s(error))
            raise
        finally:
            self._tally.count_bytes(link.take_byte_count())
        is_skipped, path, byte_count, sha256, is_fresh = facts
        outcome: Stored | Skipped = (
            Skipped(target, path, byte_count, sha256)
            if is_skipped
            else Stored(target, path, byte_count, sha256, attempt)
        )
        return Obtained(outcome, is_fresh)

    def give_up(self, task: DumpTask, error: AsyncDicomError, attempts: int) -> None:
        """Let the worker that tried last leave the record."""
        link = self._failed.pop(task.target, None)
        if link is not None:
            link.tell((_GIVE_UP, _packed(task), error, attempts))

    def _choose(self, target: Target) -> _Link:
        alive = [link for link in self._links if not link.is_over]
        if not alive:
            raise StorageError(
                "no worker process is left",
                path=str(target),
                hint="the system's log may tell why they ended",
            )
        return min(alive, key=_load_of)

    def _spread_pause(self, told: _Link, pause_s: float) -> None:
        """Let the other workers know of a pause: what they have under way may ask again."""
        if pause_s:
            for link in self._links:
                if link is not told:
                    link.tell((_PAUSE, pause_s))


@dataclass(slots=True, eq=False)
class _Link:
    """A worker process, and what it has under way."""

    ready: asyncio.Future[Any]
    calls: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    is_over: bool = False
    _channel: Channel | None = None
    _last_id: int = 0
    _byte_count: int = 0

    @classmethod
    async def over(cls, sock: socket.socket) -> _Link:
        link = cls(asyncio.get_running_loop().create_future())
        link._channel = await Channel.over(sock, take=link._take, ended=link._end)
        return link

    async def call(self, request: tuple[Any, ...]) -> Any:
        """Send a request and wait for what comes of it; cancelled with its caller."""
        self._last_id += 1
        number = self._last_id
        answer = self.calls[number] = asyncio.get_running_loop().create_future()
        self.tell((_OBTAIN, number, *request))
        try:
            return await answer
        except asyncio.CancelledError:
            self.tell((_CANCEL, number))
            raise
        finally:
            self.calls.pop(number, None)

    def take_byte_count(self) -> int:
        """Return how many bytes the worker received since this was asked for the last time."""
        byte_count, self._byte_count = self._byte_count, 0
        return byte_count

    def tell(self, message: tuple[Any, ...]) -> None:
        """Send a message that has no answer."""
        if self._channel is not None and not self.is_over:
            self._channel.send(message)

    def close(self) -> None:
        """Let the worker end."""
        if self._channel is not None:
            self._channel.close()

    def _take(self, message: tuple[Any, ...]) -> None:
        kind, number, byte_count, found = message
        self._byte_count += byte_count
        answer = self.ready if kind == _READY else self.calls.get(number)
        if answer is None or answer.done():
            return
        if isinstance(found, BaseException):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def _end(self) -> None:
        self.is_over = True
        for answer in (self.ready, *self.calls.values()):
            if not answer.done():
                answer.set_exception(ConnectionLost("a worker process ended"))


def _load_of(link: _Link) -> int:
    return len(link.calls)


async def serve_dump(sock: socket.socket, open_fetcher: OpenFetcher) -> None:
    """Obtain what the other end asks for, until it closes; in a worker.

    Args:
        sock: From `fork_workers`.
        open_fetcher: Opens source and folder; given what counts received bytes.

    """
    worker = _Worker()
    channel = worker.channel = await Channel.over(sock, take=worker.take, ended=worker.over.set)
    try:
        async with open_fetcher(worker.count_bytes) as fetcher, asyncio.TaskGroup() as group:
            worker.fetcher, worker.group = fetcher, group
            channel.send((_READY, 0, 0, None))
            await worker.over.wait()
            worker.drop_all()
    except AsyncDicomError as error:
        channel.send((_READY, 0, 0, error))
        await worker.over.wait()
    finally:
        channel.close()


class _Worker:
    """What a worker has under way."""

    channel: Channel
    fetcher: DumpFetcher
    group: asyncio.TaskGroup

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._byte_count = 0

    def count_bytes(self, byte_count: int) -> None:
        """Count body bytes; they are told with the next answer."""
        self._byte_count += byte_count

    def take(self, message: tuple[Any, ...]) -> None:
        """Do what a message says."""
        match message:
            case (kind, number, *request) if kind == _OBTAIN:
                self._tasks[number] = self.group.create_task(self._obtain(number, request))
            case (kind, number) if kind == _CANCEL:
                if (running := self._tasks.get(number)) is not None:
                    running.cancel()
            case (kind, packed, error, attempts) if kind == _GIVE_UP:
                self.fetcher.give_up(_unpacked(*packed), error, attempts)
            case (_, pause_s):
                self.fetcher.pause(pause_s)

    def drop_all(self) -> None:
        """Drop what is under way: nobody waits for it."""
        for task in self._tasks.values():
            task.cancel()

    async def _obtain(self, number: int, request: list[Any]) -> None:
        *packed, attempt, is_fresh = request
        try:
            obtained = await self.fetcher.obtain(_unpacked(*packed), attempt, is_fresh=is_fresh)
        except AsyncDicomError as error:
            self._answer(_FAILED, number, error)
        else:
            outcome = obtained.outcome
            facts = (outcome.path, outcome.byte_count, outcome.sha256, obtained.is_fresh)
            self._answer(_OBTAINED, number, (isinstance(outcome, Skipped), *facts))
        finally:
            del self._tasks[number]

    def _answer(self, kind: int, number: int, found: object) -> None:
        byte_count, self._byte_count = self._byte_count, 0
        self.channel.send((kind, number, byte_count, found))


def _packed(task: DumpTask) -> tuple[Any, ...]:
    """Return what a task consists of: tuples cost a tenth of pickled dataclasses."""
    target = task.target
    return (
        target.resource.value,
        target.study_instance_uid,
        target.series_instance_uid,
        target.sop_instance_uid,
        target.frame_number,
        target.bulkdata_uri,
        target.attribute,
        task.frame_bytes,
        task.expected_instances,
    )


def _unpacked(resource: str, *rest: Any) -> DumpTask:
    *target, frame_bytes, expected_instances = rest
    return DumpTask(Target(Resource(resource), *target), frame_bytes, expected_instances)
