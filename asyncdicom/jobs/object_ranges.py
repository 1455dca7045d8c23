"""Fetch one large object in parts, several at once, and look at it in order while they come.

    entry = await RangedFetch(way, listed, file, look).run()

Strategy: parts are written where they belong; what is whole from the first byte on is read
back from the page cache and looked at in a thread, so that walk and digests end shortly
after the last byte, and nobody holds parts in memory. Long values are not read back where
no digest needs them. What the store promises of the whole object is asked for (HEAD)
while the first parts arrive: spans do not carry it.

Rules:
* All answers are of one version: If-Match where there is an entity tag, else the same
  time of modification. Another version, or a server that sends something else than the
  part asked for, ends the try.
* A body that breaks continues from the byte it reached, as in `object_fetch`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from asyncdicom.errors import ObjectChanged, TransportError, Truncated
from asyncdicom.jobs.object_fetch import MAX_CONTINUATIONS, check_listed, is_same_version
from asyncdicom.policy.object_parts import Frontier
from asyncdicom.ports.objects import ByteSpan
from asyncdicom.records import dataclass
from asyncdicom.storage.hashing import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncdicom.model import Buffer
    from asyncdicom.policy.object_parts import Part
    from asyncdicom.ports.objects import ObjectAnswer, ObjectEntry, ObjectStore
    from asyncdicom.storage.positional import PositionalFile

__all__ = ["IgnoresRanges", "Lanes", "RangedFetch", "Ranges"]

LOOK_BYTES = 4 * 1024 * 1024
"""Looked at in one go: worth a hop to a thread."""


class IgnoresRanges(Exception):
    """The server sends something else than the part that was asked for."""


class Look(Protocol):
    """Looks at an object in order."""

    def begin(self, entry: ObjectEntry) -> None:
        """Take note of what the store promises, before the first byte."""

    def receive_data(self, data: Buffer) -> None:
        """Look at the next bytes; called in a thread, never twice at a time."""

    def skip(self, most: int) -> int:
        """Skip bytes that are there but need not be seen; return how many it were."""


class Lanes:
    """How many requests are under way for the objects of a run.

    A task has one request of its own. It makes further ones, for parts, only while all
    together are no more than tasks may be: parts make a run no less polite.
    """

    def __init__(self, most: int) -> None:
        self._free = most

    def enter(self) -> None:
        """Count a task in; it is never refused."""
        self._free -= 1

    def leave(self) -> None:
        """Count a task, or what `take` gave, out."""
        self._free += 1

    def take(self) -> bool:
        """Tell whether one more request may be made, and count it in."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True


@dataclass(frozen=True, slots=True)
class Ranges:
    """How one object is fetched in parts."""

    store: ObjectStore
    bucket: str
    parts: Sequence[Part]
    lanes: Lanes
    at_once: int
    """Parts, at most."""
    on_bytes: Callable[[int], None]


class RangedFetch:
    """One try to fetch an object in parts."""

    def __init__(
        self, ranges: Ranges, listed: ObjectEntry, file: PositionalFile, look: Look
    ) -> None:
        self._ranges = ranges
        self._listed = listed
        self._entry: ObjectEntry | None = None
        self._file = file
        self._look = look
        self._frontier = Frontier(ranges.parts)
        self._next = iter(range(len(ranges.parts)))
        self._awaited = LOOK_BYTES
        self._has_come = asyncio.Event()

    async def run(self) -> ObjectEntry:
        """Fetch, and return what the store says of the version that came.

        Raises:
            IgnoresRanges: If the server sends something else than the parts.
            ObjectChanged: If the object is not the one listed, or was replaced meanwhile.
            FetchError: As `WholeFetch.run`, or what the look raises.
            StorageError: If it cannot be written.

        Cancellation: waits for the thread that looks at what is there.

        """
        try:
            async with asyncio.TaskGroup() as group:
                following = group.create_task(self._follow())
                for _ in range(min(self._ranges.at_once, len(self._ranges.parts)) - 1):
                    if not self._ranges.lanes.take():
                        break
                    group.create_task(self._extra_lane())
                await self._lane()
        except ExceptionGroup as failures:
            raise _first_of(failures) from None
        self._file.complete(self._listed.byte_count)
        return following.result()

    async def _extra_lane(self) -> None:
        try:
            await self._lane()
        finally:
            self._ranges.lanes.leave()

    async def _lane(self) -> None:
        for index in self._next:
            await self._fetch_part(index)

    async def _fetch_part(self, index: int) -> None:
        part = self._ranges.parts[index]
        continuations = 0
        while (before := self._frontier.received(index)) < part.byte_count:
            try:
                await self._go_on(index, part, part.first + before)
            except (TransportError, Truncated):
                reached = self._frontier.received(index)
                if reached == before or continuations == MAX_CONTINUATIONS:
                    raise
                continuations += 1

    async def _go_on(self, index: int, part: Part, first: int) -> None:
        ranges = self._ranges
        span = ByteSpan(first, part.last)
        etag = self._listed.etag
        key = self._listed.key
        async with ranges.store.fetch(ranges.bucket, key, span=span, etag=etag) as answer:
            self._check(answer, first)
            at = first
            while data := await answer.read():
                if at + len(data) > part.last + 1:
                    raise IgnoresRanges
                self._file.write_at(data, at)
                at += len(data)
                ranges.on_bytes(len(data))
                self._frontier.advance(index, len(data))
                if self._frontier.reached >= self._awaited:
                    self._has_come.set()
        if at <= part.last:
            raise Truncated("a part of an object ended early", offset=at)

    def _check(self, answer: ObjectAnswer, first: int) -> None:
        if answer.first_byte != first:
            raise IgnoresRanges
        entry = answer.entry
        if self._entry is None:
            self._entry = entry
        if not is_same_version(entry, self._entry):
            raise ObjectChanged("the object was replaced while it came", status_code=412)
        check_listed(entry, self._listed)

    async def _follow(self) -> ObjectEntry:
        """Look at what is whole from the first byte on, until it is all."""
        entry = self._listed
        if not entry.digests:
            entry = await self._ranges.store.entry(self._ranges.bucket, entry.key)
            check_listed(entry, self._listed)
        self._look.begin(entry)
        loop = asyncio.get_running_loop()
        looked, end = 0, entry.byte_count
        while looked < end:
            self._awaited = min(looked + LOOK_BYTES, end)
            if self._frontier.reached < self._awaited:
                self._has_come.clear()
                await self._has_come.wait()
            reached = self._frontier.reached
            looked += self._look.skip(reached - looked)
            if looked < reached:
                await settled(loop.run_in_executor(None, self._look_at, looked, reached))
            looked = reached
        return entry

    def _look_at(self, first: int, end: int) -> None:
        for data in self._file.read(first, end, self._look.skip):
            self._look.receive_data(data)


def _first_of(failures: ExceptionGroup[Exception]) -> Exception:
    """Return why a try ended: what the server cannot do before what came of it."""
    cannot, _ = failures.split(IgnoresRanges)
    first = (cannot or failures).exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first
