"""HTTP/1.1 on a connection: h11 reads the requests, the answers are written by hand.

Strategy: h11 judges what comes in. What goes out may have to be wrong (a lying
Content-Length, an endless header), which h11 rightly refuses to write; the
framing of an honest answer is ten lines (RFC 9112 §6, §7.1).

Rule: each request gets a fresh h11 parser, fed with what the last one left over.
"""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, TypeAlias

import h11

from asyncdicom.mock.body import batches
from asyncdicom.mock.messages import (
    Ending,
    Framing,
    Multipart,
    Request,
    Response,
    header_value,
    split_target,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.mock.connection import Connection
    from asyncdicom.model import Buffer

__all__ = ["Handler", "serve_http1"]

Handler: TypeAlias = "Callable[[Request], AbstractAsyncContextManager[Response]]"
"""Answers a request; the context lasts until the answer is written, or given up."""

PHRASES = {code.value: code.phrase for code in http.HTTPStatus}

ENDLESS_HEADER_LINE = b"x-endless: " + b"a" * 1000 + b"\r\n"


async def serve_http1(connection: Connection, handler: Handler, received: bytes) -> None:
    """Answer requests until either side ends.

    Args:
        connection: Who asks.
        handler: Answers.
        received: What was read from the connection before.

    """
    while True:
        parser = h11.Connection(h11.SERVER)
        try:
            event = await read_request(connection, parser, received)
        except h11.RemoteProtocolError as error:
            await connection.send([b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"])
            await connection.send([f"{error}\n".encode()])
            return
        if event is None:
            return
        request = request_of(event, connection)
        async with handler(request) as response:
            is_reusable = await write_response(connection, request, response)
        if not is_reusable:
            return
        received = parser.trailing_data[0]


async def read_request(
    connection: Connection, parser: h11.Connection, received: bytes
) -> h11.Request | None:
    """Read one request; its body is read and dropped. None if the client has ended."""
    parser.receive_data(received) if received else None
    request = None
    while True:
        event = parser.next_event()
        if isinstance(event, h11.Request):
            request = event
            if parser.they_are_waiting_for_100_continue:
                connection.write([b"HTTP/1.1 100 Continue\r\n\r\n"])
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif event is h11.NEED_DATA:
            data = await connection.read()
            if not data:
                return None
            parser.receive_data(data)


def request_of(event: h11.Request, connection: Connection) -> Request:
    """Translate a request of h11."""
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers
    )
    path, query = split_target(event.target.decode("ascii"))
    return Request(
        method=event.method.decode("ascii"),
        path=path,
        query=query,
        headers=headers,
        scheme=connection.scheme,
        authority=header_value(headers, "host") or "localhost",
        http_version=event.http_version.decode("ascii"),
        peer_port=connection.peer_port,
    )


async def write_response(connection: Connection, request: Request, response: Response) -> bool:
    """Write an answer as its `Wire` demands; tell whether the connection can be used again."""
    wire = response.wire
    if wire.endless_header:
        await write_endless_header(connection, response)
        return False
    if wire.stop_after_bytes == -1:
        return await end(connection, wire.ending)
    framing = framing_of(request, response)
    connection.write([head_of(request, response, framing)])
    if request.method == "HEAD" or response.status in {204, 304}:
        await connection.drain()
        return keeps_alive(request, framing)
    encode = chunk if framing is Framing.CHUNKED else plain
    async for batch in batches(response):
        await connection.send(encode(batch))
    if wire.ending is not Ending.WHOLE:
        return await end(connection, wire.ending)
    if framing is Framing.CHUNKED:
        await connection.send([b"0\r\n\r\n"])
    return keeps_alive(request, framing) and not wire.length_error_bytes


def framing_of(request: Request, response: Response) -> Framing:
    """Decide how the end of the body is said (RFC 9112 §6.3)."""
    framing = response.wire.framing
    if response.wire.length_error_bytes:
        return Framing.LENGTH
    if framing is Framing.AUTO:
        framing = Framing.CHUNKED if isinstance(response.body, Multipart) else Framing.LENGTH
    if framing is Framing.CHUNKED and request.http_version == "1.0":
        return Framing.CLOSE
    return framing


def keeps_alive(request: Request, framing: Framing) -> bool:
    """Tell whether another request may follow (RFC 9112 §9.3)."""
    wish = (request.header("connection") or "").lower()
    return framing is not Framing.CLOSE and request.http_version == "1.1" and "close" not in wish


def head_of(request: Request, response: Response, framing: Framing) -> bytes:
    """Encode status line and fields."""
    fields = list(response.headers)
    if framing is Framing.CHUNKED and response.status not in {204, 304}:
        fields.append(("Transfer-Encoding", "chunked"))
    elif framing is Framing.LENGTH and response.status not in {204, 304}:
        length = response.body.byte_count() + response.wire.length_error_bytes
        fields.append(("Content-Length", str(max(0, length))))
    if not keeps_alive(request, framing):
        fields.append(("Connection", "close"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{status_line(response.status)}{lines}\r\n".encode("latin-1")


def status_line(status: int) -> str:
    """Encode the status line (RFC 9112 §4)."""
    return f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}\r\n"


def plain(batch: list[Buffer]) -> Iterable[Buffer]:
    """Leave a batch as it is."""
    return batch


def chunk(batch: list[Buffer]) -> Iterator[Buffer]:
    """Make a chunk of a batch (RFC 9112 §7.1)."""
    yield b"%x\r\n" % sum(len(buffer) for buffer in batch)
    yield from batch
    yield b"\r\n"


async def end(connection: Connection, ending: Ending) -> bool:
    """Bring about the end that was ordered; the connection is of no more use."""
    match ending:
        case Ending.STALL:
            await connection.hang()
        case Ending.RESET:
            await connection.reset()
        case _:
            await connection.close()
    return False


async def write_endless_header(connection: Connection, response: Response) -> None:
    """Write fields until the client leaves, which cancels the caller."""
    connection.write([status_line(response.status).encode("ascii")])
    while not connection.closed.is_set():
        await connection.send([ENDLESS_HEADER_LINE * 16])
