"""Frames and metadata by their spans: whatever the tables of the metadata say."""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pydicom
import pytest
from pydicom.encaps import generate_frames

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import ConnectionLost
from asyncdicom.jobs import cod_parts
from asyncdicom.jobs.cod_parts import CodPartsJob, PartsTask
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.protocol.cod.frames import fragment_spans, pixel_place
from asyncdicom.protocol.cod.places import metadata_key, tar_key
from asyncdicom.sources.cod import CodSource
from asyncdicom.storage.folder import OutputFolder
from tests.jobs.support import IMPATIENT, Run, files_in
from tests.support.cod import ROOT, CodObjects, Fault, MemoryCodStore
from tests.support.dicom import (
    encapsulated,
    multi_frame,
    samples,
    small_instance,
    structured_report,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.support.cod import SeriesMaker

pytestmark = pytest.mark.anyio

SAMPLES = samples()
NATIVE = multi_frame(frames=5)
COMPRESSED = SAMPLES["jpeg 2000 without offset table"]
IN_FRAGMENTS = SAMPLES["jpeg 2000 in many fragments"]


def frames_of(content: bytes) -> list[bytes]:
    dataset = pydicom.dcmread(io.BytesIO(content))
    count = int(dataset.get("NumberOfFrames", 1))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return list(generate_frames(dataset.PixelData, number_of_frames=count))
    size = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    return [dataset.PixelData[n * size : (n + 1) * size] for n in range(count)]


def table_of(content: bytes) -> dict[str, list[int]]:
    place = pixel_place(content, len(content))
    assert place is not None
    spans = [frame[0] for frame in fragment_spans(content, place)]  # type: ignore[arg-type]  # -- the content is whole
    return {
        "CustomOffsetTable": [span.first_byte for span in spans],
        "CustomOffsetTableLengths": [span.byte_count for span in spans],
    }


def with_table(table: dict[str, list[int]]) -> Any:
    def change(document: dict[str, Any]) -> None:
        for entry in document["cod"]["instances"].values():
            entry["offset_tables"] = table

    return change


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[OutputFolder]:
    with OutputFolder.open(path) as folder:
        yield folder


async def fetch(
    memory: MemoryCodStore,
    path: Path,
    target: Target,
    resource: Resource = Resource.FRAME,
    frames: Sequence[int] = (),
) -> Run:
    run = Run()
    tally = Tally([run])
    async with opened(path) as folder:
        job = CodPartsJob(CodSource(ROOT, memory), folder, tally, resource=resource, frames=frames)
        scheduler = Scheduler(job, IMPATIENT, observe=tally.tell)
        run.ended = await run_job(
            job, job.tasks([target]), scheduler=scheduler, tally=tally, finish=job.aclose
        )
    return run


def study_of(series: SeriesMaker) -> Target:
    return Target(Resource.STUDY, series.study)


def names_of(series: SeriesMaker) -> dict[str, bytes]:
    folder = f"{series.study}/{series.series}/instances"
    return {
        f"{folder}/{series.uid_of(one)}/frames/{number}": frame
        for one in series.instances
        for number, frame in enumerate(frames_of(one), 1)
    }


def spans_in(memory: MemoryCodStore) -> int:
    return len([line for line in memory.asked if ".tar" in line])


@pytest.mark.parametrize(
    ("content", "table", "requests"),
    [
        pytest.param(NATIVE, {}, 2, id="uncompressed"),
        pytest.param(
            NATIVE,
            {
                "CustomOffsetTable": [670, 798, 926, 1054, 1182],
                "CustomOffsetTableLengths": [128] * 5,
            },
            2,
            id="uncompressed, with the table 8 bytes too high",
        ),
        pytest.param(COMPRESSED, table_of(COMPRESSED), 2, id="compressed, with its table"),
        pytest.param(COMPRESSED, {}, 2, id="compressed, without a table"),
        pytest.param(
            COMPRESSED,
            {
                "CustomOffsetTable": [one + 8 for one in table_of(COMPRESSED)["CustomOffsetTable"]],
                "CustomOffsetTableLengths": table_of(COMPRESSED)["CustomOffsetTableLengths"],
            },
            3,
            id="compressed, with a wrong table",
        ),
        pytest.param(IN_FRAGMENTS, {}, 2, id="in fragments"),
        pytest.param(SAMPLES["jpeg-ls"], {}, 2, id="one frame"),
        pytest.param(SAMPLES["implicit little endian"], {}, 2, id="implicit"),
        pytest.param(SAMPLES["explicit big endian"], {}, 2, id="big endian"),
    ],
)
async def test_frames_are_those_of_the_file_whatever_the_table_says(
    content: bytes, table: dict[str, list[int]], requests: int, tmp_path: Path
) -> None:
    objects = CodObjects()
    series = objects.add_series([content], change=with_table(table))
    memory = MemoryCodStore(objects)
    run = await fetch(memory, tmp_path, study_of(series))
    assert run.is_complete
    assert files_in(tmp_path) == names_of(series)
    assert spans_in(memory) == requests


async def test_chosen_frames_cost_their_own_bytes(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series([multi_frame(frames=50)])
    memory = MemoryCodStore(objects)
    run = await fetch(memory, tmp_path, study_of(series), frames=[7, 2, 2])
    expected = {
        name: frame for name, frame in names_of(series).items() if name[-2:] in ("/2", "/7")
    }
    assert files_in(tmp_path) == expected
    assert [one.target.frame_number for one in run.stored if isinstance(one.target, Target)] == [
        2,
        7,
    ]


async def test_frames_far_apart_are_asked_for_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cod_parts, "GAP_BYTES", 200)
    objects = CodObjects()
    series = objects.add_series([multi_frame(frames=50)])
    memory = MemoryCodStore(objects)
    await fetch(memory, tmp_path, study_of(series), frames=[1, 2, 40])
    assert spans_in(memory) == 1 + 2


async def test_a_frame_that_is_not_there_is_named(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series([NATIVE])
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series), frames=[5, 6])
    assert [(one.target.frame_number, one.error.reason) for one in run.failed] == [(6, "not-found")]  # type: ignore[union-attr]  # -- of a study
    assert len(run.stored) == 1


