"""Identifiers are written as the Standard says, and read without being decoded."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from asyncdicom.errors import ConfigError, ProtocolError
from asyncdicom.jobs.find import dictionary
from asyncdicom.protocol.dimse.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MODALITY_WORKLIST,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
    QueryLevel,
    QueryModel,
)
from asyncdicom.protocol.identifiers import (
    IDENTIFIER_SYNTAXES,
    Key,
    check_level,
    encode_identifier,
    needs_patient,
    texts_in,
    tree_of,
)
from asyncdicom.protocol.qido_keys import parse_keys

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from asyncdicom.protocol.identifiers import Tree

PATIENT_NAME, PATIENT_ID, STUDY_UID = 0x00100010, 0x00100020, 0x0020000D
both_syntaxes = pytest.mark.parametrize(
    "syntax",
    [
        pytest.param(EXPLICIT_VR_LITTLE_ENDIAN, id="explicit"),
        pytest.param(IMPLICIT_VR_LITTLE_ENDIAN, id="implicit"),
    ],
)


def as_pydicom(encoded: bytes, syntax: str) -> Dataset:
    return read_dataset(BytesIO(encoded), syntax == IMPLICIT_VR_LITTLE_ENDIAN, True)


def tree(*words: str) -> Tree:
    return tree_of(parse_keys(words, dictionary()))


@both_syntaxes
@pytest.mark.parametrize(
    ("words", "keyword", "value"),
    [
        pytest.param(["PatientID=A*"], "PatientID", "A*", id="a wildcard"),
        pytest.param(["0010,0020=A"], "PatientID", "A", id="a tag"),
        pytest.param(["00100020=A"], "PatientID", "A", id="a tag without a comma"),
        pytest.param(["StudyDate=20200101-"], "StudyDate", "20200101-", id="a range"),
        pytest.param(["SeriesNumber=1"], "SeriesNumber", 1, id="an integer string"),
        pytest.param(["Rows=512"], "Rows", 512, id="a number"),
        pytest.param(["PatientWeight=70.5"], "PatientWeight", 70.5, id="a decimal string"),
        pytest.param(["PatientID"], "PatientID", "", id="a return key"),
        pytest.param(["PatientID="], "PatientID", "", id="an empty key"),
        pytest.param(["FrameIncrementPointer=00181063"], "FrameIncrementPointer", 0x00181063),
        pytest.param(
            ["StudyInstanceUID=1.2,1.3"], "StudyInstanceUID", ["1.2", "1.3"], id="a list of UIDs"
        ),
        pytest.param(
            ["ImageType=ORIGINAL\\PRIMARY"], "ImageType", ["ORIGINAL", "PRIMARY"], id="two values"
        ),
        pytest.param(["PatientName=山田^太郎"], "PatientName", "山田^太郎", id="not ASCII"),
    ],
)
def test_keys_become_elements(syntax: str, words: list[str], keyword: str, value: object) -> None:
    found = as_pydicom(encode_identifier(tree(*words), syntax), syntax)
    assert found[keyword].value == value or (found[keyword].value is None and value == "")


@both_syntaxes
def test_paths_become_sequences_with_one_item(syntax: str) -> None:
    words = [
        "ScheduledProcedureStepSequence.Modality=CT",
        "ScheduledProcedureStepSequence.ScheduledStationAETitle",
        "RequestedProcedureCodeSequence",
    ]
    found = as_pydicom(encode_identifier(tree(*words), syntax), syntax)
    (step,) = found.ScheduledProcedureStepSequence
    assert (step.Modality, step.ScheduledStationAETitle) == ("CT", "")
    assert len(found.RequestedProcedureCodeSequence) == 1


@both_syntaxes
@pytest.mark.parametrize(
    ("value", "character_set"),
    [pytest.param("DOE^J", None, id="ASCII"), pytest.param("Großmann", "ISO_IR 192", id="else")],
)
def test_a_character_set_is_sent_when_it_is_needed(
    syntax: str, value: str, character_set: str | None
) -> None:
    found = as_pydicom(encode_identifier({PATIENT_NAME: Key("PN", value)}, syntax), syntax)
    assert found.get("SpecificCharacterSet") == character_set
    inner = encode_identifier({0x00400100: {PATIENT_NAME: Key("PN", value)}}, syntax)
    assert as_pydicom(inner, syntax).get("SpecificCharacterSet") == character_set


@both_syntaxes
def test_elements_are_even_and_in_order(syntax: str) -> None:
    keys = {STUDY_UID: Key("UI", "1.2"), PATIENT_ID: Key("LO", "A"), 0x00110010: Key("", "x")}
    encoded = encode_identifier(keys, syntax)
    assert len(encoded) % 2 == 0
    assert encoded.endswith(b"1.2\0")
    assert b"A " in encoded
    assert list(as_pydicom(encoded, syntax).keys()) == sorted(keys)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(Key("US", "x"), id="no number"),
        pytest.param(Key("US", "1-2"), id="a range of a binary number"),
        pytest.param(Key("US", "70000"), id="out of range"),
        pytest.param(Key("FL", "1e50"), id="more than a float holds"),
        pytest.param(Key("AT", "Rows"), id="no tag"),
        pytest.param(Key("LO", "x" * 70000), id="longer than a length can say"),
    ],
)
def test_what_a_vr_cannot_hold_is_refused(key: Key) -> None:
    with pytest.raises(ConfigError, match=f"cannot have.*{key.vr}"):
        encode_identifier({0x00280010: key}, EXPLICIT_VR_LITTLE_ENDIAN)


@given(
    syntax=st.sampled_from(IDENTIFIER_SYNTAXES),
    name=st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\ ")),
    patient_id=st.from_regex(r"[A-Z0-9]{0,64}", fullmatch=True),
)
def test_what_was_written_is_read(syntax: str, name: str, patient_id: str) -> None:
    keys = {PATIENT_NAME: Key("PN", name), PATIENT_ID: Key("LO", patient_id)}
    found = texts_in(encode_identifier(keys, syntax), syntax, (PATIENT_NAME, PATIENT_ID, STUDY_UID))
    # Padding is blanks alone; other white space is somebody's name.
    wanted = {PATIENT_NAME: name, PATIENT_ID: patient_id}
    assert {tag: text.strip(" ") for tag, text in found.items()} == {
        tag: text for tag, text in wanted.items() if text
    }


def test_values_are_read_by_their_character_set() -> None:
    dataset = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100" + b"\x10\x00\x10\x00PN\x04\x00J\xe9r "
    assert texts_in(dataset, EXPLICIT_VR_LITTLE_ENDIAN, (PATIENT_NAME,)) == {PATIENT_NAME: "Jér"}


@both_syntaxes
@given(cut=st.integers(1, 200), noise=st.binary(max_size=64))
def test_what_is_no_data_set_is_refused_or_read(syntax: str, cut: int, noise: bytes) -> None:
    whole = encode_identifier({STUDY_UID: Key("UI", "1.2.3"), PATIENT_ID: Key("LO", "A")}, syntax)
    for damaged in (whole[:-cut], noise, whole + noise):
        # Nothing else may escape.
        with suppress(ProtocolError):
            texts_in(damaged, syntax, (STUDY_UID,))


@pytest.mark.parametrize(
    ("model", "level"),
    [
        (STUDY_ROOT, QueryLevel.PATIENT),
        (PATIENT_STUDY_ONLY, QueryLevel.SERIES),
        (PATIENT_STUDY_ONLY, QueryLevel.IMAGE),
        (MODALITY_WORKLIST, QueryLevel.PATIENT),
    ],
)
def test_a_model_refuses_levels_it_does_not_have(model: QueryModel, level: QueryLevel) -> None:
    with pytest.raises(ConfigError, match=f"no level {level}"):
        check_level(model, level)
    check_level(PATIENT_ROOT, level)


def test_below_patients_each_query_names_the_patient() -> None:
    asked = [m for m in (PATIENT_ROOT, STUDY_ROOT, MODALITY_WORKLIST) if needs_patient(m)]
    assert asked == [PATIENT_ROOT]
