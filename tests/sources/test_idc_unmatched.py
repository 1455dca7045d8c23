from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.protocol.idc.selection import AnalysisResults, Selection
from asyncdicom.sources.idc_index import IdcIndex
from asyncdicom.sources.idc_selection import choose
from asyncdicom.sources.idc_unmatched import Unmatched, unmatched_in
from tests.support.idc_index import EARLIER_UUID, UUID, index_row, prior_row, write_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNKNOWN = "00000000-0000-4000-8000-0000000000ff"
ELSEWHERE = "has no series that the other options select"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        index_row(),
        index_row(
            collection_id="lung_study",
            PatientID="P2",
            SeriesInstanceUID="1.2.2",
            crdc_series_uuid="00000000-0000-4000-8000-000000000002",
        ),
    ]
    prior = [prior_row(SeriesInstanceUID="1.2.9"), prior_row(SeriesInstanceUID="1.2.1.1")]
    return write_index(tmp_path_factory.mktemp("index"), rows, prior=prior)


@pytest.fixture
def index(folder: Path) -> Iterator[IdcIndex]:
    with IdcIndex.open(folder) as index:
        yield index


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        pytest.param(Selection(collection_id=("c_one",)), [], id="nothing is wrong"),
        pytest.param(
            Selection(patient_id=("P1", "P3", "P4")),
            [
                Unmatched("PatientID", "P3", "not in the index"),
                Unmatched("PatientID", "P4", "not in the index"),
            ],
            id="unknown among known ones, in order",
        ),
        pytest.param(
            Selection(collection_id=("Lung-Study",)),
            [
                Unmatched(
                    "collection_id", "Lung-Study", "not in the index; did you mean 'lung_study'?"
                )
            ],
            id="another spelling",
        ),
        pytest.param(
            Selection(ids=("lung study", "zzz")),
            [
                Unmatched("id", "lung study", "not in the index; did you mean 'lung_study'?"),
                Unmatched("id", "zzz", "not in the index"),
            ],
            id="ids of any kind",
        ),
        pytest.param(
            Selection(series_instance_uid=("1.2.9",)),
            [
                Unmatched(
                    "SeriesInstanceUID",
                    "1.2.9",
                    f"not in this version of IDC any more; earlier ones: {EARLIER_UUID}",
                )
            ],
            id="a series that was removed",
        ),
        pytest.param(
            Selection(crdc_series_uuid=(UUID, EARLIER_UUID, UNKNOWN)),
            [Unmatched("crdc_series_uuid", UNKNOWN, "not in the index")],
            id="a version that never was",
        ),
        pytest.param(
            Selection(patient_id=("P1", "P2"), collection_id=("c_one",)),
            [Unmatched("PatientID", "P2", ELSEWHERE)],
            id="a patient of another collection",
        ),
        pytest.param(
            Selection(patient_id=("P1",), collection_id=("c_one", "lung_study")),
            [Unmatched("collection_id", "lung_study", ELSEWHERE, is_missing=False)],
            id="a collection without the patient is worth a remark",
        ),
        pytest.param(
            Selection(ids=("P1", "P2"), collection_id=("c_one",)),
            [Unmatched("id", "P2", ELSEWHERE)],
            id="an id of another collection",
        ),
        pytest.param(
            Selection(patient_id=("P1",), analysis_results=AnalysisResults.ONLY),
            [Unmatched("PatientID", "P1", ELSEWHERE)],
            id="a patient without analysis results",
        ),
        pytest.param(
            Selection(crdc_series_uuid=(EARLIER_UUID,), patient_id=("P2",)),
            [
                Unmatched("PatientID", "P2", ELSEWHERE, is_missing=False),
                Unmatched("crdc_series_uuid", EARLIER_UUID, ELSEWHERE),
            ],
            id="an earlier version of another patient",
        ),
    ],
)
def test_each_id_that_brings_nothing_is_told(
    index: IdcIndex, selection: Selection, expected: list[Unmatched]
) -> None:
    assert list(unmatched_in(choose(index, selection))) == expected


def test_an_id_is_told_with_its_kind() -> None:
    assert str(Unmatched("PatientID", "P 3", "not in the index")) == (
        "PatientID 'P 3': not in the index"
    )
