"""PDUs as a second reader sees them: all bytes at once, sliced, sharing no code with the first.

`canonical` says in which bytes a PDU that was decoded has to be written again; `framed`
what a stream consists of.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Framed", "Value", "canonical", "framed"]

Split = list[tuple[int, int, bytes]]
Value = tuple[int, bool, bytes]
"""Context ID, whether it is a command, data."""


def _split(data: bytes) -> Split:
    items = []
    while data:
        length = int.from_bytes(data[2:4], "big")
        items.append((data[0], data[1], data[4 : 4 + length]))
        data = data[4 + length :]
    return items


def _item(item_type: int, value: bytes, second_byte: int = 0) -> bytes:
    return bytes((item_type, second_byte)) + len(value).to_bytes(2, "big") + value


def _strip(value: bytes) -> bytes:
    return value.strip(b" \0")


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _take_sized(value: bytes) -> tuple[bytes, bytes]:
    end = 2 + int.from_bytes(value[:2], "big")
    return value[2:end], value[end:]


def canonical(data: bytes) -> bytes:
    """Return a sound PDU in the Standard's order, without padding, reserved fields 0."""
    kind = data[0]
    if kind == 3:
        return data[:1] + b"\0" + data[2:6] + b"\0" + data[7:]
    if kind in (5, 6):
        return data[:1] + b"\0" + data[2:6] + bytes(4)
    if kind == 7:
        return data[:1] + b"\0" + data[2:6] + b"\0\0" + data[8:]
    titles = b"".join(_strip(data[at : at + 16]).ljust(16) for at in (10, 26))
    items = [_canonical_item(kind, one) for one in _split(data[74:])]
    order = {0x10: 0, 0x1F + kind: 1, 0x50: 2}
    items.sort(key=lambda one: order.get(one[0], 3) if one else 3)
    value = data[6:8] + b"\0\0" + titles + bytes(32) + b"".join(items)
    return data[:1] + b"\0" + len(value).to_bytes(4, "big") + value


def _canonical_item(kind: int, item: tuple[int, int, bytes]) -> bytes:
    item_type, _, value = item
    if item_type == 0x10:
        return _item(0x10, _strip(value)) if _strip(value) else b""
    if item_type == 0x50:
        return _item(0x50, b"".join(map(_canonical_sub_item, _split(value)))) if value else b""
    if item_type == 0x1F + kind:
        return _item(item_type, _canonical_context(kind, value))
    return _item(item_type, value)


def _canonical_context(kind: int, value: bytes) -> bytes:
    known = (0x30, 0x40) if kind == 1 else (0x40,)
    subs = _split(value[4:])
    result = b"\0" if kind == 1 else value[2:3]
    out = value[:1] + b"\0" + result + b"\0"
    for item_type in known:
        texts = [_strip(text) for one, _, text in subs if one == item_type]
        out += b"".join(_item(item_type, text) for text in texts if text or kind == 1)
    return out + b"".join(_item(one, text) for one, _, text in subs if one not in known)


def _canonical_sub_item(item: tuple[int, int, bytes]) -> bytes:
    item_type, second_byte, value = item
    if item_type in (0x52, 0x55):
        return _item(item_type, _strip(value))
    if item_type in (0x54, 0x56):
        uid, rest = _take_sized(value)
        return _item(item_type, _sized(_strip(uid)) + rest)
    if item_type != 0x57:
        return _item(item_type, value)
    sop_class, rest = _take_sized(value)
    service_class, rest = _take_sized(rest)
    related, rest = _take_sized(rest)
    uids = b""
    while related:
        uid, related = _take_sized(related)
        uids += _sized(_strip(uid))
    fields = _sized(_strip(sop_class)) + _sized(_strip(service_class)) + _sized(uids)
    return _item(0x57, fields + rest, second_byte)


@dataclass(slots=True)
class Framed:
    """What a stream consists of, and how it ends."""

    events: list[bytes | Value] = field(default_factory=list)
    """Control PDUs, whole; commands and data sets that were ended."""
    begun: bytes = b""
    """Data behind the last one that was ended."""
    end: str = "whole"
    """Or `truncated`, `broken`, `long`."""
    offset: int = 0
    """Where that was found out."""


def framed(data: bytes, *, max_pdu_bytes: int, ids: frozenset[int], max_associate: int) -> Framed:
    """Frame a stream.

    Args:
        data: All of it.
        max_pdu_bytes: Longest P-DATA-TF that may come.
        ids: Contexts in which data may come.
        max_associate: Longest association PDU that may come, in bytes.

    """
    out = Framed()
    at = 0
    while at < len(data):
        out.offset = at
        if at + 6 > len(data):
            return _ended(out, "truncated", len(data))
        kind, length = data[at], int.from_bytes(data[at + 2 : at + 6], "big")
        end = at + 6 + length
        if kind == 4:
            if not 6 <= length <= max_pdu_bytes:
                return _ended(out, "broken", at)
            if not _frame_values(out, data, at + 6, end, ids):
                return out
        elif kind in (3, 5, 6, 7):
            if length != 4:
                return _ended(out, "broken", at)
        elif kind not in (1, 2) or length < 68:
            return _ended(out, "broken", at)
        elif length > max_associate:
            return _ended(out, "long", at)
        if end > len(data):
            return _ended(out, "truncated", len(data))
        if kind != 4:
            out.events.append(data[at:end])
        at = end
    return out


def _ended(out: Framed, end: str, offset: int) -> Framed:
    out.end, out.offset = end, offset
    return out


def _frame_values(out: Framed, data: bytes, at: int, end: int, ids: frozenset[int]) -> bool:
    """Frame the values of a P-DATA-TF; tell whether it is sound and whole."""
    while at < end:
        if at + 6 > len(data):
            _ended(out, "truncated", len(data))
            return False
        length = int.from_bytes(data[at : at + 4], "big")
        value_end = at + 4 + length
        is_sound = length >= 2 and (value_end == end or value_end + 6 <= end)
        if not is_sound or data[at + 4] not in ids:
            _ended(out, "broken", at)
            return False
        out.begun += data[at + 6 : value_end]
        if value_end > len(data):
            _ended(out, "truncated", len(data))
            return False
        if data[at + 5] & 2:
            out.events.append((data[at + 4], data[at + 5] & 1 == 1, out.begun))
            out.begun = b""
        at = value_end
    return True
