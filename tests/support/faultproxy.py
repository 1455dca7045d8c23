"""A TCP proxy on loopback that is a bad network, the same bad network for the same seed.

    async with open_fault_proxy(origin.port, Toxics(reset_share=0.2), seed=7) as proxy:
        ... http://127.0.0.1:{proxy.port}/ ...

Each connection draws its fate when it opens, so a run can be told by its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.origin import reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, kw_only=True)
class Toxics:
    """What is done to the bytes that come back; shares are of connections, 0 to 1."""

    latency_s: float = 0.0
    """Before each piece, drawn from 0 to this."""
    bytes_per_s: float | None = None
    slice_bytes: int | None = None
    """Pieces are cut to sizes from 1 to this."""
    reset_share: float = 0.0
    """Connections that end with RST after a number of bytes."""
    limit_share: float = 0.0
    """Connections that end with FIN after a number of bytes."""
    silence_share: float = 0.0
    """Connections that stay open and bring nothing more after a number of bytes."""
    fate_bytes: int = 20_000
    """Bytes after which one of these happens are drawn from 0 to this."""
    close_delay_s: float = 0.0
    """Between the end of the server and the end that the client sees."""


@dataclass
class Fate:
    """What happens to one connection, and when."""

    kind: str
    after_bytes: int


@dataclass
class FaultProxy:
    """What happened."""

    toxics: Toxics
    random: random.Random
    port: int = 0
    fates: list[Fate] = field(default_factory=list)

    def draw(self) -> Fate:
        toxics = self.toxics
        shares = (toxics.reset_share, toxics.limit_share, toxics.silence_share)
        rest = max(0.0, 1.0 - sum(shares))
        kind = self.random.choices(("reset", "limit", "silence", "none"), (*shares, rest))[0]
        fate = Fate(kind, self.random.randrange(toxics.fate_bytes + 1))
        self.fates.append(fate)
        return fate


async def corrupt(
    proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fate: Fate
) -> None:
    """Carry bytes back to the client as its fate wants."""
    left_bytes = fate.after_bytes
    while data := await reader.read(65536):
        for piece in slices(proxy, data):
            mortal = piece[:left_bytes] if fate.kind != "none" else piece
            await pace(proxy, len(mortal))
            writer.write(mortal)
            await writer.drain()
            left_bytes -= len(mortal)
            if fate.kind != "none" and left_bytes == 0:
                await meet(fate, writer)
                return
    await asyncio.sleep(proxy.toxics.close_delay_s)


async def meet(fate: Fate, writer: asyncio.StreamWriter) -> None:
    if fate.kind == "reset":
        reset(writer)
    elif fate.kind == "silence":
        await asyncio.Event().wait()


async def pace(proxy: FaultProxy, byte_count: int) -> None:
    toxics = proxy.toxics
    pause_s = proxy.random.uniform(0, toxics.latency_s)
    if toxics.bytes_per_s is not None:
        pause_s += byte_count / toxics.bytes_per_s
    if pause_s > 0:
        await asyncio.sleep(pause_s)


def slices(proxy: FaultProxy, data: bytes) -> list[bytes]:
    if proxy.toxics.slice_bytes is None:
        return [data]
    pieces = []
    while data:
        size = proxy.random.randint(1, proxy.toxics.slice_bytes)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def open_fault_proxy(
    target_port: int, toxics: Toxics, *, seed: int
) -> AsyncIterator[FaultProxy]:
    """Stand between clients and a port of loopback until the block ends."""
    proxy = FaultProxy(toxics, random.Random(seed))
    tasks: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.add(writer)
        fate = proxy.draw()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there = await asyncio.open_connection("127.0.0.1", target_port)
            writers.add(there[1])
            up = asyncio.create_task(forward(reader, there[1]))
            down = asyncio.create_task(corrupt(proxy, there[0], writer, fate))
            try:
                await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            finally:
                up.cancel()
                down.cancel()
                await asyncio.gather(up, down, return_exceptions=True)
                there[1].close()
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks), timeout=2)
        for writer in writers:
            writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)
