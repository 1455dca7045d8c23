"""Searches match and page as PS3.18 §10.6 and PS3.4 §C.2.2.2 demand."""

from __future__ import annotations

import fnmatch
from io import BytesIO
from typing import Any

import orjson
import pydicom
import pytest

from asyncdicom.mock import SyntheticArchive, SyntheticOptions, WebOptions
from asyncdicom.mock.dicomweb import DicomWeb
from asyncdicom.mock.messages import Request, Response

ARCHIVE = SyntheticArchive(SyntheticOptions(studies=7, instances=3, rows=8, mixed=True))
STUDY = ARCHIVE.studies[1]
UIDS = [study.study_instance_uid for study in ARCHIVE.studies]


def ask(path: str, *query: tuple[str, str], options: WebOptions | None = None) -> Response:
    return DicomWeb(ARCHIVE, options).respond(Request("GET", f"/dicom-web/{path}", query))


def found(path: str, *query: tuple[str, str], tag: str = "0020000D") -> list[Any]:
    response = ask(path, *query)
    if response.status == 204:
        return []
    assert response.status == 200
    return [result[tag]["Value"][0] for result in orjson.loads(b"".join(response.body.buffers()))]


def truth() -> list[tuple[str, pydicom.FileDataset]]:
    """Read the first instance of each study with pydicom."""
    datasets = []
    for study in ARCHIVE.studies:
        data = b"".join(study.all_series[0].instances[0].file())
        datasets.append((study.study_instance_uid, pydicom.dcmread(BytesIO(data))))
    return datasets


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        pytest.param("PatientID", "SYN000000001", id="exact"),
        pytest.param("PatientID", "SYN*2", id="star"),
        pytest.param("PatientID", "SYN00000000?", id="question mark"),
        pytest.param("PatientID", "SYN", id="no part of a value"),
        pytest.param("PatientID", "syn*", id="capitals count"),
        pytest.param("PatientName", "SYNTHETIC^patient0002*", id="capitals do not count in names"),
        pytest.param("StudyDescription", "*study [3]", id="brackets are not special"),
        pytest.param("StudyDescription", "*", id="universal"),
        pytest.param("PatientSex", "F", id="code string"),
        pytest.param("AccessionNumber", "*00?", id="both wildcards"),
    ],
)
def test_matching_agrees_with_what_pydicom_reads(key: str, pattern: str) -> None:
    is_name = key == "PatientName"
    expected = []
    for uid, dataset in truth():
        value = str(dataset[key].value)
        text, glob = (value.lower(), pattern.lower()) if is_name else (value, pattern)
        if fnmatch.fnmatchcase(text, glob.replace("[", "[[]")):
            expected.append(uid)
    assert found("studies", (key, pattern)) == expected


@pytest.mark.parametrize("pattern", ["*" * 40 + "x", "?*" * 12 + "x", "*0" * 8 + "*x"], ids=str)
@pytest.mark.timeout(10)
def test_no_pattern_takes_long(pattern: str) -> None:
    assert found("studies", ("PatientID", pattern), ("PatientName", pattern)) == []


@pytest.mark.parametrize(
    ("wanted", "studies"),
    [
        pytest.param("20200102", [1], id="one day"),
        pytest.param("20200103-20200105", [2, 3, 4], id="both ends included"),
        pytest.param("20200106-", [5, 6], id="open end"),
        pytest.param("-20200102", [0, 1], id="open start"),
        pytest.param("20210101-", [], id="nothing"),
    ],
)
def test_dates_match_in_ranges(wanted: str, studies: list[int]) -> None:
    assert found("studies", ("StudyDate", wanted)) == [UIDS[at] for at in studies]


def test_a_shorter_end_of_a_time_range_includes_all_that_starts_with_it() -> None:
    assert found("studies", ("StudyTime", "0900-0901")) == [UIDS[1]]


@pytest.mark.parametrize("separator", [",", "\\"])
def test_uids_match_in_lists(separator: str) -> None:
    wanted = separator.join([UIDS[4], "1.2.3", UIDS[2]])
    assert found("studies", ("StudyInstanceUID", wanted)) == [UIDS[2], UIDS[4]]


