"""What was planned against the Imaging Data Commons: values that travel between processes.

Apart from what makes them, so that who carries a plan out imports nothing of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import NotFound
from asyncdicom.model import Failed, ObjectTarget, Resource
from asyncdicom.protocol.idc.series import Totals
from asyncdicom.sources.idc_unmatched import Unmatched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asyncdicom.jobs.idc_groups import SeriesGroups
    from asyncdicom.jobs.idc_instances import FoundInstance
    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.model import Uid
    from asyncdicom.protocol.idc.series import Series

__all__ = ["INSTANCE", "IdcPlan", "InstancePlan"]

INSTANCE = "SOPInstanceUID"
"""What unmatched instances are an id of."""


@dataclass(frozen=True, slots=True)
class IdcPlan:
    """What will be fetched, and what will not."""

    groups: Iterable[ObjectGroup]
    totals: Totals
    """Of what the index knows."""
    unmatched: tuple[Unmatched, ...] = ()
    is_empty: bool = False
    """Whether there is nothing to fetch."""
    is_held: bool = True
    """Whether the index is not needed any more."""

    def failures(self) -> Iterator[Failed]:
        """Yield an outcome for each thing that was asked for and does not exist."""
        for one in self.unmatched:
            if one.is_missing:
                target = ObjectTarget("idc", one.kind, one.value, Resource.LISTING)
                yield Failed(target, NotFound(one.why, status_code=404))


@dataclass(frozen=True, slots=True)
class InstancePlan:
    """What is known before a store was asked."""

    groups: tuple[ObjectGroup, ...]
    """Instances that an index of instances knows."""
    unmatched: tuple[Unmatched, ...]
    wanted: tuple[Uid, ...] = ()
    """Instances to be looked for."""
    candidates: tuple[Series, ...] = ()
    """Where to look."""

    def completed(
        self,
        groups: SeriesGroups,
        found: Mapping[Uid, FoundInstance],
        failed: Sequence[object] = (),
    ) -> IdcPlan:
        """Return the plan, with what was found."""
        added = [
            groups.single(one.series, one.key, sop_instance_uid=uid) for uid, one in found.items()
        ]
        unlooked = f"; {len(failed)} objects could not be looked into" if failed else ""
        why = f"in none of the {len(self.candidates)} series selected{unlooked}"
        missing = [Unmatched(INSTANCE, uid, why) for uid in self.wanted if uid not in found]
        whole = [*self.groups, *added]
        byte_count = sum(group.expected_bytes or 0 for group in whole)
        totals = Totals(len({group.series_instance_uid for group in whole}), len(whole), byte_count)
        return IdcPlan(whole, totals, (*self.unmatched, *missing), is_empty=not whole)
