"""Which objects need not be fetched, because their files are there and whole.

    skipped = await Presence(store, keeper).find(task, entry, path)

Cases, cheapest first:
    1. A catalog names the version that is listed, and the file has the size and time it
       had then: one look at the file.
    2. The catalog names that version, and the file was touched: it is read, and its SHA-256
       compared.
    3. The list has an ETag like an MD5 (or parts of one): the file is read, and compared. Should
       it differ, the head of the object says whether the ETag is one: encrypted objects lie.
    4. It promises nothing, and the file is a whole DICOM file of the right size: its first
       bytes are compared with those of the object, for it might be another one's file.
    5. Anything else is fetched, and takes the place of what is there if it may.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError
from asyncdicom.jobs.object_intake import check_group
from asyncdicom.jobs.object_keeper import Kept
from asyncdicom.model import Skipped
from asyncdicom.ports.objects import ByteSpan, ObjectDigest
from asyncdicom.protocol.object_stores.digests import md5_of_etag
from asyncdicom.storage.reading import read_chunks

if TYPE_CHECKING:
    from asyncdicom.jobs.object_intake import ObjectContent
    from asyncdicom.jobs.object_keeper import ObjectKeeper
    from asyncdicom.jobs.object_listing import ObjectTask
    from asyncdicom.ports.objects import ObjectEntry, ObjectStore
    from asyncdicom.storage.catalog import CatalogEntry
    from asyncdicom.storage.folder import FileFacts

__all__ = ["Presence", "has_likely_md5", "is_same_listed", "promises_md5", "with_likely_md5"]

HEAD_BYTES = 8 * 1024
"""Compared where nothing is promised: the SOP Instance UID is in the first kilobyte or two."""


SECONDS = len("2026-11-30T12:00:00")
"""Of a time: lists of some stores have fractions that the heads of their answers lack."""


def has_likely_md5(entry: ObjectEntry) -> bool:
    """Tell whether a list promises nothing of an object but an ETag that may be its MD5."""
    return not entry.digests and md5_of_etag(entry.etag) is not None


def with_likely_md5(entry: ObjectEntry) -> ObjectEntry:
    """Return what a list says of an object, its ETag taken for the MD5 that it looks like."""
    md5 = md5_of_etag(entry.etag)
    if md5 is None or entry.digests:
        return entry
    return replace(entry, digests=(ObjectDigest("md5", md5),))


def promises_md5(head: ObjectEntry) -> bool:
    """Tell whether the head of an object confirms that its ETag is an MD5."""
    return any(digest.algorithm == "md5" for digest in head.digests)


class Presence:
    """Looks for the files of objects."""

    def __init__(self, store: ObjectStore, keeper: ObjectKeeper) -> None:
        self._store = store
        self._keeper = keeper

    async def find(self, task: ObjectTask, entry: ObjectEntry, path: str | None) -> Skipped | None:
        """Return an object that need not be fetched.

        Args:
            task: Whose object it is.
            entry: As it is listed.
            path: Where it belongs, or None if only its content says so; then it is
                where the catalog says.

        Raises:
            StorageError: If a link or device has the name, or the folder cannot be read.
            FetchError: If the store does not answer.

        """
        keeper = self._keeper
        noted = keeper.noted(task.target, path)
        if noted is not None:
            path = noted.path
        found = None if path is None else keeper.folder.facts(path)
        task.is_vacant = path is not None and found is None
        if path is None or found is None or not keeper.claim(task, path):
            return None
        if found.byte_count != entry.byte_count:
            return None
        if noted is not None and is_as_noted(noted, entry, found):
            return Skipped(task.target, path, found.byte_count, noted.sha256)
        content = await asyncio.to_thread(self._content_of, task, with_likely_md5(entry), path)
        if content is None and has_likely_md5(entry):
            head = await self._store.entry(task.listing.group.bucket, entry.key)
            if not promises_md5(head):
                content = await asyncio.to_thread(self._content_of, task, head, path)
        if content is None:
            return None
        kept = Kept(task, entry, path, content)
        if not await self._is_proven(kept, noted):
            return None
        keeper.note(kept, found.modified_ns)
        return Skipped(task.target, path, found.byte_count, content.sha256)

    def _content_of(self, task: ObjectTask, entry: ObjectEntry, path: str) -> ObjectContent | None:
        """Read a file; None if it is damaged, or not the object. In a thread."""
        look = self._keeper.look()
        look.begin(entry)
        try:
            for data in read_chunks(self._keeper.folder, path):
                look.receive_data(data)
            content = look.receive_eof()
            check_group(task.listing.group, content)
        except (AsyncDicomError, FileNotFoundError):
            return None
        return content

    async def _is_proven(self, kept: Kept, noted: CatalogEntry | None) -> bool:
        """Tell whether what was read is the object, by the best that is known of it."""
        content = kept.content
        if noted is not None and is_same_listed(noted, kept.entry):
            return content.sha256 == noted.sha256
        if content.is_as_promised:
            return True
        return content.facts is not None and await self._has_same_head(kept)

    async def _has_same_head(self, kept: Kept) -> bool:
        """Tell whether a file begins like the object."""
        entry, bucket = kept.entry, kept.task.listing.group.bucket
        span = ByteSpan(0, min(HEAD_BYTES, entry.byte_count) - 1)
        try:
            head = next(read_chunks(self._keeper.folder, kept.path, chunk_bytes=HEAD_BYTES), b"")
        except FileNotFoundError:
            return False  # It was there a moment ago.
        async with self._store.fetch(bucket, entry.key, span=span, etag=entry.etag) as answer:
            received = bytearray()
            while len(received) < len(head) and (data := await answer.read()):
                received += data
        return received[: len(head)] == head


def is_as_noted(noted: CatalogEntry, entry: ObjectEntry, found: FileFacts) -> bool:
    """Tell whether the store lists what was stored, and the file is as it was left."""
    as_left = (found.byte_count, found.modified_ns) == (noted.byte_count, noted.modified_ns)
    return as_left and is_same_listed(noted, entry)


def is_same_listed(noted: CatalogEntry, entry: ObjectEntry) -> bool:
    """Tell whether the store lists the version that was stored."""
    if noted.byte_count != entry.byte_count:
        return False
    if noted.etag is not None and entry.etag is not None:
        return noted.etag == entry.etag
    if noted.modified_at is None or entry.modified_at is None:
        return False
    return noted.modified_at[:SECONDS] == entry.modified_at[:SECONDS]
