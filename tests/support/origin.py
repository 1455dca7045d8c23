"""A scripted origin server: raw HTTP/1.1 and HTTP/2 on loopback, with faults on purpose.

A script is a list of small values; a path has one script:

    async with open_origin() as origin:
        url = origin.serve("/cut", Send(b"HTTP/1.1 200 OK\\r\\n..."), Close())

It is a stand-in by design: a real server cannot be made to misbehave at an
exact byte. It keeps what it received, so that tests can ask what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

MAX_HEAD_BYTES = 64 * 1024
MAX_FLOOD_BYTES = 64 * 1024 * 1024
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Send:
    """Bytes exactly as they are."""

    data: bytes


@dataclass(frozen=True)
class Drip:
    """One byte after the other, with a pause behind each."""

    data: bytes
    pause_s: float


@dataclass(frozen=True)
class Flood:
    """The same bytes again and again until the client leaves, at most 64 MiB."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Nothing, until the client leaves."""


@dataclass(frozen=True)
class Gate:
    """Nothing, until the test sets the event."""

    event: asyncio.Event


@dataclass(frozen=True)
class Reset:
    """A TCP reset."""


@dataclass(frozen=True)
class Close:
    """The end of the connection."""


class FrameStep(Protocol):
    """A step that only HTTP/2 has."""

    def frames(self, stream_id: int) -> bytes:
        """Return frames for a stream."""


@dataclass(frozen=True)
class Answer:
    """A well-formed answer, in whatever version was asked."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def as_http1(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Whatever"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.status not in (204, 304):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


Step: TypeAlias = Send | Drip | Flood | Wait | Gate | Reset | Close | Answer | FrameStep


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    http_version: str = "1.1"

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Speaker(Protocol):
    """Speaks one protocol on one connection."""

    async def converse(self) -> None: ...


@dataclass
class Origin:
    """What is served, and what happened."""

    scheme: str = "http"
    port: int = 0
    host: str = "127.0.0.1"
    scripts: dict[str, list[tuple[Step, ...]]] = field(default_factory=dict)
    rules: dict[str, Callable[[Received], Step]] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    departures: int = 0
    """Clients (HTTP/2: streams) that left while a script waited for it."""
    open_connections: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/", *, userinfo: str = "") -> str:
        return f"{self.scheme}://{userinfo}{self.host}:{self.port}{path}"

    def serve(self, path: str, *steps: Step) -> str:
        """Script a path; further scripts for it answer further requests, the last one for ever."""
        self.scripts.setdefault(path, []).append(steps)
        return self.url(path)

    def decide(self, path: str, rule: Callable[[Received], Step]) -> str:
        """Have a rule answer a path, request by request."""
        self.rules[path] = rule
        return self.url(path)

    def script_for(self, request: Received) -> tuple[Step, ...]:
        path = request.path.partition("?")[0]
        if path in self.rules:
            return (self.rules[path](request),)
        scripts = self.scripts.get(path)
        if scripts is None:
            return (Answer(404),)
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]

    def note(self, *, departures: int = 0) -> None:
        self.departures += departures
        self._changed.set()

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait for a state of this origin."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_true():
                self._changed.clear()
                await self._changed.wait()


class Http1Speaker:
    """HTTP/1.1 as the script says."""

    def __init__(
        self, origin: Origin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.origin = origin
        self.reader = reader
        self.writer = writer

    async def converse(self) -> None:
        while True:
            request = await self.receive()
            self.origin.requests.append(request)
            self.origin.note()
            for step in self.origin.script_for(request):
                if not await self.perform(step):
                    return

    async def receive(self) -> Received:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        method, path, version = line.split(" ")
        pairs = [field.partition(":") for field in fields]
        headers = tuple((name, value.strip()) for name, _colon, value in pairs)
        request = Received(method, path, headers, http_version=version.removeprefix("HTTP/"))
        body = await self.reader.readexactly(int(request.header("content-length") or 0))
        return Received(method, path, headers, body, request.http_version)

    async def perform(self, step: Step) -> bool:
        match step:
            case Send(data):
                self.writer.write(data)
            case Answer():
                self.writer.write(step.as_http1())
            case Drip(data, pause_s):
                for number in data:
                    self.writer.write(bytes([number]))
                    await self.writer.drain()
                    await asyncio.sleep(pause_s)
            case Flood(data):
                await flood(self.writer, data)
            case Gate(event):
                await event.wait()
            case Wait():
                await self.wait_for_departure()
            case Reset():
                reset(self.writer)
                return False
            case Close():
                return False
            case _:
                raise TypeError(f"{step} needs HTTP/2")
        await self.writer.drain()
        return True

    async def wait_for_departure(self) -> None:
        with contextlib.suppress(OSError):
            while await self.reader.read(MAX_HEAD_BYTES):
                pass
        self.origin.note(departures=1)
        raise ConnectionAbortedError("the client left")


async def flood(
    writer: asyncio.StreamWriter, data: bytes, gone: asyncio.Event | None = None
) -> None:
    """Send the same bytes until the client leaves, or its stream is gone."""
    for _ in range(MAX_FLOOD_BYTES // len(data)):
        if gone is not None and gone.is_set():
            return
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def ignore_refused_handshakes(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the loop from reporting, as a failure of the server, that a client refused it."""
    inner = loop.get_exception_handler()

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), OSError):
            return
        if inner is None:
            loop.default_exception_handler(context)
        else:
            inner(loop, context)

    loop.set_exception_handler(report)


@contextlib.asynccontextmanager
async def open_origin(
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    first_steps: tuple[Step, ...] = (),
    h2: Callable[[Origin, asyncio.StreamReader, asyncio.StreamWriter], Speaker] | None = None,
) -> AsyncIterator[Origin]:
    """Serve on a free port of loopback until the block ends.

    Args:
        tls: Server context; None serves plain http.
        host: Name that URLs of this origin show.
        first_steps: Done on every connection before a request is read.
        h2: Speaker of HTTP/2, where the connection is to speak it.

    """
    origin = Origin(scheme="http" if tls is None else "https", host=host)
    tasks: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.add(writer)
        origin.connections += 1
        origin.open_connections += 1
        try:
            # A client that leaves is what tests provoke; a cancelled handler would be
            # reported by the event loop as a failure of the server.
            with contextlib.suppress(
                OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError
            ):
                for step in first_steps:
                    await Http1Speaker(origin, reader, writer).perform(step)
                await (h2 or Http1Speaker)(origin, reader, writer).converse()
        finally:
            writer.close()
            origin.open_connections -= 1
            origin.note()
            tasks.discard(task)

    ignore_refused_handshakes(asyncio.get_running_loop())
    server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls, limit=MAX_HEAD_BYTES)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks), timeout=2)
        for writer in writers:
            # Python 3.11.2 fails to abort TLS that is closed.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()
        # Sockets are closed in a later turn of the loop; TLS takes one more.
        for _ in range(3):
            await asyncio.sleep(0)