@pytest.mark.parametrize(
    ("path", "query", "count"),
    [
        pytest.param("studies", [("ModalitiesInStudy", "SR")], 7, id="any of several values"),
        pytest.param("studies", [("ModalitiesInStudy", "MR")], 0, id="none of several values"),
        pytest.param("studies", [("00100020", "SYN000000001")], 2, id="by tag"),
        pytest.param("studies", [("PatientID", "")], 7, id="an empty value matches all"),
        pytest.param("series", [("Modality", "SR")], 7, id="all series"),
        pytest.param("instances", [("Modality", "CT")], 42, id="all instances"),
        pytest.param("instances", [("InstanceNumber", "2")], 35, id="numbers as numbers"),
        pytest.param("instances", [("InstanceNumber", "02")], 35, id="leading zeros"),
        pytest.param("instances", [("InstanceNumber", "two")], 0, id="no number"),
        pytest.param(
            "instances",
            [("ContentSequence.ConceptNameCodeSequence.CodeValue", "121071")],
            21,
            id="inside sequences",
        ),
        pytest.param(
            "instances",
            [("Modality", "CT"), ("InstanceNumber", "1")],
            14,
            id="all keys have to match",
        ),
    ],
)
def test_counts_of_matches(path: str, query: list[tuple[str, str]], count: int) -> None:
    assert len(found(path, *query)) == count


def test_series_and_instances_below_a_study() -> None:
    path = f"studies/{STUDY.study_instance_uid}"
    series = found(f"{path}/series", tag="0020000E")
    assert series == [one.series_instance_uid for one in STUDY.all_series]
    assert len(found(f"{path}/instances")) == 15
    assert len(found(f"{path}/series/{series[2]}/instances")) == 3


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_are_disjoint_and_add_up(limit: int) -> None:
    pages = [
        found("studies", ("limit", str(limit)), ("offset", str(offset)))
        for offset in range(0, 8, limit)
    ]
    assert [uid for page in pages for uid in page] == UIDS
    assert all(len(page) <= limit for page in pages)


def test_an_offset_beyond_the_end_finds_nothing() -> None:
    assert ask("studies", ("offset", "7")).status == 204


def test_a_search_without_results_can_be_200() -> None:
    options = WebOptions(empty_search_status=200)
    response = ask("studies", ("PatientID", "nobody"), options=options)
    assert response.status == 200
    assert b"".join(response.body.buffers()) == b"[]"


def test_a_bound_on_results_is_announced() -> None:
    options = WebOptions(max_results=3)
    response = ask("studies", options=options)
    assert len(orjson.loads(b"".join(response.body.buffers()))) == 3
    assert (response.header("warning") or "").startswith("299 ")
    assert ask("studies", ("offset", "4"), options=options).header("warning") is None
    assert ask("studies", ("limit", "2"), options=options).header("warning") is None


def test_fuzzy_matching_is_accepted_and_said_to_be_missing() -> None:
    response = ask("studies", ("fuzzymatching", "true"), ("PatientName", "synthetic*"))
    assert response.status == 200
    assert "fuzzymatching" in (response.header("warning") or "")


@pytest.mark.parametrize(
    "query",
    [
        ("limit", "-1"),
        ("limit", "many"),
        ("offset", ""),
        ("NoSuchKeyword", "1"),
        ("includefield", "NoSuchKeyword"),
    ],
    ids=str,
)
def test_nonsense_is_refused(query: tuple[str, str]) -> None:
    assert ask("studies", query).status == 400


def test_included_and_matched_elements_are_returned() -> None:
    tags = {"PatientBirthDate": "00100030", "Manufacturer": "00080070", "Rows": "00280010"}
    path = f"studies/{UIDS[0]}/series"
    response = ask(path, ("includefield", "Manufacturer"), ("PatientBirthDate", "19510101"))
    (first, *_) = orjson.loads(b"".join(response.body.buffers()))
    assert {tags["PatientBirthDate"], tags["Manufacturer"]} <= first.keys()
    assert tags["Rows"] not in first


def test_counts_and_url_are_computed() -> None:
    (first, *_) = orjson.loads(b"".join(ask("studies").body.buffers()))
    assert first["00201206"]["Value"] == [5]
    assert first["00201208"]["Value"] == [15]
    assert first["00080061"]["Value"] == ["CT", "OT", "SR"]
    assert first["00081190"]["Value"] == [f"http://localhost/dicom-web/studies/{UIDS[0]}"]


def test_all_elements_of_a_level_are_returned_on_demand() -> None:
    response = ask("instances", ("includefield", "all"), ("limit", "1"))
    (only,) = orjson.loads(b"".join(response.body.buffers()))
    instance = ARCHIVE.studies[0].all_series[0].instances[0]
    assert instance.attributes().keys() <= only.keys()
