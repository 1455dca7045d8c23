"""What a walk has found out: who the instance says it is (PS3.10 §7.1, PS3.3 §C.7, §C.12.1).

Rule: a UID that is none is judged here, when the structure stands, so that whoever
keeps such files apart (their names must not come from them) knows that they are whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from asyncdicom.errors import ContentError, FetchError, InvalidUid
from asyncdicom.model import Uid, parse_uid
from asyncdicom.protocol.part10_text import decode_text
from asyncdicom.protocol.part10_vocabulary import Tags
from asyncdicom.protocol.part10_witness import (
    PIXEL_ELEMENTS,
    belongs_to_study,
    check_pixels,
    check_witnesses,
    missing,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.protocol.part10_dataset import DataSetWalker

__all__ = ["FileMeta", "InstanceFacts", "instance_facts", "parse_uid_bytes"]


class FileMeta(NamedTuple):
    """What the file meta information says (PS3.10 §7.1)."""

    transfer_syntax_uid: Uid
    media_storage_sop_instance_uid: Uid


class InstanceFacts(NamedTuple):
    """A DICOM file that is structurally whole, and who it says it is.

    A tuple, as one is made for each instance that arrives.
    """

    transfer_syntax_uid: Uid
    media_storage_sop_instance_uid: Uid
    """Of the file meta information; to be compared with `sop_instance_uid`."""
    sop_class_uid: Uid
    sop_instance_uid: Uid
    study_instance_uid: Uid | None
    """None only in instances that belong to no study (PS3.4 §GG)."""
    series_instance_uid: Uid | None
    byte_count: int
    """Of the whole file."""
    number_of_frames: int
    """At least 1."""
    has_pixel_data: bool
    elements: Mapping[str, str]
    """Collected values by keyword, as text; absent and empty ones are left out."""
    doubts: tuple[str, ...] = ()
    """What should be there and is not, although the structure is whole."""


def instance_facts(
    meta: FileMeta, found: DataSetWalker, collect: Mapping[int, str], byte_count: int
) -> tuple[InstanceFacts, FetchError | None]:
    """Judge what was found.

    Args:
        meta: File meta information.
        found: The walker, after its end was confirmed.
        collect: Keywords by tag.
        byte_count: Size of the file.

    Returns:
        What the instance is, and what casts doubt on it: `Truncated` if something is
        missing and a cut explains it, `ContentError` if it is missing in between,
        `ProtocolError` if the pixel data is shorter than the image.

    Raises:
        Truncated: If a UID is missing and a cut explains it.
        ContentError: If a UID or a number is none, or is missing in between.

    """
    sop_class_uid = _needed_uid(found, Tags.SOP_CLASS_UID, "SOPClassUID")
    sop_instance_uid = _needed_uid(found, Tags.SOP_INSTANCE_UID, "SOPInstanceUID")
    uid = _needed_uid if belongs_to_study(sop_class_uid) else _uid
    study_instance_uid = uid(found, Tags.STUDY_INSTANCE_UID, "StudyInstanceUID")
    series_instance_uid = uid(found, Tags.SERIES_INSTANCE_UID, "SeriesInstanceUID")
    number_of_frames = _number_of_frames(found)
    doubt = _doubt(found, sop_class_uid, meta.transfer_syntax_uid, number_of_frames)
    values = found.values
    character_set = values.get(Tags.SPECIFIC_CHARACTER_SET, b"")
    elements = {
        keyword: text
        for tag, keyword in collect.items()
        if tag in values and (text := decode_text(values[tag], character_set))
    }
    facts = InstanceFacts(
        transfer_syntax_uid=meta.transfer_syntax_uid,
        media_storage_sop_instance_uid=meta.media_storage_sop_instance_uid,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        byte_count=byte_count,
        number_of_frames=number_of_frames,
        has_pixel_data=not PIXEL_ELEMENTS.isdisjoint(found.lengths),
        elements=elements,
        doubts=() if doubt is None else (str(doubt),),
    )
    return facts, doubt


def _doubt(
    found: DataSetWalker, sop_class_uid: Uid, transfer_syntax_uid: Uid, frames: int
) -> FetchError | None:
    try:
        check_witnesses(found, sop_class_uid)
        check_pixels(found, sop_class_uid, transfer_syntax_uid, frames)
    except FetchError as doubt:
        return doubt
    return None


def _uid(found: DataSetWalker, tag: int, keyword: str) -> Uid | None:
    raw = found.values.get(tag)
    return parse_uid_bytes(raw, keyword) if raw else None


def _needed_uid(found: DataSetWalker, tag: int, keyword: str) -> Uid:
    raw = found.values.get(tag)
    if not raw:
        raise missing(found, tag, keyword)
    return parse_uid_bytes(raw, keyword)


# Instances of a run share their study, series, class and transfer syntax.
@lru_cache(maxsize=512)
def parse_uid_bytes(raw: bytes, keyword: str) -> Uid:
    """Validate a UID as it stands in a file.

    Raises:
        ContentError: If it is none (PS3.5 §9.1). A file that says so is an
            outcome, not a mistake of the user's.

    """
    try:
        return parse_uid(raw.decode("latin-1"))
    except InvalidUid as error:
        raise ContentError(f"{keyword} is {error.message}") from error


def _number_of_frames(found: DataSetWalker) -> int:
    if Tags.NUMBER_OF_FRAMES not in found.values:
        return 1
    text = found.values[Tags.NUMBER_OF_FRAMES].strip(b" \0")
    # PS3.5 §6.2: IS has at most 12 characters.
    if len(text) > 12 or not (text or b"0").removeprefix(b"+").isdigit():
        raise ContentError("NumberOfFrames is not a number")
    # Some writers put 0 or nothing into images of one frame.
    return max(1, int(text or b"0"))
