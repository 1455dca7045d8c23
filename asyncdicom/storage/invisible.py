"""Files without a name: O_TMPFILE, and linkat(2) through /proc to give them one.

Rule: whether that works is found out by doing it once in the root (`supports_invisible_files`);
another file system mounted below it may still refuse, and then says so at `open_invisible`.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from asyncdicom.storage.failures import close_quietly

if TYPE_CHECKING:
    from asyncdicom.storage.system import System
    from asyncdicom.storage.temporaries import TemporaryNames

__all__ = ["link_invisible", "open_invisible", "supports_invisible_files"]

_O_TMPFILE: int | None = getattr(os, "O_TMPFILE", None)

_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
"""What open(2) says where the file system (or an old kernel) has no O_TMPFILE."""


def open_invisible(system: System, dir_fd: int) -> int | None:
    """Make a file without a name, or return None where the file system cannot.

    Raises:
        OSError: If the folder cannot be written to.

    """
    if _O_TMPFILE is None:
        return None
    try:
        # Mode 0666, so that the kernel applies the umask or the folder's default
        # ACL; who could open it without a name can trace us anyway.
        return system.open(".", _O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise


def link_invisible(system: System, fd: int, name: str, *, dir_fd: int) -> None:
    """Give a file a name that is free.

    Raises:
        FileExistsError: If the name is taken.
        OSError: If the kernel refuses otherwise.

    """
    # The magic link is followed to the file itself, which has no other name.
    system.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=dir_fd, follow_symlinks=True)


def supports_invisible_files(root_fd: int, system: System, temporaries: TemporaryNames) -> bool:
    """Tell whether files can be written without a name and linked afterwards.

    Raises:
        OSError: If the folder cannot be written to at all.

    """
    fd = open_invisible(system, root_fd)
    if fd is None:
        return False
    try:
        name = temporaries.draw()
        link_invisible(system, fd, name, dir_fd=root_fd)
        system.unlink(name, dir_fd=root_fd)
    except OSError:
        # /proc is not mounted, the file system has no hard links, or a sandbox
        # forbids it. Or the name could not be removed.
        temporaries.leave_orphan()
        return False
    else:
        return True
    finally:
        close_quietly(system, fd)
        # Given back, so that a killed run that needs no such names costs the
        # next one no sweep.
        temporaries.close()
