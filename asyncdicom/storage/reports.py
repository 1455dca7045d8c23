"""The report of a run: one JSON line per outcome, flushed as they come.

A report outlives a killed run: each line is whole or the last one, and
`--retry-failed` reads what is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import orjson

from asyncdicom.errors import ConfigError
from asyncdicom.events import Event, Finished, RunEnded, Withdrawn
from asyncdicom.storage.failures import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ReportFile", "read_report"]

FLUSH_EVERY = 64
"""Lines: a killed run loses at most this many, each of which the next run verifies anyway."""


class ReportFile:
    """An observer that writes outcomes down."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path
        self._unflushed = 0

    @classmethod
    def open(cls, path: str) -> Self:
        """Create the file, or empty it.

        Raises:
            ConfigError: If it cannot be written.

        """
        try:
            return cls(Path(path).open("wb"), path)
        except OSError as error:
            raise ConfigError(f"cannot write the report {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise storage_error(error, self._path) from error

    def __call__(self, event: Event) -> None:
        """Write an outcome; other events are not for reports.

        Raises:
            StorageError: If it cannot be written; `DiskFull` where that is why.

        """
        try:
            self._write(event)
        except OSError as error:
            raise storage_error(error, self._path) from error

    def _write(self, event: Event) -> None:
        if isinstance(event, Finished | Withdrawn):
            line = event.to_json()
            del line["event"]
            self._file.write(orjson.dumps(line) + b"\n")
            self._unflushed += 1
        if self._unflushed >= FLUSH_EVERY or isinstance(event, RunEnded):
            self._file.flush()
            self._unflushed = 0


def read_report(path: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of a report.

    Raises:
        ConfigError: If it cannot be read, or a line but the last is not JSON.

    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"cannot read the report {path}: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            content = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if number == len(lines):
                return  # the run that wrote it was killed in the middle of this line
            raise ConfigError(f"line {number} of {path} is not JSON") from error
        if isinstance(content, dict):
            yield content
