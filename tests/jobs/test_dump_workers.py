"""A dump shared by workers ends as one that is not; here they run on the same loop."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pytest

from asyncdicom.engine.processes import WorkerProcess
from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import ConfigError, ConnectionLost, StorageError
from asyncdicom.jobs.dump import DumpJob
from asyncdicom.jobs.dump_fetch import DumpFetcher
from asyncdicom.jobs.dump_plan import DumpOptions, DumpTask
from asyncdicom.jobs.dump_workers import DumpWorkers, serve_dump
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Resource, Target
from asyncdicom.storage.folder import OutputFolder
from tests.jobs.support import IMPATIENT, dump, files_in
from tests.support.scripted import ScriptedAnswer
from tests.support.served import Served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from asyncdicom.events import RunEnded

pytestmark = pytest.mark.anyio

OPTIONS = DumpOptions(frozenset({Resource.METADATA, Resource.FRAME, Resource.INSTANCE}))


@dataclass
class Pool:
    """Workers on this loop, and the job they work for."""

    job: DumpJob
    tally: Tally
    workers: list[asyncio.Task[None]]
    dumper: DumpWorkers


@asynccontextmanager
async def pool(served: Served, root: Path, count: int = 2) -> AsyncIterator[Pool]:
    @asynccontextmanager
    async def fetcher(count_bytes: Callable[[int], object]) -> AsyncIterator[DumpFetcher]:
        with OutputFolder.open(root) as folder:
            async with DumpFetcher(served.source, folder, OPTIONS, count_bytes) as one:
                yield one

    pairs = [socket.socketpair() for _ in range(count)]
    for sock in (sock for both in pairs for sock in both):
        sock.setblocking(False)
    workers = [asyncio.create_task(serve_dump(theirs, fetcher)) for _, theirs in pairs]
    tally = Tally()
    try:
        with OutputFolder.open(root) as folder:
            ours = [WorkerProcess(0, sock) for sock, _ in pairs]
            async with DumpWorkers.over(ours, tally) as dumper:
                job = DumpJob(dumper, folder, tally, OPTIONS)
                yield Pool(job, tally, workers, dumper)
        await asyncio.wait_for(asyncio.gather(*workers, return_exceptions=True), 5)
    finally:
        for worker in workers:
            worker.cancel()


async def perform(one: Pool, served: Served) -> RunEnded:
    scheduler = Scheduler(one.job, IMPATIENT, observe=one.tally.tell)
    return await run_job(
        one.job, one.job.tasks([served.study]), scheduler=scheduler, tally=one.tally
    )


async def shared_dump(served: Served, root: Path, count: int = 2) -> RunEnded:
    async with pool(served, root, count) as one:
        return await perform(one, served)


async def until(is_so: Callable[[], bool]) -> None:
    """Let everybody else run until something is so."""
    while not is_so():  # noqa: ASYNC110 -- a state of the double, which has no event
        await asyncio.sleep(0)


async def test_a_shared_dump_leaves_the_same_files(tmp_path: Path) -> None:
    alone = (await dump(Served(), tmp_path / "alone", OPTIONS)).ended
    assert alone is not None
    shared = await shared_dump(Served(), tmp_path / "shared")
    assert shared.is_complete
    assert shared.stored == alone.stored
    assert shared.byte_count == alone.byte_count
    expected = files_in(tmp_path / "alone")
    found = files_in(tmp_path / "shared")
    assert set(found) == set(expected)
    for name, content in expected.items():
        if not name.endswith(".dump.json"):
            assert found[name] == content


async def test_what_is_there_is_verified_by_workers(tmp_path: Path) -> None:
    served = Served()
    first = await shared_dump(served, tmp_path)
    second = await shared_dump(served, tmp_path)
    assert (second.stored, second.skipped) == (0, first.stored)
    assert second.byte_count == 0


async def test_a_failed_target_is_named_and_leaves_its_record(tmp_path: Path) -> None:
    served = Served()
    answer = ScriptedAnswer(500, (("content-type", "text/plain"),), b"out of order")
    served.script("*/frames/1", answer, for_good=True)
    run = await shared_dump(served, tmp_path)
    assert (run.missing, run.is_complete) == (3, False)
    records = [n for n in files_in(tmp_path) if n.endswith("frames/1.dump.json")]
    assert len(records) == 3
    for name in records:
        record = orjson.loads((tmp_path / name).read_bytes())
        assert (record["error"]["reason"], record["response"]["statusCode"]) == (
            "origin-error",
            500,
        )
        assert (tmp_path / name.replace(".dump.json", ".error")).read_bytes() == b"out of order"


async def test_a_record_that_cannot_be_written_ends_no_worker(tmp_path: Path) -> None:
    served = Served()
    target = served.target(0)
    instance = f"series/{target.series_instance_uid}/instances/{target.sop_instance_uid}"
    folder = tmp_path / served.study / instance
    folder.mkdir(parents=True)
    (folder / "frames").write_bytes(b"")
    async with pool(served, tmp_path) as one:
        run = await perform(one, served)
        assert not any(worker.done() for worker in one.workers)
    assert (run.stored, run.corrupt + run.missing) == (10, 1)


async def test_a_pause_that_one_worker_was_asked_for_holds_for_all(tmp_path: Path) -> None:
    served = Served()
    busy = ScriptedAnswer(503, (("retry-after", "0"),), b"")
    served.script("*/frames/1", busy)
    run = await shared_dump(served, tmp_path)
    assert run.is_complete


async def test_what_the_worker_that_ended_had_under_way_is_done_by_another(tmp_path: Path) -> None:
    served = Served()
    async with pool(served, tmp_path) as one:
        one.workers[0].cancel()
        await asyncio.wait([one.workers[0]])
        ended = await perform(one, served)
    assert ended.is_complete


async def test_without_workers_everything_fails_and_says_so(tmp_path: Path) -> None:
    served = Served()
    async with pool(served, tmp_path, 1) as one:
        one.workers[0].cancel()
        await asyncio.wait([one.workers[0]])
        task = DumpTask(Target(Resource.METADATA, served.study))
        with pytest.raises(ConnectionLost, match="a worker process ended"):
            await one.dumper.obtain(task, 1, is_fresh=True)
        with pytest.raises(StorageError, match="no worker process is left"):
            await one.dumper.obtain(task, 2, is_fresh=True)


async def test_a_worker_that_cannot_open_the_source_stops_the_run(tmp_path: Path) -> None:
    def refusing(_count: Callable[[int], object]) -> AbstractAsyncContextManager[DumpFetcher]:
        raise ConfigError("no such file", hint="check --cacert")

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    worker = asyncio.create_task(serve_dump(theirs, refusing))
    with pytest.raises(ConfigError, match="check --cacert"):
        async with DumpWorkers.over([WorkerProcess(0, ours)], Tally()):
            pass
    await worker


class Silent(ScriptedAnswer):
    """An answer whose body never comes."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""


async def test_a_cancelled_target_is_dropped_by_its_worker(tmp_path: Path) -> None:
    served = Served()
    fields = (("content-type", "application/dicom+json"),)
    served.script("*/metadata", Silent(200, fields), for_good=True)
    async with pool(served, tmp_path, 1) as one:
        task = DumpTask(Target(Resource.METADATA, served.study))
        waiting = asyncio.create_task(one.dumper.obtain(task, 1, is_fresh=True))
        await until(lambda: served.transport.open_answers == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: served.transport.open_answers == 0)
    assert files_in(tmp_path) == {}
