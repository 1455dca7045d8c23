"""What was stored from object stores, one JSON line per object: `--catalog`.

    with Catalog.open("catalog.jsonl") as catalog:
        entry = catalog.find("s3", "bucket", "key")         # the last line of that object
        catalog.record(CatalogEntry(...))                   # appended

A second run skips an object whose line names the version that the store lists, if the
file has the size and the time of modification that it had when it was stored: one look
at the file, no byte read. `verify` reads it all and compares the SHA-256.

Rules:
* Lines are only ever appended, whole lines per system call; the last line of an object
  counts. A line that a killed run left torn is ended by the next run, and ignored.
* The time of modification proves nothing to `verify`; it spares a second run the reading.
  Inode numbers are left out: a folder that was copied with its times is still believed.

Memory: 150 bytes for each object of the catalog; lines are read again when asked for.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson

from asyncdicom.errors import ConfigError
from asyncdicom.storage.failures import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Catalog", "CatalogEntry"]

LINES_PER_WRITE = 64
"""A killed run loses at most these; their files are proven by reading them."""

MAX_LINE_BYTES = 16 * 1024
"""A key has 1,024 bytes, a path 4,096; escapes can make six of one."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One object as it was stored."""

    scheme: str
    """`s3` or `gs`."""
    bucket: str
    key: str
    byte_count: int
    etag: str | None
    modified_at: str | None
    """When the object was changed, as the store wrote it."""
    sha256: str
    """In hexadecimal digits."""
    path: str
    """Relative to the output folder."""
    modified_ns: int
    """When the file was changed, wall clock, in nanoseconds since 1970."""
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None

    @property
    def name(self) -> str:
        """`s3://bucket/key`."""
        return f"{self.scheme}://{self.bucket}/{self.key}"

    def to_json(self) -> dict[str, Any]:
        """Return the line as a JSON object."""
        return {
            "store": self.scheme,
            "bucket": self.bucket,
            "key": self.key,
            "size": self.byte_count,
            "etag": self.etag,
            "modified": self.modified_at,
            "sha256": self.sha256,
            "path": self.path,
            "mtimeNs": self.modified_ns,
            "study": self.study_instance_uid,
            "series": self.series_instance_uid,
            "instance": self.sop_instance_uid,
        }

    @classmethod
    def from_json(cls, line: bytes) -> Self | None:
        """Read a line; None if it is torn, or no line of a catalog."""
        if len(line) > MAX_LINE_BYTES:
            return None
        try:
            fields = orjson.loads(line)
            return cls(
                str(fields["store"]),
                str(fields["bucket"]),
                str(fields["key"]),
                int(fields["size"]),
                _text_or_none(fields.get("etag")),
                _text_or_none(fields.get("modified")),
                str(fields["sha256"]),
                str(fields["path"]),
                int(fields["mtimeNs"]),
                _text_or_none(fields.get("study")),
                _text_or_none(fields.get("series")),
                _text_or_none(fields.get("instance")),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class Catalog:
    """A file of catalog lines, held open."""

    def __init__(self, path: str, fd: int) -> None:
        """Read what is there; made by `open`.

        Raises:
            ConfigError: If it is a file of another kind.

        """
        self._path = path
        self._fd = fd
        self._offsets: dict[int, int] = {}
        self._unwritten: list[bytes] = []
        self._needs_line_end = False
        self._read()

    @classmethod
    def open(cls, path: str, *, may_create: bool = True) -> Self:
        """Open a catalog, made where missing.

        Raises:
            ConfigError: If it cannot be opened, or is a file of another kind.

        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC if may_create else os.O_RDONLY | os.O_CLOEXEC
        try:
            fd = os.open(path, flags | (os.O_CREAT if may_create else 0), 0o666)
        except OSError as error:
            raise ConfigError(f"cannot open the catalog {path}: {error.strerror}") from error
        try:
            return cls(path, fd)
        except BaseException:
            os.close(fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Count the objects that were there when it was opened."""
        return len(self._offsets)

    def find(self, scheme: str, bucket: str, key: str) -> CatalogEntry | None:
        """Return the last line of an object that was there when the catalog was opened."""
        name = f"{scheme}://{bucket}/{key}"
        offset = self._offsets.get(hash(name))
        entry = None if offset is None else self._entry_at(offset)
        # Two names may share a hash once in a blue moon.
        return entry if entry is not None and entry.name == name else None

    def entries(self) -> Iterator[CatalogEntry]:
        """Yield the last line of each object, in the order of the file."""
        for offset in sorted(self._offsets.values()):
            entry = self._entry_at(offset)
            if entry is not None:
                yield entry

    def record(self, entry: CatalogEntry) -> None:
        """Append a line, together with others.

        Raises:
            StorageError: If it cannot be written.

        """
        self._unwritten.append(orjson.dumps(entry.to_json()) + b"\n")
        if len(self._unwritten) >= LINES_PER_WRITE:
            self.flush()

    def flush(self) -> None:
        """Write what was recorded; raises as `record`."""
        if not self._unwritten:
            return
        start = b"\n" if self._needs_line_end else b""
        lines = start + b"".join(self._unwritten)
        self._unwritten.clear()
        try:
            written = os.write(self._fd, lines)
            while written < len(lines):
                written += os.write(self._fd, lines[written:])
        except OSError as error:
            self._needs_line_end = True
            raise storage_error(error, self._path) from error
        self._needs_line_end = False

    def close(self) -> None:
        """Write what was recorded and close the file; raises as `record`."""
        if self._fd < 0:
            return
        try:
            self.flush()
        finally:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise ConfigError(f"the catalog {self._path} is no regular file")
        offset, line = 0, b""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            for line in file:
                entry = CatalogEntry.from_json(line)
                if entry is not None:
                    self._offsets[hash(entry.name)] = offset
                elif offset == 0 and not line.startswith(b"{"):
                    raise ConfigError(f"{self._path} is no catalog", hint="name another file")
                offset += len(line)
        self._needs_line_end = bool(line) and not line.endswith(b"\n")

    def _entry_at(self, offset: int) -> CatalogEntry | None:
        line = os.pread(self._fd, MAX_LINE_BYTES, offset)
        return CatalogEntry.from_json(line.partition(b"\n")[0])


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)
