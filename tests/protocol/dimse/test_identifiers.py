"""Identifiers are read as pydicom writes them, and written as pydicom does."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

from asyncdicom.errors import ProtocolError, Truncated, UsageError
from asyncdicom.protocol.dimse.identifiers import Element, encode_identifier, identifier_values
from asyncdicom.protocol.dimse.sop_classes import (
    BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    UNCOMPRESSED,
)
from tests.support.dicom import UNDEFINED, explicit, implicit

LEVEL, STUDY, NAME, CLASSES = 0x00080052, 0x0020000D, 0x00100010, 0x00080062
COUNT, PROCEDURE, STATION, DATE = 0x00201208, 0x00400100, 0x00400001, 0x00400002
REQUEST = 0x00400275

each_syntax = pytest.mark.parametrize("syntax", UNCOMPRESSED, ids=["explicit", "implicit"])


def theirs(dataset: Dataset, syntax: str) -> bytes:
    is_implicit = syntax == IMPLICIT_VR_LITTLE_ENDIAN
    encoded = encode(dataset, is_implicit_vr=is_implicit, is_little_endian=True)
    assert encoded is not None
    return encoded


def answer() -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = "STUDY"
    dataset.StudyInstanceUID = "2.999.1"
    dataset.PatientName = "Doe^Jane"
    dataset.SOPClassesInStudy = ["1.2.840.10008.5.1.4.1.1.2", "2.999.9"]
    dataset.NumberOfStudyRelatedInstances = 317
    dataset.PatientID = ""
    item = Dataset()
    item.StudyInstanceUID = "2.999.666"
    dataset.RequestAttributesSequence = [item]
    return dataset


@each_syntax
def test_values_are_read_without_padding(syntax: str) -> None:
    tags = [STUDY, NAME, CLASSES, COUNT, LEVEL]
    assert identifier_values(theirs(answer(), syntax), syntax, tags) == {
        STUDY: "2.999.1",
        NAME: "Doe^Jane",
        CLASSES: "1.2.840.10008.5.1.4.1.1.2\\2.999.9",
        COUNT: "317",
        LEVEL: "STUDY",
    }


@each_syntax
def test_empty_is_told_from_absent(syntax: str) -> None:
    assert identifier_values(theirs(answer(), syntax), syntax, {0x00100020, 0x00080050}) == {
        0x00100020: ""
    }


@each_syntax
def test_a_long_list_is_read_whole(syntax: str) -> None:
    uids = "\\".join(f"2.999.3.{number}" for number in range(4000))
    data = encode_identifier([Element((0x00080058,), "UI", uids.encode())], syntax)
    assert identifier_values(data, syntax, [0x00080058]) == {0x00080058: uids}


def test_bytes_beyond_ascii_are_kept_for_whoever_knows_the_character_set() -> None:
    data = encode_identifier([Element((NAME,), "PN", "Größe".encode())], EXPLICIT_VR_LITTLE_ENDIAN)
    values = identifier_values(data, EXPLICIT_VR_LITTLE_ENDIAN, [NAME])
    assert values[NAME].encode("latin-1").decode() == "Größe"


def test_an_answer_that_says_explicit_and_is_implicit_is_read() -> None:
    data = theirs(answer(), IMPLICIT_VR_LITTLE_ENDIAN)
    assert identifier_values(data, EXPLICIT_VR_LITTLE_ENDIAN, [STUDY]) == {STUDY: "2.999.1"}


def test_nothing_is_found_in_an_empty_identifier() -> None:
    assert identifier_values(b"", EXPLICIT_VR_LITTLE_ENDIAN, [STUDY]) == {}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(explicit(STUDY, "UI", b"1.2.")[:-1], Truncated, id="inside of a value"),
        pytest.param(explicit(STUDY, "UI", b"1.2.")[:5], Truncated, id="inside of a header"),
        pytest.param(explicit(STUDY, "UI", b"1.") * 2, ProtocolError, id="an element twice"),
        pytest.param(
            explicit(REQUEST, "SQ", b"", length=UNDEFINED), Truncated, id="an open sequence"
        ),
        pytest.param(implicit(0xFFFEE000, b""), ProtocolError, id="an item outside"),
    ],
)
def test_a_broken_answer_is_refused(data: bytes, error: type[ProtocolError]) -> None:
    with pytest.raises(error):
        identifier_values(data, EXPLICIT_VR_LITTLE_ENDIAN, [STUDY])


KEYS = [
    Element((STUDY,), "UI", b"2.999.1"),
    Element((PROCEDURE, DATE), "DA", b"20260101-"),
    Element((LEVEL,), "CS", b"STUDY"),
    Element((PROCEDURE, STATION), "AE", b"AET"),
    Element((NAME,), "PN", b"Doe*"),
    Element((COUNT,), "IS"),
    Element((REQUEST,), "SQ"),
    Element((PROCEDURE, 0x00400008, 0x00080100), "SH", b"X1"),
    Element((0x00081190,), "UR", b"http://a"),
]


def as_their_dataset() -> Dataset:
    dataset, item, code = Dataset(), Dataset(), Dataset()
    code.CodeValue = "X1"
    item.ScheduledStationAETitle = "AET"
    item.ScheduledProcedureStepStartDate = "20260101-"
    item.ScheduledProtocolCodeSequence = [code]
    dataset.QueryRetrieveLevel = "STUDY"
    dataset.RetrieveURL = "http://a"
    dataset.PatientName = "Doe*"
    dataset.StudyInstanceUID = "2.999.1"
    dataset.NumberOfStudyRelatedInstances = None
    dataset.RequestAttributesSequence = []
    dataset.ScheduledProcedureStepSequence = [item]
    return dataset


@each_syntax
def test_pydicom_reads_what_is_written(syntax: str) -> None:

    is_implicit = syntax == IMPLICIT_VR_LITTLE_ENDIAN
    read = decode(BytesIO(encode_identifier(KEYS, syntax)), is_implicit, is_little_endian=True)
    assert read == as_their_dataset()


@each_syntax
def test_pydicom_writes_the_same(syntax: str) -> None:
    assert encode_identifier(reversed(KEYS), syntax) == theirs(as_their_dataset(), syntax)


@each_syntax
def test_no_keys_are_an_empty_identifier(syntax: str) -> None:
    assert encode_identifier([], syntax) == b""


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param([Element((LEVEL,), "CS")] * 2, id="twice"),
        pytest.param(
            [Element((LEVEL,), "CS"), Element((LEVEL, NAME), "PN")], id="a value, then a sequence"
        ),
        pytest.param(
            [Element((LEVEL, NAME), "PN"), Element((LEVEL,), "CS")], id="a sequence, then a value"
        ),
        pytest.param([Element((STUDY,), "UI", bytes(0xFFFF))], id="longer than 16 bits tell"),
    ],
)
def test_what_cannot_be_written_is_a_mistake_of_ours(elements: list[Element]) -> None:
    with pytest.raises(UsageError):
        encode_identifier(elements, EXPLICIT_VR_LITTLE_ENDIAN)


def test_big_endian_is_not_written() -> None:
    with pytest.raises(UsageError, match="little endian"):
        encode_identifier([], BIG_ENDIAN)


TEXT_TAGS = st.sampled_from([STUDY, NAME, LEVEL, COUNT, 0x00100020, 0x0008103E, 0x300A00C2])
VALUES = st.binary(max_size=30).map(lambda value: value.strip(b"\0 "))


@each_syntax
@given(st.dictionaries(TEXT_TAGS, VALUES), st.dictionaries(TEXT_TAGS, VALUES, min_size=1))
def test_what_was_written_is_read(
    syntax: str, values: dict[int, bytes], nested: dict[int, bytes]
) -> None:
    elements = [Element((tag,), "LO", value) for tag, value in values.items()]
    elements += [Element((PROCEDURE, tag), "LO", value) for tag, value in nested.items()]
    read = identifier_values(encode_identifier(elements, syntax), syntax, [*values, *nested])
    assert read == {tag: value.decode("latin-1") for tag, value in values.items()}
