from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import NotFound
from asyncdicom.jobs import idc_plan
from asyncdicom.jobs.idc_groups import SeriesGroups
from asyncdicom.jobs.idc_plan import plan_manifest, plan_selection
from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.protocol.idc.manifest import ManifestId, ManifestUrl, read_manifest
from asyncdicom.protocol.idc.selection import Selection
from asyncdicom.protocol.idc.series import Totals
from asyncdicom.sources.idc_index import IdcIndex
from tests.support.idc_index import EARLIER_UUID, UUID, index_row, prior_row, write_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncdicom.jobs.idc_plans import IdcPlan

SECOND = "00000000-0000-4000-8000-000000000002"
UNKNOWN = "00000000-0000-4000-8000-0000000000ff"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    second = index_row(
        SeriesInstanceUID="1.2.2",
        StudyInstanceUID="1.2.22",
        PatientID="nlst",
        crdc_series_uuid=SECOND,
        aws_bucket="idc-open-data-cr",
    )
    return write_index(tmp_path_factory.mktemp("index"), [index_row(), second], prior=[prior_row()])


@pytest.fixture
def index(folder: Path) -> Iterator[IdcIndex]:
    with IdcIndex.open(folder) as index:
        yield index


def groups(location: Location = Location.AWS) -> SeriesGroups:
    return SeriesGroups("%SeriesInstanceUID", location)


def manifest(index: IdcIndex, *lines: str, location: Location = Location.AWS) -> IdcPlan:
    return plan_manifest(index, read_manifest(lines), groups(location))


def addresses(plan: IdcPlan) -> list[str]:
    """Return where the groups are: a series ends in `/`, an object does not."""
    return [f"{group.bucket}/{group.pattern or group.prefix}" for group in plan.groups]


FIRST_SERIES = f"idc-open-data/{UUID}/"
SECOND_SERIES = f"idc-open-data-cr/{SECOND}/"


def test_a_selection_is_a_group_for_each_series(index: IdcIndex) -> None:
    plan = plan_selection(index, Selection(collection_id=("c_one",)), groups())
    assert addresses(plan) == [FIRST_SERIES, SECOND_SERIES]
    assert (plan.totals.series, plan.totals.instances, plan.totals.byte_count) == (2, 4, 4_000)
    assert plan.unmatched == ()
    assert not plan.is_empty


def test_a_failure_names_each_id_that_is_missing(index: IdcIndex) -> None:
    plan = plan_selection(index, Selection(patient_id=("P1", "nobody")), groups())
    (failure,) = plan.failures()
    assert str(failure.target) == "listing idc://PatientID/nobody"
    assert isinstance(failure.error, NotFound)
    assert str(failure.error) == "not in the index"


def test_a_remark_is_no_failure(index: IdcIndex) -> None:
    selection = Selection(patient_id=("P1", "nlst"), study_instance_uid=("1.2.1",))
    plan = plan_selection(index, selection, groups())
    assert [one.value for one in plan.unmatched] == ["nlst"]
    assert list(plan.failures()) == []


def test_nothing_is_an_empty_plan(index: IdcIndex) -> None:
    assert plan_selection(index, Selection(ids=("nobody",)), groups()).is_empty


def test_a_long_plan_is_drawn_from_the_index(
    index: IdcIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idc_plan, "MAX_HELD", 1)
    plan = plan_selection(index, Selection(), groups())
    assert not plan.is_held
    assert not plan.is_empty
    assert addresses(plan) == [FIRST_SERIES, SECOND_SERIES]
    assert addresses(plan) == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"cp s3://idc-open-data/{UUID}/* .", id="a command"),
        pytest.param(f"s3://idc-open-data/{UUID}/", id="an address without a star"),
        pytest.param(f"gs://idc-open-data/{UUID}/*", id="the other cloud"),
        pytest.param(f"s3://public-datasets-idc/{UUID}/*", id="a former bucket"),
        pytest.param(UUID.upper(), id="a CRDC UUID"),
        pytest.param("1.2.1.1", id="a Series Instance UID"),
        pytest.param("1.2.1", id="a Study Instance UID"),
    ],
)
def test_a_line_of_a_manifest_is_a_series(index: IdcIndex, line: str) -> None:
    plan = manifest(index, line)
    (group,) = plan.groups
    assert addresses(plan) == [FIRST_SERIES]
    assert (group.expected_count, group.expected_bytes) == (2, 2_000)
    assert plan.unmatched == ()


def test_lines_that_repeat_are_one(index: IdcIndex) -> None:
    lines = (f"s3://idc-open-data/{UUID}/*", f"cp s3://idc-open-data/{UUID}/* x", "1.2.1.1", UUID)
    plan = manifest(index, *lines)
    assert addresses(plan) == [FIRST_SERIES]
    assert plan.totals.series == 1


