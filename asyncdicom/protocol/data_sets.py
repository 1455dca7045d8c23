"""Parts of data sets in memory: a few elements of a file, copied into another (PS3.5 §7).

    found = collect(file.elements(frozenset([0x00100010])), file.source)
    record = b"".join(map(encoded, found.values()))     # Explicit VR Little Endian

Rule: text is copied as it stands, never decoded and encoded again; whoever copies it
copies the Specific Character Set as well (`needs_character_set`).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import LimitExceeded
from asyncdicom.protocol.data_elements import (
    SHORT_VRS,
    ElementFound,
    FragmentsFound,
    ItemBegan,
    SequenceBegan,
    SequenceEnded,
)
from asyncdicom.protocol.data_values import BINARY_VRS, NUMBER_BYTES, swapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.data_elements import Event, Source

__all__ = [
    "DataElement",
    "Item",
    "collect",
    "encoded",
    "encoded_item",
    "items_of",
    "needs_character_set",
]

MAX_COLLECTED_BYTES: Final = 16 * 1024 * 1024
"""Of one data set. Names and dates take hundreds, the content of a report some megabytes."""


@dataclass(frozen=True, slots=True)
class DataElement:
    """An element with its value, or the items of a sequence."""

    tag: int
    vr: str
    raw: bytes = b""
    """Value in little endian; empty for a sequence."""
    items: tuple[Item, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is no value, or nothing but padding."""
        return not self.items and not self.raw.strip(b" \\\0")


Item = dict[int, DataElement]
"""Elements of a data set or an item, by tag, in the order of the file."""


def collect(events: Iterator[Event], source: Source) -> Item:
    """Collect elements; encapsulated pixel data is left out.

    Args:
        events: Of an `ElementReader` that hands out no more than what is wanted.
        source: Where the values are.

    Raises:
        LimitExceeded: If they are too large to be held.
        ProtocolError: As the events.

    """
    collector = _Collector(source, events)
    found: Item = {}
    for event in events:
        if isinstance(event, ElementFound):
            found[event.tag] = collector.element(event)
        elif isinstance(event, SequenceBegan):
            found[event.tag] = DataElement(event.tag, "SQ", items=collector.items())
    return found


def items_of(events: Iterator[Event], source: Source) -> Iterator[tuple[int, Item]]:
    """Yield offset and elements of each item of a sequence that has begun.

    Sequences in an item are read with it, so the next end is that of the sequence itself.

    Args:
        events: Just behind the `SequenceBegan`.
        source: Where the values are.

    Raises:
        LimitExceeded: If one item is too large to be held.
        ProtocolError: As the events.

    """
    offset, item = -1, Item()
    for event in events:  # pragma: no branch -- a sequence ends, or its events raise
        if isinstance(event, SequenceEnded):
            break
        if isinstance(event, ItemBegan):
            if offset >= 0:
                yield offset, item
            offset, item = event.offset, {}
            collector = _Collector(source, events)
        elif isinstance(event, SequenceBegan):
            items = collector.items()
            item[event.tag] = DataElement(event.tag, "SQ", items=items)
        elif isinstance(event, ElementFound):
            item[event.tag] = collector.element(event)
    if offset >= 0:
        yield offset, item


class _Collector:
    """Reads values, in bounds."""

    def __init__(self, source: Source, events: Iterator[Event]) -> None:
        self._source = source
        self._events = events
        self._room_bytes = MAX_COLLECTED_BYTES

    def element(self, event: ElementFound) -> DataElement:
        self._room_bytes -= event.byte_count
        if self._room_bytes < 0:
            raise LimitExceeded(
                f"what is to be copied has more than {MAX_COLLECTED_BYTES} bytes",
                offset=event.offset,
            )
        raw = self._source.read(event.offset, event.byte_count)
        if event.encoding.is_big_endian:
            raw = swapped(event.vr, raw)
        return DataElement(event.tag, event.vr, raw)

    def items(self) -> tuple[Item, ...]:
        """Read to the end of a sequence; encapsulated values in it are left out."""
        items: list[Item] = []
        for event in self._events:  # pragma: no branch -- as above
            if isinstance(event, SequenceEnded):
                break
            if isinstance(event, FragmentsFound):
                continue
            if isinstance(event, ItemBegan):
                items.append({})
            elif isinstance(event, SequenceBegan):
                inner = self.items()
                items[-1][event.tag] = DataElement(event.tag, "SQ", items=inner)
            else:
                items[-1][event.tag] = self.element(event)
        return tuple(items)


_SHORT_HEADER: Final = Struct("<HH2sH").pack
_LONG_HEADER: Final = Struct("<HH2sHI").pack
_ITEM_HEADER: Final = Struct("<HHI").pack


def encoded(element: DataElement) -> bytes:
    """Encode an element in Explicit VR Little Endian (PS3.5 §7.1.2), with defined lengths."""
    value = element.raw or b"".join(map(encoded_item, element.items))
    if len(value) % 2:
        # PS3.5 §6.2: text is padded by a blank; UIDs and bytes by a NUL.
        value += b"\0" if element.vr in BINARY_VRS or element.vr == "UI" else b" "
    group, number, vr = element.tag >> 16, element.tag & 0xFFFF, element.vr
    if vr in SHORT_VRS:
        if len(value) <= 0xFFFF:
            return _SHORT_HEADER(group, number, vr.encode(), len(value)) + value
        vr = "UN"  # PS3.5 §6.2.2: what is too long for its VR
    return _LONG_HEADER(group, number, vr.encode(), 0, len(value)) + value


def encoded_item(item: Item) -> bytes:
    """Encode an item of a sequence (PS3.5 §7.5)."""
    content = b"".join(encoded(item[tag]) for tag in sorted(item))
    return _ITEM_HEADER(0xFFFE, 0xE000, len(content)) + content


def needs_character_set(element: DataElement) -> bool:
    """Tell whether text in it is more than the default repertoire (PS3.3 §C.12.1.1.2)."""
    if element.items:
        return any(needs_character_set(one) for item in element.items for one in item.values())
    if element.vr in NUMBER_BYTES or element.vr in BINARY_VRS:
        return False
    return not element.raw.isascii() or b"\x1b" in element.raw
