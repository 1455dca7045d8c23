"""Rows of the index as a table for eyes, as CSV, or as JSON: written as they come.

write_rows(stream, RowFormat.CSV, ("collection_id", "series"), rows)

Rule: CSV and JSON keep every value. The table cuts what is too long, and shows what a
terminal would obey as `?`.
"""

from __future__ import annotations

import csv
from enum import StrEnum
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["RowFormat", "write_rows"]

SAMPLE_ROWS = 1000
"""Rows that decide the widths of a table."""

MAX_CELL_WIDTH = 72
"""In characters: a UID, and room for a sentence."""

CHUNK_ROWS = 1000
"""JSON rows that are written at once."""


class RowFormat(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def write_rows(
    stream: IO[str], kind: RowFormat, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Write rows, and return how many they were."""
    counted = _Counted(rows)
    match kind:
        case RowFormat.TABLE:
            _write_table(stream, columns, counted)
        case RowFormat.CSV:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(counted)
        case RowFormat.JSON:
            _write_json(stream, columns, counted)
    return counted.count


class _Counted:
    """Rows, counted as they pass."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self.count = 0
        self._rows = rows

    def __iter__(self) -> Iterator[Sequence[Any]]:
        for row in self._rows:
            self.count += 1
            yield row


def _write_json(stream: IO[str], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write an array of objects, one in a line."""
    lines = (orjson.dumps(dict(zip(columns, row, strict=True)), default=str) for row in rows)
    stream.write("[")
    separator = "\n"
    while chunk := list(islice(lines, CHUNK_ROWS)):
        stream.write(separator + b",\n".join(chunk).decode())
        separator = ",\n"
    stream.write("\n]\n")


def _write_table(stream: IO[str], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    cells = ([_cell(value) for value in row] for row in rows)
    sample = list(islice(cells, SAMPLE_ROWS))
    widths = [
        min(MAX_CELL_WIDTH, max(len(row[index]) for row in [list(columns), *sample]))
        for index in range(len(columns))
    ]
    for row in chain([list(columns), ["-" * width for width in widths]], sample, cells):
        padded = (_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))
        stream.write("  ".join(padded).rstrip() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        value = round(value, 6)
    text = str(value)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else "?" for one in text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
