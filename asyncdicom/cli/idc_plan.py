"""What `idc get` will do, found out while the rest of the program is still being imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from asyncdicom.cli.idc_options import manifest_lines, manifests_of, open_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from asyncdicom.jobs.idc_groups import SeriesGroups
    from asyncdicom.jobs.idc_plan import IdcPlan
    from asyncdicom.jobs.idc_plan_instances import InstancePlan
    from asyncdicom.protocol.idc.buckets import Location
    from asyncdicom.protocol.idc.manifest import ManifestEntry
    from asyncdicom.protocol.idc.selection import Selection

__all__ = ["Planned", "ahead", "planned"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it is carried out with."""

    plan: IdcPlan | InstancePlan
    location: Location
    groups: SeriesGroups


def ahead(work: Callable[[], T]) -> Future[T]:
    """Begin work in a thread, now."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 -- for who needs a thread

    executor = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    future = executor.submit(work)
    executor.shutdown(wait=False)
    return future


def planned(options: Mapping[str, Any], selection: Selection) -> Planned:
    """Ask the index for what is selected, or for what manifests name; called in a thread.

    Raises:
        ConfigError: If the index, a manifest or the template is not usable, or instances
            are asked for and nothing says which series they are of.

    """
    from asyncdicom.jobs.idc_groups import SeriesGroups  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.idc_plan import plan_manifest, plan_selection  # noqa: PLC0415 -- as above

    entries = list(_entries(options))
    location = _location(options["source_bucket_location"], entries)
    groups = SeriesGroups(options["dir_template"], location)
    index = open_index(options)
    plan: IdcPlan | InstancePlan
    if entries:
        plan = plan_manifest(index, entries, groups)
    elif selection.sop_instance_uid:
        from asyncdicom.jobs.idc_plan_instances import plan_instances  # noqa: PLC0415 -- as above

        plan = plan_instances(index, selection, groups)
    else:
        plan = plan_selection(index, selection, groups)
    if getattr(plan, "is_held", True):
        index.close()  # gives back its memory before the first byte comes
    return Planned(plan, location, groups)


def _entries(options: Mapping[str, Any]) -> Iterable[ManifestEntry]:
    from asyncdicom.protocol.idc.manifest import read_manifest  # noqa: PLC0415 -- as above

    for file in manifests_of(options):
        yield from read_manifest(manifest_lines(file))
    if options.get("retry_failed"):
        from asyncdicom.cli.idc_retry import failed_entries  # noqa: PLC0415 -- as above

        yield from failed_entries(options["retry_failed"])


def _location(given: str | None, entries: Iterable[ManifestEntry]) -> Location:
    """Return the cloud that is asked for; that of a manifest, if it is one for all its lines."""
    from asyncdicom.protocol.idc.buckets import Location, location_of  # noqa: PLC0415 -- as above
    from asyncdicom.protocol.idc.manifest import ManifestUrl  # noqa: PLC0415 -- as above

    if given:
        return Location(given)
    said = {
        location_of(entry.scheme, entry.bucket)
        for entry in entries
        if isinstance(entry, ManifestUrl)
    }
    return Location.GCS if said - {None} == {Location.GCS} else Location.AWS
