"""`asyncdicom echo`: whether a source answers, and how fast."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.options import (
    MAX_WAIT_S,
    Number,
    connection_options,
    dimse_options,
    option,
    source_argument,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.archives import Archive
    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["command"]

EPILOG = """\b
Exit codes: 0 each one was answered, 1 some were not, 2 usage, 5 nobody answers.
\b
Examples:
  asyncdicom echo dicom://ORTHANC@localhost:4242
  asyncdicom echo dicoms://PACS@pacs.example --cacert ca.pem --repeat 10 --interval 1
  asyncdicom echo http://localhost:8042/dicom-web --json
"""


@click.command("echo", epilog=EPILOG)
@source_argument
@option(
    "--repeat",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="How often to ask, on one association or connection.",
)
@option(
    "--interval",
    type=Number(0, MAX_WAIT_S),
    default=0.0,
    show_default=True,
    help="Seconds between one and the next.",
)
@option("--json", "as_json", is_flag=True, help="One JSON line per answer on stdout.")
@option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the last line.")
@connection_options
@dimse_options
def command(**options: Any) -> int:
    """Ask whether SOURCE answers: C-ECHO for DIMSE, the smallest search for DICOMweb.

    SOURCE is dicom://CALLED_AE@HOST:PORT or the root of a DICOMweb service.
    """
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- help must not pay for it

    return run(lambda interrupts: _echo(options, interrupts))


async def _echo(options: dict[str, Any], interrupts: Interrupts) -> int:  # noqa: ARG001 -- a signal cancels
    from asyncdicom.errors import AsyncDicomError, ConfigError  # noqa: PLC0415 -- as above
    from asyncdicom.wiring import open_archive  # noqa: PLC0415 -- as above

    teller = _Teller(options)
    async with open_archive(options["source"], options) as archive:
        ask = _asker(archive)
        for number in range(1, options["repeat"] + 1):
            if number > 1:
                await asyncio.sleep(options["interval"])
            try:
                teller.answered(number, *await ask())
            except ConfigError:
                raise
            except AsyncDicomError as error:
                teller.failed(number, error)
    return teller.end()


def _asker(archive: Archive) -> Callable[[], Awaitable[tuple[float, float]]]:
    from asyncdicom.sources.cod import CodSource  # noqa: PLC0415 -- as above
    from asyncdicom.sources.dicomweb import DicomWebSource  # noqa: PLC0415 -- as above

    source = archive.source
    if isinstance(source, CodSource):
        source.refuse_search()
    if not isinstance(source, DicomWebSource):
        return source.echo
    web = source

    async def search() -> tuple[float, float]:
        return 0.0, await _searched_s(web)

    return search


async def _searched_s(source: DicomWebSource) -> float:
    """Return how long the service takes to list one study (PS3.18 §10.6)."""
    from asyncdicom.model import SearchTarget  # noqa: PLC0415 -- as above

    begun_s = time.perf_counter()
    async with source.ask(
        SearchTarget("studies"), f"{source.root.url}/studies?limit=1"
    ) as transaction:
        if transaction.response.status_code not in (204, 206):
            transaction.judge()
        while await transaction.read():
            pass
    return time.perf_counter() - begun_s


class _Teller:
    """Says what became of each one, and of all."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._as_json = options["as_json"]
        self._is_quiet = options["quiet"] or options["as_json"]
        self._times_s: list[float] = []
        self._first_error: AsyncDicomError | None = None
        self._count = 0

    def answered(self, number: int, connected_s: float, answered_s: float) -> None:
        self._count += 1
        self._times_s.append(answered_s)
        connected = f" (association {connected_s * 1e3:.1f} ms)" if connected_s > 1e-4 else ""
        self._say(f"echo {number}: {answered_s * 1e3:.1f} ms{connected}")
        self._print(
            {
                "echo": number,
                "answeredInMS": round(answered_s * 1e3, 3),
                "associatedInMS": round(connected_s * 1e3, 3),
                "error": None,
            }
        )

    def failed(self, number: int, error: AsyncDicomError) -> None:
        self._count += 1
        self._first_error = self._first_error or error
        self._say(f"echo {number}: {error}")
        self._print({"echo": number, "error": error.reason, "message": str(error)})

    def end(self) -> int:
        from asyncdicom.cli.app import exit_code_of  # noqa: PLC0415 -- as above
        from asyncdicom.cli.hints import hint_for  # noqa: PLC0415 -- as above

        times = [1e3 * one_s for one_s in self._times_s]
        sentence = f"{len(times)} of {self._count} answered"
        if times:
            middle = statistics.median(times)
            sentence += f" · min {min(times):.1f} · median {middle:.1f} · max {max(times):.1f} ms"
        if self._first_error is not None:
            # Without -q the error itself was said already.
            error = str(self._first_error) if self._is_quiet else ""
            for line in (error, hint_for(self._first_error)):
                if line:
                    click.echo(f"asyncdicom: {line}", err=True)
        click.echo(sentence, err=True)
        if self._first_error is None:
            return ExitCode.COMPLETE
        if times:
            return ExitCode.INCOMPLETE
        code = exit_code_of(self._first_error)
        # Nothing was searched for: a root that is not there (404) is no service.
        return ExitCode.UNREACHABLE if code == ExitCode.NO_MATCH else code

    def _say(self, line: str) -> None:
        if not self._is_quiet:
            click.echo(line, err=True)

    def _print(self, record: dict[str, Any]) -> None:
        if self._as_json:
            import orjson  # noqa: PLC0415 -- as above

            sys.stdout.buffer.write(orjson.dumps(record) + b"\n")
            sys.stdout.buffer.flush()
