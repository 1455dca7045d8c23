"""A file that is written in pieces of any order, and read while it grows.

    file = PositionalFile(folder.create("large.dcm"), folder.system)
    file.write_at(data, 50_000_000)
    file.complete(180_000_000)          # from here on it is a `FileWriter` like any other
    file.writer.commit()

Who writes knows which bytes are there; nothing here does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import StorageError
from asyncdicom.storage.failures import storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncdicom.model import Buffer
    from asyncdicom.storage.atomic import FileWriter
    from asyncdicom.storage.system import System

__all__ = ["PositionalFile"]

CHUNK_BYTES = 1024 * 1024
"""Read at once: large enough that a call costs nothing, small enough for the caches."""


class PositionalFile:
    """A file on its way, with positions."""

    __slots__ = ("_fd", "_system", "writer")

    def __init__(self, writer: FileWriter, system: System) -> None:
        """Take over a writer that nothing was written to.

        Args:
            writer: Of the file.
            system: Where system calls go.

        """
        self.writer = writer
        self._system = system
        self._fd = writer.fileno()

    def write_at(self, data: Buffer, offset: int) -> None:
        """Write bytes at a place; the buffer may be used again when this returns.

        Raises:
            DiskFull: If there is no room.
            StorageError: If the kernel refuses otherwise.

        """
        try:
            written = self._system.pwrite(self._fd, data, offset)
            while written < len(data):
                rest = memoryview(data).cast("B")[written:]
                written += self._system.pwrite(self._fd, rest, offset + written)
        except OSError as error:
            raise storage_error(error, self.writer.path) from error

    def read(
        self, first: int, end: int, skip: Callable[[int], int] = lambda _left: 0
    ) -> Iterator[memoryview]:
        """Yield what was written from one place to another, in pieces; may be called in a thread.

        Each piece is only lent until the next one: all of them are one buffer, for the page
        faults of fresh memory would cost more than the reading.

        Args:
            first: Offset of the first byte.
            end: Offset behind the last one.
            skip: Is told how many bytes are left, and says how many of the next ones not to read.

        Raises:
            StorageError: If the disk fails, or the bytes are not there.

        """
        buffer = memoryview(bytearray(min(CHUNK_BYTES, end - first)))
        while first < end:
            skipped = skip(end - first)
            if skipped:
                first += skipped
                continue
            try:
                count = self._system.preadv(self._fd, [buffer[: end - first]], first)
            except OSError as error:
                raise storage_error(error, self.writer.path) from error
            if not count:
                raise StorageError("a file lost what was written", path=self.writer.path)
            yield buffer[:count]
            first += count

    def complete(self, byte_count: int) -> None:
        """Say that everything is written."""
        self.writer.byte_count = byte_count
