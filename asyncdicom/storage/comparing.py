"""Whether a file that has the name already is the very one that was to get it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asyncdicom.storage.failures import close_quietly

if TYPE_CHECKING:
    from asyncdicom.storage.system import System

__all__ = ["has_same_content"]

CHUNK_BYTES = 1024 * 1024
"""Read at once from each side."""

_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def has_same_content(system: System, fd: int, name: str, *, dir_fd: int, byte_count: int) -> bool:
    """Compare an open file with one that has a name; what cannot be read is not the same.

    Args:
        system: Where system calls go.
        fd: Of the open file.
        name: Of the other, in the folder `dir_fd`.
        dir_fd: Of the folder.
        byte_count: Size of both.

    """
    try:
        other = system.open(name, _READ_FLAGS, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        return all(
            system.pread(fd, CHUNK_BYTES, offset) == system.pread(other, CHUNK_BYTES, offset)
            for offset in range(0, byte_count, CHUNK_BYTES)
        )
    except OSError:
        return False
    finally:
        close_quietly(system, other)
