"""Keys of a search, from the words a person writes."""

from __future__ import annotations

import pytest

from asyncdicom.errors import ConfigError, InvalidUid
from asyncdicom.protocol.qido_keys import (
    Attribute,
    Dictionary,
    Level,
    parse_attribute,
    parse_keys,
)

_ENTRIES = (
    Attribute("00100010", "PatientName", "PN"),
    Attribute("00100020", "PatientID", "LO"),
    Attribute("00080020", "StudyDate", "DA"),
    Attribute("00080060", "Modality", "CS"),
    Attribute("00081030", "StudyDescription", "LO"),
    Attribute("0020000D", "StudyInstanceUID", "UI"),
    Attribute("0020000E", "SeriesInstanceUID", "UI"),
    Attribute("00080018", "SOPInstanceUID", "UI"),
    Attribute("00400275", "RequestAttributesSequence", "SQ"),
    Attribute("00400009", "ScheduledProcedureStepID", "SH"),
)
_BY_NAME = {entry.keyword: entry for entry in _ENTRIES} | {entry.tag: entry for entry in _ENTRIES}
DICTIONARY = Dictionary(_BY_NAME.get, lambda: [entry.keyword for entry in _ENTRIES])


@pytest.mark.parametrize(
    ("word", "attribute_id", "value"),
    [
        pytest.param("PatientID=X", "PatientID", "X", id="a keyword"),
        pytest.param("00100020=X", "00100020", "X", id="a tag keeps its form"),
        pytest.param("0010,0020=X", "00100020", "X", id="a tag with comma"),
        pytest.param("(0010,0020)=X", "00100020", "X", id="a tag in parentheses"),
        pytest.param("0020000d=1.2", "0020000D", "1.2", id="tags in upper case"),
        pytest.param("00091001=X", "00091001", "X", id="a private tag passes"),
        pytest.param(" PatientID = X ", "PatientID", "X", id="blanks around are dropped"),
        pytest.param("PatientID=a=b", "PatientID", "a=b", id="the first equals sign ends the key"),
        pytest.param("StudyDate=20200101", "StudyDate", "20200101", id="a date"),
        pytest.param("StudyDate=20200101-", "StudyDate", "20200101-", id="from a date on"),
        pytest.param("StudyDate=-20201231", "StudyDate", "-20201231", id="up to a date"),
        pytest.param(
            "StudyDate=20200101-20201231", "StudyDate", "20200101-20201231", id="between dates"
        ),
        pytest.param("StudyDate=*", "StudyDate", "*", id="any date"),
        pytest.param(
            r"StudyInstanceUID=1.2\1.3,1.2", "StudyInstanceUID", "1.2,1.3", id="a list of UIDs"
        ),
        pytest.param("StudyInstanceUID=*", "StudyInstanceUID", "*", id="any UID"),
        pytest.param(
            "00400275.0040,0009=S1", "00400275.00400009", "S1", id="a path through a sequence"
        ),
    ],
)
def test_a_key_and_its_value_are_read(word: str, attribute_id: str, value: str) -> None:
    (match,) = parse_keys([word], DICTIONARY).matches
    assert (match.path.attribute_id, match.value) == (attribute_id, value)


@pytest.mark.parametrize("word", ["Modality", "Modality=", "Modality = "])
def test_a_key_without_value_is_returned(word: str) -> None:
    keys = parse_keys([word, "Modality"], DICTIONARY)
    assert [path.name for path in keys.returned] == ["Modality"]
    assert keys.matches == ()


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("QueryRetrieveLevel=STUDY", Level.STUDY),
        ("QueryRetrieveLevel=series", Level.SERIES),
        ("00080052=IMAGE", Level.INSTANCE),
        ("PatientID=X", None),
    ],
)
def test_the_level_of_c_find_is_understood(word: str, level: Level | None) -> None:
    assert parse_keys([word], DICTIONARY).level is level


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["PatientId=X"], "perhaps PatientID", id="a keyword in another case"),
        pytest.param(["PatinetName"], "perhaps PatientName", id="a slip of the fingers"),
        pytest.param(["Zzzzzz=1"], "DICOM keywords or tags", id="nothing like it"),
        pytest.param(["=1"], "no attribute ''", id="no key"),
        pytest.param(["PatientID=1", "00100020=2"], "given twice", id="one attribute, two values"),
        pytest.param(["PatientID.Modality=1"], "no sequence", id="a path through no sequence"),
        pytest.param(["RequestAttributesSequence=1"], "has no value", id="a sequence with a value"),
        pytest.param(["StudyDate=2020-01-01"], "expected 20200131", id="a date of ISO 8601"),
        pytest.param(["StudyDate=-"], "not a date", id="a range without ends"),
        pytest.param(["PatientID=a\nb"], "control character", id="a line break in a value"),
        pytest.param(["PatientName=M\udcfcller"], "not text", id="bytes of another encoding"),
        pytest.param(["QueryRetrieveLevel=PATIENT"], "no level", id="the patient level"),
        pytest.param(["QueryRetrieveLevel"], "no level ''", id="no level at all"),
    ],
)
def test_what_no_server_understands_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_keys(words, DICTIONARY)


def test_a_broken_uid_is_refused() -> None:
    with pytest.raises(InvalidUid):
        parse_keys(["StudyInstanceUID=1.2,x"], DICTIONARY)


def test_a_path_through_an_unknown_tag_is_believed() -> None:
    path = parse_attribute("00091002.PatientID", DICTIONARY)
    assert path.name == "00091002.PatientID"
    assert path.tags == ("00091002", "00100020")
    assert path.last.keyword == "PatientID"


def test_matching_keys_come_before_returned_ones() -> None:
    keys = parse_keys(["Modality", "PatientID=X"], DICTIONARY)
    assert [path.name for path in keys.paths] == ["PatientID", "Modality"]


@pytest.mark.parametrize(
    ("level", "one", "many"),
    [
        (Level.STUDY, "1 study", "2 studies"),
        (Level.SERIES, "1 series", "2 series"),
        (Level.INSTANCE, "1 instance", "2 instances"),
    ],
)
def test_levels_are_counted_in_words(level: Level, one: str, many: str) -> None:
    assert (level.counted(1), level.counted(2)) == (one, many)
