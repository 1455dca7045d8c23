from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.jobs.idc_groups import SeriesGroups
from asyncdicom.model import Uid
from asyncdicom.ports.objects import ObjectEntry
from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.protocol.idc.dir_templates import DEFAULT_TEMPLATE
from asyncdicom.protocol.idc.manifest import ManifestUrl
from asyncdicom.protocol.idc.series import Series

if TYPE_CHECKING:
    from asyncdicom.jobs.object_groups import ObjectGroup

UUID = "00000000-0000-4000-8000-000000000001"
SERIES = Series(UUID, "c_one", "P1", "1.2.1", "1.2.1.1", "CT", "idc-open-data-two", 2, 2_000)


def groups_of(template: str = DEFAULT_TEMPLATE, location: Location = Location.AWS) -> SeriesGroups:
    return SeriesGroups(template, location)


def path_in(group: ObjectGroup, name: str = "a.dcm") -> str:
    key = group.prefix if group.is_single else f"{group.prefix}{name}"
    return group.naming.path_of(ObjectEntry(key, 1), None)


def test_a_series_is_a_prefix_that_the_index_has_counted() -> None:
    group = groups_of().whole(SERIES)
    assert (group.bucket, group.prefix) == ("idc-open-data-two", f"{UUID}/")
    assert (group.expected_count, group.expected_bytes, group.rounded_by_bytes) == (2, 2_000, 0)
    assert (group.study_instance_uid, group.series_instance_uid) == ("1.2.1", "1.2.1.1")


def test_at_google_it_is_in_the_bucket_of_google() -> None:
    group = groups_of(location=Location.GCS).whole(SERIES)
    assert group.bucket == "idc-open-idc1"


def test_an_earlier_version_is_proven_as_far_as_the_index_knows_it() -> None:
    earlier = replace(SERIES, instance_count=None, byte_count=10_000, rounded_by_bytes=5_000)
    group = groups_of().whole(earlier)
    assert (group.expected_count, group.expected_bytes, group.rounded_by_bytes) == (
        None,
        10_000,
        5_000,
    )


def test_a_size_of_zero_is_no_size() -> None:
    assert groups_of().whole(replace(SERIES, byte_count=0)).expected_bytes is None


@pytest.mark.parametrize(
    ("template", "path"),
    [
        pytest.param(DEFAULT_TEMPLATE, "c_one/P1/1.2.1/CT_1.2.1.1/a.dcm", id="the default"),
        pytest.param("", "a.dcm", id="flat"),
        pytest.param("flat", "a.dcm", id="flat by name"),
        pytest.param("%Modality%PatientID", "CTP1/a.dcm", id="adjacent variables"),
        pytest.param("/%collection_id-%PatientID/", "c_one-P1/a.dcm", id="slashes at both ends"),
        pytest.param("{PatientID}/{StudyDate}", "P1/2020-01-01/a.dcm", id="braces, other columns"),
        pytest.param("x %PatientID", "x P1/a.dcm", id="plain text"),
        pytest.param("%BodyPartExamined", "unknown/a.dcm", id="an empty value"),
        pytest.param("tree", "P1/head/4_sag/a.dcm", id="tree"),
        pytest.param("%crdc_series_uuid", f"{UUID}/a.dcm", id="the version"),
    ],
)
def test_folders_are_made_of_columns(template: str, path: str) -> None:
    values = {
        "StudyDate": "2020-01-01",
        "StudyDescription": "head",
        "SeriesNumber": "4",
        "SeriesDescription": "sag",
    }
    group = groups_of(template).whole(replace(SERIES, values=values))
    assert path_in(group) == path


def test_a_file_has_the_name_of_its_object() -> None:
    group = groups_of("%PatientID").whole(SERIES)
    assert path_in(group, "0f.dcm") == "P1/0f.dcm"


