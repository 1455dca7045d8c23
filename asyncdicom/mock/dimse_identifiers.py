r"""What an identifier asks for, and the identifiers that answer it (PS3.4 §C.4.1, §C.2.2.2).

    asked = read_identifier(operation.identifier, transfer_syntax)
    asked.matches              # ((("0020000D",), "1.2.3\1.2.4"), …), as `qido` matches them
    write_answer(asked, attributes, transfer_syntax)

Rule: answers hold what was asked for, no more; what an archive does not have is empty.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydicom.datadict import dictionary_VR
from pydicom.filereader import read_dataset

from asyncdicom.errors import OperationFailed, ProtocolError
from asyncdicom.protocol.dimse.sop_classes import IMPLICIT_VR_LITTLE_ENDIAN
from asyncdicom.protocol.dimse.statuses import Status
from asyncdicom.protocol.identifiers import Key, encode_identifier, texts_in
from asyncdicom.protocol.part10_text import decode_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from asyncdicom.mock.archive import Attributes
    from asyncdicom.protocol.identifiers import Tree

__all__ = ["CANNOT_MATCH", "Asked", "read_identifier", "write_answer"]

CANNOT_MATCH: Final = Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
"""A900: the identifier does not match the SOP class (PS3.4 Table C.4-1)."""

SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL = "00080005", "00080052"

# VRs that are no text, and how their values are packed (PS3.5 §6.2).
_PACKED: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_BINARY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "SV", "UV", "AT"})

_BROKEN = (
    ProtocolError,  # no data set
    KeyError,  # pydicom: unknown VR
    NotImplementedError,  # pydicom: unknown VR, at the second look
    OSError,  # pydicom: an item that ends too early
    ValueError,  # pydicom: a value that is not what its VR says
)

MAX_NESTING: Final = 64
"""Sequences within sequences; those of the Standard's queries have three."""

Wanted: TypeAlias = "dict[str, Key | Wanted]"
"""Keys by tag; those of a sequence are a table themselves."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An identifier as a request has it."""

    level: str
    """Value of (0008,0052); empty if there is none."""
    wanted: Wanted
    """All keys but the level and the character set."""

    @property
    def matches(self) -> tuple[tuple[tuple[str, ...], str], ...]:
        """Paths of the keys that have a value, and the values."""
        return tuple((path, key.value) for path, key in _leaves(self.wanted) if key.value)

    def values(self, tag: str) -> tuple[str, ...]:
        """Return the values of a key at the top level, none if it is empty."""
        key = self.wanted.get(tag)
        return tuple(filter(None, key.value.split("\\"))) if isinstance(key, Key) else ()


def _leaves(wanted: Wanted) -> Iterator[tuple[tuple[str, ...], Key]]:
    for tag, key in wanted.items():
        if isinstance(key, Key):
            yield (tag,), key
        else:
            yield from (((tag, *path), leaf) for path, leaf in _leaves(key))


def read_identifier(identifier: bytes, transfer_syntax: str) -> Asked:
    """Read an identifier.

    Raises:
        OperationFailed: A900 if it is no data set.

    """
    is_implicit = transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN
    try:
        # pydicom reads much that is none; the structure is judged first.
        texts_in(identifier, transfer_syntax, ())
        dataset = read_dataset(BytesIO(identifier), is_implicit, is_little_endian=True)
        wanted = _wanted(dataset, b"")
    except _BROKEN as error:
        raise OperationFailed("the identifier is no data set", status=CANNOT_MATCH) from error
    wanted.pop(SPECIFIC_CHARACTER_SET, None)
    level = wanted.pop(QUERY_RETRIEVE_LEVEL, None)
    return Asked(level.value if isinstance(level, Key) else "", wanted)


def _wanted(dataset: Dataset, character_set: bytes, nesting: int = 0) -> Wanted:
    if nesting > MAX_NESTING:
        raise ProtocolError(f"sequences are nested more than {MAX_NESTING} deep")
    wanted: Wanted = {}
    for tag in sorted(dataset.keys()):
        raw: Any = dataset.get_item(tag)
        vr = raw.VR or _vr_of(tag)
        if vr == "SQ":
            items = dataset[tag].value
            nested = _wanted(items[0], character_set, nesting + 1) if items else Key("SQ")
            wanted[f"{tag:08X}"] = nested
        else:
            value = raw.value or b""
            character_set = value if tag == int(SPECIFIC_CHARACTER_SET, 16) else character_set
            wanted[f"{tag:08X}"] = Key(vr, _text(vr, value, character_set))
    return wanted


def _vr_of(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _text(vr: str, value: bytes, character_set: bytes) -> str:
    if vr in _PACKED:
        size = struct.calcsize(_PACKED[vr])
        numbers = struct.unpack(f"<{len(value) // size}{_PACKED[vr]}", value)
        return "\\".join(str(number) for number in numbers)
    return decode_text(value, character_set).strip(" \0")


def write_answer(asked: Asked, attributes: Attributes, transfer_syntax: str) -> bytes:
    """Write the identifier of one answer.

    Args:
        asked: What was asked for.
        attributes: What the archive knows, computed elements included.
        transfer_syntax: One of the two that identifiers travel in.

    """
    tree = _answer(asked.wanted, attributes)
    tree[int(QUERY_RETRIEVE_LEVEL, 16)] = Key("CS", asked.level)
    return encode_identifier(tree, transfer_syntax)


def _answer(wanted: Wanted, attributes: Attributes) -> Tree:
    tree: Tree = {}
    for tag, key in wanted.items():
        element = attributes.get(tag, {})
        if isinstance(key, Key):
            vr = str(element.get("vr", key.vr))
            tree[int(tag, 16)] = Key("SQ") if vr == "SQ" else Key(vr, _joined(vr, element))
        else:
            # One item stands for all: nobody here asks for a second one.
            items = element.get("Value", [])
            tree[int(tag, 16)] = _answer(key, items[0]) if items else Key("SQ")
    return tree


def _joined(vr: str, element: dict[str, Any]) -> str:
    if vr in _BINARY:
        return ""
    return "\\".join(_value(value) for value in element.get("Value", []))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        # PS3.18 §F.2.2: the component groups of a name, which `=` separates (PS3.5 §6.2).
        groups = [value.get(name, "") for name in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return "" if value is None else str(value)
