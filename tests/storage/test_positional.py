"""Files that are written in any order, and read before they are whole."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import DiskFull, StorageError
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.positional import PositionalFile
from tests.storage.faults import Fails, WatchedSystem

if TYPE_CHECKING:
    from pathlib import Path


class Stingy(WatchedSystem):
    """A disk that takes three bytes at once."""

    def _wrap(self, name: str, call: Any) -> Any:
        if name != "pwrite":
            return super()._wrap(name, call)
        return lambda fd, data, offset: os.pwrite(fd, bytes(data)[:3], offset)


def test_pieces_come_in_any_order(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path) as folder:
        file = PositionalFile(folder.create("a"), folder.system)
        file.write_at(b"world", 6)
        file.write_at(memoryview(b"hello "), 0)
        assert b"".join(file.read(0, 11)) == b"hello world"
        assert b"".join(file.read(6, 8)) == b"wo"
        file.complete(11)
        file.writer.commit()
    assert (tmp_path / "a").read_bytes() == b"hello world"


def test_what_nobody_needs_is_not_read(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path) as folder:
        file = PositionalFile(folder.create("a"), folder.system)
        file.write_at(b"0123456789", 0)
        left: list[int] = []

        def skip(count: int) -> int:
            left.append(count)
            return 4 if count == 10 else 0

        assert b"".join(file.read(0, 10, skip)) == b"456789"
        assert left == [10, 6]
        assert list(file.read(0, 10, lambda count: count)) == []
        file.writer.discard()


def test_short_writes_go_on(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=Stingy()) as folder:
        file = PositionalFile(folder.create("a"), folder.system)
        file.write_at(b"0123456789", 0)
        file.complete(10)
        file.writer.commit()
    assert (tmp_path / "a").read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param(errno.ENOSPC, DiskFull, id="full"),
        pytest.param(errno.EIO, StorageError, id="io"),
    ],
)
def test_a_disk_that_refuses_is_told(tmp_path: Path, code: int, kind: type[StorageError]) -> None:
    with (
        OutputFolder.open(tmp_path, system=Fails({"pwrite": code})) as folder,
        folder.create("a") as writer,
        pytest.raises(kind),
    ):
        PositionalFile(writer, folder.system).write_at(b"x", 0)


def test_a_disk_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with (
        OutputFolder.open(tmp_path, system=Fails({"preadv": errno.EIO})) as folder,
        folder.create("a") as writer,
        pytest.raises(StorageError),
    ):
        list(PositionalFile(writer, folder.system).read(0, 1))


def test_what_was_never_written_is_not_read_as_nothing(tmp_path: Path) -> None:
    with (
        OutputFolder.open(tmp_path) as folder,
        folder.create("a") as writer,
        pytest.raises(StorageError, match="lost"),
    ):
        list(PositionalFile(writer, folder.system).read(0, 1))
