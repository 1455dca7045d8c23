"""Room is looked for before it is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import DiskFull, StorageError
from asyncdicom.storage.room import free_bytes, require_room_for

if TYPE_CHECKING:
    from pathlib import Path


def test_what_fits_may_come(tmp_path: Path) -> None:
    require_room_for(1, str(tmp_path))


def test_what_does_not_fit_is_refused_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"MB are to be stored, .* MB are free"):
        require_room_for(free_bytes(str(tmp_path)) + 10**12, str(tmp_path))


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        free_bytes(str(tmp_path / "none"))
