"""Identifiers of C-FIND, C-GET and C-MOVE: the data sets that queries are made of (PS3.4 §C.4).

    identifier = encode_identifier({0x0020000D: Key("UI", uid)}, IMPLICIT_VR_LITTLE_ENDIAN)
    texts_in(answer.identifier, answer.transfer_syntax, (0x0020000D,))

Rules:
    1. Elements are written in the order of their tags (PS3.5 §7.1), padded to an even
       length (PS3.5 §6.2), sequences with explicit lengths.
    2. Values that are not ASCII are sent in UTF-8, and Specific Character Set says so;
       an identifier in ASCII says nothing (PS3.4 §C.2.2.2).
    3. What is read is walked, not decoded: a few values, in memory bounded by them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncdicom.errors import ConfigError, ProtocolError
from asyncdicom.protocol.dimse.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    QueryLevel,
)
from asyncdicom.protocol.part10_dataset import DataSetWalker
from asyncdicom.protocol.part10_text import decode_text
from asyncdicom.protocol.part10_vocabulary import Part10Limits, encoding_of, watch_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncdicom.protocol.dimse.sop_classes import QueryModel
    from asyncdicom.protocol.qido_keys import Keys

__all__ = [
    "IDENTIFIER_SYNTAXES",
    "Key",
    "Tree",
    "check_level",
    "encode_identifier",
    "needs_patient",
    "texts_in",
    "tree_of",
]

IDENTIFIER_SYNTAXES: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""What identifiers are offered in; the first tells the VR of private attributes."""

SPECIFIC_CHARACTER_SET: Final = 0x00080005

MAX_IDENTIFIER_VALUE_BYTES: Final = 64 * 1024
"""Most that is kept of one value: a study with 1,000 SOP classes stays below it."""


def check_level(model: QueryModel, level: QueryLevel) -> None:
    """Refuse a level that a model does not have.

    Raises:
        ConfigError: If it does not.

    """
    if level not in model.levels:
        raise ConfigError(
            f"the {model.name} model has no level {level}",
            hint="choose another one with --model: patient, study or patient-study",
        )