async def test_an_instance_without_pixels_has_no_frames(tmp_path: Path) -> None:
    objects = CodObjects()

    def say(document: dict[str, Any]) -> None:
        for entry in document["cod"]["instances"].values():
            entry["has_pixeldata"] = False

    series = objects.add_series([structured_report()], change=say)
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series))
    assert run.is_complete
    named = Target(
        Resource.INSTANCE, series.study, series.series, series.uid_of(series.instances[0])
    )
    run = await fetch(MemoryCodStore(objects), tmp_path, named)
    assert [str(one.error) for one in run.failed] == ["the instance has no pixel data"]


async def test_what_breaks_goes_on_and_stores_nothing_twice(tmp_path: Path) -> None:
    objects = CodObjects()
    content = multi_frame(frames=400)
    series = objects.add_series([content])
    key = tar_key(ROOT, series.study, series.series)
    faults: list[Fault | None] = [None, Fault(ConnectionLost("reset"), 9000)]
    run = await fetch(MemoryCodStore(objects, faults={key: faults}), tmp_path, study_of(series))
    assert run.is_complete
    assert len(run.stored) == 400
    assert files_in(tmp_path) == names_of(series)


async def test_servers_that_know_no_ranges_are_read_up_to_what_is_wanted(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series([small_instance(1), NATIVE])
    memory = MemoryCodStore(objects, honours_ranges=False)
    assert (await fetch(memory, tmp_path, study_of(series))).is_complete
    assert files_in(tmp_path) == names_of(series)


async def test_a_head_is_read_as_far_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cod_parts, "HEAD_BYTES", 200)
    objects = CodObjects()
    series = objects.add_series([NATIVE])
    memory = MemoryCodStore(objects)
    assert (await fetch(memory, tmp_path, study_of(series))).is_complete
    assert files_in(tmp_path) == names_of(series)
    assert spans_in(memory) == 3


