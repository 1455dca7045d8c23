"""Walk a data set that is deflated as a whole (PS3.5 §A.5, RFC 1951).

Strategy: the compressed bytes are cut anew, at multiples of 4 KiB, before they are
inflated, so that the ratio is judged at the same places however the network cut
them. One such block inflates to 4 MiB at most (deflate reaches 1,032 times), which
pass by in pieces of 64 KiB.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.protocol.part10_vocabulary import Part10Limits

__all__ = ["DeflatedDataSet", "Inflated"]

_BLOCK_BYTES: Final = 4 * 1024
_PIECE_BYTES: Final = 64 * 1024


class Inflated(Protocol):
    """What the inflated bytes are handed to: a `DataSetWalker`, or something that keeps them."""

    def receive_data(self, data: Buffer, base: int, /) -> None:
        """Take the bytes at an offset of the inflated data set."""

    def receive_eof(self) -> None:
        """Learn that the data set has ended."""


class DeflatedDataSet:
    """Inflates, within bounds, and hands the result to a walker.

    Offsets in the errors of the inner walker count inflated bytes.
    """

    __slots__ = (
        "_at",
        "_block",
        "_inflated_bytes",
        "_inflater",
        "_limits",
        "_padding_bytes",
        "_start",
        "_walker",
    )

    def __init__(self, walker: Inflated, *, start: int, limits: Part10Limits) -> None:
        self._walker = walker
        self._limits = limits
        self._start = start
        self._at = start
        self._block = bytearray()
        self._inflated_bytes = 0
        self._padding_bytes = 0
        # PS3.5 §A.5: a raw deflate stream, without the header and checksum of zlib.
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def receive_data(self, data: Buffer, base: int) -> None:
        """Inflate and walk on; arguments and errors as of `DataSetWalker.receive_data`."""
        pos = max(0, self._at + len(self._block) - base)
        while pos < len(data):
            taken = data[pos : pos + _BLOCK_BYTES - len(self._block)]
            self._block += taken
            pos += len(taken)
            if len(self._block) == _BLOCK_BYTES:
                self._end_block()

    def receive_eof(self) -> None:
        """Confirm that both the stream and the data set are whole.

        Raises:
            Truncated: If one of them ends early.
            ProtocolError: If something other than zeros follows the stream.

        """
        self._end_block()
        if not self._inflater.eof:
            raise Truncated("the deflated data set ends early", offset=self._at)
        self._walker.receive_eof()

    def _end_block(self) -> None:
        block = bytes(self._block)
        self._block.clear()
        self._at += len(block)
        if not self._inflater.eof:
            self._inflate(block)
            block = self._inflater.unused_data
        self._padding_bytes += len(block)
        # PS3.5 §A.5: one NUL may pad the stream to an even length. Writers that
        # fill sectors are borne with here as well.
        if self._padding_bytes > self._limits.max_zero_padding_bytes or block.strip(b"\0"):
            raise ProtocolError("other bytes follow the deflated data set", offset=self._at)

    def _inflate(self, block: bytes) -> None:
        rest = block
        is_more = True
        while is_more and not self._inflater.eof:
            try:
                piece = self._inflater.decompress(rest, _PIECE_BYTES)
            except zlib.error as error:
                raise ProtocolError("the deflated data set is damaged", offset=self._at) from error
            self._walker.receive_data(piece, self._inflated_bytes)
            self._inflated_bytes += len(piece)
            rest = self._inflater.unconsumed_tail
            # A full piece may leave output inside of zlib even if all input was taken.
            is_more = bool(rest) or len(piece) == _PIECE_BYTES
        self._judge_ratio()

    def _judge_ratio(self) -> None:
        allowed = self._limits.max_inflation * (self._at - self._start)
        if self._inflated_bytes > max(allowed, self._limits.inflation_matters_from_bytes):
            raise LimitExceeded(
                f"the data set inflates more than {self._limits.max_inflation} times",
                offset=self._at,
            )