@pytest.mark.parametrize(
    ("patient_id", "folder"),
    [
        pytest.param("a/b", "a_b", id="a separator"),
        pytest.param("..", "__", id="the folder above"),
        pytest.param("a=b c", "a=b c", id="what is harmless stays"),
        pytest.param("", "unknown", id="nothing"),
    ],
)
def test_values_are_made_safe(patient_id: str, folder: str) -> None:
    group = groups_of("%PatientID").whole(replace(SERIES, patient_id=patient_id))
    assert path_in(group) == f"{folder}/a.dcm"


def test_a_hostile_key_stays_in_the_folder() -> None:
    group = groups_of("%PatientID").whole(SERIES)
    assert path_in(group, "../../x") == "P1/__/__/x"


def test_two_patients_whose_names_come_out_the_same_have_folders_of_their_own() -> None:
    groups = groups_of("%PatientID")
    first = path_in(groups.whole(replace(SERIES, patient_id="a/b")))
    second = path_in(groups.whole(replace(SERIES, patient_id="a_b")))
    assert first != second


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        pytest.param(DEFAULT_TEMPLATE, set(), id="the default needs no further column"),
        pytest.param("%StudyDate/%PatientID", {"StudyDate"}, id="a variable"),
        pytest.param("flat", set(), id="flat"),
        pytest.param("tree", {"StudyDescription", "SeriesNumber", "SeriesDescription"}, id="tree"),
    ],
)
def test_only_the_columns_that_a_template_needs_are_read(template: str, columns: set[str]) -> None:
    assert groups_of(template).columns == columns


@pytest.mark.parametrize(
    ("template", "told"),
    [
        pytest.param("PatientID", "a variable is written %PatientID", id="without its sign"),
        pytest.param("%PatientName", "unknown variable 'PatientName'", id="no column"),
        pytest.param("{Patient", "malformed", id="an open brace"),
        pytest.param("%PatientID/../x", "a folder '..'", id="the folder above"),
    ],
)
def test_a_wrong_template_is_told_before_anything_is_done(template: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        groups_of(template)


def test_a_single_object_keeps_its_own_name() -> None:
    group = groups_of().single(
        SERIES, f"{UUID}/0f.dcm", sop_instance_uid=Uid("1.2.1.1.7"), byte_count=9
    )
    assert group.is_single
    assert (group.expected_count, group.expected_bytes) == (None, 9)
    assert group.sop_instance_uid == "1.2.1.1.7"
    assert path_in(group) == "c_one/P1/1.2.1/CT_1.2.1.1/0f.dcm"


def test_a_pattern_expects_no_count() -> None:
    url = ManifestUrl(1, "s3", "idc-open-data-two", f"{UUID}/0", f"{UUID}/0*.dcm")
    group = groups_of().matching(SERIES, url, bucket=None)
    assert (group.prefix, group.pattern) == (f"{UUID}/0", f"{UUID}/0*.dcm")
    assert group.expected_count is None
    assert group.expected_bytes is None
    assert path_in(group, "f.dcm") == "c_one/P1/1.2.1/CT_1.2.1.1/0f.dcm"


def test_what_the_index_does_not_know_goes_to_a_folder_that_says_so() -> None:
    url = ManifestUrl(1, "gs", "idc-open-idc1", f"{UUID}/")
    group = groups_of().unknown(url)
    assert group.bucket == "idc-open-data-two"
    assert group.expected_count is None
    assert path_in(group) == f"not_in_index/{UUID}/a.dcm"
    single = groups_of().unknown(replace(url, prefix=f"{UUID}/b.dcm", is_single=True))
    assert path_in(single) == f"not_in_index/{UUID}/b.dcm"


def test_flat_is_flat_also_for_what_the_index_does_not_know() -> None:
    assert path_in(groups_of("").unknown(ManifestUrl(1, "s3", "b", f"{UUID}/"))) == "a.dcm"


def test_a_bucket_of_somebody_else_is_used_where_a_manifest_says_so() -> None:
    assert groups_of().whole(SERIES, bucket="my-mirror").bucket == "my-mirror"
