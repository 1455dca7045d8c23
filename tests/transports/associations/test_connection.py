"""What a connection holds of its peer's bytes: much while much comes, little else."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import Stalled
from asyncdicom.transports.associations.connection import (
    FIRST_READ_BYTES,
    READ_BYTES,
    Connection,
    Patience,
)
from tests.transports.associations.support import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def connected(patience: Patience) -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Yield a connection that may grow, and its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.setblocking(False)
    connection = Connection("dicom:")
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
    connection.set_patience(patience)
    connection.grow()
    with theirs:
        theirs.setblocking(False)
        yield connection, theirs
    connection.close()
    await connection.closed()


async def take_all(connection: Connection, byte_count: int) -> bytes:
    """Take so many bytes."""
    taken = bytearray()
    while len(taken) < byte_count:
        while (data := connection.take()) is None:
            await connection.readable()
        taken += data
    return bytes(taken)


async def waiting(connection: Connection) -> asyncio.Task[None]:
    """Wait for more in a task of its own."""
    assert connection.take() is None
    return asyncio.create_task(connection.readable())


async def test_who_sends_little_gets_a_small_buffer() -> None:
    async with connected(Patience(60)) as (connection, theirs):
        for _ in range(100):
            theirs.send(bytes(1000))
            await take_all(connection, 1000)
        assert len(connection._view) == FIRST_READ_BYTES


async def test_who_sends_much_gets_a_large_buffer_and_nothing_is_lost() -> None:
    sent = bytes(range(256)) * 4096
    async with connected(Patience(60)) as (connection, theirs):
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(theirs, sent))
        assert await take_all(connection, len(sent)) == sent
        assert len(connection._view) == READ_BYTES
        await sending


async def test_who_is_silent_gets_a_small_buffer_again() -> None:
    async with connected(Patience(0.4)) as (connection, theirs):
        theirs.send(bytes(FIRST_READ_BYTES + 1))
        await take_all(connection, FIRST_READ_BYTES + 1)
        listening = await waiting(connection)
        await until(lambda: len(connection._view) == FIRST_READ_BYTES)
        assert not listening.done()
        theirs.send(b"again")
        await listening
        assert await take_all(connection, 5) == b"again"


async def test_who_is_silent_within_a_message_keeps_the_large_one() -> None:
    async with connected(Patience(0.2)) as (connection, theirs):
        theirs.send(bytes(FIRST_READ_BYTES + 1))
        await take_all(connection, FIRST_READ_BYTES + 1)
        connection.is_within_message = True
        listening = await waiting(connection)
        with pytest.raises(Stalled, match="nothing came for"):
            await listening
        assert len(connection._view) == READ_BYTES
