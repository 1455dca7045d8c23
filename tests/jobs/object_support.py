"""An object store in memory with scripted faults, and object jobs driven over it to their end."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio.lowlevel

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import AsyncDicomError, NotFound, ObjectChanged, OriginError
from asyncdicom.jobs.object_groups import ObjectGroup
from asyncdicom.jobs.object_job import ObjectJob, ObjectOptions
from asyncdicom.jobs.object_keeper import ObjectKeeper
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.ports.objects import ListingPage, ObjectDigest, ObjectEntry
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.object_names import KeyNaming
from tests.jobs.support import IMPATIENT, Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from asyncdicom.engine.scheduler import SchedulerSettings
    from asyncdicom.model import Buffer
    from asyncdicom.ports.objects import ByteSpan

__all__ = ["Cut", "MemoryAnswer", "MemoryStore", "fetch_objects", "group_of", "open_keeper"]

PIECE_BYTES = 64 * 1024


@dataclass
class Cut:
    """A body that ends after so many bytes, silently or with an error."""

    after_bytes: int
    error: AsyncDicomError | None = None


class MemoryAnswer:
    """Implements `ports.objects.ObjectAnswer`."""

    def __init__(self, entry: ObjectEntry, first_byte: int, body: bytes, cut: Cut | None) -> None:
        self.entry = entry
        self.first_byte = first_byte
        self._body = body if cut is None else body[: cut.after_bytes]
        self._error = None if cut is None else cut.error

    async def read(self) -> Buffer:
        """Return the next piece."""
        await anyio.lowlevel.checkpoint()
        piece, self._body = self._body[:PIECE_BYTES], self._body[PIECE_BYTES:]
        if not piece and self._error is not None:
            raise self._error
        return piece


@dataclass
class MemoryStore:
    """Implements `ports.objects.ObjectStore` over a dictionary, one bucket.

    Attributes:
        objects: Content by key.
        faults: What the next requests for a key meet; popped one by one.
        promised: Algorithm and digest by key.
        page_objects: Objects on a page.
        asked: What was asked for, in order.
        most_at_once: Requests that were under way at the same time.

    """

    objects: Mapping[str, bytes]
    faults: dict[str, list[Cut | AsyncDicomError | None]] = field(default_factory=dict)
    promised: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    page_objects: int = 1000
    has_etags: bool = True
    is_encrypted: bool = False
    """Whether ETags only look like MD5s, as with keys of the customer; heads tell."""
    has_times: bool = True
    honours_ranges: bool = True
    asked: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _under_way: int = field(default=0, init=False)
    scheme: str = "s3"

    def __post_init__(self) -> None:
        self._faults = {key: deque(faults) for key, faults in self.faults.items()}

    def entry_of(self, key: str) -> ObjectEntry:
        """Return what the store says of an object."""
        content = self.objects[key]
        hidden = b"key" if self.is_encrypted else b""
        md5 = hashlib.md5(hidden + content, usedforsecurity=False).hexdigest()
        etag = md5 if self.has_etags else None
        modified_at = "2026-11-30T00:00:00Z" if self.has_times else None
        digests = (ObjectDigest(*self.promised[key]),) if key in self.promised else ()
        return ObjectEntry(key, len(content), etag, modified_at, digests)

    async def page(
        self, bucket: str, prefix: str, *, delimiter: str = "", continuation: str | None = None
    ) -> ListingPage:
        """List a page; the token is the last key."""
        self.asked.append(f"list {prefix} {continuation or ''}".strip())
        self._fail(f"list {prefix}")
        if bucket != "bucket":
            raise NotFound("no such bucket", status_code=404)
        keys = [
            k for k in sorted(self.objects) if k.startswith(prefix) and k > (continuation or "")
        ]
        there = keys[: self.page_objects]
        more = there[-1] if len(keys) > len(there) else None
        return ListingPage(tuple(map(self.entry_of, there)), (), more)

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Answer a HEAD."""
        self.asked.append(f"head {key}")
        self._require(key)
        entry = self.entry_of(key)
        if entry.etag is None or entry.digests or self.is_encrypted:
            return entry
        return replace(entry, digests=(ObjectDigest("md5", bytes.fromhex(entry.etag)),))

    @asynccontextmanager
    async def fetch(
        self, bucket: str, key: str, *, span: ByteSpan | None = None, etag: str | None = None
    ) -> AsyncIterator[MemoryAnswer]:
        """Answer a GET."""
        shown = "" if span is None else f" {span.first}-{'' if span.last is None else span.last}"
        self.asked.append(f"get {key}{shown}")
        fault = self._fail(key)
        self._require(key)
        entry, content = self.entry_of(key), self.objects[key]
        if etag not in (None, entry.etag):
            raise ObjectChanged("another version", status_code=412)
        first = 0
        if span is not None and self.honours_ranges:
            if span.first >= len(content):  # RFC 9110 §15.5.17
                raise OriginError("the object ends before", status_code=416)
            first = span.first
            content = content[first : None if span.last is None else span.last + 1]
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            yield MemoryAnswer(entry, first, content, fault)
        finally:
            self._under_way -= 1

    def counts(self) -> Counter[str]:
        """Return how often each kind of request was made."""
        return Counter(line.split()[0] for line in self.asked)

    def _require(self, key: str) -> None:
        if key not in self.objects:
            raise NotFound("no such object", status_code=404)

    def _fail(self, key: str) -> Cut | None:
        faults = self._faults.get(key)
        fault = faults.popleft() if faults else None
        if isinstance(fault, AsyncDicomError):
            raise fault
        return fault


def group_of(prefix: str = "", **further: object) -> ObjectGroup:
    """Return a group named by keys."""
    return ObjectGroup("bucket", prefix, **{"naming": KeyNaming(prefix), **further})  # type: ignore[arg-type]  # -- a test names what it wants


@asynccontextmanager
async def open_keeper(
    path: Path, *, durability: Durability = Durability.NONE, **further: object
) -> AsyncIterator[ObjectKeeper]:
    """Open a folder for objects."""
    with OutputFolder.open(path, durability=durability) as folder:
        async with ObjectKeeper(folder, **further) as keeper:  # type: ignore[arg-type]  # -- as above
            yield keeper


async def fetch_objects(
    store: MemoryStore,
    keeper: ObjectKeeper,
    groups: Iterable[ObjectGroup] | None = None,
    *,
    options: ObjectOptions | None = None,
    settings: SchedulerSettings = IMPATIENT,
) -> Run:
    """Run a job to its end."""
    run = Run()
    tally = Tally([run])
    job = ObjectJob(store, keeper, tally, options)
    scheduler = Scheduler(job, settings, observe=tally.tell)
    first = job.tasks([group_of()] if groups is None else groups)
    run.ended = await run_job(job, first, scheduler=scheduler, tally=tally)
    return run
