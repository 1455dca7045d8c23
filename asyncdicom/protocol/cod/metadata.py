"""Read `metadata.json` of a series: where in the archive each instance is (COD 1.0 and 2.0).

    reader = MetadataReader(study, series)
    for chunk in chunks:
        reader.receive_data(chunk)
        while (found := reader.next_event()) is not NEED_DATA:
            ...                                 # CodInstance | RefusedInstance
    reader.receive_eof()

Facts of the format: an instance is named by the key that its member of the archive has,
which in a store of hashed UIDs is not the UID that the file itself says; both are kept
here. Version 1.0 (also where none is told) has the DICOM JSON inline, version 2.0 as base64
of Zstandard, and the UIDs of the file beside it. The document may be compressed with gzip,
whatever its fields of HTTP say.

Rule: `size` counts. `end_byte` is behind the last byte in what is written now, and was the
last byte in what was written once.

Rule: one instance that cannot be had is refused by name; the others are not.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from asyncdicom.errors import (
    AsyncDicomError,
    ContentError,
    LimitExceeded,
    ProtocolError,
    UnexpectedContent,
)
from asyncdicom.model import Uid, is_uid
from asyncdicom.protocol.cod.json_members import JsonMember, JsonMembers, MemberLimits
from asyncdicom.protocol.cod.places import is_place_of
from asyncdicom.protocol.content_coding import Decoder
from asyncdicom.protocol.payload_events import NEED_DATA, NeedData

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.model import Buffer

__all__ = [
    "CodInstance",
    "MetadataReader",
    "OwnUids",
    "RefusedInstance",
    "SeriesEntry",
    "crc32c_of",
    "data_set_of",
]

MAX_DATA_SET_BYTES = 256 * 1024 * 1024
"""DICOM JSON of one instance, inflated. Enhanced multi-frame objects have up to 30 MB."""

_VERSIONS: Final = ("2.0", "1.0", None)
_INSTANCES: Final = ("cod", "instances")
_OPENED: Final = frozenset({("cod",), _INSTANCES})
_NAMES_OF_UIDS: Final = {
    ("study_uid",): ("study", False),
    ("deid_study_uid",): ("study", True),
    ("series_uid",): ("series", False),
    ("deid_series_uid",): ("series", True),
}
_GZIP: Final = b"\x1f\x8b"
_MAX_OFFSET: Final = 1 << 62
_SHOWN_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class OwnUids:
    """What the file of an instance says it is; other than its key where UIDs are hashed."""

    sop_instance_uid: Uid | None
    series_instance_uid: Uid | None
    study_instance_uid: Uid | None


@dataclass(frozen=True, slots=True)
class CodInstance:
    """Where an instance is, and what proves it."""

    sop_instance_uid: Uid
    """Its key in the store."""
    first_byte: int
    """Of the file, in the archive."""
    byte_count: int
    crc32c: bytes | None
    """Four bytes, big-endian; None if nobody said."""
    own: OwnUids
    entry: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """All that the metadata says of it, where that was asked for."""


@dataclass(frozen=True, slots=True)
class RefusedInstance:
    """An entry that nothing can be fetched by."""

    sop_instance_uid: Uid | None
    """Its key, if that is a UID."""
    error: AsyncDicomError


SeriesEntry: TypeAlias = CodInstance | RefusedInstance


class MetadataReader:
    """Reads the metadata of one series, pushed in chunks of any size."""

    def __init__(
        self,
        study: Uid,
        series: Uid,
        *,
        limits: MemberLimits | None = None,
        keeps_entries: bool = False,
    ) -> None:
        """Prepare.

        Args:
            study: Its Study Instance UID, as the store names it.
            series: Its Series Instance UID.
            limits: What is refused.
            keeps_entries: Hand over all that is said of an instance, data set included.

        """
        self._keeps_entries = keeps_entries
        self._uids = {"study": study, "series": series}
        self._members = JsonMembers(_OPENED, limits)
        self._decoder: Decoder | None = None
        self._head: bytes | None = b""
        self._seen: set[str] = set()
        self._is_hashed = False
        self._is_another = False

    def receive_data(self, data: Buffer) -> None:
        """Store bytes.

        Raises:
            ProtocolError: If gzip is damaged.
            LimitExceeded: If it grows out of all proportion.

        """
        if self._head is not None:
            # RFC 1952 §2.3.1: two bytes tell gzip from JSON.
            data = self._head + bytes(data)
            self._head = data if len(data) < len(_GZIP) else None
            if self._head is not None:
                return
            self._decoder = Decoder() if data.startswith(_GZIP) else None
        if self._decoder is None:
            self._members.receive_data(data)
        else:
            for piece in self._decoder.decode(data):
                self._members.receive_data(piece)

    def next_event(self) -> SeriesEntry | NeedData:
        """Return the next instance, or `NEED_DATA`.

        Raises:
            ProtocolError: If this is no such document.
            ContentError: If it is that of another series.

        """
        while (member := self._members.next_event()) is not NEED_DATA:
            if member.path[:-1] == _INSTANCES:
                return self._entry(member)
            self._note(member)
        return NEED_DATA

    def receive_eof(self) -> None:
        """Confirm that the document is whole.

        Raises:
            Truncated: If it ends early.
            ContentError: If it says nothing of instances, be it that there are none; or an
                instance is another one than its key says, and nothing is hashed.

        """
        if self._head:
            self._members.receive_data(self._head)
        if self._decoder is not None:
            self._decoder.end()
        self._members.receive_eof()
        if _INSTANCES not in self._members.entered:
            raise UnexpectedContent("the metadata says nothing of instances")
        if self._is_another and not self._is_hashed:
            raise ContentError("the metadata holds instances under UIDs that are not theirs")

    def _note(self, member: JsonMember) -> None:
        """Compare the UIDs of the series; what else users put there does not matter here."""
        if member.path not in _NAMES_OF_UIDS:
            return
        level, is_hashed = _NAMES_OF_UIDS[member.path]
        self._is_hashed = self._is_hashed or is_hashed
        found, wanted = _parsed(member), self._uids[level]
        if found != wanted:
            raise UnexpectedContent(f"the metadata is of another {level} than {wanted}")

    def _entry(self, member: JsonMember) -> SeriesEntry:
        key = member.path[-1]
        uid = Uid(key) if is_uid(key) else None
        if uid is None:
            shown = f"{key[:_SHOWN_CHARACTERS]!a}"
            return RefusedInstance(None, ContentError(f"the metadata has an instance {shown}"))
        if uid in self._seen:
            return RefusedInstance(uid, ContentError(f"the metadata has instance {uid} twice"))
        self._seen.add(uid)
        try:
            entry = _parsed(member)
            found = _instance(uid, self._uids, entry)
        except ContentError as error:
            return RefusedInstance(uid, error)
        own = found.own.sop_instance_uid
        if own is not None and own != uid:
            self._is_another = True
        return replace(found, entry=entry) if self._keeps_entries else found


def _parsed(member: JsonMember) -> Any:
    try:
        return _loads(member.value)
    except ValueError as error:
        raise ProtocolError("the metadata is damaged", offset=member.offset) from error


def _loads(text: bytes) -> Any:
    """Parse JSON; also where NaN and Infinity are numbers, as Python writes them.

    Raises:
        ValueError: If it is none.

    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested without end") from error


