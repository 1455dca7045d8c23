"""What is asked of the Imaging Data Commons, as a plan: by command line and library alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.jobs.idc_groups import SeriesGroups
from asyncdicom.jobs.idc_plan import names_whole_series, plan_manifest, plan_selection
from asyncdicom.jobs.idc_plan_instances import plan_instances
from asyncdicom.protocol.idc.buckets import Location, location_of
from asyncdicom.protocol.idc.manifest import ManifestUrl
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.jobs.idc_plans import IdcPlan, InstancePlan
    from asyncdicom.protocol.idc.manifest import ManifestEntry
    from asyncdicom.protocol.idc.selection import Selection
    from asyncdicom.sources.idc_index import IdcIndex

__all__ = ["IdcRequest"]


@dataclass(frozen=True, slots=True)
class IdcRequest:
    """A selection, or a manifest, and what becomes of it."""

    template: str
    selection: Selection
    entries: tuple[ManifestEntry, ...] | None = None
    """Of a manifest, which stands for itself; None if there is none."""
    given_location: str | None = None
    """`aws` or `gcs`, where somebody said so."""

    @property
    def location(self) -> Location:
        """The cloud that is asked for; that of a manifest, if it is one for all its lines."""
        if self.given_location:
            return Location(self.given_location)
        said = {
            location_of(entry.scheme, entry.bucket)
            for entry in self.entries or ()
            if isinstance(entry, ManifestUrl)
        }
        return Location.GCS if said - {None} == {Location.GCS} else Location.AWS

    def whole_series(self) -> Iterator[tuple[str, str]]:
        """Yield bucket and prefix of the series that a manifest names by their addresses."""
        location = self.location
        for entry in self.entries or ():
            if isinstance(entry, ManifestUrl) and names_whole_series(entry):
                yield location.bucket_of(entry.bucket), entry.prefix

    def groups(self) -> SeriesGroups:
        """Return what makes groups of series.

        Raises:
            ConfigError: If the template is not usable.

        """
        return SeriesGroups(self.template, self.location)

    def plan(self, index: IdcIndex, groups: SeriesGroups) -> IdcPlan | InstancePlan:
        """Ask the index.

        Raises:
            ConfigError: If it is damaged, or instances are asked for and nothing says which
                series they are of.

        """
        if self.entries is not None:
            return plan_manifest(index, self.entries, groups)
        if self.selection.sop_instance_uid:
            return plan_instances(index, self.selection, groups)
        return plan_selection(index, self.selection, groups)
