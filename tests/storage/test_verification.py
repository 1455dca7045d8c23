from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from typing import TYPE_CHECKING, Any

import google_crc32c
import pytest

from asyncdicom.errors import (
    ContentError,
    StorageError,
    Truncated,
    UidMismatch,
    UnsafeName,
    UsageError,
)
from asyncdicom.model import Uid
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.verification import (
    Absent,
    Damaged,
    ExpectedFile,
    Verified,
    verify_file,
    verify_file_nowait,
    verify_instance,
)
from tests.storage.faults import Fails, WatchedSystem
from tests.support.dicom import small_instance, uid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

INSTANCE = small_instance(1)
INSTANCE_UID = Uid(uid("instance", 1))
OTHER_UID = Uid(uid("instance", 2))
SHA256 = hashlib.sha256(INSTANCE).hexdigest()
CRC32C = google_crc32c.value(INSTANCE).to_bytes(4, "big")
WHOLE = ExpectedFile(sop_instance_uid=INSTANCE_UID)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OutputFolder]:
    with OutputFolder.open(tmp_path) as opened:
        opened.write_whole("file", INSTANCE)
        yield opened


def verdict_on(folder: OutputFolder, expected: ExpectedFile) -> Any:
    return verify_file_nowait(folder, "file", expected)


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param(WHOLE, id="its UID"),
        pytest.param(ExpectedFile(is_instance=True), id="any instance"),
        pytest.param(ExpectedFile(sha256=SHA256), id="its digest"),
        pytest.param(ExpectedFile(sha256=SHA256.upper()), id="its digest in capitals"),
        pytest.param(ExpectedFile(len(INSTANCE), SHA256, INSTANCE_UID), id="everything"),
        pytest.param(ExpectedFile(is_instance=True, crc32c=CRC32C), id="its checksum"),
    ],
)
def test_a_whole_file_is_proven(folder: OutputFolder, expected: ExpectedFile) -> None:
    found = verdict_on(folder, expected)
    assert (found.byte_count, found.sha256) == (len(INSTANCE), SHA256)
    assert (found.facts is not None) is expected.must_be_walked


@pytest.mark.parametrize(
    ("expected", "error", "words"),
    [
        pytest.param(ExpectedFile(5, SHA256), ContentError, "bytes: expected 5", id="size"),
        pytest.param(ExpectedFile(sha256="0" * 64), ContentError, "SHA-256", id="digest"),
        pytest.param(
            ExpectedFile(is_instance=True, crc32c=b"0000"), ContentError, "CRC-32C", id="checksum"
        ),
        pytest.param(
            ExpectedFile(sop_instance_uid=OTHER_UID), UidMismatch, OTHER_UID, id="other instance"
        ),
    ],
)
def test_what_differs_is_damaged(
    folder: OutputFolder, expected: ExpectedFile, error: type[Exception], words: str
) -> None:
    found = verdict_on(folder, expected)
    assert isinstance(found, Damaged)
    assert type(found.error) is error
    assert words in str(found.error)


def test_a_torn_instance_is_damaged(folder: OutputFolder) -> None:
    folder.write_whole("file", INSTANCE[:-1], replace=True)
    found = verdict_on(folder, WHOLE)
    assert isinstance(found.error, Truncated)


def test_file_meta_and_data_set_must_agree(folder: OutputFolder) -> None:
    mixed = INSTANCE.replace(INSTANCE_UID.encode(), OTHER_UID.encode(), 1)
    folder.write_whole("file", mixed, replace=True)
    for expected in (WHOLE, ExpectedFile(is_instance=True)):
        assert isinstance(verdict_on(folder, expected).error, UidMismatch)


