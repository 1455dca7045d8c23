"""`asyncdicom get`: instances to DICOM files, proven complete."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.dicomdir import check_dicomdir_options, key_options
from asyncdicom.cli.object_options import (
    for_object_store,
    is_object_source,
    object_options,
    refuse,
)
from asyncdicom.cli.options import (
    concurrency_option,
    connection_options,
    dimse_options,
    for_source,
    move_options,
    option,
    output_options,
    run_options,
    selection_and_keys_options,
    source_argument,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.events import Event
    from asyncdicom.jobs.archives import Archive
    from asyncdicom.model import Target

__all__ = ["StoredPaths", "command", "get_instances", "index_stored"]

EPILOG = """\b
Examples:
  asyncdicom get http://localhost:8042/dicom-web --study 1.2.840.99.1 -o out
  asyncdicom get http://localhost:8042/dicom-web PatientID=4711 Modality=CT -o out --layout tree
  asyncdicom get http://localhost:8042/dicom-web --study - -o out --report run.jsonl < uids.txt
  asyncdicom get http://localhost:8042/dicom-web --retry-failed run.jsonl -o out
  asyncdicom get http://localhost:8042/dicom-web --study 1.2.840.99.1 --dry-run
  asyncdicom get http://localhost:8042/dicom-web --study 1.2.840.99.1 --zip -o out
  asyncdicom get dicom://ORTHANC@localhost:4242 --study 1.2.840.99.1 -o out
  asyncdicom get dicom://ORTHANC@localhost:4242 QueryRetrieveLevel=STUDY PatientID=4711 -o out
  asyncdicom get 'dicom://PACS@pacs?calling=ME&retrieve=move' PatientID=4711 -o out -l tree -I -D
  asyncdicom get https://pacs/dicom-web --study 1.2.3 -o out --layout '{PatientID}/{Modality}'
  asyncdicom get s3://idc-open-data/0a0b1c/ --no-sign-request -o out
  asyncdicom get 's3://bucket/study/*.dcm' --endpoint-url http://localhost:9000 -o out
