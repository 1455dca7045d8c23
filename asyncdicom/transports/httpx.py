"""The pure Python engine: httpx with h2, HTTP/1.1 and HTTP/2.

It is the slowest of the three, and the one whose proxies and authentication have the
widest ecosystem.

Strategy: httpcore 1.0 forgets an HTTP/2 stream that is left early without
resetting it (RFC 9113 §5.4.2). The server goes on sending, nobody gives the
connection's window back, and in the end all its streams stand still. A client whose HTTP/2
stream was left early is therefore retired: new requests get a new connection.

It also takes what a server sends behind an HTTP/1.1 answer for the answer to the next
request, which RFC 9112 §6.3 forbids: a server could answer for a resource that it was
never asked for. A connection that brought surplus bytes is therefore closed.
"""

from __future__ import annotations

from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar

import httpx
from h2.exceptions import H2Error
from hpack.exceptions import HPACKError

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    ProtocolError,
    Stalled,
    TlsRejected,
    TransportError,
    Unreachable,
)
from asyncdicom.protocol.urls import origin_of
from asyncdicom.transports.exchange import EngineTransport, Exchange
from asyncdicom.transports.messages import one_line, system_reason, whole_story
from asyncdicom.transports.tls import explain_tls_failure, tls_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncdicom.model import Buffer, Header
    from asyncdicom.ports.http import HttpRequest

__all__ = ["HttpxTransport", "map_httpx_errors"]

VERSIONS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2": "2"}

# What h11, httpcore and h2 say where the peer went away in the middle, in lower case.
LOST = (
    "disconnected",
    "closed connection",
    "streamreset",
    "connectionterminated",
    # h2 was told GOAWAY, or allowed no stream, and refuses what we do next.
    "connectionstate.closed",
    "max outbound streams",
)

PARSER = attrgetter("stream._stream._httpcore_stream._stream._connection._h11_state")
"""Of a response over HTTP/1.1: no public name leads to the bytes that nobody has read."""


class HttpxExchange(Exchange[httpx.AsyncClient]):
    """One request through httpx."""

    _response: httpx.Response | None = None
    _pieces: AsyncIterator[bytes]

    @property
    def status_code(self) -> int:
        """Status, 200 to 599."""
        return self._answer.status_code

    @property
    def http_version(self) -> str:
        """Either "1.0", "1.1" or "2"."""
        version = self._answer.http_version
        return VERSIONS.get(version, version)

    @property
    def headers(self) -> tuple[Header, ...]:
        """Fields in the order received."""
        raw = self._answer.headers.raw
        return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)

    def header(self, name: str) -> str | None:
        """First value of a field, whatever its case, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def _answer(self) -> httpx.Response:
        assert self._response is not None, "an exchange is entered before it is read"
        return self._response

    async def _send(self, client: httpx.AsyncClient, request: HttpRequest) -> None:
        built = client.build_request(
            request.method, request.url, headers=list(request.headers), content=request.body
        )
        self._response = await client.send(built, stream=True)
        self._pieces = self._response.aiter_raw()

    async def _receive(self) -> Buffer:
        # An empty DATA frame is a piece, but not the end.
        async for data in self._pieces:
            if data:
                return data
        await self._leave_surplus()
        return b""

    async def _leave_surplus(self) -> None:
        with suppress(AttributeError):
            if PARSER(self._answer).trailing_data[0]:
                await self._answer.extensions["network_stream"].aclose()

    async def _drop(self) -> None:
        if self._response is not None:
            await self._response.aclose()

    def _must_retire(self) -> bool:
        is_http1 = self._response is not None and self.http_version != "2"
        return super()._must_retire() or not (self._is_whole or is_http1)


class HttpxTransport(EngineTransport[httpx.AsyncClient]):
    """Transport on httpx."""

    name: ClassVar[str] = "httpx"
    refusals: ClassVar[tuple[type[Exception], ...]] = (ValueError, httpx.InvalidURL)

    def request(self, request: HttpRequest) -> HttpxExchange:
        """Send a request; entering waits for the head of the answer."""
        return HttpxExchange(self, request)

    def map_error(self, error: Exception, url: str) -> AsyncDicomError:
        """Turn an exception of the library into one of ours; total."""
        return map_httpx_errors(error, url)

    def _load_trust(self) -> None:
        self._context = tls_context(self.settings)

    def _open_client(self, proxy: str | None) -> httpx.AsyncClient:
        settings = self.settings
        client = httpx.AsyncClient(
            http1=not (settings.http2 and settings.h2c),
            http2=settings.http2,
            verify=self._context,
            proxy=proxy,
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=httpx.Timeout(None, connect=settings.connect_timeout_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            headers={"User-Agent": settings.user_agent},
        )
        del client.headers["Accept-Encoding"]
        return client

    async def _close_client(self, client: httpx.AsyncClient) -> None:
        await client.aclose()


def map_httpx_errors(error: Exception, url: str) -> AsyncDicomError:
    """Turn an exception of httpx, or of h2 below it, into one of ours; total."""
    why = one_line(str(error))
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError)):
        return ProtocolError(f"not a URL or a field that can be sent: {why}")
    origin = origin_of(url)
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return Unreachable("no connection within the connect timeout", origin=origin)
        case httpx.TimeoutException():
            return Stalled("nothing came within the idle timeout", origin=origin)
        case httpx.ConnectError() | httpx.ProxyError():
            advice = explain_tls_failure(whole_story(error))
            kind = Unreachable if advice is None else TlsRejected
            return kind(advice or system_reason(error), origin=origin)
        case httpx.NetworkError():
            return _lost(error, why, origin)
        case httpx.ProtocolError() | H2Error() | HPACKError():
            if any(word in str(error).lower() for word in LOST):
                return ConnectionLost(why, origin=origin)
            return ProtocolError(f"the answer breaks HTTP: {why}")
        case httpx.HTTPError() | httpx.StreamError() | httpx.CookieConflict():
            return TransportError(f"{type(error).__name__}: {why}", origin=origin)
        case _:
            return TransportError(f"{type(error).__name__}: {why}", origin=origin)


def _lost(error: Exception, why: str, origin: str) -> AsyncDicomError:
    # TLS 1.3 refuses a client certificate only after the handshake (RFC 8446 §4.4.2.4).
    advice = explain_tls_failure(why) if "alert" in why.lower() else None
    if advice is not None:
        return TlsRejected(advice, origin=origin)
    told = system_reason(error) if str(error) or error.__cause__ else "the connection broke"
    return ConnectionLost(told, origin=origin)
