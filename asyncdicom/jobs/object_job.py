"""`get` from an object store: groups of objects to files, proven whole.

    list a page of a group → fetch each object → walk and digest it as its bytes pass →
    file under its final name → outcome; behind the last page, compare the counts

Rule: an object is stored when its size is that of the listing and of the answer, every
digest that the store promised is met, and, if it is a DICOM file, it was walked to its
last byte and is of the group's study and series. Whatever fails is named; what was
fetched stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import ObjectChanged
from asyncdicom.jobs.object_fetch import WholeFetch
from asyncdicom.jobs.object_intake import ContentWalk, ObjectContent, check_group
from asyncdicom.jobs.object_listing import GroupListing, ObjectTask
from asyncdicom.model import Failed, Stored
from asyncdicom.ports.objects import ListingPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.jobs.object_keeper import ObjectKeeper
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Buffer
    from asyncdicom.ports.objects import ObjectEntry, ObjectStore
    from asyncdicom.storage.atomic import FileWriter

__all__ = ["ObjectJob", "ObjectOptions", "ObjectTask"]

CHANGED = "changed after it was listed"


def accept_all(group: ObjectGroup, key: str) -> bool:  # noqa: ARG001 -- a default
    """Want every object."""
    return True


@dataclass(frozen=True, slots=True)
class ObjectOptions:
    """How objects are fetched."""

    dry_run: bool = False
    """List and count, fetch nothing."""
    accepts: Callable[[ObjectGroup, str], bool] = accept_all
    """Tells of a key of a group whether it is wanted."""


class ObjectJob:
    """Performs object tasks; driven by a scheduler."""

    def __init__(
        self,
        store: ObjectStore,
        keeper: ObjectKeeper,
        tally: Tally,
        options: ObjectOptions | None = None,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._tally = tally
        self._options = options or ObjectOptions()
        self.listed_count = 0
        self.listed_bytes = 0

    def tasks(self, groups: Iterable[ObjectGroup]) -> Iterator[ObjectTask]:
        """Yield the first task of each group."""
        for group in groups:
            yield ObjectTask(GroupListing(group, self._store.scheme, self._options.accepts))

    async def perform(self, task: ObjectTask, attempt: int) -> Iterable[ObjectTask]:
        """List a page or fetch an object; return what follows from it."""
        if task.entry is None:
            return await self._list(task.listing)
        try:
            await self._fetch(task, await self._entry_of(task, task.entry), attempt)
        except ObjectChanged:
            task.is_stale = True
            raise
        return ()

    def give_up(
        self, task: ObjectTask, error: AsyncDicomError, attempts: int
    ) -> Iterable[ObjectTask]:
        """Name what is missing."""
        self._tally.record(Failed(task.target, error, attempts))
        return ()

    async def _list(self, listing: GroupListing) -> Iterable[ObjectTask]:
        group = listing.group
        if group.is_single:
            page = ListingPage((await self._store.entry(group.bucket, group.prefix),))
        else:
            page = await self._store.page(
                group.bucket, group.prefix, continuation=listing.continuation
            )
        before = listing.count, listing.byte_count
        following = listing.take(page, keeps=not self._options.dry_run)
        self.listed_count += listing.count - before[0]
        self.listed_bytes += listing.byte_count - before[1]
        if listing.is_complete and (error := listing.verdict()) is not None:
            self._tally.record(Failed(listing.target, error))
        return following

    async def _entry_of(self, task: ObjectTask, entry: ObjectEntry) -> ObjectEntry:
        """Return what is to be fetched; the version of now if an earlier try met another one."""
        if task.is_stale:
            task.entry = entry = await self._store.entry(task.listing.group.bucket, entry.key)
        return entry

    async def _fetch(self, task: ObjectTask, entry: ObjectEntry, attempt: int) -> None:
        group = task.listing.group
        naming = group.naming
        path = None if naming.needs_facts else naming.path_of(entry, None)
        writer = self._keeper.begin(path)
        try:
            content = await self._receive(task, entry, writer)
            if path is None:
                path = naming.path_of(entry, content.facts)
            await self._keeper.commit(task, path, content, writer)
        finally:
            writer.discard()
        remarks = (*content.remarks, CHANGED) if task.is_stale else content.remarks
        self._tally.record(
            Stored(task.target, path, writer.byte_count, content.sha256, attempt, remarks)
        )

    async def _receive(
        self, task: ObjectTask, entry: ObjectEntry, writer: FileWriter
    ) -> ObjectContent:
        """Fetch the object of a task into a file, and prove it."""
        group = task.listing.group
        walk = ContentWalk(
            collect=self._keeper.collect, computes_sha256=self._keeper.computes_sha256
        )
        sink = _Sink(writer, walk, entry, self._tally)
        await WholeFetch(self._store, group.bucket, entry.key, sink).run()
        content = walk.receive_eof()
        if content.facts is not None:
            check_group(group, content.facts)
        return content


class _Sink:
    """Writes, walks and counts."""

    __slots__ = ("_listed", "_tally", "_walk", "_writer")

    def __init__(
        self, writer: FileWriter, walk: ContentWalk, listed: ObjectEntry, tally: Tally
    ) -> None:
        self._writer = writer
        self._walk = walk
        self._listed = listed
        self._tally = tally

    def begin(self, entry: ObjectEntry) -> None:
        listed = self._listed
        has_etags = entry.etag is not None and listed.etag is not None
        if entry.byte_count != listed.byte_count or (has_etags and entry.etag != listed.etag):
            raise ObjectChanged("the object is not the one that was listed", status_code=412)

    def write(self, data: Buffer) -> None:
        self._walk.receive_data(data)
        self._writer.write(data)
        self._tally.count_bytes(len(data))
