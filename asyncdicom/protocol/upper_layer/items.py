"""Items and sub-items of A-ASSOCIATE PDUs: type, reserved byte, length, value (PS3.8 §9.3.1).

Rule (limits): each item and each UID in a list is counted, as one of four bytes on the
wire becomes an object of a hundred here.

Rule (padding): NUL and blanks around text are dropped. The Standard pads AE titles with
blanks and UIDs not at all (PS3.8 §F); peers pad both with either.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from asyncdicom.errors import ConfigError, LimitExceeded, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_ITEMS", "Item", "ItemReader", "write_item", "write_sized", "write_text"]

MAX_ITEMS = 16 * 1024
"""Items and sub-items of one PDU: twice as many as 128 contexts of 60 transfer syntaxes have."""

_ITEM = struct.Struct(">BBH")
_LENGTH = struct.Struct(">H")
_PADDING = " \0"


class Item(NamedTuple):
    """Where an item stands in its PDU."""

    item_type: int
    second_byte: int
    """Reserved, but for one sub-item (PS3.7 Table D.3-12)."""
    start: int
    """Index of the first byte of its value."""
    end: int


class ItemReader:
    """Reads the items of one PDU. Cost: O(n); offsets in errors count from its first byte."""

    def __init__(self, data: bytes, *, max_items: int = MAX_ITEMS) -> None:
        self.data = data
        self._max_items = max_items
        self._count = 0

    def items(self, start: int, end: int) -> Iterator[Item]:
        """Yield the items between two indices.

        Raises:
            ProtocolError: If one reaches beyond.
            LimitExceeded: If they are more than anybody needs.

        """
        while start < end:
            self.count_one(start)
            if end - start < _ITEM.size:
                raise ProtocolError("an item is cut", offset=start)
            item_type, second_byte, length = _ITEM.unpack_from(self.data, start)
            value = start + _ITEM.size
            if value + length > end:
                raise ProtocolError(
                    f"item {item_type:02X} is longer than what it is in", offset=start
                )
            yield Item(item_type, second_byte, value, value + length)
            start = value + length

    def count_one(self, offset: int) -> None:
        """Count an item, or something that costs as much."""
        self._count += 1
        if self._count > self._max_items:
            raise LimitExceeded(f"more than {self._max_items} items", offset=offset)

    def text(self, start: int, end: int) -> str:
        """Return text without its padding."""
        return self.data[start:end].decode("latin-1").strip(_PADDING)

    def sized(self, start: int, end: int) -> tuple[int, int]:
        """Return where the value behind a length of two bytes begins and ends.

        Raises:
            ProtocolError: If it reaches beyond.

        """
        if end - start < _LENGTH.size:
            raise ProtocolError("a length is cut", offset=start)
        (length,) = _LENGTH.unpack_from(self.data, start)
        value = start + _LENGTH.size
        if value + length > end:
            raise ProtocolError("a value is longer than the item it is in", offset=start)
        return value, value + length

    def exact(self, item: Item, length: int) -> int:
        """Return where a value of known length begins.

        Raises:
            ProtocolError: If it has another length.

        """
        if item.end - item.start != length:
            raise ProtocolError(
                f"item {item.item_type:02X} has {item.end - item.start} bytes, not {length}",
                offset=item.start,
            )
        return item.start


def write_item(item_type: int, *value: bytes, second_byte: int = 0) -> bytes:
    """Write an item.

    Raises:
        ConfigError: If its value has more than 65,535 bytes.

    """
    joined = b"".join(value)
    _check_length(joined, item_type)
    return _ITEM.pack(item_type, second_byte, len(joined)) + joined


def write_sized(value: bytes) -> bytes:
    """Write a value behind a length of two bytes.

    Raises:
        ConfigError: If it has more than 65,535 bytes.

    """
    _check_length(value)
    return _LENGTH.pack(len(value)) + value


def _check_length(value: bytes, item_type: int | None = None) -> None:
    if len(value) > 0xFFFF:
        where = "a value" if item_type is None else f"item {item_type:02X}"
        raise ConfigError(f"{where} of {len(value)} bytes does not fit into an association request")


def write_text(text: str) -> bytes:
    """Write text without padding.

    Raises:
        ConfigError: If characters are not of ISO 8859-1.

    """
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ConfigError(f"{text[:64]!r} cannot be sent in an association request") from error
