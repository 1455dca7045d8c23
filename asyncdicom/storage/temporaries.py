"""Temporary names, and the sweep of those that dead runs left.

Most files have no temporary name (`atomic.py`). Where the file system cannot
do without, it is `.asyncdicom-<run>-<n>.part` in the folder of the final name.
A run that uses such names holds a shared lock on `.asyncdicom-run.lock` in the
root, and writes a `+` into it; a `-` when it ends and has left nothing behind.
The last one out removes the file if each `+` has its `-`. So at start:

    no lock file            nothing was left behind: one failing open, no walk
    lock held               another run is alive: leave everything
    lock file, not held     a run died: walk, remove, remove the lock file

flock(2) rather than a process number: it is right across containers that share
a folder, and a number may be taken again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from typing import TYPE_CHECKING

from asyncdicom.storage.directories import RESERVED_PREFIX
from asyncdicom.storage.failures import close_quietly

if TYPE_CHECKING:
    from asyncdicom.storage.system import System

__all__ = ["LOCK_NAME", "TemporaryNames", "sweep"]

LOCK_NAME = f"{RESERVED_PREFIX}run.lock"

MAX_LEDGER_BYTES = 64 * 1024
"""Of the lock file that are read; beyond, the counts differ and the next run sweeps."""

_TEMPORARY = re.compile(rf"{re.escape(RESERVED_PREFIX)}[0-9a-f]{{8}}-[0-9]+\.part")
_LOCK_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TemporaryNames:
    """Source of temporary names of one run, for many threads; takes the lock with the first."""

    def __init__(self, root_fd: int, system: System) -> None:
        self._root_fd = root_fd
        self._system = system
        self._run = os.urandom(4).hex()
        self._count = 0
        self._lock_fd = -1
        self._has_orphans = False
        self._drawing = threading.Lock()

    def draw(self) -> str:
        """Return a name that this run has not used.

        Raises:
            OSError: If the lock file cannot be made.

        """
        with self._drawing:
            if self._lock_fd < 0:
                self._lock()
            self._count += 1
            return f"{RESERVED_PREFIX}{self._run}-{self._count}.part"

    def leave_orphan(self) -> None:
        """Note that a name could not be removed: the next run has to sweep."""
        self._has_orphans = True

    def close(self) -> None:
        """Give the lock back; remove its file if no other run holds it and nothing is left."""
        if self._lock_fd < 0:
            return
        fd, self._lock_fd = self._lock_fd, -1
        # Whatever fails here leaves the file, and the next run sweeps.
        with contextlib.suppress(OSError):
            if not self._has_orphans:
                self._system.write(fd, b"-")
            self._system.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ledger = self._system.pread(fd, MAX_LEDGER_BYTES, 0)
            if ledger.count(b"+") == ledger.count(b"-"):
                _remove_lock_file(self._system, self._root_fd, fd)
        close_quietly(self._system, fd)

    def _lock(self) -> None:
        fd = self._system.open(LOCK_NAME, _LOCK_FLAGS | os.O_CREAT, 0o600, dir_fd=self._root_fd)
        try:
            self._system.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            is_ours = self._system.fstat(fd).st_nlink > 0
            self._system.write(fd, b"+")
        except OSError:
            # Another run sweeps just now, or the file system has no locks or no room. The
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
    count, failed = _remove_temporaries(root_fd, system)
    if not failed:
        # What cannot be removed is swept in vain by the next run.
        with contextlib.suppress(OSError):
            _remove_lock_file(system, root_fd, fd)
    close_quietly(system, fd)
    return count


def _remove_temporaries(root_fd: int, system: System) -> tuple[int, int]:
    """Return counts of files removed, and of those left for the next sweep."""
    count = failed = 0
    for _, _, names, dir_fd in os.fwalk(".", dir_fd=root_fd, follow_symlinks=False):
        for name in filter(_TEMPORARY.fullmatch, names):
            try:
                system.unlink(name, dir_fd=dir_fd)
                count += 1
            except OSError:
                failed += 1
    return count, failed


def _remove_lock_file(system: System, root_fd: int, fd: int) -> None:
    """Remove the lock file that we hold alone, unless somebody removed it before."""
    if system.fstat(fd).st_nlink > 0:
        system.unlink(LOCK_NAME, dir_fd=root_fd)
