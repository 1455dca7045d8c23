"""Record types and keys: against the tables of pydicom, and what a user may ask for."""

from __future__ import annotations

import pytest
from pydicom import fileset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from asyncdicom.errors import ConfigError
from asyncdicom.storage.data_dictionary import tag_and_vr_of
from asyncdicom.storage.dicomdir_records import (
    ATTRIBUTES,
    GROUPS,
    PRIVATE,
    DicomdirKeys,
    RecordKey,
    parse_record_key,
    record_keys,
    record_type_of,
)


@pytest.mark.parametrize("keyword", ATTRIBUTES)
def test_attributes_are_those_of_the_dictionary(keyword: str) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    assert ATTRIBUTES[keyword] == (tag, dictionary_VR(tag))


@pytest.mark.parametrize(
    ("sop_class", "record_type"),
    [*fileset._FOUR_LEVEL_SOP_CLASSES.items(), *fileset._SINGLE_LEVEL_SOP_CLASSES.items()],
    ids=lambda value: getattr(value, "keyword", ""),
)
def test_record_types_are_those_of_pydicom(sop_class: str, record_type: str) -> None:
    assert record_type_of(sop_class) == record_type


@pytest.mark.parametrize(
    ("sop_class", "record_type"),
    [
        pytest.param("1.2.840.10008.5.1.4.1.1.2", "IMAGE", id="CT"),
        pytest.param("1.2.840.10008.5.1.4.1.1.104.1", "ENCAP DOC", id="PDF"),
        pytest.param("1.2.840.10008.5.1.4.1.1.481.5", "RT PLAN", id="RT plan"),
        pytest.param("1.2.840.10008.5.1.4.1.1.481.10", "RADIOTHERAPY", id="RT intent"),
        pytest.param("1.2.840.10008.5.1.4.1.1.66.4", None, id="has rows, so an image"),
        pytest.param("2.999.1", None, id="private"),
    ],
)
def test_other_record_types(sop_class: str, record_type: str | None) -> None:
    assert record_type_of(sop_class) == record_type


@pytest.mark.parametrize(
    "record_type", [*GROUPS, *(kind for kind in fileset.DIRECTORY_RECORDERS if kind != PRIVATE)]
)
def test_each_record_type_has_its_keys(record_type: str) -> None:
    assert all(key.requirement in (1, 2, 3) for key in record_keys(record_type))


def test_the_users_keys_are_added_by_tag() -> None:
    birth = RecordKey("PatientBirthDate", 0x00100030, "DA", 3)
    keys = DicomdirKeys(patient=(birth,))
    assert [key.keyword for key in keys.of("PATIENT")] == [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
    ]
    assert birth not in keys.of("STUDY")


def test_the_users_word_on_a_type_stands() -> None:
    keys = DicomdirKeys(study=(RecordKey("StudyID", 0x00200010, "SH", 2),))
    found = {key.keyword: key.requirement for key in keys.of("STUDY")}
    assert found["StudyID"] == 2
    assert found["StudyTime"] == 1


def test_image_keys_are_those_of_every_record_with_a_file() -> None:
    rows = RecordKey("Rows", 0x00280010, "US", 3)
    keys = DicomdirKeys(image=(rows,))
    assert rows in keys.of("IMAGE")
    assert rows in keys.of("SR DOCUMENT")
    assert rows not in keys.of("SERIES")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param("StudyID:2", RecordKey("StudyID", 0x00200010, "SH", 2), id="of our table"),
        pytest.param(
            "PatientBirthDate", RecordKey("PatientBirthDate", 0x00100030, "DA", 3), id="type 3"
        ),
        pytest.param("PatientSex:1", RecordKey("PatientSex", 0x00100040, "CS", 1), id="type 1"),
    ],
)
def test_keys_are_read(text: str, key: RecordKey) -> None:
    assert parse_record_key(text, tag_and_vr_of) == key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("Nonsense", "no such attribute: 'Nonsense'", id="unknown"),
        pytest.param("", "no such attribute: ''", id="empty"),
        pytest.param("PatientSex:4", "not the type of a key: '4'", id="no type"),
        pytest.param("PatientSex:", "not the type of a key: ''", id="an empty type"),
        pytest.param("PatientSex:1C", "not the type of a key: '1C'", id="conditional"),
        pytest.param("ReferencedFileID", "set by the directory", id="of the directory"),
        pytest.param("SpecificCharacterSet", "set by the directory", id="the character set"),
        pytest.param("TransferSyntaxUID", "set by the directory", id="of the file meta"),
    ],
)
def test_what_is_no_key_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_record_key(text, tag_and_vr_of)
