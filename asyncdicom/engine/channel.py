"""Messages between two processes of ours, over a socket pair: many in one system call.

    channel = await Channel.over(sock, take=handle, ended=stop)
    channel.send((1, "any picklable value"))        # leaves at the end of this turn of the loop

A frame is its length in four bytes and the pickled list of the messages of one
turn. Both ends are this very program on this machine, so pickle is trusted.
"""

from __future__ import annotations

import asyncio
import copyreg
import pickle
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Self, cast

from asyncdicom.errors import AsyncDicomError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

__all__ = ["Channel"]

_LENGTH: Final = Struct("<I")


class Channel(asyncio.Protocol):
    """One end.

    Args:
        take: Called with each message, in order.
        ended: Called once, when the other end has closed or died.

    """

    def __init__(self, take: Callable[[Any], object], ended: Callable[[], object]) -> None:
        self._take = take
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: list[object] = []

    @classmethod
    async def over(
        cls, sock: socket.socket, *, take: Callable[[Any], object], ended: Callable[[], object]
    ) -> Self:
        """Take over a connected socket; it is closed with the channel."""
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_connection(lambda: cls(take, ended), sock=sock)
        return channel

    def send(self, message: object) -> None:
        """Send a picklable value; one that the other end cannot hear any more is dropped."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(message)

    def close(self) -> None:
        """Send what was given, then close; `ended` is not called."""
        self._ended = _nothing
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio.Protocol)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take the messages of whole frames (asyncio.Protocol)."""
        received = self._received
        received += data
        at = 0
        while len(received) >= at + _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received, at)
            end = at + _LENGTH.size + length
            if len(received) < end:
                break
            with memoryview(received) as view:
                messages = pickle.loads(view[at + _LENGTH.size : end])  # noqa: S301 -- ours, see above
            for message in messages:
                self._take(message)
            at = end
        del received[:at]

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell that nothing will come any more (asyncio.Protocol)."""
        self._transport = None
        self._ended()

    def _flush(self) -> None:
        messages, self._waiting = self._waiting, []
        if messages and self._transport is not None:
            frame = pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)
            self._transport.writelines((_LENGTH.pack(len(frame)), frame))


def _restored(kind: type[AsyncDicomError], args: tuple[object, ...]) -> AsyncDicomError:
    return kind.__new__(kind, *args)


def _reduced(error: AsyncDicomError) -> tuple[Any, ...]:
    return _restored, (type(error), error.args), vars(error)


def _kinds_of(kind: type[AsyncDicomError]) -> Iterator[type[AsyncDicomError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds_of(narrower)


# Our errors travel with all their facts, whatever their constructors demand.
for _kind in _kinds_of(AsyncDicomError):
    copyreg.pickle(_kind, _reduced)


def _nothing() -> None:
    """Hear that a channel ended which we closed ourselves."""
