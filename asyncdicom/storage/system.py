"""The system calls of storage, in one place, so that a test can make each of them fail.

    folder = OutputFolder.open("out", system=FailsAtCall(7, errno.EIO))

Rule: nothing else in `storage` calls `os` for what can fail on a disk. `write`,
`fsync` and their kin are retried by Python itself after EINTR (PEP 475).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SYSTEM", "System"]

_RENAME_NOREPLACE = 1
"""From `linux/fs.h`."""

_FALLOC_FL_KEEP_SIZE = 1
"""From `linux/falloc.h`."""


class System:
    """The calls as the kernel offers them; the default of everything in `storage`."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    write = staticmethod(os.write)
    writev = staticmethod(os.writev)
    pread = staticmethod(os.pread)
    preadv = staticmethod(os.preadv)
    pwrite = staticmethod(os.pwrite)
    seek = staticmethod(os.lseek)
    fsync = staticmethod(os.fsync)
    # macOS has no fdatasync; its fsync does as much.
    fdatasync = staticmethod(getattr(os, "fdatasync", os.fsync))
    truncate = staticmethod(os.ftruncate)
    fchmod = staticmethod(os.fchmod)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    link = staticmethod(os.link)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    flock = staticmethod(fcntl.flock)

    def listdir(self, fd: int) -> list[str]:
        """List the names in a folder, without `.` and `..`."""
        # Through a descriptor of its own: those who share one share a place in the folder, and
        # two threads that list it at once would each miss what the other one was given.
        own = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        try:
            return os.listdir(own)  # noqa: PTH208 -- a descriptor has no path
        finally:
            os.close(own)

    def flush(self, fd: int) -> None:
        """Hear of what write(2) could not tell yet: no room on a server, a quota used up.

        Raises:
            OSError: What close(2) says.

        """
        # close(2): NFS and FUSE say so when any descriptor of the file is closed.
        os.close(os.dup(fd))

    def start_writeback(self, fd: int) -> None:
        """Ask for the dirty pages of a file to be written soon; waits for nothing."""
        advise = getattr(os, "posix_fadvise", None)
        if advise is not None:
            # Linux starts writing the dirty pages of the range before it looks
            # for clean ones to drop (mm/fadvise.c).
            advise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def allocate(self, fd: int, byte_count: int) -> None:
        """Take room for the first bytes of a file, whose size stays what it is.

        Raises:
            OSError: With ENOSYS or EOPNOTSUPP where kernel or file system cannot do it.

        """
        # Not posix_fallocate(3): where the file system has no such thing, that writes instead.
        fallocate = _find_fallocate()
        if fallocate is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if fallocate(fd, _FALLOC_FL_KEEP_SIZE, 0, byte_count) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def rename_noreplace(self, source: str, target: str, *, dir_fd: int) -> None:
        """Rename within one folder, unless the target exists.

        Raises:
            FileExistsError: If the target exists.
            OSError: With ENOSYS or EINVAL where kernel or file system cannot do it.

        """
        renameat2 = _find_renameat2()
        if renameat2 is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
        names = os.fsencode(source), os.fsencode(target)
        if renameat2(dir_fd, names[0], dir_fd, names[1], _RENAME_NOREPLACE) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), target)


@functools.cache
def _find_renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Find renameat2(2) in the C library, which Python does not wrap."""
    found = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if found is None:
        return None
    found.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )
    found.restype = ctypes.c_int
    renameat2: Callable[[int, bytes, int, bytes, int], int] = found
    return renameat2


@functools.cache
def _find_fallocate() -> Callable[[int, int, int, int], int] | None:
    """Find fallocate(2) in the C library, of which Python wraps the portable relative only."""
    library = ctypes.CDLL(None, use_errno=True)
    # glibc gives offsets of 64 bits to this name on all machines; musl has the other one alone.
    found = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if found is None:
        return None
    found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    found.restype = ctypes.c_int
    fallocate: Callable[[int, int, int, int], int] = found
    return fallocate


SYSTEM = System()
"""The real thing."""
