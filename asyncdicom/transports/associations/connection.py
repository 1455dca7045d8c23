"""A TCP or TLS connection under asyncio with a receive buffer of its own, and patience.

    def advance() -> Message | None:
        while (data := connection.take()) is not None:
            parse(data)             # views of it may be kept until `take` is called again
        return the message, if it is whole; raise `connection.failure`, if there is one

    message = advance() or await connection.arrival(advance)

Strategy: the loop fills one buffer, and parses it in place while a task waits for a
message. A task that is busy, say with a disk, waits for none; the buffer fills up,
reading pauses, and TCP tells the peer.

Rule: there is one timer per connection. It looks at when something was last heard, so
that a read costs a reading of the clock and no timer. Only waiting counts as silence:
a slow disk of ours is not the peer's fault.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asyncdicom.errors import AsyncDicomError, Stalled
from asyncdicom.transports.associations import sockets
from asyncdicom.transports.associations.tls import broken

if TYPE_CHECKING:
    import socket
    from asyncio.trsock import TransportSocket
    from collections.abc import Callable, Sequence

    from asyncdicom.model import Buffer

__all__ = ["LOOKS_PER_PATIENCE", "Connection", "Patience"]

T = TypeVar("T")

FIRST_READ_BYTES = 4 * 1024
"""Buffer of who says nothing, or little: a thousand such connections cost 4 MB."""
READ_BYTES = 256 * 1024
"""Buffer of an association that filled the first one, until it is silent again."""
SMALL_READ_BYTES = 4 * 1024
"""Who sends less at a time may be waiting for our acknowledgement before it sends the rest."""
LEAST_READ_BYTES = 1024
"""Reading pauses when less of the buffer is free."""
CLOSE_TIMEOUT_S = 1.0
"""How long closing may take, in seconds; what is not written by then is lost."""
LOOKS_PER_PATIENCE = 8
"""Silence is noticed at most an eighth of the limit late."""


@dataclass(frozen=True, slots=True)
class Patience:
    """What is still patience, and what is a stall."""

    wait_s: float
    """Longest silence while the peer's word is due, in seconds."""
    is_total: bool = False
    """Whether the whole phase has to be over by then, not only a silence."""
    min_bytes_per_s: float = 0.0
    """Least mean throughput within a message; 0 allows any."""
    window_s: float = 60.0
    """Time over which that throughput is averaged, in seconds."""

    @property
    def look_s(self) -> float:
        """Time between two looks, in seconds."""
        return min(self.wait_s, self.window_s) / LOOKS_PER_PATIENCE


