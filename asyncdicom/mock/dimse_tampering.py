"""Changes to data sets as they are sent."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = ["thrown_uid", "with_sop_instance_uid"]

CRUMBS = (
    "../",
    "..",
    "/",
    "/etc/",
    "./",
    "~/",
    "\\",
    "..\\",
    "%2e%2e%2f",
    "\x00",
    "\n",
    "\r\n",
    "\x1b[2J",
    "1.2",
    ".",
    "01.02",
    "1" * 65,
    "x" * 300,
    "1.2.826.0.1.3680043.8.498.1",
    "-rf",
    "; ls",
    "$HOME",
    "`id`",
    "*",
    "?",
    "|",
    "CON",
    "nul.dcm",
    ".part",
    " ",
    "\xe4",
    "\xff",
    "\x7f",
    ".dcm",
    "report.jsonl",
)
"""What a UID may be made of that shall do harm; one byte for each character."""

SOP_INSTANCE_UID = b"\x08\x00\x18\x00"


def thrown_uid(seed: str) -> str:
    """Make a hostile UID, the same one for the same seed."""
    dice = random.Random(seed)  # noqa: S311 -- not a secret
    return "".join(dice.choices(CRUMBS, k=dice.randint(1, 5)))


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
    value = uid.encode("latin-1", "replace")
    value += b"\0" * (len(value) % 2)
    if content[at + 4 : at + 6] == b"UI":
        (length,) = struct.unpack_from("<H", content, at + 6)
        header = b"UI" + struct.pack("<H", len(value))
    else:
        (length,) = struct.unpack_from("<I", content, at + 4)
        header = struct.pack("<I", len(value))
    return b"".join((content[: at + 4], header, value, content[at + 8 + length :]))
