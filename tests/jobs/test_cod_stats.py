"""How much there is and how much of it is here: sums, studies, what could not be looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.jobs.cod_stats import CodSurvey, DownloadStats
from asyncdicom.model import Uid
from asyncdicom.protocol.cod.places import metadata_key
from asyncdicom.sources.cod import CodSource
from tests.jobs.support import IMPATIENT, open_store
from tests.support.cod import ROOT, CodObjects, MemoryCodStore
from tests.support.dicom import small_instance

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def survey(objects: CodObjects, *studies: str, store: Any = None) -> DownloadStats:
    found = CodSurvey(CodSource(ROOT, MemoryCodStore(objects)), store)
    await Scheduler(found, IMPATIENT).run(found.tasks(map(Uid, studies)))
    return found.statistics()


async def test_sums_are_told_by_study_in_the_order_asked_for(tmp_path: Path) -> None:
    objects = CodObjects()
    one = objects.add_series([small_instance(1), small_instance(2)])
    two = objects.add_series([small_instance(3, series=2)])
    other = objects.add_series([small_instance(4, series=3, study=2)])
    saved = tmp_path / "any.dcm"
    saved.write_bytes(one.instances[0])
    (tmp_path / "other.dcm").write_bytes(other.instances[0])
    async with open_store(tmp_path) as store:
        found = await survey(objects, other.study, one.study, other.study, store=store)
    size = len(one.instances[0])
    assert found.to_json() == {
        **sums(series=3, saved_series=1, instances=4, saved_instances=2, size=size),
        "studies": [
            {"study": other.study, **sums(1, 1, 1, 1, size)},
            {"study": one.study, **sums(2, 0, 3, 1, size)},
        ],
        "failed": [],
    }
    assert [series.series_instance_uid for series in found.studies[1].series] == [
        one.series,
        two.series,
    ]


def sums(
    series: int, saved_series: int, instances: int, saved_instances: int, size: int
) -> dict[str, int]:
    return {
        "series": series,
        "savedSeries": saved_series,
        "instances": instances,
        "savedInstances": saved_instances,
        "bytes": instances * size,
        "savedBytes": saved_instances * size,
    }


async def test_what_cannot_be_looked_up_is_named_and_the_rest_is_counted() -> None:
    objects = CodObjects()

    def change(document: dict[str, Any]) -> None:
        next(iter(document["cod"]["instances"].values()))["version"] = "7"

    one = objects.add_series([small_instance(1), small_instance(2)], change=change)
    two = objects.add_series([small_instance(3, series=2)])
    objects[metadata_key(ROOT, two.study, two.series)] = b"[]"
    found = await survey(objects, one.study, "1.2.3")
    assert (found.series_count, found.instance_count) == (1, 1)
    assert {(one["series"], one["reason"]) for one in found.to_json()["failed"]} == {
        (one.series, "content-error"),
        (two.series, "protocol-error"),
        (None, "not-found"),
    }
