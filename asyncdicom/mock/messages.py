"""Requests and answers of the mock as values; what writes them to a socket is elsewhere.

An answer is a head, a body and a `Wire`: how its bytes shall travel. Faults are
functions from answer to answer, so each can be read, and tested, without a socket:

    response = web.respond(request)
    response = plan.disturb(request, response)
    for buffer in response.body.buffers(): ...

Rule: bodies are lazy. Nothing is produced before a socket has room for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import chain
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.model import Buffer, Header

__all__ = [
    "Body",
    "Content",
    "Ending",
    "Framing",
    "Multipart",
    "Part",
    "Request",
    "Response",
    "Wire",
    "first_bytes",
    "header_value",
    "split_target",
]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as read from the wire."""

    method: str
    path: str
    """Without the query, percent-decoding undone."""
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[Header, ...] = ()
    scheme: str = "http"
    authority: str = "localhost"
    """`host[:port]` the client wrote."""
    http_version: str = "1.1"
    peer_port: int = 0
    """The client's TCP port: one per connection, so tests can count connections."""

    def header(self, name: str) -> str | None:
        """First value of a field, whatever its case, or None."""
        return header_value(self.headers, name)


def header_value(headers: Iterable[Header], name: str) -> str | None:
    """Return the first value of a field, whatever its case, or None."""
    lower = name.lower()
    return next((value for key, value in headers if key.lower() == lower), None)


def split_target(target: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Split a request target into path and query, both without percent-encoding."""
    path, _, query = target.partition("?")
    return unquote(path), tuple(parse_qsl(query, keep_blank_values=True))


class Body(Protocol):
    """What follows the head of an answer."""

    def byte_count(self) -> int:
        """Length in bytes; may walk all parts, but produces none of their bytes."""

    def buffers(self) -> Iterator[Buffer]:
        """Produce the bytes, piece by piece; may be asked again."""


@dataclass(frozen=True, slots=True)
class Content:
    """A body of one piece of content."""

    length: int
    """In bytes."""
    produce: Callable[[], Iterable[Buffer]]

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Wrap bytes that are in memory."""
        return cls(len(data), lambda: (data,))

    def byte_count(self) -> int:
        """Length in bytes."""
        return self.length

    def buffers(self) -> Iterator[Buffer]:
        """Produce the bytes."""
        return iter(self.produce())


@dataclass(frozen=True, slots=True)
class Part:
    """A message part (PS3.18 §8.6.1.2.1)."""

    headers: tuple[Header, ...]
    content: Content


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart/related payload (PS3.18 §8.6.1.2, RFC 2387)."""

    parts: Callable[[], Iterable[Part]]
    boundary: str
    eol: str = "\r\n"
    """End of lines; anything but CRLF is against RFC 2046 §4.1.1."""
    preamble: bytes = b""
    """Ends with a line end, if there is any."""
    epilogue: bytes = b""

    def byte_count(self) -> int:
        """Length in bytes; walks all parts."""
        parts = list(self.parts())
        delimiters = sum(len(self._delimiter(at)) for at in range(len(parts)))
        inside = sum(len(self._head(part)) + part.content.length for part in parts)
        outside = len(self.preamble) + len(self._close(len(parts))) + len(self.epilogue)
        return delimiters + inside + outside

    def buffers(self) -> Iterator[Buffer]:
        """Produce delimiters, part headers and content in order."""
        count = 0
        yield self.preamble
        for count, part in enumerate(self.parts(), 1):
            yield self._delimiter(count - 1) + self._head(part)
            yield from part.content.buffers()
        yield self._close(count) + self.epilogue

    def _head(self, part: Part) -> bytes:
        lines = (*(f"{name}: {value}" for name, value in part.headers), "")
        return "".join(f"{line}{self.eol}" for line in lines).encode("latin-1")

    def _delimiter(self, index: int) -> bytes:
        # RFC 2046 §5.1.1: the CRLF before a delimiter line belongs to the
        # delimiter; the first one stands at the start of the payload.
        start = self.eol if index else ""
        return f"{start}--{self.boundary}{self.eol}".encode()

    def _close(self, count: int) -> bytes:
        start = self.eol if count else ""
        return f"{start}--{self.boundary}--{self.eol}".encode()


class Framing(Enum):
    """How HTTP/1.1 says where a body ends (RFC 9112 §6.3)."""

    AUTO = auto()
    """Content-Length where the length is at hand, chunked for multipart, as most servers do."""
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()
    """Neither: the end of the connection is the end of the body."""


class Ending(Enum):
    """What happens once the bytes that are to be sent were sent."""

    WHOLE = auto()
    """The framing is completed."""
    CUT = auto()
    """The connection is closed (HTTP/2: the stream is reset), the framing left open."""
    RESET = auto()
    """TCP RST: the connection, with all its streams, is gone at once."""
    STALL = auto()
    """Nothing more comes, and nothing is closed."""
    GOAWAY = auto()
    """HTTP/2: GOAWAY, then the connection closes; HTTP/1.1: as CUT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How the bytes of one answer travel."""

    framing: Framing = Framing.AUTO
    delay_s: float = 0.0
    """Silence before the head, in seconds; infinite for ever."""
    stop_after_bytes: int | None = None
    """Body bytes after which `ending` happens; None for all, -1 for "not even the head"."""
    ending: Ending = Ending.WHOLE
    rate_bytes_per_s: float | None = None
    """Upper bound of the body's throughput."""
    length_error_bytes: int = 0
    """Added to the Content-Length that is announced; not to what is sent."""
    endless_header: bool = False
    """The head never ends (HTTP/2: CONTINUATION frames without END_HEADERS)."""
    in_thread: bool = False
    """Whether producing the body may block, so that it has to happen in a thread."""
    error_code: int = 2
    """HTTP/2 error code of RST_STREAM or GOAWAY (RFC 9113 §7); 2 is INTERNAL_ERROR."""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, to be written by whoever holds the socket."""

    status: int
    headers: tuple[Header, ...] = ()
    body: Body = field(default_factory=lambda: Content.of(b""))
    wire: Wire = field(default_factory=Wire)

    def header(self, name: str) -> str | None:
        """First value of a field, whatever its case, or None."""
        return header_value(self.headers, name)

    def with_header(self, name: str, value: str) -> tuple[Header, ...]:
        """Return the fields with one of them set, its earlier values dropped."""
        kept = (pair for pair in self.headers if pair[0].lower() != name.lower())
        return tuple(chain(kept, ((name, value),)))


def first_bytes(buffers: Iterable[Buffer], count: int) -> Iterator[Buffer]:
    """Produce the first `count` bytes of buffers, and ask for no more than that."""
    left = count
    for buffer in buffers:
        if left <= len(buffer):
            yield memoryview(buffer)[:left]
            return
        yield buffer
        left -= len(buffer)
