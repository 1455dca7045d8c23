"""Whether a file that exists is the one that is wanted: whole, and the right one.

    match await verify_file(folder, path, ExpectedFile(sop_instance_uid=uid)):
        case Verified(byte_count=n): ...     # skip it
        case Damaged(error=why): ...         # fetch again, replace on purpose
        case Absent(): ...                   # fetch

Rule: only bytes that were read now prove anything. Times of modification, names
and sizes do not; a wrong size only ends the search early.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import google_crc32c

from asyncdicom.errors import (
    AsyncDicomError,
    ContentError,
    FetchError,
    StorageError,
    UidMismatch,
    UnsafeName,
    UsageError,
)
from asyncdicom.protocol.part10 import Part10Walker
from asyncdicom.storage.reading import read_chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.model import Uid
    from asyncdicom.protocol.part10 import InstanceFacts
    from asyncdicom.storage.folder import OutputFolder

__all__ = [
    "Absent",
    "Damaged",
    "ExpectedFile",
    "Verdict",
    "Verified",
    "verify_file",
    "verify_file_nowait",
    "verify_instance",
]


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """What is known of a file from elsewhere: a record, a journal, a listing."""

    byte_count: int | None = None
    sha256: str | None = None
    """In hexadecimal digits."""
    sop_instance_uid: Uid | None = None
    """Of an instance; it is walked then."""
    is_instance: bool = False
    """Walk it as a Part 10 file, whichever instance it is."""
    crc32c: bytes | None = None
    """Big-endian; beside another proof, as it is none against intent."""

    @property
    def must_be_walked(self) -> bool:
        """Whether the structure has to be proven."""
        return self.is_instance or self.sop_instance_uid is not None


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The file is whole and the one expected."""

    byte_count: int
    sha256: str
    facts: InstanceFacts | None
    """Of an instance."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """The file is not what was expected, or cannot be read."""

    error: AsyncDicomError


Verdict: TypeAlias = Absent | Verified | Damaged


async def verify_file(folder: OutputFolder, path: str, expected: ExpectedFile) -> Verdict:
    """Verify a file in a thread; one hop, whatever its size.

    Args:
        folder: Where it is.
        path: Relative to the folder.
        expected: What is known of it; must allow a proof.

    Raises:
        UnsafeName: If a link, FIFO or device has the name, or leads to it.
        UsageError: If neither a digest nor a structure is expected.

    Cancellation: the thread ends after the chunk it is reading.

    """
    cancelled = threading.Event()
    try:
        return await asyncio.to_thread(
            verify_file_nowait, folder, path, expected, is_cancelled=cancelled.is_set
        )
    finally:
        cancelled.set()


def verify_file_nowait(
    folder: OutputFolder,
    path: str,
    expected: ExpectedFile,
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Verify a file on this thread; as `verify_file`.

    Args:
        folder: Where it is.
        path: Relative to the folder.
        expected: What is known of it; must allow a proof.
        is_cancelled: Asked between chunks; whoever says so gets no verdict worth having.

    """
    if expected.sha256 is None and not expected.must_be_walked:
        raise UsageError("a size proves nothing: expect a digest or an instance")
    try:
        facts = folder.facts(path)
        if facts is None:
            return Absent()
        _compare("bytes", expected.byte_count, facts.byte_count)
        return _read(folder, path, expected, is_cancelled)
    except UnsafeName:
        raise
    except FileNotFoundError:
        return Absent()
    except (StorageError, FetchError) as error:
        return Damaged(error)


def verify_instance(
    folder: OutputFolder,
    path: str,
    *,
    sop_instance_uid: Uid,
    byte_count: int | None = None,
    crc32c: bytes | None = None,
) -> Verified:
    """Verify an instance on this thread; for callers to whom damaged and absent are one.

    Args:
        folder: Where it is.
        path: Relative to the folder.
        sop_instance_uid: What its file has to say it is.
        byte_count: Its size, where it is known.
        crc32c: Its CRC-32C, big-endian, where it is known.

    Raises:
        StorageError: If there is no such file, or it cannot be read.
        FetchError: If it is damaged, or another instance.

    """
    expected = ExpectedFile(byte_count=byte_count, crc32c=crc32c, sop_instance_uid=sop_instance_uid)
    verdict = verify_file_nowait(folder, path, expected)
    if isinstance(verdict, Damaged):
        raise verdict.error
    if isinstance(verdict, Absent):
        raise StorageError("no such file", path=path)
    return verdict


def _read(
    folder: OutputFolder, path: str, expected: ExpectedFile, is_cancelled: Callable[[], bool]
) -> Verified:
    walker = Part10Walker() if expected.must_be_walked else None
    digest, byte_count, crc32c = hashlib.sha256(), 0, 0
    for chunk in read_chunks(folder, path):
        if is_cancelled():
            raise ContentError("verification was cancelled")
        digest.update(chunk)
        byte_count += len(chunk)
        if expected.crc32c is not None:
            crc32c = google_crc32c.extend(crc32c, bytes(chunk))
        if walker is not None:
            walker.receive_data(chunk)
    facts = walker.receive_eof() if walker is not None else None
    _compare("bytes", expected.byte_count, byte_count)
    _compare("SHA-256", expected.sha256 and expected.sha256.lower(), digest.hexdigest())
    if expected.crc32c is not None and expected.crc32c != crc32c.to_bytes(4, "big"):
        raise ContentError("CRC-32C: another one than was promised")
    if facts is not None:
        _compare_uids(expected.sop_instance_uid, facts)
    return Verified(byte_count, digest.hexdigest(), facts)


def _compare(what: str, expected: object, found: object) -> None:
    if expected is not None and expected != found:
        raise ContentError(f"{what}: expected {expected}, found {found}")


def _compare_uids(expected: Uid | None, facts: InstanceFacts) -> None:
    wanted = expected or facts.sop_instance_uid
    for received in (facts.sop_instance_uid, facts.media_storage_sop_instance_uid):
        if received != wanted:
            raise UidMismatch(expected=wanted, received=received)
