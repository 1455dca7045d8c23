"""What must be there, by SOP class and image; each witness missing, short, or excused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID

from asyncdicom.errors import ContentError, ProtocolError, Truncated
from asyncdicom.protocol.part10_dataset import DataSetWalker
from asyncdicom.protocol.part10_vocabulary import (
    BIG_ENDIAN,
    EXPLICIT,
    UNDEFINED_LENGTH,
    Encoding,
    Part10Limits,
    Tags,
    watch_list,
)
from asyncdicom.protocol.part10_witness import (
    belongs_to_study,
    check_pixels,
    check_witnesses,
    missing,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STORAGE = "1.2.840.10008.5.1.4.1.1."
CT = f"{STORAGE}2"
RT_DOSE = f"{STORAGE}481.2"
PRIVATE = "2.999.1"
NATIVE = "1.2.840.10008.1.2.1"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
MPEG = "1.2.840.10008.1.2.4.102"
PIXELS = Tags.PIXEL_DATA


def us(number: int) -> bytes:
    return number.to_bytes(2, "little")


def found(
    values: Mapping[int, bytes] | None = None,
    lengths: Mapping[int, int] | None = None,
    *,
    fragment_count: int | None = None,
    encoding: Encoding = EXPLICIT,
) -> DataSetWalker:
    walker = DataSetWalker(encoding, start=0, watch=watch_list(()), limits=Part10Limits())
    walker.values.update(values or {})
    walker.lengths.update(lengths or {})
    walker.fragment_count = fragment_count
    return walker


def image(
    rows: int = 4, columns: int = 4, bits: int = 16, samples: int = 1, photometric: bytes = b""
) -> dict[int, bytes]:
    return {
        Tags.SAMPLES_PER_PIXEL: us(samples),
        Tags.PHOTOMETRIC_INTERPRETATION: photometric,
        Tags.ROWS: us(rows),
        Tags.COLUMNS: us(columns),
        Tags.BITS_ALLOCATED: us(bits),
    }


@pytest.mark.parametrize(
    ("values", "frames", "needed"),
    [
        pytest.param(image(), 1, 32, id="16 bits"),
        pytest.param(image(), 3, 96, id="three frames"),
        pytest.param(image(bits=8, samples=3, photometric=b"RGB"), 1, 48, id="RGB"),
        pytest.param(
            image(bits=8, samples=3, photometric=b"YBR_FULL_422"), 1, 32, id="shared chrominance"
        ),
        pytest.param(
            image(bits=8, samples=3, photometric=b"YBR_PARTIAL_422 "), 1, 32, id="padded name"
        ),
        pytest.param(image(bits=8, photometric=b"YBR_FULL_422"), 1, 16, id="one sample is whole"),
        pytest.param(image(3, 3, bits=1), 3, 4, id="1-bit frames without padding between"),
        pytest.param(image(3, 3, bits=8), 1, 9, id="odd"),
        pytest.param(image(4, 4, bits=12), 1, 24, id="12 bits, packed"),
        pytest.param(
            {k: v for k, v in image().items() if k != Tags.SAMPLES_PER_PIXEL}, 1, 32,
            id="one sample unless told otherwise",
        ),
    ],
)  # fmt: skip
def test_native_pixels_are_as_many_as_the_image_needs(
    values: dict[int, bytes], frames: int, needed: int
) -> None:
    for enough in (needed, needed + 1, needed + 600):
        check_pixels(found(values, {PIXELS: enough}), CT, NATIVE, frames)
    with pytest.raises(ProtocolError, match=f"has {needed - 1} bytes, the image needs {needed}"):
        check_pixels(found(values, {PIXELS: needed - 1}), CT, NATIVE, frames)


def test_big_endian_numbers() -> None:
    values = {tag: value[::-1] for tag, value in image().items()}
    with pytest.raises(ProtocolError, match="needs 32"):
        check_pixels(found(values, {PIXELS: 31}, encoding=BIG_ENDIAN), CT, NATIVE, 1)


@pytest.mark.parametrize(
    ("lengths", "fragments", "transfer_syntax_uid"),
    [
        pytest.param({PIXELS: 1}, None, JPEG_2000, id="compressed in a native element"),
        pytest.param({PIXELS: UNDEFINED_LENGTH}, 3, JPEG_2000, id="a fragment for each frame"),
        pytest.param({PIXELS: UNDEFINED_LENGTH}, 9, JPEG_2000, id="several for each frame"),
        pytest.param({PIXELS: UNDEFINED_LENGTH}, 1, MPEG, id="a video in one fragment"),
        pytest.param({Tags.FLOAT_PIXEL_DATA: 96}, None, NATIVE, id="float pixels"),
        pytest.param({Tags.DOUBLE_FLOAT_PIXEL_DATA: 96}, None, NATIVE, id="double float pixels"),
        pytest.param({Tags.PIXEL_DATA_PROVIDER_URL: 8}, None, NATIVE, id="behind a URL"),
    ],
)
def test_whole_pixel_data(
    lengths: dict[int, int], fragments: int | None, transfer_syntax_uid: str
) -> None:
    walker = found(image(), lengths, fragment_count=fragments)
    check_pixels(walker, CT, transfer_syntax_uid, 3)


@pytest.mark.parametrize(
    ("fragments", "transfer_syntax_uid"),
    [
        pytest.param(2, JPEG_2000, id="a frame without fragment"),
        pytest.param(0, MPEG, id="a video without fragment"),
        pytest.param(-1, JPEG_2000, id="not even an offset table"),
        pytest.param(None, JPEG_2000, id="nothing counted"),
    ],
)
def test_missing_fragments(fragments: int | None, transfer_syntax_uid: str) -> None:
    walker = found(image(), {PIXELS: UNDEFINED_LENGTH}, fragment_count=fragments)
    with pytest.raises(ProtocolError, match=f"has {fragments or 0} fragments for 3 frames"):
        check_pixels(walker, CT, transfer_syntax_uid, 3)


@pytest.mark.parametrize(
    ("sop_class_uid", "values"),
    [
        pytest.param(CT, {}, id="an image class"),
        pytest.param(RT_DOSE, image(), id="Rows and Columns announce an image"),
    ],
)
def test_an_image_without_pixels_was_cut(sop_class_uid: str, values: dict[int, bytes]) -> None:
    with pytest.raises(Truncated, match="ends before PixelData"):
        check_pixels(found(values), sop_class_uid, NATIVE, 1)


@pytest.mark.parametrize(
    ("sop_class_uid", "values"),
    [
        pytest.param(RT_DOSE, {}, id="a dose of histograms"),
        pytest.param(RT_DOSE, {Tags.ROWS: us(4), Tags.COLUMNS: us(4)}, id="a matrix, no image"),
        pytest.param(RT_DOSE, {**image(), Tags.ROWS: b""}, id="empty Rows"),
        pytest.param(PRIVATE, image(), id="a private class may do as it likes"),
    ],
)
def test_nothing_announces_pixels(sop_class_uid: str, values: dict[int, bytes]) -> None:
    check_pixels(found(values), sop_class_uid, NATIVE, 1)


@pytest.mark.parametrize(
    ("sop_class_uid", "tag", "keyword"),
    [
        (f"{STORAGE}88.11", Tags.CONTENT_SEQUENCE, "ContentSequence"),
        (f"{STORAGE}104.1", 0x00420012, "MIMETypeOfEncapsulatedDocument"),
        (f"{STORAGE}9.1.1", Tags.WAVEFORM_SEQUENCE, "WaveformSequence"),
        (f"{STORAGE}4.2", Tags.SPECTROSCOPY_DATA, "SpectroscopyData"),
        (f"{STORAGE}11.1", 0x00700080, "ContentLabel"),
        (f"{STORAGE}481.3", 0x30060080, "RTROIObservationsSequence"),
    ],
)
def test_the_last_mandatory_element_must_be_there(
    sop_class_uid: str, tag: int, keyword: str
) -> None:
    check_witnesses(found({}, {tag: 1}), sop_class_uid)
    with pytest.raises(Truncated, match=f"ends before {keyword}"):
        check_witnesses(found(), sop_class_uid)


def test_what_lacks_in_between_was_not_cut_off() -> None:
    assert isinstance(missing(found({0x10: b""}), 0x20, "X"), Truncated)
    assert isinstance(missing(found({0x30: b""}), 0x20, "X"), ContentError)
    assert isinstance(missing(found({}, {0x30: 1}), 0x20, "X"), ContentError)


@pytest.mark.parametrize(
    ("sop_class_uid", "expected"),
    [
        pytest.param(CT, True, id="CT"),
        pytest.param(f"{STORAGE}200.1", False, id="a protocol"),
        pytest.param(f"{STORAGE}201.1", False, id="an inventory"),
        pytest.param(PRIVATE, False, id="private"),
    ],
)
def test_who_belongs_to_a_study(sop_class_uid: str, expected: bool) -> None:  # noqa: FBT001 -- a table's column
    assert belongs_to_study(sop_class_uid) is expected


IMAGE_CLASSES = [
    UID(text)
    for text, facts in UID_dictionary.items()
    if text.startswith(STORAGE)
    and "Image Storage" in facts[0]
    and not facts[0].endswith("Trial")
    # DICOS and DICONDE are other standards on the same root.
    and not text.removeprefix(STORAGE).startswith(("501", "601"))
]


@pytest.mark.parametrize("uid", [pytest.param(uid, id=uid.name) for uid in IMAGE_CLASSES])
def test_every_standard_image_class_needs_pixels(uid: UID) -> None:
    with pytest.raises(Truncated):
        check_pixels(found(), uid, NATIVE, 1)
