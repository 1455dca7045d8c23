"""`asyncdicom probe`: what a server can do, and where it is odd."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.options import connection_options, dimse_options, option, source_argument

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.jobs.probe import Finding, ProbeReport

__all__ = ["command"]

EPILOG = """\b
A DICOMweb root gets at most 30 small requests, one at a time; a DIMSE peer five
associations, one at a time (--thorough: a dozen). Nothing is stored, and of an
instance the first 64 KB are read at most. Lines with ! are odd: not as the
standard has it, and what was asked and answered stands beside them.
\b
--save writes the options that suit the server into a file for other commands:
asyncdicom --config orthanc.toml find dicom://ORTHANC@localhost:4242
\b
Exit codes: 0 probed to the end, 1 the server gave up on the way (the last line
says why), 2 usage, 5 no such service, or it refused us.
\b
Examples:
  asyncdicom probe https://pacs.example/dicom-web
  asyncdicom probe http://localhost:8042/dicom-web --json
  asyncdicom probe dicom://ORTHANC@localhost:4242 --save orthanc.toml
"""

MAX_WIDTH = 40
"""Of the column of names; few are longer."""
MAX_NAMES = 4
"""Shown of a list; --json has all."""


@click.command("probe", epilog=EPILOG)
@source_argument
@option(
    "--save",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    envvar=None,
    help="Write a profile for --config; the file must not exist.",
)
@option("--json", "as_json", is_flag=True, help="The findings as one JSON object on stdout.")
@option(
    "--thorough",
    is_flag=True,
    help="Propose each likely storage class in each common transfer syntax (DIMSE).",
)
@connection_options
@dimse_options
def command(**options: Any) -> int:
    """Find out what a server can do, and where it is odd.

    SOURCE is the root of a DICOMweb service, or dicom://CALLED_AE@HOST:PORT.
    """
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- help must not pay for it

    return run(lambda interrupts: _probe(options, interrupts))


async def _probe(options: dict[str, Any], interrupts: Interrupts) -> int:  # noqa: ARG001 -- cancelled at once
    save = _free_path(options["save"])
    begun_s = time.perf_counter()
    report = await _report_of(options)
    seconds = time.perf_counter() - begun_s
    try:
        if save is not None:
            _save(report, save)
    finally:
        # Second: whoever reads it may stop after a line (`| head -1`), and wants the file.
        _write(report, as_json=options["as_json"])
    click.echo(_sentence(report, seconds), err=True)
    return ExitCode.INCOMPLETE if report.problem else ExitCode.COMPLETE


def _free_path(text: str | None) -> Path | None:
    from pathlib import Path  # noqa: PLC0415 -- help must not pay for it

    from asyncdicom.errors import ConfigError  # noqa: PLC0415 -- as above

    if text is None:
        return None
    path = Path(text)
    if path.exists():
        raise ConfigError(f"{path} exists", hint="remove it, or name another file")
    return path


async def _report_of(options: dict[str, Any]) -> ProbeReport:
    from asyncdicom import wiring  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.protocol.urls import is_dimse  # noqa: PLC0415 -- as above

    if is_dimse(options["source"]):
        return await _dimse_report(options)
    from asyncdicom.jobs.probe_web import probe_web  # noqa: PLC0415 -- as above

    async with wiring.open_source(options["source"], options) as source:
        return await probe_web(source)


async def _dimse_report(options: dict[str, Any]) -> ProbeReport:
    from asyncdicom.dimse_wiring import dimse_settings  # noqa: PLC0415 -- what speaks HTTP does without
    from asyncdicom.errors import ProtocolError, Unreachable  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.probe_dimse import probe_dimse  # noqa: PLC0415 -- as above
    from asyncdicom.protocol.urls import parse_dimse_root  # noqa: PLC0415 -- as above
    from asyncdicom.transports.associations.engines import (  # noqa: PLC0415 -- as above
        open_dimse_transport,
    )

    root = parse_dimse_root(options["source"])
    transport = open_dimse_transport(options["dimse_engine"], dimse_settings(root, options))
    try:
        return await probe_dimse(root.url, transport, is_thorough=options["thorough"])
    except ProtocolError as error:
        raise Unreachable(f"nobody there speaks DICOM: {error}") from error
    finally:
        await transport.aclose()


def _write(report: ProbeReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1))
        return
    width = min(max((len(finding.name) for finding in report.findings), default=0), MAX_WIDTH)
    topics: dict[str, list[Finding]] = {}
    for finding in report.findings:
        topics.setdefault(finding.topic, []).append(finding)
    for topic, findings in topics.items():
        click.echo(topic)
        for finding in findings:
            click.echo(_line(finding, width))


def _line(finding: Finding, width: int) -> str:
    shown = _shown(finding)
    mark = "!" if finding.is_odd else " "
    evidence = f"  ({finding.evidence})" if finding.evidence else ""
    return f" {mark} {finding.name:<{width}}  {shown}{evidence}"


def _shown(finding: Finding) -> str:
    match finding.value:
        case True:
            return "yes"
        case False:
            return "no"
        case None:
            return "-"
        case tuple():
            first, rest = finding.value[:MAX_NAMES], len(finding.value) - MAX_NAMES
            return ", ".join(first) + (f" and {rest} more" if rest > 0 else "") or "none"
        case value:
            return str(value)


def _save(report: ProbeReport, path: Path) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415 -- help must not pay for it

    from asyncdicom._version import __version__  # noqa: PLC0415 -- as above
    from asyncdicom.errors import StorageError  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.probe import as_toml  # noqa: PLC0415 -- as above

    day = f"{datetime.now(UTC):%Y-%m-%d}"
    comments = [f"asyncdicom {__version__} probed {report.source} on {day}.", *report.remarks]
    if not report.profile:
        comments.append("Nothing differs from the defaults.")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(as_toml(report.profile, comments))
    except OSError as error:
        raise StorageError(error.strerror or "cannot write", path=str(path)) from error


def _sentence(report: ProbeReport, seconds: float) -> str:
    what = "association" if report.kind == "dimse" else "request"
    parts = [
        f"{len(report.findings)} findings",
        f"{len(report.odd)} odd",
        f"{report.exchanges} {what}{'' if report.exchanges == 1 else 's'} in {seconds:.1f} s",
    ]
    return " · ".join([*parts, f"not complete: {report.problem}"] if report.problem else parts)
