"""Files that appear whole or not at all.

    writer = folder.create("study/series/instance.dcm")
    with writer:                       # discards unless committed
        writer.write(buffer)
        ...                            # verify
        writer.commit()

Strategy: a file is written without a name (O_TMPFILE) and gets its final one by
linkat(2), which never replaces; nothing is left behind by kill -9, and for 4 KB
it costs a fifth less than create and rename. Where file system or /proc do not
allow that, the file has a temporary name (0600, O_EXCL, same folder) and is
renamed with RENAME_NOREPLACE, or linked and unlinked where the kernel cannot.
A deliberate replacement is a rename of a linked temporary name.

Rule: order is content → fsync → name → fsync of the folder (DESIGN §8); a
file that was written is never synced after its name appeared.

Writes go straight to the page cache on the calling thread: a thread hop costs
more than writing 4 KB.
"""

from __future__ import annotations

import contextlib
import errno
import os
import warnings
from enum import Enum, auto
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import NameTaken, StorageError, UsageError
from asyncdicom.storage.comparing import has_same_content
from asyncdicom.storage.directories import (
    require_replaceable,
    split_path,
    sync_directories,
    what_stands_there,
)
from asyncdicom.storage.failures import close_quietly, storage_error
from asyncdicom.storage.invisible import link_invisible, open_invisible
from asyncdicom.storage.rules import CommitRules, Durability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.model import Buffer
    from asyncdicom.storage.directories import Directory

__all__ = ["CommitRules", "Durability", "FileWriter"]

MAX_BUFFERS = 1024
"""IOV_MAX of Linux: more in one writev(2) are refused."""

MAX_DRAWS = 16
"""Temporary names tried; one that is taken was planted, so a second hit says enough."""


class _State(Enum):
    OPEN = auto()
    HANDED_OVER = auto()
    CLOSED = auto()


