from __future__ import annotations

import asyncio
import errno
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import NameTaken, StorageError, UsageError
from asyncdicom.storage.atomic import Durability, FileWriter
from asyncdicom.storage.committing import GroupCommitter, commit_together
from asyncdicom.storage.folder import OutputFolder
from tests.storage.faults import WatchedSystem, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


class Disk(WatchedSystem):
    """A disk that can be stopped before a sync, and that can fail for some files."""

    def __init__(self) -> None:
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.is_syncing = threading.Event()
        self.failing: dict[tuple[str, int], int] = {}
        super().__init__()

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "fdatasync":
            self.is_syncing.set()
            assert self.may_sync.wait(10), "the test ended before the disk"
        if (code := self.failing.get((name, arguments[0]))) is not None:
            raise OSError(code, "as told")


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def folder(out: Path, disk: Disk) -> Iterator[OutputFolder]:
    with OutputFolder.open(out, durability=Durability.BATCH, system=disk) as opened:
        yield opened


def begin(folder: OutputFolder, path: str, content: bytes = b"abc") -> FileWriter:
    writer = folder.create(path)
    writer.write(content)
    return writer


async def is_syncing(disk: Disk) -> None:
    await asyncio.to_thread(disk.is_syncing.wait, 10)


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def stop(disk: Disk) -> None:
    disk.may_sync.clear()
    disk.is_syncing.clear()


@pytest.mark.parametrize("durability", list(Durability))
async def test_files_are_visible_when_the_commit_returns(tmp_path: Path, durability: str) -> None:
    before = open_descriptors()
    with OutputFolder.open(tmp_path, durability=Durability(durability)) as folder:
        async with GroupCommitter(folder) as committer:
            paths = [f"{number % 3}/{number}" for number in range(20)]
            await asyncio.gather(*(committer.commit(begin(folder, path)) for path in paths))
            assert all((tmp_path / path).read_bytes() == b"abc" for path in paths)
            assert committer.statistics().files == 20
    assert open_descriptors() == before


async def test_no_name_appears_before_its_round_is_synced(
    folder: OutputFolder, disk: Disk, out: Path
) -> None:
    stop(disk)
    async with GroupCommitter(folder) as committer:
        commits = [
            asyncio.ensure_future(committer.commit(begin(folder, name))) for name in ("a", "b")
        ]
        await is_syncing(disk)
        assert names(out) == []
        disk.may_sync.set()
        await asyncio.gather(*commits)
    calls = [name for name in disk.calls if name in {"fdatasync", "link", "fsync"}]
    assert calls[-5:] == ["fdatasync", "fdatasync", "link", "link", "fsync"]


async def test_what_comes_during_a_round_shares_the_next(folder: OutputFolder, disk: Disk) -> None:
    stop(disk)
    async with GroupCommitter(folder) as committer:
        first = asyncio.ensure_future(committer.commit(begin(folder, "first")))
        await is_syncing(disk)
        others = [
            asyncio.ensure_future(committer.commit(begin(folder, str(number))))
            for number in range(10)
        ]
        disk.may_sync.set()
        await asyncio.gather(first, *others)
        statistics = committer.statistics()
    assert (statistics.files, statistics.rounds, statistics.largest_round) == (11, 2, 10)


async def test_rounds_are_bounded(folder: OutputFolder) -> None:
    async with GroupCommitter(folder, max_files=4) as committer:
        writers = [begin(folder, str(number)) for number in range(10)]
        await asyncio.gather(*(committer.commit(writer) for writer in writers))
        assert committer.statistics().largest_round == 4
        assert committer.statistics().rounds == 3


async def test_each_file_has_its_own_verdict(folder: OutputFolder, disk: Disk, out: Path) -> None:
    good, bad, taken = (begin(folder, name) for name in ("good", "bad", "taken"))
    (out / "taken").write_bytes(b"old")
    disk.failing["fdatasync", bad.fileno()] = errno.EIO
    async with GroupCommitter(folder) as committer:
        verdicts = await asyncio.gather(
            *(committer.commit(writer) for writer in (good, bad, taken)), return_exceptions=True
        )
        assert committer.statistics().files == 1
    assert [type(verdict) for verdict in verdicts] == [type(None), StorageError, NameTaken]
    assert names(out) == ["good", "taken"]
    assert (out / "taken").read_bytes() == b"old"


