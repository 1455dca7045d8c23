"""The tables hold what pydicom's dictionary holds; likely ones are known ones."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary

from asyncdicom.protocol.dimse.sop_classes import (
    LIKELY_STORAGE_CLASSES,
    MODALITY_WORKLIST,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    QUERY_MODELS,
    STUDY_ROOT,
    VERIFICATION,
    QueryLevel,
    is_image_class,
    is_storage_class,
    modality_prefix,
    sop_class_name,
)

STORAGE = "1.2.840.10008.5.1.4.1.1"
NOT_OF_THE_STORAGE_SERVICE = {
    "1.2.840.10008.1.3.10",  # media storage directory
    "1.2.840.10008.1.20.1",  # storage commitment, push
    "1.2.840.10008.1.20.2",  # storage commitment, pull
    "1.2.840.10008.5.1.1.27",  # stored print
}
STANDARD = {
    uid: f"{name} (Retired)" if retired else name
    for uid, (name, kind, _, retired, _) in UID_dictionary.items()
    if kind == "SOP Class" and "Storage" in name and uid not in NOT_OF_THE_STORAGE_SERVICE
}


def test_each_storage_class_of_the_standard_is_known_by_its_name() -> None:
    assert len(STANDARD) > 200
    assert {uid: sop_class_name(uid) for uid in STANDARD} == STANDARD
    assert all(map(is_storage_class, STANDARD))


@pytest.mark.parametrize(
    "uid",
    [VERIFICATION, STUDY_ROOT.get, "2.999.9.1", "", "4.1.1.2", f"{STORAGE}.2.", f"{STORAGE}.02"],
)
def test_other_classes_are_not_for_storage(uid: str) -> None:
    assert not is_storage_class(uid)
    assert modality_prefix(uid) == ""


def test_what_is_not_known_goes_by_its_uid() -> None:
    assert sop_class_name("2.999.9.1") == "2.999.9.1"


@pytest.mark.parametrize("model", QUERY_MODELS.values(), ids=list(QUERY_MODELS))
def test_each_query_model_has_the_uids_of_its_names(model: object) -> None:
    for operation in ("find", "move", "get"):
        uid = getattr(model, operation)
        if uid:
            name = UID_dictionary[uid][0]
            assert name.upper().endswith(operation.upper())
            assert sop_class_name(uid) == name


def test_verification_is_named() -> None:
    assert sop_class_name(VERIFICATION).startswith("Verification")


def test_levels_are_those_of_each_model() -> None:
    patient, study, series, image = QueryLevel
    assert PATIENT_ROOT.levels == (patient, study, series, image)
    assert STUDY_ROOT.levels == (study, series, image)
    assert PATIENT_STUDY_ONLY.levels == (patient, study)
    assert MODALITY_WORKLIST.levels == ()
    assert (MODALITY_WORKLIST.move, MODALITY_WORKLIST.get) == ("", "")


@pytest.mark.parametrize(
    ("suffix", "prefix"),
    [("2", "CT"), ("4", "MR"), ("88.67", "SRd"), ("104.1", "PDF"), ("77.1.6", "VLw")],
)
def test_classes_have_the_prefixes_that_receivers_use(suffix: str, prefix: str) -> None:
    assert modality_prefix(f"{STORAGE}.{suffix}") == prefix


@pytest.mark.parametrize(
    ("suffix", "has_pixels"),
    [
        pytest.param("2", True, id="CT"),
        pytest.param("1.2", True, id="mammography, for presentation"),
        pytest.param("77.1.1.1", True, id="video"),
        pytest.param("66.4", True, id="segmentation"),
        pytest.param("481.2", True, id="dose"),
        pytest.param("88.33", False, id="structured report"),
        pytest.param("104.1", False, id="PDF"),
        pytest.param("11.1", False, id="presentation state"),
        pytest.param("9.1.1", False, id="waveform"),
        pytest.param("481.3", False, id="structure set"),
        pytest.param("88.75", False, id="imaging agent report"),
        pytest.param("4.2", False, id="spectroscopy"),
        pytest.param("66", False, id="raw data"),
    ],
)
def test_only_classes_with_pixels_are_images(suffix: str, *, has_pixels: bool) -> None:
    assert is_image_class(f"{STORAGE}.{suffix}") is has_pixels


def test_what_is_not_known_may_be_an_image() -> None:
    assert is_image_class("2.999.9.1")


def test_likely_classes_are_known_current_and_distinct() -> None:
    assert len(set(LIKELY_STORAGE_CLASSES)) == len(LIKELY_STORAGE_CLASSES)
    names = [sop_class_name(uid) for uid in LIKELY_STORAGE_CLASSES]
    assert all(map(is_storage_class, LIKELY_STORAGE_CLASSES))
    assert [name for name in names if "Retired" in name] == []
    assert names[:3] == ["CT Image Storage", "MR Image Storage", "Secondary Capture Image Storage"]
