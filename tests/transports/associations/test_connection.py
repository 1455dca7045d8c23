"""What a connection holds of its peer's bytes: much while much comes, little else."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ProtocolError, Stalled
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
async def connected(
    patience: Patience, *, is_plain: bool = False
) -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Yield a connection that may grow, and its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.setblocking(False)
    connection = Connection("dicom:", ours if is_plain else None)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
    connection.set_patience(patience)
    connection.grow()
    with theirs:
        theirs.setblocking(False)
        yield connection, theirs
    connection.close()
    await connection.closed()


async def readable(connection: Connection) -> None:
    """Wait until there is something to take, or to raise."""

    def advance() -> bool | None:
        if connection.failure is not None:
            raise connection.failure
        return connection.holds_more or connection.has_ended or None

    if not advance():
        await connection.arrival(advance)


async def take_all(connection: Connection, byte_count: int) -> bytes:
    """Take so many bytes."""
    taken = bytearray()
    while len(taken) < byte_count:
        while (data := connection.take()) is None:
            await readable(connection)
        taken += data
    return bytes(taken)


async def waiting(connection: Connection) -> asyncio.Task[None]:
    """Wait for more in a task of its own."""
    assert connection.take() is None
    return asyncio.create_task(readable(connection))


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


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_message_in_pieces_wakes_its_reader_once(is_plain: bool) -> None:  # noqa: FBT001 -- a parameter
    async with connected(Patience(60), is_plain=is_plain) as (connection, theirs):
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        came = bytearray()

        def advance() -> bytes | None:
            while (data := connection.take()) is not None:
                came.extend(data)
            return bytes(came) if len(came) >= 30 else None

        waiting = asyncio.create_task(connection.arrival(advance))
        await until(lambda: connection._waiter is not None)
        for number in range(3):
            await until(lambda number=number: len(came) == 10 * number)
            assert not waiting.done()
            theirs.send(b"0123456789")
        assert await waiting == b"0123456789" * 3


async def test_what_comes_while_we_read_is_read_too() -> None:
    """A peer with Nagle's algorithm sends its second piece when it hears of the first."""
    async with connected(Patience(60), is_plain=True) as (connection, theirs):
        listening = await waiting(connection)
        await asyncio.sleep(0)
        theirs.send(b"first")
        theirs.send(b"second")
        await listening
        assert await take_all(connection, 11) == b"firstsecond"


async def test_what_advancing_raises_is_raised_where_it_is_awaited() -> None:
    async with connected(Patience(60), is_plain=True) as (connection, theirs):

        def advance() -> bytes | None:
            connection.take()
            # As the upper layer does with what is no PDU: it closes, which wakes whoever waits.
            connection.fail(ProtocolError("no PDU"))
            raise ProtocolError("no PDU")

        waiting = asyncio.create_task(connection.arrival(advance))
        await until(lambda: connection._waiter is not None)
        theirs.send(b"GET / HTTP/1.1")
        with pytest.raises(ProtocolError, match="no PDU"):
            await waiting


@pytest.mark.parametrize("is_plain", [True, False])
async def test_all_is_written_in_order_however_slow_the_peer_is(is_plain: bool) -> None:  # noqa: FBT001 -- a parameter
    sent = bytearray()
    async with connected(Patience(60), is_plain=is_plain) as (connection, theirs):
        for number in range(400):
            piece = bytes((number % 251,)) * (1 + 97 * number)
            connection.write([piece] if number % 3 else [piece[:1], memoryview(piece)[1:]])
            sent += piece
        received = bytearray()
        loop = asyncio.get_running_loop()
        while len(received) < len(sent):
            received += await loop.sock_recv(theirs, 1 << 16)
        assert received == sent


async def test_a_peer_that_is_gone_is_noticed_when_we_read_at_once() -> None:
    async with connected(Patience(60), is_plain=True) as (connection, theirs):
        listening = await waiting(connection)
        theirs.send(b"last words")
        # A reset: what was sent is read, and the end heard, however early it came.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        await listening
        await until(lambda: connection.has_ended)
        connection.write([b"into the void"])


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


@pytest.mark.parametrize("is_plain", [True, False])
async def test_who_ends_and_takes_nothing_any_more_does_not_keep_us(is_plain: bool) -> None:  # noqa: FBT001 -- a parameter
    """The transport closes itself behind the end of the peer, but not before all is sent."""
    async with connected(Patience(60), is_plain=is_plain) as (connection, theirs):
        while connection.is_writable:
            connection.write([bytes(1 << 20)])
        theirs.shutdown(socket.SHUT_WR)
        await until(lambda: connection.has_ended)
        connection.close()
        async with asyncio.timeout(10):
            await connection.closed()
