"""Fetch one object from its first byte to its last, through broken connections.

    entry = await WholeFetch(store, "bucket", "key", sink).run()

Rule: a body that breaks continues from the byte that was reached, with If-Match
(RFC 9110 §13.1.1), so that two versions never end in one file; without an entity tag
the time of modification has to be the same. Where a store says neither, it is begun
anew. To continue is no new try as long as bytes came; how often is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asyncdicom.errors import ObjectChanged, ProtocolError, TransportError, Truncated
from asyncdicom.ports.objects import ByteSpan

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.ports.objects import ObjectAnswer, ObjectEntry, ObjectStore

__all__ = [
    "MAX_CONTINUATIONS",
    "Sink",
    "WholeFetch",
    "check_listed",
    "is_as_listed",
    "is_same_version",
]

MAX_CONTINUATIONS = 16
"""Of one try: a server that cuts each answer is then left alone for a while."""


class Sink(Protocol):
    """Takes the bytes of an object in order."""

    def begin(self, entry: ObjectEntry) -> None:
        """Take note of what the answer says of the object, before its first byte."""

    def write(self, data: Buffer) -> None:
        """Take bytes; they are only lent."""


def is_same_version(entry: ObjectEntry, other: ObjectEntry) -> bool:
    """Tell whether two answers speak of one version of an object, as far as the store says so.

    The time of modification stands in where a store knows no entity tags (RFC 9110 §8.8.2.2).
    """
    if entry.byte_count != other.byte_count:
        return False
    if entry.etag is not None or other.etag is not None:
        return entry.etag == other.etag
    return entry.modified_at is not None and entry.modified_at == other.modified_at


def check_listed(entry: ObjectEntry, listed: ObjectEntry) -> None:
    """Refuse another version of an object than the one that was listed.

    Raises:
        Truncated: If an answer of the same version is shorter: it is wrong, or the list is.
        ObjectChanged: If size or entity tag differ otherwise.

    """
    has_etags = entry.etag is not None and listed.etag is not None
    if has_etags and entry.etag == listed.etag and entry.byte_count < listed.byte_count:
        raise Truncated(
            f"an answer of {entry.byte_count} bytes, {listed.byte_count} are listed",
            offset=entry.byte_count,
        )
    if not is_as_listed(entry, listed):
        raise ObjectChanged("the object is not the one that was listed", status_code=412)


def is_as_listed(entry: ObjectEntry, listed: ObjectEntry) -> bool:
    """Tell whether size and, where both say one, entity tag are those that were listed."""
    has_etags = entry.etag is not None and listed.etag is not None
    is_other = has_etags and entry.etag != listed.etag
    return entry.byte_count == listed.byte_count and not is_other


class WholeFetch:
    """One try to fetch an object, with as many requests as it takes."""

    def __init__(self, store: ObjectStore, bucket: str, key: str, sink: Sink) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key
        self._sink = sink
        self._entry: ObjectEntry | None = None
        self._reached = 0

    async def run(self) -> ObjectEntry:
        """Fetch, and return what the store says of the version that came.

        Raises:
            NotFound: If there is no such object (any more).
            ObjectChanged: If it was replaced while it came.
            ProtocolError: If it ended early, or went on behind its end.
            FetchError: If no answer came, or its status says no.

        """
        continuations = 0
        while True:
            before = self._reached
            try:
                return await self._go_on()
            except (TransportError, Truncated):
                if self._reached == before or continuations == MAX_CONTINUATIONS:
                    raise
                entry = self._entry
                if entry is None or not is_same_version(entry, entry):
                    raise
                if self._reached == entry.byte_count:
                    raise  # There is nothing left to ask for: a store refuses that for good.
            continuations += 1

    async def _go_on(self) -> ObjectEntry:
        """Make one request for what is left."""
        span = ByteSpan(self._reached) if self._reached else None
        etag = self._entry.etag if self._entry is not None else None
        async with self._store.fetch(self._bucket, self._key, span=span, etag=etag) as answer:
            if self._entry is None:
                self._entry = answer.entry
                self._sink.begin(self._entry)
            elif not is_same_version(answer.entry, self._entry):
                raise ObjectChanged("the object was replaced while it came", status_code=412)
            await self._read(answer, self._entry.byte_count)
        if self._reached < self._entry.byte_count:
            raise Truncated(
                f"an object of {self._entry.byte_count} bytes ended early", offset=self._reached
            )
        return self._entry

    async def _read(self, answer: ObjectAnswer, byte_count: int) -> None:
        # A server that ignores ranges sends all of it again.
        again_bytes = self._reached - answer.first_byte
        while data := await answer.read():
            if again_bytes:
                dropped = min(again_bytes, len(data))
                data = data[dropped:]
                again_bytes -= dropped
            if self._reached + len(data) > byte_count:
                raise ProtocolError(f"an object of {byte_count} bytes goes on", offset=byte_count)
            self._sink.write(data)
            self._reached += len(data)
