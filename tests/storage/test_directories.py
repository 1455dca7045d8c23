from __future__ import annotations

import errno
import os
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import NameTaken, StorageError, UnsafeName
from asyncdicom.storage.directories import (
    MAX_DEPTH,
    DirectoryCache,
    check_name,
    split_path,
    sync_directories,
    what_stands_there,
)
from asyncdicom.storage.system import SYSTEM
from tests.storage.faults import Fails, WatchedSystem, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def system() -> WatchedSystem:
    return WatchedSystem()


@pytest.fixture
def cache(tmp_path: Path, system: WatchedSystem) -> Iterator[DirectoryCache]:
    cache = DirectoryCache(os.open(tmp_path, os.O_RDONLY), system, capacity=3)
    yield cache
    cache.close()


def use(cache: DirectoryCache, path: str) -> None:
    cache.release(cache.acquire(path))


def test_folders_are_made_where_missing(cache: DirectoryCache, tmp_path: Path) -> None:
    use(cache, "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()


def test_a_folder_is_opened_once(cache: DirectoryCache, system: WatchedSystem) -> None:
    use(cache, "a/b")
    use(cache, "a/b")
    use(cache, "a/c")
    assert system.calls == ["mkdir", "open"] * 3


@pytest.mark.parametrize("gone", ["a", "a/b"])
@pytest.mark.parametrize("how", ["moved", "removed", "replaced by a link", "replaced"])
def test_where_moves_are_expected_a_folder_is_where_its_name_is(
    tmp_path: Path, gone: str, how: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    cache = DirectoryCache(os.open(root, os.O_RDONLY), SYSTEM, expects_moves=True)
    use(cache, "a/b")
    (root / gone).rename(tmp_path / "archive")
    if how == "removed":
        shutil.rmtree(tmp_path / "archive")
    elif how == "replaced":
        (root / gone).mkdir()
    elif how == "replaced by a link":
        (root / gone).symlink_to(tmp_path / "archive")
        with pytest.raises(UnsafeName):
            cache.acquire("a/b")
        (root / gone).unlink()
    directory = cache.acquire("a/b")
    assert os.fstat(directory.fd).st_ino == (root / "a/b").stat().st_ino
    cache.release(directory)
    before = open_descriptors()
    use(cache, "a/b")
    assert open_descriptors() == before
    cache.close()


def test_a_missing_folder_is_not_made_when_looking(cache: DirectoryCache, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cache.acquire("a/b", create=False)
    assert list(tmp_path.iterdir()) == []


def test_the_root_is_the_empty_path(cache: DirectoryCache) -> None:
    assert cache.acquire("") is cache.root


def test_the_least_recently_used_folder_goes_first(cache: DirectoryCache) -> None:
    for name in ("a", "b", "c", "a", "d"):
        use(cache, name)
    assert list(cache._cached) == ["c", "a", "d"]


def test_descriptors_stay_in_bounds(cache: DirectoryCache) -> None:
    before = len(open_descriptors())
    for number in range(50):
        use(cache, f"a/b/{number}")
    assert len(open_descriptors()) <= before + 3 + 2


def test_a_folder_in_use_stays_open(cache: DirectoryCache) -> None:
    directory = cache.acquire("used")
    for name in "abcdef":
        use(cache, name)
    assert "used" not in cache._cached
    assert os.fstat(directory.fd).st_nlink
    cache.release(directory)
    assert directory.fd == -1


def test_a_parent_stays_open_for_its_children(cache: DirectoryCache) -> None:
    directory = cache.acquire("parent/child")
    for name in "abcdef":
        use(cache, name)
    assert directory.parent is not None
    assert os.fstat(directory.parent.fd).st_nlink
    cache.release(directory)
    assert directory.parent.fd == -1


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = open_descriptors()
    cache = DirectoryCache(os.open(tmp_path, os.O_RDONLY), SYSTEM)
    use(cache, "a/b/c")
    assert len(cache) == 3
    cache.close()
    cache.close()
    assert open_descriptors() == before


def test_forgetting_closes_what_is_not_in_use(cache: DirectoryCache) -> None:
    kept = cache.acquire("kept")
    use(cache, "gone")
    cache.forget()
    assert len(cache) == 0
    assert os.fstat(kept.fd).st_nlink
    cache.release(kept)


def test_links_are_not_followed(cache: DirectoryCache, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(UnsafeName, match="symbolic link"):
        cache.acquire("link/a")
    assert list(outside.iterdir()) == []


def test_a_dangling_link_is_not_followed(cache: DirectoryCache, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UnsafeName, match="symbolic link"):
        cache.acquire("link")
    assert not (tmp_path / "nowhere").exists()


def test_a_fifo_in_place_of_a_folder_blocks_nobody(cache: DirectoryCache, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnsafeName, match="FIFO"):
        cache.acquire("fifo")


def test_a_file_in_place_of_a_folder_is_told(cache: DirectoryCache, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with pytest.raises(NameTaken) as caught:
        cache.acquire("file/a")
    assert caught.value.existing_byte_count == 3


@pytest.mark.parametrize("create", [True, False])
def test_a_kernel_that_refuses_is_told(tmp_path: Path, *, create: bool) -> None:
    (tmp_path / "a").mkdir()
    cache = DirectoryCache(os.open(tmp_path, os.O_RDONLY), Fails({"open": errno.EMFILE}))
    with pytest.raises(StorageError, match="too many open files"):
        cache.acquire("a", create=create)
    cache.close()


def test_a_folder_removed_while_it_is_made_is_told(tmp_path: Path) -> None:
    cache = DirectoryCache(os.open(tmp_path, os.O_RDONLY), Fails({"mkdir": errno.ENOENT}))
    with pytest.raises(StorageError, match="removed during the run"):
        cache.acquire("a")
    cache.close()


def test_depth_is_bounded(cache: DirectoryCache, tmp_path: Path) -> None:
    use(cache, "/".join("a" * MAX_DEPTH))
    with pytest.raises(UnsafeName, match="deep"):
        cache.acquire("/".join("b" * 100_000))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="empty"),
        pytest.param("..", id="parent"),
        pytest.param("a/..", id="parent below"),
        pytest.param(".", id="itself"),
        pytest.param("a/", id="no name"),
        pytest.param("/a", id="absolute"),
        pytest.param("/a/b", id="absolute and deep"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("a" * 256, id="256 bytes"),
        pytest.param("é" * 128, id="256 bytes in 128 characters"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param(".asyncdicom-run.lock", id="ours"),
    ],
)
def test_what_is_no_plain_name_is_refused(path: str) -> None:
    with pytest.raises(UnsafeName) as caught:
        split_path(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", ["../a", "a/../b", "./a", "a//b"])
def test_a_folder_that_is_no_plain_name_is_refused(cache: DirectoryCache, path: str) -> None:
    parent, _ = split_path(path)
    with pytest.raises(UnsafeName):
        cache.acquire(parent)


@pytest.mark.parametrize("name", ["a", "a" * 255, "é" * 127, "山田^太郎", "...", "\udcff"])
def test_plain_names_pass(name: str) -> None:
    check_name(name, name)


def test_what_stands_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    fd = os.open(tmp_path, os.O_RDONLY)
    assert "folder" in str(what_stands_there(SYSTEM, fd, "folder", "x"))
    assert "device" in str(what_stands_there(SYSTEM, fd, "socket", "x"))
    assert "removed" in str(what_stands_there(SYSTEM, fd, "gone", "x"))
    os.close(fd)


def test_names_of_new_folders_are_synced_up_to_the_root(
    cache: DirectoryCache, system: WatchedSystem
) -> None:
    one, two = cache.acquire("a/b/one"), cache.acquire("a/b/two")
    system.calls.clear()
    sync_directories([one, two, one], system)
    assert system.calls == ["fsync"] * 5
    system.calls.clear()
    sync_directories([one, two], system)
    assert system.calls == ["fsync"] * 2
    cache.release(one)
    cache.release(two)


def test_names_that_could_not_be_synced_are_synced_again(cache: DirectoryCache) -> None:
    directory = cache.acquire("a")
    with pytest.raises(OSError, match="Input/output"):
        sync_directories([directory], Fails({"fsync": errno.EIO}))
    assert not directory.is_name_durable
    cache.release(directory)
