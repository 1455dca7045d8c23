"""Bodies as batches that fit the socket, cut and slowed down as a `Wire` demands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncdicom.mock.messages import first_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from asyncdicom.mock.messages import Response
    from asyncdicom.model import Buffer

__all__ = ["batches"]

BATCH_BYTES = 256 * 1024
"""What is written at once: large enough that a chunk header does not count, small
enough that a slow client holds little."""

DRIPS_PER_S = 20
"""How often a slow body sends something, if it has at least one byte to send."""


async def batches(response: Response) -> AsyncIterator[list[Buffer]]:
    """Produce the body in batches, at most as many bytes and as fast as the wire allows.

    Cancellation: at any pause.

    """
    wire = response.wire
    buffers = response.body.buffers()
    if wire.stop_after_bytes is not None:
        buffers = first_bytes(buffers, wire.stop_after_bytes)
    rate = wire.rate_bytes_per_s
    if rate is None:
        async for batch in produced(gather(buffers, BATCH_BYTES), in_thread=wire.in_thread):
            yield batch
        return
    drip_bytes = max(1, int(rate / DRIPS_PER_S))
    async for batch in produced(gather(buffers, drip_bytes), in_thread=wire.in_thread):
        yield batch
        await asyncio.sleep(drip_bytes / rate)


async def produced(
    batches: Iterator[list[Buffer]], *, in_thread: bool
) -> AsyncIterator[list[Buffer]]:
    """Produce batches, each in a thread where reading them may block."""
    if not in_thread:
        for batch in batches:
            yield batch
        return
    while batch := await asyncio.to_thread(next, batches, []):
        yield batch


def gather(buffers: Iterable[Buffer], batch_bytes: int) -> Iterator[list[Buffer]]:
    """Group buffers into batches of exactly `batch_bytes`, the last one shorter; copies nothing."""
    batch: list[Buffer] = []
    room = batch_bytes
    for buffer in buffers:
        view = memoryview(buffer)
        while len(view) >= room:
            yield [*batch, view[:room]]
            view, batch, room = view[room:], [], batch_bytes
        if view:
            batch.append(view)
            room -= len(view)
    if batch:
        yield batch
