from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from asyncdicom.storage import invisible
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.invisible import link_invisible, open_invisible, supports_invisible_files
from asyncdicom.storage.system import SYSTEM
from asyncdicom.storage.temporaries import TemporaryNames
from tests.storage.faults import Fails, Portable

if TYPE_CHECKING:
    from pathlib import Path


def names(out: Path) -> list[str]:
    return sorted(entry.name for entry in out.iterdir() if entry.suffix != ".lock")


def test_a_file_gets_its_name_by_a_link_and_no_other(tmp_path: Path) -> None:
    dir_fd = os.open(tmp_path, os.O_RDONLY)
    fd = open_invisible(SYSTEM, dir_fd)
    assert fd is not None
    assert names(tmp_path) == []
    link_invisible(SYSTEM, fd, "file", dir_fd=dir_fd)
    with pytest.raises(FileExistsError):
        link_invisible(SYSTEM, fd, "file", dir_fd=dir_fd)
    assert names(tmp_path) == ["file"]
    os.close(fd)
    os.close(dir_fd)


def test_a_file_system_without_them_is_no_error(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=Portable()) as folder:
        assert not folder._rules.may_be_invisible


def test_where_links_through_proc_fail_there_are_no_invisible_files(tmp_path: Path) -> None:
    system = Fails({"link": errno.EPERM})
    with OutputFolder.open(tmp_path, system=system) as folder:
        assert not folder._rules.may_be_invisible
        folder.write_whole("file", b"abc")
    assert names(tmp_path) == ["file"]


def test_here_there_are(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path) as folder:
        assert folder._rules.may_be_invisible
    assert list(tmp_path.iterdir()) == []


def test_other_systems_have_no_such_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invisible, "_O_TMPFILE", None)
    with OutputFolder.open(tmp_path) as folder:
        folder.write_whole("file", b"abc")
    assert names(tmp_path) == ["file"]


def test_a_root_that_takes_no_file_is_not_usable(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    system = Fails({"open": errno.EROFS})
    with pytest.raises(OSError, match="Read-only"):
        supports_invisible_files(fd, system, TemporaryNames(fd, system))
    os.close(fd)
