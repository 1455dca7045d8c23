"""The low-water mark of the output folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import DiskFull, StorageError
from asyncdicom.receiver.room import LEAST_BYTES, MOST_BYTES, Room

if TYPE_CHECKING:
    from pathlib import Path

MARK = 5 * MOST_BYTES


class Disk:
    """Says how much is free, and how often it was asked."""

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.looks = 0

    def __call__(self, root: str) -> int:
        assert root == "/out"
        self.looks += 1
        return self.free_bytes


def written(disk: Disk, piece_bytes: int, limit_bytes: int) -> int:
    """Write pieces until there is no room, or enough; return how much was written."""
    room = Room("/out", MARK, disk)
    room.require()
    total_bytes = 0
    while total_bytes < limit_bytes:
        try:
            room.spend(piece_bytes)
        except DiskFull:
            return total_bytes
        disk.free_bytes -= piece_bytes
        total_bytes += piece_bytes
    return total_bytes


def test_above_the_mark_there_is_room(tmp_path: Path) -> None:
    Room(str(tmp_path), shutil.disk_usage(tmp_path).free // 2).require()


def test_below_the_mark_the_disk_is_full(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="have to stay"):
        Room(str(tmp_path), shutil.disk_usage(tmp_path).total * 2).require()


def test_after_a_refusal_everybody_looks_again() -> None:
    disk = Disk(MARK + MOST_BYTES)
    room = Room("/out", MARK, disk)
    room.require()
    disk.free_bytes = 0
    with pytest.raises(DiskFull):
        room.require()
    with pytest.raises(DiskFull):
        room.spend(1)


def test_without_a_mark_nobody_looks() -> None:
    room = Room("/no/such/folder", 0)
    room.require()
    room.spend(2**40)


def test_a_folder_that_is_gone_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        Room(str(tmp_path / "gone"), 1).require()


@pytest.mark.parametrize("above_bytes", [0, 3 * LEAST_BYTES, 200 * LEAST_BYTES])
@pytest.mark.parametrize("piece_bytes", [4096, LEAST_BYTES])
def test_what_is_written_ends_at_the_mark(above_bytes: int, piece_bytes: int) -> None:
    disk = Disk(MARK + above_bytes)
    written(disk, piece_bytes, limit_bytes=10 * MARK)
    assert abs(disk.free_bytes - MARK) <= LEAST_BYTES


def test_far_above_the_mark_a_look_is_rare() -> None:
    disk = Disk(1000 * MARK)
    assert written(disk, MOST_BYTES // 8, limit_bytes=10 * MOST_BYTES) == 10 * MOST_BYTES
    assert disk.looks == 10


def test_once_others_made_room_more_is_taken() -> None:
    disk = Disk(MARK)
    room = Room("/out", MARK, disk)
    room.require()
    disk.free_bytes = MARK - 1
    for _ in range(2):
        with pytest.raises(DiskFull):
            room.spend(2 * LEAST_BYTES)
    disk.free_bytes = MARK
    room.spend(2 * LEAST_BYTES)
