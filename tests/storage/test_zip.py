from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import DiskFull, NameTaken, StorageError, UnsafeName, UsageError
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.zip import ZipArchive
from tests.storage.faults import AtCall, Fails, ShortWrites, WatchedSystem, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncdicom.storage.atomic import FileWriter

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 10


@pytest.fixture
def system() -> Fails:
    return Fails({})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def folder(out: Path, system: Fails) -> Iterator[OutputFolder]:
    with OutputFolder.open(out, system=system) as opened:
        yield opened


def spooled(folder: OutputFolder, content: bytes) -> FileWriter:
    writer = folder.create("spool")
    try:
        writer.write(content)
    except StorageError:
        writer.discard()
        raise
    return writer


def names(out: Path) -> list[str]:
    return [path.name for path in out.iterdir()]


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_an_archive_appears_whole(folder: OutputFolder, out: Path) -> None:
    before = open_descriptors()
    async with ZipArchive(folder, "study.zip") as archive:
        await archive.add("1/山田", CONTENT)
        await archive.add("1/spooled", spooled(folder, CONTENT * 2))
        await archive.add("empty", b"")
        assert names(out) == []
        writer = await archive.finish()
        assert names(out) == []
        writer.commit()
        assert archive.entry_count == 3
    assert entries(out / "study.zip") == {
        "1/山田": CONTENT,
        "1/spooled": CONTENT * 2,
        "empty": b"",
    }
    assert open_descriptors() == before


async def test_entries_are_stored_with_plain_modes_and_no_dates(
    folder: OutputFolder, out: Path
) -> None:
    async with ZipArchive(folder, "study.zip") as archive:
        await archive.add("file", CONTENT)
        (await archive.finish()).commit()
    with zipfile.ZipFile(out / "study.zip") as found:
        (info,) = found.infolist()
    assert info.compress_type == zipfile.ZIP_STORED
    assert info.date_time == (1980, 1, 1, 0, 0, 0)
    assert info.external_attr >> 16 == 0o100644
    assert not info.flag_bits & 0x08


async def test_many_workers_write_one_archive(folder: OutputFolder, out: Path) -> None:
    async with ZipArchive(folder, "study.zip") as archive:
        await asyncio.gather(
            *(archive.add(f"{number}", b"%d" % number * 1000) for number in range(50))
        )
        (await archive.finish()).commit()
    assert entries(out / "study.zip") == {str(n): b"%d" % n * 1000 for n in range(50)}


async def test_large_entries_and_archives_are_zip64(
    folder: OutputFolder, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    async with ZipArchive(folder, "study.zip") as archive:
        await archive.add("large", CONTENT)
        await archive.add("spooled", spooled(folder, CONTENT))
        await archive.add("small", b"abc")
        (await archive.finish()).commit()
    assert entries(out / "study.zip") == {"large": CONTENT, "spooled": CONTENT, "small": b"abc"}


async def test_nothing_is_left_of_an_archive_that_was_not_finished(
    folder: OutputFolder, out: Path
) -> None:
    before = open_descriptors()
    async with ZipArchive(folder, "study.zip") as archive:
        await archive.add("file", CONTENT)
    assert names(out) == []
    assert open_descriptors() == before


@pytest.mark.parametrize("name", ["", "/a", "a/../b", "..", "a//b", "a\0", "x" * 256])
async def test_no_entry_leaves_the_folder_it_is_unpacked_in(
    folder: OutputFolder, name: str
) -> None:
    async with ZipArchive(folder, "study.zip") as archive:
        with pytest.raises(UnsafeName):
            await archive.add(name, b"")


async def test_no_entry_is_shadowed(folder: OutputFolder) -> None:
    async with ZipArchive(folder, "study.zip") as archive:
        await archive.add("file", b"")
        with pytest.raises(NameTaken, match=r"study\.zip/file"):
            await archive.add("file", b"")


async def test_short_writes_lose_nothing(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=ShortWrites(7)) as folder:
        async with ZipArchive(folder, "study.zip") as archive:
            await archive.add("file", CONTENT)
            (await archive.finish()).commit()
    assert entries(tmp_path / "study.zip") == {"file": CONTENT}


async def test_a_disk_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=ShortWrites(0)) as folder:
        async with ZipArchive(folder, "study.zip") as archive:
            with pytest.raises(StorageError):
                await archive.add("file", CONTENT)


async def test_a_broken_archive_takes_and_gives_nothing(
    folder: OutputFolder, system: Fails, out: Path
) -> None:
    before = open_descriptors()
    archive = ZipArchive(folder, "study.zip")
    await archive.add("good", CONTENT)
    system.failing["write"] = errno.ENOSPC
    with pytest.raises(DiskFull):
        await archive.add("bad", CONTENT)
    system.failing.clear()
    spool = spooled(folder, CONTENT)
    with pytest.raises(DiskFull):
        await archive.add("later", spool)
    with pytest.raises(DiskFull):
        await archive.finish()
    assert names(out) == []
    assert open_descriptors() == before


