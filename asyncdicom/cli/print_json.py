"""A DICOM file in the DICOM JSON Model (PS3.18 Annex F); pixel data is pointed at.

    {"00080005":{"vr":"CS","Value":["ISO_IR 192"]},
     "7FE00010":{"vr":"OW","BulkDataURI":"file:///data/1.dcm?offset=1396&length=524288"}}

Rule: JSON is UTF-8, so Specific Character Set says ISO_IR 192 wherever it stood.
Numbers that JSON cannot hold, and numbers that are none, stay text.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from asyncdicom.cli.print_context import Context
from asyncdicom.errors import LimitExceeded
from asyncdicom.protocol.data_elements import (
    ElementFound,
    FragmentsFound,
    ItemBegan,
    SequenceBegan,
)
from asyncdicom.protocol.data_values import BINARY_VRS, swapped, values_of
from asyncdicom.protocol.part10_vocabulary import Tags

if TYPE_CHECKING:
    from asyncdicom.protocol.data_values import Value
    from asyncdicom.storage.dicom_source import DicomFile

__all__ = ["json_of"]

INLINE_BYTES: Final = 4 * 1024
"""Binary values up to this size stand in the JSON; larger ones are pointed at."""

TEXT_BYTES: Final = 1024 * 1024
"""Other values up to this size stand in the JSON; larger ones are pointed at."""

UNPLACED_BYTES: Final = 64 * 1024 * 1024
"""Where nothing can be pointed at (stdin, deflated), the most that stands in the JSON."""

_UTF_8: Final = {"vr": "CS", "Value": ["ISO_IR 192"]}

# PS3.18 §F.2.2: component groups of a person name, in the order of PS3.5 §6.2.1.2.
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


def json_of(file: DicomFile, *, path: str | None, has_header: bool = False) -> dict[str, Any]:
    """Return a data set as a JSON object.

    Args:
        file: What to show.
        path: Absolute name of the file, for what is pointed at; None if it has none.
        has_header: Group 0002 as well, although Annex F leaves it out.

    Raises:
        FetchError: If the file is damaged.
        LimitExceeded: If a value is too large, and cannot be pointed at.

    """
    converter = _Converter(file, None if file.is_inflated else path)
    if has_header:
        for tag, vr, raw in file.meta:
            is_binary = vr in BINARY_VRS
            member = _binary(vr, raw) if is_binary else _listed(vr, values_of(vr, raw))
            converter.top[f"{tag:08X}"] = member
    return converter.run()


class _Converter:
    """Builds objects within objects while the events pass by."""

    def __init__(self, file: DicomFile, path: str | None) -> None:
        self.top: dict[str, Any] = {}
        self._file = file
        self._path = path
        self._context = Context()
        self._objects = [self.top]
        self._items: list[list[dict[str, Any]]] = []

    def run(self) -> dict[str, Any]:
        for event in self._file.elements():
            match event:
                case ElementFound():
                    self._objects[-1][f"{event.tag:08X}"] = self._member(event)
                case FragmentsFound():
                    self._objects[-1][f"{event.tag:08X}"] = self._fragments(event)
                case SequenceBegan():
                    self._items.append([])
                case ItemBegan():
                    self._begin_item(event.depth)
                case _:
                    del self._objects[event.depth + 1 :]
                    items = self._items.pop()
                    member = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
                    self._objects[-1][f"{event.tag:08X}"] = member
        return self.top

    def _begin_item(self, depth: int) -> None:
        self._context.enter_item(depth)
        del self._objects[depth + 1 :]
        item: dict[str, Any] = {}
        self._items[-1].append(item)
        self._objects.append(item)

    def _member(self, element: ElementFound) -> dict[str, Any]:
        vr, offset, byte_count = element.vr, element.offset, element.byte_count
        if byte_count > (INLINE_BYTES if vr in BINARY_VRS else TEXT_BYTES):
            place = self._pointed_at(vr, offset, byte_count)
            if place is not None:
                return place
        raw = self._read(offset, byte_count)
        if vr in BINARY_VRS:
            return _binary(vr, swapped(vr, raw) if element.encoding.is_big_endian else raw)
        values = self._context.values(element, raw)
        if element.tag == Tags.SPECIFIC_CHARACTER_SET:
            return dict(_UTF_8)
        return _listed(self._context.vr(element), values)

    def _fragments(self, element: FragmentsFound) -> dict[str, Any]:
        vr, offset, byte_count = element.vr, element.offset, element.byte_count
        place = self._pointed_at(vr, offset, byte_count)
        return _binary(vr, self._read(offset, byte_count)) if place is None else place

    def _read(self, offset: int, byte_count: int) -> bytes:
        if byte_count > UNPLACED_BYTES:
            raise LimitExceeded(
                f"a value has more than {UNPLACED_BYTES} bytes, and nothing can point at it",
                offset=offset,
            )
        return self._file.source.read(offset, byte_count)

    def _pointed_at(self, vr: str, offset: int, byte_count: int) -> dict[str, Any] | None:
        if self._path is None:
            return None
        place = f"file://{quote(self._path)}?offset={offset}&length={byte_count}"
        return {"vr": vr, "BulkDataURI": place}


def _binary(vr: str, raw: bytes) -> dict[str, Any]:
    """Return an element whose value is bytes, in little endian (PS3.18 §F.2.7)."""
    return {"vr": vr, "InlineBinary": base64.b64encode(raw).decode()} if raw else {"vr": vr}


def _listed(vr: str, values: list[Value]) -> dict[str, Any]:
    """Return an element; without a value there is no Value (PS3.18 §F.2.5)."""
    return (
        {"vr": vr, "Value": [_json_value(vr, value) for value in values]} if values else {"vr": vr}
    )


def _json_value(vr: str, value: Value) -> Any:
    if value == "":
        return None  # PS3.18 §F.2.5: null keeps the place of an empty value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if vr == "AT":
        return str(value).upper()
    if vr == "PN":
        return {
            group: text for group, text in zip(_GROUPS, str(value).split("="), strict=False) if text
        }
    return value
