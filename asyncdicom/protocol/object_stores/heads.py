"""The head of an answer to GET or HEAD of an object: what it says of the whole object.

Rule: size and position decide what is written where, so they are read strictly. 206 needs its
Content-Range; 200 with one is such an answer, too (rclone); 200 without is the whole object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import ProtocolError, UnexpectedContent
from asyncdicom.protocol.http_fields import content_length, content_range
from asyncdicom.protocol.object_stores.values import ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from asyncdicom.model import Header
    from asyncdicom.protocol.object_stores.values import ByteSpan, ObjectDigest

__all__ = ["byte_range_of", "coded_on_the_way", "entry_of_head", "fields_of", "place_of"]


_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: f"{number:02}" for number, name in enumerate(_NAMES, 1)}


def fields_of(headers: Collection[Header]) -> dict[str, str]:
    """Return fields by their names in lower case; repeated ones are joined (RFC 9110 §5.2)."""
    fields = dict(headers)
    if len(fields) == len(headers) and "".join(fields).islower():
        return fields  # as nearly always
    fields = {}
    for name, value in headers:
        key = name.lower()
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    return fields


def byte_range_of(span: ByteSpan) -> str:
    """Return the value of Range for a span (RFC 9110 §14.2)."""
    last = "" if span.last is None else span.last
    return f"bytes={span.first}-{last}"


def place_of(status_code: int, fields: Mapping[str, str], span: ByteSpan | None) -> tuple[int, int]:
    """Return the offset of the first byte of an answer, and the size of the whole object.

    Args:
        status_code: 200 or 206.
        fields: Of the answer (`fields_of`).
        span: What was asked for, or None for all.

    Raises:
        ProtocolError: If the answer is other bytes than asked for, or does not say which.

    """
    said = fields.get("content-range")
    if said is None:
        if status_code == 206:
            raise ProtocolError("a part of the object without saying which")
        return 0, _size_of(fields)
    if span is None:
        raise ProtocolError("a part of the object was not asked for")
    place = content_range(said)
    first, last, size = place.first_byte, place.last_byte, place.complete_bytes
    if first is None or last is None or size is None:
        raise ProtocolError("Content-Range does not say which part of how much")
    end = size - 1 if span.last is None else min(span.last, size - 1)
    if first != span.first or last != end:
        raise ProtocolError("another part of the object than asked for")
    length = _length_of(fields)
    if length is not None and length != last - first + 1:
        raise ProtocolError("Content-Length and Content-Range contradict each other")
    return first, size


def _size_of(fields: Mapping[str, str]) -> int:
    length = _length_of(fields)
    stored = fields.get("x-goog-stored-content-length")
    if stored is not None:
        # What is put on for the way changes Content-Length.
        length = content_length((stored,))
    if length is None:
        raise ProtocolError("the answer does not say how large the object is")
    return length


def _length_of(fields: Mapping[str, str]) -> int | None:
    value = fields.get("content-length")
    return None if value is None else content_length((value,))


def coded_on_the_way(fields: Mapping[str, str]) -> str | None:
    """Return the content-coding that was put on for the way only, or None.

    A Content-Encoding belongs to the object, whose bytes are as they were stored. Only Google says
    besides how it is stored.

    Raises:
        UnexpectedContent: If it is stored with a coding that was taken off on the way.

    """
    stored = fields.get("x-goog-stored-content-encoding")
    if stored is None:
        return None
    sent = fields.get("content-encoding", "identity")
    if sent == stored:
        return None
    if stored != "identity":
        raise UnexpectedContent("the store sends the object otherwise than it is stored")
    return sent


def entry_of_head(
    key: str, byte_count: int, fields: Mapping[str, str], digests: tuple[ObjectDigest, ...] = ()
) -> ObjectEntry:
    """Return what a head says of an object."""
    # A weak tag says that a version is as good, not that its bytes are the same, and If-Match
    # compares no weak ones (RFC 9110 §8.8.1, §13.1.1).
    etag = fields.get("etag", "")
    return ObjectEntry(
        key,
        byte_count,
        None if etag.startswith("W/") else etag.strip('"') or None,
        _rfc3339(fields.get("last-modified")),
        digests,
    )


def _rfc3339(date: str | None) -> str | None:
    """Rewrite a date of HTTP (RFC 9110 §5.6.7, the preferred format) as lists have it."""
    if date is None or len(date) != 29:
        return None
    month = _MONTHS.get(date[8:11])
    return month and f"{date[12:16]}-{month}-{date[5:7]}T{date[17:25]}Z"
