"""A job stores files, tells what happens, and ends as it should, however it is left."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom.library import reporting
from asyncdicom.mock import MockServer, SyntheticArchive, SyntheticOptions
from tests.library.support import ARCHIVE, FILES, FIRST, INSTANCES, UID, opened, turns, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom import Job

pytestmark = pytest.mark.anyio

LARGE = SyntheticArchive(SyntheticOptions(studies=1, instances=24, rows=256))
LARGE_UID = LARGE.studies[0].study_instance_uid

Note = tuple[str, Any]


def noted(job: Job) -> list[Note]:
    """Register every callback; return what they are told, in order."""
    told: list[Note] = []

    def note(name: str) -> Callable[[Any], None]:
        return lambda what: told.append((name, what))

    job.on_progress(note("progress"))
    job.on_download(note("download"))
    job.on_extract(note("extract"))
    job.on_save(note("save"))
    job.on_complete(note("complete"))
    job.on_error(note("error"))
    return told


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_awaiting_a_job_stores_everything_and_returns_the_sum(tmp_path: Path) -> None:
    async with opened() as (source, _):
        job = source.download(UID, tmp_path)
        ended = await job
        assert await job is ended
    assert ended.is_complete
    assert ended.stored == INSTANCES
    assert files_in(tmp_path) == FILES


async def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    async with opened() as (source, _):
        await source.download([UID], tmp_path)
        again = await source.download([UID], tmp_path)
    assert (again.stored, again.skipped) == (0, INSTANCES)


async def test_the_layout_is_that_of_the_command_line(tmp_path: Path) -> None:
    async with opened() as (source, _):
        await source.download(UID, tmp_path, layout="{StudyInstanceUID}", extension="")
    assert {path.name for path in (tmp_path / UID).iterdir()} == set(FILES)


async def test_events_end_with_the_sum(tmp_path: Path) -> None:
    async with opened() as (source, _):
        job = source.download(UID, tmp_path)
        events = [event async for event in job]
        assert events[-1] is await job
    assert isinstance(events[0], asyncdicom.Planned)
    stored = [event for event in events if isinstance(event, asyncdicom.Finished)]
    assert {event.outcome.target.sop_instance_uid for event in stored} == set(FILES)


@pytest.mark.parametrize("granularity", ["study", "instance"])
async def test_callbacks_tell_of_each_answer_in_order(tmp_path: Path, granularity: Any) -> None:
    async with opened(archive=LARGE, concurrency=1) as (source, _):
        job = source.download(LARGE_UID, tmp_path, granularity=granularity)
        told = noted(job)
        ended = await job
    for url in {what.url for name, what in told if name == "download"}:
        of_url = [name for name, what in told if getattr(what, "url", None) == url]
        assert of_url == ["progress"] * (len(of_url) - 2) + ["download", "extract"]
        assert len(of_url) > 2
    assert told[-1] == ("complete", ended)
    assert [name for name, _ in told].count("complete") == 1
    assert [name for name, _ in told].count("save") == 24
    assert not [what for name, what in told if name == "error"]


async def test_callbacks_tell_sizes_and_names(tmp_path: Path) -> None:
    async with opened(archive=LARGE) as (source, server):
        job = source.download(LARGE_UID, tmp_path, granularity="instance")
        told = noted(job)
        await job
        urls = {f"{source.url}{r.path.partition('/dicom-web')[2]}" for r in server.requests}
    progress = [what for name, what in told if name == "progress"]
    downloads = [what for name, what in told if name == "download"]
    assert len(downloads) == 24
    for download in downloads:
        chunks = [one for one in progress if one.url == download.url]
        assert sum(one.byte_count for one in chunks) == download.byte_count
        assert {one.total_bytes for one in chunks} <= {download.byte_count, None}
        assert download.url in urls
    extracted = [uid for name, what in told if name == "extract" for uid in what.sop_instance_uids]
    saved = [what for name, what in told if name == "save"]
    assert sorted(extracted) == sorted(one.target.sop_instance_uid for one in saved)
    for one in saved:
        data = (tmp_path / one.path).read_bytes()
        assert (one.byte_count, one.sha256) == (len(data), hashlib.sha256(data).hexdigest())


async def test_each_failure_is_told_and_can_be_asked_for_again(tmp_path: Path) -> None:
    fault = f"404:instance:path=*/{FIRST.sop_instance_uid},times=1"
    async with opened(fault) as (source, _):
        job = source.download(UID, tmp_path, granularity="instance")
        failed: list[asyncdicom.Failed] = []
        job.on_error(failed.append)
        ended = await job
        assert not ended.is_complete
        assert ended.missing == 1
        assert [one.target.sop_instance_uid for one in failed] == [FIRST.sop_instance_uid]
        again = await source.download([one.target for one in failed], tmp_path)
    assert again.is_complete
    assert files_in(tmp_path) == FILES


async def test_an_answer_that_is_cut_tells_what_came_with_it(tmp_path: Path) -> None:
    async with opened("cut:study:at=2000000,times=1", archive=LARGE) as (source, _):
        job = source.download(LARGE_UID, tmp_path, granularity="study")
        told = noted(job)
        assert (await job).is_complete
    study_url = next(what.url for name, what in told if name == "extract")
    assert study_url.endswith(f"/studies/{LARGE_UID}")
    assert study_url not in [what.url for name, what in told if name == "download"]


async def test_a_callback_that_raises_ends_the_job(tmp_path: Path) -> None:
    def fail(_: asyncdicom.Stored) -> None:
        raise ZeroDivisionError

    async with opened(archive=LARGE, concurrency=1) as (source, server):
        job = source.download(LARGE_UID, tmp_path, granularity="instance", durability="none")
        job.on_save(fail)
        with pytest.raises(ZeroDivisionError):
            await job
        assert server.count("*/instances/*") < 24


async def test_callbacks_come_before_the_beginning(tmp_path: Path) -> None:
    async with opened() as (source, _):
        job = source.download(UID, tmp_path)
        await job
        with pytest.raises(asyncdicom.UsageError):
            job.on_save(print)


@pytest.mark.parametrize("saved", [1, 5])
async def test_cancel_ends_in_order_with_a_sum(tmp_path: Path, saved: int) -> None:
    async with opened(archive=LARGE, concurrency=1) as (source, _):
        job = source.download(LARGE_UID, tmp_path, granularity="instance", durability="none")
        paths: list[str] = []

        @job.on_save
        def _(stored: asyncdicom.Stored) -> None:
            paths.append(stored.path)
            if len(paths) == saved:
                job.cancel()

        ended = await job
        job.cancel()
    assert ended.aborted == "cancelled"
    assert not ended.is_complete
    assert ended.stored + ended.missing == 24
    assert names_in(tmp_path) == sorted(paths)


async def test_cancelled_before_it_began_does_nothing(tmp_path: Path) -> None:
    async with opened() as (source, server):
        job = source.download(UID, tmp_path)
        job.cancel()
        ended = await job
        assert server.statistics().requests == 0
    assert (ended.stored, ended.aborted) == (0, "cancelled")


async def test_cancelling_who_awaits_a_job_cancels_the_job(tmp_path: Path) -> None:
    async with opened("delay:instance:s=inf") as (source, server):
        job = source.download(UID, tmp_path, granularity="instance")

        async def wait() -> None:
            await job

        waiting = asyncio.create_task(wait())
        await until(lambda: server.count("*/instances/*") > 0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert "ended" in repr(job)
    assert names_in(tmp_path) == []


async def test_leaving_the_loop_leaves_the_job_running(tmp_path: Path) -> None:
    async with opened() as (source, _):
        job = source.download(UID, tmp_path)
        async for _ in job:
            break
        assert (await job).is_complete


async def test_who_iterates_after_the_end_is_told_nothing_more(tmp_path: Path) -> None:
    async with opened() as (source, _):
        job = source.download(UID, tmp_path)
        await job
        assert [event async for event in job] == []


async def test_a_job_ends_with_its_source(tmp_path: Path) -> None:
    async with MockServer(ARCHIVE, faults=["delay:instance:s=inf"]) as server:
        async with asyncdicom.connect(server.url) as source:
            job = source.download(UID, tmp_path, granularity="instance")

            async def wait() -> None:
                await job

            waiting = asyncio.create_task(wait())
            await until(lambda: server.count("*/instances/*") > 0)
        with pytest.raises(asyncdicom.UsageError, match="closed before"):
            await waiting


async def test_a_job_that_is_never_awaited_warns(tmp_path: Path) -> None:
    async with opened() as (source, _):
        with pytest.warns(ResourceWarning, match="download to .* was never awaited"):
            source.download(UID, tmp_path)


async def test_who_iterates_slowly_holds_the_server_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "MAX_EVENTS_WAITING", 3)
    async with opened(archive=LARGE, concurrency=1) as (source, server):
        options: Any = {"granularity": "instance", "durability": "none"}
        job = source.download(LARGE_UID, tmp_path, **options)
        seen = 0
        async for event in job:
            seen += isinstance(event, asyncdicom.Finished)
            await turns()
            # Seen, waiting, and the one request that was under way.
            assert server.count("*/instances/*") <= seen + 3 + 1
    assert seen == 24


async def test_an_output_that_cannot_be_used_is_told_when_it_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with opened() as (source, _):
        with pytest.raises(asyncdicom.ConfigError, match="output folder is a file"):
            await source.download(UID, tmp_path / "file")
        with pytest.raises(asyncdicom.ConfigError, match="output folder is a file"):
            async for _ in source.download(UID, tmp_path / "file"):
                pass


async def test_max_errors_ends_a_job(tmp_path: Path) -> None:
    async with opened("404:instance", concurrency=1) as (source, _):
        ended = await source.download(UID, tmp_path, granularity="instance", abort=True)
    assert ended.aborted is not None
    assert ended.missing == INSTANCES


async def test_a_dump_stores_answers_with_their_records(tmp_path: Path) -> None:
    async with opened() as (source, _):
        job = source.dump(UID, tmp_path, kinds=["metadata", "instances"])
        told = noted(job)
        ended = await job
    assert ended.is_complete
    assert (tmp_path / UID / "metadata.dump.json").exists()
    names = [name for name, _ in told]
    assert (names.count("download"), names.count("save")) == (ended.stored, ended.stored)
    assert names[-1] == "complete"


async def test_what_cannot_be_asked_for_is_refused_at_once(tmp_path: Path) -> None:
    async with opened() as (source, _):
        with pytest.raises(asyncdicom.InvalidUid):
            source.download(["1.2", "x"], tmp_path)
        with pytest.raises(asyncdicom.ConfigError, match="unknown kind: 'frame'"):
            source.dump(UID, tmp_path, kinds=["frame"])
        with pytest.raises(TypeError, match="layuot"):
            source.download(UID, tmp_path, layuot="tree")  # type: ignore[call-arg]  # -- that is the test


async def test_a_job_shows_what_it_is(tmp_path: Path) -> None:
    async with opened() as (source, _):
        job = source.download(UID, Path("out"))
        assert repr(job) == "<Job download to out, not begun>"
        job.cancel()
