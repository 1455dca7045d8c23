"""The process that reads the index for `idc get`: it makes the plan and tells it (`idc_told`)."""

from __future__ import annotations

import contextlib
import importlib
import pickle
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from asyncdicom.cli.idc_inputs import manifest_lines, manifests_of, open_index
from asyncdicom.cli.idc_told import MAX_PLACES, PlanHead, PlanPlaces
from asyncdicom.errors import AsyncDicomError
from asyncdicom.jobs.idc_plans import IdcPlan
from asyncdicom.jobs.idc_request import IdcRequest
from asyncdicom.protocol.idc.manifest import read_manifest

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

    from asyncdicom.protocol.idc.manifest import ManifestEntry
    from asyncdicom.protocol.idc.selection import Selection
    from asyncdicom.sources.idc_index import Connection

__all__ = ["tell_plan"]

GROUPS_AT_ONCE = 1000
"""Some 300 KB, which the other process takes while this one reads on."""


def tell_plan(
    sock: socket.socket,
    options: Mapping[str, Any],
    selection: Selection,
    connection: Connection | None = None,
) -> None:
    """Make a plan and tell it; the work of the other process."""
    sock.setblocking(True)
    # Who listened may have left: then nobody needs it any more.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), sock.makefile("wb") as stream:
        try:
            for told in _plan(options, selection, connection):
                pickle.dump(told, stream, pickle.HIGHEST_PROTOCOL)
                stream.flush()
        except AsyncDicomError as error:
            # Imported here: it makes our errors fit to travel.
            importlib.import_module("asyncdicom.engine.channel")
            pickle.dump(error, stream, pickle.HIGHEST_PROTOCOL)


def _plan(
    options: Mapping[str, Any], selection: Selection, connection: Connection | None
) -> Iterator[object]:
    names_manifest = bool(manifests_of(options) or options["retry_failed"])
    request = IdcRequest(
        options["dir_template"],
        selection,
        tuple(_entries(options)) if names_manifest else None,
        options["source_bucket_location"],
    )
    groups_of = request.groups()
    yield PlanPlaces(request.location, tuple(islice(request.whole_series(), MAX_PLACES)))
    with open_index(options, connection) as index:
        plan = request.plan(index, groups_of)
        groups = iter(plan.groups)
        if is_whole := isinstance(plan, IdcPlan):
            plan = replace(plan, groups=())
        yield PlanHead(plan)
        while is_whole and (some := list(islice(groups, GROUPS_AT_ONCE))):
            yield some
    yield []


def _entries(options: Mapping[str, Any]) -> Iterator[ManifestEntry]:
    for file in manifests_of(options):
        yield from read_manifest(manifest_lines(file))
    if options["retry_failed"]:
        from asyncdicom.cli.idc_retry import failed_entries  # noqa: PLC0415 -- rarely needed

        yield from failed_entries(options["retry_failed"])
