"""Whether one file is whole: by a digest that is known, else by the structure of DICOM.

    verdict = check_file(folder, "series/1.dcm", Known(byte_count=..., sha256=...))

Called in threads: reading and digests let other threads run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import (
    DigestMismatch,
    Doubtful,
    FetchError,
    Incomplete,
    NameTaken,
    StorageError,
    UnsafeName,
)
from asyncdicom.jobs.object_intake import LookOptions, ObjectLook
from asyncdicom.storage.reading import read_chunks

if TYPE_CHECKING:
    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.protocol.part10 import InstanceFacts
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["FileVerdict", "Known", "check_file", "not_there"]


@dataclass(frozen=True, slots=True)
class Known:
    """What was noted of a file when it was stored."""

    byte_count: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """What became of a look at a file."""

    byte_count: int = 0
    sha256: str = ""
    """Empty where nobody wanted it."""
    facts: InstanceFacts | None = None
    """Of a DICOM file that was walked."""
    remark: str = ""
    """Why nothing could be proven of it: it is no DICOM file."""
    error: AsyncDicomError | None = None
    """Why it is not whole, or None."""


def check_file(
    folder: OutputFolder, path: str, known: Known | None, *, computes_sha256: bool = False
) -> FileVerdict:
    """Read a file to its last byte.

    Args:
        folder: Where it is.
        path: Relative to the folder.
        known: What it has to be; None to judge it by its structure.
        computes_sha256: Whether somebody will see the digest.

    """
    try:
        found = folder.facts(path)
        if found is None:
            return FileVerdict(error=not_there(path))
        if known is not None:
            return _compared(folder, path, known, found.byte_count)
        return _walked(folder, path, computes_sha256=computes_sha256)
    except FileNotFoundError:
        return FileVerdict(error=not_there(path))
    except NameTaken as error:
        if known is not None:
            return FileVerdict(error=error)
        # Who looks for files meets a folder where the search ends (`inventory.files_below`).
        too_deep = UnsafeName("a folder too deep to look for files in", path=path)
        return FileVerdict(error=too_deep)
    except (StorageError, FetchError) as error:
        return FileVerdict(error=error)


def not_there(path: str) -> Incomplete:
    """Return what is wrong with a file that is missing: it was looked for under this path."""
    return Incomplete(f"the file is not there: {path}", expected=1, received=0)


def _compared(folder: OutputFolder, path: str, known: Known, byte_count: int) -> FileVerdict:
    if byte_count != known.byte_count:
        raise DigestMismatch(f"{byte_count} bytes, {known.byte_count} were stored")
    digest = hashlib.sha256()
    for data in read_chunks(folder, path):
        digest.update(data)
    if digest.hexdigest() != known.sha256.lower():
        raise DigestMismatch("not the bytes that were stored")
    return FileVerdict(byte_count, digest.hexdigest())


def _walked(folder: OutputFolder, path: str, *, computes_sha256: bool) -> FileVerdict:
    look, byte_count = ObjectLook(LookOptions({}, computes_sha256=computes_sha256)), 0
    for data in read_chunks(folder, path):
        look.receive_data(data)
        byte_count += len(data)
    content = look.receive_eof()
    if content.facts is None:
        return FileVerdict(byte_count, content.sha256, remark="; ".join(content.remarks))
    if content.facts.doubts:
        raise Doubtful("; ".join(content.facts.doubts))
    return FileVerdict(byte_count, content.sha256, content.facts)
