"""One accepted TCP or TLS connection: bytes in, buffers out, and every way to end it.

A thin asyncio protocol. It is not a stream writer because faults need what a
writer hides: a TCP RST, an end without a TLS close, silence with an open socket.

Rule: the task that serves a connection is cancelled when the connection is lost.
Whatever it waits for, a client that leaves ends it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from asyncdicom.model import Buffer

__all__ = ["Connection"]

READ_AHEAD_BYTES = 256 * 1024
"""Unread request bytes at which reading pauses."""

JOIN_BELOW_BYTES = 16 * 1024
"""Buffers up to this length are joined before they are written: copying them costs less
than another system call."""


DRAINS_PER_TURN = 16
"""After so many writes the loop gets a turn, whether they had to wait or not."""


class Connection(asyncio.Protocol):
    """One connection of the mock.

    Args:
        serve: Is called with the connection once it is made; runs as its task.
        on_task: Is called with the connection and its task as soon as that exists.

    """

    def __init__(
        self,
        serve: Callable[[Connection], Awaitable[None]],
        on_task: Callable[[Connection, asyncio.Task[None]], None],
    ) -> None:
        self._serve = serve
        self._on_task = on_task
        self._received = bytearray()
        self._ended = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self.closed = asyncio.Event()
        self.bytes_sent = 0
        self._drains = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve."""
        self.transport = cast("asyncio.Transport", transport)
        self._writable.set()
        self.task = asyncio.get_running_loop().create_task(self._run())
        self._on_task(self, self.task)

    async def _run(self) -> None:
        try:
            await self._serve(self)
        finally:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Keep what came for `read`."""
        self._received += data
        self._readable.set()
        if len(self._received) >= READ_AHEAD_BYTES:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Take the end of the requests for the end of interest: the transport closes."""
        self._ended = True
        self._readable.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """End the task, whatever it waits for."""
        self._ended = True
        self._readable.set()
        self.task.cancel()
        self.closed.set()

    def pause_writing(self) -> None:
        """Make `drain` wait: the high-water mark was met."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `drain` go on: the low-water mark was met."""
        self._writable.set()

    @property
    def peer_port(self) -> int:
        """The client's TCP port."""
        peer = self.transport.get_extra_info("peername")
        return int(peer[1]) if peer else 0

    @property
    def scheme(self) -> str:
        """`https` where TLS is spoken, else `http`."""
        return "https" if self.transport.get_extra_info("ssl_object") else "http"

    @property
    def selected_protocol(self) -> str | None:
        """What ALPN agreed on (RFC 7301), None without TLS or without ALPN."""
        tls = self.transport.get_extra_info("ssl_object")
        return tls.selected_alpn_protocol() if tls is not None else None

    async def read(self) -> bytes:
        """Return what came since the last call, or `b""` once the client has ended."""
        while not self._received and not self._ended:
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._received)
        if len(data) >= READ_AHEAD_BYTES:
            self.transport.resume_reading()
        self._received.clear()
        return data

    def write(self, buffers: Iterable[Buffer]) -> None:
        """Queue buffers; large ones are handed on without a copy. Nothing, once it is closing."""
        # The task of a lost connection is cancelled, but its streams' tasks may have
        # one more turn before that reaches them; uvloop raises where asyncio warns.
        if self.transport.is_closing():
            return
        small = bytearray()
        for buffer in buffers:
            self.bytes_sent += len(buffer)
            if len(buffer) <= JOIN_BELOW_BYTES:
                small += buffer
                continue
            if small:
                self.transport.write(bytes(small))
                small.clear()
            self.transport.write(buffer)
        if small:
            self.transport.write(bytes(small))

    async def drain(self) -> None:
        """Wait until the socket has room."""
        self._drains += 1
        if self.transport.is_closing() or self._drains % DRAINS_PER_TURN == 0:
            # What is dropped is never in the way of the next write, so that an endless body
            # would keep the loop from ever telling that the client has left. A transport
            # of TLS drops it without closing, once the client has taken its leave.
            await asyncio.sleep(0)
        if not self._writable.is_set():
            await self._writable.wait()

    async def send(self, buffers: Iterable[Buffer]) -> None:
        """Write buffers and wait until the socket has room."""
        self.write(buffers)
        await self.drain()

    async def hang(self) -> None:
        """Do nothing until the client leaves, which cancels the caller."""
        await self.closed.wait()

    async def reset(self) -> None:
        """End with a TCP RST; what is still queued here is lost."""
        # The option is set on a duplicate of the descriptor: uvloop's sockets
        # do not offer it, and it belongs to the socket, not to the descriptor.
        pretended = self.transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(pretended.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self.closed.wait()

    async def close(self) -> None:
        """End in order, after what is queued was sent."""
        self.transport.close()
        await self.closed.wait()

    async def aclose(self) -> None:
        """End at once, and wait for the task."""
        self.transport.abort()
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
