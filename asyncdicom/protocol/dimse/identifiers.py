"""Identifiers of queries: what they ask, and what they answer (PS3.4 §C.2.2, PS3.5 §7.1).

    data = encode_identifier([Element((0x00080052,), "CS", b"STUDY")], EXPLICIT)
    identifier_values(answer.identifier, answer.transfer_syntax, [0x0020000D])

Rule: values are bytes and text of one byte per character here. Whoever shows a name
decodes it by the character set of its data set.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from asyncdicom.errors import UsageError
from asyncdicom.protocol.part10_dataset import DataSetWalker
from asyncdicom.protocol.part10_vocabulary import (
    EXPLICIT,
    Part10Limits,
    encoding_of,
    watch_list,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from asyncdicom.model import Buffer

__all__ = ["Element", "encode_identifier", "identifier_values"]


class Element(NamedTuple):
    """A key of an identifier."""

    path: tuple[int, ...]
    """Its tag, behind those of the sequences around it (each with one item)."""
    vr: str
    value: bytes = b""
    """As in the data set, without padding; empty asks for the value."""


def identifier_values(data: Buffer, transfer_syntax: str, tags: Collection[int]) -> dict[int, str]:
    """Return the text values of some elements of the top level.

    Values are decoded byte by byte (ISO 8859-1), without the padding around them;
    those of several values hold backslashes. Elements that are absent are left out.

    Args:
        data: A whole data set, as in an answer to C-FIND.
        transfer_syntax: Its UID.
        tags: Elements of text: UI, IS, DS, CS, LO and the like.

    Raises:
        ProtocolError: If the data set breaks its standard.
        Truncated: If it ends too early.

    """
    limits = Part10Limits(max_value_bytes=len(data))
    watch = watch_list(tuple(sorted(tags)))
    walker = DataSetWalker(encoding_of(transfer_syntax), start=0, watch=watch, limits=limits)
    walker.receive_data(data, 0)
    walker.receive_eof()
    return {tag: _text(walker.values[tag]) for tag in tags if tag in walker.values}


def _text(value: bytes) -> str:
    # PS3.5 §6.2: NUL pads a UID, a blank any other text.
    return value.strip(b"\0 ").decode("latin-1")


def encode_identifier(elements: Iterable[Element], transfer_syntax: str) -> bytes:
    """Write an identifier, in the order of tags (PS3.5 §7.1).

    Args:
        elements: Keys in any order; a sequence without keys asks for all of its items.
        transfer_syntax: Implicit or Explicit VR Little Endian.

    Raises:
        UsageError: If two elements have one path, one is a sequence and something else,
            or a value is too long for its VR.

    """
    encoding = encoding_of(transfer_syntax)
    if encoding.is_big_endian:
        raise UsageError("identifiers are written in little endian only")
    root: _Node = {}
    for element in elements:
        _insert(root, element)
    return _written(root, is_explicit=encoding.is_explicit)


_Leaf: TypeAlias = tuple[str, bytes]
_Node: TypeAlias = "dict[int, _Leaf | _Node]"


def _insert(root: _Node, element: Element) -> None:
    *sequences, tag = element.path
    node = root
    for sequence in sequences:
        child = node.setdefault(sequence, {})
        if isinstance(child, tuple):
            raise UsageError(f"{sequence:08X} is a sequence and something else")
        node = child
    if tag in node:
        raise UsageError(f"{tag:08X} occurs twice")
    node[tag] = (element.vr, element.value)


def _written(node: _Node, *, is_explicit: bool) -> bytes:
    parts: list[bytes] = []
    for tag in sorted(node):
        child = node[tag]
        if isinstance(child, tuple):
            vr, value = child
        else:
            content = _written(child, is_explicit=is_explicit)
            vr, value = "SQ", _IMPLICIT.pack(0xFFFE, 0xE000, len(content)) + content
        parts.append(_element(tag, vr, value, is_explicit=is_explicit))
    return b"".join(parts)


def _element(tag: int, vr: str, value: bytes, *, is_explicit: bool) -> bytes:
    if len(value) & 1:
        # PS3.5 §6.2: NUL pads UIDs and bytes, a blank any other text.
        value += b"\0" if vr in _PADDED_WITH_NUL else b" "
    group, number = tag >> 16, tag & 0xFFFF
    if not is_explicit:
        return _IMPLICIT.pack(group, number, len(value)) + value
    wire_vr = vr.encode("ascii")
    if int.from_bytes(wire_vr, "little") not in EXPLICIT.short_vrs:
        return _LONG.pack(group, number, wire_vr, 0, len(value)) + value
    if len(value) > _MAX_SHORT_BYTES:
        raise UsageError(f"{tag:08X} of VR {vr} is longer than {_MAX_SHORT_BYTES} bytes")
    return _SHORT.pack(group, number, wire_vr, len(value)) + value


_PADDED_WITH_NUL: Final = frozenset({"UI", "OB", "UN"})
_MAX_SHORT_BYTES: Final = 0xFFFE
"""PS3.5 §7.1.2: the length has 16 bits, and is even."""
_IMPLICIT: Final = Struct("<HHI")
_SHORT: Final = Struct("<HH2sH")
_LONG: Final = Struct("<HH2sHI")
