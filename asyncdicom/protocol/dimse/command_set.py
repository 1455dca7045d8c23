r"""Command sets: group 0000 in implicit VR little endian (PS3.7 §6.3.1, Annex E).

    elements = decode_command_set(data)         # {0x0100: b"\x30\x00", ...}
    data = encode_command_set(elements)

Rule: refused is what leaves the structure undecidable: lengths that do not add up, a
group length that says otherwise, an element that occurs twice. Unknown and retired
elements, their order, odd lengths and a missing group length pass: the end of a command
set is told by its last fragment anyway.

Rule (status detail): elements of other groups pass behind group 0000, outside of its
group length. DCMTK and Orthanc put the Failed SOP Instance UID List there.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.model import Buffer

__all__ = [
    "MAX_COMMAND_SET_BYTES",
    "MAX_ELEMENTS",
    "NO_DATA_SET",
    "CommandField",
    "Element",
    "Priority",
    "decode_command_set",
    "encode_command_set",
    "raw_element",
    "text_element",
    "uid_element",
    "us_element",
    "us_value",
    "value_spans",
    "with_group_length",
]

MAX_COMMAND_SET_BYTES: Final = 256 * 1024
"""A C-STORE-RQ has under 300 bytes. The longest that is meant is the final C-GET-RSP of
Orthanc with the UIDs of failed sub-operations: this is room for 4,000 of the longest."""

MAX_ELEMENTS: Final = 128
"""PS3.7 §E.1 and §E.2 (retired ones) know about 90; the group length is not counted."""

NO_DATA_SET: Final = 0x0101
"""Of (0000,0800): no data set follows; any other value says that one does (PS3.7 §E.1)."""


class CommandField(IntEnum):
    """Values of (0000,0100) (PS3.7 §E.1)."""

    C_STORE_RQ = 0x0001
    C_GET_RQ = 0x0010
    C_FIND_RQ = 0x0020
    C_MOVE_RQ = 0x0021
    C_ECHO_RQ = 0x0030
    C_CANCEL_RQ = 0x0FFF
    C_STORE_RSP = 0x8001
    C_GET_RSP = 0x8010
    C_FIND_RSP = 0x8020
    C_MOVE_RSP = 0x8021
    C_ECHO_RSP = 0x8030


class Priority(IntEnum):
    """Values of (0000,0700) (PS3.7 §E.1)."""

    MEDIUM = 0
    HIGH = 1
    LOW = 2


class Element:
    """Tags of a command set (PS3.7 §E.1); those of group 0000 are their element numbers."""

    GROUP_LENGTH: Final = 0x0000
    AFFECTED_SOP_CLASS_UID: Final = 0x0002
    COMMAND_FIELD: Final = 0x0100
    MESSAGE_ID: Final = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO: Final = 0x0120
    MOVE_DESTINATION: Final = 0x0600
    PRIORITY: Final = 0x0700
    COMMAND_DATA_SET_TYPE: Final = 0x0800
    STATUS: Final = 0x0900
    OFFENDING_ELEMENT: Final = 0x0901
    ERROR_COMMENT: Final = 0x0902
    ERROR_ID: Final = 0x0903
    AFFECTED_SOP_INSTANCE_UID: Final = 0x1000
    REMAINING_SUB_OPERATIONS: Final = 0x1020
    COMPLETED_SUB_OPERATIONS: Final = 0x1021
    FAILED_SUB_OPERATIONS: Final = 0x1022
    WARNING_SUB_OPERATIONS: Final = 0x1023
    MOVE_ORIGINATOR_AE_TITLE: Final = 0x1030
    MOVE_ORIGINATOR_MESSAGE_ID: Final = 0x1031
    FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058
    """Of the status detail."""


_HEADER: Final = Struct("<HHI")
_US_ELEMENT: Final = Struct("<HHIH")
_GROUP_LENGTH: Final = Struct("<HHII")
_unpack_header: Final = _HEADER.unpack_from
_GROUP_LENGTH_BYTES: Final = 12
_LAST_OWN: Final = 0xFFFF


def decode_command_set(data: Buffer) -> dict[int, bytes]:
    """Take a command set apart.

    Returns:
        Tag to value, as it came, with padding; without the group length.

    Raises:
        Truncated: If it ends inside of an element.
        ProtocolError: If it is no command set.
        LimitExceeded: If it is longer, or has more elements, than anybody needs.

    """
    end = len(data)
    if end > MAX_COMMAND_SET_BYTES:
        raise LimitExceeded(f"command set of {end} bytes")
    raw = bytes(data)
    elements: dict[int, bytes] = {}
    at = count = own_end = 0
    while at + 8 <= end:
        group, tag, length = _unpack_header(raw, at)
        start = at + 8
        at = start + length
        if group:
            tag |= group << 16
        elif own_end != start - 8:
            raise ProtocolError("group 0000 goes on behind another group", offset=start - 8)
        else:
            own_end = at
        elements[tag] = raw[start:at]
        count += 1
    if at != end:
        raise Truncated("the command set ends inside of an element", offset=end)
    _check(elements, count, raw[:own_end])
    return elements


def _check(elements: dict[int, bytes], count: int, raw: bytes) -> None:
    if len(elements) != count:
        raise ProtocolError("an element of the command set occurs twice")
    # PS3.7 §E.1: (0000,0000) is the number of bytes from the end of its value to the
    # end of the command set.
    value = elements.pop(Element.GROUP_LENGTH, None)
    if len(elements) > MAX_ELEMENTS:
        raise LimitExceeded(f"command set of {len(elements)} elements")
    if value is None:
        return
    if raw[:8] != b"\0\0\0\0\4\0\0\0":
        raise ProtocolError("the group length does not begin the command set")
    if int.from_bytes(value, "little") != len(raw) - _GROUP_LENGTH_BYTES:
        raise ProtocolError("the group length is not that of the command set", offset=8)


def value_spans(raw: bytes) -> dict[int, tuple[int, int]]:
    """Return where the values of a command set that was decoded start and end, by tag."""
    spans: dict[int, tuple[int, int]] = {}
    at = 0
    while at < len(raw):
        group, tag, length = _unpack_header(raw, at)
        start, at = at + 8, at + 8 + length
        spans[group << 16 | tag] = (start, at)
    return spans


def encode_command_set(elements: Mapping[int, bytes]) -> bytes:
    """Write elements in their order, group length first.

    Args:
        elements: Tag to value; odd ones get a NUL behind them.

    Raises:
        LimitExceeded: If the command set gets longer than `MAX_COMMAND_SET_BYTES`.

    """
    tags = sorted(elements)
    own = [raw_element(tag, elements[tag]) for tag in tags if tag <= _LAST_OWN]
    detail = [raw_element(tag, elements[tag]) for tag in tags if tag > _LAST_OWN]
    return with_group_length(*own, status_detail=b"".join(detail))


def with_group_length(*elements: bytes, status_detail: bytes = b"") -> bytes:
    """Join encoded elements, which stand in their order, behind their group length."""
    body = b"".join(elements)
    if _GROUP_LENGTH_BYTES + len(body) + len(status_detail) > MAX_COMMAND_SET_BYTES:
        raise LimitExceeded(f"command set of {len(body) + len(status_detail)} bytes")
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body + status_detail


def raw_element(tag: int, value: bytes) -> bytes:
    """Write an element; an odd value gets a NUL behind it."""
    # PS3.5 §7.1.1: the value has an even number of bytes.
    padded = value + b"\0" if len(value) & 1 else value
    return _HEADER.pack(tag >> 16, tag & 0xFFFF, len(padded)) + padded


def us_element(tag: int, value: int) -> bytes:
    """Write an element of VR US, 0 to FFFF."""
    return _US_ELEMENT.pack(0, tag, 2, value)


def uid_element(tag: int, uid: str) -> bytes:
    """Write an element of VR UI, or nothing for an empty UID."""
    return raw_element(tag, _encoded(uid)) if uid else b""


def text_element(tag: int, text: str) -> bytes:
    """Write an element of VR AE or LO, padded with a blank, or nothing for an empty text."""
    value = _encoded(text)
    return raw_element(tag, value + b" " if len(value) & 1 else value) if value else b""


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise UsageError("a command set holds characters of one byte only") from None


def us_value(elements: Mapping[int, bytes], tag: int) -> int | None:
    """Read an element of VR US; None if it is absent or empty.

    Raises:
        ProtocolError: If it has another length than two bytes.

    """
    value = elements.get(tag)
    if not value:
        return None
    if len(value) != 2:
        raise ProtocolError(f"(0000,{tag:04X}) has {len(value)} bytes, not two")
    return value[0] | value[1] << 8
