"""Read spans of one answer in their order, exactly, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import ProtocolError, Truncated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncdicom.ports.objects import ObjectAnswer

__all__ = ["SpanReader"]


class SpanReader:
    """Reads an answer from an offset in the object on.

    Attributes:
        offset: In the object, of the byte that is read next.

    """

    def __init__(
        self, answer: ObjectAnswer, first_byte: int, count_bytes: Callable[[int], None]
    ) -> None:
        """Prepare.

        Args:
            answer: What was asked for from `first_byte` on; a server may send all of the object.
            first_byte: Where reading begins.
            count_bytes: Called with the size of each piece that arrives.

        Raises:
            ProtocolError: If the answer begins behind that.

        """
        if answer.first_byte > first_byte:
            raise ProtocolError("the store sent another span than was asked for")
        self.offset = answer.first_byte
        self._answer = answer
        self._count_bytes = count_bytes
        self._piece = memoryview(b"")

    async def pieces(self, first_byte: int, byte_count: int) -> AsyncIterator[memoryview]:
        """Yield the bytes of a span; what stands before it is passed by.

        Raises:
            Truncated: If the answer ends before the span does.
            TransportError: If bytes stop flowing.

        """
        assert first_byte >= self.offset, "spans are read in their order"
        end = first_byte + byte_count
        while self.offset < end:
            if not len(self._piece):
                data = await self._answer.read()
                if not data:
                    raise Truncated("the span of the archive ends early", offset=self.offset)
                self._count_bytes(len(data))
                self._piece = memoryview(data)
            taken = self._piece[: (first_byte if self.offset < first_byte else end) - self.offset]
            self._piece = self._piece[len(taken) :]
            is_wanted = self.offset >= first_byte
            self.offset += len(taken)
            if is_wanted:
                yield taken

    async def exactly(self, first_byte: int, byte_count: int) -> bytes:
        """Return a span that is small.

        Raises:
            Truncated, TransportError: As `pieces`.

        """
        return b"".join([bytes(one) async for one in self.pieces(first_byte, byte_count)])
