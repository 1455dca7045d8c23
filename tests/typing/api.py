"""The library as its users write it: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, assert_type

from pydicom import FileDataset

import asyncdicom
from asyncdicom import (
    AssociationEnded,
    BucketDetails,
    CodDownload,
    ConnectOptions,
    Downloaded,
    DownloadStats,
    Event,
    Extracted,
    Failed,
    Finished,
    IDCClient,
    IdcResult,
    IdcTable,
    Incomplete,
    Instance,
    InstanceStored,
    Job,
    ListedObject,
    ObjectSource,
    ObjectTarget,
    Planned,
    Progress,
    ReceiveOptions,
    ReceiverEvent,
    Receiving,
    Retrying,
    RunEnded,
    SeriesStats,
    Skipped,
    Source,
    Stored,
    StudyStats,
    Target,
    Uid,
    Withdrawn,
    connect,
    connect_objects,
    receive,
)


async def connecting() -> None:
    assert_type(connect("https://a.test/dicom-web"), AbstractAsyncContextManager[Source])
    connect("https://a.test", concurrency=16, retry=0, timeout=5.0, http_engine="httpx")
    connect("https://a.test", user="a:b", cacert=Path("ca.pem"), headers={"X-Site": "7"})
    options: ConnectOptions = {"bearer": "token", "http2": False}
    async with connect("https://a.test", **options) as source:
        assert_type(source, Source)
        assert_type(source.url, str)
    connect("https://a.test", 8)  # type: ignore[call-arg]  # -- options have names
    connect("https://a.test", http_engine="curl")  # type: ignore[arg-type]  # -- no such engine
    connect("https://a.test", tiemout=5)  # type: ignore[call-arg]  # -- misspelled


async def searching(source: Source) -> None:
    assert_type(source.search(PatientID="4711"), AsyncGenerator[dict[str, Any]])
    async for answer in source.search(level="series", limit=3, fields=["all"], Modality="CT"):
        assert_type(answer, dict[str, Any])
    source.search(level="frame")  # type: ignore[arg-type]  # -- there is no such level


async def retrieving(source: Source) -> None:
    assert_type(source.retrieve(study="1.2"), AsyncGenerator[Instance])
    async for instance in source.retrieve(study="1.2", series="1.3", prefetch_bytes=1024):
        assert_type(instance.data, bytes)
        assert_type(instance.sop_instance_uid, Uid)
        assert_type(instance.dataset(), FileDataset)
    source.retrieve("1.2")  # type: ignore[call-arg]  # -- which UID is told by name
    source.retrieve(study="1.2", granularity="frame")  # type: ignore[arg-type]  # -- too fine
    source.retrieve()  # type: ignore[call-arg]  # -- nothing asked for


async def storing(source: Source, failed: list[Failed]) -> None:
    job = source.download("1.2", Path("out"), layout="tree", durability="none")
    assert_type(job, Job)
    assert_type(await job, RunEnded)
    assert_type((await job).is_complete, bool)
    source.download(["1.2", "1.3"], "out")
    source.download([one.target for one in failed], "out")
    assert_type(await source.dump("1.2", "out", kinds=["metadata"], pretty=True), RunEnded)
    source.download("1.2", "out", "tree")  # type: ignore[call-arg]  # -- options have names


async def buckets(failed: list[Failed]) -> None:
    opened = connect_objects("s3://bucket/prefix/", profile="lab", trust_etag=False)
    assert_type(opened, AbstractAsyncContextManager[ObjectSource])
    async with connect_objects("gs://bucket", concurrency=64, no_sign_request=True) as bucket:
        assert_type(bucket.list(exclude=["*.txt"]), AsyncGenerator[ListedObject])
        keys = [found.key async for found in bucket.list()]
        assert_type(bucket.download("out", objects=keys, part_size="64M"), Job)
        objects = [one.target for one in failed]
        await bucket.download(Path("out"), objects=objects, layout="{PatientID}", sha256=True)
        job = bucket.verify("out", catalog="out.jsonl", include=("*.dcm",))
        assert_type(await job, RunEnded)
        assert_type(job.failed, list[Failed])
        job.check()
        bucket.download("out", "flat")  # type: ignore[call-arg]  # -- options have names
        bucket.download("out", granularity="study")  # type: ignore[call-arg]  # -- of archives
    connect_objects("s3://bucket", h2c=True)  # type: ignore[call-arg]  # -- of archives


def listening(job: Job) -> None:
    job.on_progress(lambda progress: assert_type(progress, Progress))
    job.on_download(lambda answer: assert_type(answer.byte_count, int))
    job.on_extract(lambda extracted: assert_type(extracted.sop_instance_uids, tuple[str, ...]))
    job.on_complete(lambda ended: assert_type(ended, RunEnded))
    job.on_error(lambda failed: assert_type(failed.target, Target | ObjectTarget))

    @job.on_save
    def saved(stored: Stored) -> None:
        assert_type(stored.path, str)

    assert_type(saved, Callable[[Stored], object])
    kinds: tuple[type[Downloaded], type[Extracted]] = (Downloaded, Extracted)
    assert kinds


async def iterating(job: Job) -> None:
    async for event in job:
        assert_type(event, Event)
        match event:
            case Finished(Stored() | Skipped() as outcome):
                assert_type(outcome.byte_count, int)
            case Finished(Failed(_, error)):
                assert_type(error, asyncdicom.AsyncDicomError)
            case Planned() | Retrying() | RunEnded() | Withdrawn():
                pass
    job.cancel(grace_s=1.0)


async def handling(source: Source) -> None:
    try:
        async for _ in source.retrieve(study="1.2"):
            pass
    except Incomplete as error:
        assert_type(error.missing, tuple[str, ...])
    except asyncdicom.Throttled as error:
        assert_type(error.retry_after_s, float | None)
    assert_type(asyncdicom.__version__, str)


async def receiving() -> None:
    assert_type(receive("incoming"), AbstractAsyncContextManager[Receiving])
    options: ReceiveOptions = {"layout": "tree", "allow_from": ["10.1.0.0/16"]}
    receive(Path("incoming"), port=0, on_event=print, **options)
    receive("incoming", durability="full", duplicates="skip", on_object="run {file}")
    receive("incoming", config_file=(Path("storescp.cfg"), "Default"))
    receive("incoming", config_file="storescp.cfg")  # type: ignore[arg-type]  # -- that is the test
    receive("incoming", durability="never")  # type: ignore[arg-type]  # -- that is the test
    async with receive("incoming") as receiver:
        assert_type(receiver.port, int)
        assert_type(receiver.statistics().stored, int)
        async for event in receiver:
            assert_type(event, ReceiverEvent)
            if isinstance(event, InstanceStored):
                assert_type(event.sha256, str)
            if isinstance(event, AssociationEnded):
                assert_type(event.failure, str | None)
        await receiver.stop(grace=5.0)


async def imaging_data_commons(client: IDCClient) -> None:
    result = await asyncdicom.download_from_selection("data", collection_id="nlst", dry_run=True)
    assert_type(result, IdcResult)
    assert_type(result.ended, RunEnded | None)
    assert_type(result.failed, tuple[Failed, ...])
    await asyncdicom.download_from_manifest("manifest.txt", Path("data"), dirTemplate="")
    rows = client.sql_query("SELECT 1 AS one")
    assert_type(rows, IdcTable)
    assert_type(rows[0], dict[str, Any])
    assert_type(rows[1:], IdcTable)
    assert_type(client.download_from_selection("data", patientId=["4711"]), IdcResult)
    client.download_from_selection("data", patientID="4711")  # type: ignore[call-arg]  # -- Id
    client.download_from_selection("data", analysis_results="no")  # type: ignore[arg-type]  # -- only


async def downloading_from_a_store_of_archives() -> None:
    async with CodDownload("out", concurrency=4, bearer="token") as cod:
        assert_type(cod, CodDownload)
        cod.init_bucket("https://a.test/bucket/prefix?token=t")
        details: BucketDetails = {"bucket": "b", "bucketPrefix": None, "token": "t"}
        cod.init_bucket(details)
        cod.init_bucket({"bucketName": "b"})  # type: ignore[arg-type]  # -- misspelled
        stats = await cod.get_stats(["1.2"])
        assert_type(stats, DownloadStats)
        assert_type(stats.studies, tuple[StudyStats, ...])
        assert_type(stats.series, tuple[SeriesStats, ...])
        assert_type(stats.saved_byte_count, int)
        job = cod.download(["1.2"], zip_output=True)
        assert_type(job, Job)
        assert_type(await job.start(), RunEnded)