async def test_an_old_file_is_replaced_on_purpose(folder: OutputFolder, out: Path) -> None:
    (out / "file").write_bytes(b"old")
    async with GroupCommitter(folder) as committer:
        await committer.commit(begin(folder, "file", b"new"), replace=True)
    assert (out / "file").read_bytes() == b"new"


async def test_a_folder_that_cannot_be_synced_fails_only_its_files(
    folder: OutputFolder, disk: Disk
) -> None:
    good, bad = begin(folder, "good/file"), begin(folder, "bad/file")
    disk.failing["fsync", bad.directory.fd] = errno.EIO
    async with GroupCommitter(folder) as committer:
        verdicts = await asyncio.gather(
            committer.commit(good), committer.commit(bad), return_exceptions=True
        )
    assert [type(verdict) for verdict in verdicts] == [type(None), StorageError]


async def test_a_file_that_still_waits_is_discarded_on_cancellation(
    folder: OutputFolder, disk: Disk, out: Path
) -> None:
    stop(disk)
    before = open_descriptors()
    async with GroupCommitter(folder) as committer:
        first = asyncio.ensure_future(committer.commit(begin(folder, "first")))
        await is_syncing(disk)
        second = asyncio.ensure_future(committer.commit(begin(folder, "second")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        disk.may_sync.set()
        await first
    assert names(out) == ["first"]
    assert open_descriptors() == before


@pytest.mark.parametrize("is_good", [True, False])
async def test_a_file_whose_round_has_begun_is_left_to_it(
    folder: OutputFolder, disk: Disk, out: Path, *, is_good: bool
) -> None:
    stop(disk)
    before = open_descriptors()
    async with GroupCommitter(folder) as committer:
        with begin(folder, "file") as writer:
            if not is_good:
                disk.failing["fdatasync", writer.fileno()] = errno.EIO
            commit = asyncio.ensure_future(committer.commit(writer))
            await is_syncing(disk)
            commit.cancel()
            with pytest.raises(asyncio.CancelledError):
                await commit
        disk.may_sync.set()
    assert (out / "file").exists() is is_good
    assert open_descriptors() == before


async def test_closing_waits_for_what_was_handed_in(
    folder: OutputFolder, disk: Disk, out: Path
) -> None:
    committer = GroupCommitter(folder)
    stop(disk)
    commits = [asyncio.ensure_future(committer.commit(begin(folder, "one")))]
    await is_syncing(disk)
    commits.append(asyncio.ensure_future(committer.commit(begin(folder, "two"))))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(committer.aclose())
    await asyncio.sleep(0)
    disk.may_sync.set()
    await closing
    await asyncio.gather(*commits)
    assert names(out) == ["one", "two"]


async def test_a_closed_committer_takes_nothing(folder: OutputFolder) -> None:
    committer = GroupCommitter(folder)
    await committer.aclose()
    with begin(folder, "file") as writer, pytest.raises(UsageError):
        await committer.commit(writer)


class Broken(Disk):
    """A bug: something that is no `OSError`."""

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "fdatasync":
            raise ZeroDivisionError


async def test_a_bug_reaches_all_who_wait_and_leaves_nothing_open(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, durability=Durability.BATCH, system=Broken()) as folder:
        before = open_descriptors()
        async with GroupCommitter(folder) as committer:
            verdicts = await asyncio.gather(
                *(committer.commit(begin(folder, name)) for name in "ab"), return_exceptions=True
            )
        assert [type(verdict) for verdict in verdicts] == [ZeroDivisionError] * 2
        assert open_descriptors() == before


def test_a_round_needs_no_loop(folder: OutputFolder, disk: Disk, out: Path) -> None:
    writers = [begin(folder, name) for name in "ab"]
    for writer in writers:
        writer.hand_over()
    assert commit_together([(writer, False) for writer in writers], disk) == [None, None]
    assert names(out) == ["a", "b"]
