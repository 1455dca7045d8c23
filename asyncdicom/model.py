"""What is fetched, and what became of it, in the Standard's terms (PS3.3 §7, PS3.4 §C.6).

A *target* is one thing that can be asked of a source; an *outcome* says what
became of it. A target that fails is an outcome, never an exception that
crosses the scheduler.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NewType, TypeAlias

from asyncdicom.errors import AsyncDicomError, InvalidUid
from asyncdicom.records import dataclass

__all__ = [
    "AnyTarget",
    "Buffer",
    "Failed",
    "Header",
    "ObjectTarget",
    "Outcome",
    "Resource",
    "SearchTarget",
    "Skipped",
    "Stored",
    "Target",
    "Uid",
    "is_uid",
    "parse_uid",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes as the network delivered them; foreign buffer types are wrapped in a memoryview."""

Header: TypeAlias = tuple[str, str]
"""Field name as received (HTTP/2: lower case) and value."""

Uid = NewType("Uid", str)
"""A validated UID: safe as a file name and as a path segment of a URL."""

MAX_UID_CHARACTERS = 64
"""PS3.5 §9.1: a UID shall not be longer than 64 characters."""

# PS3.5 §9.1 also forbids leading zeros in a component. Archives hold such
# UIDs all the same, and they harm nobody, so they pass.
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")


def is_uid(text: str) -> bool:
    """Tell whether text is digits and dots, 1 to 64 characters (PS3.5 §9.1)."""
    return len(text) <= MAX_UID_CHARACTERS and _UID.fullmatch(text) is not None


def parse_uid(text: str) -> Uid:
    """Validate a UID.

    Args:
        text: UID; blanks and NUL padding around it are dropped (PS3.5 §6.2).

    Raises:
        InvalidUid: If it is empty, too long, or holds more than digits and dots.

    """
    stripped = text.strip(" \0\t\r\n")
    if is_uid(stripped):
        return Uid(stripped)
    shown = stripped if len(stripped) <= MAX_UID_CHARACTERS else stripped[:61] + "..."
    raise InvalidUid(
        f"not a UID: {shown!r}", hint="a UID is digits and dots, at most 64 characters"
    )


class Resource(StrEnum):
    """Kinds of resources of a DICOMweb service (PS3.18 §10.4.1.1)."""

    STUDY = "study"
    """All instances of a study, in one answer."""
    SERIES = "series"
    """All instances of a series, in one answer."""
    INSTANCE = "instance"
    """One instance as a Part 10 file."""
    METADATA = "metadata"
    """Metadata of a study, series or instance, in the DICOM JSON Model."""
    FRAME = "frame"
    """One frame of the pixel data."""
    BULKDATA = "bulkdata"
    """A value that the metadata points to with a BulkDataURI."""
    RENDERED = "rendered"
    """A rendered image of a study, series, instance or frame."""
    THUMBNAIL = "thumbnail"
    """A thumbnail of a study, series or instance."""
    SEARCH = "search"
    """A QIDO-RS answer: the series of a study, or the instances of a series."""
    OBJECT = "object"
    """One object of an object store; nothing that DICOMweb knows."""
    LISTING = "listing"
    """The objects below one prefix of an object store."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that can be asked of a DICOMweb source.

    The deepest UID that is present gives the level.
    """

    resource: Resource
    study_instance_uid: Uid
    series_instance_uid: Uid | None = None
    sop_instance_uid: Uid | None = None
    frame_number: int | None = None
    """From 1 (PS3.18 §10.4.1.1.3)."""
    bulkdata_uri: str | None = None
    """As the metadata wrote it, relative or absolute."""
    attribute: str | None = None
    """Tags that lead to the bulkdata, as in `52009229.1.00280030`."""

    def __str__(self) -> str:
        uids = (self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)
        parts = [self.resource.value, *(uid for uid in uids if uid is not None)]
        if self.frame_number is not None:
            parts.append(f"frame {self.frame_number}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class SearchTarget:
    """A search of a whole service: it belongs to no study, so it is no `Target`."""

    path: str
    """Below the root, without the query (which may name patients)."""

    @property
    def resource(self) -> Resource:
        """`Resource.SEARCH`."""
        return Resource.SEARCH

    def __str__(self) -> str:
        return f"search {self.path}"


@dataclass(frozen=True, slots=True)
class ObjectTarget:
    """One object of an object store, or all objects below a prefix."""

    scheme: str
    """Which kind of store: `s3` or `gs`."""
    bucket: str
    key: str
    """Of the object; of a listing, the prefix."""
    resource: Resource = Resource.OBJECT
    study_instance_uid: Uid | None = None
    """Where an index says which study, series or instance it is of."""
    series_instance_uid: Uid | None = None
    sop_instance_uid: Uid | None = None

    @property
    def url(self) -> str:
        """`s3://bucket/key`, without an endpoint, a query or credentials."""
        return f"{self.scheme}://{self.bucket}/{self.key}"

    def __str__(self) -> str:
        return f"{self.resource.value} {self.url}"


AnyTarget: TypeAlias = Target | ObjectTarget


@dataclass(frozen=True, slots=True)
class Stored:
    """The target is on disk, whole and verified."""

    target: AnyTarget
    path: str
    """Relative to the output folder."""
    byte_count: int
    sha256: str
    """Of the file, in lower-case hexadecimal digits."""
    attempts: int = 1
    remarks: tuple[str, ...] = ()
    """What is odd about it, though it is what the server holds."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The target was on disk before, and was verified again; nothing was fetched."""

    target: AnyTarget
    path: str
    byte_count: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The target is missing, and this is why."""

    target: AnyTarget
    error: AsyncDicomError
    attempts: int = 1


Outcome: TypeAlias = Stored | Skipped | Failed
