"""The output folder: everything below it is reached through descriptors.

    with OutputFolder.open("out", durability=Durability.BATCH) as folder:
        with folder.create("1.2.3/metadata") as writer:
            writer.write(payload)
            writer.commit()
        folder.write_whole("1.2.3/metadata.dump.json", record)

Rule: nothing outside the root is ever touched, whatever names come from the
network and whatever somebody plants below the root meanwhile. The root itself
was named by the user and may be a symbolic link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import ConfigError, StorageError, UnsafeName
from asyncdicom.records import dataclass
from asyncdicom.storage.atomic import (
    CommitRules,
    Durability,
    FileWriter,
)
from asyncdicom.storage.directories import (
    DirectoryCache,
    split_path,
    what_stands_there,
)
from asyncdicom.storage.failures import close_quietly, storage_error
from asyncdicom.storage.invisible import supports_invisible_files
from asyncdicom.storage.system import SYSTEM, System
from asyncdicom.storage.temporaries import TemporaryNames, sweep

if TYPE_CHECKING:
    from types import TracebackType

    from asyncdicom.model import Buffer
    from asyncdicom.storage.directories import Directory

__all__ = ["FileFacts", "OutputFolder"]

# O_NONBLOCK: opening a FIFO that somebody planted must not wait for a writer.
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_ROOT_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_ROOT_HINTS = {
    errno.ENOTDIR: ("output folder is a file", "name a folder, or remove the file"),
    errno.EACCES: ("no permission to write to the output folder", "check its owner and mode"),
    errno.EPERM: ("no permission to write to the output folder", "check its owner and mode"),
    errno.EROFS: ("output folder is on a read-only file system", "choose another one"),
    errno.ENAMETOOLONG: ("name of the output folder is too long", "choose a shorter one"),
    errno.ELOOP: ("output folder is a symbolic link that leads to itself", "mend the link"),
    errno.ENOENT: ("output folder has no name or leads through a broken link", "name another one"),
}
"""What the user can mend; everything else is a `StorageError`."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the file system says about a regular file."""

    byte_count: int
    modified_ns: int
    """Wall clock, nanoseconds since 1970. For reports; never proof of anything."""


