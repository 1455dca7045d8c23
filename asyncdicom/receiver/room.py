"""Whether there is room: the low-water mark of the output folder."""

from __future__ import annotations

import os

from asyncdicom.errors import DiskFull
from asyncdicom.storage.failures import storage_error

__all__ = ["require_room"]


def require_room(root: str, min_free_bytes: int) -> None:
    """Refuse more when too little is left for others, and for what is under way.

    Cost: one system call, and none without a mark.

    Raises:
        DiskFull: If less than `min_free_bytes` is free for us.
        StorageError: If the file system cannot say.

    """
    if not min_free_bytes:
        return
    try:
        found = os.statvfs(root)
    except OSError as error:
        raise storage_error(error, root) from error
    free_bytes = found.f_bavail * found.f_frsize
    if free_bytes < min_free_bytes:
        raise DiskFull(
            f"only {free_bytes} bytes are free, {min_free_bytes} have to stay",
            path=root,
            hint="free some: what comes then is taken again",
        )
