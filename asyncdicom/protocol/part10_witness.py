"""Witnesses against a cut between two elements, which leaves a data set structurally whole.

* the UIDs that each instance of a study has (PS3.3 §C.12.1, §C.7.2.1, §C.7.3.1);
* pixel data, where the SOP class is an image, or Rows, Columns and Bits Allocated
  announce one; its length, or the number of its fragments (PS3.3 §C.7.6.3, PS3.5 §8.2, §A.4);
* the last mandatory element (type 1) of some other kinds of instances.

Rule: what remains undetected is a cut between two elements behind the last witness
(behind the pixel data: private elements, signatures, padding), and one in a kind of
instance without a known witness (RT plans, registrations, raw data, private SOP
classes). Only framing around the file, a size or a digest can tell of those.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from asyncdicom.errors import ContentError, ProtocolError, Truncated
from asyncdicom.protocol.part10_vocabulary import (
    UNDEFINED_LENGTH,
    Tags,
    has_frame_per_fragment,
    is_native,
)

if TYPE_CHECKING:
    from asyncdicom.protocol.part10_dataset import DataSetWalker

__all__ = ["PIXEL_ELEMENTS", "belongs_to_study", "check_pixels", "check_witnesses", "missing"]

PIXEL_ELEMENTS: Final = frozenset(
    (Tags.PIXEL_DATA, Tags.FLOAT_PIXEL_DATA, Tags.DOUBLE_FLOAT_PIXEL_DATA)
)

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
"""Root of the SOP classes of the Storage Service (PS3.4 §B.5)."""

# PS3.4 §GG.3: Non-Patient Object Storage.
_NON_PATIENT: Final = (f"{_STORAGE}200.", f"{_STORAGE}201.")

# PS3.4 Table B.5-1 and §B.6 (retired): the classes whose IOD has pixel data as
# mandatory module. RT Dose is not among them: a dose may be histograms alone.
_IMAGES: Final = frozenset(
    f"{_STORAGE}{suffix}"
    for suffix in (
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "2", "2.1", "2.2", "3", "3.1"),
        *("4", "4.1", "4.3", "4.4", "5", "6", "6.1", "6.2", "6.3"),
        *("7", "7.1", "7.2", "7.3", "7.4", "12.1", "12.1.1", "12.2", "12.2.1", "12.3"),
        *("13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5", "14.1", "14.2", "20", "30", "66.4"),
        *("77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.3", "77.1.4", "77.1.4.1"),
        *("77.1.5.1", "77.1.5.2", "77.1.5.4", "77.1.5.5", "77.1.5.6", "77.1.5.7", "77.1.5.8"),
        *("77.1.6", "77.1.7", "77.1.8", "77.1.9", "81.1", "82.1"),
        *("128", "128.1", "130", "481.1", "481.23", "481.24"),
    )
)

_WITNESSES: Final = (
    (f"{_STORAGE}88.", Tags.CONTENT_SEQUENCE, "ContentSequence"),
    (f"{_STORAGE}104.", Tags.MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, "MIMETypeOfEncapsulatedDocument"),
    (f"{_STORAGE}9.", Tags.WAVEFORM_SEQUENCE, "WaveformSequence"),
    (f"{_STORAGE}4.2", Tags.SPECTROSCOPY_DATA, "SpectroscopyData"),
    (f"{_STORAGE}11.", Tags.CONTENT_LABEL, "ContentLabel"),
    (f"{_STORAGE}481.3", Tags.RT_ROI_OBSERVATIONS_SEQUENCE, "RTROIObservationsSequence"),
)
"""Prefix of the SOP class, and the last element that such an instance cannot do without.

