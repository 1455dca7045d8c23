"""`asyncdicom report`: how a dump went, told from the records it left."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
import orjson

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.options import option

if TYPE_CHECKING:
    from asyncdicom.jobs.report import Report

__all__ = ["command"]

EPILOG = """\b
Examples:
  asyncdicom report out
  asyncdicom report out --html report.html
  asyncdicom report out --format json | jq '.kinds.frame.timeToFirstByteInMS'
  asyncdicom report before --compare after
\b
Exit codes: 0 shown; 2 not a folder, or not readable; 4 no records in it.
"""


@click.command("report", epilog=EPILOG)
@click.argument("folder", metavar="OUT", type=click.Path(path_type=Path))
@option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "html"]),
    default="text",
    show_default=True,
    envvar=None,
    help="What goes to stdout.",
)
@option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar=None,
    help="Write the report as one HTML file, too.",
)
@option(
    "--slowest",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    metavar="N",
    envvar=None,
    help="Slowest requests to list.",
)
@option(
    "--compare",
    "other",
    type=click.Path(path_type=Path),
    metavar="OTHER_OUT",
    envvar=None,
    help="Show another dump beside it, with ratios.",
)
def command(
    folder: Path, form: str, html_file: Path | None, slowest: int, other: Path | None
) -> int:
    """Show how a dump went: latencies, throughput, failures, slowest requests.

    Reads the .dump.json records in OUT and below. Latencies are those of
    requests that succeeded. URLs are shown without user information and query.
    """
    from asyncdicom.jobs.report import collect  # noqa: PLC0415 -- keeps --help instant

    reports = [collect(path, slowest=slowest) for path in (folder, other) if path is not None]
    for report in reports:
        if not report.kinds:
            _tell_nothing_found(report)
            return ExitCode.NO_MATCH
    if html_file is not None:
        _write(html_file, _html(reports))
        click.echo(f"wrote {html_file}", err=True)
    _show(reports, form)
    return ExitCode.COMPLETE


def _tell_nothing_found(report: Report) -> None:
    from asyncdicom.cli.report_format import printable  # noqa: PLC0415 -- see above

    folder = printable(report.folder)
    click.echo(
        f"asyncdicom: no records found in {folder}: looked there and below"
        " for files named *.dump.json, as `asyncdicom dump` writes them",
        err=True,
    )
    for problem in report.problems:
        told = f"{printable(problem.path)}: {printable(problem.detail)}"
        click.echo(f"  {problem.trouble.value}: {told}", err=True)


def _show(reports: list[Report], form: str) -> None:
    if form == "json":
        sys.stdout.buffer.write(_json(reports) + b"\n")
        sys.stdout.buffer.flush()
    elif form == "html":
        sys.stdout.buffer.write(_html(reports).encode())
        sys.stdout.buffer.flush()
    else:
        click.echo(_encodable(_text(reports), sys.stdout), nl=False)


def _text(reports: list[Report]) -> str:
    from asyncdicom.cli.report_text import comparison_text, report_text  # noqa: PLC0415 -- see above

    if len(reports) == 2:
        return comparison_text(*reports)
    return report_text(reports[0], shutil.get_terminal_size().columns)


def _json(reports: list[Report]) -> bytes:
    from asyncdicom.jobs.report_json import comparison_to_json, to_json  # noqa: PLC0415 -- see above

    found = comparison_to_json(*reports) if len(reports) == 2 else to_json(reports[0])
    return orjson.dumps(found, option=orjson.OPT_INDENT_2)


def _html(reports: list[Report]) -> str:
    from asyncdicom.cli.report_html import comparison_page, report_page  # noqa: PLC0415 -- see above

    return comparison_page(*reports) if len(reports) == 2 else report_page(reports[0])


def _encodable(text: str, stream: TextIO) -> str:
    """Replace what the terminal cannot show, such as bars in a Latin-1 locale."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _write(path: Path, text: str) -> None:
    """Write a file that appears whole; a former one is replaced. A link or device is written to.

    Raises:
        ConfigError: If it cannot be written.

    """
    from asyncdicom.errors import ConfigError  # noqa: PLC0415 -- see above

    temporary = path.with_name(f".asyncdicom-{os.getpid()}-{path.name}")
    try:
        # As root, a rename would leave a file in the place of /dev/null or /dev/stdout.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_text(text, encoding="utf-8")
            return
        try:
            with temporary.open("x", encoding="utf-8") as file:
                file.write(text)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        told = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"{told}: {path}", hint="give a file in a folder you may write"
        ) from error
