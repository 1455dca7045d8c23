"""What follows from an answer on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from asyncdicom.jobs.dump_plan import DumpPlan, DumpTask
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.storage.folder import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncdicom.errors import AsyncDicomError

STUDY, A, B = Uid("1"), Uid("1.1"), Uid("1.2")
PIXELS = {
    "00280010": {"vr": "US", "Value": [4]},
    "00280011": {"vr": "US", "Value": [8]},
    "00280100": {"vr": "US", "Value": [16]},
}
EVERY_KIND = frozenset(Resource)


def element(sop: str, series: str, **more: Any) -> dict[str, Any]:
    uids = {
        "00080018": {"vr": "UI", "Value": [sop]},
        "0020000E": {"vr": "UI", "Value": [series]},
    }
    return uids | more


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OutputFolder]:
    with OutputFolder.open(tmp_path) as folder:
        yield folder


def plan_of(
    folder: OutputFolder,
    *kinds: Resource,
    noted: list[str] | None = None,
    from_search: bool = False,
) -> DumpPlan:
    def note(target: Target, error: AsyncDicomError) -> None:
        assert noted is not None, error
        noted.append(f"{target}: {error}")

    chosen = frozenset(kinds) or EVERY_KIND
    return DumpPlan(folder, chosen, from_search=from_search, note_unusable=note)


def planned(folder: OutputFolder, elements: list[Any], *kinds: Resource) -> list[str]:
    folder.write_whole("1/metadata", orjson.dumps(elements))
    found = plan_of(folder, *kinds).follow_ups(DumpTask(Target(Resource.METADATA, STUDY)))
    return [str(task) for task in found]


def test_everything_begins_with_the_metadata(folder: OutputFolder) -> None:
    plan = plan_of(folder, Resource.FRAME)
    assert [str(task) for task in plan.first(STUDY)] == ["metadata 1"]
    assert [str(task) for task in plan_of(folder).first(STUDY)] == ["metadata 1", "search 1"]


def test_each_series_is_asked_for_once(folder: OutputFolder) -> None:
    elements = [element("1.1.1", A), element("1.2.1", B), element("1.1.2", A)]
    assert planned(folder, elements, Resource.METADATA) == [
        *("metadata 1 1.1", "metadata 1 1.1 1.1.1"),
        *("metadata 1 1.2", "metadata 1 1.2 1.2.1"),
        "metadata 1 1.1 1.1.2",
    ]


def test_an_image_has_frames_and_can_be_rendered(folder: OutputFolder) -> None:
    many = element("1.1.1", A, **PIXELS, **{"00280008": {"vr": "IS", "Value": ["3"]}})
    kinds = (Resource.FRAME, Resource.RENDERED, Resource.THUMBNAIL)
    frames = [f"frame 1 1.1 1.1.1 frame {number}" for number in (1, 2, 3)]
    expected = [*frames, "rendered 1 1.1 1.1.1", "thumbnail 1 1.1 1.1.1"]
    assert planned(folder, [many], *kinds) == expected


def test_what_is_no_image_has_neither(folder: OutputFolder) -> None:
    kinds = (Resource.FRAME, Resource.RENDERED, Resource.THUMBNAIL)
    assert planned(folder, [element("1.1.1", A)], *kinds) == []


def test_the_size_of_a_frame_is_known_beforehand(folder: OutputFolder) -> None:
    folder.write_whole("1/metadata", orjson.dumps([element("1.1.1", A, **PIXELS)]))
    plan = plan_of(folder, Resource.FRAME)
    (task,) = plan.follow_ups(DumpTask(Target(Resource.METADATA, STUDY)))
    assert task.frame_bytes == 4 * 8 * 2


def test_bulkdata_is_named_by_its_attribute(folder: OutputFolder) -> None:
    bulk = element("1.1.1", A, **{"00420011": {"vr": "OB", "BulkDataURI": "b/1"}})
    folder.write_whole("1/metadata", orjson.dumps([bulk]))
    plan = plan_of(folder, Resource.BULKDATA)
    (task,) = plan.follow_ups(DumpTask(Target(Resource.METADATA, STUDY)))
    assert (task.target.attribute, task.target.bulkdata_uri) == ("00420011", "b/1")


@pytest.mark.parametrize(
    "target",
    [
        Target(Resource.METADATA, STUDY, A),
        Target(Resource.FRAME, STUDY, A, Uid("1.1.1"), 1),
        Target(Resource.SEARCH, STUDY),
    ],
    ids=str,
)
def test_nothing_follows_from_the_rest(folder: OutputFolder, target: Target) -> None:
    assert list(plan_of(folder).follow_ups(DumpTask(target))) == []


def test_the_plan_is_lazy(folder: OutputFolder) -> None:
    elements: list[Any] = [element(f"1.1.{n}", A) for n in range(1, 2000)]
    noted: list[str] = []
    folder.write_whole("1/metadata", orjson.dumps([*elements, {}]))
    plan = plan_of(folder, Resource.METADATA, noted=noted)
    tasks = iter(plan.follow_ups(DumpTask(Target(Resource.METADATA, STUDY))))
    assert str(next(tasks)) == "metadata 1 1.1"
    assert noted == []
    assert len(list(tasks)) == 1999
    assert noted == ["metadata 1: attribute 00080018 is missing"]


def test_a_list_below_a_series_need_not_name_the_series(folder: OutputFolder) -> None:
    listed = {"00080018": {"vr": "UI", "Value": ["1.1.1"]}}
    folder.write_whole("1/series/1.1/search/instances", orjson.dumps([listed]))
    plan = plan_of(folder, Resource.METADATA, from_search=True)
    tasks = plan.follow_ups(DumpTask(Target(Resource.SEARCH, STUDY, A)))
    assert [str(task) for task in tasks] == ["metadata 1 1.1 1.1.1"]


@pytest.mark.parametrize(("expected", "notes"), [(None, 0), (1, 0), (2, 1)])
def test_a_list_shorter_than_the_count_is_noted(
    folder: OutputFolder, expected: int | None, notes: int
) -> None:
    noted: list[str] = []
    folder.write_whole("1/series/1.1/search/instances", orjson.dumps([element("1.1.1", A)]))
    plan = plan_of(folder, Resource.METADATA, noted=noted, from_search=True)
    task = DumpTask(Target(Resource.SEARCH, STUDY, A), expected_instances=expected)
    assert len(list(plan.follow_ups(task))) == 1
    assert len(noted) == notes


def test_series_come_with_their_counts(folder: OutputFolder) -> None:
    noted: list[str] = []
    series = [
        {"0020000E": {"vr": "UI", "Value": ["1.1"]}, "00201209": {"vr": "IS", "Value": [7]}},
        {"00201209": {"vr": "IS", "Value": [7]}},
        {"0020000E": {"vr": "UI", "Value": ["1.2"]}, "00201209": {"vr": "IS", "Value": ["x"]}},
    ]
    folder.write_whole("1/search/series", orjson.dumps(series))
    plan = plan_of(folder, Resource.SEARCH, noted=noted, from_search=True)
    tasks = list(plan.follow_ups(DumpTask(Target(Resource.SEARCH, STUDY))))
    assert [(str(task), task.expected_instances) for task in tasks] == [("search 1 1.1", 7)]
    assert len(noted) == 2
