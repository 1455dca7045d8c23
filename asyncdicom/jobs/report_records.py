"""Read back the records that `dump` left behind, one by one, whatever else lies in the folder.

    for found in read_records(Path("out")):
        ...                      # a Record, or a Problem with a name

Rules:
* Symbolic links are not followed, and nothing but regular files is read.
* Every value is a stranger's: each field is checked, and what cannot be used
  is left out. A file that is no record is a `Problem`, never an exception.
* Folders are walked lazily: memory depends on the depth of the tree, not on
  the number of files.

Names are given to the kernel relative to their folder's descriptor: paths of a
dump are some 250 characters long, and looking them up costs as much as reading.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from asyncdicom.jobs.dump_paths import RECORD_SUFFIX
from asyncdicom.jobs.report_kinds import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["Part", "Problem", "Record", "Trouble", "read_records"]

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""A study of 100,000 parts in one answer has a record of 30 MB."""

MAX_DEPTH = 64
"""Folders below the output folder; a dump has 7. Each takes two descriptors while it is read."""

MAX_DURATION_S = 30 * 24 * 3600.0
"""Of one request; a longer one is a damaged number, and would flatten every plot."""

_YEAR_9999_S = 253_370_764_800
_READ_BYTES = 64 * 1024
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: somebody may replace a file by a FIFO between listing and opening.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Trouble(StrEnum):
    """Why something that is named like a record was not counted as one."""

    DAMAGED = "damaged"
    """No JSON: cut, empty, or overwritten."""
    FOREIGN = "foreign"
    """JSON, but not a record of a request."""
    UNREADABLE = "unreadable"
    """No permission, no regular file, too large or too deep."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or folder that could not be used."""

    path: str
    """Relative to the output folder, as the file system has it."""
    trouble: Trouble
    detail: str


class Part(NamedTuple):
    """One part of a multipart answer."""

    content_type: str
    """Value of the field, or an empty string."""
    byte_count: int


@dataclass(slots=True)
class Record:
    """A request and its answer; what the record did not say is None.

    Not frozen, because that makes one half as expensive again (2.4 instead of 1.5 us).
    """

    path: str
    kind: Kind
    url: str
    status_code: int | None
    http_version: str
    """Empty without an answer."""
    content_type: str
    waiting_s: float | None
    first_byte_s: float | None
    last_byte_s: float | None
    byte_count: int
    attempts: int
    started_s: float | None
    """Seconds since 1970, UTC."""
    error: str | None
    """Reason of the failure, or None."""
    parts: tuple[Part, ...]

    @property
    def has_failed(self) -> bool:
        """Whether the target was not stored, or the status says no."""
        return self.error is not None or self.status_code is None or self.status_code >= 400

    @property
    def reason(self) -> str:
        """Why it failed, in a few words."""
        if self.error is not None:
            return self.error
        return "no answer" if self.status_code is None else f"status {self.status_code}"


class _Folder:
    """A folder being read: its descriptor, its names, and what is left of its entries."""

    __slots__ = ("entries", "fd", "names")

    def __init__(self, name: str, names: tuple[str, ...], parent_fd: int | None) -> None:
        self.names = names
        self.fd = os.open(name, _FOLDER_FLAGS, dir_fd=parent_fd)
        try:
            self.entries = os.scandir(self.fd)
        except OSError:
            os.close(self.fd)
            raise

    def close(self) -> None:
        self.entries.close()
        os.close(self.fd)


def read_records(root: Path) -> Generator[Record | Problem, None, None]:
    """Yield what is in a folder and below, in the order of the file system.

    Raises:
        OSError: If the folder itself cannot be opened; a symbolic link to it is followed.

    """
    stack = [_Folder(os.path.realpath(root), (), None)]
    try:
        while stack:
            folder = stack[-1]
            try:
                entry = next(folder.entries, None)
                if entry is None:
                    stack.pop().close()
                elif entry.is_dir(follow_symlinks=False):
                    _descend(stack, entry.name)
                elif entry.name.endswith(RECORD_SUFFIX):
                    yield _read(folder, entry)
            except OSError as error:
                name = "" if entry is None else entry.name
                yield _problem(folder.names, name, Trouble.UNREADABLE, _told(error))
    finally:
        for folder in stack:
            folder.close()


def _descend(stack: list[_Folder], name: str) -> None:
    if len(stack) > MAX_DEPTH:
        raise OSError(f"more than {MAX_DEPTH} folders deep")
    parent = stack[-1]
    stack.append(_Folder(name, (*parent.names, name), parent.fd))


