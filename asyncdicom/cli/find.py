"""`asyncdicom find`: search studies, series or instances, and say whether the list is whole."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.options import (
    connection_options,
    dimse_options,
    option,
    retry_option,
    source_argument,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.cli.tables import AnswerWriter, Column, Format
    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.dimse_find import DimseQuery, DimseSearch
    from asyncdicom.jobs.find import FindJob
    from asyncdicom.protocol.qido_rs import SearchQuery
    from asyncdicom.sources.cod import CodSource
    from asyncdicom.sources.dicomweb import DicomWebSource
    from asyncdicom.sources.dimse import DimseSource
    from asyncdicom.sources.search import Search

__all__ = ["command"]

EPILOG = """\b
KEY is a keyword (PatientID), a tag (00100020) or a path into sequences joined
by dots. A bare KEY is returned; KEY=VALUE has to match. VALUE may hold * and ?,
be a range (20200101-, -20201231, 20200101-20201231) or a list of UIDs (A,B,C).
\b
Formats: text (the form of odil, default in a pipe), table (default on a
terminal), json (DICOM JSON as received), csv. Columns of table and csv are the
keys, if any is bare; otherwise the usual ones of the level, which DIMSE sources are
then asked for in the other formats, too. CSV keeps values as
they are: import columns as text, for a value may begin with =, +, - or @.
\b
Exit codes: 0 all that matches is listed, 1 the list may not be complete (the
last line says why), 2 usage, 4 nothing matches, 5 no such service, or it
refused us.
\b
Examples:
  asyncdicom find https://pacs.example/dicom-web PatientID=X StudyDate=20200101-
  asyncdicom find http://localhost:8042/dicom-web 'PatientName=DOE*' --format json
  asyncdicom find http://localhost:8042/dicom-web StudyInstanceUID=1.2.840.99.1 --level series
  asyncdicom find dicom://ORTHANC@localhost:4242 PatientID=X StudyDate StudyInstanceUID
  asyncdicom find dicom://RIS@localhost:104 --model worklist
  asyncdicom find http://localhost:8042/dicom-web ModalitiesInStudy=CT StudyInstanceUID \\
      StudyDate NumberOfStudyRelatedInstances -o ct.csv
