"""Existing files, read in chunks through their folder.

    for chunk in read_chunks(folder, path): ...              # in a thread
    async for chunk in stream_chunks(folder, path): ...      # on the loop

Who only computes over a file takes the first in a thread of its own: one hop per
file. The second, on aiofiles, costs a hop per chunk, and is for those who hand
the chunks on to something that awaits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.storage.failures import close_quietly, storage_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from asyncdicom.storage.folder import OutputFolder

__all__ = ["CHUNK_BYTES", "read_chunks", "stream_chunks"]

CHUNK_BYTES = 1024 * 1024
"""Large enough that a hop (85 us) is lost in reading (100-300 us) and hashing (600 us) it."""


def read_chunks(
    folder: OutputFolder, path: str, *, chunk_bytes: int = CHUNK_BYTES
) -> Generator[bytes, None, None]:
    """Read a regular file from its start; blocks.

    Raises:
        FileNotFoundError: If there is none.
        UnsafeName: If the path could leave the root, or meets a link, FIFO or device.
        StorageError: If the disk fails.

    """
    system = folder.system
    fd = folder.open_for_reading(path)
    try:
        offset = 0
        while chunk := system.pread(fd, chunk_bytes, offset):
            offset += len(chunk)
            yield chunk
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        close_quietly(system, fd)


async def stream_chunks(
    folder: OutputFolder, path: str, *, chunk_bytes: int = CHUNK_BYTES
) -> AsyncGenerator[bytes, None]:
    """Read a regular file from its start without holding up the loop.

    Raises:
        FileNotFoundError: If there is none.
        UnsafeName: If the path could leave the root, or meets a link, FIFO or device.
        StorageError: If the disk fails.

    Cancellation: the file is closed when the iterator is; close it
    (`contextlib.aclosing`) if you may leave early.

    """
    try:
        # Imported here: commands that stream no file need not pay its 12 ms.
        import aiofiles  # noqa: PLC0415 -- lazy on purpose

        async with aiofiles.open(folder.open_for_reading(path), "rb", buffering=0) as file:
            while chunk := await file.read(chunk_bytes):
                yield chunk
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(error, path) from error
