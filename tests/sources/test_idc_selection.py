"""Selections against a small index, in which each id is in several places."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.protocol.idc.selection import AnalysisResults, Selection
from asyncdicom.protocol.idc.series import Totals
from asyncdicom.sources.idc_index import IdcIndex
from asyncdicom.sources.idc_selection import choose, indexed_instances, source_dois
from tests.support.idc_index import (
    index_row,
    instance_row,
    prior_row,
    write_index,
    write_instances,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def row(number: int, **values: Any) -> dict[str, Any]:
    series = f"1.2.{number}"
    return index_row(SeriesInstanceUID=series, crdc_series_uuid=uuid_of(number), **values)


# P1 is in both collections, and 3 belongs to an analysis result.
ROWS = [
    row(1),
    row(2, PatientID="P2", StudyInstanceUID="1.2.22", source_DOI="10.1/two"),
    row(3, Modality="SEG", analysis_result_id="a_result", instanceCount=1, source_DOI="10.1/ar"),
    row(4, collection_id="c_two", StudyInstanceUID="1.2.44", series_size_MB=1.000001),
]
PRIOR = [
    # Revised, and moved to another bucket in between.
    prior_row(SeriesInstanceUID="1.2.3", crdc_series_uuid=uuid_of(13), max_idc_version=19),
    prior_row(
        SeriesInstanceUID="1.2.3",
        crdc_series_uuid=uuid_of(13),
        gcs_bucket="idc-open-data",
        max_idc_version=21,
    ),
    # Removed.
    prior_row(SeriesInstanceUID="1.2.9", crdc_series_uuid=uuid_of(19), collection_id="c_two"),
    # Smaller than 5,000 bytes.
    prior_row(SeriesInstanceUID="1.2.8", crdc_series_uuid=uuid_of(18), series_size_MB=0.0),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_index(tmp_path_factory.mktemp("index"), ROWS, prior=PRIOR)
    write_instances(
        folder / "instances.parquet",
        [
            instance_row(SOPInstanceUID="1.2.1.1", SeriesInstanceUID="1.2.1"),
            instance_row(SOPInstanceUID="1.2.4.1", SeriesInstanceUID="1.2.4", instance_size=None),
        ],
    )
    return folder


@pytest.fixture
def index(folder: Path) -> Iterator[IdcIndex]:
    with IdcIndex.open(folder, instances=folder / "instances.parquet") as index:
        yield index


def numbers_of(index: IdcIndex, selection: Selection) -> list[int]:
    """Return which series are chosen, by the last digits of their UUIDs."""
    return [int(series.crdc_series_uuid[-12:]) for series in choose(index, selection).series()]


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        pytest.param(Selection(), [1, 2, 3, 4], id="everything"),
        pytest.param(Selection(collection_id=("c_one",)), [1, 2, 3], id="a collection"),
        pytest.param(Selection(patient_id=("P1",)), [1, 3, 4], id="a patient of two collections"),
        pytest.param(
            Selection(patient_id=("P1",), collection_id=("c_two",)), [4], id="the patient in one"
        ),
        pytest.param(
            Selection(patient_id=("P1", "P2"), collection_id=("c_one",)), [1, 2, 3], id="lists"
        ),
        pytest.param(Selection(study_instance_uid=("1.2.22", "1.2.44")), [2, 4], id="studies"),
        pytest.param(Selection(series_instance_uid=("1.2.3", "1.2.1")), [1, 3], id="series"),
        pytest.param(
            Selection(series_instance_uid=("1.2.3", "1.2.2"), patient_id=("P1",)),
            [3],
            id="series of a patient",
        ),
        pytest.param(Selection(analysis_result_id=("a_result",)), [3], id="an analysis result"),
        pytest.param(
            Selection(collection_id=("c_one",), analysis_results=AnalysisResults.EXCLUDE),
            [1, 2],
            id="without analysis results",
        ),
        pytest.param(
            Selection(patient_id=("P1",), analysis_results=AnalysisResults.ONLY),
            [3],
            id="only analysis results",
        ),
        pytest.param(Selection(crdc_series_uuid=(uuid_of(2),)), [2], id="a current version"),
        pytest.param(
            Selection(crdc_series_uuid=(uuid_of(13),)), [13], id="an earlier version, once"
        ),
        pytest.param(
            Selection(crdc_series_uuid=(uuid_of(13).upper(), uuid_of(3))),
            [3, 13],
            id="an earlier and a current version",
        ),
        pytest.param(Selection(crdc_series_uuid=(uuid_of(19),)), [19], id="a removed series"),
        pytest.param(
            Selection(crdc_series_uuid=(uuid_of(19), uuid_of(13)), collection_id=("c_two",)),
            [19],
            id="earlier versions of a collection",
        ),
        pytest.param(
            Selection(
                crdc_series_uuid=(uuid_of(19), uuid_of(13)), analysis_results=AnalysisResults.ONLY
            ),
            [13],
            id="an earlier version of what is an analysis result today",
        ),
        pytest.param(Selection(ids=("c_two", "P2")), [2, 4], id="ids of different kinds"),
        pytest.param(Selection(ids=("c_one", "P1", "1.2.1")), [1, 2, 3, 4], id="each once"),
        pytest.param(Selection(ids=("a_result",)), [3], id="the id of an analysis result"),
        pytest.param(Selection(ids=("1.2.44", "1.2.2")), [2, 4], id="a study and a series"),
        pytest.param(
            Selection(ids=(uuid_of(1), uuid_of(13))), [1, 13], id="versions, also earlier ones"
        ),
        pytest.param(
            Selection(ids=("P1",), collection_id=("c_two",)), [4], id="an id within a collection"
        ),
        pytest.param(Selection(collection_id=("c_1'; DROP TABLE chosen; --",)), [], id="no SQL"),
    ],
)
def test_kinds_restrict_each_other(
    index: IdcIndex, selection: Selection, numbers: list[int]
) -> None:
    assert numbers_of(index, selection) == numbers


def test_sizes_of_current_versions_are_exact(index: IdcIndex) -> None:
    assert choose(index, Selection(ids=("c_two",))).totals == Totals(1, 2, 1_000_001)


def test_earlier_versions_have_a_rounded_size_and_no_count(index: IdcIndex) -> None:
    chosen = choose(index, Selection(ids=(uuid_of(13), uuid_of(1))))
    assert chosen.totals == Totals(2, 2, 12_000, uncounted_series=1)
    current, earlier = chosen.series()
    assert (current.instance_count, current.rounded_by_bytes) == (2, 0)
    assert (earlier.instance_count, earlier.rounded_by_bytes) == (None, 5_000)


def test_an_earlier_version_is_where_it_was_last(index: IdcIndex) -> None:
    (series,) = choose(index, Selection(ids=(uuid_of(13),))).series()
    assert series.gcs_bucket == "idc-open-data"


def test_a_series_is_what_its_row_says(index: IdcIndex) -> None:
    (series,) = choose(index, Selection(ids=("1.2.3",))).series()
    assert replace(series, values={}) == series
    assert (series.collection_id, series.patient_id, series.modality) == ("c_one", "P1", "SEG")
    assert (series.study_instance_uid, series.series_instance_uid) == ("1.2.1", "1.2.3")


def test_many_series_of_several_collections_come_in_the_order_of_the_index() -> None:
    names = ("rider_pilot", "prostate_3t", "qin_pet_phantom")
    with IdcIndex.open() as index:
        series = choose(index, Selection(collection_id=names)).series()
        found = [one.collection_id for one in series]
    assert len(found) > 800
    assert found == sorted(found)


@pytest.mark.parametrize("location", Location)
def test_addresses_are_those_of_the_series(index: IdcIndex, location: Location) -> None:
    chosen = choose(index, Selection(crdc_series_uuid=(uuid_of(13), uuid_of(1), uuid_of(2))))
    assert list(chosen.addresses(location)) == [
        (one.bucket_in(location), one.crdc_series_uuid, one.series_instance_uid)
        for one in chosen.series()
    ]


def test_addresses_of_current_series_alone(index: IdcIndex) -> None:
    chosen = choose(index, Selection(collection_id=("c_one",)))
    assert [uuid for _, uuid, _ in chosen.addresses(Location.AWS)] == [
        uuid_of(n) for n in (1, 2, 3)
    ]


def test_further_columns_are_read_where_they_are_wanted(index: IdcIndex) -> None:
    columns = ["analysis_result_id", "source_DOI"]
    first, third = choose(index, Selection(ids=("1.2.1", "1.2.3"))).series(columns)
    assert first.values == {"source_DOI": "10.1/one"}
    assert third.values == {"analysis_result_id": "a_result", "source_DOI": "10.1/ar"}


def test_totals_by_columns_count_earlier_versions_too(index: IdcIndex) -> None:
    chosen = choose(index, Selection(ids=("c_one", uuid_of(19))))
    assert list(chosen.grouped("collection_id", "Modality")) == [
        ("c_one", "CT", 2, 4, 4_000),
        ("c_one", "SEG", 1, 1, 2_000),
        ("c_two", "CT", 1, 0, 10_000),
    ]


def test_what_is_to_be_cited(index: IdcIndex) -> None:
    assert source_dois(choose(index, Selection(ids=("P2",)))) == {"10.1/two"}
    # An earlier version cites what its series is from today.
    assert source_dois(choose(index, Selection(ids=(uuid_of(13),)))) == {"10.1/ar"}


def test_instances_are_found_in_an_index_of_instances(index: IdcIndex) -> None:
    found = indexed_instances(index, ["1.2.1.1", "1.2.4.1", "1.2.9.9"])
    assert {(one.sop_instance_uid, one.series_instance_uid, one.byte_count) for one in found} == {
        ("1.2.1.1", "1.2.1", 1000),
        ("1.2.4.1", "1.2.4", None),
    }


def test_without_an_index_of_instances_there_are_none(folder: Path) -> None:
    with IdcIndex.open(folder) as index:
        assert indexed_instances(index, ["1.2.1.1"]) == []


def test_another_table_is_no_index_of_instances(folder: Path) -> None:
    wrong = folder / "prior_versions_index.parquet"
    with IdcIndex.open(folder, instances=wrong) as index, pytest.raises(ConfigError):
        indexed_instances(index, ["1.2.1.1"])
