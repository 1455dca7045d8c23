"""The header that makes a file of a data set as it was sent (PS3.10 §7.1).

file.write(file_meta(request))      # request: a ports.dimse.StoreRequest
file.write(fragment)                # ... each as it came
"""

from __future__ import annotations

import re
from functools import lru_cache
from struct import Struct
from typing import Final, Protocol

from asyncdicom.errors import ProtocolError
from asyncdicom.model import is_uid

__all__ = ["IMPLEMENTATION_CLASS_UID", "IMPLEMENTATION_VERSION_NAME", "StoredObject", "file_meta"]

IMPLEMENTATION_CLASS_UID = "2.25.146488163202221317692155439183748310453"
"""Of asyncdicom, all versions (PS3.7 §D.3.3.2): the UUID 6e349810-7225-514f-8a88-1e4c26eea5b5
as a decimal number (PS3.5 §B.2), which is the name-based UUID (RFC 4122 §4.3, SHA-1) of
`urn:asyncdicom:implementation-class` in the name space for URLs."""

IMPLEMENTATION_VERSION_NAME = "ASYNCDICOM_0.1"
"""At most 16 characters (PS3.5 §6.2, SH)."""


class StoredObject(Protocol):
    """What the header says; `ports.dimse.StoreRequest` is one."""

    @property
    def sop_class_uid(self) -> str:
        """(0008,0016) of the data set."""

    @property
    def sop_instance_uid(self) -> str:
        """(0008,0018) of the data set."""

    @property
    def transfer_syntax(self) -> str:
        """UID of what the data set is encoded in."""

    @property
    def calling_ae(self) -> str:
        """Application entity that sends, or empty."""


def file_meta(request: StoredObject) -> bytes:
    """Return preamble, prefix and group 0002; the data set follows as it was sent.

    An AE title that is none is left out: (0002,0016) is optional.

    Raises:
        ProtocolError: If one of the UIDs is none.

    """
    before, after = _around(request.sop_class_uid, request.transfer_syntax, request.calling_ae)
    instance = _uid_element(_SOP_INSTANCE_UID, request.sop_instance_uid)
    length = len(before) + len(instance) + len(after)
    return b"".join((_PROLOGUE, _GROUP_LENGTH.pack(length), before, instance, after))


@lru_cache(maxsize=64)
def _around(sop_class_uid: str, transfer_syntax: str, calling_ae: str) -> tuple[bytes, bytes]:
    """Return what stands before and behind the instance: the same for most of a series."""
    before = _VERSION + _uid_element(_SOP_CLASS_UID, sop_class_uid)
    after = (
        _uid_element(_TRANSFER_SYNTAX_UID, transfer_syntax),
        _uid_element(_IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_CLASS_UID),
        _element(_IMPLEMENTATION_VERSION_NAME, b"SH", IMPLEMENTATION_VERSION_NAME, b" "),
        _ae_element(calling_ae.strip(" ")),
    )
    return before, b"".join(after)


def _uid_element(number: int, uid: str) -> bytes:
    if not is_uid(uid):
        raise ProtocolError(f"(0002,{number:04X}) would hold what is no UID")
    return _element(number, b"UI", uid, b"\0")


def _ae_element(title: str) -> bytes:
    if not _AE_TITLE.fullmatch(title):
        return b""
    return _element(_SOURCE_AE_TITLE, b"AE", title, b" ")


def _element(number: int, vr: bytes, text: str, padding: bytes) -> bytes:
    # PS3.10 §7.1: explicit VR little endian, whatever the data set is in.
    value = text.encode("ascii")
    padded = value + padding if len(value) & 1 else value
    return _HEADER.pack(2, number, vr, len(padded)) + padded


_HEADER: Final = Struct("<HH2sH")
_GROUP_LENGTH: Final = Struct("<I")
_PROLOGUE: Final = b"\0" * 128 + b"DICM" + _HEADER.pack(2, 0, b"UL", 4)
# (0002,0001) File Meta Information Version, OB: 00 01.
_VERSION: Final = Struct("<HH2sHI").pack(2, 1, b"OB", 0, 2) + b"\0\1"

_SOP_CLASS_UID: Final = 0x0002
_SOP_INSTANCE_UID: Final = 0x0003
_TRANSFER_SYNTAX_UID: Final = 0x0010
_IMPLEMENTATION_CLASS_UID: Final = 0x0012
_IMPLEMENTATION_VERSION_NAME: Final = 0x0013
_SOURCE_AE_TITLE: Final = 0x0016

# PS3.5 §6.2: 1 to 16 characters of the default repertoire without backslash and control.
_AE_TITLE: Final = re.compile(r"[ -\[\]-~]{1,16}")