Content Sequence is type 1C, but a report without content is worse than a refusal.
"""

# PS3.3 §C.7.6.3.1.2: two samples of chrominance serve two pixels, so that three
# samples per pixel are stored as two.
_TWO_THIRDS: Final = frozenset({b"YBR_FULL_422", b"YBR_PARTIAL_422"})


@lru_cache(maxsize=64)
def belongs_to_study(sop_class_uid: str) -> bool:
    """Tell whether an instance of a class has a study and a series for certain."""
    return sop_class_uid.startswith(_STORAGE) and not sop_class_uid.startswith(_NON_PATIENT)


def missing(found: DataSetWalker, tag: int, keyword: str) -> ContentError | Truncated:
    """Tell a data set that was cut before an element from one that never had it."""
    if any(other > tag for other in (*found.values, *found.lengths)):
        return ContentError(f"{keyword} is missing")
    return Truncated(f"the data set ends before {keyword}")


def check_witnesses(found: DataSetWalker, sop_class_uid: str) -> None:
    """Look for the last mandatory element of what is no image.

    Raises:
        Truncated, ContentError: If it is missing.

    """
    for tag, keyword in _witnesses_of(sop_class_uid):
        if tag not in found.lengths:
            raise missing(found, tag, keyword)


@lru_cache(maxsize=64)
def _witnesses_of(sop_class_uid: str) -> tuple[tuple[int, str], ...]:
    return tuple(
        (tag, word) for prefix, tag, word in _WITNESSES if sop_class_uid.startswith(prefix)
    )


def check_pixels(
    found: DataSetWalker, sop_class_uid: str, transfer_syntax_uid: str, frames: int
) -> None:
    """Compare the pixel data with the image that the attributes announce.

    Raises:
        Truncated, ContentError: If there is none.
        ProtocolError: If there is less than the image needs.

    """
    length = found.lengths.get(Tags.PIXEL_DATA)
    if length is None:
        length = next((found.lengths[tag] for tag in PIXEL_ELEMENTS if tag in found.lengths), None)
    least = _native_bytes(found, frames)
    if length is None:
        is_announced = least and sop_class_uid.startswith(_STORAGE)
        # PS3.5 §A.6: with JPIP the pixels stay behind a URL.
        is_elsewhere = Tags.PIXEL_DATA_PROVIDER_URL in found.lengths
        if not is_elsewhere and (is_announced or sop_class_uid in _IMAGES):
            raise missing(found, Tags.PIXEL_DATA, "PixelData")
    elif length == UNDEFINED_LENGTH:
        _check_fragments(found.fragment_count or 0, transfer_syntax_uid, frames)
    elif is_native(transfer_syntax_uid) and length < least:
        # More than that is met in the field (pixel data filled up to a block),
        # and takes nothing away.
        raise ProtocolError(f"PixelData has {length} bytes, the image needs {least}")


def _check_fragments(fragment_count: int, transfer_syntax_uid: str, frames: int) -> None:
    least = frames if has_frame_per_fragment(transfer_syntax_uid) else 1
    if fragment_count < least:
        raise ProtocolError(f"PixelData has {fragment_count} fragments for {frames} frames")


def _native_bytes(found: DataSetWalker, frames: int) -> int:
    """Return the bytes of uncompressed pixel data (PS3.5 §8.1.1, §8.2); 0 without an image."""
    get = found.values.get
    order: Literal["big", "little"] = "big" if found.encoding.is_big_endian else "little"
    return _image_bytes(
        order,
        frames,
        get(Tags.PHOTOMETRIC_INTERPRETATION, b""),
        get(Tags.ROWS, b""),
        get(Tags.COLUMNS, b""),
        get(Tags.BITS_ALLOCATED, b""),
        get(Tags.SAMPLES_PER_PIXEL, b""),
    )


# The instances of a series have pixels of one kind.
@lru_cache(maxsize=64)
def _image_bytes(
    order: Literal["big", "little"], frames: int, photometric: bytes, *numbers: bytes
) -> int:
    """Reckon; frames of 1-bit pixels follow each other without padding between them."""
    rows, columns, allocated, samples = (int.from_bytes(one[:2], order) for one in numbers)
    bits = rows * columns * frames * (samples or 1) * allocated
    if samples == 3 and photometric.strip(b" \0") in _TWO_THIRDS:
        bits = bits * 2 // 3
    return (bits + 7) // 8
