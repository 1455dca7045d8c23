"""TCP connections for DIMSE: made to the first address that answers, and told not to dawdle.

A peer that leaves Nagle's algorithm on (DCMTK, and Orthanc with it) holds the last small
segment of a message back until we acknowledge the one before, and the kernel delays that
acknowledgement by 40 ms. C-GET of seven small files took 820 ms so, and 50 ms with
`TCP_QUICKACK`. Linux drops the flag by itself, so it is set again after each read.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import deque
from contextlib import suppress
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from collections.abc import Callable, Iterable

    from asyncdicom.model import Buffer

__all__ = [
    "Address",
    "Listener",
    "acknowledge_at_once",
    "connect",
    "listen",
    "peer_address",
    "read_at_once",
    "tune",
    "write_at_once",
]

STAGGER_S = 0.25
"""Head start of an address over the next, in seconds (RFC 8305 §5)."""

BACKLOG = 512
"""Connections the kernel keeps until we take them; it cuts the number to what it allows."""

ACCEPTS_PER_TURN = 64
"""Connections taken in one turn of the loop, so that those that are served get theirs."""

ACCEPT_PAUSE_S = 1.0
"""Pause after a failed accept, in seconds: out of descriptors or memory, as a rule."""

QUICKACK = getattr(socket, "TCP_QUICKACK", None)
"""Linux only."""

Address = tuple[socket.AddressFamily, tuple[object, ...]]


def tune(sock: socket.socket | TransportSocket) -> None:
    """Send small messages at once, and acknowledge at once."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    acknowledge_at_once(sock)


def acknowledge_at_once(sock: socket.socket | TransportSocket) -> None:
    """Arm TCP_QUICKACK, where there is such a thing; after each read. Costs one system call."""
    if QUICKACK is not None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        except OSError:  # closed, or reset by the peer: the next read will say so
            return


def peer_address(sock: socket.socket) -> str:
    """Return IP address and port of the other side, or `unknown` if it is gone."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return "unknown"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_at_once(sock: socket.socket, buffer: memoryview) -> int:
    """Read what is there into a buffer that is not empty; return how much.

    0 is also the end of the stream, or a broken connection: the loop will tell.
    """
    try:
        return sock.recv_into(buffer)
    except OSError:
        return 0


def write_at_once(sock: socket.socket, data: Buffer) -> int:
    """Write what the kernel takes now; return how much. Who wrote nothing may ask why later."""
    try:
        return sock.send(data)
    except OSError:
        return 0


async def connect(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that answers (RFC 8305).

    Bounded by nothing but the system: the caller has the deadline.

    Raises:
        OSError: Of the last address that failed, or of the look-up.

    """
    try:
        # An address is its own name: no thread has to ask for it.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await _loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = _alternating((family, address) for family, _, _, _, address in found)
    if len(addresses) == 1:
        return await _connect(addresses[0])
    return await _race(deque(addresses))


def listen(host: str, port: int, *, is_ipv6_only: bool = False) -> socket.socket:
    """Open a listening socket.

    Args:
        host: Name or address; `::` is for both families, where the system can do that.
        port: 0 lets the system choose.
        is_ipv6_only: Keeps `::` to IPv6.

    Raises:
        OSError: If the address is not ours, or the port is taken.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    is_for_both = host == "::" and not is_ipv6_only and socket.has_dualstack_ipv6()
    sock = socket.create_server(
        (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=is_for_both
    )
    sock.setblocking(False)
    return sock


def allow_descriptors(count: int) -> None:
    """Let this process have so many descriptors, as far as it may decide that.

    Many systems begin with 1,024, of which a few hundred silent connections leave none for
    those who have something to say.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a bound of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Listener:
    """Takes connections from a listening socket, and hands them over as they are.

    The loop's own servers make a transport before anybody can refuse the connection, and
    lose one that arrives while they close.

    Args:
        sock: Listening, not blocking; closed with this.
        accepted: Called with each connection, which it then owns.

    """

    def __init__(self, sock: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        self._sock = sock
        self._accepted = accepted
        self._pause: asyncio.TimerHandle | None = None
        self._begin()

    def close(self) -> None:
        """Take no more connections; harmless when repeated."""
        if self._pause is not None:
            self._pause.cancel()
        if self._sock.fileno() >= 0:
            _loop().remove_reader(self._sock)
            self._sock.close()

    def _begin(self) -> None:
        self._pause = None
        _loop().add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                _loop().remove_reader(self._sock)
                self._pause = _loop().call_later(ACCEPT_PAUSE_S, self._begin)
                return
            sock.setblocking(False)
            self._accepted(sock)


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _alternating(addresses: Iterable[Address]) -> list[Address]:
    """Let families take turns, beginning with that of the first address (RFC 8305 §4)."""
    by_family: dict[socket.AddressFamily, list[Address]] = {}
    for address in addresses:
        by_family.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*by_family.values()))
    return [address for address in turns if address is not None]


async def _connect(address: Address) -> socket.socket:
    family, name = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        tune(sock)
        await _loop().sock_connect(sock, name)
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(waiting: deque[Address]) -> socket.socket:
    """Try addresses one after the other, each as soon as those before failed or hesitate."""
    running: set[asyncio.Task[socket.socket]] = set()
    failure: OSError = OSError("no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connect(waiting.popleft())))
            done, _ = await asyncio.wait(
                running,
                timeout=STAGGER_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                running.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failure = error
    finally:
        await _give_up(running)
    raise failure


async def _give_up(tasks: set[asyncio.Task[socket.socket]]) -> None:
    """End the attempts that lost; one may have connected meanwhile."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()
