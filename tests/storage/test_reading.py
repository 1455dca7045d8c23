from __future__ import annotations

import errno
from contextlib import aclosing
from typing import TYPE_CHECKING

import aiofiles.threadpool
import pytest

from asyncdicom.errors import StorageError, UnsafeName
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.reading import read_chunks, stream_chunks
from tests.storage.faults import Fails, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(250))


@pytest.fixture
def system() -> Fails:
    return Fails({})


@pytest.fixture
def folder(tmp_path: Path, system: Fails) -> Iterator[OutputFolder]:
    with OutputFolder.open(tmp_path, system=system) as opened:
        opened.write_whole("a/file", CONTENT)
        opened.write_whole("empty", b"")
        (tmp_path / "link").symlink_to("a/file")
        yield opened


@pytest.mark.parametrize("chunk_bytes", [7, 99, 250, 10_000])
async def test_chunks_make_the_file(folder: OutputFolder, chunk_bytes: int) -> None:
    chunks = list(read_chunks(folder, "a/file", chunk_bytes=chunk_bytes))
    streamed = [chunk async for chunk in stream_chunks(folder, "a/file", chunk_bytes=chunk_bytes)]
    assert b"".join(chunks) == CONTENT
    assert streamed == chunks


async def test_an_empty_file_has_no_chunks(folder: OutputFolder) -> None:
    assert list(read_chunks(folder, "empty")) == []
    assert [chunk async for chunk in stream_chunks(folder, "empty")] == []


async def test_what_is_no_file_is_refused(folder: OutputFolder) -> None:
    for path, error in (("link", UnsafeName), ("../x", UnsafeName), ("nothing", FileNotFoundError)):
        with pytest.raises(error):
            next(read_chunks(folder, path))
        with pytest.raises(error):
            await anext(aiter(stream_chunks(folder, path)))


def test_a_disk_that_fails_is_told_and_nothing_stays_open(
    folder: OutputFolder, system: Fails
) -> None:
    before = open_descriptors()
    system.failing["pread"] = errno.EIO
    with pytest.raises(StorageError, match="input/output error"):
        next(read_chunks(folder, "a/file"))
    assert open_descriptors() == before


async def test_a_disk_that_fails_is_told_by_the_stream_too(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "as told")

    before = open_descriptors()
    monkeypatch.setattr(aiofiles.threadpool.binary.AsyncFileIO, "read", fail)
    with pytest.raises(StorageError, match="input/output error"):
        await anext(aiter(stream_chunks(folder, "a/file")))
    assert open_descriptors() == before


async def test_whoever_leaves_early_leaves_nothing_open(folder: OutputFolder) -> None:
    before = open_descriptors()
    chunks = read_chunks(folder, "a/file", chunk_bytes=1)
    next(chunks)
    chunks.close()
    async with aclosing(stream_chunks(folder, "a/file", chunk_bytes=1)) as stream:
        await anext(aiter(stream))
    assert open_descriptors() == before
