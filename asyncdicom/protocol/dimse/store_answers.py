"""The answer to a C-STORE-RQ, without its parts being put together anew (PS3.7 §9.3.1.2).

    encoded = encode_store_response(request, status)    # as CStoreResponse(...).encode()

Strategy: a peer waits for each of them, and those of a series differ in message ID, status and
SOP Instance UID. What stands between these is noted for each length of the UID.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from asyncdicom.protocol.dimse.command_set import Element, uid_element
from asyncdicom.protocol.dimse.commands import CStoreResponse

if TYPE_CHECKING:
    from asyncdicom.protocol.dimse.commands import CStoreRequest

__all__ = ["encode_store_response"]

_FROM_ID_TO_STATUS: Final = 2 + 8 + 2 + 8
"""Bytes of the message ID, of the whole Command Data Set Type, and of the header of the status."""


def encode_store_response(request: CStoreRequest, status: int) -> bytes:
    """Write the answer to a request.

    Raises:
        UsageError: If a UID holds more than characters of one byte.

    """
    instance = uid_element(Element.AFFECTED_SOP_INSTANCE_UID, request.sop_instance_uid)
    head, middle = _around_message_id(request.sop_class_uid, len(instance))
    message_id = request.message_id.to_bytes(2, "little")
    return b"".join((head, message_id, middle, status.to_bytes(2, "little"), instance))


@lru_cache(maxsize=32)  # SOP classes recur; 32 of the longest there can be are 8 MiB
def _around_message_id(sop_class_uid: str, instance_bytes: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the message ID, up to the status."""
    placeholder = "1" * (instance_bytes - 8) if instance_bytes else ""
    whole = CStoreResponse(0, 0, sop_class_uid, placeholder).encode()
    status_at = len(whole) - instance_bytes - 2
    message_id_at = status_at - _FROM_ID_TO_STATUS
    return whole[:message_id_at], whole[message_id_at + 2 : status_at]
