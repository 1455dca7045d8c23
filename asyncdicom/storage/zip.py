"""A study as one zip archive, which appears whole or not at all.

    async with ZipArchive(folder, "1.2.3.zip") as archive:      # discards unless finished
        await archive.add("1/IM000001", content)                # from any number of tasks
        await committer.commit(await archive.finish())

Entries are stored, not deflated: pixel data is compressed or does not compress,
and bytes are sacred. Sizes beyond 4 GiB are written as Zip64. Dates are
constant, so that the same instances in the same order give the same archive.

Strategy: one thread writes, entry after entry; `add` returns when its entry is
written. So nothing queues but what the callers hold, and they are held up by
the disk. An entry comes whole, or as a `FileWriter` that was written and
verified and is copied and thrown away.

Rule: after an error the archive is broken for good; half an archive would look
like a whole one with fewer instances.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeAlias

from asyncdicom.errors import NameTaken, StorageError, UsageError
from asyncdicom.storage.atomic import FileWriter
from asyncdicom.storage.directories import check_name
from asyncdicom.storage.failures import storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from types import TracebackType

    from _typeshed import ReadableBuffer

    from asyncdicom.model import Buffer
    from asyncdicom.storage.folder import OutputFolder
    from asyncdicom.storage.system import System

__all__ = ["ZipArchive"]

COPIED_BYTES = 1024 * 1024
"""Read at once from a spooled entry."""

_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that the format knows."""

_MODE = 0o100644 << 16
"""Regular file, rw-r--r--, where Unix looks for it (APPNOTE 4.4.15)."""


class ZipArchive:
    """One archive on its way; for one event loop.

    Attributes:
        path: The final name, relative to the output folder.
        entry_count: Entries written.

    """

    def __init__(self, folder: OutputFolder, path: str) -> None:
        """Begin an archive.

        Raises:
            StorageError: As `OutputFolder.create`.

        """
        self.path = path
        self.entry_count = 0
        self._system = folder.system
        self._writer = folder.create(path)
        self._file = _SeekableFile(self._writer, folder.system)
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)
        self._names: set[str] = set()
        self._broken: StorageError | None = None
        self._is_open = True
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="zip")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.discard()

    async def add(self, name: str, content: Buffer | FileWriter) -> None:
        """Append an entry; return when it is written.

        Args:
            name: Path within the archive, from a `Layout`.
            content: The whole entry. A writer belongs to the archive from now on,
                unless the name is refused.

        Raises:
            UnsafeName: If the name would leave the folder it is unpacked in.
            NameTaken: If the archive has such an entry.
            DiskFull: If there is no room; the archive is broken then.
            StorageError: If the kernel refuses otherwise; likewise.
            UsageError: If the archive was finished or discarded.

        Cancellation: an entry that waits is left out; one that is being written
        ends up in the archive.

        """
        self._require_open()
        for component in name.split("/"):
            check_name(component, name)
        if name in self._names:
            raise NameTaken("the archive has such an entry", path=f"{self.path}/{name}")
        source = _Spooled(content) if isinstance(content, FileWriter) else _Whole(content)
        self._names.add(name)
        entry = self._executor.submit(self._write_entry, name, source)
        try:
            await asyncio.wrap_future(entry)
        except asyncio.CancelledError:
            if entry.cancelled():
                self._names.discard(name)
                source.close()
            raise

    async def finish(self) -> FileWriter:
        """End the archive and return its file, to be committed.

        Raises:
            StorageError: If it is broken, or its directory cannot be written.
            UsageError: If it was finished or discarded before.

        """
        self._require_open()
        ending = self._let_go(self._write_directory)
        ended = asyncio.wrap_future(ending)
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            ending.add_done_callback(lambda _: self._writer.close())
            # Whoever is cancelled is not told why it failed, and asyncio need not be.
            ended.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        return self._writer

    async def discard(self) -> None:
        """Forget the archive, after the entry that is being written; not once it is finished."""
        if self._is_open:
            await asyncio.shield(asyncio.wrap_future(self._let_go(self._abandon)))

    def _require_open(self) -> None:
        if not self._is_open:
            raise UsageError(f"{self.path} was finished or discarded")

    def _let_go(self, job: Callable[[], None]) -> Future[None]:
        """Let the thread do a last job behind those that wait, whoever waits for it."""
        self._is_open = False
        ending = self._executor.submit(job)
        self._executor.shutdown(wait=False)
        return ending

    def _write_entry(self, name: str, source: _Source) -> None:
        try:
            self._require_whole()
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3  # Unix, so that the mode counts (APPNOTE 4.4.2)
            info.external_attr = _MODE
            # Known beforehand, it decides whether the entry needs Zip64.
            info.file_size = source.byte_count
            with self._zip.open(info, "w") as entry:
                for chunk in source.chunks(self._system):
                    entry.write(chunk)
            self.entry_count += 1
        except OSError as error:
            self._broken = storage_error(error, self.path)
            raise self._broken from error
        finally:
            source.close()

    def _write_directory(self) -> None:
        try:
            self._require_whole()
            self._zip.close()
            self._writer.byte_count = self._file.byte_count
        except OSError as error:
            self._abandon()
            raise storage_error(error, self.path) from error
        except StorageError:
            self._abandon()
            raise

    def _abandon(self) -> None:
        # Else it would write its directory when it is collected.
        self._zip.fp = None
        self._writer.close()

    def _require_whole(self) -> None:
        if self._broken is not None:
            raise self._broken


class _SeekableFile(io.RawIOBase):
    """What `zipfile` needs of a file: it returns to each header to enter sizes and CRC."""

    def __init__(self, writer: FileWriter, system: System) -> None:
        self._fd = writer.fileno()
        self._system = system
        self._position = 0
        self.byte_count = 0

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        assert whence == os.SEEK_SET, "zipfile seeks from the start"
        self._position = self._system.seek(self._fd, offset, whence)
        return self._position

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data).cast("B")
        byte_count = len(rest)
        while rest:
            written = self._system.write(self._fd, rest)
            if written == 0:
                raise OSError(errno.EIO, "nothing could be written")
            self._position += written
            rest = rest[written:]
        self.byte_count = max(self.byte_count, self._position)
        return byte_count


class _Whole:
    """An entry in memory."""

    def __init__(self, content: Buffer) -> None:
        self._content = memoryview(content).cast("B")
        self.byte_count = len(self._content)

    def chunks(self, system: System) -> Iterator[Buffer]:  # noqa: ARG002 -- as `_Spooled`
        yield self._content

    def close(self) -> None:
        """Nothing is held."""


class _Spooled:
    """An entry in a file of its own, which is thrown away."""

    def __init__(self, writer: FileWriter) -> None:
        self._fd = writer.fileno()
        self._writer = writer
        self.byte_count = writer.byte_count
        writer.hand_over()

    def chunks(self, system: System) -> Iterator[Buffer]:
        offset = 0
        while offset < self.byte_count:
            chunk = system.pread(self._fd, COPIED_BYTES, offset)
            if not chunk:
                raise OSError(errno.EIO, "the spooled entry is shorter than it was")
            offset += len(chunk)
            yield chunk

    def close(self) -> None:
        self._writer.close()


_Source: TypeAlias = _Whole | _Spooled
