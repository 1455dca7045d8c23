r"""Values of a data element as Python has them (PS3.5 §6.2).

    values_of("DS", b"0.5\\1.5 ")                                 [0.5, 1.5]
    values_of("PN", b"Buc^J\xe9r\xf4me ", character_set=b"ISO_IR 100")   ["Buc^Jérôme"]

Rule: never an exception. A number that is none stays the text it is; text that its
character set does not define holds U+FFFD.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import Final, TypeAlias

from asyncdicom.protocol.part10_text import decode_text

__all__ = ["BINARY_VRS", "NUMBER_BYTES", "Value", "swapped", "values_of"]

Value: TypeAlias = str | int | float

BINARY_VRS: Final = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
"""What is not read as values."""

_FORMATS: Final = {
    "FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q",
}  # fmt: skip
_STRUCTS: Final = {
    (vr, is_big_endian): Struct(f"{'>' if is_big_endian else '<'}{code}")
    for vr, code in _FORMATS.items()
    for is_big_endian in (False, True)
}
_AT: Final = (Struct("<HH"), Struct(">HH"))

NUMBER_BYTES: Final = {vr: Struct(f"<{code}").size for vr, code in _FORMATS.items()} | {
    "AT": 2, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2,
}  # fmt: skip
"""Size of what byte ordering turns around (PS3.5 §7.3), by VR."""

_DECODED: Final = frozenset(["LO", "LT", "PN", "SH", "ST", "UC", "UT"])
"""PS3.5 §6.1.2.3: VRs that Specific Character Set governs."""
_SINGLE: Final = frozenset(["LT", "ST", "UR", "UT"])
r"""PS3.5 §6.2: a `\` in them separates nothing."""

# PS3.5 §6.2: IS and DS; Python's own parsers also take underscores and other digits.
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,32}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def values_of(
    vr: str, raw: bytes, *, is_big_endian: bool = False, character_set: bytes = b""
) -> list[Value]:
    """Return the values of an element; AT as eight hexadecimal digits each.

    Args:
        vr: Value representation; one of `BINARY_VRS` has none.
        raw: As it stands in the data set.
        is_big_endian: Byte ordering of the data set.
        character_set: Value of Specific Character Set (0008,0005) that rules here.

    """
    if vr in _FORMATS:
        struct = _STRUCTS[vr, is_big_endian]
        whole = len(raw) - len(raw) % struct.size
        return [number for (number,) in struct.iter_unpack(raw[:whole])]
    if vr == "AT":
        pairs = _AT[is_big_endian].iter_unpack(raw[: len(raw) - len(raw) % 4])
        return [f"{group:04x}{element:04x}" for group, element in pairs]
    texts = _texts(vr, raw, character_set)
    if vr == "IS":
        return [_integer(text) for text in texts]
    return [_decimal(text) for text in texts] if vr == "DS" else list(texts)


def swapped(vr: str, raw: bytes) -> bytes:
    """Return a value in the other byte ordering (PS3.5 §7.3)."""
    step = NUMBER_BYTES.get(vr, 1)
    if step == 1:
        return raw
    whole = len(raw) - len(raw) % step
    turned = bytearray(raw)
    for index in range(step):
        turned[index:whole:step] = raw[step - 1 - index : whole : step]
    return bytes(turned)


def _texts(vr: str, raw: bytes, character_set: bytes) -> list[str]:
    stripped = raw.rstrip(b" \0")
    if not stripped:
        return []
    # Blanks in front are padding to the decoder, but here they are shown.
    blanks = len(stripped) - len(stripped.lstrip(b" "))
    text = " " * blanks + decode_text(stripped, character_set if vr in _DECODED else b"")
    return [text] if vr in _SINGLE else [one.rstrip(" \0") for one in text.split("\\")]


def _integer(text: str) -> Value:
    stripped = text.strip()
    return int(stripped) if _INTEGER.fullmatch(stripped) else text


def _decimal(text: str) -> Value:
    stripped = text.strip()
    return float(stripped) if _DECIMAL.fullmatch(stripped) else text
