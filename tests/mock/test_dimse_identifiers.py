"""Identifiers are read whatever they are encoded in, and answered with what was asked for."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from asyncdicom.errors import OperationFailed
from asyncdicom.mock.archive import Unreadable
from asyncdicom.mock.dimse_identifiers import Asked, Wanted, read_identifier, write_answer
from asyncdicom.mock.dimse_objects import read_file_meta
from asyncdicom.protocol.identifiers import Key

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
SYNTAXES = pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])


def encoded(dataset: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def decoded(content: bytes, syntax: str) -> Dataset:
    return read_dataset(BytesIO(content), syntax == IMPLICIT, is_little_endian=True)


@SYNTAXES
def test_level_and_keys(syntax: str) -> None:
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = ["1.2", "1.3"]
    query.Modality = "CT"
    query.SeriesNumber = ""
    query.Rows = 512
    asked = read_identifier(encoded(query, syntax), syntax)
    assert asked.level == "SERIES"
    assert asked.values("0020000D") == ("1.2", "1.3")
    assert asked.values("00200011") == ()
    assert asked.values("00100010") == ()
    assert asked.matches == (
        (("00080060",), "CT"),
        (("0020000D",), "1.2\\1.3"),
        (("00280010",), "512"),
    )


@SYNTAXES
def test_text_is_read_by_its_character_set(syntax: str) -> None:
    query = Dataset()
    query.SpecificCharacterSet = "ISO_IR 192"
    query.PatientName = "合成*"
    asked = read_identifier(encoded(query, syntax), syntax)
    assert asked == Asked("", {"00100010": Key("PN", "合成*")})


@SYNTAXES
def test_keys_in_sequences(syntax: str) -> None:
    item = Dataset()
    item.ScheduledProcedureStepID = "S1"
    item.RequestedProcedureID = ""
    query = Dataset()
    query.RequestAttributesSequence = [item]
    query.ProcedureCodeSequence = []
    asked = read_identifier(encoded(query, syntax), syntax)
    assert asked.matches == ((("00400275", "00400009"), "S1"),)
    assert asked.wanted["00081032"] == Key("SQ")


@SYNTAXES
def test_private_keys_are_no_obstacle(syntax: str) -> None:
    query = Dataset()
    query.add_new(0x00091001, "LO", "x")
    query.PatientID = "1"
    asked = read_identifier(encoded(query, syntax), syntax)
    assert asked.values("00100020") == ("1",)


def nested(depth: int) -> bytes:
    """Return a sequence in a sequence, so deep, each of a length that it says."""
    content = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
        content = struct.pack("<HHI", 0x0008, 0x1032, len(item)) + item
    return content


def test_keys_may_be_nested_deeper_than_anybody_does() -> None:
    wanted: Any = read_identifier(nested(16), IMPLICIT).wanted
    for _ in range(16):
        wanted = wanted["00081032"]
    assert wanted == {}


@pytest.mark.parametrize(
    ("content", "syntax"),
    [
        pytest.param(b"\x10\x00\x20\x00LO\xff\x00x", EXPLICIT, id="ends within a value"),
        pytest.param(b"\x10\x00\x20\x00", IMPLICIT, id="ends within a header"),
        pytest.param(b"\x10\x00\x20\x00??\x02\x00ab", EXPLICIT, id="a VR that is none"),
        pytest.param(
            b"\x08\x00\x32\x10\xff\xff\xff\xff\x01\x00\x00\x00", IMPLICIT, id="a broken sequence"
        ),
        pytest.param(
            b"\x08\x00\x32\x10\x06\x00\x00\x00\xfe\xff\x00\xe0\x00\x00",
            IMPLICIT,
            id="an item that ends within its header",
        ),
        pytest.param(nested(1000), IMPLICIT, id="nested without end"),
    ],
)
def test_what_is_no_data_set_is_refused(content: bytes, syntax: str) -> None:
    with pytest.raises(OperationFailed) as caught:
        read_identifier(content, syntax)
    assert caught.value.status == 0xA900


@SYNTAXES
def test_answers_have_what_was_asked_for_and_nothing_else(syntax: str) -> None:
    item: Wanted = {"00080100": Key("SH")}
    asked = Asked(
        "STUDY",
        {
            "00080061": Key("CS"),
            "00081032": item,
            "00081110": {"00081150": Key("UI")},
            "00081111": Key("SQ"),
            "00100010": Key("PN"),
            "00100020": Key("LO"),
            "00201208": Key("IS"),
            "7FE00010": Key("OW"),
        },
    )
    attributes = {
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00081032": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["C"]}}]},
        "00081111": {"vr": "SQ", "Value": [{}]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Ideographic": "合"}]},
        "00100030": {"vr": "DA", "Value": ["20200101"]},
        "00201208": {"vr": "IS", "Value": [7, None]},
        "7FE00010": {"vr": "OW", "InlineBinary": "AAAA"},
    }
    answer = decoded(write_answer(asked, attributes, syntax), syntax)
    assert answer.QueryRetrieveLevel == "STUDY"
    assert list(answer.ModalitiesInStudy) == ["CT", "SR"]
    assert answer.ProcedureCodeSequence[0].CodeValue == "C"
    assert len(answer[0x00081110].value) == 0
    assert len(answer[0x00081111].value) == 0
    assert answer.PatientName == "A^B=合"
    assert not answer.PatientID
    assert answer[0x00201208].value[0] == 7
    assert "PatientBirthDate" not in answer
    assert not answer[0x7FE00010].value


def meta(*elements: bytes) -> bytes:
    return bytes(128) + b"DICM" + b"".join(elements)


CLASS = b"\x02\x00\x02\x00UI\x04\x001.2\0"
VERSION = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"
DATA = b"\x08\x00\x16\x00UI\x04\x001.2\0"


@pytest.mark.parametrize(
    ("content", "sop_class", "start"),
    [
        pytest.param(meta(VERSION, CLASS, DATA), "1.2", 158, id="without its length"),
        pytest.param(meta(CLASS), "1.2", 144, id="without a data set"),
        pytest.param(meta(VERSION, DATA), "", 146, id="without a SOP class"),
    ],
)
def test_file_meta_information_is_read_by_its_elements(
    content: bytes, sop_class: str, start: int
) -> None:
    assert read_file_meta(content) == (sop_class, start)


def test_what_is_no_file_has_no_data_set() -> None:
    with pytest.raises(Unreadable):
        read_file_meta(b"nothing of it" * 20)
