"""Whether a folder that may not exist yet has room for what is planned."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from asyncdicom.storage.room import free_bytes, require_room_for

__all__ = ["free_bytes_for", "require_room"]


def free_bytes_for(output: Path) -> int:
    """Return what is free where a folder is, or will be.

    Raises:
        StorageError: If the file system cannot say.

    """
    return free_bytes(_existing(output))


def require_room(needed_bytes: int, output: Path) -> None:
    """Refuse to begin what the disk cannot hold. What is there already needs no room.

    Raises:
        DiskFull: If it cannot.
        StorageError: If the file system cannot say.

    """
    if needed_bytes > free_bytes_for(output):
        require_room_for(needed_bytes - _bytes_below(output), _existing(output))


def _existing(path: Path) -> str:
    """Return the folder, or the nearest one above it that exists and can be looked into."""
    path = path.absolute()
    # Not `Path.is_dir`: where nobody may look, it fails instead of saying no.
    found = (one for one in (path, *path.parents) if os.path.isdir(one))  # noqa: PTH112 -- as said
    return str(next(found, "/"))


def _bytes_below(path: Path) -> int:
    byte_count = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                byte_count += Path(folder, name).lstat().st_size
    return byte_count
