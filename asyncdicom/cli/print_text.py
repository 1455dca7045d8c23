"""A DICOM file as text, in the form of odil; pixel data is measured, never read.

    write_text(file, stream, ShownParts(has_header=True))

Strategy: two passes over the headers. The first finds the widest name and how many
items each sequence has, because both stand in front of what they are about; the
second writes. So memory does not grow with the data set, and a damaged file is shown
up to where it is damaged.

Where odil prints something else: it does not know the newest VRs, private creators and
repeating groups (6000,3000), reads some VRs of implicit data sets as UN, prints nothing
of deflated ones, and splits text at a backslash before it decodes it.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from asyncdicom.cli.aligned import Line, binary, counted, encoded, sequence
from asyncdicom.cli.print_context import Context
from asyncdicom.errors import FetchError
from asyncdicom.protocol.data_elements import (
    ElementFound,
    FragmentsFound,
    ItemBegan,
    SequenceBegan,
)
from asyncdicom.protocol.data_values import BINARY_VRS, values_of
from asyncdicom.storage.data_dictionary import name_of, uid_name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.data_elements import Event
    from asyncdicom.protocol.data_values import Value
    from asyncdicom.storage.dicom_source import DicomFile

__all__ = ["ShownParts", "write_text"]

MAX_SHOWN_BYTES: Final = 1024 * 1024
"""Of one value; what is longer is told by its size."""

_GROUP_LENGTH: Final = 0x00020000


@dataclass(frozen=True, slots=True)
class ShownParts:
    """What is shown of a file."""

    has_header: bool = False
    """Group 0002 as well, without its group length, as odil does."""
    has_uid_names: bool = False
    """Names in the place of UIDs of the Standard."""


def write_text(file: DicomFile, stream: IO[bytes], parts: ShownParts) -> None:
    """Write a file.

    Raises:
        FetchError: If the file is damaged; what stands before the damage was written.

    """
    survey = _Survey()
    header = [_meta_line(element, parts) for element in file.meta if element[0] != _GROUP_LENGTH]
    if parts.has_header:
        survey.widest = max((len(line.name) for line in header), default=0)
    _look_through(file, survey)
    if parts.has_header:
        stream.writelines(encoded(line, survey.widest) for line in header)
        stream.write(b"\n")
    for line in _Lines(file, parts, survey).of(file.elements()):
        stream.write(encoded(line, survey.widest))


@dataclass(slots=True)
class _Survey:
    """What has to be known before the first line."""

    widest: int = 0
    """Name, with its indent, in characters."""
    item_counts: array[int] = field(default_factory=lambda: array("Q"))
    """Of the sequences, in the order in which they begin."""


def _look_through(file: DicomFile, survey: _Survey) -> None:
    open_sequences: list[int] = []
    try:
        for event in file.elements():
            if isinstance(event, ItemBegan):
                survey.item_counts[open_sequences[-1]] += 1
                continue
            if isinstance(event, SequenceBegan):
                open_sequences.append(len(survey.item_counts))
                survey.item_counts.append(0)
            if isinstance(event, ElementFound | SequenceBegan | FragmentsFound):
                survey.widest = max(survey.widest, len(_name(event.tag, event.depth)))
            else:
                open_sequences.pop()
    except FetchError:
        # The second pass meets it again, behind what can be shown.
        return


class _Lines:
    """The second pass."""

    def __init__(self, file: DicomFile, parts: ShownParts, survey: _Survey) -> None:
        self._file = file
        self._parts = parts
        self._item_counts = iter(survey.item_counts)
        self._context = Context()
        self._items_begun: list[int] = []

    def of(self, events: Iterator[Event]) -> Iterator[Line]:
        """Make the lines."""
        for event in events:
            match event:
                case ElementFound():
                    shown = self._value(event)
                    yield _line(event.tag, self._context.vr(event), event.depth, shown)
                case FragmentsFound():
                    shown = binary(event.fragment_bytes)
                    yield _line(event.tag, event.vr, event.depth, shown)
                case SequenceBegan():
                    self._items_begun.append(0)
                    yield _line(event.tag, "SQ", event.depth, sequence(next(self._item_counts)))
                case ItemBegan():
                    if self._items_begun[-1]:
                        yield Line("")
                    self._items_begun[-1] += 1
                    self._context.enter_item(event.depth)
                case _:
                    self._items_begun.pop()

    def _value(self, element: ElementFound) -> str:
        vr, byte_count = element.vr, element.byte_count
        if vr in BINARY_VRS:
            return binary([byte_count] if byte_count else [])
        if byte_count > MAX_SHOWN_BYTES:
            return f"(not shown, {counted(byte_count, 'byte')})"
        raw = self._file.source.read(element.offset, byte_count)
        return _list(vr, self._context.values(element, raw), self._parts)


def _list(vr: str, values: list[Value], parts: ShownParts) -> str:
    if vr == "UI" and parts.has_uid_names:
        return repr([uid_name_of(str(value)) for value in values])
    return repr(values)


def _meta_line(element: tuple[int, str, bytes], parts: ShownParts) -> Line:
    tag, vr, raw = element
    if vr in BINARY_VRS:
        return _line(tag, vr, 0, binary([len(raw)] if raw else []))
    return _line(tag, vr, 0, _list(vr, values_of(vr, raw), parts))


def _line(tag: int, vr: str, depth: int, shown: str) -> Line:
    return Line(_name(tag, depth), f"{_tag(tag)} {vr} {shown}")


def _name(tag: int, depth: int) -> str:
    return "  " * depth + (name_of(tag) or _tag(tag))


def _tag(tag: int) -> str:
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"
