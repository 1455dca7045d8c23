"""Where objects go: their names, what is there already, and what gives way to them.

Rule: what is there is believed when it was read again, or when a catalog vouches for
it (`storage.catalog`). A file that holds something else is never replaced; one that is
a damaged copy of the same object is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from asyncdicom.errors import NameTaken
from asyncdicom.protocol.part10 import DEFAULT_TAGS
from asyncdicom.storage.committing import GroupCommitter
from asyncdicom.storage.inventory import claimed_uid
from asyncdicom.storage.naming import collision_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.jobs.object_intake import ObjectContent
    from asyncdicom.jobs.object_listing import ObjectTask
    from asyncdicom.storage.atomic import FileWriter
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["ObjectKeeper"]

INCOMING = "incoming"
"""Name of a file until its content has said what it is; never seen on disk."""


class ObjectKeeper:
    """Keeps objects in a folder; for one event loop.

    Memory: 80 bytes for each name given, so that no object of a run replaces another one.
    """

    def __init__(
        self,
        folder: OutputFolder,
        *,
        collect: Mapping[int, str] = DEFAULT_TAGS,
        computes_sha256: bool = False,
    ) -> None:
        """Prepare.

        Args:
            folder: Where to store.
            collect: Keyword by tag of the values that names are made from.
            computes_sha256: Whether somebody will see the digests.

        """
        self.folder = folder
        self.collect = collect
        self.computes_sha256 = computes_sha256
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

    async def commit(
        self, task: ObjectTask, path: str, content: ObjectContent, writer: FileWriter
    ) -> None:
        """Give a file its name, as durably as the folder promises.

        Raises:
            NameTaken: If another object has the name.
            StorageError: If it cannot be kept.

        """
        if writer.path != path:
            writer.retarget(path)
        replace = self._claim(task, path) and self._may_replace(path, content)
        try:
            await self._committer.commit(writer, replace=replace)
        except NameTaken as error:
            # The very same bytes: nothing is lost.
            if not error.is_identical:
                raise

    def _claim(self, task: ObjectTask, path: str) -> bool:
        """Tell whether no other object of this run was given the name."""
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
        claimed = claimed_uid(self.folder, path)
        uid = content.facts.sop_instance_uid if content.facts is not None else None
        if claimed not in (uid, None):
            raise NameTaken("another instance has the name", path=path)
        return True
