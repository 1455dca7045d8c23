from __future__ import annotations

import errno
import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.storage.system import SYSTEM
from asyncdicom.storage.temporaries import LOCK_NAME, TemporaryNames, sweep
from tests.storage.faults import Fails, WatchedSystem, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORPHAN = ".asyncdicom-0123abcd-7.part"


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def lock(root: Path) -> int:
    fd = os.open(root / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def test_names_are_never_drawn_twice(root_fd: int) -> None:
    one, other = TemporaryNames(root_fd, SYSTEM), TemporaryNames(root_fd, SYSTEM)
    assert len({one.draw(), one.draw(), other.draw(), other.draw()}) == 4
    one.close()
    other.close()


class SlowLocks(WatchedSystem):
    """Locks that take long enough for every thread to ask for one."""

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "flock":
            time.sleep(0.05)


def test_threads_that_draw_at_once_share_one_lock(root_fd: int, tmp_path: Path) -> None:
    before = open_descriptors()
    names = TemporaryNames(root_fd, SlowLocks())
    with ThreadPoolExecutor(4) as executor:
        assert len(set(executor.map(lambda _: names.draw(), range(8)))) == 8
    names.close()
    assert open_descriptors() == before
    assert not (tmp_path / LOCK_NAME).exists()


def test_the_last_run_out_removes_the_lock(root_fd: int, tmp_path: Path) -> None:
    one, other = TemporaryNames(root_fd, SYSTEM), TemporaryNames(root_fd, SYSTEM)
    one.draw()
    other.draw()
    one.close()
    assert (tmp_path / LOCK_NAME).exists()
    other.close()
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_run_that_drew_nothing_has_nothing_to_give_back(root_fd: int) -> None:
    TemporaryNames(root_fd, SYSTEM).close()


def test_without_a_lock_file_nothing_is_searched(root_fd: int, tmp_path: Path) -> None:
    (tmp_path / ORPHAN).touch()
    assert sweep(root_fd, SYSTEM) == 0
    assert (tmp_path / ORPHAN).exists()


def test_orphans_of_dead_runs_are_removed(root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    orphans = [tmp_path / ORPHAN, tmp_path / "a" / ORPHAN, tmp_path / "a/b" / ORPHAN]
    kept = [tmp_path / "a/file", tmp_path / "a/.asyncdicom-mine", tmp_path / "a/.hidden.part"]
    for path in orphans + kept:
        path.touch()
    os.close(lock(tmp_path))
    assert sweep(root_fd, SYSTEM) == 3
    assert not any(path.exists() for path in orphans)
    assert all(path.exists() for path in kept)
    assert not (tmp_path / LOCK_NAME).exists()


def test_the_last_run_out_does_not_hide_that_another_one_died(root_fd: int, tmp_path: Path) -> None:
    alive, dead = TemporaryNames(root_fd, SYSTEM), TemporaryNames(root_fd, SYSTEM)
    alive.draw()
    (tmp_path / dead.draw()).touch()
    os.close(dead._lock_fd)
    alive.close()
    assert sweep(root_fd, SYSTEM) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_live_run_keeps_its_files(root_fd: int, tmp_path: Path) -> None:
    (tmp_path / ORPHAN).touch()
    alive = lock(tmp_path)
    assert sweep(root_fd, SYSTEM) == 0
    assert (tmp_path / ORPHAN).exists()
    os.close(alive)


def test_the_sweep_follows_no_links(root_fd: int, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / ORPHAN).touch()
    (tmp_path / "link").symlink_to(outside)
    os.close(lock(tmp_path))
    assert sweep(root_fd, SYSTEM) == 0
    assert (outside / ORPHAN).exists()


def test_a_planted_link_in_place_of_the_lock_is_not_followed(root_fd: int, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / LOCK_NAME).symlink_to(victim)
    assert sweep(root_fd, SYSTEM) == 0
    with pytest.raises(OSError) as caught:
        TemporaryNames(root_fd, SYSTEM).draw()
    assert caught.value.errno == errno.ELOOP
    assert not victim.exists()


def test_an_orphan_that_cannot_be_removed_waits_for_the_next_sweep(
    root_fd: int, tmp_path: Path
) -> None:
    (tmp_path / ORPHAN).touch()
    os.close(lock(tmp_path))
    assert sweep(root_fd, Fails({"unlink": errno.EIO})) == 0
    assert (tmp_path / LOCK_NAME).exists()
    assert sweep(root_fd, SYSTEM) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_leaves_something_leaves_its_lock_file(root_fd: int, tmp_path: Path) -> None:
    names = TemporaryNames(root_fd, SYSTEM)
    (tmp_path / names.draw()).touch()
    names.leave_orphan()
    names.close()
    assert sweep(root_fd, SYSTEM) == 1


def test_a_file_system_without_locks_is_never_swept(root_fd: int, tmp_path: Path) -> None:
    system = Fails({"flock": errno.ENOLCK})
    names = TemporaryNames(root_fd, system)
    assert names.draw() != names.draw()
    names.close()
    (tmp_path / ORPHAN).touch()
    assert sweep(root_fd, system) == 0
    assert (tmp_path / ORPHAN).exists()


class SweptMeanwhile(WatchedSystem):
    """Another run removes the lock file before we hold it."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "flock":
            (self.root / LOCK_NAME).unlink(missing_ok=True)


def test_a_lock_on_a_removed_file_is_no_lock(root_fd: int, tmp_path: Path) -> None:
    before = open_descriptors()
    names = TemporaryNames(root_fd, SweptMeanwhile(tmp_path))
    names.draw()
    assert names._lock_fd < 0
    assert open_descriptors() == before


def test_a_lock_file_removed_by_somebody_is_not_missed(root_fd: int, tmp_path: Path) -> None:
    names = TemporaryNames(root_fd, SYSTEM)
    names.draw()
    (tmp_path / LOCK_NAME).unlink()
    (tmp_path / LOCK_NAME).touch()
    names.close()
    assert (tmp_path / LOCK_NAME).exists()
