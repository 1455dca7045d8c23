"""`asyncdicom idc select|estimate|manifest|sql|versions`: the index is asked, nobody else."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.idc_options import (
    IdcCommand,
    index_options,
    location_option,
    open_index,
    selection_options,
)
from asyncdicom.cli.options import option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncdicom.cli.idc_chosen import Choice
    from asyncdicom.protocol.idc.buckets import Location
    from asyncdicom.protocol.idc.series import Series, Totals

__all__ = ["estimate", "manifest", "select", "sql", "versions"]

_NAMES = click.argument("names", nargs=-1, metavar="[ID,…|MANIFEST]...")
_JSON = option("--json", "as_json", is_flag=True, help="Write JSON.")
_FORMAT = option(
    "--format",
    "format_",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to write the rows.",
)
_OUTPUT = option(
    "-o",
    "--output",
    metavar="FILE",
    envvar=None,
    help="File to write to instead of stdout; must not exist.",
)

_COLUMNS = (
    *("collection_id", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    *("instances", "bytes", "crdc_series_uuid"),
)

_GROUPS = ("collection_id", "Modality", "PatientID", "StudyInstanceUID")


@click.command(
    "select",
    short_help="List the series of a selection.",
    cls=IdcCommand,
    epilog="""\b
Examples:
  asyncdicom idc select --collection-id rider_pilot --analysis-results exclude
  asyncdicom idc select TCGA-05-4244 --format csv -o series.csv
""",
)
@_NAMES
@selection_options
@_FORMAT
@_JSON
@option("--limit", type=click.IntRange(min=1), help="Series to list at most.")
@_OUTPUT
def select(**options: Any) -> int:
    """List the series that a selection means: one row each, with size and count."""
    from asyncdicom.cli.idc_chosen import choice_of, written_to  # noqa: PLC0415 -- as in get
    from asyncdicom.cli.idc_tables import RowFormat, write_rows  # noqa: PLC0415 -- as above

    kind = RowFormat.JSON if options["as_json"] else RowFormat(options["format_"])
    with open_index(options) as index:
        choice = choice_of(index, options)
        rows = map(_row, islice(choice.chosen.series(), options["limit"]))
        with written_to(options["output"]) as stream:
            write_rows(stream, kind, _COLUMNS, rows)
    return choice.end()


def _row(series: Series) -> Sequence[Any]:
    return (
        series.collection_id,
        series.patient_id,
        series.study_instance_uid,
        series.series_instance_uid,
        series.modality,
        series.instance_count,
        series.byte_count,
        series.crdc_series_uuid,
    )


@click.command(
    "estimate",
    short_help="Say how much a selection is.",
    cls=IdcCommand,
    epilog="""\b
Examples:
  asyncdicom idc estimate --collection-id nlst --json
  asyncdicom idc estimate manifest.txt --by PatientID
""",
)
@_NAMES
@selection_options
@option(
    "--by",
    multiple=True,
    type=click.Choice(_GROUPS),
    help="What to sum up by (default: collection_id and Modality); may be repeated.",
)
@_JSON
def estimate(**options: Any) -> int:
    """Say how many series, instances and bytes a selection is, without asking any server."""
    from asyncdicom.cli.idc_chosen import choice_of  # noqa: PLC0415 -- as in get

    by = options["by"] or ("collection_id", "Modality")
    with open_index(options) as index:
        choice = choice_of(index, options)
        if options["as_json"]:
            _estimate_json(choice, by)
        else:
            _estimate_text(choice, by)
    return choice.end()


def _estimate_text(choice: Choice, by: Sequence[str]) -> None:
    from asyncdicom.cli.idc_tables import RowFormat, write_rows  # noqa: PLC0415 -- as in get

    columns = (*by, "series", "instances", "MB")
    rows = ((*row[:-1], round(row[-1] / 1e6, 1)) for row in choice.chosen.grouped(*by))
    write_rows(sys.stdout, RowFormat.TABLE, columns, rows)
    click.echo(sum_of(choice.chosen.totals))


def sum_of(totals: Totals) -> str:
    """Return the totals in a sentence."""
    from asyncdicom.cli.idc_sizes import size  # noqa: PLC0415 -- as in get

    parts = [f"{totals.series} series", f"{totals.instances} instances", size(totals.byte_count)]
    if totals.uncounted_series:
        parts.append(f"{totals.uncounted_series} earlier versions (instances not counted)")
    return " · ".join(parts)


def _estimate_json(choice: Choice, by: Sequence[str]) -> None:
    import orjson  # noqa: PLC0415 -- as in get

    totals = choice.chosen.totals
    columns = (*by, "series", "instances", "bytes")
    told = {
        "series": totals.series,
        "instances": totals.instances,
        "uncountedSeries": totals.uncounted_series,
        "bytes": totals.byte_count,
        "by": [dict(zip(columns, row, strict=True)) for row in choice.chosen.grouped(*by)],
        "unmatched": [str(one) for one in choice.unmatched],
    }
    click.echo(orjson.dumps(told))


@click.command(
    "manifest",
    short_help="Write a manifest of a selection.",
    cls=IdcCommand,
    epilog="""\b