def _told(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _problem(names: tuple[str, ...], name: str, trouble: Trouble, detail: str) -> Problem:
    return Problem("/".join((*names, name)), trouble, detail)


def _read(folder: _Folder, entry: os.DirEntry[str]) -> Record | Problem:
    if not entry.is_file(follow_symlinks=False):
        return _problem(folder.names, entry.name, Trouble.UNREADABLE, "not a regular file")
    content = _content(folder.fd, entry.name)
    try:
        # orjson refuses NaN and Infinity, and nesting beyond 1,024 levels.
        record = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        detail = "empty" if not content else f"no JSON: {error.msg}"
        return _problem(folder.names, entry.name, Trouble.DAMAGED, detail)
    if not _is_record(record):
        return _problem(folder.names, entry.name, Trouble.FOREIGN, "not a record of a request")
    return _record(folder.names, entry.name, record)


def _content(folder_fd: int, name: str) -> bytes:
    """Read a file.

    Raises:
        OSError: If it cannot be read, is no regular file or is too large.

    """
    fd = os.open(name, _FILE_FLAGS, dir_fd=folder_fd)
    try:
        content = os.read(fd, _READ_BYTES)
        if len(content) < _READ_BYTES:
            return content
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RECORD_BYTES:
            raise OSError(f"not a regular file of at most {MAX_RECORD_BYTES:,} bytes")
        pieces = [content]
        while piece := os.read(fd, 1024 * 1024):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def _is_record(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("url"), str):
        return False
    # A request that got no answer has `"response": null` and says why.
    return isinstance(record.get("response"), dict) or record.get("error") is not None


def _record(names: tuple[str, ...], file_name: str, record: dict[str, Any]) -> Record:
    response = record.get("response")
    answer: dict[str, Any] = response if isinstance(response, dict) else {}
    version = answer.get("httpVersion")
    name = file_name.removesuffix(RECORD_SUFFIX)
    return Record(
        path="/".join((*names, name)),
        kind=kind_of(names, name, record["url"]),
        url=record["url"],
        status_code=_whole(answer.get("statusCode"), None),
        http_version=version if isinstance(version, str) else "",
        content_type=_content_type(answer.get("headers")),
        waiting_s=_seconds(answer.get("timeWaitingInMS")),
        first_byte_s=_seconds(answer.get("timeToFirstByteInMS")),
        last_byte_s=_seconds(answer.get("timeToLastByteInMS")),
        byte_count=_whole(answer.get("bytesDownloaded"), 0),
        attempts=max(1, _whole(record.get("attempts"), 1)),
        started_s=_instant(record.get("startedAt")),
        error=_reason(record.get("error")),
        parts=_parts(record.get("multipart")),
    )


def _seconds(value: Any) -> float | None:
    """Turn milliseconds into seconds; anything but a sensible duration is None."""
    if type(value) is not float and type(value) is not int:
        return None
    seconds = value * 0.001
    return seconds if 0 <= seconds <= MAX_DURATION_S else None


def _whole(value: Any, default: Any) -> Any:
    """Return a number of things, or the default; `true` is no number."""
    return value if type(value) is int and value >= 0 else default


def _instant(value: Any) -> float | None:
    """Turn RFC 3339 text into seconds since 1970; without an offset it is no instant."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        seconds = instant.timestamp()
    except (ValueError, OverflowError):
        return None
    # A clock that was never set says 1970; what lies before, or in the year 9999, is damage.
    return seconds if instant.tzinfo is not None and 0 <= seconds < _YEAR_9999_S else None


def _content_type(headers: Any) -> str:
    """Return the first Content-Type of recorded fields, or an empty string."""
    if not isinstance(headers, dict):
        return ""
    value = headers.get("content-type")
    if value is None:
        value = next((v for k, v in headers.items() if k.lower() == "content-type"), "")
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


def _reason(error: Any) -> str | None:
    if error is None:
        return None
    if isinstance(error, dict):
        error = error.get("reason")
    return error if isinstance(error, str) and error else "unknown"


def _parts(multipart: Any) -> tuple[Part, ...]:
    if not isinstance(multipart, list):
        return ()
    return tuple(
        Part(_content_type(part.get("headers")), _whole(part.get("length"), 0))
        for part in multipart
        if isinstance(part, dict)
    )
