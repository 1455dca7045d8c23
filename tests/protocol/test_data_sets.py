"""Parts of data sets: what is collected, how it is encoded, and that bounds hold."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from asyncdicom.errors import LimitExceeded
from asyncdicom.protocol import data_sets
from asyncdicom.protocol.data_elements import (
    ElementFound,
    ElementReader,
    SequenceBegan,
    SourceBytes,
)
from asyncdicom.protocol.data_sets import (
    DataElement,
    collect,
    encoded,
    encoded_item,
    items_of,
    needs_character_set,
)
from asyncdicom.protocol.part10_vocabulary import EXPLICIT, encoding_of
from asyncdicom.storage.data_dictionary import vr_of
from tests.support import dicom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.protocol.data_sets import Item

SYNTAXES = pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian],
    ids=["explicit", "implicit", "big endian"],
)
SEQUENCE = 0x00081140


def collected(content: bytes, tags: Sequence[int]) -> Item:
    syntax = pydicom.dcmread(io.BytesIO(content)).file_meta.TransferSyntaxUID
    source = SourceBytes(content)
    reader = ElementReader(source, encoding_of(syntax), vr_of=vr_of, wanted=frozenset(tags))
    return collect(reader.events(dicom.data_set_offset(content)), source)


def read_back(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(dicom.with_file_meta(content)))


def rich(syntax: str, *, is_undefined: bool = False) -> bytes:
    dataset = dicom.identified(sop_class_uid="1.2.840.10008.5.1.4.1.1.2")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Größe^山"
    dataset.ReferencedImageSequence = [dicom.reference("2.999.8"), Dataset()]
    inner = dicom.code("a", "b", "ä")
    inner.PurposeOfReferenceCodeSequence = [dicom.code("c", "d", "e")]
    dataset.ReferencedImageSequence[1].PurposeOfReferenceCodeSequence = [inner]
    dataset["ReferencedImageSequence"].is_undefined_length = is_undefined
    dataset.ReferencedImageSequence[0].is_undefined_length_sequence_item = is_undefined
    dataset.Rows = 258
    dataset.add_new(0x00189073, "FD", 2.5)
    dataset.FrameIncrementPointer = 0x00181063
    return dicom.part10(dataset, syntax)


@SYNTAXES
@pytest.mark.parametrize("is_undefined", [False, True], ids=["defined", "undefined"])
def test_what_is_copied_reads_as_it_did(syntax: str, *, is_undefined: bool) -> None:
    content = rich(syntax, is_undefined=is_undefined)
    tags = [0x00080005, SEQUENCE, 0x00100010, 0x00189073, 0x00280009, 0x00280010]
    found = collected(content, tags)
    assert list(found) == tags
    copied = read_back(b"".join(map(encoded, found.values())))
    original = pydicom.dcmread(io.BytesIO(content))
    for tag in tags:
        assert copied[tag].value == original[tag].value
        assert copied[tag].VR == original[tag].VR


@SYNTAXES
def test_what_is_not_wanted_is_left_out(syntax: str) -> None:
    assert list(collected(rich(syntax, is_undefined=True), [0x00100010])) == [0x00100010]


def test_encapsulated_values_in_items_are_left_out() -> None:
    icon = Dataset()
    icon.Rows = 4
    icon.PixelData = pydicom.encaps.encapsulate([b"ab"])
    icon["PixelData"].VR = "OB"
    icon["PixelData"].is_undefined_length = True
    dataset = dicom.identified(sop_class_uid="1.2.840.10008.5.1.4.1.1.2")
    dataset.IconImageSequence = [icon]
    content = dicom.part10(dataset, "1.2.840.10008.1.2.4.90")
    found = collected(content, [0x00880200])
    assert [list(item) for item in found[0x00880200].items] == [[0x00280010]]
    source = SourceBytes(content)
    events = ElementReader(source, EXPLICIT, vr_of=vr_of).events(dicom.data_set_offset(content))
    next(event for event in events if isinstance(event, SequenceBegan))
    assert [list(item) for _, item in items_of(events, source)] == [[0x00280010]]


def test_what_stands_behind_encapsulated_pixels_is_found() -> None:
    content = dicom.encapsulated() + encoded(DataElement(0xFFFCFFFC, "OB", b"ab"))
    assert list(collected(content, [0x7FE00010, 0xFFFCFFFC])) == [0xFFFCFFFC]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_sets, "MAX_COLLECTED_BYTES", 100)
    dataset = dicom.identified(sop_class_uid="1.2.840.10008.5.1.4.1.1.2")
    dataset.PatientComments = "x" * 102
    with pytest.raises(LimitExceeded, match="more than 100 bytes"):
        collected(dicom.part10(dataset), [0x00104000])
    dataset.PatientComments = "x" * 100
    assert collected(dicom.part10(dataset), [0x00104000])


def test_items_come_with_their_places() -> None:
    dataset = dicom.identified(sop_class_uid="1.2.840.10008.5.1.4.1.1.2")
    dataset.ReferencedImageSequence = [Dataset(), dicom.code("a", "b", "c"), Dataset()]
    dataset.ReferencedImageSequence[2].PurposeOfReferenceCodeSequence = [dicom.code("d", "e", "f")]
    content = dicom.part10(dataset)
    source = SourceBytes(content)
    events = ElementReader(source, EXPLICIT, vr_of=vr_of).events(dicom.data_set_offset(content))
    next(event for event in events if isinstance(event, SequenceBegan))
    found = list(items_of(events, source))
    assert [content[place : place + 4] for place, _ in found] == [b"\xfe\xff\x00\xe0"] * 3
    assert [list(item) for _, item in found] == [
        [],
        [0x00080100, 0x00080102, 0x00080104],
        [0x0040A170],
    ]
    following = next(events)
    assert isinstance(following, ElementFound)
    assert following.tag == 0x00100010


def test_an_empty_sequence_has_no_items() -> None:
    content = encoded(DataElement(SEQUENCE, "SQ"))
    source = SourceBytes(content)
    events = ElementReader(source, EXPLICIT, vr_of=vr_of).events(0)
    next(events)
    assert list(items_of(events, source)) == []


@pytest.mark.parametrize(
    ("element", "content"),
    [
        pytest.param(
            DataElement(0x00100020, "LO", b"abc"), b"\x10\0\x20\0LO\4\0abc ", id="a blank pads text"
        ),
        pytest.param(
            DataElement(0x00080018, "UI", b"1.2"),
            b"\x08\0\x18\0UI\4\x001.2\0",
            id="a NUL pads UIDs",
        ),
        pytest.param(
            DataElement(0x00090010, "UN", b"\1"), b"\x09\0\x10\0UN\0\0\2\0\0\0\1\0", id="and bytes"
        ),
        pytest.param(DataElement(0x00100010, "PN"), b"\x10\0\x10\0PN\0\0", id="empty"),
        pytest.param(
            DataElement(0x00081140, "SQ"), b"\x08\0\x40\x11SQ\0\0\0\0\0\0", id="an empty sequence"
        ),
        pytest.param(
            DataElement(0x00100020, "LO", bytes(65536)),
            b"\x10\0\x20\0UN\0\0\0\0\1\0" + bytes(65536),
            id="too long for its VR",
        ),
        pytest.param(
            DataElement(0x00080001, "ZZ", b"ab"), b"\x08\0\1\0ZZ\0\0\2\0\0\0ab", id="a VR to come"
        ),
    ],
)
def test_elements_are_encoded(element: DataElement, content: bytes) -> None:
    assert encoded(element) == content


def test_items_are_encoded_by_tag() -> None:
    elements = [DataElement(tag, "CS", b"A ") for tag in (0x00080060, 0x00080008)]
    content = encoded_item({element.tag: element for element in elements})
    assert content == b"\xfe\xff\x00\xe0\x14\0\0\0\x08\0\x08\0CS\2\0A \x08\0\x60\0CS\2\0A "


ASCII, LATIN = DataElement(0x00100010, "PN", b"a"), DataElement(0x00100010, "PN", b"\xe4")


@pytest.mark.parametrize(
    ("element", "needs"),
    [
        pytest.param(ASCII, False, id="default repertoire"),
        pytest.param(LATIN, True, id="extended"),
        pytest.param(DataElement(0x00100010, "PN", b"a\x1b$B"), True, id="escaped"),
        pytest.param(DataElement(0x00280010, "US", b"\xff\xff"), False, id="a number"),
        pytest.param(DataElement(0x00091010, "UN", b"\xff\xff"), False, id="bytes"),
        pytest.param(
            DataElement(SEQUENCE, "SQ", items=({1: ASCII}, {1: LATIN})), True, id="in an item"
        ),
        pytest.param(DataElement(SEQUENCE, "SQ", items=({1: ASCII},)), False, id="in no item"),
    ],
)
def test_character_sets_are_asked_for_by_text(element: DataElement, *, needs: bool) -> None:
    assert needs_character_set(element) is needs


@pytest.mark.parametrize(
    ("element", "is_empty"),
    [
        pytest.param(DataElement(1, "LO"), True, id="nothing"),
        pytest.param(DataElement(1, "LO", b" \\ \0"), True, id="padding"),
        pytest.param(DataElement(1, "LO", b" x"), False, id="text"),
        pytest.param(DataElement(1, "SQ", items=({},)), False, id="an empty item"),
    ],
)
def test_emptiness(element: DataElement, *, is_empty: bool) -> None:
    assert element.is_empty is is_empty