def needs_patient(model: QueryModel) -> bool:
    """Tell whether each query below the patient has to name its PatientID (PS3.4 §C.6.1.1)."""
    return QueryLevel.PATIENT in model.levels


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute of an identifier, which is matched or, if empty, asked for."""

    vr: str
    """Value Representation; empty where unknown, and then written as UN."""
    value: str = ""
    """Values are separated by backslashes (PS3.5 §6.4)."""


Tree: TypeAlias = "dict[int, Key | Tree]"
"""Keys by tag; those of a sequence are a tree themselves, its one item (PS3.4 §C.2.2.2.6)."""


def tree_of(keys: Keys) -> Tree:
    """Return the keys of a command line as the attributes of an identifier."""
    tree: Tree = {}
    for match in keys.matches:
        path = match.path
        # A list of UIDs has commas in a URL, and backslashes here (PS3.4 §C.2.2.2.2).
        value = match.value.replace(",", "\\") if path.last.vr == "UI" else match.value
        _plant(tree, path.tags, Key(path.last.vr, value))
    for path in keys.returned:
        _plant(tree, path.tags, Key(path.last.vr))
    return tree


def _plant(tree: Tree, tags: tuple[str, ...], key: Key) -> None:
    for tag in tags[:-1]:
        inner = tree.setdefault(int(tag, 16), {})
        if isinstance(inner, Key):
            inner = tree[int(tag, 16)] = {}
        tree = inner
    # A sequence that is asked for as a whole has an empty item.
    last = int(tags[-1], 16)
    if key.vr == "SQ":
        tree.setdefault(last, {})
    elif key.value or last not in tree:
        tree[last] = key


def encode_identifier(tree: Mapping[int, Key | Tree], transfer_syntax: str) -> bytes:
    """Write an identifier.

    Args:
        tree: Its attributes.
        transfer_syntax: One of `IDENTIFIER_SYNTAXES`.

    Raises:
        ConfigError: If a value cannot be written in its VR.

    """
    assert transfer_syntax in IDENTIFIER_SYNTAXES, "no other one is offered"
    whole = dict(tree)
    if not _is_ascii(whole):
        whole[SPECIFIC_CHARACTER_SET] = Key("CS", "ISO_IR 192")
    return _encoded(whole, is_explicit=transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN)


def _is_ascii(tree: Mapping[int, Key | Tree]) -> bool:
    return all(
        key.value.isascii() if isinstance(key, Key) else _is_ascii(key) for key in tree.values()
    )


def _encoded(tree: Mapping[int, Key | Tree], *, is_explicit: bool) -> bytes:
    encoded = bytearray()
    for tag in sorted(tree):
        key = tree[tag]
        if isinstance(key, Key):
            vr, value = key.vr or "UN", _value(tag, key)
        else:
            inner = _encoded(key, is_explicit=is_explicit)
            # (FFFE,E000) *Item* with explicit length (PS3.5 §7.5).
            vr, value = "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
        encoded += struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        encoded += _length(vr, len(value), is_explicit=is_explicit) + value
    return bytes(encoded)


# PS3.5 §7.1.2: VRs whose length has 32 bits behind two reserved bytes.
_LONG_VRS: Final = frozenset(
    "OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()  # noqa: SIM905 -- a list as in the Standard
)
# VRs that are no text, and how their values are packed.
_PACKED: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "AT": "HH"}


def _length(vr: str, byte_count: int, *, is_explicit: bool) -> bytes:
    if not is_explicit:
        return struct.pack("<I", byte_count)
    if vr in _LONG_VRS:
        return vr.encode("ascii") + struct.pack("<HI", 0, byte_count)
    return vr.encode("ascii") + struct.pack("<H", byte_count)


def _value(tag: int, key: Key) -> bytes:
    try:
        raw = _numbers(key) if key.value and key.vr in _PACKED else key.value.encode()
    except (OverflowError, ValueError, struct.error) as error:
        raise _unwritable(tag, key) from error
    if len(raw) > 0xFFFE and key.vr not in _LONG_VRS:
        raise _unwritable(tag, key)
    # PS3.5 §6.2: UIDs are padded with NUL, text with a blank.
    return raw + (b"\0" if key.vr == "UI" else b" ") * (len(raw) % 2)


def _numbers(key: Key) -> bytes:
    texts = key.value.split("\\")
    if key.vr == "AT":
        pairs = [(int(text[:4], 16), int(text[4:], 16)) for text in texts]
        return b"".join(struct.pack("<HH", *pair) for pair in pairs)
    as_number = float if key.vr in ("FL", "FD") else int
    return struct.pack(f"<{len(texts)}{_PACKED[key.vr]}", *map(as_number, texts))


def _unwritable(tag: int, key: Key) -> ConfigError:
    return ConfigError(
        f"({tag >> 16:04X},{tag & 0xFFFF:04X}) cannot have the value {key.value[:40]!r}",
        hint=f"its VR is {key.vr}",
    )


_LIMITS: Final = Part10Limits(max_value_bytes=MAX_IDENTIFIER_VALUE_BYTES)


def texts_in(identifier: bytes, transfer_syntax: str, tags: Iterable[int]) -> dict[int, str]:
    r"""Return values at the top level of an identifier as text, several of them joined by `\`.

    Args:
        identifier: As it came.
        transfer_syntax: That of its presentation context.
        tags: Which values; those that are absent or empty are left out.

    Raises:
        ProtocolError: If it is no data set.

    """
    wanted = tuple(tags)
    walker = DataSetWalker(
        encoding_of(transfer_syntax), start=0, watch=watch_list(wanted), limits=_LIMITS
    )
    try:
        walker.receive_data(identifier, 0)
        walker.receive_eof()
    except ProtocolError as error:
        raise ProtocolError(f"an identifier is damaged: {error}") from error
    character_set = walker.values.get(SPECIFIC_CHARACTER_SET, b"")
    found = {tag: decode_text(walker.values.get(tag, b""), character_set) for tag in wanted}
    return {tag: text for tag, text in found.items() if text}