class Connection(asyncio.BufferedProtocol):
    """What the loop calls, and what one task reads from and writes to.

    Args:
        origin: Peer, for messages of errors.
        plain: Its socket, where no TLS stands between: then a short message is read and
            written without another turn of the loop.

    """

    def __init__(self, origin: str, plain: socket.socket | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self._view = memoryview(bytearray(FIRST_READ_BYTES))
        self._most_buffer_bytes = FIRST_READ_BYTES
        self._filled = 0
        self._taken = 0
        self._is_reading = True
        self._was_full = False
        self._transport: asyncio.Transport | None = None
        self._plain = plain
        self._socket: socket.socket | TransportSocket | None = plain
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._waiter: asyncio.Future[Any] | None = None
        self._advance: Callable[[], object] | None = None
        self._is_advancing = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._writers = 0
        self._is_expecting = True
        self._is_answered = False
        self._is_cut_soon = False
        self._failure: AsyncDicomError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._patience = Patience(0.0)
        self.heard_s = 0.0
        """When the peer was heard of last, by the clock of the loop."""
        self._phase_began_s = self._window_began_s = 0.0
        self._window_bytes = 0
        self.is_within_message = False
        """Whether more of what came before is due; said by whoever waits."""
        self.has_ended = False
        """Whether nothing will come any more, but for what `take` still returns."""

    @property
    def failure(self) -> AsyncDicomError | None:
        """Why the connection broke, or None: it is open, or ended in order."""
        return self._failure

    @property
    def peer_address(self) -> str:
        """IP address and port of the peer."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        if not name:
            return "unknown"
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self._transport = cast("asyncio.Transport", transport)
        if self._socket is None:
            # Not where it was given: uvloop makes a socket anew for each call of this one.
            self._socket = transport.get_extra_info("socket")
        if self._socket is not None:
            sockets.tune(self._socket)

    def get_buffer(self, _sizehint: int, /) -> memoryview:
        """Lend the free part of the buffer (asyncio)."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int, /) -> None:
        """Note what came (asyncio)."""
        self._filled += nbytes
        self._window_bytes += nbytes
        self.heard_s = self._loop.time()
        self._is_answered = False
        if self._socket is not None:
            sockets.acknowledge_at_once(self._socket)
        if self._plain is not None and nbytes < SMALL_READ_BYTES:
            self._read_on(self._plain)
        self._was_full = self._was_full or self._is_full
        self._wake()
        if self._is_reading and self._is_full and self._transport is not None:
            self._transport.pause_reading()
            self._is_reading = False

    def eof_received(self) -> None:
        """Note that the peer will send no more; the transport closes itself (asyncio)."""
        self.has_ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is closed (asyncio)."""
        self.has_ended = True
        if exc is not None and self._failure is None:
            self._failure = broken(exc, self._origin)
        self._stop_timer()
        self._lost.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        """Note that the peer does not read as fast as we write (asyncio)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that it caught up (asyncio)."""
        self.heard_s = self._loop.time()
        self._writable.set()

    def set_patience(self, patience: Patience) -> None:
        """Say what the peer may do from now on while we wait."""
        self._patience = patience
        self._phase_began_s = self._loop.time()
        self._begin_window(self._phase_began_s)
        if not self._is_closing():
            self._stop_timer()
            self._timer = self._loop.call_later(patience.look_s, self._look)

    def expect(self, is_expecting: bool, /) -> None:  # noqa: FBT001 -- reads as what it says
        """Say whether it is the peer's turn: only then its silence counts."""
        self._is_expecting = is_expecting
        self.heard_s = self._loop.time()

    @property
    def is_writable(self) -> bool:
        """Whether the peer took enough of what was written: `drain` would not wait."""
        return self._writable.is_set()

    def begin_message(self) -> None:
        """Say that a message was answered, and the next is waited for: silence counts from here."""
        self._is_answered = True
        self.heard_s = self._loop.time()
        self._begin_window(self.heard_s)

    def grow(self) -> None:
        """Read more at a time as soon as the peer sends more at a time."""
        self._most_buffer_bytes = READ_BYTES

    @property
    def holds_more(self) -> bool:
        """Whether `take` would return something."""
        return self._taken < self._filled

    def take(self) -> memoryview | None:
        """Return what came since the last call, or None; then nobody may hold earlier views."""
        if self._taken < self._filled:
            data = self._view[self._taken : self._filled]
            self._taken = self._filled
            return data
        self._taken = self._filled = 0
        if self._was_full:
            self._was_full = False
            if len(self._view) < self._most_buffer_bytes:
                self._view = memoryview(bytearray(self._most_buffer_bytes))
        if not self._is_reading and self._transport is not None and not self.has_ended:
            self._is_reading = True
            if not self._is_closing():
                self._transport.resume_reading()
        return None

    async def arrival(self, advance: Callable[[], T | None]) -> T:
        """Wait until `advance`, called by the loop whenever something happened, returns something.

        So a message in five pieces wakes its reader once. It was called before, without success;
        what it raises is raised.
        """
        assert self._waiter is None, "one task reads"
        self.heard_s = self._loop.time()
        self._waiter, self._advance = self._loop.create_future(), advance
        try:
            return cast("T", await self._waiter)
        finally:
            self._waiter = self._advance = None

    def write(self, parts: Sequence[Buffer]) -> None:
        """Send bytes, which must never change: the loop may keep views of them for long."""
        if not parts or self._transport is None or self._is_closing():
            return
        if self._plain is not None and len(parts) == 1:
            is_behind = self._transport.get_write_buffer_size() > 0
            sent = 0 if is_behind else sockets.write_at_once(self._plain, parts[0])
            if sent == len(parts[0]):
                return
            parts = (memoryview(parts[0])[sent:],)
        self._transport.writelines(parts)

    async def drain(self) -> None:
        """Wait until the peer took enough of what was written.

        Raises:
            Stalled: If it took nothing in time.

        """
        if self._writable.is_set():
            return
        self.heard_s = self._loop.time()
        self._writers += 1
        try:
            await self._writable.wait()
        finally:
            self._writers -= 1
        if self._failure is not None:
            raise self._failure

    def fail(self, failure: AsyncDicomError) -> None:
        """Close because of an error; whoever waits is told, and whoever will wait."""
        if self._failure is None:
            self._failure = failure
        self.close()
        self._wake()

    def close(self) -> None:
        """Send what was written, then close; all of it within `CLOSE_TIMEOUT_S`."""
        if self._transport is not None and not (self._is_cut_soon or self._lost.done()):
            # Where the peer has ended, it closes already, and waits until all is sent.
            self._is_cut_soon = True
            self._transport.close()
            self._stop_timer()
            self._timer = self._loop.call_later(CLOSE_TIMEOUT_S, self.cut)

    def cut(self) -> None:
        """Close at once; what is not yet sent is lost."""
        if self._transport is not None and not self._lost.done():
            self._transport.abort()

    async def closed(self) -> None:
        """Wait until the connection is closed, and give its buffer back.

        The garbage collector may come late, and thousands of associations before it.
        """
        await asyncio.shield(self._lost)
        self._view = memoryview(b"")
        self._taken = self._filled = 0
        self._advance = None

    def _is_closing(self) -> bool:
        return self._lost.done() or (self._transport is not None and self._transport.is_closing())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _is_full(self) -> bool:
        return len(self._view) - self._filled < LEAST_READ_BYTES

    def _read_on(self, plain: socket.socket) -> None:
        """Read what a peer with Nagle's algorithm sends because we acknowledged.

        It comes while the system call lasts, if the peer is near; who sends a message in
        five pieces costs us one turn of the loop then, not five. An answer acknowledges, too.
        """
        came = 0
        while came < SMALL_READ_BYTES and not self._is_full:
            came = sockets.read_at_once(plain, self._view[self._filled :])
            if not came:
                break
            self._filled += came
            self._window_bytes += came
            self._wake()
            if self._is_answered:
                break
            sockets.acknowledge_at_once(plain)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and not self._is_advancing:
            self._tell(self._waiter)
        if self.has_ended or self._failure is not None:
            self._writable.set()

    def _tell(self, waiter: asyncio.Future[Any]) -> None:
        """Let whoever waits go on, unless it asks for more than came."""
        assert self._advance is not None, "who waits says for what"
        self._is_advancing = True
        try:
            arrival = self._advance()
        except Exception as error:  # noqa: BLE001 -- raised by whoever waits, bugs of sinks included
            waiter.set_exception(error)
        else:
            if arrival is not None:
                waiter.set_result(arrival)
        finally:
            self._is_advancing = False

    def _look(self) -> None:
        """End a wait that lasts too long."""
        now_s, patience = self._loop.time(), self._patience
        silent_s = self._silent_s(now_s)
        why = f"nothing came for {silent_s:.3g} s" if silent_s >= patience.wait_s else None
        why = why or self._trickle(now_s)
        if why is not None:
            # Whoever waits ends the association: A-ABORT can still be sent.
            self._failure = Stalled(why, origin=self._origin)
            self._wake()
            return
        if silent_s >= patience.look_s:
            self._shrink()
        rest_s = max(patience.wait_s - silent_s, 0.001)
        self._timer = self._loop.call_later(min(rest_s, patience.look_s), self._look)

    def _shrink(self) -> None:
        """Give most of the buffer back while nothing comes."""
        if self._filled == 0 and not self.is_within_message and len(self._view) > FIRST_READ_BYTES:
            self._view = memoryview(bytearray(FIRST_READ_BYTES))

    def _silent_s(self, now_s: float) -> float:
        if self._writers == 0 and (self._waiter is None or not self._is_expecting):
            return 0.0
        return now_s - (self._phase_began_s if self._patience.is_total else self.heard_s)

    def _trickle(self, now_s: float) -> str | None:
        """Return how little came of a message, or None; busy with our disk, nothing counts."""
        patience = self._patience
        if self._waiter is None or not self.is_within_message:
            self._begin_window(now_s)
            return None
        lasted_s = now_s - self._window_began_s
        if lasted_s < patience.window_s:
            return None
        came_bytes = self._window_bytes
        self._begin_window(now_s)
        if came_bytes >= patience.min_bytes_per_s * lasted_s:
            return None
        return f"only {came_bytes} bytes came in {lasted_s:.3g} s"

    def _begin_window(self, now_s: float) -> None:
        self._window_began_s, self._window_bytes = now_s, 0
