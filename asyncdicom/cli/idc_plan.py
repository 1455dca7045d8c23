"""The process that reads the index for `idc get`: it makes the plan and tells it (`idc_told`)."""

from __future__ import annotations

import contextlib
import importlib
import pickle
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from asyncdicom.cli.idc_options import manifest_lines, manifests_of, open_index
from asyncdicom.cli.idc_told import PlanHead
from asyncdicom.errors import AsyncDicomError
from asyncdicom.jobs.idc_groups import SeriesGroups
from asyncdicom.jobs.idc_plan import IdcPlan, plan_manifest, plan_selection
from asyncdicom.protocol.idc.buckets import Location, location_of
from asyncdicom.protocol.idc.manifest import ManifestUrl, read_manifest

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asyncdicom.jobs.idc_plan_instances import InstancePlan
    from asyncdicom.protocol.idc.manifest import ManifestEntry
    from asyncdicom.protocol.idc.selection import Selection
    from asyncdicom.sources.idc_index import IdcIndex

__all__ = ["tell_plan"]

GROUPS_AT_ONCE = 1000
"""Some 300 KB, which the other process takes while this one reads on."""


def tell_plan(sock: socket.socket, options: Mapping[str, Any], selection: Selection) -> None:
    """Make a plan and tell it; the work of the other process."""
    sock.setblocking(True)
    # Who listened may have left: then nobody needs it any more.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), sock.makefile("wb") as stream:
        try:
            for told in _plan(options, selection):
                pickle.dump(told, stream, pickle.HIGHEST_PROTOCOL)
                stream.flush()
        except AsyncDicomError as error:
            # Imported here: it makes our errors fit to travel.
            importlib.import_module("asyncdicom.engine.channel")
            pickle.dump(error, stream, pickle.HIGHEST_PROTOCOL)


def _plan(options: Mapping[str, Any], selection: Selection) -> Iterator[object]:
    entries = list(_entries(options))
    location = _location(options["source_bucket_location"], entries)
    with open_index(options) as index:
        plan = _planned(index, options, selection, entries, location)
        groups = iter(plan.groups)
        if is_whole := isinstance(plan, IdcPlan):
            plan = replace(plan, groups=())
        yield PlanHead(plan, location)
        while is_whole and (some := list(islice(groups, GROUPS_AT_ONCE))):
            yield some
    yield []


def _planned(
    index: IdcIndex,
    options: Mapping[str, Any],
    selection: Selection,
    entries: Sequence[ManifestEntry],
    location: Location,
) -> IdcPlan | InstancePlan:
    groups = SeriesGroups(options["dir_template"], location)
    if entries:
        return plan_manifest(index, entries, groups)
    if not selection.sop_instance_uid:
        return plan_selection(index, selection, groups)
    from asyncdicom.jobs.idc_plan_instances import plan_instances  # noqa: PLC0415 -- rarely needed

    return plan_instances(index, selection, groups)


def _entries(options: Mapping[str, Any]) -> Iterator[ManifestEntry]:
    for file in manifests_of(options):
        yield from read_manifest(manifest_lines(file))
    if options["retry_failed"]:
        from asyncdicom.cli.idc_retry import failed_entries  # noqa: PLC0415 -- rarely needed

        yield from failed_entries(options["retry_failed"])


def _location(given: str | None, entries: Iterable[ManifestEntry]) -> Location:
    """Return the cloud that is asked for; that of a manifest, if it is one for all its lines."""
    if given:
        return Location(given)
    said = {
        location_of(entry.scheme, entry.bucket)
        for entry in entries
        if isinstance(entry, ManifestUrl)
    }
    return Location.GCS if said - {None} == {Location.GCS} else Location.AWS
