r"""Lines to a program that may read slowly, or not at all: it must not hold up what we do.

    outlet = Outlet(sys.stdout.fileno())
    outlet.write(b'{"event":"stored"}\n')
    outlet.close()

A pipe takes 64 KiB, and then a plain write waits for its reader, and with it the event loop
and every association.

Strategy: a descriptor that is ready takes a piece of at most PIPE_BUF bytes without waiting
(pipe(7)); so each piece is written when poll says ready, at once where possible, else when the
loop says so. What waits is bounded; what does not fit any more is counted, and the
count is told in its place.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections import deque

import orjson

__all__ = ["Outlet"]

PIECE_BYTES = 4096
"""PIPE_BUF of Linux; elsewhere it is 512 or more, and a pipe that is ready takes as much."""

MAX_WAITING_BYTES = 16 * 1024 * 1024
"""Some 30,000 events."""

PATIENCE_S = 1.0
"""How long the reader may take, at the end, between two pieces, in seconds."""


class Outlet:
    """Writes lines to a descriptor in their order; for one event loop."""

    def __init__(self, fd: int, *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._fd = fd
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._is_read = True
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, line: bytes) -> None:
        """Write a line, or keep it until the reader has taken those before it."""
        if not self._is_read:
            return
        if self._waiting:
            self._keep(line)
            return
        rest = self._write_now(line)
        if rest:
            self._keep(rest)
            asyncio.get_running_loop().add_writer(self._fd, self._resume)

    def close(self) -> None:
        """Write what waits, as long as the reader takes it."""
        if self._waiting:
            asyncio.get_running_loop().remove_writer(self._fd)
            self._tell_lost()
        while self._waiting and self._is_ready(PATIENCE_S):
            self._advance()
        self._waiting.clear()

    def _keep(self, line: bytes) -> None:
        if self._lost or self._waiting_bytes + len(line) > self._max_waiting_bytes:
            self._lost += 1
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)

    def _resume(self) -> None:
        self._advance()
        if not self._waiting:
            self._tell_lost()
        if not self._waiting:
            asyncio.get_running_loop().remove_writer(self._fd)

    def _tell_lost(self) -> None:
        """Put the number of lines that did not fit where they would have been."""
        if self._lost:
            line = orjson.dumps({"event": "eventsLost", "events": self._lost}) + b"\n"
            self._lost = 0
            self._waiting.append(line)
            self._waiting_bytes += len(line)

    def _advance(self) -> None:
        """Write as much as the reader takes now."""
        while self._waiting:
            line = self._waiting.popleft()
            self._waiting_bytes -= len(line)
            rest = self._write_now(line)
            if rest:
                self._waiting.appendleft(rest)
                self._waiting_bytes += len(rest)
                return

    def _write_now(self, data: bytes) -> bytes:
        """Write what can be written without waiting, and return the rest."""
        try:
            while data and self._is_ready(0):
                data = data[os.write(self._fd, data[:PIECE_BYTES]) :]
        except BrokenPipeError:
            # `| head` has seen enough; that is no reason to receive nothing any more.
            self._is_read = False
            self._waiting.clear()
            self._waiting_bytes = 0
            return b""
        return data

    def _is_ready(self, patience_s: float) -> bool:
        # A reader that has left counts as ready: the write tells.
        return bool(self._poll.poll(patience_s * 1000))
