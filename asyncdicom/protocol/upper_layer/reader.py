"""PDUs as they arrive: control PDUs whole, data at once (PS3.8 §9.3).

reader = PduReader(max_pdu_bytes=16384)
reader.receive_data(chunk)
while (event := reader.next_event()) is not NEED_DATA:
    handle(event)
reader.receive_eof()               # raises Truncated in the middle of a PDU
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.protocol.payload_events import NEED_DATA, NeedData

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.protocol.upper_layer.pdu import Pdu, PdvFragment

__all__ = ["NEED_DATA", "NeedData", "PduLimits", "PduReader"]


@dataclass(frozen=True, slots=True)
class PduLimits:
    """Bounds of what a peer may make us hold."""

    max_associate_bytes: int = 1024 * 1024
    """A-ASSOCIATE PDU without its header: 128 contexts of 60 transfer syntaxes are 300 kB."""


class PduReader:
    """Turn the bytes of one connection into PDUs and fragments of data."""

    def __init__(self, *, max_pdu_bytes: int, limits: PduLimits | None = None) -> None:
        """Prepare for one connection.

        Args:
            max_pdu_bytes: Longest P-DATA-TF that we announced, without its header; 0 is no limit.
            limits: Bounds; None for the defaults.

        """

    def receive_data(self, data: Buffer) -> None:
        """Store the next bytes; parse nothing. Fragments are views into them."""
        raise NotImplementedError

    def receive_eof(self) -> None:
        """Say that no byte will follow.

        Raises:
            Truncated: In the middle of a PDU.

        """
        raise NotImplementedError

    def next_event(self) -> Pdu | PdvFragment | NeedData:
        """Parse on to the next PDU or fragment.

        Raises:
            ProtocolError: If the bytes break PS3.8 §9.3; the reader is unusable then.

        """
        raise NotImplementedError
