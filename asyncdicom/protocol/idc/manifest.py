"""Manifests: lists of series (or objects) that somebody exported, wrote or mailed.

    for entry in read_manifest(lines):
        match entry:
            case ManifestUrl(): ...
            case ManifestId(): ...
            case NotUnderstood(): ...       # to be named, with the number of its line

Read is all of what is found in the wild: commands of s5cmd (`cp s3://bucket/uuid/* .`;
the destination is for the caller to say), addresses alone, with `*`, with a `/` at the
end or with neither, single objects, `gs://`, the HTTPS form of either; Series Instance
UIDs and CRDC UUIDs, one or several a line; tables with a heading, of which the column
that says most counts.

Rule: nothing is dropped. What is no comment, and not understood, is an entry.
"""

from __future__ import annotations

import csv
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from asyncdicom.model import is_uid
from asyncdicom.protocol.idc.selection import is_uuid
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ManifestEntry", "ManifestId", "ManifestUrl", "NotUnderstood", "read_manifest"]

MAX_SHOWN_CHARACTERS = 80
"""Of a line that was not understood."""


@dataclass(frozen=True, slots=True)
class ManifestUrl:
    """Where a series, some of its objects, or one object is."""

    line_number: int
    scheme: str
    """`s3` or `gs`."""
    bucket: str
    prefix: str
    """Keys that are meant begin so; of a single object its key."""
    pattern: str | None = None
    """What keys have to match, or None for all below the prefix."""
    is_single: bool = False

    @property
    def series_uuid(self) -> str:
        """First component of the key; in the Imaging Data Commons it names the series."""
        return self.prefix.partition("/")[0]

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.pattern or self.prefix}"


@dataclass(frozen=True, slots=True)
class ManifestId:
    """A UID or UUID."""

    line_number: int
    text: str


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A line that names nothing."""

    line_number: int
    text: str
    """Its beginning."""

    def __str__(self) -> str:
        return f"line {self.line_number} names no series: {self.text!r}"


ManifestEntry: TypeAlias = ManifestUrl | ManifestId | NotUnderstood

# Headings of columns in lower case without `_`; the first one that is there counts.
_COLUMNS = (
    *("seriesawsurl", "awsurl", "seriesgcsurl", "gcsurl", "seriesurl", "s3url", "url"),
    *("crdcseriesuuid", "seriesuuid", "seriesinstanceuid", "studyinstanceuid"),
)
_DELIMITERS = ",;\t"
_QUOTING = "\"'\\"
_HOSTS = {"s3.amazonaws.com": "s3", "storage.googleapis.com": "gs"}


def read_manifest(lines: Iterable[str]) -> Iterator[ManifestEntry]:
    """Yield what a manifest names, in order; entries may repeat."""
    numbered = ((n, line) for n, line in enumerate(lines, 1) if _says_something(line))
    first = next(numbered, None)
    if first is None:
        return
    number, line = first
    delimiter = next((one for one in _DELIMITERS if one in line), ",")
    column = _column_in(_split(line, delimiter))
    if column is None:
        for number, line in chain([first], numbered):
            yield from _entries_in(number, line.strip("\ufeff \t\r\n"))
    else:
        yield from _cells(numbered, column, delimiter)


def _says_something(line: str) -> bool:
    text = line.strip("\ufeff \t\r\n")
    return bool(text) and not text.startswith("#")


def _column_in(cells: list[str]) -> int | None:
    """Return which column of a heading says most; None if it is no heading."""
    names = [cell.strip("\ufeff \"'\t\r\n").lower().replace("_", "") for cell in cells]
    return next((names.index(name) for name in _COLUMNS if name in names), None)


def _cells(
    numbered: Iterable[tuple[int, str]], column: int, delimiter: str
) -> Iterator[ManifestEntry]:
    """Yield what one column of a table names."""
    for number, line in numbered:
        cells = _split(line, delimiter)
        if column < len(cells) and cells[column].strip():
            yield from _entries_in(number, cells[column].strip())
        else:
            yield _not_understood(number, line)


def _split(line: str, delimiter: str) -> list[str]:
    """Return the cells of a row. None of interest holds the end of a line: they are ids."""
    text = line.strip("\ufeff\r\n")
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return text.split(delimiter)


def _entries_in(number: int, text: str) -> Iterator[ManifestEntry]:
    if "://" in text:
        words = (word for word in _words(text) if "://" in word)
        yield _url_in(next(words, ""), number) or _not_understood(number, text)
        return
    words_or_cells = text.replace(",", " ").replace(";", " ").split()
    ids = [word.strip("\"'") for word in words_or_cells]
    if ids and all(map(_is_id, ids)):
        yield from (ManifestId(number, one) for one in ids)
    else:
        yield _not_understood(number, text)


def _words(text: str) -> list[str]:
    """Split a command as a shell does, and a row of a table at its commas."""
    words = text.split()
    if any(sign in text for sign in _QUOTING):
        # Imported here: it takes 0.1 ms a line, and hardly any line has quotes.
        import shlex  # noqa: PLC0415 -- as said

        try:
            words = shlex.split(text)
        except ValueError:  # a quote that is not closed
            words = [word.strip("\"'") for word in words]
    return [part for word in words for part in word.split(",")]


def _is_id(text: str) -> bool:
    return is_uuid(text) or is_uid(text)


def _url_in(text: str, number: int) -> ManifestUrl | None:
    scheme, _, rest = text.partition("://")
    if scheme in ("https", "http"):
        return _https_url_in(text, number)
    bucket, _, key = rest.partition("/")
    if scheme not in ("s3", "gs") or not bucket or not key:
        return None
    prefix, star, _ = key.partition("*")
    if star:
        # `uuid/*` is all of a series; `uuid/a*.dcm` a part of it.
        is_all = key == f"{prefix}*"
        return ManifestUrl(number, scheme, bucket, prefix, None if is_all else key)
    first, slash, name = key.partition("/")
    if slash and name:
        is_folder = name.endswith("/")
        return ManifestUrl(number, scheme, bucket, key, is_single=not is_folder)
    return ManifestUrl(number, scheme, bucket, f"{first}/")


def _https_url_in(text: str, number: int) -> ManifestUrl | None:
    """Read `https://s3.amazonaws.com/bucket/key`, or with the bucket in the name of the host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    host, path = parts.hostname or "", unquote(parts.path)
    for endpoint, scheme in _HOSTS.items():
        if host == endpoint:
            return _url_in(f"{scheme}:/{path}", number)
        if host.endswith(f".{endpoint}"):
            return _url_in(f"{scheme}://{host.removesuffix(f'.{endpoint}')}{path}", number)
    return None


def _not_understood(number: int, text: str) -> NotUnderstood:
    shown = text.strip()
    is_long = len(shown) > MAX_SHOWN_CHARACTERS
    return NotUnderstood(number, f"{shown[: MAX_SHOWN_CHARACTERS - 3]}..." if is_long else shown)
