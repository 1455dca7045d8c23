"""`verify DIR s3://...`: what a store lists, compared with the files; nothing is fetched.

Each object that is listed must have its file, of its size, with the digest that the list
promises. Where it promises none, a catalog line of the same version knows the SHA-256;
where there is no such line, a DICOM file is walked to its last byte; that speaks for one
object alone, where the keys of several come out as one name.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError, DigestMismatch, Doubtful, NameTaken, RunAborted
from asyncdicom.events import Remarked
from asyncdicom.jobs.object_intake import LookOptions, ObjectLook
from asyncdicom.jobs.object_there import (
    has_likely_md5,
    is_same_listed,
    promises_md5,
    with_likely_md5,
)
from asyncdicom.jobs.verify import MAX_DEPTH
from asyncdicom.jobs.verify_files import FileVerdict, Known, check_file, not_there
from asyncdicom.model import Failed, Skipped
from asyncdicom.storage.inventory import files_below
from asyncdicom.storage.reading import read_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.jobs.object_listing import ObjectTask
    from asyncdicom.jobs.object_survey import Lister
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.ports.objects import ObjectEntry
    from asyncdicom.storage.catalog import Catalog, CatalogEntry
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["ObjectVerifyJob"]


class ObjectVerifyJob:
    """Lists groups, and looks at the file of each object; driven by a scheduler.

    Attributes:
        unlisted: Files that the store does not list; counted by `finish`.
        doubtful: Files whose structure is whole, but something is missing from them.
        unproven: Files of which only the size is known to be right.

    """

    def __init__(
        self, lister: Lister, folder: OutputFolder, tally: Tally, catalog: Catalog | None = None
    ) -> None:
        self._lister = lister
        self._folder = folder
        self._tally = tally
        self._catalog = catalog
        self._paths: set[int] = set()
        self.unlisted = 0
        self.doubtful = 0
        self.unproven = 0
        self._is_listed = True

    def tasks(self, groups: Iterable[ObjectGroup]) -> Iterator[ObjectTask]:
        """Yield the first task of each group."""
        return self._lister.tasks(groups)

    async def perform(self, task: ObjectTask, attempt: int) -> Iterable[ObjectTask]:  # noqa: ARG002 -- Performer
        """List a page, or look at a file."""
        if task.entry is None:
            wanted = await self._lister.next_page(task.listing)
            return task.listing.follow(wanted)
        noted = self._noted(task)
        naming = task.listing.group.naming
        path = noted.path if noted is not None else naming.path_of(task.entry, None)
        is_first = self._claim(task, path)
        verdict = await self._verdict(task, task.entry, path, noted)
        if not is_first and verdict.facts is not None:
            # Whole it is, but nothing says of which of the two.
            verdict = FileVerdict(error=NameTaken("another object has the name", path=path))
        self._tally.count_bytes(verdict.byte_count)
        self._settle(task, path, verdict)
        return ()

    def give_up(
        self, task: ObjectTask, error: AsyncDicomError, attempts: int
    ) -> Iterable[ObjectTask]:
        """Name what could not be listed or looked at."""
        # Where a list broke off, or objects were not looked at, more files may be of it.
        is_seen = task.entry is not None and not isinstance(error, RunAborted)
        self._is_listed = self._is_listed and is_seen
        self._tally.record(Failed(task.target, error, attempts))
        return ()

    async def finish(self) -> None:
        """Count the files that the store does not list, if it listed all."""
        if not self._is_listed:
            return
        for path in files_below(self._folder, depth=MAX_DEPTH):
            if hash(path) not in self._paths:
                self.unlisted += 1
                self._tally.tell(Remarked(path, "not listed by the store"))

    def _claim(self, task: ObjectTask, path: str) -> bool:
        """Note that a file is listed; tell whether no other object has its name."""
        name = hash(path)
        if not task.has_claimed and name not in self._paths:
            self._paths.add(name)
            task.has_claimed = True
        return task.has_claimed

    def _noted(self, task: ObjectTask) -> CatalogEntry | None:
        if self._catalog is None:
            return None
        target = task.target
        return self._catalog.find(target.scheme, target.bucket, target.key)

    async def _verdict(
        self, task: ObjectTask, entry: ObjectEntry, path: str, noted: CatalogEntry | None
    ) -> FileVerdict:
        """Look at a file; accuse it of other bytes only if the ETag is known to be a digest."""
        verdict = await asyncio.to_thread(self._check, with_likely_md5(entry), path, noted)
        if isinstance(verdict.error, DigestMismatch) and has_likely_md5(entry):
            head = await self._lister.store.entry(task.target.bucket, entry.key)
            if not promises_md5(head):
                return await asyncio.to_thread(self._check, head, path, noted)
        return verdict

    def _check(self, entry: ObjectEntry, path: str, noted: CatalogEntry | None) -> FileVerdict:
        """Look at a file; in a thread."""
        try:
            found = self._folder.facts(path)
            if found is None:
                return FileVerdict(error=not_there(path))
            if found.byte_count != entry.byte_count:
                raise DigestMismatch(f"{found.byte_count} bytes, {entry.byte_count} are listed")
            if noted is not None and is_same_listed(noted, entry):
                return check_file(self._folder, path, Known(noted.byte_count, noted.sha256))
            return self._look_at(entry, path)
        except FileNotFoundError:
            return FileVerdict(error=not_there(path))
        except AsyncDicomError as error:
            return FileVerdict(error=error)

    def _look_at(self, entry: ObjectEntry, path: str) -> FileVerdict:
        look = ObjectLook(LookOptions({}))
        look.begin(entry)
        for data in read_chunks(self._folder, path):
            look.receive_data(data)
        content = look.receive_eof()
        if content.is_as_promised:
            return FileVerdict(entry.byte_count, content.sha256)
        if content.facts is None:
            return FileVerdict(entry.byte_count, content.sha256, remark=_UNPROVEN)
        if content.facts.doubts:
            raise Doubtful("; ".join(content.facts.doubts))
        return FileVerdict(entry.byte_count, content.sha256, content.facts)

    def _settle(self, task: ObjectTask, path: str, verdict: FileVerdict) -> None:
        if verdict.error is not None:
            self.doubtful += isinstance(verdict.error, Doubtful)
            self._tally.record(Failed(task.target, verdict.error))
            return
        if verdict.remark:
            self.unproven += 1
            self._tally.tell(Remarked(path, verdict.remark))
            return
        self._tally.record(Skipped(task.target, path, verdict.byte_count, verdict.sha256))


_UNPROVEN = "no DICOM file, and the store promises no digest: only its size is known to be right"
