"""Changes to data sets as they are sent."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = ["with_sop_instance_uid"]

SOP_INSTANCE_UID = b"\x08\x00\x18\x00"


def with_sop_instance_uid(dataset: Buffer, uid: str) -> bytes:
    """Replace (0008,0018), at whatever length; the data set is little endian.

    Args:
        dataset: Not compressed as a whole; one without the element is returned as it is.
        uid: Its new value, at most 65,534 characters where the VR is explicit.

    """
    content = bytes(dataset)
    at = content.find(SOP_INSTANCE_UID)
    if at < 0:
        return content
    value = uid.encode() + b"\0" * (len(uid.encode()) % 2)
    if content[at + 4 : at + 6] == b"UI":
        (length,) = struct.unpack_from("<H", content, at + 6)
        header = b"UI" + struct.pack("<H", len(value))
    else:
        (length,) = struct.unpack_from("<I", content, at + 4)
        header = struct.pack("<I", len(value))
    return b"".join((content[: at + 4], header, value, content[at + 8 + length :]))
