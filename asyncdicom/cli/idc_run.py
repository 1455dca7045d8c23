"""Carries out what `idc get` planned: find instances, look at the disk, fetch, judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.driving import drive
from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.idc_sizes import size
from asyncdicom.connecting import scheduler_settings
from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.jobs.idc_plans import InstancePlan
from asyncdicom.jobs.idc_room import free_bytes_for, require_room
from asyncdicom.jobs.object_ahead import ListedAhead
from asyncdicom.jobs.object_job import ObjectJob
from asyncdicom.object_wiring import object_options_of, open_object_store
from asyncdicom.output_wiring import KEYS, open_keeper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.cli.driving import Driver
    from asyncdicom.cli.idc_told import ToldPlan
    from asyncdicom.cli.run import Interrupts
    from asyncdicom.jobs.idc_plans import IdcPlan
    from asyncdicom.ports.objects import ObjectStore
    from asyncdicom.protocol.idc.buckets import Location

__all__ = ["carry_out"]

LISTED_AT_ONCE = 8
"""Series listed while the index is read, which takes a core."""


async def carry_out(options: dict[str, Any], told: ToldPlan, interrupts: Interrupts) -> int:
    """Wait for the plan, and fetch what it names.

    Raises:
        ConfigError: If the plan could not be made.
        DiskFull: If the folder has no room for it.

    """
    places = await told.places()
    async with (
        open_object_store(places.location.root, options) as opened,
        ListedAhead(opened) as store,
    ):
        # What is asked for ahead is not held to a rate.
        if not (options["dry_run"] or options["rate"]):
            store.begin(places.listings, at_once=min(options["concurrency"], LISTED_AT_ONCE))
        head = await told.head()
        if isinstance(head.plan, InstancePlan):
            plan = await _completed(places.location, head.plan, store, options, interrupts)
        else:
            plan = replace(head.plan, groups=told.groups())
        for one in plan.unmatched:
            if not one.is_missing and not options["quiet"]:
                click.echo(f"asyncdicom: {one}", err=True)
        async with drive(options, interrupts) as driver:
            for failure in plan.failures():
                driver.tally.record(failure)
            if options["dry_run"] or plan.is_empty:
                return _end(plan, driver, options)
            require_room(plan.totals.byte_count, Path(options["output"]))
            return await _fetch(plan, store, driver, options)


async def _completed(
    location: Location,
    plan: InstancePlan,
    store: ObjectStore,
    options: Mapping[str, Any],
    interrupts: Interrupts,
) -> IdcPlan:
    """Look for the instances of a plan."""
    # Imported here: hardly any run looks for instances.
    from asyncdicom.jobs.idc_groups import SeriesGroups  # noqa: PLC0415 -- as said
    from asyncdicom.jobs.idc_instances import InstanceFinder  # noqa: PLC0415 -- as said

    finder = InstanceFinder(store, plan.candidates, plan.wanted, location)
    scheduler = Scheduler(finder, scheduler_settings(options))
    interrupts.stops(scheduler)
    await scheduler.run(finder.tasks())
    groups = SeriesGroups(options["dir_template"], location)
    return plan.completed(groups, finder.found, finder.failed)


async def _fetch(
    plan: IdcPlan, store: ObjectStore, driver: Driver, options: Mapping[str, Any]
) -> int:
    # Names are those of the keys, in the folder of the group; nothing is left out.
    values = {**options, "layout": KEYS, "include": (), "exclude": ()}
    async with open_keeper(values) as place:
        job = ObjectJob(store, place.keeper, driver.tally, object_options_of(values))
        return await driver.run(job, job.tasks(plan.groups), finish=place.finish)


def _end(plan: IdcPlan, driver: Driver, options: Mapping[str, Any]) -> int:
    """Say what would be fetched, or that there is nothing."""
    totals = plan.totals
    if plan.is_empty:
        if not plan.unmatched:
            click.echo("asyncdicom: nothing is selected by all of the options together", err=True)
        driver.tally.end()
        return ExitCode.NO_MATCH
    free = free_bytes_for(Path(options["output"]))
    if options["as_json"]:
        import orjson  # noqa: PLC0415 -- only who reads JSON pays for it

        told = {
            "event": "plan",
            "series": totals.series,
            "instances": totals.instances,
            "uncountedSeries": totals.uncounted_series,
            "bytes": totals.byte_count,
            "freeBytes": free,
            "unmatched": [str(one) for one in plan.unmatched],
        }
        click.echo(orjson.dumps(told))
    sentence = f"{totals.series} series · {totals.instances} instances · {size(totals.byte_count)}"
    click.echo(f"dry run: {sentence} · {size(free)} are free", err=True)
    return ExitCode.INCOMPLETE if driver.tally.missing else ExitCode.COMPLETE
