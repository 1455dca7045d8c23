"""System calls that can be counted, recorded, and made to fail or kill at the n-th."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncdicom.storage.system import System

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.model import Buffer

CALLS = (
    "open",
    "close",
    "write",
    "writev",
    "pread",
    "preadv",
    "pwrite",
    "seek",
    "fsync",
    "fdatasync",
    "fchmod",
    "fstat",
    "stat",
    "link",
    "rename",
    "rename_noreplace",
    "unlink",
    "mkdir",
    "listdir",
    "flock",
    "start_writeback",
    "flush",
    "truncate",
    "allocate",
)


class WatchedSystem(System):
    """The real calls, each shown to `watch` before it is made."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.arguments: list[tuple[Any, ...]] = []
        for name in CALLS:
            setattr(self, name, self._wrap(name, getattr(System(), name)))

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Look at a call; raise to make it fail."""

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            self.arguments.append(arguments)
            try:
                self.watch(name, arguments)
            except OSError:
                # On Linux a descriptor is gone even if close(2) reports an error.
                if name == "close":
                    call(*arguments, **options)
                raise
            return call(*arguments, **options)

        return watched


class Portable(WatchedSystem):
    """A file system without O_TMPFILE, and perhaps without renameat2(2)."""

    def __init__(self, *, has_noreplace: bool = True) -> None:
        super().__init__()
        self.has_noreplace = has_noreplace

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and arguments[1] & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE")
        if name == "rename_noreplace" and not self.has_noreplace:
            raise OSError(errno.EINVAL, "no RENAME_NOREPLACE")


class Fails(Portable):
    """Fail calls by name, each time or the first time."""

    def __init__(self, failing: dict[str, int], *, is_portable: bool = False) -> None:
        super().__init__()
        self.failing = failing
        self.is_portable = is_portable

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name in self.failing:
            raise OSError(self.failing[name], os.strerror(self.failing[name]))
        if self.is_portable:
            super().watch(name, arguments)


STRATEGIES = ("invisible", "named", "linked")
"""No name at all; temporary name and renameat2(2); temporary name, link and unlink."""


class AtCall(Portable):
    """Fail, or be killed, at the n-th call, counted from 1."""

    def __init__(self, number: int, strategy: str, *, code: int = 0) -> None:
        super().__init__(has_noreplace=strategy != "linked")
        self.number = number
        self.is_portable = strategy != "invisible"
        self.code = code
        self.has_struck = False

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if len(self.calls) == self.number:
            self.has_struck = True
            if not self.code:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(self.code, os.strerror(self.code))
        if self.is_portable:
            super().watch(name, arguments)


class ShortWrites(WatchedSystem):
    """A disk that takes at most a few bytes at once."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        super().__init__()

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        some: dict[str, Callable[..., Any]] = {
            "write": self._write_some,
            "writev": self._write_some_of,
        }
        return super()._wrap(name, some.get(name, call))

    def _write_some(self, fd: int, data: Buffer) -> int:
        return os.write(fd, memoryview(data).cast("B")[: self.most_bytes])

    def _write_some_of(self, fd: int, buffers: list[Buffer]) -> int:
        return os.write(fd, b"".join(buffers)[: self.most_bytes])


def open_descriptors() -> set[str]:
    """Return the descriptors of this process and what they refer to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except OSError:
            continue
    return found
