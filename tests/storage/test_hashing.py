from __future__ import annotations

import asyncio
import errno
import gc
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import DiskFull
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.hashing import HashingStream, HashingWriter
from tests.storage.faults import Fails, WatchedSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncdicom.storage.atomic import FileWriter

pytestmark = pytest.mark.anyio


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[FileWriter]:
    with OutputFolder.open(tmp_path) as folder, folder.create("file") as opened:
        yield opened


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_digest_is_of_what_was_written(writer: FileWriter, tmp_path: Path) -> None:
    hashing = HashingWriter(writer)
    for data in (b"abc", bytearray(b"def"), memoryview(b"ghi")):
        hashing.write(data)
    writer.commit()
    assert (tmp_path / "file").read_bytes() == b"abcdefghi"
    assert hashing.hexdigest() == digest(b"abcdefghi")


@pytest.mark.parametrize("batch_bytes", [1, 4, 10, 1000])
async def test_batches_change_nothing(
    writer: FileWriter, executor: ThreadPoolExecutor, tmp_path: Path, batch_bytes: int
) -> None:
    stream = HashingStream(writer, executor, batch_bytes=batch_bytes)
    content = bytes(range(100))
    for start in range(0, 100, 7):
        await stream.write(content[start : start + 7])
    assert await stream.finish() == digest(content)
    writer.commit()
    assert (tmp_path / "file").read_bytes() == content


async def test_an_empty_file_has_a_digest(writer: FileWriter, executor: ThreadPoolExecutor) -> None:
    assert await HashingStream(writer, executor).finish() == digest(b"")


async def test_a_buffer_may_change_after_the_write(
    writer: FileWriter, executor: ThreadPoolExecutor, tmp_path: Path
) -> None:
    stream = HashingStream(writer, executor)
    buffer = bytearray(b"abc")
    for data in (buffer, memoryview(buffer).toreadonly(), memoryview(b"ghi")):
        await stream.write(data)
        buffer[:] = b"def"
    assert await stream.finish() == digest(b"abcdefghi")
    writer.commit()
    assert (tmp_path / "file").read_bytes() == b"abcdefghi"


async def test_a_full_disk_is_reported_by_the_write(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    folder = OutputFolder.open(tmp_path, system=Fails({"writev": errno.ENOSPC}))
    with folder, folder.create("file") as writer:
        stream = HashingStream(writer, executor, batch_bytes=3)
        with pytest.raises(DiskFull):
            await stream.write(b"abc")


class SlowDisk(WatchedSystem):
    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.is_writing = threading.Event()
        self.may_write = threading.Event()
        super().__init__()

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "writev":
            self.is_writing.set()
            assert self.may_write.wait(10), "the test ended before the disk"
            if self.code:
                raise OSError(self.code, os.strerror(self.code))


async def test_a_batch_that_fails_while_it_is_cancelled_is_no_news(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    disk = SlowDisk(errno.ENOSPC)
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with OutputFolder.open(tmp_path, system=disk) as folder, folder.create("file") as writer:
        stream = HashingStream(writer, executor, batch_bytes=3)
        writing = asyncio.ensure_future(stream.write(b"abc"))
        await asyncio.to_thread(disk.is_writing.wait, 10)
        writing.cancel()
        disk.may_write.set()
        await asyncio.wait([writing])
        assert writing.cancelled()
        del writing
        gc.collect()
    assert told == []


async def test_cancellation_waits_for_the_thread_that_writes(
    tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    disk = SlowDisk()
    with OutputFolder.open(tmp_path, system=disk) as folder, folder.create("file") as writer:
        stream = HashingStream(writer, executor, batch_bytes=3)
        writing = asyncio.ensure_future(stream.write(b"abc"))
        await asyncio.to_thread(disk.is_writing.wait, 10)
        for _ in range(3):
            writing.cancel()
            await asyncio.sleep(0)
            assert not writing.done()
        disk.may_write.set()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert writer.byte_count == 3
