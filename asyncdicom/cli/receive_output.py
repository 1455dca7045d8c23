"""What `asyncdicom receive` shows: a ready line, JSON lines, live counters, the last sentence.

Rule: stdout belongs to `--json`; what is said to a person goes to stderr.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson

from asyncdicom.cli.progress import Rate, live_line
from asyncdicom.receiver.events import (
    AssociationEnded,
    AssociationRefused,
    ConnectionFailed,
    HookFailed,
    InstanceRefused,
    Listening,
    ReceiverEnded,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from asyncdicom.cli.outlet import Outlet
    from asyncdicom.receiver.events import ReceiverEvent
    from asyncdicom.receiver.statistics import ReceiverStatistics

__all__ = ["JsonLines", "Sentences", "live_counters"]


class JsonLines:
    """Writes events as JSON lines, until whoever reads them leaves."""

    def __init__(self, outlet: Outlet, *, is_quiet: bool) -> None:
        self._outlet = outlet
        self._is_quiet = is_quiet

    def __call__(self, event: ReceiverEvent) -> None:
        """Write an event."""
        if not self._is_quiet or _is_news_to_the_quiet(event):
            self._outlet.write(_encoded(event.to_json()) + b"\n")


def _encoded(facts: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(facts)
    except orjson.JSONEncodeError:
        # A folder or program whose name is no UTF-8: Python's own writes such bytes as escapes.
        return json.dumps(facts).encode()


def _is_news_to_the_quiet(event: ReceiverEvent) -> bool:
    match event:
        case Listening() | InstanceRefused() | AssociationRefused() | HookFailed():
            return True
        case AssociationEnded():
            return event.failure is not None
        case ConnectionFailed():
            return not event.is_silent
        case _:
            return isinstance(event, ReceiverEnded)


class Sentences:
    """Says when we are ready, and what it came to."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet

    def __call__(self, event: ReceiverEvent) -> None:
        """Take notice of an event."""
        match event:
            case Listening():
                if not self._is_quiet:
                    _say(str(event))
            case ReceiverEnded():
                _say(str(event))
            case _:
                return


def _say(line: str) -> None:
    """Write to stderr, above the live line where there is one."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@asynccontextmanager
async def live_counters(
    statistics: Callable[[], ReceiverStatistics], options: Mapping[str, Any]
) -> AsyncIterator[None]:
    """Show counters on a terminal while the block runs, unless something else is said there."""
    is_told_otherwise = any(options[name] for name in ("quiet", "verbose", "debug", "as_json"))
    clock = asyncio.get_running_loop().time
    rate, began_s = Rate(), clock()

    def line() -> str:
        now = statistics()
        return _line(now, rate.at(clock() - began_s, now.byte_count))

    async with live_line(line, wanted=not is_told_otherwise):
        yield


def _line(now: ReceiverStatistics, bytes_per_s: float) -> str:
    noun = "association" if now.associations == 1 else "associations"
    parts = [f"{now.associations} {noun}", f"{now.stored} stored"]
    if now.skipped:
        parts.append(f"{now.skipped} skipped")
    if now.refused:
        parts.append(f"{now.refused} refused")
    parts += [f"{now.byte_count / 1e6:.1f} MB", f"{bytes_per_s / 1e6:.1f} MB/s"]
    return " · ".join(parts)
