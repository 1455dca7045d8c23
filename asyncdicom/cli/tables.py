r"""Answers of a search as text, JSON, CSV or a table: written as they come, in bounded memory.

    with closing(writer_for(Format.CSV, stream, columns=columns)) as writer:
        writer.write(answer)        # once per answer, in the DICOM JSON Model
        writer.end()

| format | shape | memory |
|---|---|---|
| text | `N answers`, then one line per element and an empty line per answer | 16 MiB |
| json | one array of the objects as received | one answer |
| csv | RFC 4180, one column per attribute, but `\n` ends a line | one answer |
| table | columns for people; those of the first 1,000 rows decide the widths | 1,000 rows |

Text has the form of odil: elements by tag, names padded. Its count comes first,
so the answers wait in a temporary file; beyond 16 MiB that is on disk.

Rule: text, JSON and CSV are data and keep every value as it is. In CSV a value
may therefore begin with `=`, `+`, `-` or `@`; who opens it in a spreadsheet
imports the columns as text. The table is for eyes: it cuts what is too long and
shows control characters as `?`, so that an archive cannot write to a terminal.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Any, Protocol, assert_never

import orjson

from asyncdicom.cli.aligned import Line, binary, encoded, sequence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["AnswerWriter", "Column", "Format", "values_of", "writer_for"]

SPOOL_BYTES = 16 * 1024 * 1024
"""About 10,000 studies as text; beyond that the temporary file goes to the disk."""

SAMPLE_ROWS = 1000
"""Rows that decide the widths of a table: a page of answers."""

MAX_DEPTH = 16
"""Sequences in sequences beyond this are counted, not shown."""

MIN_CELL_WIDTH = 8
"""What a column keeps when the terminal is too narrow: a date."""


class Format(StrEnum):
    """How answers are written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table or CSV file."""

    name: str
    """Keyword, path of keywords, or tag."""
    tags: tuple[str, ...]
    """From the outermost sequence to the attribute, eight hexadecimal digits each."""


class AnswerWriter(Protocol):
    """Takes the answers of one search."""

    def write(self, answer: dict[str, Any]) -> None:
        """Write an answer, or keep it until its place is known."""

    def end(self) -> None:
        """Write what was kept; the stream is flushed and stays open."""

    def close(self) -> None:
        """Let go of what was kept, written or not."""


def writer_for(
    kind: Format,
    stream: IO[bytes],
    *,
    columns: Sequence[Column] = (),
    width: int | None = None,
) -> AnswerWriter:
    """Return a writer.

    Args:
        kind: How to write.
        stream: Where to; UTF-8 is written.
        columns: Of CSV and table.
        width: Of the terminal, in character cells; None lets a table be as wide as it is.

    """
    match kind:
        case Format.TEXT:
            return _TextWriter(stream)
        case Format.JSON:
            return _JsonWriter(stream)
        case Format.CSV:
            return _CsvWriter(stream, columns)
        case Format.TABLE:
            return _TableWriter(stream, columns, width)
    assert_never(kind)


def values_of(answer: dict[str, Any], tags: Sequence[str]) -> list[Any]:
    """Return the values of an attribute, of all items where it is inside of a sequence."""
    found = _element(answer, tags[0]).get("Value")
    values = found if isinstance(found, list) else []
    if len(tags) == 1:
        return values
    items = [item for item in values if isinstance(item, dict)]
    return [value for item in items for value in values_of(item, tags[1:])]


def _element(answer: dict[str, Any], tag: str) -> dict[str, Any]:
    element = answer.get(tag)
    return element if isinstance(element, dict) else {}


# PS3.18 §F.2.2: a person name is an object with one member per component group,
# which PS3.5 §6.2.1.2 writes as alphabetic=ideographic=phonetic.
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def _plain(value: Any) -> Any:
    """Return a value as a data element holds it: null is empty, a person name is one string."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return "=".join(str(value.get(group, "")) for group in _GROUPS).rstrip("=")
    return value


class _Writer:
    """Keeps nothing that would have to be let go."""

    def close(self) -> None:
        """Do nothing."""


class _JsonWriter(_Writer):
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._before = b"[\n"

    def write(self, answer: dict[str, Any]) -> None:
        self._stream.write(self._before + orjson.dumps(answer))
        self._before = b",\n"

    def end(self) -> None:
        self._stream.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")
        self._stream.flush()


