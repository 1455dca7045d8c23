"""The mock server: an archive behind HTTP/1.1, HTTP/2 over TLS, and h2c on the plain port.

    async with MockServer(SyntheticArchive()) as server:
        ...  # ask server.url; then look at server.requests

What is served is a `Face`: DICOMweb here, objects in `s3_server`; how bytes travel, what
is recorded and which fault is met is the same for each.

Leaving the context ends every connection and waits for every task. A bug in the
mock itself is raised there, so a test cannot pass over it.
"""

from __future__ import annotations

import asyncio
import fnmatch
import math
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

from asyncdicom.errors import ConfigError
from asyncdicom.mock.certificates import issue
from asyncdicom.mock.connection import Connection
from asyncdicom.mock.dicomweb import DicomWeb, WebOptions
from asyncdicom.mock.faults import Fault, FaultPlan, Plan
from asyncdicom.mock.http1 import serve_http1
from asyncdicom.mock.http2 import PREFACE, Http2Session
from asyncdicom.mock.messages import Framing, Request, Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType

    from asyncdicom.mock.archive import Archive
    from asyncdicom.model import Header

__all__ = ["Face", "HttpServer", "MockServer", "Recorded", "ServerOptions"]

KEPT_REQUESTS = 100_000
"""Requests that are remembered; a server that runs for weeks forgets the oldest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where and how the mock listens."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 for any free port."""
    http2: bool = True
    """Whether HTTP/2 is spoken: chosen by ALPN over TLS, by its preface on a plain port."""
    max_streams: int = 100
    """Streams per HTTP/2 connection."""
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


class Face(Protocol):
    """An archive as one protocol over HTTP shows it."""

    def kind_of(self, request: Request) -> str | None:
        """Name what a request asks for, as faults do; None if nothing lives there."""

    def blocks(self, request: Request) -> bool:
        """Tell whether answering may take long, so that it has to happen in a thread."""

    def respond(self, request: Request) -> Response:
        """Answer a request; refusals are answers, too."""


class HttpServer:
    """A face of an archive on a port.

    Args:
        face: What it serves.
        plan: What goes wrong, and when.
        tls: Whether it speaks TLS, with a certificate of its own authority.
        options: Where and how it listens.

    Attributes:
        on_request: Is called with each request once it is recorded, or None.
        ca_pem: Certificate of the authority that signed the server's, as PEM; empty without TLS.
        requests: What was asked, oldest first, recorded before the answer's body.

    """

    def __init__(
        self,
        face: Face,
        plan: Plan[Fault],
        *,
        tls: bool = False,
        options: ServerOptions | None = None,
    ) -> None:
        self.face = face
        self.plan = plan
        self.is_tls = tls
        self.ca_pem = b""
        self.on_request: Callable[[Recorded], None] | None = None
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
            ConfigError: If the address is taken or not ours.

        """
        options = self.options
        context = None
        if self.is_tls:
            context, self.ca_pem = await asyncio.to_thread(
                issue, options.host, offers_http2=options.http2
            )
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self._serve, self._adopt),
                options.host,
                options.port,
                ssl=context,
            )
        except (OSError, ValueError) as error:
            # ValueError: of what cannot be the name of a host.
            where = f"{options.host}:{options.port}"
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"cannot listen on {where}: {why}") from error

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
    def origin(self) -> str:
        """Scheme, host and port."""
        scheme = "https" if self.is_tls else "http"
        return f"{scheme}://{self.options.host}:{self.port}"

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
        while len(received) < len(PREFACE) and PREFACE.startswith(received):
            if not (more := await connection.read()):
                return
            received += more
        if self.options.http2 and received.startswith(PREFACE):
            session = Http2Session(connection, self._handle, max_streams=self.options.max_streams)
            await session.run(received)
        elif received:
            await serve_http1(connection, self._handle, received)

    def _adopt(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._statistics.connections += 1
        self._connections.add(connection)
        task.add_done_callback(lambda task: self._release(connection, task))

    def _release(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.discard(connection)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    @asynccontextmanager
    async def _handle(self, request: Request) -> AsyncIterator[Response]:
        statistics = self._statistics
        statistics.requests += 1
        statistics.in_flight += 1
        statistics.in_flight_peak = max(statistics.in_flight_peak, statistics.in_flight)
        try:
            fault = self.plan.decide(self.face.kind_of(request), request.path)
            response = await self._respond(request, fault)
            self._record(request, response, fault)
            await pause(response.wire.delay_s)
            yield response
        finally:
            statistics.in_flight -= 1

    def _record(self, request: Request, response: Response, fault: Fault | None) -> None:
        self._statistics.faults += fault is not None
        recorded = Recorded(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            http_version=request.http_version,
            peer_port=request.peer_port,
            status=response.status,
            fault=str(fault) if fault else None,
        )
        self.requests.append(recorded)
        if self.on_request is not None:
            self.on_request(recorded)

    async def _respond(self, request: Request, fault: Fault | None) -> Response:
        in_thread = self.face.blocks(request)
        if in_thread:
            response = await asyncio.to_thread(self._answer, request, fault)
        else:
            response = self._answer(request, fault)
        wire = response.wire
        framing = self.options.framing if wire.framing is Framing.AUTO else wire.framing
        return replace(response, wire=replace(wire, framing=framing, in_thread=in_thread))

    def _answer(self, request: Request, fault: Fault | None) -> Response:
        if fault is None:
            return self.face.respond(request)
        settings = fault.settings
        response = self.face.respond(fault.effect.rewrite(request, settings))
        return fault.effect.apply(request, response, settings)


class MockServer(HttpServer):
    """An archive behind DICOMweb.

    Args:
        archive: What it serves.
        faults: What goes wrong, and when; text is read as `faults` describes.
        tls: Whether it speaks TLS, with a certificate of its own authority.
        web: How its DICOMweb face behaves.
        options: Where and how it listens.

    """

    def __init__(
        self,
        archive: Archive,
        *,
        faults: Iterable[Fault | str] = (),
        tls: bool = False,
        web: WebOptions | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        self.web = DicomWeb(archive, web)
        super().__init__(self.web, FaultPlan(faults), tls=tls, options=options)

    @property
    def url(self) -> str:
        """DICOMweb root."""
        return f"{self.origin}{self.web.options.root}"


async def pause(delay_s: float) -> None:
    """Wait, for ever if the delay is infinite."""
    if delay_s == math.inf:
        await asyncio.Event().wait()
    elif delay_s > 0:
        await asyncio.sleep(delay_s)
