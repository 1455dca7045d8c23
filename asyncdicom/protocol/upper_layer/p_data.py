"""Data to send, cut into P-DATA-TF PDUs (PS3.8 §9.3.5, Annex E)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.protocol.upper_layer.pdu import encode_pdv_header

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = ["fragment_bytes", "p_data"]

MAX_SENT_PDU_BYTES = 128 * 1024
"""To peers that set no limit: the most that DCMTK takes, and enough to make headers cheap."""

JOIN_BELOW_BYTES = 4 * 1024
"""Shorter fragments are joined with their header: a copy costs less than one more buffer."""

_HEADER_BYTES = 6
"""Of a PDV within its PDU (PS3.8 Table 9-23)."""


def fragment_bytes(max_pdu_bytes: int) -> int:
    """Return how much data fits into a PDU.

    Args:
        max_pdu_bytes: Longest variable field that the peer takes, at least 8; 0 is no limit.

    """
    room = (max_pdu_bytes or MAX_SENT_PDU_BYTES) - _HEADER_BYTES
    # DCMTK sends fragments of even length only, so that is what peers were tested with.
    return room - room % 2


def p_data(
    context_id: int, data: Buffer, *, is_command: bool, is_last: bool, max_fragment_bytes: int
) -> list[bytes | memoryview]:
    """Cut bytes of a command or data set into PDUs, one PDV in each.

    Args:
        context_id: Odd, 1 to 255.
        data: Only lent: what is long is not copied.
        is_command: Command or data set.
        is_last: Whether it ends with these bytes; the last PDV is marked then.
        max_fragment_bytes: See `fragment_bytes`.

    Returns:
        Buffers to write in this order; none for no data that end nothing.

    """
    length = len(data)
    if length <= max_fragment_bytes:
        if not length and not is_last:
            return []
        header = encode_pdv_header(context_id, length, is_command=is_command, is_last=is_last)
        return [header + data] if length < JOIN_BELOW_BYTES else [header, memoryview(data)]
    view = memoryview(data)
    out: list[bytes | memoryview] = []
    for start in range(0, length, max_fragment_bytes):
        out += p_data(
            context_id,
            view[start : start + max_fragment_bytes],
            is_command=is_command,
            is_last=is_last and start + max_fragment_bytes >= length,
            max_fragment_bytes=max_fragment_bytes,
        )
    return out
