"""`asyncdicom get s3://...` and `gs://...`: objects to files, proven whole."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.dicomdir import check_dicomdir_options
from asyncdicom.cli.driving import drive
from asyncdicom.cli.get import StoredPaths, index_stored
from asyncdicom.cli.object_options import is_given, refuse
from asyncdicom.cli.object_roots import find_root
from asyncdicom.connecting import byte_count
from asyncdicom.errors import ConfigError
from asyncdicom.events import object_from_json
from asyncdicom.jobs.object_groups import ObjectGroup
from asyncdicom.jobs.object_job import ObjectJob, ObjectOptions
from asyncdicom.jobs.object_keeper import ObjectKeeper
from asyncdicom.jobs.object_survey import Lister, ObjectSurvey
from asyncdicom.jobs.object_transfer import PartOptions
from asyncdicom.model import Resource
from asyncdicom.object_wiring import open_object_store
from asyncdicom.protocol.object_stores.globs import Selection
from asyncdicom.protocol.object_stores.urls import parse_object_url
from asyncdicom.records import dataclass
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.object_names import KeyNaming, LayoutNaming
from asyncdicom.storage.rules import Durability

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from asyncdicom.cli.object_roots import ObjectRoot
    from asyncdicom.cli.run import Interrupts
    from asyncdicom.jobs.object_groups import ObjectNaming
    from asyncdicom.storage.catalog import Catalog

__all__ = ["check_options", "get_objects", "object_options_of"]

KEYS = "keys"
"""The layout that names files by the keys of their objects."""

_OF_ARCHIVES = {
    "study": "--study",
    "series": "--series",
    "instance": "--instance",
    "keys": "KEY=VALUE",
    "level": "--level",
    "witness": "--expect",
    "granularity": "--granularity",
    "transfer_syntax": "--transfer-syntax",
    "as_zip": "--zip",
}


def check_options(options: dict[str, Any]) -> None:
    """Refuse what object stores know nothing of, and settle the layout.

    Raises:
        click.UsageError: If an option does not go with the source.

    """
    refuse(options, _OF_ARCHIVES, "does not go with s3:// and gs://, which know objects only")
    if not is_given("layout"):
        options["layout"] = "flat" if options["iso_9660"] else KEYS
    if options["iso_9660"] and options["layout"] not in ("flat", "tree"):
        raise click.UsageError("--iso-9660 goes with --layout flat or tree")
    check_dicomdir_options(options)
    if options["layout"] == KEYS:
        refuse(options, {"extension": "--extension"}, "goes with --layout flat or tree")


async def get_objects(options: Mapping[str, Any], interrupts: Interrupts) -> int:
    """Run the command."""
    url = parse_object_url(options["source"])
    async with open_object_store(options["source"], options) as store:
        root = await find_root(store, url, is_quiet=options["quiet"] or options["as_json"])
        if options["dry_run"]:
            async with drive(options, interrupts) as driver:
                lister = Lister(store, driver.tally, object_options_of(options).accepts)
                survey = ObjectSurvey(lister, driver.tally)
                return await driver.run(survey, survey.tasks(_groups_of(root, options)))
        files = StoredPaths()
        listeners = [files] if options["dicomdir"] else []
        async with open_keeper(options) as place, drive(options, interrupts, *listeners) as driver:
            job = ObjectJob(store, place.keeper, driver.tally, object_options_of(options))
            groups = _groups_of(root, options, place.naming)
            code = await driver.run(job, job.tasks(groups), finish=place.finish)
        return code or (await index_stored(options, files.paths) if files.paths else code)


def _groups_of(
    root: ObjectRoot, options: Mapping[str, Any], naming: ObjectNaming | None = None
) -> Iterable[ObjectGroup]:
    """Return what is to be fetched: what the URL names, or what of it failed in another run."""
    scheme = parse_object_url(options["source"]).scheme
    naming = naming or KeyNaming(root.prefix)
    if options["retry_failed"] is not None:
        return _failed_groups(options["retry_failed"], naming, scheme)
    return (root.group(naming),)


def object_options_of(options: Mapping[str, Any]) -> ObjectOptions:
    """Return how objects are fetched, from the options of `object_options`.

    Raises:
        ConfigError: If a size is none.

    """
    selection = Selection(include=options["include"], exclude=options["exclude"])
    has_filter = bool(options["include"] or options["exclude"])

    def accepts(group: ObjectGroup, key: str) -> bool:
        return not has_filter or selection.matches(key.removeprefix(group.prefix))

    parts = PartOptions(
        part_bytes=byte_count(options["part_size"]),
        at_once=options["parts"],
        requests=options["concurrency"],
    )
    return ObjectOptions(accepts=accepts, parts=parts)


def _failed_groups(report: str, naming: ObjectNaming, scheme: str) -> Iterator[ObjectGroup]:
    """Yield what a report names as failed, each once.

    Raises:
        ConfigError: If it cannot be read, or a line names no object, or one of another store.

    """
    from asyncdicom.storage.reports import read_report  # noqa: PLC0415 -- as above

    seen = set()
    for line in read_report(report):
        target = object_from_json(line) if line.get("outcome") == "failed" else None
        if target is None or target in seen:
            continue
        if target.scheme != scheme:
            raise ConfigError(f"{report} names {target.url}, which is no object of SOURCE")
        seen.add(target)
        yield ObjectGroup(
            target.bucket,
            target.key,
            naming,
            is_single=target.resource is Resource.OBJECT,
            study_instance_uid=target.study_instance_uid,
            series_instance_uid=target.series_instance_uid,
            sop_instance_uid=target.sop_instance_uid,
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where objects go."""

    keeper: ObjectKeeper
    naming: ObjectNaming | None
    """None for names by keys, which depend on what is fetched."""
    catalog: Catalog | None

    async def finish(self) -> None:
        """Write what the catalog still holds."""
        if self.catalog is not None:
            self.catalog.flush()


@asynccontextmanager
async def open_keeper(options: Mapping[str, Any]) -> AsyncIterator[_Place]:
    """Open where objects go, and the catalog.

    Raises:
        ConfigError: If the folder, the layout or the catalog is not usable.

    """
    durability = Durability(options["durability"])
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(OutputFolder.open(options["output"], durability=durability))
        catalog = None
        if options["catalog"] is not None:
            # Imported here, like all that few runs need: to begin takes longer than to fetch.
            from asyncdicom.storage.catalog import Catalog  # noqa: PLC0415 -- lazy on purpose

            catalog = stack.enter_context(Catalog.open(options["catalog"]))
        naming: ObjectNaming | None = None
        collect: Mapping[int, str] = {}
        if options["layout"] != KEYS:
            from asyncdicom.wiring import layout_for  # noqa: PLC0415 -- as above

            layout, collect = layout_for(options, folder)
            naming = LayoutNaming(layout)
        keeper = ObjectKeeper(
            folder,
            catalog=catalog,
            collect=collect,
            # Only where somebody sees them: they cost as much as all the rest.
            computes_sha256=bool(options["report"] or options["as_json"]),
        )
        yield _Place(await stack.enter_async_context(keeper), naming, catalog)
