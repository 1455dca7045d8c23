"""Temporary names, and the sweep of those that dead runs left.

Most files have no temporary name (`atomic.py`). Where the file system cannot
do without, it is `.asyncdicom-<run>-<n>.part` in the folder of the final name.
A run that uses such names holds a shared lock on `.asyncdicom-run.lock` in the
root; the last one out removes it. So at start:

    no lock file            nothing was left behind: one failing open, no walk
    lock held               another run is alive: leave everything
    lock file, not held     the runs died: walk, remove, remove the lock file

flock(2) rather than a process number: it is right across containers that share
a folder, and a number may be taken again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from typing import TYPE_CHECKING

from asyncdicom.storage.directories import RESERVED_PREFIX
from asyncdicom.storage.failures import close_quietly

if TYPE_CHECKING:
    from asyncdicom.storage.system import System

__all__ = ["LOCK_NAME", "TemporaryNames", "sweep"]

LOCK_NAME = f"{RESERVED_PREFIX}run.lock"

_TEMPORARY = re.compile(rf"{re.escape(RESERVED_PREFIX)}[0-9a-f]{{8}}-[0-9]+\.part")
_LOCK_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TemporaryNames:
    """Source of temporary names of one run; takes the lock with the first."""

    def __init__(self, root_fd: int, system: System) -> None:
        self._root_fd = root_fd
        self._system = system
        self._run = secrets.token_hex(4)
        self._count = 0
        self._lock_fd = -1

    def draw(self) -> str:
        """Return a name that this run has not used.

        Raises:
            OSError: If the lock file cannot be made.

        """
        if self._lock_fd < 0:
            self._lock()
        self._count += 1
        return f"{RESERVED_PREFIX}{self._run}-{self._count}.part"

    def close(self) -> None:
        """Give the lock back; remove its file if no other run holds it."""
        if self._lock_fd >= 0:
            fd, self._lock_fd = self._lock_fd, -1
            _remove_unless_held(self._system, self._root_fd, fd)

    def _lock(self) -> None:
        fd = self._system.open(LOCK_NAME, _LOCK_FLAGS | os.O_CREAT, 0o600, dir_fd=self._root_fd)
        try:
            self._system.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            is_ours = self._system.fstat(fd).st_nlink > 0
        except OSError:
            # Another run sweeps just now, or the file system has no locks. The
            # worst that may happen is that our temporary file is swept, and its
            # commit fails. The next name tries again.
            is_ours = False
        if is_ours:
            self._lock_fd = fd
        else:
            close_quietly(self._system, fd)


def sweep(root_fd: int, system: System) -> int:
    """Remove the temporary files that dead runs left below the root.

    Cost: one system call if the last runs ended in order, else a walk through
    all folders; symbolic links are not followed.

    Returns:
        Count of files removed.

    """
    try:
        fd = system.open(LOCK_NAME, _LOCK_FLAGS, dir_fd=root_fd)
    except OSError:
        return 0
    try:
        system.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        close_quietly(system, fd)
        return 0
    count = _remove_temporaries(root_fd, system)
    _remove_unless_held(system, root_fd, fd)
    return count


def _remove_temporaries(root_fd: int, system: System) -> int:
    count = 0
    for _, _, names, dir_fd in os.fwalk(".", dir_fd=root_fd, follow_symlinks=False):
        for name in filter(_TEMPORARY.fullmatch, names):
            try:
                system.unlink(name, dir_fd=dir_fd)
                count += 1
            except OSError:
                # Left for the next sweep; it harms nobody.
                continue
    return count


def _remove_unless_held(system: System, root_fd: int, fd: int) -> None:
    """Remove the lock file if nobody else holds it, and close it."""
    # If another run holds it, that one removes it when it ends.
    with contextlib.suppress(OSError):
        system.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if system.fstat(fd).st_nlink > 0:
            system.unlink(LOCK_NAME, dir_fd=root_fd)
    close_quietly(system, fd)
