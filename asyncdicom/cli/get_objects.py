"""`asyncdicom get s3://...` and `gs://...`: objects to files, proven whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.dicomdir import check_dicomdir_options
from asyncdicom.cli.driving import drive
from asyncdicom.cli.get import StoredPaths, index_stored
from asyncdicom.cli.object_options import is_given, refuse
from asyncdicom.cli.selection import failed_lines
from asyncdicom.connecting import scheduler_settings
from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import ConfigError
from asyncdicom.events import object_from_json
from asyncdicom.jobs.object_job import ObjectJob
from asyncdicom.jobs.object_roots import find_root, group_of
from asyncdicom.jobs.object_survey import Lister, ObjectSurvey
from asyncdicom.object_wiring import object_options_of, open_object_store
from asyncdicom.output_wiring import KEYS, open_keeper
from asyncdicom.protocol.object_stores.urls import parse_object_url
from asyncdicom.storage.object_names import KeyNaming

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.jobs.object_groups import ObjectGroup, ObjectNaming
    from asyncdicom.jobs.object_roots import ObjectRoot
    from asyncdicom.model import ObjectTarget
    from asyncdicom.ports.objects import ObjectStore

__all__ = ["check_options", "get_objects", "root_of"]

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
    async with open_object_store(options["source"], options) as store:
        root = await root_of(store, options)
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


async def root_of(store: ObjectStore, options: Mapping[str, Any]) -> ObjectRoot:
    """Tell what SOURCE means, and say so where it may be an object or a folder.

    Raises:
        FetchError: If the store does not say.

    """
    is_quiet = options["quiet"] or options["as_json"]
    settings = SchedulerSettings(concurrency=1, retry=scheduler_settings(options).retry)
    return await find_root(
        store,
        parse_object_url(options["source"]),
        schedule=lambda question: Scheduler(question, settings),
        tell=None if is_quiet else lambda told: sys.stderr.write(f"{told}\n"),
    )


def _groups_of(
    root: ObjectRoot, options: Mapping[str, Any], naming: ObjectNaming | None = None
) -> Iterable[ObjectGroup]:
    """Return what is to be fetched: what the URL names, or what of it failed in another run."""
    naming = naming or KeyNaming(root.prefix)
    if options["retry_failed"] is None:
        return (root.group(naming),)
    scheme = parse_object_url(options["source"]).scheme
    failed = _failed_targets(options["retry_failed"], scheme)
    return (group_of(target, naming, root) for target in failed)


def _failed_targets(report: str, scheme: str) -> Iterator[ObjectTarget]:
    """Yield what a report names as failed, each once.

    Raises:
        ConfigError: If it cannot be read, or a line names no object, or one of another store.

    """
    seen = set()
    for line in failed_lines(report):
        target = object_from_json(line)
        if target is None or target in seen:
            continue
        if target.scheme != scheme:
            raise ConfigError(f"{report} names {target.url}, which is no object of SOURCE")
        seen.add(target)
        yield target
