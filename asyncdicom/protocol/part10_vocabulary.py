"""Tags, VRs, transfer syntaxes and limits that the Part 10 walker goes by.

PS3.5 §7.1 (data elements), PS3.5 Annex A and PS3.6 Annex A (transfer syntaxes).
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BIG_ENDIAN",
    "DEFAULT_TAGS",
    "EXPLICIT",
    "IMPLICIT",
    "MARKERS_ONLY",
    "MISPLACED",
    "NO_VALUE",
    "PRESENCE_ONLY",
    "UNDEFINED_LENGTH",
    "Encoding",
    "Part10Limits",
    "Tags",
    "WatchList",
    "encoding_of",
    "has_frame_per_fragment",
    "is_deflated",
    "is_native",
    "watch_list",
]

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
"""PS3.5 §7.1.1: the value is closed by a delimiter."""


class Tags:
    """Data elements that the walk itself needs to know (PS3.6 §6)."""

    SPECIFIC_CHARACTER_SET: Final = 0x00080005
    SOP_CLASS_UID: Final = 0x00080016
    SOP_INSTANCE_UID: Final = 0x00080018
    STUDY_INSTANCE_UID: Final = 0x0020000D
    SERIES_INSTANCE_UID: Final = 0x0020000E
    SAMPLES_PER_PIXEL: Final = 0x00280002
    PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
    NUMBER_OF_FRAMES: Final = 0x00280008
    ROWS: Final = 0x00280010
    COLUMNS: Final = 0x00280011
    BITS_ALLOCATED: Final = 0x00280100
    PIXEL_DATA_PROVIDER_URL: Final = 0x00287FE0
    CONTENT_SEQUENCE: Final = 0x0040A730
    MIME_TYPE_OF_ENCAPSULATED_DOCUMENT: Final = 0x00420012
    CONTENT_LABEL: Final = 0x00700080
    RT_ROI_OBSERVATIONS_SEQUENCE: Final = 0x30060080
    WAVEFORM_SEQUENCE: Final = 0x54000100
    SPECTROSCOPY_DATA: Final = 0x56000020
    FLOAT_PIXEL_DATA: Final = 0x7FE00008
    DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009
    PIXEL_DATA: Final = 0x7FE00010
    ITEM: Final = 0xFFFEE000
    ITEM_DELIMITATION: Final = 0xFFFEE00D
    SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD


DEFAULT_TAGS: Final[Mapping[int, str]] = {
    0x00080020: "StudyDate",
    0x00080021: "SeriesDate",
    0x00080050: "AccessionNumber",
    0x00080060: "Modality",
    0x00081030: "StudyDescription",
    0x0008103E: "SeriesDescription",
    0x00100010: "PatientName",
    0x00100020: "PatientID",
    0x00200010: "StudyID",
    0x00200011: "SeriesNumber",
    0x00200013: "InstanceNumber",
}
"""What the layouts on disk name folders and files after."""

PRESENCE_ONLY: Final = frozenset(
    {
        Tags.PIXEL_DATA_PROVIDER_URL,
        Tags.CONTENT_SEQUENCE,
        Tags.MIME_TYPE_OF_ENCAPSULATED_DOCUMENT,
        Tags.CONTENT_LABEL,
        Tags.RT_ROI_OBSERVATIONS_SEQUENCE,
        Tags.WAVEFORM_SEQUENCE,
        Tags.SPECTROSCOPY_DATA,
        Tags.FLOAT_PIXEL_DATA,
        Tags.DOUBLE_FLOAT_PIXEL_DATA,
        Tags.PIXEL_DATA,
    }
)
"""Elements of which only the length is noted: they are evidence that nothing was cut off."""

_VALUES: Final = (
    Tags.SPECIFIC_CHARACTER_SET,
    Tags.SOP_CLASS_UID,
    Tags.SOP_INSTANCE_UID,
    Tags.STUDY_INSTANCE_UID,
    Tags.SERIES_INSTANCE_UID,
    Tags.SAMPLES_PER_PIXEL,
    Tags.PHOTOMETRIC_INTERPRETATION,
    Tags.NUMBER_OF_FRAMES,
    Tags.ROWS,
    Tags.COLUMNS,
    Tags.BITS_ALLOCATED,
)
_MARKERS: Final = (Tags.ITEM, Tags.ITEM_DELIMITATION, Tags.SEQUENCE_DELIMITATION)

# PS3.10 §7.1: seen in the data set, these prove that the group length of the file
# meta information was too small.
_FILE_META: Final = tuple(range(0x00020000, 0x00020019))

MISPLACED: Final = frozenset((*_MARKERS, *_FILE_META))
"""What never stands where an element of a data set belongs."""

NO_VALUE: Final = PRESENCE_ONLY | MISPLACED
"""Of which no value is kept."""

# PS3.5 §7.1.2, Table 7.1-2: a 16-bit length follows the VR.
_SHORT_VRS: Final = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS"),
    *("LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
)


@dataclass(frozen=True, slots=True)
class Part10Limits:
    """What a file may claim before it is refused."""

    max_file_meta_bytes: int = 64 * 1024
    """The file meta information is held whole while it is read. It is under 400 bytes
    in practice; Private Information (0002,0102) alone could make it larger."""
    max_value_bytes: int = 4 * 1024
    """Most that is kept of one collected value; the rest is skipped. The longest text
    that names a folder has 64 characters per component (PS3.5 §6.2)."""
    max_nesting: int = 64
    """Sequences within sequences. Structured reports, the deepest in use, stay below 20."""
    max_zero_padding_bytes: int = 4 * 1024
    """Zeros after the data set: writers that fill up to a sector of 512, 2,048 or 4,096 bytes."""
    max_inflation: int = 200
    """Times that a deflated data set may grow. Text shrinks to a tenth; deflate itself
    can reach 1,032 times, and only a bomb does."""
    inflation_matters_from_bytes: int = 1024 * 1024
    """Below this much output no ratio is worth a refusal: a black frame shrinks a lot."""


class Encoding:
    """How headers are laid out (PS3.5 Annex A.1 to A.3).

    Tags and VRs are compared as the integers that one `unpack` gives ("wire
    form"), so that no header becomes an object of its own.
    """

    __slots__ = (
        "fragment_vrs",
        "is_big_endian",
        "is_explicit",
        "item",
        "item_delimitation",
        "length_32",
        "pixel_data",
        "sequence_delimitation",
        "short_vrs",
        "sq",
        "tag_length",
        "tag_vr_length",
        "un",
    )

    def __init__(self, *, is_explicit: bool, is_big_endian: bool) -> None:
        self.is_explicit = is_explicit
        self.is_big_endian = is_big_endian
        order = ">" if is_big_endian else "<"
        self.tag_length = Struct(f"{order}II").unpack_from
        self.tag_vr_length = Struct(f"{order}IHH").unpack_from
        self.length_32 = Struct(f"{order}I").unpack_from
        self.short_vrs = frozenset(map(self._wire_vr, _SHORT_VRS))
        self.sq = self._wire_vr("SQ")
        self.un = self._wire_vr("UN")
        self.fragment_vrs = frozenset((self._wire_vr("OB"), self._wire_vr("OW")))
        self.item = self.wire_tag(Tags.ITEM)
        self.item_delimitation = self.wire_tag(Tags.ITEM_DELIMITATION)
        self.sequence_delimitation = self.wire_tag(Tags.SEQUENCE_DELIMITATION)
        self.pixel_data = self.wire_tag(Tags.PIXEL_DATA)

    def wire_tag(self, tag: int) -> int:
        """Return a tag as one 32-bit `unpack` sees it."""
        # Group and element are two 16-bit numbers: little endian swaps them.
        return tag if self.is_big_endian else (tag & 0xFFFF) << 16 | tag >> 16

    def could_be_vr(self, vr: int) -> bool:
        """Tell whether the two bytes are capital letters, as each VR is (PS3.5 §6.2)."""
        return all(0x41 <= byte <= 0x5A for byte in vr.to_bytes(2, "big"))

    def _wire_vr(self, vr: str) -> int:
        return int.from_bytes(vr.encode(), "big" if self.is_big_endian else "little")


IMPLICIT: Final = Encoding(is_explicit=False, is_big_endian=False)
EXPLICIT: Final = Encoding(is_explicit=True, is_big_endian=False)
BIG_ENDIAN: Final = Encoding(is_explicit=True, is_big_endian=True)

_IMPLICIT_UIDS: Final = frozenset(
    {
        "1.2.840.10008.1.2",
        # Private, of GE: implicit VR little endian but for the pixels' byte order.
        "1.2.840.113619.5.2",
    }
)
_BIG_ENDIAN_UID: Final = "1.2.840.10008.1.2.2"
_DEFLATED_UIDS: Final = frozenset(
    {
        "1.2.840.10008.1.2.1.99",
        # JPIP Referenced Deflate and JPIP HTJ2K Referenced Deflate (PS3.5 §A.7, §A.9).
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.205",
    }
)
_NATIVE_UIDS: Final = _IMPLICIT_UIDS | {
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    _BIG_ENDIAN_UID,
}
# One fragment holds frames of any number: MPEG-2, MPEG-4 AVC, HEVC (PS3.5 §8.2.5 to
# §8.2.8) and their fragmentable kinds. JPEG 2000 Part 2 multi-component spreads a group
# of frames over one code stream (PS3.5 §A.4.4).
_VIDEO_UIDS: Final = frozenset(
    f"1.2.840.10008.1.2.4.{suffix}"
    for suffix in (
        *("92", "93"),
        *("100", "100.1", "101", "101.1", "102", "102.1", "103", "103.1"),
        *("104", "104.1", "105", "105.1", "106", "106.1", "107", "108"),
    )
)


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return the encoding of the data set, inflated if it is deflated.

    PS3.5 §10.1: every transfer syntax but the default one has explicit VR, and
    all but one are little endian. A private one is taken to follow suit.
    """
    if transfer_syntax_uid in _IMPLICIT_UIDS:
        return IMPLICIT
    return BIG_ENDIAN if transfer_syntax_uid == _BIG_ENDIAN_UID else EXPLICIT


def is_deflated(transfer_syntax_uid: str) -> bool:
    """Tell whether the data set is deflated as a whole (PS3.5 §A.5)."""
    return transfer_syntax_uid in _DEFLATED_UIDS


def is_native(transfer_syntax_uid: str) -> bool:
    """Tell whether pixel data is stored uncompressed, so that its length can be reckoned."""
    return transfer_syntax_uid in _NATIVE_UIDS


def has_frame_per_fragment(transfer_syntax_uid: str) -> bool:
    """Tell whether each frame has at least one fragment of its own (PS3.5 §A.4)."""
    standard = transfer_syntax_uid.startswith("1.2.840.10008.1.2.")
    return standard and transfer_syntax_uid not in _VIDEO_UIDS


class WatchList:
    """Tags to note at the top level of a data set, by their wire form."""

    __slots__ = ("big_endian", "little_endian")

    def __init__(self, tags: frozenset[int]) -> None:
        self.little_endian = {EXPLICIT.wire_tag(tag): tag for tag in tags}
        self.big_endian = {tag: tag for tag in tags}

    def of(self, encoding: Encoding) -> Mapping[int, int]:
        """Return wire tag to tag."""
        return self.big_endian if encoding.is_big_endian else self.little_endian


@lru_cache(maxsize=16)
def watch_list(extra: tuple[int, ...]) -> WatchList:
    """Return what to note at the top level; cached, as a run asks for few different ones."""
    return WatchList(frozenset((*_VALUES, *PRESENCE_ONLY, *MISPLACED, *extra)))


MARKERS_ONLY: Final = WatchList(frozenset(_MARKERS))
"""What to notice inside items: a marker where an element belongs."""