"""


@click.command("get", epilog=EPILOG)
@source_argument
@click.argument("keys", nargs=-1, metavar="[KEY=VALUE]...")
@selection_and_keys_options
@output_options
@option(
    "-l",
    "--layout",
    default="flat",
    show_default=True,
    metavar="flat|tree|TEMPLATE",
    help="Names of files: by SOP Instance UID, by patient/study/series, or as a template says.",
)
@option(
    "-I", "--iso-9660", is_flag=True, help="Names of at most 8 characters, files IM000001 and up."
)
@option("--extension", default=".dcm", show_default=True, help="Of flat and tree; '' for none.")
@option(
    "-D", "--dicomdir", is_flag=True, help="Write or update the DICOMDIR of the folder (needs -I)."
)
@key_options(has_short_series_key=False)
@option("--zip", "as_zip", is_flag=True, help="One zip archive per study.")
@option(
    "--granularity",
    type=click.Choice(["auto", "study", "series", "instance"]),
    default="auto",
    show_default=True,
    help="What one request asks for; auto chooses from counts and sizes.",
)
@option(
    "--expect",
    "witness",
    type=click.Choice(["auto", "search", "metadata"]),
    default="auto",
    show_default=True,
    help="Who says what must arrive (DICOMweb): QIDO-RS, the metadata, or the longer of both.",
)
@option(
    "--level",
    type=click.Choice(["patient", "study", "series", "instance", "image"]),
    help="What KEY=VALUE are of (default: what QueryRetrieveLevel= says, or the deepest key).",
)
@option("--transfer-syntax", default="*", show_default=True, metavar="UID", help="* is as stored.")
@option("--dry-run", is_flag=True, help="Look up and count; fetch nothing.")
@run_options(
    concurrency_option("Requests at once (DIMSE: associations, 4 unless given; s3, gs: 20).")
)
@object_options
@connection_options
@dimse_options
@move_options
def command(**options: Any) -> int:
    """Fetch instances as DICOM files, proven complete.

    SOURCE is the root of a DICOMweb service, or dicom://CALLED_AE@HOST:PORT. What to
    fetch is named by UIDs (--study, --series, --instance) or searched for by KEY=VALUE.

    Or SOURCE is s3://BUCKET/PREFIX or gs://BUCKET/PREFIX: all objects below the prefix,
    one object, or those that a pattern (s3://BUCKET/PREFIX/*.dcm) matches.
    """
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- help must not pay for it

    if is_object_source(options["source"]):
        from asyncdicom.cli.get_objects import (  # noqa: PLC0415 -- as above
            check_options,
            get_objects,
        )

        for_object_store(options)
        check_options(options)
        return run(lambda interrupts: get_objects(options, interrupts))
    refuse(options, _OF_OBJECTS, "goes with s3:// and gs:// alone")
    for_source(options)
    _sort_out_s(options)
    _check_selection(options)
    check_dicomdir_options(options)
    from asyncdicom.cli.selection import read_from_stdin  # noqa: PLC0415 -- as above

    read_from_stdin(options)
    return run(lambda interrupts: get_instances(options, interrupts))


_OF_OBJECTS = {"include": "--include", "exclude": "--exclude", "catalog": "--catalog"}
"""What would be silently left undone elsewhere: more comes than was asked for, nothing is noted."""

_KEY_OF_RECORDS = re.compile(r"(?:[A-Z][A-Za-z0-9]+|[0-9A-Fa-f]{4},[0-9A-Fa-f]{4})(?::[123])?")


def _sort_out_s(options: dict[str, Any]) -> None:
    """Tell studies from keys of series: odil has `-s KEYWORD` where dicomweb-dump has `-s UID`."""
    keys = [word for word in options["study"] if _KEY_OF_RECORDS.fullmatch(word)]
    options["study"] = tuple(word for word in options["study"] if word not in keys)
    options["series_key"] = (*options["series_key"], *keys)


def _check_selection(options: dict[str, Any]) -> None:
    if not all(map(str.strip, options["keys"])):
        # An unset variable of a script would be no condition, and all of the archive match.
        raise click.UsageError("a KEY=VALUE is empty: leave it out, or name a key")
    ways = [bool(options["study"]), bool(options["keys"]), options["retry_failed"] is not None]
    if sum(ways) != 1:
        raise click.UsageError(
            "say what to get: --study UID, or KEY=VALUE, or --retry-failed FILE (one of them)"
        )
    if options["iso_9660"] and options["layout"] not in ("flat", "tree"):
        raise click.UsageError("--iso-9660 goes with --layout flat or tree")


async def get_instances(options: dict[str, Any], interrupts: Interrupts) -> int:
    """Run the command for a source of studies."""
    from asyncdicom.cli.driving import drive  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.jobs.get import GetOptions  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.lookup import Witness  # noqa: PLC0415 -- as above
    from asyncdicom.output_wiring import open_store  # noqa: PLC0415 -- as above
    from asyncdicom.policy.granularity import Granularity  # noqa: PLC0415 -- as above
    from asyncdicom.wiring import open_archive  # noqa: PLC0415 -- as above

    get_options = GetOptions(
        granularity=Granularity(options["granularity"]),
        concurrency=options["concurrency"],
        dry_run=options["dry_run"],
    )
    async with open_archive(options["source"], options) as archive:
        targets = await _targets(archive, options)
        await archive.prepare()
        files = StoredPaths()
        async with open_store(options) as store, drive(options, interrupts, files) as driver:
            witness = Witness(options["witness"])
            job = archive.get_job(store, driver.tally, get_options, witness=witness)
            ending = _Ending(archive, options, store.finish, files)
            code = await driver.run(job, job.tasks(targets), finish=ending.finish)
    return code or ending.code


class _Ending:
    """What is left to do when everything has arrived: it comes before the last sentence.

    Attributes:
        code: Exit code of the DICOMDIR.

    """

    def __init__(
        self,
        archive: Archive,
        options: dict[str, Any],
        finish: Callable[[], Awaitable[None]],
        files: StoredPaths,
    ) -> None:
        self.code: int = 0
        self._archive = archive
        self._options = options
        self._finish = finish
        self._files = files

    async def finish(self) -> None:
        """Finish the store; tell the peer's own count; list what is there, also if some is not."""
        await self._finish()
        if self._archive.claims and not self._options["quiet"]:
            # Not by click.echo, which would write into a bar that is being drawn.
            sys.stderr.write(f"{self._archive.claims}\n")
        if self._options["dicomdir"] and self._files.paths:
            self.code = await index_stored(self._options, self._files.paths)


class StoredPaths:
    """Listens for the paths of files that are there."""

    def __init__(self) -> None:
        from asyncdicom.events import Finished  # noqa: PLC0415 -- as above
        from asyncdicom.model import Skipped, Stored  # noqa: PLC0415 -- as above

        self.paths: list[str] = []
        self._finished, self._kept = Finished, (Stored, Skipped)

    def __call__(self, event: Event) -> None:
        """Take note of a file."""
        if isinstance(event, self._finished) and isinstance(event.outcome, self._kept):
            self.paths.append(event.outcome.path)


async def index_stored(options: Mapping[str, Any], paths: Iterable[str]) -> int:
    """List stored files in the DICOMDIR of their folder, and return the exit code of that."""
    from asyncdicom.cli.dicomdir import (  # noqa: PLC0415 -- as above
        dicomdir_keys,
        index_files,
        tell_dicomdir,
    )
    from asyncdicom.storage.folder import OutputFolder  # noqa: PLC0415 -- as above
    from asyncdicom.storage.rules import Durability  # noqa: PLC0415 -- as above

    durability = Durability(options["durability"])
    with OutputFolder.open(options["output"], durability=durability) as folder:
        report = await index_files(folder, paths, dicomdir_keys(options))
    return tell_dicomdir(
        report, options["output"], is_quiet=options["quiet"], is_verbose=options["verbose"]
    )


async def _targets(archive: Archive, options: dict[str, Any]) -> Iterable[Target]:
    from asyncdicom.cli.selection import (  # noqa: PLC0415 -- as above
        failed_targets,
        selected_targets,
    )

    if options["retry_failed"] is not None:
        return list(failed_targets(options["retry_failed"]))
    if options["keys"]:
        from asyncdicom.cli.selection_by_keys import (  # noqa: PLC0415 -- as above
            found_targets,
        )

        return await found_targets(archive.source, options["keys"], options["level"])
    return list(selected_targets(options["study"], options["series"], options["instance"]))
