"""What a store says of its objects, whichever interface it says it through."""

from __future__ import annotations

from asyncdicom.records import dataclass

__all__ = ["ByteSpan", "ListingPage", "ObjectDigest", "ObjectEntry"]


@dataclass(frozen=True, slots=True)
class ByteSpan:
    """Bytes of an object, both ends included as in RFC 9110 §14.1.2."""

    first: int
    last: int | None = None
    """None for the end of the object."""


@dataclass(frozen=True, slots=True)
class ObjectDigest:
    """A digest that a store promises for a whole object."""

    algorithm: str
    """`md5`, `crc32c`, `crc32`, `sha1`, `sha256` or `crc64nvme`."""
    value: bytes


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """What a store says of one object."""

    key: str
    byte_count: int
    etag: str | None = None
    """Without its quotes; None where the store says none (rclone without a hash)."""
    modified_at: str | None = None
    """As the store wrote it (RFC 3339)."""
    digests: tuple[ObjectDigest, ...] = ()
    """What can be compared with the bytes; empty where the ETag is no digest."""
    part_bytes: int | None = None
    """Size of the parts it was uploaded in, where the store says so."""


@dataclass(frozen=True, slots=True)
class ListingPage:
    """Some of the objects below a prefix."""

    entries: tuple[ObjectEntry, ...]
    prefixes: tuple[str, ...] = ()
    """Common prefixes, where a delimiter was asked for."""
    continuation: str | None = None
    """What the next page is asked for with, or None behind the last one."""
