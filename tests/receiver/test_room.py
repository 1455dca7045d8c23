"""The low-water mark of the output folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import DiskFull, StorageError
from asyncdicom.receiver.room import require_room

if TYPE_CHECKING:
    from pathlib import Path


def test_above_the_mark_there_is_room(tmp_path: Path) -> None:
    require_room(str(tmp_path), shutil.disk_usage(tmp_path).free // 2)


def test_below_the_mark_the_disk_is_full(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="have to stay"):
        require_room(str(tmp_path), shutil.disk_usage(tmp_path).total * 2)


def test_without_a_mark_nobody_looks() -> None:
    require_room("/no/such/folder", 0)


def test_a_folder_that_is_gone_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        require_room(str(tmp_path / "gone"), 1)
