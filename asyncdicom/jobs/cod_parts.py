"""Frames and metadata out of a Cloud-Optimized DICOM store, each by its span of the archive.

    STUDY/SERIES/metadata.json                      a data set per instance (PS3.18 Annex F)
    STUDY/SERIES/instances/SOP/frames/N             from 1; the bytes of the file, not decoded

Rule: uncompressed frames are found by the header of their file; the table of the metadata
is 8 bytes off there. Encapsulated frames are found by the table, if the item in front of
each has its length, and else in the whole instance, whose checksum is compared.

Rule: a frame proves less than an instance: its place and its length, not its bytes.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from asyncdicom.errors import ContentError, LimitExceeded, NotFound, ProtocolError
from asyncdicom.jobs.cod_spans import SpanReader
from asyncdicom.model import Failed, Resource, Stored, Target
from asyncdicom.ports.objects import ByteSpan
from asyncdicom.protocol.cod.frames import (
    ITEM_HEADER_BYTES,
    Span,
    check_item,
    fragment_spans,
    native_spans,
    pixel_place,
    table_spans,
)
from asyncdicom.protocol.cod.metadata import RefusedInstance, data_set_of
from asyncdicom.protocol.object_stores.digests import RunningDigests
from asyncdicom.protocol.object_stores.values import ObjectDigest, ObjectEntry
from asyncdicom.protocol.payload_events import NEED_DATA
from asyncdicom.storage.committing import GroupCommitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Uid
    from asyncdicom.protocol.cod.frames import PixelPlace
    from asyncdicom.protocol.cod.metadata import CodInstance
    from asyncdicom.sources.cod import CodSource
    from asyncdicom.storage.atomic import FileWriter
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["CodPartsJob", "PartsTask"]

HEAD_BYTES = 64 * 1024
"""Asked for first: a header has 2 to 20 KB, where no icon or long private value is in it."""
MAX_HEAD_BYTES = 64 * 1024 * 1024
MAX_HELD_BYTES = 1024 * 1024 * 1024
"""Of an instance whose frames nobody lists; it is held in memory."""
GAP_BYTES = 64 * 1024
"""Between frames that are still asked for together."""

_Frames = list[tuple[int, Span]]


@dataclass(frozen=True, slots=True)
class PartsTask:
    """Look up a study or a series, or fetch the frames of an instance."""

    target: Target
    place: CodInstance | None = None

    def __str__(self) -> str:
        return f"frames of {self.target}" if self.place is not None else f"look up {self.target}"


class CodPartsJob:
    """Stores frames or metadata; driven by a scheduler."""

    def __init__(
        self,
        source: CodSource,
        folder: OutputFolder,
        tally: Tally,
        *,
        resource: Resource,
        frames: Sequence[int] = (),
    ) -> None:
        """Prepare.

        Args:
            source: Where from.
            folder: Where to.
            tally: The books of the run.
            resource: `Resource.FRAME` or `Resource.METADATA`.
            frames: Numbers of the frames wanted, from 1; none for all.

        """
        self._source = source
        self._folder = folder
        self._committer = GroupCommitter(folder)
        self._tally = tally
        self._resource = resource
        self._numbers = sorted(set(frames))
        self._stored: set[Target] = set()
        self._named: set[tuple[Target, str]] = set()

    async def aclose(self) -> None:
        """End what is being committed."""
        await self._committer.aclose()

    def tasks(self, targets: Iterable[Target]) -> Iterator[PartsTask]:
        """Yield the first task of each study, series or instance."""
        yield from map(PartsTask, targets)

    async def perform(self, task: PartsTask, attempt: int) -> Iterable[PartsTask]:
        """Look up what there is, or fetch frames."""
        target = task.target
        if task.place is not None:
            await self._fetch_frames(target, task.place, attempt)
            return ()
        if target.resource is Resource.STUDY:
            uid = target.study_instance_uid
            found = await self._source.series_of(uid)
            return [
                PartsTask(Target(Resource.SERIES, uid, one.series_instance_uid)) for one in found
            ]
        if self._resource is Resource.METADATA:
            await self._store_metadata(target, attempt)
            return ()
        return [task async for task in self._frame_tasks(target)]

    def give_up(
        self, task: PartsTask, error: AsyncDicomError, attempts: int
    ) -> Iterable[PartsTask]:
        """Name what failed."""
        self._tally.record(Failed(task.target, error, attempts))
        return ()

    def _name(self, target: Target, error: AsyncDicomError) -> None:
        """Name what cannot be had, once: whatever it was found in may be asked for again."""
        if (target, str(error)) not in self._named:
            self._named.add((target, str(error)))
            self._tally.record(Failed(target, error))

    async def _entries(self, target: Target) -> AsyncIterator[CodInstance]:
        """Yield what the metadata has of a target; what nothing can be fetched by is named.

        Raises:
            NotFound: If it does not have the instance, or there is no metadata.
            FetchError: If the metadata is damaged.

        """
        series, wanted, is_there = _series_of(target), target.sop_instance_uid, False
        async for found in self._source.entries(
            target.study_instance_uid, series, keeps_entries=True
        ):
            if wanted is not None and found.sop_instance_uid != wanted:
                continue
            is_there = True
            if isinstance(found, RefusedInstance):
                self._name(_instance(target, found.sop_instance_uid), found.error)
            else:
                yield found
        if wanted is not None and not is_there:
            raise NotFound("the metadata does not list the instance", status_code=204)

    async def _store_metadata(self, target: Target, attempt: int) -> None:
        series, uid = _series_of(target), target.sop_instance_uid
        name = "metadata.json" if uid is None else f"instances/{uid}/metadata.json"
        path = f"{target.study_instance_uid}/{series}/{name}"
        with self._folder.create(path) as writer:
            file = _Digested(writer)
            file.write(b"[")
            async for found in self._entries(target):
                assert found.entry is not None, "entries were asked for"
                file.write(b"\n" if file.byte_count == 1 else b",\n")
                file.write(_json_of(found.entry))
            file.write(b"\n]\n")
            await self._committer.commit(writer, replace=True)
        stored = Target(Resource.METADATA, target.study_instance_uid, series, uid)
        self._tally.count_bytes(file.byte_count)
        self._tally.record(Stored(stored, path, file.byte_count, file.sha256, attempt))

    async def _frame_tasks(self, target: Target) -> AsyncIterator[PartsTask]:
        async for found in self._entries(target):
            entry = found.entry or {}
            if entry.get("has_pixeldata", True) or target.sop_instance_uid is not None:
                # Without its data set, which has up to 30 MB: all instances wait at once.
                tables = {"offset_tables": entry.get("offset_tables")}
                place = replace(found, entry=tables)
                yield PartsTask(_instance(target, found.sop_instance_uid), place)

    async def _fetch_frames(self, target: Target, place: CodInstance, attempt: int) -> None:
        pixels = await self._pixel_place(target, place)
        if pixels is None:
            raise ContentError("the instance has no pixel data")
        wanted = list(self._wanted(target, pixels))
        if not wanted:
            return
        if pixels.byte_count is not None:
            await self._store_spans(target, place, _chosen(native_spans(pixels), wanted), attempt)
            return
        spans = table_spans(place.entry or {}, pixels)
        if spans is not None:
            try:
                frames = _chosen(spans, wanted)
                await self._store_spans(target, place, frames, attempt, in_items=True)
            except ContentError:
                wanted = [one for one in wanted if _frame(target, one) not in self._stored]
            else:
                return
        await self._store_fragments(target, place, pixels, wanted, attempt)

    def _wanted(self, target: Target, pixels: PixelPlace) -> Iterator[int]:
        """Yield the numbers of the frames that are to be fetched; name those that are not there."""
        count = pixels.number_of_frames
        for number in self._numbers or range(1, count + 1):
            frame = _frame(target, number)
            if number > count:
                self._name(frame, NotFound(f"the instance has {count} frames", status_code=204))
            elif frame not in self._stored:
                yield number

    async def _pixel_place(self, target: Target, place: CodInstance) -> PixelPlace | None:
        """Read as much of an instance as it takes to find its pixel data."""
        head, wanted_bytes = b"", HEAD_BYTES
        while True:
            end = min(wanted_bytes, place.byte_count)
            head += await self._bytes_of(target, place, len(head), end)
            found = pixel_place(head, place.byte_count)
            if found is not NEED_DATA:
                return found
            if end == place.byte_count or wanted_bytes >= MAX_HEAD_BYTES:
                raise LimitExceeded(f"no pixel data in the first {end} bytes of the instance")
            wanted_bytes *= 8

    async def _bytes_of(self, target: Target, place: CodInstance, begin: int, end: int) -> bytes:
        async with self._opened(target, place, begin, end) as reader:
            return await reader.exactly(place.first_byte + begin, end - begin)

    @asynccontextmanager
    async def _opened(
        self, target: Target, place: CodInstance, begin: int, end: int
    ) -> AsyncIterator[SpanReader]:
        """Ask for some bytes of an instance."""
        span = ByteSpan(place.first_byte + begin, place.first_byte + end - 1)
        study, series = target.study_instance_uid, _series_of(target)
        async with self._source.archive(study, series, span) as answer:
            yield SpanReader(answer, span.first, self._tally.count_bytes)
            if answer.first_byte == span.first:
                # So that the connection serves the next span, too.
                await answer.read()

    async def _store_spans(
        self,
        target: Target,
        place: CodInstance,
        frames: _Frames,
        attempt: int,
        *,
        in_items: bool = False,
    ) -> None:
        """Fetch frames, those together that stand together.

        Raises:
            ContentError: If items are expected, and others are there; or if the instance ends
                before its frames do: what is behind it is another one.

        """
        _, last = frames[-1]
        if last.first_byte + last.byte_count > place.byte_count:
            raise ContentError("the instance ends before its frames do")
        extra = ITEM_HEADER_BYTES if in_items else 0
        for run in _runs(frames):
            begin = run[0][1].first_byte - extra
            end = run[-1][1].first_byte + run[-1][1].byte_count
            async with self._opened(target, place, begin, end) as reader:
                for number, span in run:
                    first = place.first_byte + span.first_byte
                    if in_items:
                        check_item(await reader.exactly(first - extra, extra), span)
                    pieces = reader.pieces(first, span.byte_count)
                    await self._store_frame(_frame(target, number), pieces, attempt)

    async def _store_fragments(
        self,
        target: Target,
        place: CodInstance,
        pixels: PixelPlace,
        wanted: Sequence[int],
        attempt: int,
    ) -> None:
        """Take frames out of the whole instance."""
        if place.byte_count > MAX_HELD_BYTES:
            raise LimitExceeded(f"an instance without a table exceeds {MAX_HELD_BYTES} bytes")
        content = await self._bytes_of(target, place, 0, place.byte_count)
        promised = () if place.crc32c is None else (ObjectDigest("crc32c", place.crc32c),)
        digests = RunningDigests(ObjectEntry("", place.byte_count, digests=promised))
        digests.update(content)
        digests.verify()
        frames = fragment_spans(content, pixels)
        for number in wanted:
            pieces = _pieces_of(content, frames[number - 1])
            await self._store_frame(_frame(target, number), pieces, attempt)

    async def _store_frame(
        self, frame: Target, pieces: AsyncIterator[memoryview], attempt: int
    ) -> None:
        series, uid, number = _series_of(frame), frame.sop_instance_uid, frame.frame_number
        path = f"{frame.study_instance_uid}/{series}/instances/{uid}/frames/{number}"
        with self._folder.create(path) as writer:
            file = _Digested(writer)
            async for piece in pieces:
                file.write(piece)
            await self._committer.commit(writer, replace=True)
        self._stored.add(frame)
        self._tally.record(Stored(frame, path, file.byte_count, file.sha256, attempt))


class _Digested:
    """A file that is digested while it is written."""

    def __init__(self, writer: FileWriter) -> None:
        self.byte_count = 0
        self._writer = writer
        self._hash = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self.byte_count += len(data)
        self._hash.update(data)
        self._writer.write(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def _json_of(entry: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(data_set_of(entry))
    except orjson.JSONEncodeError as error:
        raise ProtocolError(f"the metadata of an instance is no JSON: {error}") from error


def _series_of(target: Target) -> Uid:
    assert target.series_instance_uid is not None, "archives are those of series"
    return target.series_instance_uid


def _instance(series: Target, uid: Uid | None) -> Target:
    if uid is None:
        return series
    return Target(Resource.INSTANCE, series.study_instance_uid, series.series_instance_uid, uid)


def _frame(instance: Target, number: int) -> Target:
    uids = (instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)
    return Target(Resource.FRAME, *uids, frame_number=number)


def _chosen(spans: Sequence[Span], numbers: Sequence[int]) -> _Frames:
    return [(number, spans[number - 1]) for number in numbers]


def _runs(frames: _Frames) -> Iterator[_Frames]:
    """Yield frames that are asked for together."""
    run: _Frames = []
    for number, span in frames:
        if run and span.first_byte - run[-1][1].first_byte - run[-1][1].byte_count > GAP_BYTES:
            yield run
            run = []
        run.append((number, span))
    if run:
        yield run


async def _pieces_of(content: bytes, fragments: Sequence[Span]) -> AsyncIterator[memoryview]:
    view = memoryview(content)
    for span in fragments:
        yield view[span.first_byte : span.first_byte + span.byte_count]
