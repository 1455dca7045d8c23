"""What is in a folder is read from the files, whatever they are called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import StorageError
from asyncdicom.model import Uid
from asyncdicom.storage import inventory as module
from asyncdicom.storage.directories import RESERVED_PREFIX
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.inventory import Inventory, claimed_uid
from asyncdicom.storage.system import System
from tests.support.dicom import samples, small_instance, uid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE = Uid(uid("instance", 1))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OutputFolder]:
    with OutputFolder.open(tmp_path) as folder:
        yield folder


@pytest.mark.parametrize("content", [pytest.param(c, id=n) for n, c in samples().items()])
def test_each_kind_of_instance_says_which_one_it_is(folder: OutputFolder, content: bytes) -> None:
    folder.write_whole("x", content)
    assert claimed_uid(folder, "x") == ONE


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"words " * 100, id="text"),
        pytest.param(bytes(128) + b"DICM", id="a preamble alone"),
        pytest.param(small_instance(1).replace(b"\2\0\3\0UI", b"\2\0\3\0LO"), id="no UID"),
        pytest.param(small_instance(1).replace(ONE.encode(), b"." * len(ONE)), id="dots for a UID"),
        pytest.param(small_instance(1)[:180], id="a cut head"),
    ],
)
def test_what_is_no_instance_claims_nothing(folder: OutputFolder, content: bytes) -> None:
    folder.write_whole("x", content)
    assert claimed_uid(folder, "x") is None


def test_what_is_no_file_claims_nothing(folder: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    found = [claimed_uid(folder, name) for name in ("folder", "link", "fifo", "gone")]
    assert found == [None] * 4


def test_a_file_that_cannot_be_read_may_be_any_instance(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(5, "broken disk")

    folder.write_whole("x", small_instance(1))
    monkeypatch.setattr(System, "pread", fail)
    with pytest.raises(StorageError, match="input/output error"):
        claimed_uid(folder, "x")
    inventory = Inventory.of(folder)
    assert inventory.path_of(ONE) is None
    assert inventory.occupied == {"x"}


def test_instances_are_found_at_any_depth(folder: OutputFolder) -> None:
    folder.write_whole("1.dcm", small_instance(1))
    folder.write_whole("a/b/c/anything", small_instance(2))
    folder.write_whole("a/metadata", b"[]")
    inventory = Inventory.of(folder)
    assert len(inventory) == 2
    assert inventory.path_of(ONE) == "1.dcm"
    assert inventory.path_of(Uid(uid("instance", 2))) == "a/b/c/anything"
    assert inventory.path_of(Uid("1.2")) is None


def test_of_two_copies_the_first_by_name_counts(folder: OutputFolder) -> None:
    folder.write_whole("b", small_instance(1))
    folder.write_whole("a", small_instance(1))
    assert Inventory.of(folder).path_of(ONE) == "a"


def test_the_search_ends_below_a_depth(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DEPTH", 1)
    folder.write_whole("a/shallow", small_instance(1))
    folder.write_whole("a/b/deep", small_instance(2))
    assert len(Inventory.of(folder)) == 1


def test_our_own_files_are_passed_over(folder: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / f"{RESERVED_PREFIX}tmp").write_bytes(small_instance(1))
    assert len(Inventory.of(folder)) == 0


def test_each_name_is_occupied_whatever_has_it(folder: OutputFolder, tmp_path: Path) -> None:
    folder.write_whole("a", small_instance(1))
    folder.write_whole("b/c", small_instance(1))
    folder.write_whole("d", b"text")
    (tmp_path / "link").symlink_to("nowhere")
    found = Inventory.of(folder)
    assert found.occupied == {"a", "b/c", "d", "link"}
    assert len(found) == 1
