"""`get` from an object store: groups of objects to files, proven whole.

    list a page of a group → fetch each object → walk and digest it as its bytes pass →
    file under its final name → outcome; behind the last page, compare the counts

Rule: an object is stored when its size is that of the listing and of the answer, every
digest that the store promised is met, and, if it is a DICOM file, it was walked to its
last byte and is of the group's study and series. Where these are known, it has to be one,
unless a digest proves that it is none. Whatever fails is named; what was fetched stays.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from asyncdicom.errors import ObjectChanged, StorageError, Truncated
from asyncdicom.jobs.object_fetch import is_as_listed
from asyncdicom.jobs.object_keeper import Kept
from asyncdicom.jobs.object_listing import ObjectTask
from asyncdicom.jobs.object_survey import Lister, accept_all
from asyncdicom.jobs.object_there import Presence
from asyncdicom.jobs.object_transfer import PartOptions, Transfer
from asyncdicom.model import Failed, ObjectTarget, Resource, Stored
from asyncdicom.records import dataclass
from asyncdicom.storage.room import free_bytes, require_room_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.jobs.object_intake import ObjectContent
    from asyncdicom.jobs.object_keeper import ObjectKeeper
    from asyncdicom.jobs.object_listing import GroupListing
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.ports.objects import ObjectEntry, ObjectStore

__all__ = ["ObjectJob", "ObjectOptions", "ObjectTask"]

CHANGED = "changed after it was listed"


@dataclass(frozen=True, slots=True)
class ObjectOptions:
    """How objects are fetched."""

    accepts: Callable[[ObjectGroup, str], bool] = accept_all
    """Tells of a key of a group whether it is wanted."""
    parts: PartOptions = field(default_factory=PartOptions)


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
        options = options or ObjectOptions()
        self._lister = Lister(store, tally, options.accepts)
        self._presence = Presence(store, keeper)
        self._transfer = Transfer(store, keeper, tally, options.parts)
        self._due: dict[tuple[str, str], int] = {}
        """By bucket and key, the bytes of what was listed that are still to be stored."""

    def tasks(self, groups: Iterable[ObjectGroup]) -> Iterator[ObjectTask]:
        """Yield the first task of each group."""
        return self._lister.tasks(groups)

    async def perform(self, task: ObjectTask, attempt: int) -> Iterable[ObjectTask]:
        """List a page or fetch an object; return what follows from it."""
        if task.entry is None:
            return await self._list(task.listing)
        lanes = self._transfer.lanes
        lanes.enter()
        try:
            await self._fetch(task, await self._entry_of(task, task.entry), attempt)
        except ObjectChanged:
            task.is_stale = True
            raise
        except Truncated:
            # An answer that is too short for its version may be right, and the list wrong.
            task.is_stale = task.entry.etag is not None
            raise
        finally:
            lanes.leave()
        self._settle(task)
        return ()

    def give_up(
        self, task: ObjectTask, error: AsyncDicomError, attempts: int
    ) -> Iterable[ObjectTask]:
        """Name what is missing."""
        self._settle(task)
        self._tally.record(Failed(task.target, error, attempts))
        return ()

    async def _list(self, listing: GroupListing) -> Iterable[ObjectTask]:
        wanted = await self._lister.next_page(listing)
        self._require_room(listing, wanted)
        return listing.follow(wanted)

    def _require_room(self, listing: GroupListing, wanted: Iterable[ObjectEntry]) -> None:
        """Refuse what cannot be kept, before it is fetched.

        Raises:
            DiskFull: If what was listed and is not there yet is more than is free.

        """
        bucket, root = listing.group.bucket, self._keeper.folder.root
        self._due |= {(bucket, entry.key): entry.byte_count for entry in wanted}
        if sum(self._due.values()) <= free_bytes(root):
            return
        for entry in wanted:
            self._due[bucket, entry.key] -= self._there_bytes(listing, entry)
        require_room_for(sum(self._due.values()), root)

    def _there_bytes(self, listing: GroupListing, entry: ObjectEntry) -> int:
        """Return how much of an object is in the folder, under the name it gets or has."""
        naming, keeper = listing.group.naming, self._keeper
        try:
            if naming.needs_facts:
                noted = keeper.noted(listing.target_of(entry), None)
                found = None if noted is None else keeper.folder.facts(noted.path)
            else:
                found = keeper.folder.facts(naming.path_of(entry, None))
        except StorageError:
            return 0  # What is wrong with its name is told when it is fetched.
        return 0 if found is None else min(found.byte_count, entry.byte_count)

    def _settle(self, task: ObjectTask) -> None:
        """Count out what is stored, or given up."""
        if task.entry is not None:
            self._due.pop((task.listing.group.bucket, task.entry.key), None)

    async def _entry_of(self, task: ObjectTask, entry: ObjectEntry) -> ObjectEntry:
        """Return what is to be fetched; the version of now if an earlier try met something else."""
        if not task.is_stale:
            return entry
        task.entry = await self._store.entry(task.listing.group.bucket, entry.key)
        task.has_changed = task.has_changed or not is_as_listed(task.entry, entry)
        return task.entry

    async def _fetch(self, task: ObjectTask, entry: ObjectEntry, attempt: int) -> None:
        naming = task.listing.group.naming
        path = None if naming.needs_facts else naming.path_of(entry, None)
        found = await self._presence.find(task, entry, path)
        if found is not None:
            self._tally.record(found)
            return
        received = await self._transfer.receive(task, entry, path)
        content = received.content
        try:
            if path is None:
                path = naming.path_of(entry, content.facts)
            await self._keeper.commit(Kept(task, received.entry, path, content), received.writer)
        finally:
            received.writer.discard()
        self._tally.record(
            Stored(
                _target_of(task, content),
                path,
                entry.byte_count,
                content.sha256,
                attempt,
                (*content.remarks, CHANGED) if task.has_changed else content.remarks,
            )
        )


def _target_of(task: ObjectTask, content: ObjectContent) -> ObjectTarget:
    """Return the object, with what it says of itself."""
    target, facts = task.target, content.facts
    if facts is None:
        return target
    return ObjectTarget(
        target.scheme,
        target.bucket,
        target.key,
        Resource.OBJECT,
        facts.study_instance_uid,
        facts.series_instance_uid,
        facts.sop_instance_uid,
    )