async def test_limits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cod_parts, "HEAD_BYTES", 200)
    monkeypatch.setattr(cod_parts, "MAX_HEAD_BYTES", 200)
    objects = CodObjects()
    series = objects.add_series([NATIVE])
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series))
    assert [one.error.reason for one in run.failed] == ["limit-exceeded"]
    monkeypatch.undo()
    monkeypatch.setattr(cod_parts, "MAX_HELD_BYTES", 200)
    objects = CodObjects()
    series = objects.add_series([COMPRESSED])
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series))
    assert [one.error.reason for one in run.failed] == ["limit-exceeded"]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_metadata_is_an_array_of_data_sets(version: str, tmp_path: Path) -> None:
    objects = CodObjects()
    content = encapsulated(frames=40, number=2)
    series = objects.add_series([content, NATIVE], version=version)
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series), Resource.METADATA)
    assert run.is_complete
    (found,) = files_in(tmp_path).items()
    assert found[0] == f"{series.study}/{series.series}/metadata.json"
    data_sets = json.loads(found[1])
    assert [one["00080018"]["Value"][0] for one in data_sets] == [
        series.uid_of(one) for one in series.instances
    ]
    for one in data_sets:
        pydicom.Dataset.from_json(one, bulk_data_uri_handler=lambda tag, vr, uri: None)


async def test_metadata_of_one_instance_and_what_is_not_there(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series([small_instance(1), small_instance(2)])
    uid = series.uid_of(series.instances[1])
    target = Target(Resource.INSTANCE, series.study, series.series, uid)
    await fetch(MemoryCodStore(objects), tmp_path, target, Resource.METADATA)
    assert list(files_in(tmp_path)) == [
        f"{series.study}/{series.series}/instances/{uid}/metadata.json"
    ]
    nobody = Target(Resource.INSTANCE, series.study, series.series, Uid("1.2"))
    run = await fetch(MemoryCodStore(objects), tmp_path / "none", nobody, Resource.METADATA)
    assert [one.error.reason for one in run.failed] == ["not-found"]
    assert files_in(tmp_path / "none") == {}


async def test_an_entry_that_is_refused_is_named(tmp_path: Path) -> None:
    objects = CodObjects()

    def change(document: dict[str, Any]) -> None:
        next(iter(document["cod"]["instances"].values()))["version"] = "7"

    series = objects.add_series([small_instance(1), small_instance(2)], change=change)
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series), Resource.METADATA)
    assert [one.target.sop_instance_uid for one in run.failed] == [
        series.uid_of(series.instances[0])
    ]
    (content,) = files_in(tmp_path).values()
    assert len(json.loads(content)) == 1


async def test_frames_out_of_a_damaged_instance_are_refused(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series([COMPRESSED])
    key = tar_key(ROOT, series.study, series.series)
    at = objects[key].index(frames_of(COMPRESSED)[1]) + 20
    objects[key] = objects[key][:at] + b"!" + objects[key][at + 1 :]
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series))
    assert [one.error.reason for one in run.failed] == ["digest-mismatch"]
    assert files_in(tmp_path) == {}


def nested(levels: int) -> dict[str, Any]:
    data_set: dict[str, Any] = {}
    for _ in range(levels):
        data_set = {"00081115": {"vr": "SQ", "Value": [data_set]}}
    return data_set


@pytest.mark.parametrize(
    "data_set",
    [
        pytest.param({"00100010": {"vr": "PN", "Value": ["\ud800"]}}, id="half a character"),
        pytest.param(nested(200), id="sequences in each other"),
    ],
)
async def test_a_data_set_that_json_cannot_hold_is_named(
    data_set: dict[str, Any], tmp_path: Path
) -> None:
    objects = CodObjects()

    def change(document: dict[str, Any]) -> None:
        next(iter(document["cod"]["instances"].values()))["metadata"] = data_set

    series = objects.add_series([small_instance(1)], version="1.0", change=change)
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series), Resource.METADATA)
    assert [one.error.reason for one in run.failed] == ["protocol-error"]
    assert files_in(tmp_path) == {}