Examples:
  asyncdicom idc manifest --collection-id rider_pilot > manifest.txt
  asyncdicom idc manifest TCGA-05-4244 --source-bucket-location gcs --format urls
""",
)
@_NAMES
@selection_options
@location_option
@option(
    "--format",
    "format_",
    type=click.Choice(["s5cmd", "urls", "series", "uuids"]),
    default="s5cmd",
    show_default=True,
    help="Commands for s5cmd, addresses alone, Series Instance UIDs, or CRDC UUIDs.",
)
@_OUTPUT
def manifest(**options: Any) -> int:
    """Write a manifest of a selection, for `idc get`, idc-index and s5cmd."""
    from asyncdicom.cli.idc_chosen import choice_of, written_to  # noqa: PLC0415 -- as in get
    from asyncdicom.protocol.idc.buckets import Location  # noqa: PLC0415 -- as above

    line_of = _LINES[options["format_"]]
    location = Location(options["source_bucket_location"] or "aws")
    with open_index(options) as index:
        choice = choice_of(index, options)
        with written_to(options["output"]) as stream:
            for line in _heading(choice.chosen.totals, location, options["format_"]):
                stream.write(f"{line}\n")
            addresses = choice.chosen.addresses(location)
            stream.writelines(f"{line_of(*address)}\n" for address in addresses)
    return choice.end()


def _heading(totals: Totals, location: Location, kind: str) -> Iterator[str]:
    yield f"# Imaging Data Commons: {sum_of(totals)}"
    if kind == "s5cmd":
        yield f"# s5cmd --no-sign-request --endpoint-url {location.endpoint_url} run THIS-FILE"


_LINES: dict[str, Callable[[str, str, str], str]] = {
    "s5cmd": lambda bucket, uuid, _uid: f"cp s3://{bucket}/{uuid}/* .",
    "urls": lambda bucket, uuid, _uid: f"s3://{bucket}/{uuid}/*",
    "series": lambda _bucket, _uuid, uid: uid,
    "uuids": lambda _bucket, uuid, _uid: uuid,
}
"""What a line is, by the form of a manifest."""


@click.command(
    "sql",
    short_help="Ask the index in SQL.",
    epilog="""\b
Tables: index, prior_versions_index, collections_index, analysis_results_index,
version_metadata_index; with --instance-index also sm_instance_index.
\b
Examples:
  asyncdicom idc sql "SELECT Modality, count(*) AS series FROM index GROUP BY Modality"
  asyncdicom idc sql "DESCRIBE index" --format csv
""",
)
@click.argument("query", metavar="SQL")
@index_options
@_FORMAT
@_JSON
@_OUTPUT
def sql(**options: Any) -> int:
    """Ask the index in SQL (DuckDB's); '-' reads the query from stdin.

    The query can read the tables of the index and nothing else: no file, no network.
    """
    from asyncdicom.cli.idc_chosen import written_to  # noqa: PLC0415 -- as in get
    from asyncdicom.cli.idc_tables import RowFormat, write_rows  # noqa: PLC0415 -- as above

    kind = RowFormat.JSON if options["as_json"] else RowFormat(options["format_"])
    query = sys.stdin.read() if options["query"] == "-" else options["query"]
    with open_index(options) as index:
        answer = index.ask(query)
        with written_to(options["output"]) as stream:
            write_rows(stream, kind, answer.columns, answer.rows)
    return 0


@click.command(
    "versions",
    short_help="Say which release the index describes.",
    epilog="""\b
Examples:
  asyncdicom idc versions
  asyncdicom idc versions --json
""",
)
@index_options
@_JSON
def versions(**options: Any) -> int:
    """Say which version of the Imaging Data Commons the index describes, and since when."""
    import orjson  # noqa: PLC0415 -- as in get

    from asyncdicom.sources.idc_index import package_version, release_of  # noqa: PLC0415 -- as above

    with open_index(options) as index:
        release = release_of(index)
    told = {
        "idcVersion": release.version,
        "date": release.date,
        "index": release.index_version,
        "package": package_version() if options["index"] is None else None,
        "series": release.series,
        "earlierVersions": release.earlier_versions,
    }
    if options["as_json"]:
        click.echo(orjson.dumps(told))
    else:
        click.echo(f"IDC v{release.version} ({release.date})")
        click.echo(
            f"index {release.index_version}: {release.series} series, "
            f"{release.earlier_versions} earlier versions"
        )
    return 0
