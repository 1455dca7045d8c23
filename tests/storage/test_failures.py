from __future__ import annotations

import errno
import os

import pytest

from asyncdicom.errors import DiskFull, StorageError, UnsafeName
from asyncdicom.storage.failures import close_quietly, storage_error
from asyncdicom.storage.system import SYSTEM


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        pytest.param(errno.ENOSPC, DiskFull, "no space", id="disk full"),
        pytest.param(errno.EDQUOT, DiskFull, "quota", id="quota used up"),
        pytest.param(errno.EFBIG, DiskFull, "size limit", id="file size limit"),
        pytest.param(errno.ELOOP, UnsafeName, "symbolic link", id="link in the way"),
        pytest.param(errno.ENAMETOOLONG, UnsafeName, "too long", id="long name"),
        pytest.param(errno.EILSEQ, UnsafeName, "cannot hold", id="not representable"),
        pytest.param(errno.EROFS, StorageError, "another output folder", id="read-only"),
        pytest.param(errno.EACCES, StorageError, "owner and mode", id="no permission"),
        pytest.param(errno.EIO, StorageError, "kernel's log", id="disk fails"),
        pytest.param(errno.EMFILE, StorageError, "ulimit -n", id="descriptors used up"),
        pytest.param(errno.EINTR, StorageError, "interrupted", id="interrupted"),
        pytest.param(0, StorageError, "failed", id="no number"),
    ],
)
def test_each_failure_says_what_to_do(code: int, kind: type[StorageError], words: str) -> None:
    error = storage_error(OSError(code, "x") if code else OSError(), "a/b")
    assert type(error) is kind
    assert error.path == "a/b"
    assert words in str(error)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        pytest.param("山田/1", "山田/1", id="printable"),
        pytest.param("a\0\n\x1b[2Jb", r"a\x00\n\x1b[2Jb", id="control characters"),
        pytest.param("\ud800\u202e", r"\ud800\u202e", id="half a character, direction"),
        pytest.param("x" * 600, "x" * 509 + "...", id="endless"),
    ],
)
def test_a_path_is_shown_in_one_harmless_line(path: str, shown: str) -> None:
    assert str(StorageError("failed", path=path)) == f"failed: {shown}"


def test_closing_twice_is_quiet() -> None:
    fd = os.open("/", os.O_RDONLY)
    close_quietly(SYSTEM, fd)
    close_quietly(SYSTEM, fd)
