"""SHA-256 of a file while it is written.

    hashing = HashingWriter(writer)             # on this thread
    hashing.write(buffer)
    writer.commit()
    hashing.hexdigest()

    stream = HashingStream(writer, executor)    # large content in threads
    await stream.write(buffer)
    await stream.finish()
    writer.commit()

Strategy: both together cost 0.9 ms per MB, time in which the loop serves nobody;
a hop to a thread and back costs 85 us and a share of the interpreter lock. So
content below `BATCH_BYTES` stays on the loop, and more of it goes over in
batches. Eight files of 5 MB at a time: 4.5 ms each on the loop, 5.4 in batches
of 256 KB, 2.8 in batches of 1 MB, with one of two cores idle; with both busy the
loop took 7.7-8.9 and batches of 1 MB 5.4-10.9, so there it decides nothing.

Rule: a stream waits for its batch before it takes more. So memory is bounded by
one batch and one buffer per stream, and threads that fall behind hold up those
who read from the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from asyncdicom.model import Buffer
    from asyncdicom.storage.atomic import FileWriter

__all__ = ["BATCH_BYTES", "HashingStream", "HashingWriter", "settled"]

BATCH_BYTES = 1024 * 1024
"""Content that is worth a hop to a thread; see `benchmarks/bench_storage.py`."""


class HashingWriter:
    """Writes and hashes on the calling thread."""

    __slots__ = ("_sha256", "writer")

    def __init__(self, writer: FileWriter) -> None:
        self.writer = writer
        self._sha256 = hashlib.sha256()

    def write(self, data: Buffer) -> None:
        """Append bytes.

        Raises:
            StorageError: As `FileWriter.write`.

        """
        self.writer.write(data)
        self._sha256.update(data)

    def hexdigest(self) -> str:
        """Return the digest of what was written, in lower-case hexadecimal digits."""
        return self._sha256.hexdigest()


class HashingStream:
    """Writes and hashes in batches, large ones in a thread; for one task at a time."""

    def __init__(
        self, writer: FileWriter, executor: Executor, *, batch_bytes: int = BATCH_BYTES
    ) -> None:
        """Prepare.

        Args:
            writer: Where the content goes; commit it after `finish`.
            executor: Threads, shared with other streams. Two keep a disk busy.
            batch_bytes: Content that is worth a hop, at least 1.

        """
        self.writer = writer
        self._executor = executor
        self._batch_bytes = batch_bytes
        self._sha256 = hashlib.sha256()
        self._waiting: list[Buffer] = []
        self._waiting_bytes = 0

    async def write(self, data: Buffer) -> None:
        """Append bytes; a buffer that may change is copied.

        Raises:
            StorageError: As `FileWriter.write`.

        Cancellation: waits for the batch that a thread is writing, for the
        descriptor must not be closed under it.

        """
        self._waiting.append(data if _is_constant(data) else bytes(data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= self._batch_bytes:
            future = asyncio.get_running_loop().run_in_executor(
                self._executor, self._write_batch, self._take()
            )
            await settled(future)

    async def finish(self) -> str:
        """Write the rest, which is less than a batch; return the digest.

        Raises:
            StorageError: As `FileWriter.write`.

        """
        self._write_batch(self._take())
        return self._sha256.hexdigest()

    def _take(self) -> list[Buffer]:
        batch, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        return batch

    def _write_batch(self, batch: list[Buffer]) -> None:
        self.writer.write_many(batch)
        for data in batch:
            self._sha256.update(data)


def _is_constant(data: Buffer) -> bool:
    """Tell whether nobody can change a buffer (a read-only view may look at a bytearray)."""
    return isinstance(data.obj if isinstance(data, memoryview) else data, bytes)


async def settled(future: asyncio.Future[None]) -> None:
    """Wait for a thread, also while being cancelled."""
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # whoever is cancelled is not told, and asyncio need not be
        raise
