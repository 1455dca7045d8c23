"""Where objects go: their names, what is there already, and what gives way to them.

    async with ObjectKeeper(folder, catalog=catalog) as keeper:
        writer = keeper.begin(path)
        ...
        await keeper.commit(Kept(task, entry, path, content), writer)

Rule: a file that holds something else is never replaced; a damaged or older copy of the
same object is. Two objects of a run that come out under one name never replace each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from asyncdicom.errors import NameTaken
from asyncdicom.jobs.object_intake import LookOptions, ObjectLook
from asyncdicom.protocol.part10 import DEFAULT_TAGS
from asyncdicom.records import dataclass
from asyncdicom.storage.committing import GroupCommitter
from asyncdicom.storage.inventory import claimed_uid
from asyncdicom.storage.naming import collision_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.jobs.object_intake import ObjectContent
    from asyncdicom.jobs.object_listing import ObjectTask
    from asyncdicom.model import ObjectTarget
    from asyncdicom.ports.objects import ObjectEntry
    from asyncdicom.storage.atomic import FileWriter
    from asyncdicom.storage.catalog import Catalog, CatalogEntry
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["Kept", "ObjectKeeper"]

INCOMING = "incoming"
"""Name of a file until its content has said what it is; never seen on disk."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object that is whole, and where it goes."""

    task: ObjectTask
    entry: ObjectEntry
    path: str
    content: ObjectContent


class ObjectKeeper:
    """Keeps objects in a folder; for one event loop.

    Memory: 80 bytes for each name given, so that no object of a run replaces another one.
    """

    def __init__(
        self,
        folder: OutputFolder,
        *,
        catalog: Catalog | None = None,
        collect: Mapping[int, str] = DEFAULT_TAGS,
        computes_sha256: bool = False,
    ) -> None:
        """Prepare.

        Args:
            folder: Where to store.
            catalog: Where to note what is stored, and to look what was.
            collect: Keyword by tag of the values that names are made from.
            computes_sha256: Whether somebody will see the digests; a catalog does.

        """
        self.folder = folder
        self._catalog = catalog
        sees_digests = computes_sha256 or catalog is not None
        self._look = LookOptions(collect, computes_sha256=sees_digests)
        self._committer = GroupCommitter(folder)
        self._claimed: set[int] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._committer.aclose()

    def begin(self, path: str | None) -> FileWriter:
        """Begin a file, under its name if that is known already.

        Raises:
            StorageError: If it cannot be begun.

        """
        return self.folder.create(path or INCOMING)

    def look(self) -> ObjectLook:
        """Return what looks at the bytes of an object, as closely as this run wants."""
        return ObjectLook(self._look)

    async def commit(self, kept: Kept, writer: FileWriter) -> None:
        """Give a file its name, as durably as the folder promises.

        Raises:
            NameTaken: If another object has the name.
            StorageError: If it cannot be kept.

        """
        path = kept.path
        if writer.path != path:
            writer.retarget(path)
        may_replace = (
            self.claim(kept.task, path)
            and not kept.task.is_vacant
            and self._may_replace(path, kept.content)
        )
        modified_ns = 0
        if self._catalog is not None:
            modified_ns = self.folder.system.fstat(writer.fileno()).st_mtime_ns
        try:
            await self._committer.commit(writer, replace=may_replace)
        except NameTaken as error:
            # The very same bytes: nothing is lost.
            if not error.is_identical:
                raise
            found = self.folder.facts(path)
            modified_ns = 0 if found is None else found.modified_ns
        self.note(kept, modified_ns)

    def noted(self, target: ObjectTarget, path: str | None) -> CatalogEntry | None:
        """Return what the catalog says of an object, if that is where it belongs now.

        Args:
            target: The object.
            path: Where it belongs, or None if only its content says so.

        """
        if self._catalog is None:
            return None
        noted = self._catalog.find(target.scheme, target.bucket, target.key)
        return noted if noted is not None and path in (None, noted.path) else None

    def note(self, kept: Kept, modified_ns: int) -> None:
        """Note in the catalog, if there is one, what is in place.

        Args:
            kept: The object.
            modified_ns: When its file was changed.

        Raises:
            StorageError: If the catalog cannot be written.

        """
        if self._catalog is None:
            return
        # Imported here: runs without a catalog do without.
        from asyncdicom.storage.catalog import CatalogEntry  # noqa: PLC0415 -- lazy on purpose

        target, entry, facts = kept.task.target, kept.entry, kept.content.facts
        self._catalog.record(
            CatalogEntry(
                target.scheme,
                target.bucket,
                target.key,
                entry.byte_count,
                entry.etag,
                entry.modified_at,
                kept.content.sha256,
                kept.path,
                modified_ns,
                facts and facts.study_instance_uid,
                facts and facts.series_instance_uid,
                facts and facts.sop_instance_uid,
            )
        )

    def claim(self, task: ObjectTask, path: str) -> bool:
        """Give a name to the object of a task; tell whether no other one of this run has it."""
        if not task.has_claimed:
            name = hash(collision_key(path))
            if name in self._claimed:
                return False
            self._claimed.add(name)
            task.has_claimed = True
        return True

    def _may_replace(self, path: str, content: ObjectContent) -> bool:
        """Tell whether a file of the name is there, and may give way.

        Raises:
            NameTaken: If it holds another instance.

        """
        if self.folder.facts(path) is None:
            return False
        uid = None if content.facts is None else content.facts.sop_instance_uid
        if claimed_uid(self.folder, path) not in (uid, None):
            raise NameTaken("another instance has the name", path=path)
        return True
