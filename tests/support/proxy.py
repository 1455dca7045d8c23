"""A tiny proxy on loopback: HTTP CONNECT, forwarding of absolute URLs, and SOCKS5."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BY_NAME = 3
SUCCEEDED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


@dataclass
class Proxy:
    """What went through."""

    port: int = 0
    targets: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    refuses: bool = False

    def url(self, scheme: str, userinfo: str = "") -> str:
        return f"{scheme}://{userinfo}127.0.0.1:{self.port}"


async def splice(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    other: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Copy both ways until both ends are through."""
    await asyncio.gather(copy(one[0], other[1]), copy(other[0], one[1]))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def speak_http(
    proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes
) -> None:
    head = first + await reader.readuntil(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, _version = line.split(" ")
    pairs = (text.partition(": ") for text in fields)
    values = {name.lower(): value for name, _colon, value in pairs}
    proxy.authorizations.append(values.get("proxy-authorization"))
    if proxy.refuses:
        writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    place = target if method == "CONNECT" else target.removeprefix("http://").split("/")[0]
    proxy.targets.append(place)
    host, _colon, port = place.rpartition(":")
    server = await asyncio.open_connection(host, int(port))
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 Established\r\n\r\n")
    else:
        path = target.removeprefix(f"http://{place}") or "/"
        server[1].write(head.replace(target.encode(), path.encode(), 1))
    await splice((reader, writer), server)


async def speak_socks5(
    proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    methods = await reader.readexactly((await reader.readexactly(1))[0])
    wants_password = 2 in methods
    writer.write(b"\x05\x02" if wants_password else b"\x05\x00")
    proxy.authorizations.append(await read_password(reader, writer) if wants_password else None)
    _version, _command, _reserved, kind = await reader.readexactly(4)
    if kind == BY_NAME:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        host = ".".join(str(number) for number in await reader.readexactly(4))
    port = int.from_bytes(await reader.readexactly(2), "big")
    proxy.targets.append(f"{'name' if kind == BY_NAME else 'address'} {host}:{port}")
    server = await asyncio.open_connection(host, port)
    writer.write(SUCCEEDED)
    await splice((reader, writer), server)


async def read_password(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    await reader.readexactly(1)
    user = await reader.readexactly((await reader.readexactly(1))[0])
    password = await reader.readexactly((await reader.readexactly(1))[0])
    writer.write(b"\x01\x00")
    return f"{user.decode()}:{password.decode()}"


@contextlib.asynccontextmanager
async def open_proxy() -> AsyncIterator[Proxy]:
    """Serve on a free port of loopback until the block ends."""
    proxy = Proxy()
    tasks: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.add(writer)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            first = await reader.readexactly(1)
            if first == b"\x05":
                await speak_socks5(proxy, reader, writer)
            else:
                await speak_http(proxy, reader, writer, first)
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
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
