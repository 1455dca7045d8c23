"""`asyncdicom dump`: DICOMweb responses to disk exactly as the server sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.options import (
    check_url,
    concurrency_option,
    connection_options,
    option,
    run_options,
)
from asyncdicom.model import Resource

if TYPE_CHECKING:
    from asyncdicom.jobs.dump_plan import DumpOptions

__all__ = ["command"]

_KINDS = {
    "metadata": Resource.METADATA,
    "frames": Resource.FRAME,
    "instances": Resource.INSTANCE,
    "bulkdata": Resource.BULKDATA,
    "rendered": Resource.RENDERED,
    "thumbnail": Resource.THUMBNAIL,
    "search": Resource.SEARCH,
}

EPILOG = """\b
Examples:
  asyncdicom dump -w https://pacs.example/dicom-web -s 1.2.840.99.1 -o out
  asyncdicom dump -w http://localhost:8042/dicom-web -s 1.2.840.99.1 -o out -i -m -c 32
  asyncdicom dump -w http://localhost:8042/dicom-web -s - -o out --only instances < uids.txt
  asyncdicom report out
"""


@click.command("dump", epilog=EPILOG)
@option(
    "-w",
    "--wado-rs-root-url",
    "--wadoRsRootUrl",
    "root",
    required=True,
    metavar="URL",
    callback=check_url,
    envvar="ASYNCDICOM_WADO_RS_ROOT_URL",
    help="Root of the DICOMweb service.",
)
@option(
    "-s",
    "--study-uid",
    "--studyUid",
    "--study",
    "studies",
    multiple=True,
    metavar="UID",
    envvar=None,
    help="Study to dump; may be repeated; '-' reads UIDs from stdin.",
)
@option(
    "-o",
    "--output-folder",
    "--outputFolder",
    "--output",
    "output",
    required=True,
    metavar="DIR",
    envvar="ASYNCDICOM_OUTPUT",
    help="Folder to write to.",
)
@option(
    "-m",
    "--strip-multipart-mime-wrapper",
    "--stripMultiPartMimeWrapper",
    "strip",
    is_flag=True,
    envvar="ASYNCDICOM_STRIP",
    help="Write the content of parts beside, as .bin.",
)
@option(
    "-i",
    "--include-full-instance",
    "include_instance",
    is_flag=True,
    help="Dump the DICOM Part 10 instances too.",
)
@option("--only", metavar="KIND,…", help="What to dump: " + ", ".join(_KINDS) + ".")
@option("--pretty", is_flag=True, help="Write indented JSON beside metadata, as .pretty.json.")
@option(
    "--uids-from",
    type=click.Choice(["metadata", "search"]),
    default="metadata",
    show_default=True,
    help="What names series and instances; search dumps the QIDO-RS answers, too.",
)
@option("--overwrite", is_flag=True, help="Fetch again what is there and verified.")
@option(
    "--transfer-syntax",
    default="*",
    show_default=True,
    metavar="UID",
    help="Transfer Syntax to ask for; * is as stored.",
)
@option(
    "--durability",
    type=click.Choice(["none", "batch", "full"]),
    default="none",
    show_default=True,
    help="Whether files outlive a loss of power.",
)
@option(
    "--processes",
    type=click.IntRange(1, 64),
    show_default="one per 16 requests at once, and no more than cores",
    help="Processes that share the requests, each with connections of its own.",
)
@run_options(concurrency_option("Requests at once."))
@connection_options
def command(**options: Any) -> int:
    """Write DICOMweb responses to disk exactly as the server sent them.

    Every response has a record beside it (FILE.dump.json): headers, timing and
    multipart details. Study metadata is always dumped: everything else is
    planned from it, and counted against it.
    """
    if bool(options["studies"]) == (options["retry_failed"] is not None):
        raise click.UsageError("say what to dump: -s UID, or --retry-failed FILE")
    from asyncdicom.cli.dump_run import run_dump  # noqa: PLC0415 -- help must not pay for it

    return run_dump(options, _dump_options(options))


def _kinds(options: dict[str, Any]) -> frozenset[Resource]:
    only = options["only"]
    names = [name.strip() for name in only.split(",")] if only else ["metadata", "frames"]
    unknown = [name for name in names if name not in _KINDS]
    if unknown:
        raise click.BadParameter(
            f"unknown kind {unknown[0]!r}; known are {', '.join(_KINDS)}", param_hint="--only"
        )
    kinds = {_KINDS[name] for name in names}
    if options["include_instance"]:
        kinds.add(Resource.INSTANCE)
    if options["uids_from"] == "search":
        kinds.add(Resource.SEARCH)
    return frozenset(kinds)


def _dump_options(options: dict[str, Any]) -> DumpOptions:
    from asyncdicom.jobs.dump_plan import DumpOptions  # noqa: PLC0415 -- help must not pay for it

    return DumpOptions(
        kinds=_kinds(options),
        strip_multipart=options["strip"],
        pretty=options["pretty"],
        overwrite=options["overwrite"],
        plans_from_search=options["uids_from"] == "search",
    )
