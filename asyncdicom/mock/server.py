"""The mock server: an archive behind HTTP/1.1, HTTP/2 over TLS, and h2c on the plain port.

    async with MockServer(SyntheticArchive()) as server:
        ...  # ask server.url; then look at server.requests

Leaving the context ends every connection and waits for every task. A bug in the
mock itself is raised there, so a test cannot pass over it.
"""

from __future__ import annotations

import asyncio
import fnmatch
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from asyncdicom.mock.connection import Connection
from asyncdicom.mock.dicomweb import DicomWeb, WebOptions
from asyncdicom.mock.http1 import serve_http1
from asyncdicom.mock.messages import Framing, Request, Response

if TYPE_CHECKING:
    from types import TracebackType

    from asyncdicom.mock.archive import Archive
    from asyncdicom.model import Header

__all__ = ["MockServer", "Recorded", "ServerOptions"]

KEPT_REQUESTS = 100_000
"""Requests that are remembered; a server that runs for weeks forgets the oldest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where and how the mock listens."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 for any free port."""
    framing: Framing = Framing.AUTO
    """How HTTP/1.1 bodies end, where no fault says otherwise."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as the mock saw it."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[Header, ...]
    http_version: str
    peer_port: int
    status: int
    fault: str | None = None
    """The fault that was applied, as it was written."""


@dataclass(slots=True)
class ServerStatistics:
    """Counters since the server was started."""

    connections: int = 0
    requests: int = 0
    in_flight: int = 0
    in_flight_peak: int = 0
    faults: int = 0


class MockServer:
    """An archive on a port.

    Args:
        archive: What it serves.
        tls: Whether it speaks TLS, with a certificate of its own authority.
        web: How its DICOMweb face behaves.
        options: Where and how it listens.

    Attributes:
        requests: What was asked, oldest first, recorded before the answer's body.

    """

    def __init__(
        self,
        archive: Archive,
        *,
        tls: bool = False,
        web: WebOptions | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        self.web = DicomWeb(archive, web)
        self.is_tls = tls
        self.options = options or ServerOptions()
        self.requests: deque[Recorded] = deque(maxlen=KEPT_REQUESTS)
        self._statistics = ServerStatistics()
        self._connections: set[Connection] = set()
        self._failures: list[BaseException] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: If the address is taken or not ours.

        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve, self._adopt), self.options.host, self.options.port
        )

    async def aclose(self) -> None:
        """End all connections at once and wait for their tasks.

        Raises:
            ExceptionGroup: If the mock itself failed while it served.

        """
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._connections):
            await connection.aclose()
        await self._server.wait_closed()
        self._server = None
        if self._failures:
            raise BaseExceptionGroup("the mock failed while it served", self._failures)

    @property
    def port(self) -> int:
        """Port it listens on."""
        assert self._server is not None, "the server is not started"
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """DICOMweb root."""
        scheme = "https" if self.is_tls else "http"
        return f"{scheme}://{self.options.host}:{self.port}{self.web.options.root}"

    def statistics(self) -> ServerStatistics:
        """Return the counters."""
        return self._statistics

    def count(self, path: str = "*", *, status: int | None = None) -> int:
        """Count the recorded requests whose path matches a pattern such as `*/frames/*`."""
        return sum(
            fnmatch.fnmatchcase(request.path, path) and status in {None, request.status}
            for request in self.requests
        )

    async def _serve(self, connection: Connection) -> None:
        received = await connection.read()
        if received:
            await serve_http1(connection, self._handle, received)

    def _adopt(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._statistics.connections += 1
        self._connections.add(connection)
        task.add_done_callback(lambda task: self._release(connection, task))

    def _release(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    async def _handle(self, request: Request) -> Response:
        response = await self._respond(request)
        self._statistics.requests += 1
        self.requests.append(
            Recorded(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                http_version=request.http_version,
                peer_port=request.peer_port,
                status=response.status,
            )
        )
        return response

    async def _respond(self, request: Request) -> Response:
        if self.web.archive.is_blocking:
            return await asyncio.to_thread(self.web.respond, request)
        return self.web.respond(request)