async def test_a_directory_that_cannot_be_written_is_an_error(
    folder: OutputFolder, system: Fails
) -> None:
    before = open_descriptors()
    async with ZipArchive(folder, "study.zip") as archive:
        await archive.add("file", CONTENT)
        system.failing["write"] = errno.ENOSPC
        with pytest.raises(DiskFull):
            await archive.finish()
        system.failing.clear()
    assert open_descriptors() == before


async def test_a_spool_that_shrank_breaks_the_archive(folder: OutputFolder) -> None:
    async with ZipArchive(folder, "study.zip") as archive:
        spool = spooled(folder, CONTENT)
        spool.byte_count += 1
        with pytest.raises(StorageError, match="input/output error"):
            await archive.add("file", spool)


async def test_an_archive_that_ended_takes_nothing(folder: OutputFolder) -> None:
    async with ZipArchive(folder, "study.zip") as archive:
        (await archive.finish()).discard()
        with pytest.raises(UsageError):
            await archive.add("file", b"")
        with pytest.raises(UsageError):
            await archive.finish()


class Slow(WatchedSystem):
    """A disk that stops at the next write of an entry."""

    def __init__(self) -> None:
        self.is_writing = threading.Event()
        self.may_write = threading.Event()
        self.may_write.set()
        super().__init__()

    def stop(self) -> None:
        self.is_writing.clear()
        self.may_write.clear()

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "write" and threading.current_thread() is not threading.main_thread():
            self.is_writing.set()
            assert self.may_write.wait(10), "the test ended before the disk"


async def test_cancellation_leaves_out_what_waits(tmp_path: Path) -> None:
    system = Slow()
    before = open_descriptors()
    with OutputFolder.open(tmp_path, system=system) as folder:
        async with ZipArchive(folder, "study.zip") as archive:
            system.stop()
            adds = [
                asyncio.ensure_future(archive.add("first", spooled(folder, CONTENT))),
                asyncio.ensure_future(archive.add("second", spooled(folder, CONTENT))),
                asyncio.ensure_future(archive.add("third", CONTENT)),
            ]
            await asyncio.to_thread(system.is_writing.wait, 10)
            for add in adds:
                add.cancel()
            await asyncio.wait(adds)
            system.may_write.set()
            await archive.add("second", b"again")
            (await archive.finish()).commit()
    assert entries(tmp_path / "study.zip") == {"first": CONTENT, "second": b"again"}
    assert open_descriptors() == before


async def test_an_archive_cancelled_while_it_ends_leaves_nothing(tmp_path: Path) -> None:
    system = Slow()
    with OutputFolder.open(tmp_path, system=system) as folder:
        before = open_descriptors()
        archive = ZipArchive(folder, "study.zip")
        await archive.add("file", CONTENT)
        system.stop()
        ending = asyncio.ensure_future(archive.finish())
        await asyncio.to_thread(system.is_writing.wait, 10)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        system.may_write.set()
        thread = next(iter(archive._executor._threads))
        await asyncio.to_thread(thread.join, 10)
        assert open_descriptors() == before
    assert names(tmp_path) == []


class SlowAndFull(Slow):
    """A disk that has no room for what it was asked to write."""

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        is_last = name == "write" and not self.may_write.is_set()
        super().watch(name, arguments)
        if is_last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_an_end_that_fails_while_it_is_cancelled_is_no_news(tmp_path: Path) -> None:
    system, told = SlowAndFull(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with OutputFolder.open(tmp_path, system=system) as folder:
        archive = ZipArchive(folder, "study.zip")
        await archive.add("file", CONTENT)
        system.stop()
        ending = asyncio.ensure_future(archive.finish())
        await asyncio.to_thread(system.is_writing.wait, 10)
        ending.cancel()
        await asyncio.wait([ending])
        system.may_write.set()
        await asyncio.to_thread(next(iter(archive._executor._threads)).join, 10)
        await asyncio.sleep(0)
        assert ending.cancelled()
        del ending, archive
        gc.collect()
    assert (names(tmp_path), told) == ([], [])


async def archive_all(folder: OutputFolder) -> None:
    async with ZipArchive(folder, "study.zip") as archive:
        await archive.add("one", CONTENT)
        await archive.add("two", spooled(folder, CONTENT))
        writer = await archive.finish()
        with writer:
            writer.commit()


async def test_any_call_may_fail_once(tmp_path: Path) -> None:
    number, has_struck = 0, True
    while has_struck:
        number += 1
        root = tmp_path / str(number)
        with OutputFolder.open(root) as folder:
            before = open_descriptors()
            system = AtCall(number, "invisible", code=errno.EIO)
            folder._system = folder._rules.system = system
            try:
                await archive_all(folder)
            except StorageError:
                assert not (root / "study.zip").exists()
            else:
                assert entries(root / "study.zip") == {"one": CONTENT, "two": CONTENT}
            has_struck = system.has_struck
            assert open_descriptors() == before
    assert number > 20
