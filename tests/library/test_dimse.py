"""`connect` to a DIMSE archive: the same methods, the same promises."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom.library.reporting import Downloaded, Extracted, Progress
from asyncdicom.mock.dimse import DimseOptions, DimseServer
from tests.jobs.support import files_in
from tests.library.support import ARCHIVE, FILES, INSTANCES, UID
from tests.support.dicom import data_set_offset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

DATA_SETS = {uid: content[data_set_offset(content) :] for uid, content in FILES.items()}


@asynccontextmanager
async def opened(*faults: str, **options: Any) -> AsyncIterator[asyncdicom.Source]:
    """Serve the archive of the other tests, and connect to it; afterwards, no task may be left."""
    before = asyncio.all_tasks()
    server = DimseServer(ARCHIVE, faults=faults, options=DimseOptions())
    async with server:  # noqa: SIM117 -- the second needs the port of the first
        async with asyncdicom.connect(f"dicom://MOCK@127.0.0.1:{server.port}", **options) as source:
            yield source
    assert asyncio.all_tasks() == before


async def test_answers_are_data_sets() -> None:
    async with opened() as source:
        found = [one async for one in source.search(PatientID="*", fields=["StudyDate"])]
        patients = [one async for one in source.search(level="study", limit=1)]
    assert {one["0020000D"]["Value"][0] for one in found} == {
        study.study_instance_uid for study in ARCHIVE.studies
    }
    assert all("00080020" in one for one in found)
    assert len(patients) == 1


@pytest.mark.parametrize("prefetch_bytes", [1, 64 * 1024 * 1024])
async def test_instances_come_into_memory_whole(prefetch_bytes: int) -> None:
    async with opened() as source:
        stream = source.retrieve(study=UID, prefetch_bytes=prefetch_bytes)
        found = {one.sop_instance_uid: one.data async for one in stream}
    assert {uid: data[data_set_offset(data) :] for uid, data in found.items()} == DATA_SETS


async def test_leaving_a_stream_early_ends_everything() -> None:
    async with opened() as source:
        async for _ in source.retrieve(study=UID, prefetch_bytes=1):
            break


async def test_a_download_tells_what_it_does(tmp_path: Path) -> None:
    told: dict[type, list[Any]] = {}
    async with opened() as source:
        job = source.download(UID, tmp_path, layout="tree")
        for register in (job.on_progress, job.on_download, job.on_extract, job.on_save):
            register(lambda one: told.setdefault(type(one), []).append(one))
        ended = await job
    assert ended.is_complete
    assert len(files_in(tmp_path)) == INSTANCES
    assert sum(len(one.sop_instance_uids) for one in told[Extracted]) == INSTANCES
    assert sum(one.byte_count for one in told[Progress]) == sum(map(len, DATA_SETS.values()))
    assert sum(one.byte_count for one in told[Downloaded]) == sum(map(len, DATA_SETS.values()))
    assert len(told[asyncdicom.Stored]) == INSTANCES


async def test_what_is_missing_is_named_at_the_end_of_a_stream() -> None:
    victim = next(iter(FILES))
    async with opened(f"lose:suboperation:path=*/{victim}", retry=0) as source:
        with pytest.raises(asyncdicom.Incomplete) as caught:
            [one async for one in source.retrieve(study=UID)]
    assert caught.value.missing == (victim,)


async def test_only_dicomweb_has_answers_to_dump(tmp_path: Path) -> None:
    async with opened() as source:
        with pytest.raises(asyncdicom.ConfigError, match="DICOMweb"):
            source.dump(UID, tmp_path)


async def test_who_refuses_us_is_told() -> None:
    async with opened("reject") as source:
        with pytest.raises(asyncdicom.AssociationRejected, match="called AE title"):
            await anext(source.search())


@pytest.mark.parametrize(
    "url", ["dicom://host", "dicom://A@h?retrieve=x", "dicoms://:x@h", "dicom://A@h/studies"]
)
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(asyncdicom.ConfigError):
        asyncdicom.connect(url)
