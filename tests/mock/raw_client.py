"""Clients that show what is on the wire: h11 or h2 on asyncio streams, and no more."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import h2.config
import h2.connection
import h2.events
import h11

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncdicom.mock.server import HttpServer

__all__ = ["Answer", "Http2Client", "connect", "get", "get_on", "raw_bytes", "until", "until_idle"]


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    end: str = ""
    """`whole`, or `cut`, `reset`, or the message of a protocol error."""


@asynccontextmanager
async def connect(
    server: HttpServer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a plain connection."""
    reader, writer = await asyncio.open_connection(server.options.host, server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):  # a reset is what some faults are for
            await writer.wait_closed()


def request_bytes(path: str, *fields: str) -> bytes:
    """Encode a request."""
    lines = "".join(f"{line}\r\n" for line in ("Host: mock", *fields))
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def get(server: HttpServer, path: str, *fields: str) -> Answer:
    """Ask on a connection of its own."""
    async with connect(server) as (reader, writer):
        return await get_on(reader, writer, path, *fields)


async def get_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, *fields: str
) -> Answer:
    """Ask on an open connection; read until h11 sees the end of the answer, or a reason why not."""
    writer.write(request_bytes(path, *fields))
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target=path, headers=[("Host", "mock")]))
    parser.send(h11.EndOfMessage())
    answer = Answer()
    try:
        while not answer.end:
            await step(parser, reader, answer)
    except ConnectionResetError:
        answer.end = "reset"
    except h11.RemoteProtocolError as error:
        answer.end = f"cut: {error}"
    return answer


async def step(parser: h11.Connection, reader: asyncio.StreamReader, answer: Answer) -> None:
    """Digest one event."""
    match parser.next_event():
        case h11.Response() as head:
            answer.status = head.status_code
            answer.headers = {k.decode(): v.decode() for k, v in head.headers}
        case h11.Data() as piece:
            answer.body += bytes(piece.data)
        case h11.EndOfMessage():
            answer.end = "whole"
        case h11.NEED_DATA:
            parser.receive_data(await reader.read(65536))
        case h11.ConnectionClosed():
            answer.end = "closed"


async def raw_bytes(server: HttpServer, path: str, *fields: str) -> bytes:
    """Return all bytes of an answer, as they are on the wire, until the server closes."""
    async with connect(server) as (reader, writer):
        writer.write(request_bytes(path, *fields, "Connection: close"))
        return await reader.read(-1)


async def until_idle(server: HttpServer) -> None:
    """Wait until no request is in flight."""
    await until(lambda: server.statistics().in_flight == 0)


async def until(is_reached: Callable[[], bool]) -> None:
    """Wait for a state that nobody announces, and not for less than 30 s."""
    for _ in range(30_000):
        if is_reached():
            return
        await anyio.sleep(0.001)
    raise AssertionError("the state was not reached")


class Http2Client:
    """HTTP/2 with prior knowledge; collects events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.protocol.initiate_connection()
        self.events: list[h2.events.Event] = []
        self.is_closed = False

    def ask(self, path: str) -> int:
        """Send a request; return its stream identifier."""
        stream_id = self.protocol.get_next_available_stream_id()
        fields = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "m")]
        self.protocol.send_headers(stream_id, fields, end_stream=True)
        self.flush()
        return stream_id

    def flush(self) -> None:
        """Send what h2 has queued."""
        self.writer.write(self.protocol.data_to_send())

    async def until(
        self, kind: type[h2.events.Event], stream_id: int | None = None
    ) -> h2.events.Event:
        """Read until an event of a kind came, on a stream if one is given."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and stream_id in {None, getattr(event, "stream_id", 0)}:
                    return event
            data = await self.reader.read(65536)
            assert data, f"the connection ended before {kind.__name__}"
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        for event in self.protocol.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived):
                length = event.flow_controlled_length or 0
                self.protocol.acknowledge_received_data(length, event.stream_id or 0)
        self.flush()

    def body(self, stream_id: int) -> bytes:
        """Return the DATA of a stream so far."""
        pieces = (e for e in self.events if isinstance(e, h2.events.DataReceived))
        return b"".join(e.data or b"" for e in pieces if e.stream_id == stream_id)


def path_of(url: str) -> str:
    """Return the path of a URL."""
    return urlsplit(url).path
