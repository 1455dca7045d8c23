"""What a Cloud-Optimized DICOM store says that studies hold, for who proves a folder whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.jobs.cod_archive import CodArchive
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.jobs.verify import VerifyJob, VerifyOptions
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.sources.cod import CodSource
from asyncdicom.storage.folder import OutputFolder
from tests.jobs.support import IMPATIENT, Run
from tests.support.cod import ROOT, CodObjects, MemoryCodStore
from tests.support.dicom import small_instance, uid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cod import SeriesMaker

pytestmark = pytest.mark.anyio

COUNT = 3
LAST = Uid(uid("instance", COUNT))


def archive_of(objects: CodObjects) -> CodArchive:
    return CodArchive(CodSource(ROOT, MemoryCodStore(objects)))


async def verified(objects: CodObjects, folder: Path, series: SeriesMaker) -> Run:
    run = Run()
    tally = Tally([run])
    with OutputFolder.open_to_read(folder) as opened:
        finder = archive_of(objects).finder()
        job = VerifyJob(opened, tally, VerifyOptions(finder=finder))
        scheduler = Scheduler(job, IMPATIENT, observe=tally.tell)
        tasks = job.tasks([series.study])
        run.ended = await run_job(job, tasks, scheduler=scheduler, tally=tally, finish=job.finish)
    return run


def instances(count: int = COUNT) -> list[bytes]:
    return [small_instance(number) for number in range(1, count + 1)]


def write(folder: Path, contents: list[bytes]) -> None:
    for number, content in enumerate(contents):
        (folder / f"{number}.dcm").write_bytes(content)


async def test_a_whole_study_is_proven(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series(instances())
    write(tmp_path, instances())
    assert (await verified(objects, tmp_path, series)).is_complete


def of_another_version(entries: dict[str, Any]) -> None:
    entries[LAST]["version"] = "9.0"


def under_no_uid(entries: dict[str, Any]) -> None:
    entries["x"] = entries.pop(LAST)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        pytest.param(of_another_version, LAST, id="of an unknown version"),
        pytest.param(under_no_uid, None, id="under a key that is no UID"),
    ],
)
async def test_what_nothing_can_be_fetched_by_is_missing_all_the_same(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], missing: Uid | None
) -> None:
    objects = CodObjects()
    series = objects.add_series(
        instances(), change=lambda document: change(document["cod"]["instances"])
    )
    write(tmp_path, instances(COUNT - 1))
    run = await verified(objects, tmp_path, series)
    assert len(run.skipped) == COUNT - 1
    assert [(one.target.sop_instance_uid, one.error.reason) for one in run.failed] == [
        (missing, "incomplete")
    ]


async def test_an_instance_that_two_series_have_is_counted_twice(tmp_path: Path) -> None:
    objects = CodObjects()
    series = objects.add_series(instances())
    objects.add_series([small_instance(2, series=2)])
    write(tmp_path, instances())
    run = await verified(objects, tmp_path, series)
    assert [str(one.error) for one in run.failed] == ["the server counts 4 instances but lists 3"]


async def test_a_series_is_looked_up_alone() -> None:
    objects = CodObjects()
    series = objects.add_series(instances())
    objects.add_series([small_instance(9, series=2)])
    target = Target(Resource.SERIES, series.study, series.series)
    assert len(await archive_of(objects).finder().expectation_of(target)) == COUNT
