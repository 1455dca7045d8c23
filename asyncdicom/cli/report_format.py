"""Numbers, times and strangers' texts, as every form of the report writes them."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from asyncdicom.jobs.report_compare import Figure

__all__ = [
    "NOTHING",
    "as_bytes",
    "as_count",
    "as_duration",
    "as_figure",
    "as_milliseconds",
    "as_per_s",
    "as_ratio",
    "as_span",
    "counted",
    "figure_label",
    "printable",
    "shortened",
]

NOTHING = "-"
"""Where there is no figure: an empty cell looks like a mistake."""

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def printable(text: str) -> str:
    """Make a text from a record harmless: one line, no control or direction characters.

    A server may write escape sequences into a reason, and a file name may hold
    anything; neither shall move the cursor or turn the text around.
    """
    if text.isprintable():
        return text
    return "".join(
        c
        if c.isprintable()
        else f"\\x{ord(c):02x}"
        if ord(c) < 0x100
        else "\N{REPLACEMENT CHARACTER}"
        for c in unicodedata.normalize("NFC", text)
    )


def shortened(text: str, room: int) -> str:
    """Make a text printable and cut it to a number of characters, at least 4."""
    shown = printable(text)
    return shown if len(shown) <= room else f"{shown[: room - 3]}..."


def counted(number: int, noun: str) -> str:
    """Write a number of things with their name."""
    return f"{as_count(number)} {noun}" if number == 1 else f"{as_count(number)} {noun}s"


def as_count(value: float) -> str:
    """Write a number of things, with commas."""
    return f"{value:,.0f}"


def as_bytes(value: float) -> str:
    """Write a number of bytes with three digits and a decimal unit (1 kB = 1000 B)."""
    if value < 999.5:  # else rounded to a fourth digit, here and below
        return f"{value:.0f} B"
    size, power = value / 1000, 0
    while size >= 999.5 and power < len(_UNITS) - 1:
        size, power = size / 1000, power + 1
    return f"{_three_digits(size)} {_UNITS[power]}"


def as_milliseconds(value_s: float | None) -> str:
    """Write seconds as milliseconds, with at least three digits."""
    return NOTHING if value_s is None else _three_digits(value_s * 1000)


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def as_duration(value_s: float) -> str:
    """Write a duration in the two largest units that matter."""
    if value_s < 1:
        return f"{as_milliseconds(value_s)} ms"
    if value_s < 59.95:  # else rounded to 60.0 s
        return f"{_three_digits(value_s)} s"
    minutes, seconds = divmod(round(value_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def as_span(first_s: float, last_s: float) -> str:
    """Write two times in seconds since 1970 as times of day in UTC; the day once if it is one."""
    first, last = (datetime.fromtimestamp(time_s, UTC) for time_s in (first_s, last_s))
    end = "%H:%M:%S UTC" if first.date() == last.date() else "%Y-%m-%d %H:%M:%S UTC"
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:{end}}"


def as_per_s(value: float | None) -> str:
    """Write a rate, or an average of things, with at least three digits."""
    return NOTHING if value is None else _three_digits(value)


def as_ratio(value: float | None) -> str:
    """Write a ratio with at least three digits."""
    return NOTHING if value is None else f"{_three_digits(value)}x"


_LABELS = {
    Figure.REQUESTS: "requests",
    Figure.FAILED: "failed",
    Figure.RETRIED: "retried",
    Figure.BYTES: "data",
    Figure.REQUESTS_PER_S: "requests/s",
    Figure.BYTES_PER_S: "data/s",
    Figure.FIRST_BYTE_P50: "first byte p50, ms",
    Figure.FIRST_BYTE_P90: "first byte p90, ms",
    Figure.FIRST_BYTE_P99: "first byte p99, ms",
    Figure.LAST_BYTE_P50: "last byte p50, ms",
    Figure.LAST_BYTE_P90: "last byte p90, ms",
    Figure.LAST_BYTE_P99: "last byte p99, ms",
}


def figure_label(figure: Figure) -> str:
    """Name a figure of a comparison, with its unit where the value has none."""
    return _LABELS[figure]


def as_figure(figure: Figure, value: float | None) -> str:
    """Write a figure of a comparison."""
    if value is None:
        return NOTHING
    match figure:
        case Figure.REQUESTS | Figure.FAILED | Figure.RETRIED:
            return as_count(value)
        case Figure.BYTES:
            return as_bytes(value)
        case Figure.BYTES_PER_S:
            return f"{as_bytes(value)}/s"
        case Figure.REQUESTS_PER_S:
            return as_per_s(value)
        case _:
            return as_milliseconds(value)