def _instance(uid: Uid, parents: dict[str, Uid], entry: Any) -> CodInstance:
    """Read what the metadata says of an instance.

    Raises:
        ContentError: If it cannot be fetched by that.

    """
    if not isinstance(entry, dict):
        raise ContentError(f"the metadata says nothing of instance {uid}")
    if (version := entry.get("version")) not in _VERSIONS:
        shown = ascii(str(version)[:_SHOWN_CHARACTERS])
        raise ContentError(f"metadata of the unknown version {shown} for instance {uid}")
    uri = entry.get("uri", entry.get("url"))
    if not isinstance(uri, str) or not is_place_of(uri, parents["study"], parents["series"], uid):
        raise ContentError(f"the metadata has instance {uid} outside of the archive of its series")
    first, count = _span(uid, entry)
    own = _own_uids(entry, (uid, parents["series"], parents["study"]))
    return CodInstance(uid, first, count, crc32c_of(entry.get("crc32c"), uid), own)


def _span(uid: Uid, entry: dict[str, Any]) -> tuple[int, int]:
    headers = entry.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    first, end = _count(headers.get("start_byte")), _count(headers.get("end_byte"))
    count = _count(entry.get("size"))
    if count < 1 <= first < end and entry.get("size") is None:
        count = end - first
    if first < 1 or count < 1:
        raise ContentError(f"the metadata does not say where instance {uid} is")
    return first, count


