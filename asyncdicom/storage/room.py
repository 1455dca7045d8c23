"""How much room there is for what is about to be stored."""

from __future__ import annotations

import os

from asyncdicom.errors import DiskFull
from asyncdicom.storage.failures import storage_error

__all__ = ["free_bytes", "require_room_for"]


def free_bytes(root: str) -> int:
    """Return how many bytes are free for us on the file system of a folder.

    Raises:
        StorageError: If the file system cannot say.

    """
    try:
        found = os.statvfs(root)
    except OSError as error:
        raise storage_error(error, root) from error
    return found.f_bavail * found.f_frsize


def require_room_for(byte_count: int, root: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        DiskFull: If less is free for us.
        StorageError: If the file system cannot say.

    """
    free = free_bytes(root)
    if free < byte_count:
        raise DiskFull(
            f"{byte_count / 1e6:.1f} MB are to be stored, {free / 1e6:.1f} MB are free",
            path=root,
            hint="free some, or choose another output folder",
        )
