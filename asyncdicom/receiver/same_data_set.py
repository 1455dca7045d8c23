"""Whether a file that is there holds the very data set that was received.

Rule: the same bytes in the same transfer syntax. File meta information is not compared:
it says by whom and for whom a file was written (PS3.10 §7.1), and each sender of one
object would make another file of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncdicom.storage.system import System

__all__ = ["holds_same_data_set"]

HEAD_BYTES = 4096
"""Of a file; its meta information takes 200 to 600 bytes."""
CHUNK_BYTES = 1024 * 1024
"""Read at once from each side."""

# PS3.10 Table 7.1-1: (0002,0010) UI, in Explicit VR Little Endian as all of group 2.
_TRANSFER_SYNTAX_UID = re.compile(rb"\x02\x00\x10\x00UI..([0-9.]{1,64})", re.DOTALL)
_GROUP_LENGTH = b"DICM\x02\x00\x00\x00UL\x04\x00"


class _Content(NamedTuple):
    """Where the data set of a file begins, and what it is encoded in."""

    offset: int
    transfer_syntax: bytes


def holds_same_data_set(system: System, fd: int, other_fd: int) -> bool:
    """Compare two open files; blocks.

    Raises:
        OSError: If one of them cannot be read.

    """
    one, other = _content_of(system, fd), _content_of(system, other_fd)
    if one is None or other is None or one.transfer_syntax != other.transfer_syntax:
        return False
    rest_bytes = system.fstat(fd).st_size - one.offset
    if rest_bytes != system.fstat(other_fd).st_size - other.offset:
        return False
    return all(
        system.pread(fd, CHUNK_BYTES, one.offset + at)
        == system.pread(other_fd, CHUNK_BYTES, other.offset + at)
        for at in range(0, rest_bytes, CHUNK_BYTES)
    )


def _content_of(system: System, fd: int) -> _Content | None:
    """Find the data set of a file; None if this is no DICOM file."""
    head = system.pread(fd, HEAD_BYTES, 0)
    if not head.startswith(_GROUP_LENGTH, 128):
        return None
    offset = 144 + int.from_bytes(head[140:144], "little")
    found = _TRANSFER_SYNTAX_UID.search(head, 144, min(offset, len(head)))
    return None if found is None else _Content(offset, found[1])