def test_buckets_may_be_mixed(index: IdcIndex) -> None:
    lines = (f"s3://idc-open-data/{UUID}/*", f"s3://idc-open-cr/{SECOND}/*")
    assert addresses(manifest(index, *lines)) == [FIRST_SERIES, SECOND_SERIES]
    at_google = manifest(index, *lines, location=Location.GCS)
    assert addresses(at_google) == [FIRST_SERIES, f"idc-open-cr/{SECOND}/"]


def test_a_single_object_is_one_file_of_its_series(index: IdcIndex) -> None:
    plan = manifest(index, f"cp s3://idc-open-data/{UUID}/x.dcm .")
    (group,) = plan.groups
    assert group.is_single
    assert addresses(plan) == [f"{FIRST_SERIES}x.dcm"]
    # Not of the size of its series: that may be a thousand times more than the disk holds.
    assert plan.totals == Totals(1, 1, 0)
    assert group.series_instance_uid == "1.2.1.1"


def test_objects_of_a_series_that_is_wanted_whole_come_with_it(index: IdcIndex) -> None:
    plan = manifest(index, f"s3://idc-open-data/{UUID}/x.dcm", f"s3://idc-open-data/{UUID}/*")
    assert addresses(plan) == [FIRST_SERIES]
    plan = manifest(index, f"s3://idc-open-data/{UUID}/x.dcm", "1.2.1.1")
    assert addresses(plan) == [FIRST_SERIES]


def test_a_pattern_is_a_part_of_a_series(index: IdcIndex) -> None:
    plan = manifest(index, f"s3://idc-open-data/{UUID}/x*.dcm")
    (group,) = plan.groups
    assert (group.pattern, group.expected_count) == (f"{UUID}/x*.dcm", None)
    plan = manifest(index, f"s3://idc-open-data/{UUID}/x*")
    (group,) = plan.groups
    assert (group.prefix, group.expected_count) == (f"{UUID}/x", None)


def test_an_earlier_version_in_a_manifest_is_that_version(index: IdcIndex) -> None:
    plan = manifest(index, f"s3://public-datasets-idc/{EARLIER_UUID}/*")
    assert addresses(plan) == [f"idc-open-data/{EARLIER_UUID}/"]


def test_what_the_index_does_not_know_is_fetched_all_the_same(index: IdcIndex) -> None:
    plan = manifest(index, f"s3://idc-open-data/{UNKNOWN}/*", f"s3://idc-open-data/{UUID}/*")
    assert addresses(plan) == [FIRST_SERIES, f"idc-open-data/{UNKNOWN}/"]
    assert [str(one) for one in plan.unmatched] == [
        f"manifest 's3://idc-open-data/{UNKNOWN}/': not in the index, it goes to not_in_index/"
    ]
    assert list(plan.failures()) == []


def test_an_id_that_the_index_does_not_know_cannot_be_fetched(index: IdcIndex) -> None:
    plan = manifest(index, UNKNOWN, "1.2.3.4", "1.2.1.1")
    assert addresses(plan) == [FIRST_SERIES]
    assert {str(failure.target) for failure in plan.failures()} == {
        f"listing idc://id/{UNKNOWN}",
        "listing idc://id/1.2.3.4",
    }


def test_an_id_of_a_report_keeps_its_letters(index: IdcIndex) -> None:
    plan = plan_manifest(
        index, [ManifestId(1, "P1"), ManifestUrl(2, "s3", "b", f"{UUID}/x")], groups()
    )
    assert addresses(plan) == [f"b/{UUID}/"]
    assert plan.unmatched == ()


def test_a_copy_of_somebody_is_used_where_the_manifest_says_so(index: IdcIndex) -> None:
    assert addresses(manifest(index, f"s3://my-mirror/{UUID}/*")) == [f"my-mirror/{UUID}/"]
    (group,) = manifest(index, f"s3://my-mirror/{UUID}/*").groups
    assert group.expected_count == 2


def test_a_folder_in_a_bucket_of_somebody_is_no_id(index: IdcIndex) -> None:
    plan = manifest(index, "s3://my-mirror/nlst/a.dcm")
    assert addresses(plan) == ["my-mirror/nlst/a.dcm"]
    assert plan.totals == Totals(1, 1, 0)
    assert [str(one) for one in plan.unmatched] == [
        "manifest 's3://my-mirror/nlst/a.dcm': not in the index, it goes to not_in_index/"
    ]
    assert list(plan.failures()) == []


def test_an_empty_manifest_is_nothing_and_not_everything(index: IdcIndex) -> None:
    assert manifest(index, "# nothing").is_empty


def test_a_line_that_is_nothing_is_named_with_its_number(index: IdcIndex) -> None:
    plan = manifest(index, "# heading", "1.2.1.1", "hello")
    (failure,) = plan.failures()
    assert str(failure.target) == "listing idc://manifest/hello"
    assert str(failure.error) == "line 3 names no series"
