"""Open folders below the output root, reached component by component.

    directories = DirectoryCache(root_fd, SYSTEM)
    directory = directories.acquire("study/series")     # made where missing
    try:
        os.open("name", flags, dir_fd=directory.fd)
    finally:
        directories.release(directory)

Rule: a path is never given to the kernel; only a name, with the descriptor of
its folder and O_NOFOLLOW. So a symbolic link below the root is never followed,
whenever it was planted.

Strategy: descriptors are kept, least recently used first to go, because `dump`
makes one folder per instance and all its files land there: mkdir and open cost
24 us, a hit costs under 1 us. A folder in use is pinned: the cache may forget it, but it
stays open until its last user lets go. A folder pins its parent, whose fsync
makes its own name durable.

A folder that is moved by somebody during the run takes the files to come with it, unless
moves are expected: then each folder is looked up again (1 us for each component), and one
that is not there any more is made anew.
"""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING, Protocol, TypeVar

from asyncdicom.errors import NameTaken, StorageError, UnsafeName
from asyncdicom.storage.failures import close_quietly, storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncdicom.storage.system import System

__all__ = [
    "RESERVED_PREFIX",
    "Directory",
    "DirectoryCache",
    "Each",
    "check_name",
    "split_path",
    "sync_directories",
    "what_stands_there",
]

_T = TypeVar("_T")
_R = TypeVar("_R")

MAX_NAME_BYTES = 255
"""NAME_MAX of every file system we know."""

MAX_DEPTH = 64
"""Folders below the root; the deepest of ours have 7, and templates rarely 10."""

RESERVED_PREFIX = ".asyncdicom-"
"""Of names that are ours: temporary files and the lock of a run."""

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Each(Protocol):
    """Calls a function for each item: `map`, or an executor's."""

    def __call__(self, function: Callable[[_T], _R], items: Iterable[_T], /) -> Iterable[_R]:
        """Return the results in order, or raise what the first failing call raised."""


class Directory:
    """A folder that is held open.

    Attributes:
        fd: Descriptor, valid while the directory is acquired.
        path: Relative to the root; empty for the root.
        is_name_durable: Whether the parent was synced since this folder was opened.

    """

    __slots__ = ("fd", "is_cached", "is_name_durable", "parent", "path", "pins")

    def __init__(self, fd: int, path: str, parent: Directory | None) -> None:
        self.fd = fd
        self.path = path
        self.parent = parent
        self.pins = 0
        self.is_cached = True
        # Also for folders that were found: the run that made them may have been
        # killed before it synced.
        self.is_name_durable = parent is None


