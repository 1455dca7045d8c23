"""Whole data sets: whatever is compared instead of walked, the verdict is that of the walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import AsyncDicomError
from asyncdicom.model import Uid
from asyncdicom.protocol.part10_facts import FileMeta, InstanceFacts, instance_facts
from asyncdicom.protocol.part10_shapes import MAX_CREDIT, MAX_SHAPES, DataSetReader
from asyncdicom.protocol.part10_vocabulary import DEFAULT_TAGS, Tags
from tests.support import dicom

if TYPE_CHECKING:
    from collections.abc import Mapping

Verdict: TypeAlias = tuple[InstanceFacts, str] | tuple[str, str]

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
HEADER = bytes(340)
"""In place of file meta information, which nobody reads."""
SAMPLES = dicom.samples()
ODD_VALUES = (0x00, 0x01, 0x20, 0x2E, 0x31, 0x41, 0x7F, 0xFE, 0xFF)
COLLECTS: list[Mapping[int, str]] = [
    {},
    DEFAULT_TAGS,
    {Tags.ROWS: "Rows", Tags.SOP_CLASS_UID: "SOPClassUID", 0x00100010: "PatientName"},
]


def syntax_of(content: bytes) -> str:
    """Return the transfer syntax that a file names."""
    start = content.index(b"\x02\x00\x10\x00UI") + 8
    length = int.from_bytes(content[start - 2 : start], "little")
    return content[start : start + length].rstrip(b"\0").decode()


def data_set_of(content: bytes) -> bytes:
    return content[dicom.data_set_offset(content) :]


def meta(syntax: str = EXPLICIT, number: int = 1) -> FileMeta:
    return FileMeta(Uid(syntax), Uid(dicom.uid("instance", number)))


def read(reader: DataSetReader, known: FileMeta, data: bytes) -> Verdict:
    """Return what a reader says of a data set, whichever way it takes."""
    try:
        facts, doubt = reader.read(known, HEADER + data, len(HEADER))
    except AsyncDicomError as error:
        return type(error).__name__, str(error)
    return facts, str(doubt)


def walked(known: FileMeta, data: bytes, collect: Mapping[int, str]) -> Verdict:
    """Return what the walk says of a data set, cut in two."""
    reader = DataSetReader(collect)
    walker, stage = reader.stages(known, len(HEADER))
    middle = len(data) // 2
    try:
        stage.receive_data(data[:middle], len(HEADER))
        stage.receive_data(data[middle:], len(HEADER) + middle)
        stage.receive_eof()
        facts, doubt = instance_facts(known, walker, collect, len(HEADER) + len(data))
    except AsyncDicomError as error:
        return type(error).__name__, str(error)
    return facts, str(doubt)


@pytest.mark.parametrize("collect", COLLECTS, ids=["nothing", "names", "decisive"])
@pytest.mark.parametrize("name", SAMPLES)
def test_the_second_of_a_kind_is_read_as_the_first(name: str, collect: Mapping[int, str]) -> None:
    data, known = data_set_of(SAMPLES[name]), meta(syntax_of(SAMPLES[name]))
    reader = DataSetReader(collect)
    expected = walked(known, data, collect)
    assert isinstance(expected[0], InstanceFacts)
    assert read(reader, known, data) == expected
    assert read(reader, known, data) == expected


def noted(data: bytes, collect: Mapping[int, str], syntax: str = EXPLICIT) -> DataSetReader:
    """Return a reader that knows the shape of a data set."""
    reader = DataSetReader(collect)
    assert isinstance(read(reader, meta(syntax), data)[0], InstanceFacts)
    assert reader._shapes
    return reader


@pytest.mark.parametrize("collect", COLLECTS, ids=["nothing", "names", "decisive"])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_no_byte_that_differs_changes_the_verdict_of_the_walk(
    syntax: str, collect: Mapping[int, str]
) -> None:
    data = data_set_of(dicom.ct(transfer_syntax_uid=syntax))
    reader, known = noted(data, collect, syntax), meta(syntax)
    pixels = data.rindex(b"\xe0\x7f\x10\x00")
    for at in range(min(len(data), pixels + 16)):
        for value in (ODD_VALUES[at % len(ODD_VALUES)], data[at] ^ 1):
            changed = data[:at] + bytes((value,)) + data[at + 1 :]
            assert read(reader, known, changed) == walked(known, changed, collect), (at, value)
            # Whatever was noted meanwhile, the shape that is compared is the right one again.
            read(reader, known, data)


@given(st.data())
def test_nor_do_many_changes_at_once(data: st.DataObject) -> None:
    """Elements are swapped, shortened and lengthened, between two data sets of one length."""
    first = data_set_of(dicom.small_instance(data.draw(st.integers(1, 99_999))))
    other = bytearray(data_set_of(dicom.small_instance(data.draw(st.integers(1, 99_999)))))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(other) - 1))
        piece = data.draw(st.binary(max_size=8))
        other[at : at + len(piece)] = piece
    reader = DataSetReader(DEFAULT_TAGS)
    read(reader, meta(), first)
    changed = bytes(other)
    assert read(reader, meta(), changed) == walked(meta(), changed, DEFAULT_TAGS)


def test_another_instance_of_a_series_needs_no_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = noted(data_set_of(dicom.small_instance(1)), DEFAULT_TAGS)
    expected = walked(meta(number=2), data_set_of(dicom.small_instance(2)), DEFAULT_TAGS)
    monkeypatch.setattr(reader, "stages", None)
    assert read(reader, meta(number=2), data_set_of(dicom.small_instance(2))) == expected


def test_of_lengths_that_never_come_again_few_are_noted() -> None:
    reader = DataSetReader({})
    data = data_set_of(dicom.small_instance(1))
    for number in range(2 * MAX_SHAPES):
        read(reader, meta(), data + dicom.explicit(0x7FE10010, "LO", bytes(2 * number)))
    assert len(reader._shapes) == MAX_CREDIT


def test_what_is_met_again_is_noted_anew() -> None:
    reader = DataSetReader({})
    small = data_set_of(dicom.small_instance(1))
    for number in range(2 * MAX_SHAPES):
        data = small + dicom.explicit(0x7FE10010, "LO", bytes(2 * number))
        read(reader, meta(), data)
        read(reader, meta(), data)
    assert len(reader._shapes) == MAX_SHAPES
