"""Find single instances of the Imaging Data Commons: the index that comes along knows series.

    finder = InstanceFinder(store, candidates, wanted, location)
    await Scheduler(finder, settings).run(finder.tasks())
    finder.found            # {sop_instance_uid: (series, key)}

How: the names of objects say nothing of the instances in them (they are UUIDs of
their own), so the first kilobytes of the objects of the series in question are read
until all that is wanted is found. An index of instances makes that unnecessary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import ProtocolError
from asyncdicom.ports.objects import ByteSpan
from asyncdicom.records import dataclass
from asyncdicom.storage.inventory import uid_in_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.model import Uid
    from asyncdicom.ports.objects import ObjectStore
    from asyncdicom.protocol.idc.buckets import Location
    from asyncdicom.protocol.idc.series import Series

__all__ = ["FoundInstance", "InstanceFinder", "LookTask"]

HEAD_BYTES = 1024
"""Of an object; the SOP Instance UID stands within the first 300 (PS3.10 §7.1)."""


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """Where an instance is."""

    series: Series
    key: str
    byte_count: int | None = None


@dataclass(frozen=True, slots=True)
class LookTask:
    """List a page of a series, or look into one object of it."""

    series: Series
    key: str | None = None
    continuation: str | None = None

    def __str__(self) -> str:
        return f"look into {self.key or self.series.prefix}"


class InstanceFinder:
    """Performs look tasks; driven by a scheduler.

    Attributes:
        found: Where instances are, by SOP Instance UID.
        failed: What could not be looked into: an instance may have been there.

    """

    def __init__(
        self,
        store: ObjectStore,
        candidates: Iterable[Series],
        wanted: Iterable[Uid],
        location: Location,
    ) -> None:
        self._store = store
        self._candidates = candidates
        self._missing = set(wanted)
        self._location = location
        self._tokens: set[int] = set()
        self.found: dict[Uid, FoundInstance] = {}
        self.failed: list[tuple[LookTask, AsyncDicomError]] = []

    def tasks(self) -> Iterator[LookTask]:
        """Yield the first task of each series, until everything is found."""
        for series in self._candidates:
            if not self._missing:
                return
            yield LookTask(series)

    async def perform(self, task: LookTask, attempt: int) -> Iterable[LookTask]:  # noqa: ARG002 -- Performer
        """List or look; return what to look into next."""
        if not self._missing:
            return ()
        if task.key is None:
            return await self._list(task)
        uid = await self._uid_of(task.series, task.key)
        if uid in self._missing:
            self._missing.discard(uid)
            self.found[uid] = FoundInstance(task.series, task.key)
        return ()

    def give_up(
        self,
        task: LookTask,
        error: AsyncDicomError,
        attempts: int,  # noqa: ARG002 -- Performer
    ) -> Iterable[LookTask]:
        """Remember what could not be looked into."""
        self.failed.append((task, error))
        return ()

    async def _list(self, task: LookTask) -> Iterable[LookTask]:
        series = task.series
        bucket = series.bucket_in(self._location)
        page = await self._store.page(bucket, series.prefix, continuation=task.continuation)
        following = [LookTask(series, entry.key) for entry in page.entries]
        if page.continuation is not None:
            token = hash((series.prefix, page.continuation))
            if token in self._tokens:
                raise ProtocolError("the pages of the list go round in a circle")
            self._tokens.add(token)
            following.append(LookTask(series, continuation=page.continuation))
        return following

    async def _uid_of(self, series: Series, key: str) -> Uid | None:
        head = bytearray()
        span = ByteSpan(0, HEAD_BYTES - 1)
        bucket = series.bucket_in(self._location)
        async with self._store.fetch(bucket, key, span=span) as answer:
            # A server that knows no ranges sends more; what is not wanted is not read.
            while len(head) < HEAD_BYTES and (data := await answer.read()):
                head += data
        return uid_in_head(bytes(head))