class FileWriter:
    """One file on its way; not safe to use from two threads at once.

    Attributes:
        path: The final name, relative to the output folder.
        byte_count: Bytes written.
        allocated_bytes: For which room was taken before they came (`allocating.allocate`).

    """

    __slots__ = (
        "_directory",
        "_fd",
        "_name",
        "_rules",
        "_state",
        "_temporary_name",
        "allocated_bytes",
        "byte_count",
        "path",
    )

    def __init__(self, rules: CommitRules, path: str, known: Directory | None = None) -> None:
        """Begin a file; made by `OutputFolder.create` and `beside`.

        Raises:
            UnsafeName: If the path could leave the folder, or meets a link or device.
            NameTaken: If a file stands where a folder is needed.
            StorageError: If the kernel refuses; `DiskFull` where that is why.

        """
        self._state = _State.CLOSED
        parent, self._name = split_path(path)
        self._rules = rules
        self.path = path
        self.byte_count = self.allocated_bytes = 0
        self._temporary_name: str | None = None
        self._directory = rules.directories.acquire(parent, known)
        try:
            self._fd = self._open()
        except OSError as error:
            failure = self._failure(error)
            rules.directories.release(self._directory)
            raise failure from error
        self._state = _State.OPEN

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def __del__(self) -> None:
        if self._state is _State.OPEN:
            self.discard()
            warnings.warn(
                f"{self.path} was neither committed nor discarded", ResourceWarning, stacklevel=2
            )

    @property
    def directory(self) -> Directory:
        """The folder of the file, held open until commit or discard."""
        return self._directory

    def write(self, data: Buffer) -> None:
        """Append bytes; the buffer may be used again when this returns.

        Raises:
            DiskFull: If there is no room.
            StorageError: If the kernel refuses otherwise.

        """
        self._require(_State.OPEN)
        try:
            written = self._rules.system.write(self._fd, data)
            if written != len(data):
                written += self._write_rest(memoryview(data).cast("B")[written:])
        except OSError as error:
            raise storage_error(error, self.path) from error
        self.byte_count += written

    def write_many(self, buffers: Sequence[Buffer]) -> None:
        """Append several buffers with one system call per 1024 of them; raises as `write`."""
        self._require(_State.OPEN)
        try:
            for start in range(0, len(buffers), MAX_BUFFERS):
                self._write_some(buffers[start : start + MAX_BUFFERS])
        except OSError as error:
            raise storage_error(error, self.path) from error

    def retarget(self, path: str) -> None:
        """Choose another final name; for content that says itself what it is.

        Args:
            path: As for `OutputFolder.create`.

        Raises:
            StorageError: As `OutputFolder.create`.

        """
        self._require(_State.OPEN)
        parent, name = split_path(path)
        if parent == self._directory.path and self._directory.is_cached:
            self._name, self.path = name, path
            return
        directory = self._rules.directories.acquire(parent)
        try:
            self._move_temporary(directory)
        except OSError as error:
            self._rules.directories.release(directory)
            raise storage_error(error, path) from error
        self._rules.directories.release(self._directory)
        self._directory, self._name, self.path = directory, name, path

    def beside(self, suffix: str) -> FileWriter:
        """Begin a file in the same folder, whose name is that of this one and a suffix."""
        self._require(_State.OPEN)
        return FileWriter(self._rules, self.path + suffix, self._directory)

    @property
    def is_invisible(self) -> bool:
        """Whether nothing is to be seen of it in its folder."""
        return self._temporary_name is None

    def fileno(self) -> int:
        """Return the descriptor, open for reading and writing."""
        self._require(_State.OPEN)
        return self._fd

    def commit(self, *, replace: bool = False) -> None:
        """Give the file its final name, durably unless durability is `none`.

        The writer is closed afterwards, whatever happened.

        Args:
            replace: Replace a regular file of that name in one step.

        Raises:
            NameTaken: If the name exists and is not to be replaced.
            UnsafeName: If a link, FIFO or device has the name.
            DiskFull: If there is no room.
            StorageError: If the kernel refuses otherwise. If the sync of the
                folder failed, the file is there, whole, but may not outlive a
                loss of power.

        """
        self._require(_State.OPEN)
        try:
            if self._rules.durability is not Durability.NONE:
                self.sync_content()
            self.appear(replace=replace)
            if self._rules.durability is not Durability.NONE:
                self.sync_name()
        finally:
            self.close()

    def discard(self) -> None:
        """Forget the file; does nothing if it was committed or handed over."""
        if self._state is _State.OPEN:
            self.close()

    def hand_over(self) -> None:
        """Give the writer to a committer: from now on only that may touch it."""
        self._require(_State.OPEN)
        self._state = _State.HANDED_OVER

    def start_writeback(self) -> None:
        """Ask the kernel to write the content soon. First of a committer's steps; no wait."""
        with contextlib.suppress(OSError):  # advice only: what is wrong, the sync will say
            self._rules.system.start_writeback(self._fd)

    def sync_content(self) -> None:
        """Make the content durable. Second step.

        Raises:
            StorageError: If the disk fails; the content must then be thrown away.

        """
        try:
            # fdatasync covers the size and everything else needed to read the file back.
            self._rules.system.fdatasync(self._fd)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def appear(self, *, replace: bool) -> None:
        """Give the file its final name. Third step; raises as `commit`."""
        try:
            if self.byte_count < self.allocated_bytes:
                self._rules.system.truncate(self._fd, self.byte_count)
            if self._temporary_name is not None and self._rules.durability is Durability.NONE:
                # File systems that hold errors back until close(2) are such as have no
                # O_TMPFILE; a sync would have told of them.
                self._rules.system.flush(self._fd)
            if replace:
                self._replace()
            elif self._temporary_name is None:
                self._link(self._name)
            else:
                self._rename()
        except FileExistsError:
            raise self._name_taken() from None
        except OSError as error:
            raise self._failure(error) from error

    def sync_name(self) -> None:
        """Make the name durable. Last step.

        Raises:
            StorageError: If the disk fails.

        """
        try:
            sync_directories((self._directory,), self._rules.system)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def close(self) -> None:
        """Let go of descriptor, temporary name and folder, in any state."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        system, temporary = self._rules.system, self._temporary_name
        close_quietly(system, self._fd)
        if temporary is not None:
            try:
                system.unlink(temporary, dir_fd=self._directory.fd)
            except OSError:
                self._rules.temporaries.leave_orphan()
        self._rules.directories.release(self._directory)

    def _require(self, state: _State) -> None:
        if self._state is not state:
            raise UsageError(f"{self.path} was already committed, discarded or handed over")

    def _failure(self, error: OSError) -> StorageError:
        """Map an error; look whether the folder itself is gone, so that the next file makes it."""
        try:
            # The kernel says ENOENT or EPERM then, by file system and call.
            is_gone = self._rules.system.fstat(self._directory.fd).st_nlink == 0
        except OSError:
            is_gone = False
        if is_gone:
            self._rules.directories.forget()
            error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
        return storage_error(error, self.path)

    def _open(self) -> int:
        if self._rules.may_be_invisible:
            fd = open_invisible(self._rules.system, self._directory.fd)
            # Another file system may be mounted below the root.
            if fd is not None:
                return fd
        return self._open_temporary()

    def _open_temporary(self) -> int:
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(MAX_DRAWS):
            name = self._rules.temporaries.draw()
            try:
                fd = self._rules.system.open(name, flags, 0o600, dir_fd=self._directory.fd)
            except FileExistsError:
                continue
            self._temporary_name = name
            return fd
        raise FileExistsError(errno.EEXIST, "temporary names are taken", self.path)

    def _move_temporary(self, directory: Directory) -> None:
        """Let a temporary name move along; a file without one is linked where it belongs."""
        name, here, there = self._temporary_name, self._directory, directory
        if name is not None and there is not here:
            self._rules.system.rename(name, name, src_dir_fd=here.fd, dst_dir_fd=there.fd)

    def _write_rest(self, rest: memoryview) -> int:
        """Write what a short write left; returns its size in bytes."""
        byte_count = len(rest)
        while rest:
            written = self._rules.system.write(self._fd, rest)
            if written == 0:
                raise OSError(errno.EIO, "nothing could be written", self.path)
            rest = rest[written:]
        return byte_count

    def _write_some(self, buffers: Sequence[Buffer]) -> None:
        written = self._rules.system.writev(self._fd, buffers)
        self.byte_count += written
        for buffer in () if written == sum(map(len, buffers)) else buffers:
            view = memoryview(buffer).cast("B")
            if written < len(view):
                self.byte_count += self._write_rest(view[written:])
            written = max(0, written - len(view))

    def _link(self, name: str) -> None:
        link_invisible(self._rules.system, self._fd, name, dir_fd=self._directory.fd)

    def _rename(self) -> None:
        """Rename the temporary name to the final one, unless that exists."""
        temporary, dir_fd = self._temporary_name, self._directory.fd
        assert temporary is not None, "only a file with a temporary name is renamed"
        self._rules.system.fchmod(self._fd, self._rules.visible_mode)
        try:
            self._rules.system.rename_noreplace(temporary, self._name, dir_fd=dir_fd)
        except OSError as error:
            # ENOSYS: old kernel or other system; EINVAL: NFS, some FUSE.
            if error.errno not in {errno.ENOSYS, errno.EINVAL}:
                raise
            self._rules.system.link(
                temporary, self._name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False
            )
        else:
            self._temporary_name = None

    def _replace(self) -> None:
        system, dir_fd = self._rules.system, self._directory.fd
        require_replaceable(system, dir_fd, self._name, self.path)
        if self._temporary_name is None:
            temporary = self._rules.temporaries.draw()
            self._link(temporary)
            self._temporary_name = temporary
        else:
            system.fchmod(self._fd, self._rules.visible_mode)
        system.rename(self._temporary_name, self._name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        self._temporary_name = None

    def _name_taken(self) -> StorageError:
        """Say what has the final name, and whether it is the very same file."""
        system, dir_fd = self._rules.system, self._directory.fd
        error = what_stands_there(system, dir_fd, self._name, self.path)
        if isinstance(error, NameTaken) and error.existing_byte_count == self.byte_count:
            error.is_identical = has_same_content(
                system, self._fd, self._name, dir_fd=dir_fd, byte_count=self.byte_count
            )
        return error
