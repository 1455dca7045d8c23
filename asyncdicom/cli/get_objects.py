"""`asyncdicom get s3://...` and `gs://...`: objects to files, proven whole."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncdicom.cli.driving import drive
from asyncdicom.cli.object_options import is_given, refuse
from asyncdicom.errors import NotFound
from asyncdicom.jobs.object_groups import ObjectGroup
from asyncdicom.jobs.object_job import ObjectJob, ObjectOptions
from asyncdicom.jobs.object_keeper import ObjectKeeper
from asyncdicom.object_wiring import open_object_store
from asyncdicom.protocol.object_stores.urls import parse_object_url
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.object_names import KeyNaming
from asyncdicom.storage.rules import Durability

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.jobs.object_groups import ObjectNaming
    from asyncdicom.ports.objects import ObjectStore
    from asyncdicom.protocol.object_stores.urls import ObjectUrl

__all__ = ["check_options", "get_objects"]

_OF_ARCHIVES = {
    "study": "--study",
    "series": "--series",
    "instance": "--instance",
    "keys": "KEY=VALUE",
    "level": "--level",
    "witness": "--expect",
    "granularity": "--granularity",
    "transfer_syntax": "--transfer-syntax",
}


def check_options(options: dict[str, Any]) -> None:
    """Refuse what object stores know nothing of, and settle the layout.

    Raises:
        click.UsageError: If an option does not go with the source.

    """
    refuse(options, _OF_ARCHIVES, "does not go with s3:// and gs://, which know objects only")
    if not is_given("layout"):
        options["layout"] = "keys"


async def get_objects(options: Mapping[str, Any], interrupts: Interrupts) -> int:
    """Run the command."""
    url = parse_object_url(options["source"])
    async with open_object_store(options["source"], options) as store:
        group = await _group_of(store, url)
        async with _open_keeper(options) as keeper, drive(options, interrupts) as driver:
            job = ObjectJob(store, keeper, driver.tally, ObjectOptions(dry_run=options["dry_run"]))
            return await driver.run(job, job.tasks([group]))


async def _group_of(store: ObjectStore, url: ObjectUrl) -> ObjectGroup:
    """Tell whether a URL names an object, a folder or a pattern."""
    naming: ObjectNaming
    if url.key and not url.key.endswith("/"):
        try:
            await store.entry(url.bucket, url.key)
        except NotFound:
            prefix = f"{url.key}/"
        else:
            return ObjectGroup(url.bucket, url.key, KeyNaming(url.key), is_single=True)
    else:
        prefix = url.key
    naming = KeyNaming(prefix)
    return ObjectGroup(url.bucket, prefix, naming)


@asynccontextmanager
async def _open_keeper(options: Mapping[str, Any]) -> AsyncIterator[ObjectKeeper]:
    durability = Durability(options["durability"])
    sees_digests = bool(options["report"] or options["as_json"])
    with OutputFolder.open(options["output"], durability=durability) as folder:
        async with ObjectKeeper(folder, computes_sha256=sees_digests) as keeper:
            yield keeper