def test_every_flipped_bit_is_found_by_the_digest(folder: OutputFolder, tmp_path: Path) -> None:
    content = bytearray(INSTANCE)
    for position in range(0, len(content), max(1, len(content) // 100)):
        content[position] ^= 1 << position % 8
        (tmp_path / "file").write_bytes(content)
        os.utime(tmp_path / "file", (0, 0))
        assert isinstance(verdict_on(folder, ExpectedFile(sha256=SHA256)), Damaged)
        content[position] ^= 1 << position % 8


def test_absent_is_absent(folder: OutputFolder) -> None:
    assert verify_file_nowait(folder, "a/b", WHOLE) == Absent()


class Vanishing(WatchedSystem):
    def __init__(self, root: Path) -> None:
        self.root = root
        super().__init__()

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and arguments[0] == "file":
            (self.root / "file").unlink()


def test_a_file_removed_meanwhile_is_absent(folder: OutputFolder, tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=Vanishing(tmp_path)) as other:
        assert verdict_on(other, WHOLE) == Absent()


def test_a_file_that_cannot_be_read_is_damaged(tmp_path: Path) -> None:
    with OutputFolder.open(tmp_path, system=Fails({"pread": 5})) as folder:
        folder.write_whole("file", INSTANCE)
        assert isinstance(verdict_on(folder, WHOLE).error, StorageError)


def test_a_link_is_never_verified(folder: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(UnsafeName):
        verify_file_nowait(folder, "link", WHOLE)


@pytest.mark.parametrize("expected", [ExpectedFile(), ExpectedFile(byte_count=len(INSTANCE))])
def test_a_size_proves_nothing(folder: OutputFolder, expected: ExpectedFile) -> None:
    with pytest.raises(UsageError):
        verdict_on(folder, expected)


def test_an_instance_is_verified_or_why_not_is_raised(folder: OutputFolder) -> None:
    assert verify_instance(folder, "file", sop_instance_uid=INSTANCE_UID).sha256 == SHA256
    with pytest.raises(UidMismatch):
        verify_instance(folder, "file", sop_instance_uid=OTHER_UID)
    with pytest.raises(ContentError, match="bytes"):
        verify_instance(folder, "file", sop_instance_uid=INSTANCE_UID, byte_count=5)
    with pytest.raises(ContentError, match="CRC-32C"):
        verify_instance(folder, "file", sop_instance_uid=INSTANCE_UID, crc32c=b"0000")
    with pytest.raises(StorageError, match="no such file: gone"):
        verify_instance(folder, "gone", sop_instance_uid=INSTANCE_UID)


async def test_a_file_is_verified_in_a_thread(folder: OutputFolder) -> None:
    assert isinstance(await verify_file(folder, "file", WHOLE), Verified)


class Slow(WatchedSystem):
    reads = 0

    def __init__(self) -> None:
        self.is_reading = threading.Event()
        self.may_read = threading.Event()
        self.may_read.set()
        self.is_closed = threading.Event()
        super().__init__()

    def stop_reading(self) -> None:
        self.reads = 0
        self.may_read.clear()
        self.is_reading.clear()
        self.is_closed.clear()

    def watch(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "pread":
            self.is_reading.set()
            assert self.may_read.wait(10), "the test ended before the disk"
            self.reads += 1
        if name == "close" and self.is_reading.is_set():
            self.is_closed.set()


async def test_cancellation_ends_the_thread_at_the_next_chunk(tmp_path: Path) -> None:
    system = Slow()
    with OutputFolder.open(tmp_path, system=system) as folder:
        folder.write_whole("file", bytes(3 * 1024 * 1024))
        system.stop_reading()
        verifying = asyncio.ensure_future(verify_file(folder, "file", ExpectedFile(sha256="0")))
        await asyncio.to_thread(system.is_reading.wait, 10)
        verifying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await verifying
        system.may_read.set()
        await asyncio.to_thread(system.is_closed.wait, 10)
        assert system.reads == 1


def test_whoever_cancels_gets_no_verdict_worth_having(folder: OutputFolder) -> None:
    found = verify_file_nowait(folder, "file", WHOLE, is_cancelled=lambda: True)
    assert isinstance(found, Damaged)
