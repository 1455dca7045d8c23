"""The header that makes a file of a data set as it was sent (PS3.10 §7.1)."""

from __future__ import annotations

from typing import Protocol

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

    Raises:
        ProtocolError: If one of the UIDs is none.

    """
    raise NotImplementedError
