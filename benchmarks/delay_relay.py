"""A relay on loopback that is as far away as a server across an ocean.

    python -m benchmarks.delay_relay TARGET_PORT DELAY_S    # prints its port, serves until ended

    with delayed(server_port, delay_s=0.025) as relay: ...      # the same from Python
    proof = prove(relay, "/bucket/key")

Strategy: every chunk is passed on `DELAY_S` after it came, in order, whatever came
meanwhile; nothing is slowed down, and nothing is refused (4,096 connections may wait to be
accepted). The kernel accepts a connection at once, which no server so far away could: what comes
first on a new connection waits for the round trip of SYN and SYN-ACK, too. What came is
acknowledged at once: who has Nagle's algorithm on is not slowed down by our kernel's patience.

Rule: bandwidth is what the machine has. What is under way is kept in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, cast

import uvloop

from asyncdicom.transports.associations.sockets import acknowledge_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DelayRelay", "Proof", "delayed", "prove"]

BACKLOG = 4096
_IN_RAM = 64 * 1024 * 1024
"""High-water mark of a socket: what a slow reader may leave with us."""


@dataclass(frozen=True, slots=True)
class DelayRelay:
    """A running relay."""

    port: int
    delay_s: float
    """In each direction."""

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the relay does, as measured."""

    first_s: float
    """To the answer of the first request on a new connection: two round trips."""
    next_s: float
    """To the answer of the next one: one round trip."""
    megabytes_per_s: float
    """Of a large body, its first byte excluded; units of 10^6 bytes."""


class _Line:
    """One direction of a connection: what came is passed on in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay_s: float) -> None:
        self._loop = loop
        self._delay_s = delay_s
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._is_timed = False
        self._not_before_s = 0.0
        self._target: asyncio.Transport | None = None

    def leads_to(self, target: asyncio.BaseTransport) -> None:
        """Begin to pass on."""
        self._target = cast("asyncio.Transport", target)
        self._target.set_write_buffer_limits(high=_IN_RAM)
        self._wait()

    def begins_after(self, pause_s: float) -> None:
        """Pass nothing on for so many seconds."""
        self._not_before_s = self._loop.time() + pause_s

    def send(self, data: bytes | None) -> None:
        """Take bytes, or None for their end."""
        due_s = max(self._loop.time() + self._delay_s, self._not_before_s)
        self._queue.append((due_s, data))
        self._wait()

    def _wait(self) -> None:
        if self._queue and self._target is not None and not self._is_timed:
            self._is_timed = True
            self._loop.call_at(self._queue[0][0], self._pass_on)

    def _pass_on(self) -> None:
        self._is_timed = False
        target = self._target
        assert target is not None, "only then there is a timer"
        # A timer of the loop may strike up to a millisecond early.
        now_s = self._loop.time() + 0.0005
        while self._queue and self._queue[0][0] <= now_s:
            _, data = self._queue.popleft()
            if target.is_closing():
                continue
            if data is None:
                target.close()
            else:
                target.write(data)
        self._wait()


class _End(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self, away: _Line) -> None:
        self._away = away

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = transport.get_extra_info("socket")
        acknowledge_at_once(self._socket)

    def data_received(self, data: bytes) -> None:
        acknowledge_at_once(self._socket)
        self._away.send(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._away.send(None)


class _Client(_End):
    """The end that a client opened; opens the other."""

    def __init__(self, target_port: int, delay_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._target_port = target_port
        self._delay_s = delay_s
        self._opening: asyncio.Task[None] | None = None
        super().__init__(_Line(self._loop, delay_s))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._away.begins_after(3 * self._delay_s)
        back = _Line(self._loop, self._delay_s)
        back.leads_to(transport)
        self._opening = self._loop.create_task(self._open(back))

    async def _open(self, back: _Line) -> None:
        try:
            server, _ = await self._loop.create_connection(
                lambda: _End(back), "127.0.0.1", self._target_port
            )
        except OSError:
            back.send(None)
            return
        self._away.leads_to(server)


async def serve(target_port: int, delay_s: float) -> None:
    """Relay until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Client(target_port, delay_s), "127.0.0.1", 0, backlog=BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def delayed(target_port: int, *, delay_s: float) -> Iterator[DelayRelay]:
    """Run a relay in a process of its own; end it with the block.

    Args:
        target_port: Of the server, on 127.0.0.1.
        delay_s: In each direction, in seconds.

    """
    command = [sys.executable, "-m", "benchmarks.delay_relay", str(target_port), str(delay_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None, "asked for"
            yield DelayRelay(int(process.stdout.readline()), delay_s)
        finally:
            process.terminate()


def prove(relay: DelayRelay, path: str) -> Proof:
    """Measure a relay with a large body.

    Args:
        relay: What is measured.
        path: Of an object of many megabytes.

    """
    connection = HTTPConnection("127.0.0.1", relay.port)
    with contextlib.closing(connection):
        first_s = _head_s(connection, path)
        next_s = _head_s(connection, path)
        connection.request("GET", path)
        answer = connection.getresponse()
        byte_count = len(answer.read(1))
        begun_s = time.perf_counter()
        while data := answer.read(1 << 20):
            byte_count += len(data)
        return Proof(first_s, next_s, byte_count / (time.perf_counter() - begun_s) / 1e6)


def _head_s(connection: HTTPConnection, path: str) -> float:
    begun_s = time.perf_counter()
    connection.request("HEAD", path)
    connection.getresponse().read()
    return time.perf_counter() - begun_s


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
