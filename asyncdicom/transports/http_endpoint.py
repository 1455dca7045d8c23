"""A small HTTP/1.1 server for pages that are made when they are asked for: counters, health.

    pages = {"/metrics": lambda: Page(text, "text/plain; version=0.0.4")}
    async with HttpEndpoint(pages, port=9100) as endpoint:
        print(endpoint.url)

Strategy: one request per connection, GET and HEAD; h11 judges what comes (RFC 9112), and
costs 35 ms to import where a web framework takes 300.

Rule: it is never a way to the rest of the program. It listens on the loopback address unless
told otherwise, serves few connections at a time, and gives each one a deadline for everything.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import h11

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations import sockets

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["HttpEndpoint", "Page"]

MAX_CONNECTIONS = 16
"""At one time; the next are closed at once. Scrapers are one or two."""
MAX_REQUEST_BYTES = 8 * 1024
"""Request line and headers; nginx and Apache take as much of one header line."""
DEADLINE_S = 5.0
"""From the connection to the last byte of the answer, in seconds."""
READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Page:
    """What an answer holds."""

    text: str
    content_type: str = "text/plain; charset=utf-8"


class HttpEndpoint:
    """Serves from entering until it is left; for one event loop.

    Args:
        pages: Functions that make a page, by path; they must not block.
        host: Address to listen on.
        port: 0 lets the system choose.

    Raises (on entering):
        ConfigError: If the address is not ours or taken.

    """

    def __init__(
        self, pages: Mapping[str, Callable[[], Page]], *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._pages = pages
        self._host = host
        self._port = port
        self._listener: sockets.Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Port that is listened on."""
        return self._port

    @property
    def url(self) -> str:
        """Root of the pages, without a slash at its end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        try:
            sock = sockets.listen(self._host, self._port)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {self._host} port {self._port}: {error.strerror}",
                hint="choose another port, or end who uses it",
            ) from error
        self._port = sock.getsockname()[1]
        self._listener = sockets.Listener(sock, self._accepted)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _accepted(self, sock: socket.socket) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(self._attend(sock))
        self._tasks.add(task)
        task.add_done_callback(self._attended)

    def _attended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a page could not be made", "exception": bug, "task": task}
            )

    async def _attend(self, sock: socket.socket) -> None:
        """Answer one request, whatever its client does."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer = await self._answer(sock)
                await loop.sock_sendall(sock, answer)
                sock.shutdown(1)  # SHUT_WR: closed with bytes unread, the answer would be lost
                while await loop.sock_recv(sock, READ_BYTES):
                    pass
        except (OSError, TimeoutError):
            # The client left, or was too slow: nobody waits for more.
            return
        finally:
            sock.close()

    async def _answer(self, sock: socket.socket) -> bytes:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        try:
            request = await _request(sock, connection)
        except h11.RemoteProtocolError as error:
            return _error(connection, HTTPStatus(error.error_status_hint))
        if request.method not in {b"GET", b"HEAD"}:
            return _error(connection, HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, HEAD")
        is_head = request.method == b"HEAD"
        make = self._pages.get(request.target.partition(b"?")[0].decode("latin-1"))
        if make is None:
            return _error(connection, HTTPStatus.NOT_FOUND, is_head=is_head)
        return _response(connection, HTTPStatus.OK, make(), is_head=is_head)


async def _request(sock: socket.socket, connection: h11.Connection) -> h11.Request:
    """Read a request; its content is not read.

    Raises:
        h11.RemoteProtocolError: If it is none, or too long.
        ConnectionError: If the client left before its end.

    """
    loop = asyncio.get_running_loop()
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise ConnectionAbortedError
        data = await loop.sock_recv(sock, READ_BYTES)
        connection.receive_data(data)
        if not data:
            raise ConnectionAbortedError


def _error(
    connection: h11.Connection,
    status: HTTPStatus,
    *,
    is_head: bool = False,
    allow: str | None = None,
) -> bytes:
    page = Page(f"{status.value} {status.phrase}\n")
    return _response(connection, status, page, is_head=is_head, allow=allow)


def _response(
    connection: h11.Connection,
    status: HTTPStatus,
    page: Page,
    *,
    is_head: bool = False,
    allow: str | None = None,
) -> bytes:
    """Write an answer; the one to a HEAD has no content, and says how long it were."""
    content = page.text.encode()
    headers = [
        ("content-type", page.content_type),
        ("content-length", str(len(content))),
        ("cache-control", "no-store"),
        ("connection", "close"),
    ]
    if allow is not None:
        headers.append(("allow", allow))
    answer = h11.Response(status_code=status, headers=headers, reason=status.phrase)
    head = connection.send(answer)
    assert head is not None, "an answer has bytes"
    return head if is_head else head + content