class _Encoded:
    """A text stream for the csv module, which encodes and forgets."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode("utf-8", "replace"))


class _CsvWriter(_Writer):
    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self._stream = stream
        self._columns = columns
        self._rows = csv.writer(_Encoded(stream), lineterminator="\n")
        self._rows.writerow([column.name for column in columns])

    def write(self, answer: dict[str, Any]) -> None:
        # PS3.5 §6.2: values of one element are separated by a backslash.
        self._rows.writerow(
            "\\".join(str(_plain(value)) for value in values_of(answer, column.tags))
            for column in self._columns
        )

    def end(self) -> None:
        self._stream.flush()


class _TextWriter:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 -- close() is there for it
        self._count = 0

    def write(self, answer: dict[str, Any]) -> None:
        lines = list(_lines_of(answer, depth=0))
        widest = max((len(line.name) for line in lines), default=0)
        for line in lines:
            self._spool.write(encoded(line, widest))
        self._spool.write(b"\n")
        self._count += 1

    def end(self) -> None:
        noun = "answers" if self._count > 1 else "answer"
        self._stream.write(f"{self._count} {noun}\n".encode())
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, self._stream)
        self._stream.flush()

    def close(self) -> None:
        self._spool.close()


def _lines_of(answer: dict[str, Any], depth: int) -> Iterator[Line]:
    for key in sorted(answer):
        element = _element(answer, key)
        tag = f"{key[:4]},{key[4:]}".lower() if len(key) == 8 else ascii(key)
        vr = _vr(element)
        indent = "  " * depth
        yield Line(indent + (_name(key) or tag), f"{tag} {vr} {_shown(element, vr)}")
        if vr != "SQ" or depth >= MAX_DEPTH:
            continue
        for number, item in enumerate(values_of(answer, (key,))):
            if number:
                yield Line("")
            yield from _lines_of(item if isinstance(item, dict) else {}, depth + 1)


def _vr(element: dict[str, Any]) -> str:
    vr = element.get("vr")
    return vr if isinstance(vr, str) and len(vr) == 2 and vr.isascii() and vr.isalpha() else "UN"


def _shown(element: dict[str, Any], vr: str) -> str:
    values = element.get("Value")
    count = len(values) if isinstance(values, list) else 0
    if vr == "SQ":
        return sequence(count)
    if isinstance(inline := element.get("InlineBinary"), str):
        return binary([len(inline) * 3 // 4 - inline[-2:].count("=")])
    if (reference := element.get("BulkDataURI")) is not None:
        return f"(bulk data, {reference!a})"
    return repr([_plain(value) for value in values] if isinstance(values, list) else [])


def _name(key: str) -> str:
    # Imported here: JSON and CSV do not pay the quarter of a second of pydicom.
    from asyncdicom.storage.data_dictionary import name_of  # noqa: PLC0415 -- lazy on purpose

    try:
        return name_of(int(key, 16))
    except ValueError:
        return ""


class _TableWriter(_Writer):
    def __init__(
        self, stream: IO[bytes], columns: Sequence[Column], width: int | None = None
    ) -> None:
        self._stream = stream
        self._columns = columns
        self._width = width
        self._rows: list[list[str]] = [[column.name for column in columns]]
        self._widths: list[int] = []

    def write(self, answer: dict[str, Any]) -> None:
        row = [_cell(values_of(answer, column.tags)) for column in self._columns]
        if self._widths:
            self._print(row)
            return
        self._rows.append(row)
        if len(self._rows) > SAMPLE_ROWS:
            self._settle()

    def end(self) -> None:
        if not self._widths and len(self._rows) > 1:
            self._settle()
        self._stream.flush()

    def _settle(self) -> None:
        by_column = zip(*self._rows, strict=True)
        widths = [max(map(_cells, column)) for column in by_column]
        self._widths = _fitted(widths, self._width)
        for row in self._rows:
            self._print(row)
        self._rows = []

    def _print(self, row: Sequence[str]) -> None:
        shown = (
            text if self._width is None and _cells(text) > width else _cut(text, width)
            for text, width in zip(row, self._widths, strict=True)
        )
        self._stream.write(("  ".join(shown).rstrip() + "\n").encode("utf-8", "replace"))


def _fitted(widths: list[int], total: int | None) -> list[int]:
    """Take cells from the widest column until all fit, or none can give any more."""
    fitted = list(widths)
    surplus = 0 if total is None else sum(fitted) + 2 * (len(fitted) - 1) - total
    while surplus > 0 and max(fitted) > MIN_CELL_WIDTH:
        widest = fitted.index(max(fitted))
        fitted[widest] -= 1
        surplus -= 1
    return fitted


def _cell(values: list[Any]) -> str:
    texts = []
    for value in values:
        groups = value if isinstance(value, dict) else {}
        first = next((groups[group] for group in _GROUPS if groups.get(group)), _plain(value))
        texts.append(str(first))
    text = "\\".join(texts)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes (Unicode UAX #11, UAX #44)."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(character) for character in text)


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cut(text: str, width: int) -> str:
    """Return a text in exactly `width` cells."""
    taken = _cells(text)
    if taken <= width:
        return text + " " * (width - taken)
    ends = accumulate(map(_cells_of, text))
    cut = text[: sum(end < width for end in ends)] + "…"
    return cut + " " * (width - _cells(cut))
