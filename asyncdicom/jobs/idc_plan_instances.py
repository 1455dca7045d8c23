"""Plans for single instances: from an index of instances, or by looking into series.

    plan = plan_instances(index, selection, groups)
    if plan.wanted:             # the index could not say where they are
        finder = InstanceFinder(store, plan.candidates, plan.wanted, location)
        await scheduler.run(finder.tasks())
    plan = plan.completed(finder.found, ...)

Rule: each instance asked for becomes one object of its own name, or is named as missing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.jobs.idc_plan import MAX_HELD
from asyncdicom.jobs.idc_plans import INSTANCE, InstancePlan
from asyncdicom.model import parse_uid
from asyncdicom.sources.idc_selection import IndexedInstance, choose, indexed_instances
from asyncdicom.sources.idc_unmatched import Unmatched, unmatched_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.jobs.idc_groups import SeriesGroups
    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.protocol.idc.selection import Selection
    from asyncdicom.protocol.idc.series import Series
    from asyncdicom.sources.idc_index import IdcIndex

__all__ = ["plan_instances"]


def plan_instances(index: IdcIndex, selection: Selection, groups: SeriesGroups) -> InstancePlan:
    """Plan to fetch single instances.

    Raises:
        ConfigError: If nothing says which series they are of, or if it would be too many.

    """
    wanted = tuple(map(parse_uid, selection.sop_instance_uid))
    indexed = indexed_instances(index, wanted)
    known, unmatched = _indexed(index, selection, groups, indexed)
    rest = tuple(uid for uid in wanted if uid not in {one.sop_instance_uid for one in indexed})
    if not rest:
        return InstancePlan(known, unmatched)
    if not selection.names_series:
        raise ConfigError(
            f"no index says which series the instance {rest[0]} is of",
            hint="add --series-instance-uid (or the study, patient or collection), or give "
            "--instance-index sm_instance_index.parquet",
        )
    chosen = choose(index, replace(selection, sop_instance_uid=()))
    if chosen.totals.series > MAX_HELD:
        raise ConfigError(
            f"{chosen.totals.series} series would have to be looked into",
            hint="name the study or the series of the instance",
        )
    unmatched = (*unmatched, *unmatched_in(chosen))
    return InstancePlan(known, unmatched, rest, tuple(chosen.series(groups.columns)))


def _indexed(
    index: IdcIndex,
    selection: Selection,
    groups: SeriesGroups,
    indexed: Iterable[IndexedInstance],
) -> tuple[tuple[ObjectGroup, ...], tuple[Unmatched, ...]]:
    """Return the groups of instances that are indexed, and those outside of the selection."""
    by_series: dict[str, list[IndexedInstance]] = {}
    for one in indexed:
        by_series.setdefault(one.series_instance_uid, []).append(one)
    allowed = selection.series_instance_uid or tuple(by_series)
    series = tuple(uid for uid in allowed if uid in by_series)
    found: list[ObjectGroup] = []
    if series:
        chosen = choose(index, replace(selection, series_instance_uid=series, sop_instance_uid=()))
        for each in chosen.series(groups.columns):
            instances = by_series.pop(each.series_instance_uid, [])
            found += [_group(groups, each, one) for one in instances]
    why = "has no series that the other options select"
    outside = [
        Unmatched(INSTANCE, one.sop_instance_uid, why) for of in by_series.values() for one in of
    ]
    return tuple(found), tuple(outside)


def _group(groups: SeriesGroups, series: Series, one: IndexedInstance) -> ObjectGroup:
    return groups.single(
        series,
        f"{series.prefix}{one.crdc_instance_uuid}.dcm",
        sop_instance_uid=parse_uid(one.sop_instance_uid),
        byte_count=one.byte_count,
    )
