"""Read the DICOM JSON Model: metadata of instances, and answers of a search (PS3.18 Annex F).

    instance = instance_metadata(element)
    instance.sop_instance_uid, instance.number_of_frames, instance.bulkdata_uris

    integer(answer, NUMBER_OF_STUDY_RELATED_INSTANCES)

Rule: archives differ from Annex F in harmless ways, which are borne with: numbers as
text and text as numbers, `null`, an empty or missing `Value`, a single value without its
list. What cannot be understood is a `ContentError` that names the attribute, never a
TypeError, and never the value (it may be a patient's).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asyncdicom.errors import ContentError, InvalidUid
from asyncdicom.model import Uid, is_uid, parse_uid
from asyncdicom.protocol.dicom_json_stream import JsonArraySplitter, JsonLimits
from asyncdicom.protocol.payload_events import NEED_DATA
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "INSTANCE_AVAILABILITY",
    "NEED_DATA",
    "NUMBER_OF_SERIES_RELATED_INSTANCES",
    "NUMBER_OF_STUDY_RELATED_INSTANCES",
    "NUMBER_OF_STUDY_RELATED_SERIES",
    "InstanceMetadata",
    "JsonArraySplitter",
    "JsonLimits",
    "instance_metadata",
    "integer",
    "person_name",
    "text",
    "uid",
    "value",
    "values",
]

SOP_CLASS_UID: Final = "00080016"
SOP_INSTANCE_UID: Final = "00080018"
INSTANCE_AVAILABILITY: Final = "00080056"
AVAILABLE_TRANSFER_SYNTAX_UID: Final = "00083002"
STUDY_INSTANCE_UID: Final = "0020000D"
SERIES_INSTANCE_UID: Final = "0020000E"
NUMBER_OF_STUDY_RELATED_SERIES: Final = "00201206"
NUMBER_OF_STUDY_RELATED_INSTANCES: Final = "00201208"
NUMBER_OF_SERIES_RELATED_INSTANCES: Final = "00201209"
SAMPLES_PER_PIXEL: Final = "00280002"
PHOTOMETRIC_INTERPRETATION: Final = "00280004"
NUMBER_OF_FRAMES: Final = "00280008"
ROWS: Final = "00280010"
COLUMNS: Final = "00280011"
BITS_ALLOCATED: Final = "00280100"

_PIXEL_ATTRIBUTES: Final = frozenset({"7FE00008", "7FE00009", "7FE00010"})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_MAX_NESTING: Final = 64
_MAX_DIGITS: Final = 15
_ATTRIBUTES_BYTES: Final = 4 * 1024
"""What a data set weighs beside its pixels, as far as an estimate goes."""


@dataclass(frozen=True, slots=True)
class InstanceMetadata:
    """What is known of an instance before it is fetched."""

    sop_instance_uid: Uid
    series_instance_uid: Uid
    study_instance_uid: Uid
    sop_class_uid: Uid | None
    number_of_frames: int
    """At least 1."""
    rows: int
    """0 if unknown, as all numbers that follow."""
    columns: int
    bits_allocated: int
    samples_per_pixel: int
    has_pixel_data: bool
    """Whether pixel data is listed, or, as some servers strip it, an image is described."""
    available_transfer_syntax_uid: Uid | None
    """In which the server holds the instance (PS3.18 §10.6.3.3)."""
    frame_bytes: int | None
    """Of one uncompressed frame; None if nothing says so."""
    estimated_bytes: int
    """Of the file if it is not compressed (frames, and 4 KiB for the rest); 0 if unknown."""
    bulkdata_uris: tuple[tuple[str, str], ...]
    """Attribute path (tags and item numbers from 1, `52009229.1.00280030`) and URI of
    each value that stands elsewhere, but for the pixel data."""


def instance_metadata(
    element: Mapping[str, Any],
    *,
    study_instance_uid: Uid | None = None,
    with_bulkdata: bool = True,
) -> InstanceMetadata:
    """Read one element of a metadata answer or of a search for instances.

    Args:
        element: A data set in the DICOM JSON Model.
        study_instance_uid: Study to fall back on, where the server leaves it out.
        with_bulkdata: Look for BulkDataURIs; that means to look at every attribute,
            half of the cost.

    Raises:
        ContentError: If a UID is missing or none, or an attribute cannot be understood.

    """
    study = uid(element, STUDY_INSTANCE_UID) or study_instance_uid
    rows, columns = _count_of(element, ROWS), _count_of(element, COLUMNS)
    frames = max(1, _count_of(element, NUMBER_OF_FRAMES))
    samples, bits = _count_of(element, SAMPLES_PER_PIXEL), _count_of(element, BITS_ALLOCATED)
    frame_bytes = _frame_bytes(element, rows * columns, samples or 1, bits)
    has_pixel_data = (rows > 0 and columns > 0) or any(map(element.get, _PIXEL_ATTRIBUTES))
    return InstanceMetadata(
        sop_instance_uid=_needed(uid(element, SOP_INSTANCE_UID), SOP_INSTANCE_UID),
        series_instance_uid=_needed(uid(element, SERIES_INSTANCE_UID), SERIES_INSTANCE_UID),
        study_instance_uid=_needed(study, STUDY_INSTANCE_UID),
        sop_class_uid=uid(element, SOP_CLASS_UID),
        number_of_frames=frames,
        rows=rows,
        columns=columns,
        bits_allocated=bits,
        samples_per_pixel=samples,
        has_pixel_data=has_pixel_data,
        available_transfer_syntax_uid=uid(element, AVAILABLE_TRANSFER_SYNTAX_UID),
        frame_bytes=frame_bytes,
        estimated_bytes=_ATTRIBUTES_BYTES + frames * frame_bytes if frame_bytes else 0,
        bulkdata_uris=tuple(_bulkdata(element, "", 0)) if with_bulkdata else (),
    )


def values(element: Mapping[str, Any], tag: str) -> list[Any]:
    """Return the values of an attribute; empty if it is absent, `null` or without value.

    Args:
        element: A data set in the DICOM JSON Model.
        tag: Eight hexadecimal digits, letters in upper case (PS3.18 §F.2.2).

    Raises:
        ContentError: If the attribute is no object.

    """
    attribute = element.get(tag)
    if attribute is None:
        return []
    if not isinstance(attribute, dict):
        raise ContentError(f"attribute {tag} is no JSON object")
    found = attribute.get("Value")
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def value(element: Mapping[str, Any], tag: str) -> Any:
    """Return the first value of an attribute, or None; errors as of `values`."""
    attribute = element.get(tag)
    if attribute is None:
        return None  # as most are, of what is asked for
    found = values(element, tag)
    return found[0] if found else None


def text(element: Mapping[str, Any], tag: str) -> str:
    r"""Return an attribute as text without padding; several values are joined by `\`.

    Raises:
        ContentError: If it is neither text nor number.

    """
    words = []
    for each in values(element, tag):
        if isinstance(each, dict | list | bool):
            raise ContentError(f"attribute {tag} is no text")
        words.append("" if each is None else str(each))
    return "\\".join(words).strip(" \0")


def person_name(element: Mapping[str, Any], tag: str) -> str:
    """Return a name as its component groups, joined by `=` (PS3.18 §F.2.2, PS3.5 §6.2.1).

    Raises:
        ContentError: If it is neither a name nor text.

    """
    name = value(element, tag)
    if not isinstance(name, dict):
        return text(element, tag)
    groups = [name.get(group) or "" for group in ("Alphabetic", "Ideographic", "Phonetic")]
    if not all(isinstance(group, str) for group in groups):
        raise ContentError(f"attribute {tag} is no person name")
    return "=".join(groups).rstrip("=")


def integer(element: Mapping[str, Any], tag: str) -> int | None:
    """Return the first value as a whole number, or None if there is none.

    Raises:
        ContentError: If it is something else, or has more than 15 digits.

    """
    found = value(element, tag)
    if type(found) is int and abs(found) < 10**_MAX_DIGITS:
        return found  # as nearly all are
    if isinstance(found, str):
        found = found.strip(" \0") or None
    if found is None:
        return None
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    digits = str(found).removeprefix("+")
    is_number = isinstance(found, int | str) and not isinstance(found, bool)
    plain = digits.removeprefix("-")
    if is_number and plain.isascii() and plain.isdigit() and len(plain) <= _MAX_DIGITS:
        return int(digits)
    raise ContentError(f"attribute {tag} is no whole number")


def uid(element: Mapping[str, Any], tag: str) -> Uid | None:
    """Return the first value as a UID, or None if there is none.

    Raises:
        ContentError: If it is something else (PS3.5 §9.1).

    """
    found = value(element, tag)
    if found is None or found == "":
        return None
    if not isinstance(found, str):
        raise ContentError(f"attribute {tag} is not a UID")
    if is_uid(found):
        return Uid(found)  # as nearly all are
    try:
        return parse_uid(found)
    except InvalidUid:
        # Neither its message nor the error itself, which would be its cause: both hold the value.
        raise ContentError(f"attribute {tag} is not a UID") from None


def _needed(found: Uid | None, tag: str) -> Uid:
    if found is None:
        raise ContentError(f"attribute {tag} is missing")
    return found


def _count_of(element: Mapping[str, Any], tag: str) -> int:
    """Return a count; 0 if it is absent."""
    number = integer(element, tag) or 0
    if number < 0:
        raise ContentError(f"attribute {tag} is negative")
    return number


def _frame_bytes(
    element: Mapping[str, Any], pixels: int, samples: int, bits_allocated: int
) -> int | None:
    """Return the bytes of one uncompressed frame (PS3.5 §8.2), or None."""
    bits = pixels * samples * bits_allocated
    # PS3.3 §C.7.6.3.1.2: chrominance is shared by two pixels.
    if samples == 3 and "_422" in text(element, PHOTOMETRIC_INTERPRETATION):
        bits = bits * 2 // 3
    return (bits + 7) // 8 or None


def _bulkdata(element: Mapping[str, Any], path: str, nesting: int) -> Iterator[tuple[str, str]]:
    """Yield where values stand elsewhere, items of sequences included (PS3.18 §F.2.6)."""
    if nesting > _MAX_NESTING:
        raise ContentError(f"sequences are nested more than {_MAX_NESTING} deep")
    for tag, attribute in element.items():
        if not isinstance(attribute, dict):
            continue
        uri = attribute.get("BulkDataURI")
        if uri is not None and (path or tag.upper() not in _PIXEL_ATTRIBUTES):
            if not isinstance(uri, str):
                raise ContentError(f"BulkDataURI of attribute {path}{_tag(tag)} is no text")
            yield path + _tag(tag), uri
        if attribute.get("vr") == "SQ":
            for number, item in enumerate(values(element, tag), 1):
                if isinstance(item, dict):
                    yield from _bulkdata(item, f"{path}{_tag(tag)}.{number}.", nesting + 1)


def _tag(tag: str) -> str:
    """Return a tag in upper case; it will be part of a path, and must be one."""
    if _TAG.fullmatch(tag) is None:
        raise ContentError("an attribute of the metadata has a name that is no tag")
    return tag.upper()
