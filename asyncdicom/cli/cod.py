"""`asyncdicom cod`: studies of Cloud-Optimized DICOM stores."""

from __future__ import annotations

from typing import Any

import click

from asyncdicom.cli.object_options import object_store_options
from asyncdicom.cli.options import (
    concurrency_option,
    connection_options,
    option,
    output_options,
    retry_option,
    run_options,
    selection_options,
    together,
)

__all__ = ["command"]

EPILOG = """\b
Examples:
  asyncdicom cod stats 'cod+https://storage.googleapis.com/bucket/prefix?token=T' --study 1.2.3
  asyncdicom cod get 'cod+https://storage.googleapis.com/bucket/prefix?token=T' --study 1.2.3 -o out
  asyncdicom cod get cod+gs://bucket/prefix/dicomweb --study 1.2.3 --zip -o out
"""

_FOLDERS = "{SeriesInstanceUID}/instances"
"""Where the files of a series are, in the folder or the archive of its study."""


@click.group("cod", epilog=EPILOG)
def command() -> None:
    """Count and fetch studies of Cloud-Optimized DICOM stores.

    SOURCE is cod+https://HOST/BUCKET/PREFIX?token=TOKEN, where HOST answers as Google Cloud
    Storage does and /dicomweb goes behind PREFIX; or cod+gs://BUCKET/PREFIX or
    cod+s3://BUCKET/PREFIX, where PREFIX is taken as it is.
    """


_source = click.argument("source", metavar="SOURCE")


@command.command(
    "stats",
    epilog="""\b
Examples:
  asyncdicom cod stats cod+gs://bucket/dicomweb --study 1.2.3
  asyncdicom cod stats cod+gs://bucket/dicomweb --study 1.2.3 -o out --json
""",
)
@_source
@option("--study", "-s", multiple=True, metavar="UID", help="Study ('-' reads them from stdin).")
@option(
    "-o",
    "-d",
    "--output",
    "--directory",
    metavar="DIR",
    help="Folder of an earlier download; its files are read, and counted if they are whole.",
)
@option("--zip", "as_zip", is_flag=True, help="The folder has one zip archive per study.")
@concurrency_option("Requests at once.")
@retry_option("a failed request")
@option("-q", "--quiet", is_flag=True, help="Print totals alone.")
@option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@object_store_options
@connection_options
def stats(**options: Any) -> int:
    """Say how many series, instances and bytes there are, and how many of them are saved."""
    from asyncdicom.cli.cod_stats import tell_stats  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- as above
    from asyncdicom.cli.selection import read_from_stdin  # noqa: PLC0415 -- as above

    if not options["study"]:
        raise click.UsageError("say which studies: --study UID")
    read_from_stdin(options)
    return run(lambda interrupts: tell_stats(options, interrupts))


@command.command(
    "get",
    epilog="""\b
Examples:
  asyncdicom cod get 'cod+https://storage.googleapis.com/bucket?token=T' --study 1.2.3 -o out
  asyncdicom cod get cod+s3://bucket/dicomweb --study 1.2.3 --zip -o out
  asyncdicom cod get cod+gs://bucket/dicomweb --study 1.2.3 --layout flat -o out --json
""",
)
@_source
@selection_options
@output_options
@option(
    "-l",
    "--layout",
    metavar="flat|tree|TEMPLATE",
    help="Names of files (default: STUDY/SERIES/instances/SOP.dcm; with --zip, STUDY.zip).",
)
@option("--extension", default=".dcm", show_default=True, help="Of all files; '' for none.")
@option("--zip", "as_zip", is_flag=True, help="One zip archive per study.")
@option(
    "--granularity",
    type=click.Choice(["auto", "series", "instance"]),
    default="auto",
    show_default=True,
    help="What one request asks for: archives, instances, or what costs less.",
)
@option("--dry-run", is_flag=True, help="Look up and count; fetch no instance.")
@run_options(concurrency_option("Requests at once."))
@object_store_options
@connection_options
def get(**options: Any) -> int:
    """Fetch instances as DICOM files, each proven by the checksum of its metadata."""
    from asyncdicom.cli.get import get_instances  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- as above

    _check_selection(options)
    if options["layout"] is None:
        options["layout"] = _FOLDERS if options["as_zip"] else f"{{StudyInstanceUID}}/{_FOLDERS}"
    options |= {"keys": (), "level": None, "witness": "auto", "dicomdir": False}
    return run(lambda interrupts: get_instances(options, interrupts))


_part_options = together(
    selection_options,
    output_options,
    run_options(concurrency_option("Requests at once.")),
    object_store_options,
    connection_options,
)


@command.command(
    "frames",
    epilog="""\b
Examples:
  asyncdicom cod frames cod+gs://bucket/dicomweb --study 1.2 --series 1.2.3 -o out
  asyncdicom cod frames cod+gs://bucket/dicomweb --study 1.2 --series 1.2.3 --instance 1.2.3.4 \\
    --frame 1 --frame 17 -o out
""",
)
@_source
@option(
    "--frame",
    "frames_wanted",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of a frame, from 1 (default: all of them).",
)
@_part_options
def frames(**options: Any) -> int:
    """Fetch frames by their spans, as the files have them: STUDY/SERIES/instances/SOP/frames/N."""
    return _parts("frame", options)


@command.command(
    "metadata",
    epilog="""\b
Examples:
  asyncdicom cod metadata cod+gs://bucket/dicomweb --study 1.2 -o out
""",
)
@_source
@_part_options
def metadata(**options: Any) -> int:
    """Fetch data sets without pixels in the DICOM JSON Model: STUDY/SERIES/metadata.json."""
    return _parts("metadata", options)


def _parts(resource: str, options: dict[str, Any]) -> int:
    from asyncdicom.cli.cod_parts import fetch_parts  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- as above

    _check_selection(options)
    return run(lambda interrupts: fetch_parts(resource, options, interrupts))


def _check_selection(options: dict[str, Any]) -> None:
    from asyncdicom.cli.selection import read_from_stdin  # noqa: PLC0415 -- as above
    from asyncdicom.protocol.cod.places import parse_cod_root  # noqa: PLC0415 -- as above

    if bool(options["study"]) == (options["retry_failed"] is not None):
        raise click.UsageError("say what to get: --study UID or --retry-failed FILE (one of them)")
    parse_cod_root(options["source"])
    read_from_stdin(options)
