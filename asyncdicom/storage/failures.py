"""What the kernel said, in the words of `asyncdicom.errors`: the border to `OSError`."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from asyncdicom.errors import DiskFull, StorageError, UnsafeName

if TYPE_CHECKING:
    from asyncdicom.storage.system import System

__all__ = ["close_quietly", "storage_error"]

_FULL = {
    errno.ENOSPC: (
        "no space or no inodes left",
        "free some, then run again: what is stored is kept",
    ),
    errno.EDQUOT: ("disk quota used up", "raise the quota or free some, then run again"),
    errno.EFBIG: ("file size limit reached", "see `ulimit -f` and the limits of the file system"),
}
_UNSAFE = {
    errno.ELOOP: "a symbolic link stands in the way and is not followed",
    errno.ENAMETOOLONG: "name too long for the file system",
    errno.EILSEQ: "name has characters that the file system cannot hold",
}
_OTHER = {
    errno.EROFS: ("file system is read-only", "choose another output folder"),
    errno.EACCES: ("permission denied", "check owner and mode of the output folder"),
    errno.EPERM: ("operation not permitted", "check owner and mode of the output folder"),
    errno.EIO: ("input/output error", "the disk or its connection fails: see the kernel's log"),
    errno.EMFILE: ("too many open files", "raise `ulimit -n` or lower --concurrency"),
    errno.ENFILE: ("too many open files on this machine", "lower --concurrency"),
    errno.ENOENT: ("folder was removed during the run", "run again: what is stored is kept"),
}


def storage_error(error: OSError, path: str) -> StorageError:
    """Map an `OSError` to what a caller may handle.

    Args:
        error: As raised by a system call on a file or folder.
        path: Relative to the output folder.

    """
    code = error.errno or 0
    if code in _FULL:
        message, hint = _FULL[code]
        return DiskFull(message, path=path, hint=hint)
    if code in _UNSAFE:
        return UnsafeName(_UNSAFE[code], path=path)
    message, hint = _OTHER.get(code, (os.strerror(code).lower() if code else "failed", ""))
    return StorageError(message, path=path, hint=hint)


def close_quietly(system: System, fd: int) -> None:
    """Close a descriptor through which nothing is waiting to be written.

    It was synced or flushed before it got its name, so an error means nothing here;
    and after EINTR the descriptor is gone on Linux.
    """
    try:  # noqa: SIM105 -- a context manager costs more than the call, and this is called per file
        system.close(fd)
    except OSError:
        pass
