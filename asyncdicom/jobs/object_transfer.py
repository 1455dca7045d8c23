"""Bring one object into a file: in one go, or in parts if it is large.

received = await transfer.receive(task, entry, path)
await keeper.commit(Kept(task, received.entry, path, received.content), received.writer)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.jobs.object_fetch import WholeFetch, check_listed, is_same_version
from asyncdicom.jobs.object_intake import check_group
from asyncdicom.jobs.object_ranges import IgnoresRanges, Lanes, RangedFetch, Ranges
from asyncdicom.policy.object_parts import plan_parts
from asyncdicom.records import dataclass
from asyncdicom.storage.positional import PositionalFile

if TYPE_CHECKING:
    from asyncdicom.jobs.object_intake import ObjectContent, ObjectLook
    from asyncdicom.jobs.object_keeper import ObjectKeeper
    from asyncdicom.jobs.object_listing import ObjectTask
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Buffer
    from asyncdicom.ports.objects import ObjectEntry, ObjectStore
    from asyncdicom.storage.atomic import FileWriter

__all__ = ["PartOptions", "Received", "Transfer"]

MIB = 1024 * 1024

HELD_BYTES = 120 * 1024
"""Held until it is whole: read at once, by comparison, and written with one call. To put larger
ones together takes fresh memory (128 KB for malloc), whose page faults cost more than a walk."""


@dataclass(frozen=True, slots=True)
class PartOptions:
    """When and how objects come in parts."""

    part_bytes: int = 16 * MIB
    """Larger objects come in parts of at most so much."""
    at_once: int = 4
    """Parts of one object; 1 fetches each object with one request."""
    requests: int = 32
    """Of all objects together, where there are parts; what the scheduler has for tasks."""


@dataclass(frozen=True, slots=True)
class Received:
    """An object that is whole and written; who receives it commits or discards it."""

    entry: ObjectEntry
    """As the store describes the version that came."""
    content: ObjectContent
    writer: FileWriter


class Transfer:
    """Brings the objects of one run."""

    def __init__(
        self, store: ObjectStore, keeper: ObjectKeeper, tally: Tally, options: PartOptions
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._tally = tally
        self._options = options
        self._honours_ranges = options.at_once > 1
        self.lanes = Lanes(options.requests)

    async def receive(self, task: ObjectTask, entry: ObjectEntry, path: str | None) -> Received:
        """Fetch the object of a task into a file, and prove it.

        Raises:
            ObjectChanged: If it is not the version that was listed.
            FetchError: As `WholeFetch.run`; or if the bytes are not what was promised,
                or no whole DICOM file, or of another series.
            StorageError: If it cannot be written.

        """
        # Parts have to be of one version, which only a store that names versions can say.
        is_large = entry.byte_count > self._options.part_bytes and is_same_version(entry, entry)
        if is_large and self._honours_ranges:
            try:
                return await self._attempt(task, entry, path, in_parts=True)
            except IgnoresRanges:
                self._honours_ranges = False
        return await self._attempt(task, entry, path, in_parts=False)

    async def _attempt(
        self, task: ObjectTask, entry: ObjectEntry, path: str | None, *, in_parts: bool
    ) -> Received:
        bucket = task.listing.group.bucket
        writer = self._keeper.begin(path)
        look = self._keeper.look()
        try:
            if in_parts:
                file = PositionalFile(writer, self._keeper.folder.system)
                ranged = RangedFetch(self._ranges_of(bucket, entry), entry, file, look)
                entry = await ranged.run()
                content = look.receive_eof()
            elif entry.byte_count <= HELD_BYTES:
                held = _HeldSink(writer, look, entry, self._tally)
                entry = await WholeFetch(self._store, bucket, entry.key, held).run()
                content = held.end()
            else:
                sink = _Sink(writer, look, entry, self._tally)
                entry = await WholeFetch(self._store, bucket, entry.key, sink).run()
                content = look.receive_eof()
            check_group(task.listing.group, content)
        except BaseException:
            writer.discard()
            raise
        return Received(entry, content, writer)

    def _ranges_of(self, bucket: str, entry: ObjectEntry) -> Ranges:
        options = self._options
        return Ranges(
            self._store,
            bucket,
            plan_parts(entry.byte_count, part_bytes=options.part_bytes, lanes=options.at_once),
            self.lanes,
            options.at_once,
            self._tally.count_bytes,
        )


class _HeldSink:
    """Holds what is small, and looks at it and writes it when it is whole."""

    __slots__ = ("_listed", "_look", "_pieces", "_tally", "_writer")

    def __init__(
        self, writer: FileWriter, look: ObjectLook, listed: ObjectEntry, tally: Tally
    ) -> None:
        self._writer = writer
        self._look = look
        self._listed = listed
        self._tally = tally
        self._pieces: list[bytes] = []

    def begin(self, entry: ObjectEntry) -> None:
        check_listed(entry, self._listed)
        self._look.begin(entry)

    def write(self, data: Buffer) -> None:
        self._tally.count_bytes(len(data))
        self._pieces.append(bytes(data))

    def end(self) -> ObjectContent:
        pieces = self._pieces
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        content = self._look.receive_whole(whole)
        self._writer.write(whole)
        return content


class _Sink:
    """Writes, walks and counts."""

    __slots__ = ("_listed", "_look", "_tally", "_writer")

    def __init__(
        self, writer: FileWriter, look: ObjectLook, listed: ObjectEntry, tally: Tally
    ) -> None:
        self._writer = writer
        self._look = look
        self._listed = listed
        self._tally = tally

    def begin(self, entry: ObjectEntry) -> None:
        check_listed(entry, self._listed)
        self._look.begin(entry)

    def write(self, data: Buffer) -> None:
        self._tally.count_bytes(len(data))
        self._look.receive_data(data)
        self._writer.write(data)
