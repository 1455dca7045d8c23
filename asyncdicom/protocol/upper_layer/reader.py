"""PDUs as they arrive: control PDUs whole, data at once (PS3.8 §9.3).

    reader = PduReader()
    reader.expect(max_pdu_bytes=16384, context_ids={1, 3})    # once that is known
    reader.receive_data(chunk)
    while (event := reader.next_event()) is not NEED_DATA:
        handle(event)
    reader.receive_eof()               # raises Truncated in the middle of a PDU

Strategy: what is in the chunk is never copied, but for headers that the network cut and for
control PDUs. A PDV is handed out in as many fragments as there are chunks that hold a piece of
it; where both its headers lie in one chunk, they are read in one go.

Rule (cuts): joined fragments, PDUs and verdict do not depend on where the network cuts the
bytes; only the number of fragments does. A header is judged when it is whole, before anything
behind it is waited for.

Rule (strictness): the framing of P-DATA-TF is believed only if it adds up: each PDV within its
PDU, at least one PDV in each PDU, odd context IDs, no longer than what we announced. Bits
that are reserved are not looked at (PS3.8 §E.2).
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.payload_events import NEED_DATA, NeedData
from asyncdicom.protocol.upper_layer.meanings import INVALID_PARAMETER, UNRECOGNIZED_PDU
from asyncdicom.protocol.upper_layer.pdu import PdvFragment, decode

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from asyncdicom.model import Buffer
    from asyncdicom.protocol.upper_layer.pdu import Pdu

__all__ = ["NEED_DATA", "NeedData", "PduLimits", "PduReader"]

ODD_IDS: Final = frozenset(range(1, 256, 2))
"""Presentation context IDs that can be (PS3.8 §9.3.2.2)."""

# PS3.8 Tables 9-22 and 9-23: PDU-type, reserved, PDU-length; item length, context ID, control.
_PDU_HEADER = struct.Struct(">BxL")
_PDV_HEADER = struct.Struct(">LBB")
_BOTH_HEADERS = struct.Struct(">BxLLBB")
_unpack_both = _BOTH_HEADERS.unpack_from
_BOTH_BYTES = _BOTH_HEADERS.size
_HEADER_BYTES = _PDU_HEADER.size
"""Of a PDU, and of a PDV item with its context ID and message control header."""

_P_DATA = 0x04
_ASSOCIATE = (0x01, 0x02)
_SHORT = (0x03, 0x05, 0x06, 0x07)
_SHORT_BYTES = 4
"""Variable field of all PDUs that say one thing (PS3.8 §9.3.4, §9.3.6, §9.3.7, §9.3.8)."""
_MIN_ASSOCIATE_BYTES = 68
"""Variable field of an association PDU without its items (PS3.8 Table 9-11)."""
_MAX_LENGTH = 0xFFFFFFFF
_IS_COMMAND = 0b01
_IS_LAST = 0b10
_WHOLE_COMMAND = _IS_COMMAND | _IS_LAST
_WHOLE_DATA_SET = _IS_LAST
_EMPTY: Final = memoryview(b"")


@dataclass(frozen=True, slots=True)
class PduLimits:
    """Bounds of what a peer may make us hold."""

    max_associate_bytes: int = 1024 * 1024
    """A-ASSOCIATE PDU without its header: 128 contexts of 60 transfer syntaxes are 300 kB."""


class PduReader:
    """Turn the bytes of one connection into PDUs and fragments of data.

    Cost: O(n); holds the chunks that `next_event` was not asked for yet, and at most one
    control PDU or header. Drained to `NEED_DATA`, it refers to no chunk any more.

    Attributes:
        abort_reason: Reason/Diag. of the A-ABORT that an error calls for (PS3.8 Table 9-26).

    """

    def __init__(self, *, limits: PduLimits | None = None) -> None:
        self.abort_reason = INVALID_PARAMETER
        self._limits = limits or PduLimits()
        self._max_pdu_bytes = _MAX_LENGTH
        self._context_ids: AbstractSet[int] = ODD_IDS
        self._chunks: deque[memoryview] = deque()
        self._view = _EMPTY
        self._at = 0
        self._end = 0
        self._message_end = 0  # of what `whole_message` found
        self._passed_bytes = 0  # of chunks before this one
        self._held = bytearray()  # beginning of a header or of a control PDU
        self._wanted_bytes = _HEADER_BYTES  # of which the whole has as many
        # Plain functions: bound methods would tie reader and chunk into a cycle.
        self._state: _State = PduReader._read_pdu_header  # judges them, once there is no PDV
        self._pdu_left = 0  # bytes of the P-DATA-TF behind the current PDV
        self._pdv_left = 0  # bytes of the current PDV
        self._context_id = 0
        self._is_command = False
        self._is_last = False

    def expect(self, *, max_pdu_bytes: int, context_ids: AbstractSet[int]) -> None:
        """Say what was agreed on.

        Args:
            max_pdu_bytes: Longest variable field of a P-DATA-TF that we announced; 0 is no limit.
            context_ids: Presentation contexts in which data may come.

        """
        self._max_pdu_bytes = max_pdu_bytes or _MAX_LENGTH
        self._context_ids = context_ids

    def receive_data(self, data: Buffer) -> None:
        """Store the next bytes; parse nothing. Fragments are views into them.

        Args:
            data: Bytes, of any length. They must not change before the fragments were used
                and `next_event` returned `NEED_DATA`.

        Raises:
            UsageError: After an error.

        """
        if self._state is PduReader._refuse:
            raise UsageError("data behind an error")
        if data:
            self._chunks.append(memoryview(data))

    def receive_eof(self) -> None:
        """Say that no byte will follow.

        Raises:
            Truncated: In the middle of a PDU; `offset` is the number of bytes received.
            UsageError: If events were not drained, or after an error.

        """
        if self._at < self._end or self._chunks or self._state is PduReader._refuse:
            raise UsageError("events are drained before the end is told, and none follow an error")
        is_between = self._state is PduReader._read_pdu_header and not self._held
        if self._pdv_left or not is_between:
            message = "the connection ended in the middle of a PDU"
            raise Truncated(message, offset=self._offset(0))

    def next_event(self) -> Pdu | PdvFragment | NeedData:
        """Parse on to the next PDU or fragment.

        Raises:
            ProtocolError: If the bytes break PS3.8 §9.3; the reader is unusable then.
            LimitExceeded: If a control PDU is longer or holds more than anybody needs.
            UsageError: After an error.

        """
        if self._state is _read_pdu_header and not (self._pdv_left or self._held):
            if self._at == self._end and not self._take_chunk():
                return NEED_DATA
            fragment = self._whole_pdv()
            if fragment is not None:
                return fragment
        elif self._state is PduReader._refuse:
            raise UsageError("nothing follows an error")
        try:
            while (event := self._step()) is None:
                pass
        except ProtocolError:
            self._state = PduReader._refuse
            self._chunks.clear()
            self._view = _EMPTY
            raise
        return event

    @property
    def is_drained(self) -> bool:
        """Whether all that was received was read: `next_event` would say `NEED_DATA`."""
        return self._at == self._end and not self._chunks

    def whole_message(self) -> tuple[int, memoryview, memoryview | None] | None:
        """Return context ID, command set and data set, each one PDV, if they lie in the chunk.

        The data set is None where nothing, or no data set follows. Nothing is read by this:
        either `pass_message` follows, or `next_event` tells it in parts.
        """
        is_between = self._state is _read_pdu_header and not (self._pdv_left or self._held)
        if not is_between or (self._at == self._end and not self._take_chunk()):
            return None
        at, most, view, stop = self._at, self._max_pdu_bytes, self._view, self._end
        if stop - at <= _BOTH_BYTES:
            return None
        kind, pdu_bytes, pdv_bytes, context_id, control = _unpack_both(view, at)
        middle = at + _HEADER_BYTES + pdu_bytes
        if (
            (kind, control, pdv_bytes) != (_P_DATA, _WHOLE_COMMAND, pdu_bytes - 4)
            or not _HEADER_BYTES <= pdu_bytes <= most
            or context_id not in self._context_ids
            or middle > stop
        ):
            return None
        self._message_end = middle
        command = view[at + _BOTH_BYTES : middle]
        if stop - middle <= _BOTH_BYTES:
            return context_id, command, None
        kind, pdu_bytes, pdv_bytes, other_id, control = _unpack_both(view, middle)
        if (kind, control & _IS_COMMAND) != (_P_DATA, 0):
            return context_id, command, None
        self._message_end = end = middle + _HEADER_BYTES + pdu_bytes
        is_whole = (control, pdv_bytes) == (_WHOLE_DATA_SET, pdu_bytes - 4) and end <= stop
        if not is_whole or other_id != context_id or not _HEADER_BYTES < pdu_bytes <= most:
            return None
        return context_id, command, view[middle + _BOTH_BYTES : end]

    def pass_message(self) -> None:
        """Go on behind the message that `whole_message` returned just now."""
        self._at = self._message_end

    def take_data(self, context_id: int) -> tuple[list[memoryview], bool]:
        """Return what lies in the chunk of a data set that has begun, and whether it ends there.

        What is cut, or of another context, is left to `next_event`.
        """
        pieces: list[memoryview] = []
        if self._held or (self._at == self._end and not self._take_chunk()):
            return pieces, False
        while self._pdv_left or self._read_both_headers():
            if self._is_command or self._context_id != context_id:
                self._at -= 0 if self._pdv_left else _BOTH_BYTES  # without a byte, it is its header
                break
            at = self._at
            self._at = stop = min(at + self._pdv_left, self._end)
            self._pdv_left -= stop - at
            if stop > at:
                pieces.append(self._view[at:stop])
            if self._pdv_left:
                break
            if self._is_last:
                return pieces, True
        return pieces, False

    def _whole_pdv(self) -> PdvFragment | None:
        """Return a PDU of one PDV that lies in the chunk whole, as short ones do; else None."""
        at = self._at
        if self._end - at <= _BOTH_BYTES:
            return None
        pdu_type, pdu_bytes, pdv_bytes, context_id, control = _unpack_both(self._view, at)
        end = at + _HEADER_BYTES + pdu_bytes
        if (
            end > self._end
            or pdu_type != _P_DATA
            or pdv_bytes != pdu_bytes - 4
            or pdv_bytes < 2
            or pdu_bytes > self._max_pdu_bytes
            or context_id not in self._context_ids
        ):
            return None
        self._at = end
        return PdvFragment(
            context_id,
            control & _IS_COMMAND != 0,
            control & _IS_LAST != 0,
            self._view[at + _BOTH_BYTES : end],
        )

    def _step(self) -> Pdu | PdvFragment | NeedData | None:
        if self._at == self._end and not self._take_chunk():
            return NEED_DATA
        if self._pdv_left or self._read_both_headers():
            return self._fragment()
        piece = self._view[self._at : self._at + self._wanted_bytes - len(self._held)]
        self._held += piece
        self._at += len(piece)
        if len(self._held) < self._wanted_bytes:
            return None
        whole = bytes(self._held)
        self._held.clear()
        return self._state(self, whole)

    def _take_chunk(self) -> bool:
        self._passed_bytes += self._end
        self._at = 0
        if self._chunks:
            self._view = self._chunks.popleft()
            self._end = len(self._view)
            return True
        self._view = _EMPTY
        self._end = 0
        return False

    def _read_both_headers(self) -> bool:
        """Read PDU and PDV header at once; whatever is not plain is left to `_step`."""
        at = self._at
        if (
            self._end - at <= _BOTH_BYTES
            or self._held
            or self._state is not PduReader._read_pdu_header
        ):
            return False
        pdu_type, pdu_bytes, pdv_bytes, context_id, control = _BOTH_HEADERS.unpack_from(
            self._view, at
        )
        if (
            pdu_type != _P_DATA
            or pdv_bytes != pdu_bytes - 4
            or pdv_bytes < 2
            or pdu_bytes > self._max_pdu_bytes
            or context_id not in self._context_ids
        ):
            return False
        self._at = at + _BOTH_BYTES
        self._pdv_left = pdv_bytes - 2
        self._context_id = context_id
        self._is_command = control & _IS_COMMAND != 0
        self._is_last = control & _IS_LAST != 0
        return True

    def _fragment(self) -> PdvFragment:
        """Pass on what is there of the current PDV."""
        at = self._at
        end = at + self._pdv_left
        is_whole = end <= self._end
        if not is_whole:
            end = self._end
        self._at = end
        self._pdv_left -= end - at
        return PdvFragment(
            self._context_id, self._is_command, self._is_last and is_whole, self._view[at:end]
        )

    def _read_pdu_header(self, header: bytes) -> None:
        pdu_type, length = _PDU_HEADER.unpack(header)
        if pdu_type == _P_DATA:
            self._begin_data(length)
            return
        if pdu_type not in _ASSOCIATE + _SHORT:
            self.abort_reason = UNRECOGNIZED_PDU
            raise self._error(f"a PDU of type {pdu_type:02X}")
        is_short = pdu_type in _SHORT
        if length != _SHORT_BYTES if is_short else length < _MIN_ASSOCIATE_BYTES:
            raise self._error(f"a PDU of type {pdu_type:02X} with {length} bytes")
        if length > self._limits.max_associate_bytes:
            message = f"an association PDU of {length} bytes"
            raise LimitExceeded(message, offset=self._offset(_HEADER_BYTES))
        self._held += header
        self._wanted_bytes = _HEADER_BYTES + length
        self._state = PduReader._read_control

    def _begin_data(self, length: int) -> None:
        if length > self._max_pdu_bytes:
            raise self._error(f"a PDU of {length} bytes, {self._max_pdu_bytes} were announced")
        if length < _HEADER_BYTES:
            raise self._error("a P-DATA-TF without a PDV")
        self._pdu_left = length
        self._state = PduReader._read_pdv_header

    def _read_control(self, data: bytes) -> Pdu:
        self._wanted_bytes = _HEADER_BYTES
        self._state = PduReader._read_pdu_header
        try:
            return decode(data)
        except ProtocolError as error:
            error.offset = self._offset(len(data)) + (error.offset or 0)
            raise

    def _read_pdv_header(self, header: bytes) -> PdvFragment | None:
        length, context_id, control = _PDV_HEADER.unpack(header)
        # The item length counts context ID and control header, but not itself.
        behind = self._pdu_left - length - 4
        if length < 2 or behind < 0 or 0 < behind < _HEADER_BYTES:
            raise self._error(f"a PDV of {length} bytes does not fit into its PDU")
        if context_id not in self._context_ids:
            raise self._error(f"data in presentation context {context_id}, which is none")
        self._pdu_left = behind
        self._pdv_left = length - 2
        self._context_id = context_id
        self._is_command = control & _IS_COMMAND != 0
        self._is_last = control & _IS_LAST != 0
        self._state = PduReader._read_pdv_header if behind else PduReader._read_pdu_header
        # A PDV without a byte is told at once, as none will follow.
        return None if self._pdv_left else self._fragment()

    def _refuse(self, _whole: bytes) -> None:
        """State after an error: never called."""

    def _error(self, message: str) -> ProtocolError:
        """Make the error of the header just read."""
        return ProtocolError(message, offset=self._offset(_HEADER_BYTES))

    def _offset(self, length: int) -> int:
        """Return where the last so many bytes began, in bytes from the start of the connection."""
        return self._passed_bytes + self._at - length


_read_pdu_header = PduReader._read_pdu_header  # noqa: SLF001 -- of the class above, to compare with
_State: TypeAlias = "Callable[[PduReader, bytes], Pdu | PdvFragment | None]"
