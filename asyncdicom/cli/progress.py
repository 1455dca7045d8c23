"""What a person sees while a job runs: a bar on a terminal, nothing in a pipe.

Rule: stdout belongs to data (`--json`, search results); everything said to a
person goes to stderr.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from asyncdicom.cli.hints import hint_about
from asyncdicom.events import (
    Finished,
    Listed,
    Planned,
    Remarked,
    Retrying,
    RunEnded,
    Withdrawn,
)
from asyncdicom.model import Failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from asyncdicom.events import Event, Observer
    from asyncdicom.jobs.tally import Tally

__all__ = ["Rate", "live_line", "observers_for", "progress_bar"]

REFRESH_S = 0.2
SHOWN_FAILURES = 20
"""Failures told one by one without -v; the report names all of them."""


def observers_for(
    options: Mapping[str, Any], sentence: Callable[[RunEnded], str] = str
) -> list[Observer]:
    """Return who listens to a run, as the options ask.

    Args:
        options: Values of the run options.
        sentence: Makes the last line.

    """
    is_dry = options.get("dry_run", False)
    observers: list[Observer] = [
        _PlanTeller() if is_dry else _Teller(is_verbose=options["verbose"], sentence=sentence)
    ]
    if options["as_json"]:
        observers.append(_JsonPrinter(is_quiet=options["quiet"]))
    return observers


def _say(line: str) -> None:
    """Write a line to stderr, above the bar where there is one.

    It stays one line: keys of objects and names of files are strangers' words.

    `click.echo` would write past the object that rich puts in the place of
    `sys.stderr` while it draws, and the line would end up inside of the bar.
    """
    if not line.isprintable():
        # Imported here: hardly any run pays for it.
        from asyncdicom.cli.report_format import printable  # noqa: PLC0415 -- as said

        line = printable(line)
    sys.stderr.write(f"{line}\n")


class _JsonPrinter:
    """Prints events as JSON lines, until whoever reads them leaves."""

    def __init__(self, *, is_quiet: bool) -> None:
        # Imported here: it takes 2 ms, and most runs speak to persons.
        from orjson import dumps  # noqa: PLC0415 -- as said

        self._dumps = dumps
        self._is_quiet = is_quiet
        self._is_read = True

    def __call__(self, event: Event) -> None:
        if not self._is_read or (self._is_quiet and not _is_news_to_the_quiet(event)):
            return
        try:
            sys.stdout.buffer.write(self._dumps(event.to_json()) + b"\n")
            # At once: whoever reads a pipe wants to follow, and half a line helps nobody.
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # `| head` has seen enough; that is no reason to end a download. What is
            # still in the buffer goes nowhere instead of failing once more at exit.
            self._is_read = False
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _is_news_to_the_quiet(event: Event) -> bool:
    match event:
        case Finished(Failed()) | RunEnded():
            return True
        case _:
            return False


class _Teller:
    """Says in sentences, on stderr, what a person wants to know."""

    def __init__(self, *, is_verbose: bool, sentence: Callable[[RunEnded], str]) -> None:
        self._is_verbose = is_verbose
        self._sentence = sentence
        self._failures = 0
        self._hint = ""

    def __call__(self, event: Event) -> None:
        match event:
            case Finished(Failed(target, error)):
                self._hint = self._hint or hint_about(target, error)
                self._tell_failure(event)
            case Finished() | Retrying() | Planned() | Listed() | Remarked() | Withdrawn():
                if self._is_verbose:
                    _say(str(event))
            case RunEnded():
                hidden = self._failures - SHOWN_FAILURES
                if hidden > 0 and not self._is_verbose:
                    _say(f"... and {hidden} more failures (--report names them)")
                if self._hint and not (event.stored or event.skipped):
                    _say(f"asyncdicom: {self._hint}")
                _say(self._sentence(event))

    def _tell_failure(self, event: Finished) -> None:
        self._failures += 1
        if self._is_verbose or self._failures <= SHOWN_FAILURES:
            _say(str(event))


class _PlanTeller:
    """Says what a run would fetch."""

    def __init__(self) -> None:
        self._instances = 0
        self._objects = 0
        self._bytes = 0

    def __call__(self, event: Event) -> None:
        match event:
            case Planned():
                self._instances += event.instances
                self._bytes += event.byte_count
                size = f", about {event.byte_count / 1e6:.1f} MB" if event.byte_count else ""
                click.echo(f"{event}{size}", err=True)
            case Listed():
                self._objects += event.objects
                self._bytes += event.byte_count
                _say(str(event))
            case Finished(Failed()):
                _say(str(event))
            case RunEnded():
                size = f"{self._bytes / 1e6:.1f} MB"
                total = f"{self._instances} instances, about {size}"
                if self._objects:
                    total = f"{self._objects} objects, {size}"
                click.echo(f"dry run: {total} · nothing was fetched", err=True)


@asynccontextmanager
async def progress_bar(
    tally: Tally, *, wanted: bool, stream: TextIO | None = None
) -> AsyncIterator[None]:
    """Show a live line while the block runs, if stderr is a terminal.

    Args:
        tally: Where the counts come from; it is looked at a few times a second.
        wanted: False for --quiet, --verbose and --json.
        stream: Where to draw; stderr if not given.

    """
    rate = Rate()

    def line() -> str:
        return _line(tally, rate.at(tally.elapsed_s, tally.bytes_received))

    async with live_line(line, wanted=wanted, stream=stream):
        yield


@asynccontextmanager
async def live_line(
    line: Callable[[], str], *, wanted: bool, stream: TextIO | None = None
) -> AsyncIterator[None]:
    """Show a line that changes while the block runs, if stderr is a terminal.

    Args:
        line: Called a few times a second.
        wanted: False shows nothing.
        stream: Where to draw; stderr if not given.

    """
    stream = stream or sys.stderr
    if not (wanted and stream.isatty()):
        yield
        return
    drawing = asyncio.create_task(_draw(line, stream))
    try:
        yield
    finally:
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)


async def _draw(line: Callable[[], str], stream: TextIO) -> None:
    # Imported here: only a terminal pays for it.
    from rich.console import Console  # noqa: PLC0415 -- lazy on purpose
    from rich.live import Live  # noqa: PLC0415 -- lazy on purpose
    from rich.text import Text  # noqa: PLC0415 -- lazy on purpose

    console = Console(file=stream)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(Text(line()), refresh=True)
            await asyncio.sleep(REFRESH_S)


class Rate:
    """Bytes per second of late: what is new counts for 30 %."""

    def __init__(self) -> None:
        self._last_s = 0.0
        self._last_bytes = 0
        self._bytes_per_s = 0.0

    def at(self, now_s: float, byte_count: int) -> float:
        """Return the rate at a time, in seconds since the beginning."""
        if now_s > self._last_s:
            current = (byte_count - self._last_bytes) / (now_s - self._last_s)
            known = self._bytes_per_s
            self._bytes_per_s = current if known == 0.0 else 0.7 * known + 0.3 * current
        self._last_s, self._last_bytes = now_s, byte_count
        return self._bytes_per_s


def _line(tally: Tally, bytes_per_s: float) -> str:
    failed = tally.missing + tally.corrupt
    known = f" of {tally.expected}" if tally.expected else ""
    parts = [f"{tally.stored}{known} stored"]
    if tally.skipped:
        parts.append(f"{tally.skipped} skipped")
    if failed:
        parts.append(f"{failed} failed")
    known = f" of {tally.expected_bytes / 1e6:.1f}" if tally.expected_bytes else ""
    parts.append(f"{tally.bytes_received / 1e6:.1f}{known} MB")
    parts.append(f"{bytes_per_s / 1e6:.1f} MB/s")
    return " · ".join(parts)
