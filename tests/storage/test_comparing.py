from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from asyncdicom.storage import comparing
from asyncdicom.storage.comparing import has_same_content
from asyncdicom.storage.system import SYSTEM
from tests.storage.faults import Fails, open_descriptors

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.storage.system import System


def compare(root: Path, theirs: bytes | None, system: System = SYSTEM) -> bool:
    (root / "ours").write_bytes(b"0123456789")
    if theirs is not None:
        (root / "theirs").write_bytes(theirs)
    fd, dir_fd = os.open(root / "ours", os.O_RDONLY), os.open(root, os.O_RDONLY)
    try:
        return has_same_content(system, fd, "theirs", dir_fd=dir_fd, byte_count=10)
    finally:
        os.close(fd)
        os.close(dir_fd)


@pytest.mark.parametrize("chunk_bytes", [3, 5, 100])
@pytest.mark.parametrize(
    ("theirs", "is_same"),
    [
        pytest.param(b"0123456789", True, id="same"),
        pytest.param(b"x123456789", False, id="first byte"),
        pytest.param(b"012345678x", False, id="last byte"),
        pytest.param(b"012345678", False, id="shorter meanwhile"),
        pytest.param(None, False, id="gone"),
    ],
)
def test_every_byte_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    theirs: bytes | None,
    chunk_bytes: int,
    *,
    is_same: bool,
) -> None:
    monkeypatch.setattr(comparing, "CHUNK_BYTES", chunk_bytes)
    before = open_descriptors()
    assert compare(tmp_path, theirs) is is_same
    assert open_descriptors() == before


def test_what_cannot_be_read_is_not_the_same(tmp_path: Path) -> None:
    assert not compare(tmp_path, b"0123456789", Fails({"pread": errno.EIO}))


def test_a_link_to_the_same_is_not_the_same(tmp_path: Path) -> None:
    (tmp_path / "theirs").symlink_to("ours")
    assert not compare(tmp_path, None)
