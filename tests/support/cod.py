"""Cloud-Optimized DICOM stores as their writer lays them out, and a store in memory to hold them.

    store = CodObjects()
    store.add_series([ct(number=1), ct(number=2)])
    async with memory.fetch(...)                    # ports.objects.ObjectStore

The layout was compared with stores that the writer made itself (`tests/e2e/test_cod_writer.py`).
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import google_crc32c
import pydicom
import zstandard

from asyncdicom.errors import AsyncDicomError, NotFound
from asyncdicom.model import Uid
from asyncdicom.ports.objects import ListingPage, ObjectEntry
from asyncdicom.protocol.cod.places import CodRoot, metadata_key, tar_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from asyncdicom.ports.objects import ByteSpan

__all__ = ["ROOT", "CodObjects", "Fault", "MemoryCodStore", "SeriesMaker", "hashed"]

ROOT = CodRoot("bucket", "p/dicomweb")
PIECE_BYTES = 4096


def hashed(uid: str) -> str:
    """Hash a UID as a store of hashed UIDs may."""
    return f"{uid}.77"


@dataclass
class SeriesMaker:
    """Makes the objects of one series."""

    instances: list[bytes]
    version: str | None = "2.0"
    is_hashed: bool = False
    is_gzipped: bool = True
    change: Callable[[dict[str, Any]], None] = lambda document: None
    """Is given the metadata before it is written."""
    study: Uid = field(init=False)
    series: Uid = field(init=False)

    def __post_init__(self) -> None:
        first = pydicom.dcmread(io.BytesIO(self.instances[0]), stop_before_pixels=True)
        name = hashed if self.is_hashed else str
        self.study = Uid(name(first.StudyInstanceUID))
        self.series = Uid(name(first.SeriesInstanceUID))

    def uid_of(self, content: bytes) -> Uid:
        """Return the key of an instance."""
        dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        return Uid(hashed(dataset.SOPInstanceUID) if self.is_hashed else dataset.SOPInstanceUID)

    def make(self, root: CodRoot = ROOT) -> dict[str, bytes]:
        """Return content by key."""
        archive = io.BytesIO()
        entries: dict[str, Any] = {}
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for content in self.instances:
                uid = self.uid_of(content)
                info = tarfile.TarInfo(f"instances/{uid}.dcm")
                info.size = len(content)
                info.pax_headers = {"mtime": "1767225600.123456789"}
                start = tar.offset + 1536
                tar.addfile(info, io.BytesIO(content))
                entries[uid] = self._entry(uid, content, start, root)
        names = (
            ("deid_study_uid", "deid_series_uid") if self.is_hashed else ("study_uid", "series_uid")
        )
        document = dict(zip(names, (self.study, self.series), strict=True))
        whole: dict[str, Any] = {**document, "cod": {"instances": entries}}
        self.change(whole)
        text = json.dumps(whole).encode()
        return {
            tar_key(root, self.study, self.series): archive.getvalue(),
            metadata_key(root, self.study, self.series): gzip.compress(text)
            if self.is_gzipped
            else text,
        }

    def _entry(self, uid: Uid, content: bytes, start: int, root: CodRoot) -> dict[str, Any]:
        dataset = pydicom.dcmread(io.BytesIO(content))
        data_set = dataset.to_json_dict(bulk_data_threshold=1024, bulk_data_element_handler=_bulk)
        data_set.update(dataset.file_meta.to_json_dict())
        crc32c = google_crc32c.value(content).to_bytes(4, "big")
        entry = {
            "metadata": data_set,
            "uri": f"gs://{root.bucket}/{tar_key(root, self.study, self.series)}://instances/{uid}.dcm",
            "headers": {"start_byte": start, "end_byte": start + len(content)},
            "offset_tables": {},
            "crc32c": base64.b64encode(crc32c).decode(),
            "size": len(content),
        }
        if self.version is not None:
            entry["version"] = self.version
        if self.version == "2.0":
            packed = zstandard.compress(json.dumps(data_set).encode())
            entry["metadata"] = base64.b64encode(packed).decode()
            entry["instance_uid"] = str(dataset.SOPInstanceUID)
            entry["series_uid"] = str(dataset.SeriesInstanceUID)
            entry["study_uid"] = str(dataset.StudyInstanceUID)
        return entry


def _bulk(element: pydicom.DataElement) -> Any:
    return {"uri": "gs://bucket/x", "head": str(element.tag)}


class CodObjects(dict[str, bytes]):
    """Objects of a store by key."""

    def add_series(self, instances: Iterable[bytes], **how: Any) -> SeriesMaker:
        """Add a series and return what made it."""
        maker = SeriesMaker(list(instances), **how)
        self.update(maker.make())
        return maker


@dataclass
class Fault:
    """What one request for a key meets: an error, or a body that is cut."""

    error: AsyncDicomError | None
    """None for a body that ends as if it were whole."""
    after_bytes: int | None = None
    """Of the answer; None for no answer at all."""


class _Answer:
    def __init__(
        self, entry: ObjectEntry, first_byte: int, body: bytes, fault: Fault | None
    ) -> None:
        self.entry = entry
        self.first_byte = first_byte
        self._body = body if fault is None else body[: fault.after_bytes]
        self._fault = fault

    async def read(self) -> bytes:
        piece, self._body = self._body[:PIECE_BYTES], self._body[PIECE_BYTES:]
        if not piece and self._fault is not None and self._fault.error is not None:
            raise self._fault.error
        return piece


class MemoryCodStore:
    """Implements `ports.objects.ObjectStore` over a dictionary.

    Attributes:
        asked: What was asked for, in order.

    """

    scheme = "gs"

    def __init__(
        self,
        objects: dict[str, bytes],
        *,
        faults: dict[str, list[Fault | None]] | None = None,
        page_length: int = 1000,
        honours_ranges: bool = True,
    ) -> None:
        self.asked: list[str] = []
        self._objects = objects
        self._faults = {key: deque(list_) for key, list_ in (faults or {}).items()}
        self._page_length = page_length
        self._honours_ranges = honours_ranges

    async def page(
        self, bucket: str, prefix: str, *, delimiter: str = "", continuation: str | None = None
    ) -> ListingPage:
        """List a page of names, common prefixes among them."""
        self.asked.append(f"list {prefix}")
        self._meet(prefix)
        if bucket != ROOT.bucket:
            raise NotFound("no such bucket", status_code=404)
        names: set[str] = set()
        for key in self._objects:
            if key.startswith(prefix):
                rest, found, _ = key.removeprefix(prefix).partition(delimiter or "\0")
                names.add(prefix + rest + found)
        there = sorted(name for name in names if name > (continuation or ""))
        page = there[: self._page_length]
        return ListingPage(
            tuple(self._entry(name) for name in page if name in self._objects),
            tuple(name for name in page if name not in self._objects),
            page[-1] if len(there) > len(page) else None,
        )

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Answer a HEAD."""
        assert bucket == ROOT.bucket
        return self._entry(key)

    @asynccontextmanager
    async def fetch(
        self, bucket: str, key: str, *, span: ByteSpan | None = None, etag: str | None = None
    ) -> AsyncIterator[_Answer]:
        """Answer a GET."""
        assert (bucket, etag) == (ROOT.bucket, None)
        shown = "" if span is None else f" {span.first}-{'' if span.last is None else span.last}"
        self.asked.append(f"get {key.rpartition('/')[2]}{shown}")
        fault = self._meet(key)
        entry, content, first = self._entry(key), self._objects[key], 0
        if span is not None and self._honours_ranges:
            first = span.first
            content = content[first : None if span.last is None else span.last + 1]
        yield _Answer(entry, first, content, fault)

    def _entry(self, key: str) -> ObjectEntry:
        if key not in self._objects:
            raise NotFound("no such object", status_code=404)
        return ObjectEntry(key, len(self._objects[key]))

    def _meet(self, key: str) -> Fault | None:
        waiting = self._faults.get(key)
        fault = waiting.popleft() if waiting else None
        if fault is not None and fault.after_bytes is None:
            assert fault.error is not None, "no answer has a reason"
            raise fault.error
        return fault
