"""Take a content-coding off a body, piece by piece and with a bound (RFC 9110 §8.4).

    decoder = decoder_for("gzip")
    for piece in decoder.decode(data):
        ...
    decoder.end()

Rule: a body that grows more than `MAX_RATIO` times, or past `MAX_DECODED_BYTES`,
is a bomb, not metadata. JSON as archives write it shrinks to a tenth to a
thirtieth; deflate itself can reach 1,032 times.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UnexpectedContent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.model import Buffer

__all__ = ["Decoder", "decoder_for"]

PIECE_BYTES = 256 * 1024
"""Most that one step inflates, so that a bomb is seen before it fills the memory."""
MAX_RATIO = 100
RATIO_MATTERS_FROM_BYTES = 16 * 1024 * 1024
"""Below this much output no ratio is worth a refusal: repetitive JSON shrinks a lot."""
MAX_DECODED_BYTES = 4 * 1024 * 1024 * 1024
"""A study of 200,000 instances has about this much metadata."""

# RFC 9110 §8.4.1.3: x-gzip is equivalent to gzip. 32 + 15 lets zlib tell gzip
# from zlib ("deflate" is the zlib format, §8.4.1.2).
_WINDOW_BITS = 32 + 15


def decoder_for(content_encoding: str | None) -> Decoder | None:
    """Return a decoder for a Content-Encoding field, or None if there is nothing to take off.

    Raises:
        UnexpectedContent: If the coding is one we did not offer, or several are stacked.

    """
    coding = (content_encoding or "").strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return Decoder()
    raise UnexpectedContent(f"content-coding {coding[:40]!r} was not offered")


class Decoder:
    """Inflates gzip and deflate within bounds."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_WINDOW_BITS)
        self._received = 0
        self._decoded = 0

    def decode(self, data: Buffer) -> Iterator[bytes]:
        """Yield what the data inflates to, in pieces of at most 256 KiB.

        Raises:
            ProtocolError: If the data is not of the coding.
            LimitExceeded: If it grows out of all proportion.

        """
        self._received += len(data)
        rest: Buffer = data
        while len(rest):
            if self._inflater.eof:
                # RFC 1952 §2.2: a gzip file is a series of members.
                self._inflater = zlib.decompressobj(_WINDOW_BITS)
            try:
                piece = self._inflater.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                raise ProtocolError(
                    "the content-coding is damaged", offset=self._received
                ) from error
            self._count(len(piece))
            if piece:
                yield piece
            rest = self._inflater.unused_data or self._inflater.unconsumed_tail

    def end(self) -> None:
        """Confirm that the coding was read to its own end.

        Raises:
            Truncated: If the compressed stream is not whole.

        """
        if not self._inflater.eof and self._received:
            raise Truncated("the compressed body ended early", offset=self._received)

    def _count(self, piece_bytes: int) -> None:
        self._decoded += piece_bytes
        grown = self._decoded > RATIO_MATTERS_FROM_BYTES
        if grown and self._decoded > MAX_RATIO * self._received:
            raise LimitExceeded(f"the compressed body grows more than {MAX_RATIO} times")
        if self._decoded > MAX_DECODED_BYTES:
            raise LimitExceeded(f"the compressed body exceeds {MAX_DECODED_BYTES} bytes")
