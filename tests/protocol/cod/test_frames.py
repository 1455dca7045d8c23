"""Where frames are: by the header, by the table of the metadata, by the fragments."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless

from asyncdicom.errors import (
    ContentError,
    LimitExceeded,
    ProtocolError,
    UnexpectedContent,
)
from asyncdicom.protocol.cod import frames
from asyncdicom.protocol.cod.frames import (
    PixelPlace,
    Span,
    check_item,
    fragment_spans,
    native_spans,
    pixel_place,
    table_spans,
)
from asyncdicom.protocol.part10_vocabulary import EXPLICIT
from asyncdicom.protocol.payload_events import NEED_DATA
from tests.support.dicom import ct, multi_frame, samples

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = samples()


def place_of(content: bytes) -> PixelPlace:
    found = pixel_place(content, len(content))
    assert isinstance(found, PixelPlace)
    return found


def with_pixels() -> Iterator[Any]:
    for name, content in SAMPLES.items():
        if name != "deflated" and "PixelData" in pydicom.dcmread(io.BytesIO(content)):
            yield pytest.param(content, id=name)


WITH_PIXELS = list(with_pixels())


@pytest.mark.parametrize("content", WITH_PIXELS)
def test_the_pixel_data_are_where_pydicom_has_them(content: bytes) -> None:
    dataset = pydicom.dcmread(io.BytesIO(content))
    place = place_of(content)
    assert place.value_offset == dataset["PixelData"].file_tell
    assert place.number_of_frames == int(dataset.get("NumberOfFrames", 1))
    is_compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
    assert (place.byte_count is None) == is_compressed


@pytest.mark.parametrize("content", WITH_PIXELS)
def test_as_much_is_asked_for_as_it_takes_and_no_more(content: bytes) -> None:
    place = place_of(content)
    ends = [*range(0, place.element_offset, 50), *range(place.element_offset, len(content))]
    verdicts = {end: pixel_place(content[:end], len(content)) for end in ends[:100]}
    first = next(end for end, verdict in verdicts.items() if verdict is not NEED_DATA)
    assert place.element_offset < first <= place.value_offset + 4
    assert all((verdict == place) is (end >= first) for end, verdict in verdicts.items())


@pytest.mark.parametrize("content", WITH_PIXELS)
def test_each_frame_is_what_pydicom_finds(content: bytes) -> None:
    dataset = pydicom.dcmread(io.BytesIO(content))
    place = place_of(content)
    if place.byte_count is None:
        count = place.number_of_frames
        expected = list(generate_frames(dataset.PixelData, number_of_frames=count))
        spans = fragment_spans(content, place)
    else:
        spans = [[span] for span in native_spans(place)]
        value = content[place.value_offset : place.value_offset + place.byte_count]
        size = place.frame_bits // 8
        expected = [value[n * size : (n + 1) * size] for n in range(place.number_of_frames)]
    found = [
        b"".join(content[one.first_byte : one.first_byte + one.byte_count] for one in frame)
        for frame in spans
    ]
    assert found == expected


def test_zeros_end_a_data_set_only_at_the_end_of_the_file() -> None:
    content = ct()
    at = place_of(content).element_offset
    odd = content[:at] + bytes(600) + content[at:]
    assert all(pixel_place(odd[:end], len(odd)) is NEED_DATA for end in range(at, at + 600))
    padded = content[:at] + bytes(600)
    assert pixel_place(padded, len(padded)) is None


def test_an_instance_without_pixel_data_has_no_place() -> None:
    content = SAMPLES["structured report"]
    assert pixel_place(content, len(content)) is None


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"x" * 500, ProtocolError, id="no DICOM file"),
        pytest.param(SAMPLES["deflated"], UnexpectedContent, id="deflated"),
        pytest.param(
            multi_frame().replace(b"(\x00\x08\x00IS\x02\x005 ", b"(\x00\x08\x00IS\x02\x00x "),
            ProtocolError,
            id="no number of frames",
        ),
    ],
)
def test_what_has_no_frames_to_be_found_is_refused(content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        pixel_place(content, len(content))


def test_more_frames_than_anybody_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAMES", 4)
    content = multi_frame(frames=5)
    with pytest.raises(LimitExceeded):
        pixel_place(content, len(content))


def native(**changes: Any) -> PixelPlace:
    made: dict[str, Any] = {
        "element_offset": 88,
        "value_offset": 100,
        "byte_count": 60,
        "encoding": EXPLICIT,
        "number_of_frames": 3,
        "frame_bits": 160,
    }
    return PixelPlace(**(made | changes))


def test_uncompressed_frames_stand_one_behind_the_other() -> None:
    assert native_spans(native()) == [Span(100, 20), Span(120, 20), Span(140, 20)]
    odd = native(number_of_frames=1, frame_bits=59 * 8, byte_count=60)
    assert native_spans(odd) == [Span(100, 59)]
    assert native_spans(native(number_of_frames=1, frame_bits=59 * 8 - 3)) == [Span(100, 59)]


@pytest.mark.parametrize(
    "changes", [{"frame_bits": 163}, {"byte_count": 62}, {"byte_count": 58}, {"frame_bits": 0}]
)
def test_frames_that_do_not_fit_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(UnexpectedContent):
        native_spans(native(**changes))


def test_two_colours_may_share_their_columns() -> None:
    content = ct(rows=4, columns=4).replace(b"MONOCHROME2 ", b"YBR_FULL_422")
    assert place_of(content).frame_bits == place_of(ct(rows=4, columns=4)).frame_bits * 2 // 3


ENCAPSULATED = native(byte_count=None)


def tables(offsets: Any, lengths: Any) -> dict[str, Any]:
    return {"offset_tables": {"CustomOffsetTable": offsets, "CustomOffsetTableLengths": lengths}}


def test_the_table_says_where_encapsulated_frames_are() -> None:
    entry = tables([116, 136, 156], [12, 12, 12])
    assert table_spans(entry, ENCAPSULATED) == [Span(116, 12), Span(136, 12), Span(156, 12)]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({}, id="none"),
        pytest.param({"offset_tables": []}, id="a list"),
        pytest.param({"offset_tables": {}}, id="empty"),
        pytest.param(tables([116], [12]), id="too short"),
        pytest.param(tables([116, 136, 156], [12, 12]), id="lengths too short"),
        pytest.param(tables([116, 136, "x"], [12, 12, 12]), id="no number"),
        pytest.param(tables([116, 136, 156], [12, 13, 12]), id="overlapping"),
        pytest.param(tables([116, 136, 130], [12, 12, 12]), id="backwards"),
        pytest.param(tables([108, 136, 156], [12, 12, 12]), id="in front of the pixel data"),
        pytest.param(tables([116, 136, 156], [12, 0, 12]), id="an empty frame"),
    ],
)
def test_a_table_that_cannot_be_is_not_used(entry: dict[str, Any]) -> None:
    assert table_spans(entry, ENCAPSULATED) is None


def test_an_item_has_the_length_of_the_table() -> None:
    check_item(b"\xfe\xff\x00\xe0\x0c\x00\x00\x00", Span(116, 12))
    for header in (b"\xfe\xff\x00\xe0\x0d\x00\x00\x00", b"\xfe\xff\xdd\xe0\x0c\x00\x00\x00"):
        with pytest.raises(ContentError, match="does not fit"):
            check_item(header, Span(116, 12))


def test_fragments_that_nobody_sorts_are_refused() -> None:
    content = SAMPLES["jpeg 2000 in many fragments"]
    dataset = pydicom.dcmread(io.BytesIO(content))
    assert dataset.file_meta.TransferSyntaxUID == JPEG2000Lossless
    value = content.index(b"\xfe\xff\x00\xe0", place_of(content).value_offset)
    length = int.from_bytes(content[value + 4 : value + 8], "little")
    assert length, "it has a basic offset table"
    bare = content[: value + 4] + bytes(4) + content[value + 8 + length :]
    with pytest.raises(UnexpectedContent, match="which fragments"):
        fragment_spans(bare, place_of(bare))
    wrong = bytearray(content)
    wrong[value + 12] ^= 2
    with pytest.raises(UnexpectedContent, match="does not fit"):
        fragment_spans(bytes(wrong), place_of(bytes(wrong)))


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(b"", id="nor table"),
        pytest.param(b"\xfe\xff\x00\xe0\x00\x00\x00\x00", id="but a table"),
    ],
)
def test_pixel_data_without_fragments_have_no_frames(items: bytes) -> None:
    content = SAMPLES["jpeg 2000 in many fragments"]
    value = content.index(b"\xfe\xff\x00\xe0", place_of(content).value_offset)
    empty = content[:value] + items + b"\xfe\xff\xdd\xe0" + bytes(4)
    with pytest.raises(ProtocolError, match="no fragment"):
        fragment_spans(empty, place_of(empty))


def test_a_table_of_odd_length_says_what_it_can() -> None:
    content = SAMPLES["jpeg 2000 in many fragments"]
    value = content.index(b"\xfe\xff\x00\xe0", place_of(content).value_offset)
    length = int.from_bytes(content[value + 4 : value + 8], "little")
    longer = content[: value + 4] + (length + 2).to_bytes(4, "little") + content[value + 8 :]
    odd = longer[: value + 8 + length] + b"\0\0" + longer[value + 8 + length :]
    found = fragment_spans(odd, place_of(odd))
    assert len(found) == len(fragment_spans(content, place_of(content)))
