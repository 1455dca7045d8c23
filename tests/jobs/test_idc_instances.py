"""Single instances: found by an index of instances, or by looking into the objects of series."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import ConfigError, ConnectionLost, ProtocolError
from asyncdicom.jobs import idc_plan_instances
from asyncdicom.jobs.idc_groups import SeriesGroups
from asyncdicom.jobs.idc_instances import FoundInstance, InstanceFinder
from asyncdicom.jobs.idc_plan_instances import plan_instances
from asyncdicom.model import Uid
from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.protocol.idc.selection import Selection
from asyncdicom.protocol.idc.series import Series
from asyncdicom.sources.idc_index import IdcIndex
from tests.jobs.object_support import MemoryStore
from tests.jobs.support import IMPATIENT
from tests.support.dicom import ct, small_instance, uid
from tests.support.idc_index import UUID, index_row, instance_row, write_index, write_instances

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from asyncdicom.jobs.idc_plans import InstancePlan
    from asyncdicom.ports.objects import ListingPage
    from tests.jobs.object_support import MemoryAnswer

SECOND = "00000000-0000-4000-8000-000000000002"


def series(uuid: str = UUID) -> Series:
    return Series(uuid, "c", "p", "1.2.1", "1.2.1.1", "SM", "bucket", 3, 3_000)


def store_of(*numbers: int, **further: Any) -> MemoryStore:
    """Return a store whose objects `a`, `b`, ... of a series hold instances."""
    objects = {f"{UUID}/{chr(97 + n)}.dcm": small_instance(i) for n, i in enumerate(numbers)}
    return MemoryStore(objects, **further)


async def find(
    store: MemoryStore, *wanted: int, candidates: tuple[Series, ...] = (series(),)
) -> InstanceFinder:
    uids = [Uid(uid("instance", number)) for number in wanted]
    finder = InstanceFinder(store, candidates, uids, Location.AWS)
    await Scheduler(finder, IMPATIENT).run(finder.tasks())
    return finder


@pytest.mark.anyio
async def test_an_instance_is_found_by_the_head_of_its_object() -> None:
    store = store_of(7, 8, 9)
    finder = await find(store, 8)
    assert finder.found == {uid("instance", 8): FoundInstance(series(), f"{UUID}/b.dcm")}
    assert all(line.endswith(" 0-1023") for line in store.asked if line.startswith("get"))


@pytest.mark.anyio
async def test_several_are_found_in_several_pages() -> None:
    store = store_of(*range(5), page_objects=2)
    finder = await find(store, 0, 4)
    assert set(finder.found) == {uid("instance", 0), uid("instance", 4)}
    assert finder.failed == []


@pytest.mark.anyio
async def test_nothing_more_is_looked_into_when_all_is_found() -> None:
    store = store_of(*range(20))
    await find(store, 0, candidates=(series(), series(SECOND)))
    assert store.counts()["get"] <= IMPATIENT.concurrency + 1
    assert store.counts()["list"] <= IMPATIENT.concurrency


@pytest.mark.anyio
async def test_what_is_not_there_is_not_found() -> None:
    finder = await find(store_of(7), 8)
    assert (finder.found, finder.failed) == ({}, [])


@pytest.mark.anyio
async def test_an_object_that_is_no_dicom_file_is_none_of_them() -> None:
    finder = await find(MemoryStore({f"{UUID}/a": b"hello", f"{UUID}/b": small_instance(8)}), 8)
    assert set(finder.found) == {uid("instance", 8)}


@dataclass
class Watched(MemoryStore):
    """Keeps its answers."""

    answers: list[MemoryAnswer] = field(default_factory=list)

    @asynccontextmanager
    async def fetch(self, bucket: str, key: str, **how: Any) -> AsyncIterator[MemoryAnswer]:
        """Answer a GET."""
        async with super().fetch(bucket, key, **how) as answer:
            self.answers.append(answer)
            yield answer


@pytest.mark.anyio
async def test_a_server_that_knows_no_ranges_is_read_no_further_than_needed() -> None:
    content = ct(number=8, rows=512, columns=512)
    store = Watched({f"{UUID}/a.dcm": content}, honours_ranges=False)
    finder = await find(store, 8)
    assert set(finder.found) == {uid("instance", 8)}
    (answer,) = store.answers
    assert await answer.read(), "most of it is still there"


@pytest.mark.anyio
async def test_what_could_not_be_looked_into_is_remembered() -> None:
    broken = [ConnectionLost("gone") for _ in range(20)]
    finder = await find(store_of(8, faults={f"{UUID}/a.dcm": broken}), 8)
    ((task, error),) = finder.failed
    assert str(task) == f"look into {UUID}/a.dcm"
    assert isinstance(error, ConnectionLost)


class Circling(MemoryStore):
    """Its last page leads to the first."""

    async def page(
        self, bucket: str, prefix: str, *, delimiter: str = "", continuation: str | None = None
    ) -> ListingPage:
        """List a page."""
        assert len(self.asked) < 50, "it would never end"
        page = await super().page(bucket, prefix, continuation=continuation)
        return replace(page, continuation=page.continuation or f"{UUID}/a.dcm")


@pytest.mark.anyio
async def test_a_series_that_is_listed_in_circles_is_left() -> None:
    objects = {f"{UUID}/{name}.dcm": small_instance(1) for name in "abcdef"}
    finder = await find(Circling(objects, page_objects=2), 8)
    assert finder.found == {}
    ((task, error),) = finder.failed
    assert (str(task), type(error)) == (f"look into {UUID}/", ProtocolError)


ROWS = [
    index_row(),
    index_row(SeriesInstanceUID="1.2.1.2", crdc_series_uuid=SECOND, PatientID="P2"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_index(tmp_path_factory.mktemp("index"), ROWS)
    rows = [
        instance_row(SOPInstanceUID="1.2.7", crdc_instance_uuid="i7"),
        instance_row(SOPInstanceUID="1.2.8", crdc_instance_uuid="i8"),
        instance_row(SOPInstanceUID="1.2.9", SeriesInstanceUID="1.2.1.2", crdc_instance_uuid="i9"),
    ]
    write_instances(folder / "instances.parquet", rows)
    return folder


@pytest.fixture
def indexed(folder: Path) -> Iterator[IdcIndex]:
    with IdcIndex.open(folder, instances=folder / "instances.parquet") as index:
        yield index


@pytest.fixture
def plain(folder: Path) -> Iterator[IdcIndex]:
    with IdcIndex.open(folder) as index:
        yield index


GROUPS = SeriesGroups("%SeriesInstanceUID", Location.AWS)


def keys_of(plan: InstancePlan) -> list[str]:
    return [group.prefix for group in plan.groups]


def test_an_index_of_instances_says_which_objects_they_are(indexed: IdcIndex) -> None:
    selection = Selection(sop_instance_uid=("1.2.7", "1.2.8", "1.2.9"))
    plan = plan_instances(indexed, selection, GROUPS)
    assert sorted(keys_of(plan)) == [f"{UUID}/i7.dcm", f"{UUID}/i8.dcm", f"{SECOND}/i9.dcm"]
    assert {group.expected_bytes for group in plan.groups} == {1000}
    assert {group.sop_instance_uid for group in plan.groups} == {"1.2.7", "1.2.8", "1.2.9"}
    assert (plan.wanted, plan.unmatched) == ((), ())


@pytest.mark.parametrize(
    "restriction",
    [
        pytest.param(Selection(patient_id=("P1",)), id="a patient"),
        pytest.param(Selection(series_instance_uid=("1.2.1.1",)), id="a series"),
        pytest.param(Selection(ids=("P1",)), id="an id"),
    ],
)
def test_an_instance_outside_of_the_selection_is_named(
    indexed: IdcIndex, restriction: Selection
) -> None:
    selection = replace(restriction, sop_instance_uid=("1.2.7", "1.2.9"))
    plan = plan_instances(indexed, selection, GROUPS)
    assert keys_of(plan) == [f"{UUID}/i7.dcm"]
    assert [str(one) for one in plan.unmatched] == [
        "SOPInstanceUID '1.2.9': has no series that the other options select"
    ]


def test_without_such_an_index_the_series_that_are_selected_are_candidates(plain: IdcIndex) -> None:
    selection = Selection(sop_instance_uid=("1.2.8",), study_instance_uid=("1.2.1",))
    plan = plan_instances(plain, selection, GROUPS)
    assert plan.wanted == ("1.2.8",)
    assert [one.crdc_series_uuid for one in plan.candidates] == [UUID, SECOND]


def test_an_instance_that_nothing_leads_to_is_refused_with_what_is_needed(plain: IdcIndex) -> None:
    with pytest.raises(ConfigError, match=r"instance 1\.2\.8 is of; add --series-instance-uid"):
        plan_instances(plain, Selection(sop_instance_uid=("1.2.8",)), GROUPS)


def test_too_many_candidates_are_refused(plain: IdcIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idc_plan_instances, "MAX_HELD", 1)
    selection = Selection(sop_instance_uid=("1.2.8",), collection_id=("c_one",))
    with pytest.raises(ConfigError, match="2 series would have to be looked into"):
        plan_instances(plain, selection, GROUPS)


def test_a_plan_is_completed_by_what_was_found(plain: IdcIndex) -> None:
    selection = Selection(sop_instance_uid=("1.2.8", "1.2.9"), series_instance_uid=("1.2.1.1",))
    plan = plan_instances(plain, selection, GROUPS)
    found = {Uid("1.2.8"): FoundInstance(plan.candidates[0], f"{UUID}/a.dcm")}
    whole = plan.completed(GROUPS, found, ["a failure"])
    (group,) = whole.groups
    assert (group.prefix, group.is_single, group.sop_instance_uid) == (
        f"{UUID}/a.dcm",
        True,
        "1.2.8",
    )
    assert (whole.totals.series, whole.totals.instances) == (1, 1)
    (missing,) = whole.unmatched
    assert (missing.kind, missing.value) == ("SOPInstanceUID", "1.2.9")
    assert missing.why == ("in none of the 1 series selected; 1 objects could not be looked into")
