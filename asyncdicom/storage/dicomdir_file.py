"""The DICOMDIR file: its tree of records as bytes, and back (PS3.3 §F.3, PS3.10 §8.6).

    file_set = read_directory(fd)              # or FileSet.new()
    file_set.roots[...] = Record(...)
    for piece in encoded_directory(file_set): ...

Records point at each other by their places in the file: to the next one of the same entity
(0004,1400), and to the first one of the entity below (0004,1420). They are written in the order
of the tree, each in front of what is below it, so that every place is known before a byte of the
sequence is written.

Rule: a DICOMDIR is foreign input. What it points at is followed only to records that are there,
to each of them once, and not deeper than `MAX_DEPTH`; the names of files in it are texts here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from itertools import zip_longest
from struct import Struct
from typing import TYPE_CHECKING, Final, Self

from asyncdicom.errors import ContentError, LimitExceeded, ProtocolError
from asyncdicom.protocol.data_elements import SequenceBegan
from asyncdicom.protocol.data_sets import DataElement, collect, encoded, items_of
from asyncdicom.protocol.data_values import values_of
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.storage.data_dictionary import vr_of
from asyncdicom.storage.dicom_source import open_dicom_file
from asyncdicom.storage.dicomdir_records import DIRECTORY_SOP_CLASS_UID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.data_sets import Item
    from asyncdicom.storage.dicom_source import DicomFile

__all__ = [
    "FILE_ID",
    "IDENTITIES",
    "RECORD_TYPE",
    "FileSet",
    "Record",
    "encoded_directory",
    "order_of",
    "read_directory",
    "text_in",
]

MAX_DEPTH: Final = 8
"""Records below records. PS3.3 §F.4 has four levels; private ones may add to them."""

_EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
_MAX_OFFSET: Final = 0xFFFFFFFE
"""PS3.3 §F.3.2.2: places are 32-bit numbers."""

_FILE_SET_ID: Final = 0x00041130
_DESCRIPTION: Final = (_FILE_SET_ID, 0x00041141, 0x00041142)
"""File-set ID, and the file that describes the file-set with its character set (PS3.3 §F.3.2.1)."""
_FIRST: Final = 0x00041200
_LAST: Final = 0x00041202
_CONSISTENCY: Final = 0x00041212
_RECORDS: Final = 0x00041220
_HEAD: Final = frozenset([*_DESCRIPTION, _FIRST])
_NEXT: Final = 0x00041400
_IN_USE: Final = 0x00041410
_LOWER: Final = 0x00041420
RECORD_TYPE: Final = 0x00041430
FILE_ID: Final = 0x00041500
# (0004,1504) and (0004,1600) belong to retired records that several others point at.
_LINKS: Final = frozenset([_NEXT, _IN_USE, _LOWER, 0x00041504, 0x00041600])

_LINK_ELEMENTS: Final = Struct("<HH2sHI HH2sHH HH2sHI").pack
_ITEM: Final = Struct("<HHI").pack
_ITEM_BYTES: Final = 8
_LINK_BYTES: Final = 12 + 10 + 12
_SEQUENCE_HEADER_BYTES: Final = 12


@dataclass(slots=True)
class Record:
    """A directory record."""

    type: str
    """Directory Record Type (0004,1430)."""
    identity: str
    """What makes two records of one type and entity the same."""
    order: tuple[int, str]
    """Where it stands among the records of its entity."""
    content: bytes
    """All its elements behind the links, encoded."""
    file_id: str = ""
    """Path of the file that it references, components separated by `/`."""
    sop_instance_uid: str = ""
    children: dict[tuple[str, str], Record] = field(default_factory=dict)
    """By type and identity."""
    is_former: bool = False
    """Whether it was read from a DICOMDIR, so that an instance may renew it."""

    @property
    def key(self) -> tuple[str, str]:
        """Its place in `children`."""
        return self.type, self.identity

    def sorted_children(self) -> list[Record]:
        """Return what is below it, in order."""
        return sorted(self.children.values(), key=lambda record: record.order)


@dataclass(slots=True)
class FileSet:
    """What a DICOMDIR says."""

    uid: str
    """Its Media Storage SOP Instance UID identifies the file-set (PS3.10 §8.6)."""
    description: dict[int, DataElement]
    """Elements that describe the file-set as a whole."""
    root: Record
    """Stands for the root directory entity; its children are those that belong there."""

    @classmethod
    def new(cls) -> Self:
        """Return an empty file-set with a UID of its own."""
        uid = f"2.25.{uuid.uuid4().int}"  # PS3.5 §B.2
        return cls(uid, {_FILE_SET_ID: DataElement(_FILE_SET_ID, "CS")}, empty_root())


def empty_root() -> Record:
    """Return a root directory entity without records."""
    return Record("", "", (0, ""), b"")


@dataclass(frozen=True, slots=True)
class _DirectoryIdentity:
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    calling_ae: str = ""


def encoded_directory(file_set: FileSet) -> Iterator[bytes]:
    """Yield a DICOMDIR in pieces: Explicit VR Little Endian, defined lengths.

    Raises:
        LimitExceeded: If it gets too long for its own offsets.

    """
    identity = _DirectoryIdentity(DIRECTORY_SOP_CLASS_UID, file_set.uid, _EXPLICIT_LITTLE_ENDIAN)
    head = file_meta(identity)
    description = b"".join(map(encoded, file_set.description.values()))
    start = len(head) + len(description) + 2 * 12 + 10 + _SEQUENCE_HEADER_BYTES
    places, end = _places(file_set.root, start)
    if end > _MAX_OFFSET:
        raise LimitExceeded(f"a DICOMDIR cannot have more than {_MAX_OFFSET} bytes")
    roots = [places[id(record)] for record in file_set.root.sorted_children()]
    yield head + description
    yield encoded(_number(_FIRST, "UL", roots[0] if roots else 0))
    yield encoded(_number(_LAST, "UL", roots[-1] if roots else 0))
    # PS3.3 §F.3.2.2: 0000 says that no inconsistency is known.
    yield encoded(_number(_CONSISTENCY, "US", 0))
    yield Struct("<HH2sHI").pack(0x0004, 0x1220, b"SQ", 0, end - start)
    yield from _encoded_records(file_set.root, places)


def _places(root: Record, start: int) -> tuple[dict[int, int], int]:
    """Return the offset of each record, by its `id`, and where they end."""
    places: dict[int, int] = {}
    at = start
    for record, _ in _in_order(root):
        places[id(record)] = at
        at += _ITEM_BYTES + _LINK_BYTES + len(record.content)
    return places, at


def _in_order(entity: Record) -> Iterator[tuple[Record, Record | None]]:
    """Yield the records below one in the order of the file, each with the next of its entity."""
    children = entity.sorted_children()
    for record, following in zip_longest(children, children[1:]):
        yield record, following
        yield from _in_order(record)


def _encoded_records(root: Record, places: dict[int, int]) -> Iterator[bytes]:
    for record, following in _in_order(root):
        first_below = min(record.children.values(), key=lambda below: below.order, default=None)
        links = _LINK_ELEMENTS(
            *(0x0004, 0x1400, b"UL", 4, 0 if following is None else places[id(following)]),
            # PS3.3 §F.3.2.2: FFFF is "in use".
            *(0x0004, 0x1410, b"US", 2, 0xFFFF),
            *(0x0004, 0x1420, b"UL", 4, 0 if first_below is None else places[id(first_below)]),
        )
        yield _ITEM(0xFFFE, 0xE000, _LINK_BYTES + len(record.content)) + links + record.content


def _number(tag: int, vr: str, value: int) -> DataElement:
    return DataElement(tag, vr, value.to_bytes(4 if vr == "UL" else 2, "little"))


def read_directory(fd: int) -> FileSet:
    """Read a DICOMDIR.

    Args:
        fd: Open for reading; the caller closes it.

    Raises:
        ProtocolError: If it is damaged, or points at records that are not there.
        ContentError: If it is a DICOM file, but no DICOMDIR.
        StorageError: If the disk fails.

    """
    with open_dicom_file(fd, vr_of=vr_of) as file:
        if file.meta_text(0x00020002) != DIRECTORY_SOP_CLASS_UID or file.is_inflated:
            raise ContentError("not a DICOMDIR")
        head = collect(file.elements(_HEAD), file.source)
        root = _Tree(_items(file)).read(_integer(head, _FIRST))
        description = {_FILE_SET_ID: DataElement(_FILE_SET_ID, "CS")}
        description |= {tag: head[tag] for tag in _DESCRIPTION if tag in head}
        return FileSet(file.meta_text(0x00020003), description, root)


def _items(file: DicomFile) -> dict[int, Item]:
    """Return the records by their places."""
    events = file.elements(frozenset([_RECORDS]))
    for event in events:
        if isinstance(event, SequenceBegan) and event.tag == _RECORDS:
            return dict(items_of(events, file.source))
    return {}


class _Tree:
    """Follows the links of a foreign DICOMDIR."""

    def __init__(self, items: dict[int, Item]) -> None:
        self._items = items

    def read(self, first: int) -> Record:
        root = empty_root()
        self._read_entity(root, first, depth=1)
        return root

    def _read_entity(self, parent: Record, place: int, *, depth: int) -> None:
        if depth > MAX_DEPTH and place:
            raise LimitExceeded(f"records are nested more than {MAX_DEPTH} deep", offset=place)
        while place:
            # Taken away, so that no circle is walked twice.
            item = self._items.pop(place, None)
            if item is None:
                raise ProtocolError("a link leads to no record, or back to one", offset=place)
            record = _record_of(item, place)
            if _integer(item, _IN_USE):
                if record.key in parent.children and not record.file_id:
                    # Two patients of two hospitals may have one ID: each keeps what is below it.
                    record.identity += f" at {place}"
                parent.children[record.key] = record
                self._read_entity(record, _integer(item, _LOWER), depth=depth + 1)
            place = _integer(item, _NEXT)


IDENTITIES: Final = {"PATIENT": 0x00100020, "STUDY": 0x0020000D, "SERIES": 0x0020000E}


def _record_of(item: Item, place: int) -> Record:
    type_ = text_in(item, RECORD_TYPE)
    if not type_:
        raise ProtocolError("a record says no type", offset=place)
    path = "/".join(map(str, values_in(item, FILE_ID)))
    identity = path or text_in(item, IDENTITIES.get(type_, 0)) or f"at {place}"
    content = b"".join(encoded(item[tag]) for tag in sorted(item) if tag not in _LINKS)
    order = order_of(type_, item, identity)
    uid = text_in(item, 0x00041511)
    return Record(type_, identity, order, content, path, uid, is_former=True)


def order_of(record_type: str, item: Item, identity: str) -> tuple[int, str]:
    """Return where a record stands: studies by date, the others by number, then by identity."""
    if record_type == "PATIENT":
        return 0, identity
    if record_type == "STUDY":
        return 0, f"{text_in(item, 0x00080020)} {text_in(item, 0x00080030)} {identity}"
    numbers = values_in(item, 0x00200011 if record_type == "SERIES" else 0x00200013)
    number = numbers[0] if numbers and isinstance(numbers[0], int) else 0
    return number, identity


def values_in(item: Item, tag: int) -> list[str | int | float]:
    element = item.get(tag)
    return [] if element is None else values_of(element.vr, element.raw)


def text_in(item: Item, tag: int) -> str:
    """Return an element of an item as text, without its padding; empty if there is none."""
    return "\\".join(map(str, values_in(item, tag)))


def _integer(item: Item, tag: int) -> int:
    values = values_in(item, tag)
    return values[0] if values and isinstance(values[0], int) else 0
