"""What the functions for the Imaging Data Commons have in common: plan, fetch, sum up."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncdicom.connecting import scheduler_settings
from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import Incomplete
from asyncdicom.events import Finished, RunEnded
from asyncdicom.jobs.idc_instances import InstanceFinder
from asyncdicom.jobs.idc_plans import InstancePlan
from asyncdicom.jobs.idc_room import require_room
from asyncdicom.jobs.object_job import ObjectJob, ObjectOptions
from asyncdicom.jobs.object_keeper import ObjectKeeper
from asyncdicom.jobs.object_transfer import PartOptions
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Failed
from asyncdicom.object_wiring import open_object_store
from asyncdicom.sources.idc_index import IdcIndex
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.rules import Durability

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.events import Event, Observer
    from asyncdicom.jobs.idc_groups import SeriesGroups
    from asyncdicom.jobs.idc_plans import IdcPlan
    from asyncdicom.jobs.idc_request import IdcRequest
    from asyncdicom.ports.objects import ObjectStore

__all__ = ["IdcResult", "carry_out"]

CONCURRENCY = 20
"""Requests at once, as on the command line."""

CALLBACK_S = 0.5
"""Between two calls of `progress_callback`."""


@dataclass(frozen=True, slots=True)
class IdcResult:
    """What a download was to bring, and what became of it."""

    series: int
    instances: int
    """As the index counts them; earlier versions of series are not counted there."""
    byte_count: int
    unmatched: tuple[str, ...]
    """Ids that name nothing, and lines of a manifest, each with the reason."""
    failed: tuple[Failed, ...] = ()
    """What is missing or damaged; the ids above are among them."""
    ended: RunEnded | None = None
    """The sum of the run, or None if nothing was to be fetched (or it was a dry run)."""

    @property
    def is_complete(self) -> bool:
        """Whether everything asked for is stored and proven (of a dry run: exists)."""
        return not self.failed and (self.ended is None or self.ended.is_complete)

    def check(self) -> None:
        """Do nothing if everything is there.

        Raises:
            Incomplete: If something is missing; it names the first.

        """
        if self.is_complete:
            return
        first = f": {self.failed[0].target}: {self.failed[0].error}" if self.failed else ""
        raise Incomplete(
            f"{len(self.failed)} are missing{first}",
            expected=self.instances,
            received=0 if self.ended is None else self.ended.stored + self.ended.skipped,
        )

    def __str__(self) -> str:
        planned = f"{self.series} series · {self.instances} instances"
        return (
            f"{planned} · {self.byte_count / 1e6:.1f} MB" if self.ended is None else str(self.ended)
        )


class _Listener:
    """Collects failures, and tells how far it has come."""

    def __init__(self, callback: Callable[[int, int, str, str], object] | None) -> None:
        self.failed: list[Failed] = []
        self.total_bytes = 0
        self._callback = callback
        self._done_bytes = 0
        self._told_s = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Finished):
            if isinstance(event.outcome, Failed):
                self.failed.append(event.outcome)
            else:
                self._done_bytes += event.outcome.byte_count
        if self._callback is None:
            return
        if isinstance(event, RunEnded) or time.monotonic() - self._told_s >= CALLBACK_S:
            self._told_s = time.monotonic()
            self._callback(self._done_bytes, self.total_bytes, "B", "Downloading data")


async def carry_out(request: IdcRequest, output: Path, options: Mapping[str, Any]) -> IdcResult:
    """Plan, and fetch unless it is a dry run.

    Raises:
        ConfigError: If the index, the template or an option is not usable.
        DiskFull: If the folder has no room for it.

    """
    groups = request.groups()
    index = await asyncio.to_thread(
        IdcIndex.open, _path(options.get("index")), instances=_path(options.get("instance_index"))
    )
    try:
        plan = await asyncio.to_thread(request.plan, index, groups)
        values = {"concurrency": CONCURRENCY, "no_sign_request": True, **options}
        async with open_object_store(request.location.root, values) as store:
            if isinstance(plan, InstancePlan):
                plan = await _completed(plan, store, groups, request, values)
            return await _fetched(plan, store, output, values)
    finally:
        index.close()


async def _completed(
    plan: InstancePlan,
    store: ObjectStore,
    groups: SeriesGroups,
    request: IdcRequest,
    values: Mapping[str, Any],
) -> IdcPlan:
    finder = InstanceFinder(store, plan.candidates, plan.wanted, request.location)
    await Scheduler(finder, scheduler_settings(values)).run(finder.tasks())
    return plan.completed(groups, finder.found, finder.failed)


async def _fetched(
    plan: IdcPlan, store: ObjectStore, output: Path, values: Mapping[str, Any]
) -> IdcResult:
    totals = plan.totals
    result = IdcResult(
        totals.series,
        totals.instances,
        totals.byte_count,
        tuple(map(str, plan.unmatched)),
        tuple(plan.failures()),
    )
    if values.get("dry_run") or plan.is_empty:
        return result
    await asyncio.to_thread(require_room, totals.byte_count, output)
    listener = _Listener(values.get("progress_callback"))
    listener.total_bytes = totals.byte_count
    further: list[Observer] = [values["on_event"]] if values.get("on_event") else []
    tally = Tally([listener, *further])
    for failure in result.failed:
        tally.record(failure)
    ended = await _run(plan, store, output, tally, values)
    return replace(result, failed=tuple(listener.failed), ended=ended)


async def _run(
    plan: IdcPlan, store: ObjectStore, output: Path, tally: Tally, values: Mapping[str, Any]
) -> RunEnded:
    durability = Durability(values.get("durability", "batch"))
    parts = PartOptions(requests=values["concurrency"])
    with OutputFolder.open(output, durability=durability) as folder:
        async with ObjectKeeper(folder, computes_sha256=True) as keeper:
            job = ObjectJob(store, keeper, tally, ObjectOptions(parts=parts))
            scheduler = Scheduler(job, scheduler_settings(values), observe=tally.tell)
            return await run_job(job, job.tasks(plan.groups), scheduler=scheduler, tally=tally)


def _path(given: object) -> Path | None:
    return None if given is None else Path(str(given))
