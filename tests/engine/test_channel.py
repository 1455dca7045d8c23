"""Messages arrive whole and in order, wherever the kernel cuts them; an end is heard once."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.channel import Channel
from asyncdicom.errors import AsyncDicomError, DiskFull, Incomplete, Throttled, UidMismatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@dataclass
class End:
    """One end of a pair, and what it heard."""

    channel: Channel = field(init=False)
    heard: list[Any] = field(default_factory=list)
    ends: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, message: Any) -> None:
        self.heard.append(message)
        self.changed.set()

    def end(self) -> None:
        self.ends += 1
        self.changed.set()

    async def until(self, count: int) -> None:
        while len(self.heard) + self.ends < count:
            self.changed.clear()
            await self.changed.wait()


async def end_over(sock: socket.socket) -> End:
    sock.setblocking(False)
    end = End()
    end.channel = await Channel.over(sock, take=end.take, ended=end.end)
    return end


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[End, End]]:
    first, second = socket.socketpair()
    ends = await end_over(first), await end_over(second)
    try:
        yield ends
    finally:
        for end in ends:
            end.channel.close()
        await asyncio.sleep(0)


async def test_messages_come_in_order_in_both_directions() -> None:
    async with pair() as (one, other):
        for number in range(5):
            one.channel.send((number, "x" * number))
        other.channel.send("hello")
        await other.until(5)
        await one.until(1)
    assert other.heard == [(number, "x" * number) for number in range(5)]
    assert one.heard == ["hello"]


async def test_a_large_message_comes_whole() -> None:
    async with pair() as (one, other):
        one.channel.send(bytes(5_000_000))
        one.channel.send("after")
        await other.until(2)
    assert other.heard == [bytes(5_000_000), "after"]


async def test_frames_may_be_cut_anywhere() -> None:
    first, second = socket.socketpair()
    end = await end_over(second)
    frames = b""
    for messages in ([1, 2], ["three"]):
        content = pickle.dumps(messages)
        frames += struct.pack("<I", len(content)) + content
    for byte in frames:
        end.channel.data_received(bytes([byte]))
    assert end.heard == [1, 2, "three"]
    end.channel.close()
    first.close()


async def test_the_end_of_the_other_side_is_told_once() -> None:
    async with pair() as (one, other):
        one.channel.send("last words")
        one.channel.close()
        await other.until(2)
        assert (other.heard, other.ends, one.ends) == (["last words"], 1, 0)
        other.channel.send("nobody hears")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(AsyncDicomError("it failed"), id="plain"),
        pytest.param(Throttled("busy", status_code=503, retry_after_s=2.0), id="a pause"),
        pytest.param(UidMismatch(expected="1.2", received="1.3"), id="keywords alone"),
        pytest.param(Incomplete("some", expected=3, received=1, missing=("1.2",)), id="facts"),
        pytest.param(DiskFull("no room", path="a/b", hint="make some"), id="a path"),
    ],
)
async def test_errors_travel_with_their_facts(error: AsyncDicomError) -> None:
    async with pair() as (one, other):
        one.channel.send(error)
        await other.until(1)
    [found] = other.heard
    assert type(found) is type(error)
    assert (str(found), found.reason, vars(found)) == (str(error), error.reason, vars(error))
