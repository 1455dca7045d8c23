from __future__ import annotations

import ctypes
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from asyncdicom.storage import system
from asyncdicom.storage.system import SYSTEM, System
from tests.storage.faults import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def dir_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "source").write_bytes(b"new")
    yield fd
    os.close(fd)
    system._find_renameat2.cache_clear()
    system._find_fallocate.cache_clear()


def test_the_tests_watch_every_call() -> None:
    assert sorted(CALLS) == sorted(name for name in vars(System) if not name.startswith("_"))


def test_flush_leaves_a_descriptor_open(dir_fd: int) -> None:
    SYSTEM.flush(dir_fd)
    assert SYSTEM.listdir(dir_fd) == ["source"]


def test_rename_noreplace_renames(dir_fd: int, tmp_path: Path) -> None:
    SYSTEM.rename_noreplace("source", "target", dir_fd=dir_fd)
    assert (tmp_path / "target").read_bytes() == b"new"
    assert not (tmp_path / "source").exists()


def test_rename_noreplace_replaces_nothing(dir_fd: int, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        SYSTEM.rename_noreplace("source", "target", dir_fd=dir_fd)
    assert (tmp_path / "target").read_bytes() == b"old"


def test_a_c_library_without_renameat2_is_told_apart(
    dir_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    system._find_renameat2.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name, **options: object())
    with pytest.raises(OSError) as caught:
        SYSTEM.rename_noreplace("source", "target", dir_fd=dir_fd)
    assert caught.value.errno == errno.ENOSYS


def test_listing_shows_names(dir_fd: int) -> None:
    assert SYSTEM.listdir(dir_fd) == ["source"]


def test_threads_that_list_a_folder_at_once_see_all_of_it(tmp_path: Path, dir_fd: int) -> None:
    for number in range(2000):
        (tmp_path / f"{number}").touch()
    expected = sorted(SYSTEM.listdir(dir_fd))
    with ThreadPoolExecutor(8) as pool:
        listed = list(pool.map(lambda _: sorted(SYSTEM.listdir(dir_fd)), range(64)))
    assert all(names == expected for names in listed)


def test_writeback_is_asked_for_where_it_can_be(
    tmp_path: Path, dir_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(tmp_path / "source", os.O_RDWR)
    SYSTEM.start_writeback(fd)
    monkeypatch.delattr(os, "posix_fadvise")
    SYSTEM.start_writeback(fd)
    os.close(fd)


def test_room_is_taken_and_the_size_stays(tmp_path: Path, dir_fd: int) -> None:
    fd = os.open(tmp_path / "source", os.O_RDWR)
    SYSTEM.allocate(fd, 1024 * 1024)
    taken = os.fstat(fd)
    SYSTEM.truncate(fd, 3)
    left = os.fstat(fd)
    os.close(fd)
    assert (taken.st_size, taken.st_blocks * 512) == (3, 1024 * 1024)
    assert (left.st_size, left.st_blocks * 512 <= 4096) == (3, True)
    assert (tmp_path / "source").read_bytes() == b"new"


def test_room_that_cannot_be_taken_is_said(dir_fd: int) -> None:
    with pytest.raises(OSError) as caught:
        SYSTEM.allocate(dir_fd, 4096)
    assert caught.value.errno in {errno.EBADF, errno.EISDIR, errno.ENODEV}


def test_a_c_library_without_fallocate_is_told_apart(
    dir_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    system._find_fallocate.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name, **options: object())
    with pytest.raises(OSError) as caught:
        SYSTEM.allocate(dir_fd, 4096)
    assert caught.value.errno == errno.ENOSYS
