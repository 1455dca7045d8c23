"""What `cod frames` and `cod metadata` do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncdicom.cli.driving import drive
from asyncdicom.cli.selection import failed_targets, selected_targets
from asyncdicom.jobs.cod_parts import CodPartsJob
from asyncdicom.model import Resource, Target
from asyncdicom.protocol.cod.places import parse_cod_root
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.rules import Durability
from asyncdicom.wiring import open_cod_archive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncdicom.cli.run import Interrupts

__all__ = ["fetch_parts"]


async def fetch_parts(resource: str, options: Mapping[str, Any], interrupts: Interrupts) -> int:
    """Run the command."""
    targets = list(_targets(options))
    root = parse_cod_root(options["source"])
    durability = Durability(options["durability"])
    async with open_cod_archive(root, options) as archive:
        with OutputFolder.open(options["output"], durability=durability) as folder:
            async with drive(options, interrupts) as driver:
                job = CodPartsJob(
                    archive.source,
                    folder,
                    driver.tally,
                    resource=Resource(resource),
                    frames=options.get("frames_wanted", ()),
                )
                return await driver.run(job, job.tasks(targets), finish=job.aclose)


def _targets(options: Mapping[str, Any]) -> Iterator[Target]:
    if options["retry_failed"] is None:
        yield from selected_targets(options["study"], options["series"], options["instance"])
        return
    for failed in failed_targets(options["retry_failed"]):
        yield _place_of(failed)


def _place_of(failed: Target) -> Target:
    """Return the instance, series or study that a part is of."""
    level = Resource.STUDY
    if failed.series_instance_uid is not None:
        level = Resource.SERIES
    if failed.sop_instance_uid is not None:
        level = Resource.INSTANCE
    return replace(failed, resource=level, frame_number=None)