async def test_frames_that_wait_hold_no_data_sets(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series([small_instance(1), NATIVE], change=with_table({"x": [1]}))
    source = CodSource(ROOT, MemoryCodStore(objects))
    async with opened(tmp_path) as folder:
        job = CodPartsJob(source, folder, Tally(), resource=Resource.FRAME)
        target = Target(Resource.SERIES, series.study, series.series)
        waiting = list(await job.perform(PartsTask(target), 1))
        await job.aclose()
    entries = [task.place.entry for task in waiting if task.place is not None]
    assert entries == [{"offset_tables": {"x": [1]}}] * len(waiting)
    assert waiting


async def test_frames_do_not_go_on_behind_the_end_of_their_instance(tmp_path: Path) -> None:
    objects = CodObjects()
    content = NATIVE[:-200]
    series = objects.add_series([content, small_instance(2)])
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series))
    assert [one.target.sop_instance_uid for one in run.failed] == [series.uid_of(content)]
    folder = f"{series.study}/{series.series}/instances/{series.uid_of(content)}"
    assert not any(name.startswith(folder) for name in files_in(tmp_path))


async def test_a_table_that_leads_out_of_its_instance_is_not_believed(tmp_path: Path) -> None:
    objects = CodObjects()
    table, other = table_of(COMPRESSED), bytearray(encapsulated(frames=2, number=2))
    # A fragment of the instance behind it, in an item of that length.
    there, length = (values[0] for values in table_of(bytes(other)).values())
    other[there + 20] ^= 1
    series = objects.add_series([COMPRESSED, bytes(other)])
    archive = objects[tar_key(ROOT, series.study, series.series)]
    at = archive.index(other) - archive.index(COMPRESSED)
    table["CustomOffsetTable"][-1] = at + there
    table["CustomOffsetTableLengths"][-1] = length

    def change(document: dict[str, Any]) -> None:
        document["cod"]["instances"][series.uid_of(COMPRESSED)]["offset_tables"] = table

    series = objects.add_series(series.instances, change=change)
    run = await fetch(MemoryCodStore(objects), tmp_path, study_of(series))
    assert run.is_complete
    assert files_in(tmp_path) == names_of(series)


async def test_what_is_named_once_is_not_named_again_by_another_try(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series([NATIVE])
    key = tar_key(ROOT, series.study, series.series)
    faults: list[Fault | None] = [None, Fault(ConnectionLost("reset"), 10)]
    memory = MemoryCodStore(objects, faults={key: faults})
    run = await fetch(memory, tmp_path, study_of(series), frames=[1, 6])
    assert [one.target.frame_number for one in run.failed] == [6]  # type: ignore[union-attr]  # -- of a study
    assert len(run.stored) == 1


@pytest.mark.parametrize("resource", [Resource.METADATA, Resource.FRAME])
async def test_a_refused_entry_is_named_once_though_its_metadata_broke(
    resource: Resource, tmp_path: Path
) -> None:
    objects = CodObjects()

    def change(document: dict[str, Any]) -> None:
        next(iter(document["cod"]["instances"].values()))["version"] = "7"

    instances = [small_instance(number) for number in range(1, 10)]
    series = objects.add_series(instances, change=change, is_gzipped=False)
    key = metadata_key(ROOT, series.study, series.series)
    faults: list[Fault | None] = [Fault(ConnectionLost("reset"), len(objects[key]) - 10)]
    memory = MemoryCodStore(objects, faults={key: faults})
    run = await fetch(memory, tmp_path, study_of(series), resource)
    named = [one for one in run.failed if one.error.reason == "content-error"]
    assert [one.target.sop_instance_uid for one in named if "version" in str(one.error)] == [
        series.uid_of(instances[0])
    ]


class Unclosed(MemoryCodStore):
    """Counts the answers that nobody left; each breaks at its end."""

    open_answers = 0

    @asynccontextmanager
    async def fetch(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        """Answer, and break behind the last byte."""
        self.open_answers += 1
        try:
            async with super().fetch(*args, **options) as answer:
                yield answer
        finally:
            self.open_answers -= 1


async def test_an_answer_that_breaks_at_its_end_is_left(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series([NATIVE])
    key = tar_key(ROOT, series.study, series.series)
    end = 10**9  # behind all that is asked for
    faults: list[Fault | None] = [Fault(ConnectionLost("reset"), end)] * 2
    memory = Unclosed(objects, faults={key: faults})
    run = await fetch(memory, tmp_path, study_of(series))
    assert run.is_complete
    assert memory.open_answers == 0