"""


@click.command("find", epilog=EPILOG)
@source_argument
@click.argument("keys", nargs=-1, metavar="[KEY[=VALUE]]...")
@option(
    "--level",
    type=click.Choice(["patient", "study", "series", "instance", "image"]),
    help="What to list (default: study, or what QueryRetrieveLevel= says).",
)
@option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "csv", "table"]),
    help="How to write the answers (default: by the name of --output, else as told below).",
)
@option("--limit", type=click.IntRange(min=1), help="Answers to list at most.")
@option(
    "--page-size",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="Answers to ask for at once (DICOMweb).",
)
@option("--fuzzy", is_flag=True, help="Ask for fuzzy matching of person names (DICOMweb).")
@option(
    "--includefield",
    multiple=True,
    metavar="KEY,…",
    help="Further attributes to return, or 'all'.",
)
@option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=None,
    help="File to write to instead of stdout; must not exist.",
)
@retry_option("a page that failed")
@option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the last line.")
@connection_options
@dimse_options
def command(**options: Any) -> int:
    """Search studies, series or instances of SOURCE.

    SOURCE is the root of a DICOMweb service, or dicom://CALLED_AE@HOST:PORT.

    The list is read page by page until it is known to be complete, also from
    servers that cap pages, repeat them or ignore the offset; when it is not
    known to be complete, the last line says why and the exit code is 1.
    """
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- help must not pay for it

    return run(lambda interrupts: _find(options, interrupts))


async def _find(options: dict[str, Any], interrupts: Interrupts) -> int:
    from asyncdicom.cli.tables import writer_for  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.engine.scheduler import Scheduler  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.find import FindJob  # noqa: PLC0415 -- as above
    from asyncdicom.wiring import open_archive, scheduler_settings  # noqa: PLC0415 -- as above

    kind = _format_of(options)
    query, columns = _query_of(options, kind)
    settings = scheduler_settings({"retry": options["retry"], "concurrency": 1})
    with ExitStack() as stack:
        output = stack.enter_context(_output(options["output"]))
        width = shutil.get_terminal_size().columns if output.is_terminal else None
        writer = writer_for(kind, output.stream, columns=columns, width=width)
        stack.callback(writer.close)
        async with open_archive(options["source"], options) as archive:
            found = _begun(archive.source, query, options)
            job = FindJob(found, writer.write)
            scheduler = Scheduler(job, settings)
            interrupts.stops(scheduler)
            await job.run(scheduler)
        if job.error is not None and not job.written:
            return _refused(job.error)
        _end(output, writer)
    if not options["quiet"]:
        _remark(job, found)
    return _sentence(found)


def _query_of(
    options: dict[str, Any], kind: Format
) -> tuple[SearchQuery | DimseQuery, list[Column]]:
    from asyncdicom.cli import queries  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.protocol.urls import is_dimse  # noqa: PLC0415 -- as above

    if is_dimse(options["source"]):
        return queries.dimse_query(options, kind)
    return queries.web_query(options, kind)


def _begun(
    source: DicomWebSource | DimseSource | CodSource,
    query: SearchQuery | DimseQuery,
    options: dict[str, Any],
) -> Search | DimseSearch:
    from asyncdicom.protocol.qido_rs import SearchQuery  # noqa: PLC0415 -- as above
    from asyncdicom.sources.cod import CodSource  # noqa: PLC0415 -- as above
    from asyncdicom.sources.dicomweb import DicomWebSource  # noqa: PLC0415 -- as above
    from asyncdicom.sources.search import search  # noqa: PLC0415 -- as above

    if isinstance(source, CodSource):
        source.refuse_search()
    limit = options["limit"]
    if isinstance(source, DicomWebSource):
        assert isinstance(query, SearchQuery), "made for this source"
        return search(source, query, limit=limit, page_limit=options["page_size"])
    from asyncdicom.jobs.dimse_find import DimseSearch  # noqa: PLC0415 -- only for DIMSE

    assert not isinstance(query, SearchQuery), "made for this source"
    return DimseSearch(source, query, limit=limit)


def _format_of(options: dict[str, Any]) -> Format:
    from asyncdicom.cli.tables import Format  # noqa: PLC0415 -- help must not pay for it

    output: Path | None = options["output"]
    if options["format_"]:
        return Format(options["format_"])
    if output is not None:
        return {".json": Format.JSON, ".csv": Format.CSV}.get(output.suffix.lower(), Format.TEXT)
    return Format.TABLE if sys.stdout.isatty() else Format.TEXT


class _Output:
    """Where the answers go.

    Attributes:
        stream: Takes bytes.
        is_terminal: Whether a person reads along.
        is_whole: Set when all was written; only then a file gets its name.

    """

    def __init__(self, stream: IO[bytes], *, is_terminal: bool) -> None:
        self.stream = stream
        self.is_terminal = is_terminal
        self.is_whole = False


@contextmanager
def _output(path: Path | None) -> Iterator[_Output]:
    """Open stdout, or a file that gets its name when it is whole, and never replaces another."""
    from asyncdicom.errors import ConfigError, StorageError  # noqa: PLC0415 -- as above

    if path is None:
        yield _Output(sys.stdout.buffer, is_terminal=sys.stdout.isatty())
        return
    if path.exists():
        raise ConfigError(f"{path} exists", hint="remove it, or name another file")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("xb") as stream:
            output = _Output(stream, is_terminal=False)
            yield output
        if output.is_whole:
            path.hardlink_to(partial)
    except OSError as error:
        raise StorageError(error.strerror or "cannot write", path=str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def _end(output: _Output, writer: AnswerWriter) -> None:
    writer.end()
    output.is_whole = True


def _refused(error: AsyncDicomError) -> int:
    """Say why there is no list at all, and what to do."""
    from asyncdicom import errors  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.cli.app import exit_code_of  # noqa: PLC0415 -- as above
    from asyncdicom.cli.hints import hint_for  # noqa: PLC0415 -- as above

    hint = hint_for(error)
    if isinstance(error, errors.OriginError) and error.status_code in (400, 413):
        hint = f"check the keys and --page-size; {hint}"
    click.echo(f"asyncdicom: {error}{'; ' if hint else ''}{hint}", err=True)
    is_no_service = isinstance(error, errors.UnexpectedContent)
    return ExitCode.UNREACHABLE if is_no_service else exit_code_of(error)


def _remark(job: FindJob, found: Search | DimseSearch) -> None:
    from asyncdicom.protocol.qido_rs import SearchQuery, has_escapes  # noqa: PLC0415 -- as above

    for note in found.notes:
        click.echo(f"the server remarks: {note}", err=True)
    for name, count in job.unasked.items():
        click.echo(
            f"{count} answers have another {name} than asked for: the server ignores that key",
            err=True,
        )
    query = found.query
    if not job.written and isinstance(query, SearchQuery) and has_escapes(query):
        click.echo("some servers do not decode blanks and accents: ? stands for each", err=True)


def _sentence(found: Search | DimseSearch) -> int:
    """Say in the last line what was found and whether that is all."""
    from asyncdicom.protocol.qido_rs import SearchQuery  # noqa: PLC0415 -- as above

    query, verdict = found.query, found.verdict()
    counted = query.level.counted if isinstance(query, SearchQuery) else query.counted
    parts = [counted(verdict.answers)]
    if verdict.pages:
        parts.append(f"{verdict.pages} page{'' if verdict.pages == 1 else 's'}")
    if verdict.duplicates:
        parts.append(f"{verdict.duplicates} repeated")
    if verdict.problem:
        end, code = f"not complete: {verdict.problem}", ExitCode.INCOMPLETE
    elif not verdict.answers:
        end, code = "nothing matches", ExitCode.NO_MATCH
    else:
        end = "limit reached" if verdict.limit_reached else "complete"
        code = ExitCode.COMPLETE
    click.echo(" · ".join([*parts, end]), err=True)
    return code