def _count(value: Any) -> int:
    """Return a count of bytes, or -1 if it is none."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value < _MAX_OFFSET
    return value if is_count else -1


def crc32c_of(text: Any, uid: Uid) -> bytes | None:
    """Read a checksum.

    Raises:
        ContentError: If it is none.

    """
    if text is None:
        return None
    try:
        value = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ContentError(f"the checksum of instance {uid} is none") from error
    if len(value) != 4:
        raise ContentError(f"the checksum of instance {uid} is none")
    return value


def _own_uids(entry: dict[str, Any], names: tuple[Uid, Uid, Uid]) -> OwnUids:
    """Return what the file says it is, as far as the metadata tells.

    Args:
        entry: Of the instance.
        names: What the store calls instance, series and study: mostly the same, and then the
            same objects, as there may be very many.

    """
    inline = entry.get("metadata")
    if isinstance(inline, dict):
        told = [_first_value(inline.get(tag)) for tag in ("00080018", "0020000E", "0020000D")]
    else:
        told = [entry.get(name) for name in ("instance_uid", "series_uid", "study_uid")]
    pairs = zip(told, names, strict=True)
    return OwnUids(*(name if one == name else _uid(one) for one, name in pairs))


def _first_value(element: Any) -> Any:
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _uid(text: Any) -> Uid | None:
    return Uid(text) if isinstance(text, str) and is_uid(text) else None


def data_set_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data set of an entry in the DICOM JSON Model (PS3.18 Annex F).

    A BulkDataURI is a string there; the writer has an object with the URI and the first bytes.

    Raises:
        ProtocolError: If it is damaged.
        LimitExceeded: If it inflates to more than `MAX_DATA_SET_BYTES`.

    """
    found = entry.get("metadata")
    if isinstance(found, str):
        found = _inflated(found)
    if not isinstance(found, dict):
        raise ProtocolError("the metadata of an instance is no data set")
    _mend_bulk_data(found)
    return found


def _inflated(text: str) -> Any:
    # Imported here: a download needs none of it.
    import zstandard  # noqa: PLC0415 -- lazy on purpose

    try:
        packed = base64.b64decode(text, validate=True)
        reader = zstandard.ZstdDecompressor().stream_reader(packed)
        content = reader.read(MAX_DATA_SET_BYTES + 1)
        if len(content) > MAX_DATA_SET_BYTES:
            raise LimitExceeded(f"metadata of an instance exceeds {MAX_DATA_SET_BYTES} bytes")
        return _loads(content)
    except (ValueError, zstandard.ZstdError) as error:
        raise ProtocolError("the metadata of an instance is damaged") from error


def _mend_bulk_data(data_set: dict[str, Any]) -> None:
    waiting = [data_set]
    while waiting:
        for element in waiting.pop().values():
            if not isinstance(element, dict):
                continue
            uri = element.get("BulkDataURI")
            if isinstance(uri, dict):
                element["BulkDataURI"] = str(uri.get("uri", ""))
            if element.get("vr") == "SQ" and isinstance(element.get("Value"), list):
                waiting += [item for item in element["Value"] if isinstance(item, dict)]
