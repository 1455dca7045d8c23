"""Instances of an archive as C-STORE sends them: without file meta information (PS3.10 §7.1)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from asyncdicom.mock.archive import Unreadable
from asyncdicom.transports.associations.services import Instance as Sent

if TYPE_CHECKING:
    from asyncdicom.mock.archive import Instance

__all__ = ["as_sent", "read_file_meta", "sop_class_of"]

PREAMBLE_BYTES: Final = 132
"""128 bytes of anything, and `DICM`."""

MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x0002

_LONG_VRS: Final = (b"OB", b"UN")
"""Of group 0002; PS3.5 §7.1.2: their length has 32 bits behind two reserved bytes."""


def read_file_meta(head: bytes) -> tuple[str, int]:
    """Return the SOP Class UID of a file, and where its data set begins, in bytes.

    Args:
        head: The file from its first byte on, file meta information whole.

    Raises:
        Unreadable: If it has no file meta information.

    """
    if head[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] != b"DICM":
        raise Unreadable("no Part 10 file")
    sop_class, at = "", PREAMBLE_BYTES
    while len(head) >= at + 12:
        group, element, vr, length = struct.unpack_from("<HH2sH", head, at)
        if group != 0x0002:
            break
        at += 8
        if vr in _LONG_VRS:
            (length,) = struct.unpack_from("<I", head, at)
            at += 4
        if element == MEDIA_STORAGE_SOP_CLASS_UID:
            sop_class = head[at : at + length].rstrip(b"\0 ").decode("latin-1")
        at += length
    return sop_class, at


def sop_class_of(instance: Instance) -> str:
    """Return the SOP Class UID of an instance."""
    return read_file_meta(bytes(next(iter(instance.file()), b"")))[0]


def as_sent(instance: Instance) -> Sent:
    """Return an instance with its data set, byte by byte as it is stored.

    Cost: one copy of the data set.

    Raises:
        Unreadable: If the archive cannot read it.

    """
    try:
        content = b"".join(instance.file())
    except OSError as error:
        raise Unreadable(f"{error.strerror}") from error
    sop_class, start = read_file_meta(content)
    return Sent(
        sop_class_uid=sop_class,
        sop_instance_uid=instance.sop_instance_uid,
        transfer_syntax=instance.transfer_syntax_uid,
        dataset=memoryview(content)[start:],
    )
