r"""Lines to a program that may read slowly, or not at all: it must not hold up what we do.

    outlet = Outlet(sys.stdout.fileno())
    outlet.write(b'{"event":"stored"}\n')
    outlet.close()

A pipe takes 64 KiB, and then a plain write waits for its reader, and with it the event loop
and every association.

Strategy: a descriptor that is ready takes a piece of at most PIPE_BUF bytes without waiting
(pipe(7)); so each piece is written when poll says ready, at once where possible, else when the
loop says so. What waits is bounded; what does not fit any more, or cannot be written (to a file,
on a disk that is full), is counted, and the count is told in its place.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Outlet"]

PIECE_BYTES = 4096
"""PIPE_BUF of Linux; elsewhere it is 512 or more, and a pipe that is ready takes as much."""

MAX_WAITING_BYTES = 16 * 1024 * 1024
"""Some 30,000 events."""

PATIENCE_S = 1.0
"""How long the reader may take, at the end, between two pieces, in seconds."""

CLOSE_S = 5.0
"""How long it may take for all of them: 16 MB, piece by piece, would else be an hour."""


def events_lost(count: int) -> bytes:
    """Return the event that stands for those that were lost."""
    return orjson.dumps({"event": "eventsLost", "events": count}) + b"\n"


class Outlet:
    """Writes lines to a descriptor in their order; for one event loop."""

    def __init__(
        self,
        fd: int,
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        told_lost: Callable[[int], bytes] = events_lost,
    ) -> None:
        """Prepare.

        Args:
            fd: To write to; it stays open.
            max_waiting_bytes: Of lines that wait for their reader; further ones are lost.
            told_lost: Makes the line that stands for a number of lost ones.

        """
        self._fd = fd
        self._told_lost = told_lost
        self._is_torn = False
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
        lost, self._lost, was_torn = self._lost, 0, self._is_torn
        rest = self._write_now(self._line_of_lost(lost) + line if lost else line)
        if self._lost:
            self._lost += lost
            self._is_torn |= was_torn
        if rest:
            self._keep(rest)
            asyncio.get_running_loop().add_writer(self._fd, self._resume)

    def close(self) -> None:
        """Write what waits, as long as the reader takes it, and that is not too long."""
        if self._waiting:
            asyncio.get_running_loop().remove_writer(self._fd)
            self._tell_lost()
        end_s = monotonic() + CLOSE_S
        while self._waiting and monotonic() < end_s and self._is_ready(PATIENCE_S):
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
            line = self._line_of_lost(self._lost)
            self._lost = 0
            self._waiting.append(line)
            self._waiting_bytes += len(line)

    def _line_of_lost(self, count: int) -> bytes:
        """Return what stands for lost lines, on a line of its own."""
        end_of_torn, self._is_torn = b"\n" if self._is_torn else b"", False
        return end_of_torn + self._told_lost(count)

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
        rest = data
        try:
            while rest and self._is_ready(0):
                rest = rest[os.write(self._fd, rest[:PIECE_BYTES]) :]
        except BrokenPipeError:
            # `| head` has seen enough; that is no reason to receive nothing any more.
            self._is_read = False
            self._waiting.clear()
            self._waiting_bytes = 0
            return b""
        except BlockingIOError:
            return rest  # somebody else has filled the pipe meanwhile
        except OSError:
            # A disk that is full, as a rule; it may have room again for the next.
            self._lost += 1
            self._is_torn |= rest is not data
            return b""
        return rest

    def _is_ready(self, patience_s: float) -> bool:
        # A reader that has left counts as ready: the write tells.
        return bool(self._poll.poll(patience_s * 1000))
