"""`connect_objects`: a bucket from Python, and what must not be called complete."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import re
import textwrap
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom import (
    ConfigError,
    DigestMismatch,
    Failed,
    Incomplete,
    Listed,
    NotFound,
    ObjectTarget,
    Progress,
    Stored,
    Throttled,
    Truncated,
    UsageError,
)
from asyncdicom.mock import S3Server
from asyncdicom.mock.s3 import S3Options
from tests.jobs.support import files_in
from tests.library.support import own_tasks, until
from tests.mock.s3_support import small_archive, truth_of
from tests.support.cod import CodObjects
from tests.support.gcs_scripted import ScriptedGcs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from asyncdicom import ListedObject, ObjectSource

pytestmark = pytest.mark.anyio

ARCHIVE = small_archive()
TRUTH = truth_of(ARCHIVE)
KEYS = list(TRUTH)
BYTES = sum(map(len, TRUTH.values()))
STUDY = KEYS[0].partition("/")[0]


@asynccontextmanager
async def bucket(
    *faults: str, url: str = "s3://dicom/", max_keys: int = 1000, **options: Any
) -> AsyncIterator[tuple[ObjectSource, S3Server]]:
    """Serve the bucket and open it; afterwards, no task may be left."""
    before = own_tasks()
    async with S3Server(ARCHIVE, faults=faults, s3=S3Options(max_keys=max_keys)) as server:
        values: dict[str, Any] = {"endpoint_url": server.url, "no_sign_request": True, **options}
        async with asyncdicom.connect_objects(url, **values) as source:
            yield source, server
        # The server may be accepting a connection that nobody wants any more.
        await until(lambda: own_tasks() <= before)


async def keys_of(source: ObjectSource, **options: Any) -> list[str]:
    return [found.key async for found in source.list(**options)]


async def gathered(listed: AsyncGenerator[ListedObject], keys: list[str]) -> None:
    async for one in listed:
        keys.append(one.key)  # noqa: PERF401 -- what came before an error counts


EXAMPLE = re.compile(r"^Example:\n((?:(?:    .*)?\n)+)", re.MULTILINE)


@pytest.mark.parametrize(
    "thing",
    [
        pytest.param(asyncdicom.connect_objects, id="connect_objects"),
        pytest.param(asyncdicom.ObjectSource.list, id="list"),
        pytest.param(asyncdicom.ObjectSource.download, id="download"),
        pytest.param(asyncdicom.ObjectSource.verify, id="verify"),
    ],
)
async def test_an_example_runs(
    thing: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = EXAMPLE.search(f"{inspect.getdoc(thing)}\n")
    assert example is not None
    names: dict[str, Any] = {"asyncdicom": asyncdicom}
    body = textwrap.indent(textwrap.dedent(example[1]), "    ")
    exec(f"async def example(url, bucket, output):\n{body}", names)
    async with bucket() as (source, server):
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        if thing is asyncdicom.ObjectSource.verify:
            await source.download(tmp_path, catalog=tmp_path / "catalog.jsonl")
        await names["example"](source.url, source, tmp_path)
    assert capsys.readouterr().out


async def test_a_list_names_each_object_once_over_pages_and_faults() -> None:
    async with bucket("503:listing:times=1", "duplicate-key:listing", max_keys=5) as (source, _):
        found = [one async for one in source.list()]
    assert [one.key for one in found] == KEYS
    assert sum(one.byte_count for one in found) == BYTES
    assert found[0].url == f"s3://dicom/{KEYS[0]}"
    assert found[0].etag == hashlib.md5(TRUTH[KEYS[0]]).hexdigest()
    assert found[0].modified_at is not None


@pytest.mark.parametrize(
    ("url", "options", "keys"),
    [
        pytest.param(f"s3://dicom/{STUDY}", {}, KEYS[:6], id="a folder without its slash"),
        pytest.param("s3://dicom/*.2.dcm", {}, [k for k in KEYS if k.endswith(".2.dcm")], id="*"),
        pytest.param(f"s3://dicom/{KEYS[3]}", {}, [KEYS[3]], id="one object"),
        pytest.param(f"s3://dicom/{KEYS[3]}", {"include": ["*.dcm"]}, [KEYS[3]], id="its name"),
        pytest.param("s3://dicom", {"include": [f"{STUDY}/*"]}, KEYS[:6], id="include"),
        pytest.param("s3://dicom", {"exclude": [f"{STUDY}/*"]}, KEYS[6:], id="exclude"),
        pytest.param("s3://dicom/nowhere/", {}, [], id="nothing"),
    ],
)
async def test_what_is_listed(url: str, options: dict[str, Any], keys: list[str]) -> None:
    async with bucket(url=url) as (source, _):
        assert await keys_of(source, **options) == keys


async def test_a_list_that_breaks_off_is_no_list() -> None:
    async with bucket("403:listing:after=1", max_keys=5, retry=0) as (source, _):
        found: list[str] = []
        listed = source.list()
        with pytest.raises(Incomplete, match="behind 5 objects"):
            await gathered(listed, found)
    assert found == KEYS[:5]


async def test_a_list_that_never_began_says_why() -> None:
    async with bucket(url="s3://other/") as (source, _):
        with pytest.raises(NotFound):
            await keys_of(source)


async def test_a_download_stores_every_object_and_says_so(tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    told: list[Any] = []
    async with bucket() as (source, _):
        job = source.download(tmp_path / "out", report=report)
        job.on_progress(told.append)
        job.on_save(told.append)
        ended = await job
        job.check()
        again = await source.download(tmp_path / "out")
    assert (ended.stored, ended.is_complete, again.skipped) == (len(KEYS), True, len(KEYS))
    assert files_in(tmp_path / "out") == TRUTH
    saved = {one.path: one.sha256 for one in told if isinstance(one, Stored)}
    assert saved == {key: hashlib.sha256(content).hexdigest() for key, content in TRUTH.items()}
    assert sum(one.byte_count for one in told if isinstance(one, Progress)) == BYTES
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted(line["path"] for line in lines) == KEYS


@pytest.mark.parametrize("checksum", ["crc32c", "crc64nvme", "sha256"])
async def test_what_the_store_promises_is_compared(checksum: str, tmp_path: Path) -> None:
    fault, options = f"wrong-checksum:object:path=*{KEYS[1]}", S3Options(checksum=checksum)
    async with S3Server(ARCHIVE, faults=[fault], s3=options) as server:
        place: dict[str, Any] = {"endpoint_url": server.url, "no_sign_request": True, "retry": 0}
        async with asyncdicom.connect_objects("s3://dicom", **place) as source:
            job = source.download(tmp_path)
            ended = await job
    assert (ended.stored, ended.corrupt) == (len(KEYS) - 1, 1)
    assert f"not the {checksum} that the store promised" in str(job.failed[0].error)


async def test_buckets_of_google_open_with_a_token(tmp_path: Path) -> None:
    objects = CodObjects()
    objects["p/text.txt"] = b"of Google"
    with ScriptedGcs(objects, token="my-token") as gcs:
        place: dict[str, Any] = {"endpoint_url": gcs.url, "bearer": "my-token"}
        async with asyncdicom.connect_objects("gs://bucket/p/", **place) as source:
            assert [one.url async for one in source.list()] == ["gs://bucket/p/text.txt"]
            assert (await source.download(tmp_path)).is_complete
    assert files_in(tmp_path) == {"text.txt": b"of Google"}


async def test_a_download_may_be_iterated_over(tmp_path: Path) -> None:
    async with bucket() as (source, _):
        events = [event async for event in source.download(tmp_path, include=["*.1.dcm"])]
    (listed,) = [one for one in events if isinstance(one, Listed)]
    wanted = [key for key in KEYS if key.endswith(".1.dcm")]
    assert listed.objects == len(wanted)
    assert sorted(files_in(tmp_path)) == wanted


async def test_files_may_be_named_by_what_they_say(tmp_path: Path) -> None:
    async with bucket() as (source, _):
        await source.download(tmp_path, layout="flat", extension="", durability="none")
    names = {key.rpartition("/")[2].removesuffix(".dcm") for key in KEYS}
    assert set(files_in(tmp_path)) == names


async def test_large_objects_come_in_parts(tmp_path: Path) -> None:
    async with bucket() as (source, server):
        ended = await source.download(tmp_path, objects=KEYS[0], part_size=1000, parts=2)
        ranges = [one for one in server.requests if dict(one.headers).get("range")]
    assert ended.is_complete
    assert len(ranges) > 1
    assert files_in(tmp_path) == {KEYS[0]: TRUTH[KEYS[0]]}


async def test_what_fails_is_named_and_may_be_asked_for_again(tmp_path: Path) -> None:
    fault = f"corrupt:object:at=900,path=*{KEYS[2]}"
    async with bucket(fault, retry=0) as (source, server):
        job = source.download(tmp_path)
        errors: list[Failed] = []
        job.on_error(errors.append)
        ended = await job
        assert not ended.is_complete
        assert (ended.stored, ended.corrupt) == (len(KEYS) - 1, 1)
        assert job.failed == errors
        with pytest.raises(Incomplete, match=re.escape(KEYS[2])) as caught:
            job.check()
        assert (caught.value.expected, caught.value.received) == (len(KEYS), len(KEYS) - 1)
        assert isinstance(caught.value.__cause__, DigestMismatch)
        assert set(files_in(tmp_path)) == {*KEYS} - {KEYS[2]}
        server.plan = type(server.plan)()
        retried = source.download(tmp_path, objects=[one.target for one in job.failed])
        assert (await retried).stored == 1
    assert files_in(tmp_path) == TRUTH


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param("truncate:object:at=500,path=", Truncated, id="a short body"),
        pytest.param("404:object:path=", NotFound, id="listed, and not there"),
        pytest.param("503:object:path=", Throttled, id="busy for ever"),
    ],
)
async def test_a_fault_is_an_outcome(fault: str, reason: type[Exception], tmp_path: Path) -> None:
    async with bucket(f"{fault}*{KEYS[0]}", retry=0) as (source, _):
        job = source.download(tmp_path)
        ended = await job
    assert (ended.stored, ended.is_complete) == (len(KEYS) - 1, False)
    assert [type(one.error) for one in job.failed] == [reason]


async def test_a_store_that_does_not_answer_is_an_outcome_too(tmp_path: Path) -> None:
    async with bucket("503:head", url=f"s3://dicom/{STUDY}", retry=0) as (source, _):
        for job in (source.download(tmp_path), source.verify(tmp_path)):
            ended = await job
            assert (ended.missing, ended.is_complete) == (1, False)
            assert isinstance(job.failed[0].error, Throttled)
            assert job.failed[0].target == ObjectTarget(
                "s3", "dicom", STUDY, asyncdicom.Resource.LISTING
            )
        with pytest.raises(Throttled):
            await keys_of(source)


async def test_nothing_below_a_prefix_is_not_complete(tmp_path: Path) -> None:
    async with bucket(url="s3://dicom/nowhere/") as (source, _):
        for job in (source.download(tmp_path), source.verify(tmp_path)):
            await job
            with pytest.raises(Incomplete, match="no object below this prefix"):
                job.check()


async def test_a_job_that_is_cancelled_says_so(tmp_path: Path) -> None:
    async with bucket("stall:object:at=10", concurrency=2) as (source, server):
        job = source.download(tmp_path)
        task = asyncio.ensure_future(job.start())
        await until(lambda: any(one.path.endswith(".dcm") for one in server.requests))
        job.cancel()
        ended = await task
        assert ended.aborted == "cancelled"
        with pytest.raises(Incomplete, match="stopped: cancelled"):
            job.check()
    assert files_in(tmp_path) == {}


async def test_a_job_may_be_cancelled_before_the_store_has_said_what_a_url_is(
    tmp_path: Path,
) -> None:
    async with bucket("stall:head:at=0", url=f"s3://dicom/{STUDY}") as (source, server):
        job = source.verify(tmp_path)
        task = asyncio.ensure_future(job.start())
        await until(lambda: bool(server.requests))
        job.cancel()
        assert (await task).aborted == "cancelled"
        never_begun = source.download(tmp_path)
        never_begun.cancel()
        assert (await never_begun).aborted == "cancelled"


async def test_leaving_the_block_ends_everything(tmp_path: Path) -> None:
    async with bucket("stall:object:at=10") as (source, server):
        job = source.download(tmp_path)
        task = asyncio.ensure_future(job.start())
        await until(lambda: any(one.path.endswith(".dcm") for one in server.requests))
        await source.aclose()
        with pytest.raises(UsageError):
            await task
        with pytest.raises(UsageError, match="ended by itself"):
            job.check()


@pytest.mark.parametrize("has_catalog", [True, False])
async def test_a_folder_is_proven_against_the_bucket(tmp_path: Path, *, has_catalog: bool) -> None:
    out, noted = tmp_path / "out", tmp_path / "catalog.jsonl"
    known: dict[str, Any] = {"catalog": noted} if has_catalog else {}
    async with bucket() as (source, server):
        await source.download(out, **known)
        before = len(server.requests)
        proven = await source.verify(out, **known)
        (out / KEYS[1]).unlink()
        damaged = bytearray(TRUTH[KEYS[2]])
        damaged[-1] ^= 1
        (out / KEYS[2]).write_bytes(damaged)
        (out / "more.txt").write_bytes(b"more")
        job = source.verify(out, report=tmp_path / "report.jsonl", **known)
        events = [event async for event in job]
        ended = await job
        bodies = [one for one in list(server.requests)[before:] if one.path.endswith(".dcm")]
    assert (proven.skipped, proven.is_complete) == (len(KEYS), True)
    assert (ended.skipped, ended.missing, ended.corrupt) == (len(KEYS) - 2, 1, 1)
    failed = {one.target.key for one in job.failed if isinstance(one.target, ObjectTarget)}
    assert failed == {KEYS[1], KEYS[2]}
    assert [one.path for one in events if isinstance(one, asyncdicom.Remarked)] == ["more.txt"]
    assert all(one.method == "HEAD" for one in bodies)
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert sum(line["outcome"] == "failed" for line in lines) == 2


async def test_abort_stops_at_the_first_failure(tmp_path: Path) -> None:
    async with bucket("404:object", concurrency=1, retry=0) as (source, _):
        ended = await source.download(tmp_path, abort=True)
    assert ended.aborted is not None


def refused(call: Any, match: str, kind: type[Exception] = ConfigError) -> None:
    with pytest.raises(kind, match=match):
        call()


async def test_what_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    connect = asyncdicom.connect_objects
    refused(lambda: connect("https://host/bucket"), "s3://bucket/prefix")
    refused(lambda: connect("s3://b", concurrency=0), "at least 1")
    refused(lambda: connect("s3://b", h2c=True), "h2c", TypeError)  # type: ignore[call-arg]  # -- that is the test
    refused(lambda: asyncdicom.connect("s3://b/p"), "connect_objects")
    async with bucket() as (source, _):
        refused(lambda: source.download(tmp_path, part_size="much"), "not a size")
        refused(lambda: source.download(tmp_path, extension=".x"), "layout")
        refused(lambda: source.download(tmp_path, objects=[ObjectTarget("s3", "b", "k")]), "not of")
        study = asyncdicom.Target(asyncdicom.Resource.STUDY, asyncdicom.Uid("1.2"))
        refused(lambda: source.download(tmp_path, objects=[study]), "not of")
        refused(lambda: source.download(tmp_path, zip=True), "zip", TypeError)  # type: ignore[call-arg]  # -- as above
        refused(lambda: source.list(prefix="a"), "prefix", TypeError)  # type: ignore[call-arg]  # -- as above
        refused(lambda: source.verify(tmp_path, layout="flat"), "layout", TypeError)  # type: ignore[call-arg]  # -- as above
        with pytest.raises(ConfigError):
            await source.verify(tmp_path / "nowhere")
        job = source.download(tmp_path)
        refused(job.check, "has ended", UsageError)
        job.cancel()
