"""HTTP as a source sees it: one request, one answer, read piece by piece.

Three HTTP engines implement `HttpTransport` and pass one contract suite
(`tests/transports/test_contract.py`), so a source never knows which one it has:

    async with transport.request(HttpRequest("https://host/studies/1.2/metadata")) as response:
        while chunk := await response.read():
            parser.receive_data(chunk)

Rule: a transport follows no redirect, decodes no content-coding, judges no
status and retries nothing. Those are decisions of the layers above.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.model import Buffer, Header

__all__ = [
    "HttpRequest",
    "HttpResponse",
    "HttpTransport",
    "TransportStatistics",
]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, complete but for the fields that the engine owns (host, connection)."""

    url: str
    """Absolute, without user information and fragment."""
    method: str = "GET"
    headers: tuple[Header, ...] = ()
    body: bytes | None = None


class HttpResponse(Protocol):
    """An answer whose head has arrived; the body is read piece by piece."""

    @property
    def status_code(self) -> int:
        """Status, 200 to 599."""

    @property
    def http_version(self) -> str:
        """Either "1.0", "1.1" or "2"."""

    @property
    def headers(self) -> tuple[Header, ...]:
        """Fields in the order received; a repeated field is repeated here."""

    def header(self, name: str) -> str | None:
        """First value of a field, whatever its case, or None."""

    async def read(self) -> Buffer:
        """Return the next bytes of the body as sent (content-coding kept), or `b""` at its end.

        The end is reported only when the transport's framing confirms it
        (Content-Length met, last chunk seen, END_STREAM), or when the body is
        delimited by the close of the connection, where nobody can tell.

        Raises:
            ConnectionLost: If the stream ended before its framing said so.
            Stalled: If no byte came for the idle time, or too few for too long.
            ProtocolError: If the framing is broken.

        """


@dataclass(slots=True)
class TransportStatistics:
    """Counters of a transport since it was opened."""

    requests: int = 0
    bytes_received: int = 0
    """Of bodies, as sent."""
    in_flight: int = 0
    in_flight_peak: int = 0
    http_versions: dict[str, int] = field(default_factory=dict)
    """Answers per HTTP version."""


class HttpTransport(Protocol):
    """An HTTP engine with its pool of connections."""

    @property
    def name(self) -> str:
        """`pyreqwest`, `httpx` or `aiohttp`."""

    def request(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpResponse]:
        """Send a request; entering waits for the head of the answer.

        Raises (on entering):
            Unreachable: If no connection could be made in time.
            TlsRejected: If no trust could be established.
            ConnectionLost: If the connection broke before the head was whole.
            Stalled: If the head did not arrive within the idle time.
            ProtocolError: If the head breaks HTTP, or (`LimitExceeded`) is too large.

        Cancellation: resets the HTTP/2 stream or closes the HTTP/1.1 connection;
        leaving early does the same. Other requests are not disturbed.
        """

    def statistics(self) -> TransportStatistics:
        """Return the counters."""

    async def aclose(self) -> None:
        """Close all connections; requests under way fail."""
