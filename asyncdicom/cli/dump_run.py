"""`dump` at work: in this process, or shared by several (`--processes`).

What is imported here is there before workers are forked, so that they need not import it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop

from asyncdicom.cli.driving import drive
from asyncdicom.cli.run import run, spare_collections
from asyncdicom.cli.selection import failed_targets, study_uids
from asyncdicom.engine.processes import usable_cores, worker_processes
from asyncdicom.jobs.dump import DumpJob
from asyncdicom.jobs.dump_fetch import DumpFetcher
from asyncdicom.jobs.dump_workers import DumpWorkers, serve_dump
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.wiring import byte_count, open_source, prepare_source

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from asyncdicom.cli.driving import Driver
    from asyncdicom.cli.run import Interrupts
    from asyncdicom.engine.processes import WorkerProcess
    from asyncdicom.jobs.dump_plan import DumpOptions
    from asyncdicom.model import Target, Uid

__all__ = ["process_count", "run_dump"]

REQUESTS_PER_PROCESS = 16
"""Below that many at once, one process keeps up with most servers."""

_RENEWED = ("bearer_command", "oauth2_token_url")
"""Credentials that each process would have to fetch for itself."""


def run_dump(options: dict[str, Any], dump_options: DumpOptions) -> int:
    """Dump, and return the exit code."""
    studies = list(study_uids(options["studies"]))
    failed = options["retry_failed"]
    again = None if failed is None else list(failed_targets(failed))
    selection = (studies, again)
    count = process_count(options)
    if count == 1:
        return run(lambda interrupts: _dump(options, dump_options, selection, interrupts))
    prepare_source(options["root"], options)
    spare_collections()
    share = _share(options, count)
    with worker_processes(count, lambda sock: _serve(sock, share, dump_options)) as workers:
        return run(lambda interrupts: _dump(options, dump_options, selection, interrupts, workers))


def process_count(options: Mapping[str, Any]) -> int:
    """Return how many processes share the requests; 1 is this one alone."""
    given: int | None = options["processes"]
    if given is not None:
        return given
    if any(options[name] for name in _RENEWED):
        return 1
    concurrency: int = options["concurrency"]
    return max(1, min(usable_cores(), concurrency // REQUESTS_PER_PROCESS))


def _share(options: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the options of one of several processes."""
    share = dict(options)
    if share["bandwidth"] is not None:
        share["bandwidth"] = str(max(1, byte_count(share["bandwidth"]) // count))
    return share


async def _dump(
    options: dict[str, Any],
    dump_options: DumpOptions,
    selection: tuple[list[Uid], list[Target] | None],
    interrupts: Interrupts,
    workers: Sequence[WorkerProcess] = (),
) -> int:
    studies, again = selection
    durability = Durability(options["durability"])
    with OutputFolder.open(options["output"], durability=durability) as folder:
        async with drive(options, interrupts) as driver:
            opened = (
                _shared(workers, folder, driver, dump_options)
                if workers
                else _alone(options, folder, driver, dump_options)
            )
            async with opened as job:
                tasks = job.tasks(studies) if again is None else job.tasks_again(again)
                return await driver.run(job, tasks)


@asynccontextmanager
async def _alone(
    options: Mapping[str, Any], folder: OutputFolder, driver: Driver, dump_options: DumpOptions
) -> AsyncIterator[DumpJob]:
    async with (
        open_source(options["root"], options) as source,
        DumpJob.here(source, folder, driver.tally, dump_options) as job,
    ):
        yield job


@asynccontextmanager
async def _shared(
    workers: Sequence[WorkerProcess],
    folder: OutputFolder,
    driver: Driver,
    dump_options: DumpOptions,
) -> AsyncIterator[DumpJob]:
    async with DumpWorkers.over(workers, driver.tally) as dumper:
        yield DumpJob(dumper, folder, driver.tally, dump_options)


def _serve(sock: socket.socket, options: Mapping[str, Any], dump_options: DumpOptions) -> None:
    """Be a worker."""

    @asynccontextmanager
    async def open_fetcher(count_bytes: Callable[[int], object]) -> AsyncIterator[DumpFetcher]:
        durability = Durability(options["durability"])
        with OutputFolder.open(options["output"], durability=durability) as folder:
            async with (
                open_source(options["root"], options) as source,
                DumpFetcher(source, folder, dump_options, count_bytes) as fetcher,
            ):
                yield fetcher

    uvloop.run(serve_dump(sock, open_fetcher))