class DirectoryCache:
    """Folders below the root, opened once and kept in bounds. Safe to use from many threads."""

    def __init__(
        self, root_fd: int, system: System, *, capacity: int = 128, expects_moves: bool = False
    ) -> None:
        """Take over the root.

        Args:
            root_fd: Descriptor of the root; closed by `close`.
            system: Where system calls go.
            capacity: Folders kept open beyond those in use, at least 1.
            expects_moves: Whether others may move or remove folders below the root.

        """
        self.root = Directory(root_fd, "", None)
        self._system = system
        self._capacity = capacity
        self._expects_moves = expects_moves
        self._cached: dict[str, Directory] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._cached)

    def acquire(
        self, path: str, known: Directory | None = None, *, create: bool = True
    ) -> Directory:
        """Return a folder and pin it; give it back with `release`.

        Args:
            path: Relative to the root, components separated by `/`; empty for the root.
            known: The same folder, if it is acquired already.
            create: Make what is missing, with mode 0777 less the umask.

        Raises:
            FileNotFoundError: If it is missing and not to be made.
            UnsafeName: If a component is no plain name, or a symbolic link, FIFO or device.
            NameTaken: If a file stands where a folder is needed.
            StorageError: If the kernel refuses; `DiskFull` where that is why.

        """
        with self._lock:
            directory = known or self._find(path) or self._descend(path, create=create)
            directory.pins += 1
            return directory

    def release(self, directory: Directory) -> None:
        """Give back what `acquire` returned."""
        with self._lock:
            self._unpin(directory)

    def forget(self) -> None:
        """Drop every folder that is kept: one of them was removed behind our back."""
        with self._lock:
            for path in list(self._cached):
                self._drop(path)

    def close(self) -> None:
        """Close all folders not in use, and the root."""
        self.forget()
        if self.root.fd >= 0:
            fd, self.root.fd = self.root.fd, -1
            close_quietly(self._system, fd)

    def _find(self, path: str) -> Directory | None:
        if not path:
            return self.root
        directory = self._cached.pop(path, None)
        if directory is not None:
            self._cached[path] = directory
            if self._expects_moves and not self._is_in_place(directory):
                self._drop(path)
                return None
        return directory

    def _is_in_place(self, directory: Directory) -> bool:
        """Tell whether a folder, and all above it, have the names that they were opened by."""
        parent = directory.parent
        if parent is None:
            return True
        name = directory.path.rpartition("/")[2]
        try:
            found = self._system.stat(name, dir_fd=parent.fd, follow_symlinks=False)
            ours = self._system.fstat(directory.fd)
        except OSError:
            return False
        is_same = (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
        return is_same and self._is_in_place(parent)

    def _descend(self, path: str, *, create: bool) -> Directory:
        parent_path, _, name = path.rpartition("/")
        if path.count("/") >= MAX_DEPTH:
            raise UnsafeName(f"more than {MAX_DEPTH} folders deep", path=path)
        check_name(name, path)
        parent = self._find(parent_path) or self._descend(parent_path, create=create)
        directory = Directory(self._open(parent, name, path, create=create), path, parent)
        parent.pins += 1
        self._cached[path] = directory
        if len(self._cached) > self._capacity:
            self._drop(next(iter(self._cached)))
        return directory

    def _open(self, parent: Directory, name: str, path: str, *, create: bool) -> int:
        try:
            if create:
                self._make(parent, name)
            return self._system.open(name, DIRECTORY_FLAGS, dir_fd=parent.fd)
        except FileNotFoundError as error:
            if create:
                raise storage_error(error, path) from error
            raise
        except NotADirectoryError:
            # open(2): ENOTDIR for anything but a folder, also for a symbolic link.
            raise what_stands_there(self._system, parent.fd, name, path) from None
        except OSError as error:
            raise storage_error(error, path) from error

    def _make(self, parent: Directory, name: str) -> None:
        # Without a look first: `dump` makes most of the folders it needs, and
        # EEXIST costs no more than the look. mkdir(2) follows no symbolic link.
        try:  # noqa: SIM105 -- a context manager costs more, and this is called per folder
            self._system.mkdir(name, 0o777, dir_fd=parent.fd)
        except FileExistsError:
            pass

    def _drop(self, path: str) -> None:
        directory = self._cached.pop(path)
        directory.is_cached = False
        if directory.pins == 0:
            self._close(directory)

    def _unpin(self, directory: Directory) -> None:
        directory.pins -= 1
        if directory.pins == 0 and not directory.is_cached:
            self._close(directory)

    def _close(self, directory: Directory) -> None:
        parent = directory.parent
        assert parent is not None, "the root is never cached, so never dropped"
        fd, directory.fd = directory.fd, -1
        close_quietly(self._system, fd)
        self._unpin(parent)


def split_path(path: str) -> tuple[str, str]:
    """Split a path into its folder and a checked name.

    Raises:
        UnsafeName: If the path is absolute, or its last component is no plain name.

    """
    parent, _, name = path.rpartition("/")
    if path.startswith("/"):
        raise UnsafeName("path is absolute", path=path)
    check_name(name, path)
    return parent, name


def check_name(name: str, path: str) -> None:
    """Refuse what is no plain name of one file or folder.

    Args:
        name: One component.
        path: The whole, for the message.

    Raises:
        UnsafeName: If it is empty, `.` or `..`, has a NUL, is longer than 255
            bytes, is not Unicode, or is one of ours.

    """
    if name in {"", ".", ".."} or "\0" in name or name.startswith(RESERVED_PREFIX):
        raise UnsafeName("not a plain file name", path=path)
    try:
        byte_count = len(name) if name.isascii() else len(os.fsencode(name))
    except UnicodeEncodeError:
        raise UnsafeName("name is not Unicode text", path=path) from None
    if byte_count > MAX_NAME_BYTES:
        raise UnsafeName(f"name longer than {MAX_NAME_BYTES} bytes", path=path)


def what_stands_there(system: System, dir_fd: int, name: str, path: str) -> StorageError:
    """Say why a name cannot be used: what is there already, as an error to raise."""
    try:
        found = system.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        return storage_error(error, path)
    if stat.S_ISREG(found.st_mode):
        return NameTaken("a file of this name exists", path=path, existing_byte_count=found.st_size)
    if stat.S_ISDIR(found.st_mode):
        return NameTaken("a folder of this name exists", path=path)
    if stat.S_ISLNK(found.st_mode):
        return UnsafeName("a symbolic link stands in the way and is not followed", path=path)
    return UnsafeName("a FIFO, socket or device stands in the way", path=path)


def require_replaceable(system: System, dir_fd: int, name: str, path: str) -> None:
    """Refuse to replace what is no file; rename(2) itself would follow nothing.

    Raises:
        UnsafeName: If a link, FIFO or device has the name.
        NameTaken: If a folder has it.

    """
    try:
        found = system.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise what_stands_there(system, dir_fd, name, path)


def sync_directories(directories: Iterable[Directory], system: System, each: Each = map) -> None:
    """Make the names in some folders durable, and the names of the folders themselves.

    Each folder is synced once, and so is every parent that was not synced since
    the folder below was opened.

    Args:
        directories: Acquired by the caller.
        system: Where system calls go.
        each: Like `map`; that of an executor syncs many at the same time.

    Raises:
        OSError: At the first folder that cannot be synced.

    """
    waiting: dict[Directory, None] = dict.fromkeys(directories)
    named: list[Directory] = []
    for directory in list(waiting):
        child = directory
        while not child.is_name_durable and child.parent is not None:
            named.append(child)
            child = child.parent
            waiting[child] = None
    for _ in each(lambda directory: system.fsync(directory.fd), waiting):
        pass
    for directory in named:
        directory.is_name_durable = True