class OutputFolder:
    """A root folder and its files; methods may be called from many threads.

    Attributes:
        root: As the user named it, for messages.
        swept: Count of temporary files of dead runs removed at start.

    """

    def __init__(self, root: str, rules: CommitRules, *, swept: int) -> None:
        self.root = root
        self.swept = swept
        self._rules = rules
        self._system = rules.system

    @classmethod
    def open(
        cls,
        root: str | os.PathLike[str],
        *,
        durability: Durability = Durability.NONE,
        system: System = SYSTEM,
        cached_directories: int = 128,
        expects_moves: bool = False,
    ) -> Self:
        """Open the root, made where missing, and remove what dead runs left.

        Args:
            root: Path of the folder; a symbolic link to a folder is accepted.
            durability: What `FileWriter.commit` promises.
            system: Where system calls go.
            cached_directories: Folders kept open beyond those in use, at least 1.
            expects_moves: Whether others may move or remove folders below the root meanwhile.

        Raises:
            ConfigError: If it is a file, or may not be written to.
            StorageError: If the disk is full or fails.

        """
        shown = os.fspath(root)
        try:
            fd = _open_root(shown, system, is_durable=durability is not Durability.NONE)
            try:
                directories = DirectoryCache(
                    fd, system, capacity=cached_directories, expects_moves=expects_moves
                )
                rules, swept = _prepare(fd, system, durability, directories)
            except BaseException:
                close_quietly(system, fd)
                raise
        except OSError as error:
            raise _root_error(error, shown) from error
        return cls(shown, rules, swept=swept)

    @classmethod
    def open_to_read(cls, root: str | os.PathLike[str], *, system: System = SYSTEM) -> Self:
        """Open a folder that nothing shall be written to: nothing is made or swept there.

        Raises:
            ConfigError: If it is no folder, or may not be read.

        """
        shown = os.fspath(root)
        try:
            fd = system.open(shown, _ROOT_FLAGS)
        except OSError as error:
            raise _root_error(error, shown) from error
        rules = CommitRules(
            system=system,
            directories=DirectoryCache(fd, system),
            temporaries=TemporaryNames(fd, system),
            durability=Durability.NONE,
            visible_mode=0o600,
            may_be_invisible=False,
        )
        return cls(shown, rules, swept=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def durability(self) -> Durability:
        """What `FileWriter.commit` promises."""
        return self._rules.durability

    @property
    def system(self) -> System:
        """Where system calls go."""
        return self._system

    def create(self, path: str) -> FileWriter:
        """Begin a file; folders are made where missing.

        Nothing is to be seen of it before `FileWriter.commit`.

        Args:
            path: Final name, relative to the root, components separated by `/`.

        Raises:
            UnsafeName: If the path could leave the root, or meets a link, FIFO or device.
            NameTaken: If a file stands where a folder is needed.
            StorageError: If the kernel refuses; `DiskFull` where that is why.

        """
        return FileWriter(self._rules, path)

    def write_whole(self, path: str, data: Buffer, *, replace: bool = False) -> None:
        """Create, write and commit a file.

        Args:
            path: As for `create`.
            data: The content.
            replace: As for `FileWriter.commit`.

        Raises:
            StorageError: As `create`, `FileWriter.write` and `FileWriter.commit`.

        """
        writer = FileWriter(self._rules, path)
        try:
            writer.write(data)
            writer.commit(replace=replace)
        finally:
            writer.discard()

    def facts(self, path: str) -> FileFacts | None:
        """Return what is known about a file, or None if there is none.

        Raises:
            UnsafeName: If the path could leave the root, or meets a link, FIFO or device.
            NameTaken: If a folder has the name.
            StorageError: If the kernel refuses otherwise.

        """
        try:
            directory, name = self._find(path)
        except FileNotFoundError:
            return None
        try:
            found = self._system.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                raise what_stands_there(self._system, directory.fd, name, path)
            return FileFacts(found.st_size, found.st_mtime_ns)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            self._rules.directories.release(directory)

    def open_for_reading(self, path: str) -> int:
        """Open a regular file; the caller closes the descriptor.

        Raises:
            FileNotFoundError: If there is none.
            UnsafeName: If the path could leave the root, or meets a link, FIFO or device.
            StorageError: If the kernel refuses otherwise.

        """
        directory, name = self._find(path)
        try:
            fd = self._system.open(name, READ_FLAGS, dir_fd=directory.fd)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            self._rules.directories.release(directory)
        try:
            is_regular = stat.S_ISREG(self._system.fstat(fd).st_mode)
        except OSError as error:
            close_quietly(self._system, fd)
            raise storage_error(error, path) from error
        if not is_regular:
            close_quietly(self._system, fd)
            raise UnsafeName("not a regular file", path=path)
        return fd

    def names(self, path: str = "") -> list[str]:
        """List a folder; empty if there is none.

        Args:
            path: Relative to the root; empty for the root.

        Raises:
            StorageError: As `create`.

        """
        try:
            directory = self._rules.directories.acquire(path, create=False)
        except FileNotFoundError:
            return []
        try:
            return self._system.listdir(directory.fd)
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            self._rules.directories.release(directory)

    def is_folder(self, path: str) -> bool:
        """Tell whether a path is a folder; symbolic links are none.

        Raises:
            StorageError: As `facts`.

        """
        try:
            directory, name = self._find(path)
        except FileNotFoundError:
            return False
        try:
            found = self._system.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            return stat.S_ISDIR(found.st_mode)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            self._rules.directories.release(directory)

    def remove(self, path: str) -> bool:
        """Remove a file; tell whether there was one.

        Raises:
            StorageError: As `facts`.

        """
        try:
            directory, name = self._find(path)
        except FileNotFoundError:
            return False
        try:
            self._system.unlink(name, dir_fd=directory.fd)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error(error, path) from error
        finally:
            self._rules.directories.release(directory)
        return True

    def close(self) -> None:
        """Close everything; writers must have been committed or discarded before."""
        self._rules.temporaries.close()
        self._rules.directories.close()

    def _find(self, path: str) -> tuple[Directory, str]:
        """Acquire the folder of a path, which must exist."""
        parent, name = split_path(path)
        return self._rules.directories.acquire(parent, create=False), name


def _open_root(root: str, system: System, *, is_durable: bool) -> int:
    made = _make_folders(root, system)
    if is_durable:
        for path in made:
            _sync_parent(path, system)
    return system.open(root, _ROOT_FLAGS)


def _make_folders(path: str, system: System) -> list[str]:
    """Make a folder and what leads to it; return what was made, outermost first."""
    try:
        system.mkdir(path, 0o777)
    except FileExistsError:
        return []
    except FileNotFoundError:
        made = _make_folders(str(Path(path).absolute().parent), system)
        with contextlib.suppress(FileExistsError):  # another run was faster, or it is `new/..`
            system.mkdir(path, 0o777)
        return [*made, path]
    return [path]


def _sync_parent(path: str, system: System) -> None:
    fd = system.open(str(Path(path).absolute().parent), _ROOT_FLAGS)
    try:
        system.fsync(fd)
    finally:
        close_quietly(system, fd)


def _prepare(
    fd: int, system: System, durability: Durability, directories: DirectoryCache
) -> tuple[CommitRules, int]:
    """Sweep, and find out what the file system can do."""
    swept = sweep(fd, system)
    temporaries = TemporaryNames(fd, system)
    may_be_invisible = supports_invisible_files(fd, system, temporaries)
    rules = CommitRules(
        system=system,
        directories=directories,
        temporaries=temporaries,
        durability=durability,
        visible_mode=0o666 & ~_umask(),
        may_be_invisible=may_be_invisible,
    )
    return rules, swept


def _umask() -> int:
    # It can only be read by setting it; for that instant, the careful one.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _root_error(error: OSError, root: str) -> ConfigError | StorageError:
    if error.errno in _ROOT_HINTS:
        message, hint = _ROOT_HINTS[error.errno]
        return ConfigError(f"{message}: {root}", hint=hint)
    return storage_error(error, root)
