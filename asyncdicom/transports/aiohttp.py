"""The HTTP/1.1 engine: aiohttp, one connection per request under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from asyncdicom.errors import (
    AsyncDicomError,
    ConfigError,
    ConnectionLost,
    ProtocolError,
    Stalled,
    TlsRejected,
    TransportError,
    Unreachable,
)
from asyncdicom.protocol.urls import origin_of
from asyncdicom.transports.exchange import EngineTransport, Exchange
from asyncdicom.transports.messages import one_line, system_reason
from asyncdicom.transports.tls import explain_tls_failure, tls_context

if TYPE_CHECKING:
    from ssl import SSLContext

    from asyncdicom.model import Buffer, Header
    from asyncdicom.ports.http import HttpRequest

__all__ = ["AiohttpTransport", "map_aiohttp_errors"]


class AiohttpExchange(Exchange[aiohttp.ClientSession]):
    """One request through aiohttp."""

    _response: aiohttp.ClientResponse | None = None

    @property
    def status_code(self) -> int:
        """Status, 200 to 599."""
        return self._answer.status

    @property
    def http_version(self) -> str:
        """Either "1.0" or "1.1"."""
        version = self._answer.version
        return "1.1" if version is None else f"{version.major}.{version.minor}"

    @property
    def headers(self) -> tuple[Header, ...]:
        """Fields in the order received."""
        raw = self._answer.raw_headers
        return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)

    def header(self, name: str) -> str | None:
        """First value of a field, whatever its case, or None."""
        return self._answer.headers.get(name)

    @property
    def _answer(self) -> aiohttp.ClientResponse:
        assert self._response is not None, "an exchange is entered before it is read"
        return self._response

    async def _send(self, client: aiohttp.ClientSession, request: HttpRequest) -> None:
        self._response = await client.request(
            request.method,
            URL(request.url, encoded=True),
            headers=CIMultiDict(request.headers),
            data=request.body,
            allow_redirects=False,
        )

    async def _receive(self) -> Buffer:
        return await self._answer.content.readany()

    async def _drop(self) -> None:
        if self._response is None:
            return
        if self._is_whole:
            self._response.release()
        else:
            self._response.close()


class AiohttpTransport(EngineTransport[aiohttp.ClientSession]):
    """Transport on aiohttp."""

    name: ClassVar[str] = "aiohttp"
    speaks_http2: ClassVar[bool] = False

    def request(self, request: HttpRequest) -> AiohttpExchange:
        """Send a request; entering waits for the head of the answer."""
        return AiohttpExchange(self, request)

    def map_error(self, error: Exception, url: str) -> AsyncDicomError:
        """Turn an exception of the library into one of ours; total."""
        return map_aiohttp_errors(error, url)

    def _load_trust(self) -> None:
        if self.settings.h2c:
            hint = "take --http-engine pyreqwest or httpx"
            raise ConfigError("aiohttp speaks HTTP/1.1 only", hint=hint)
        self._context = tls_context(self.settings)

    def _open_client(self, proxy: str | None) -> aiohttp.ClientSession:
        settings = self.settings
        is_socks = proxy is not None and proxy.startswith("socks")
        context = self._context
        return aiohttp.ClientSession(
            connector=_socks_connector(proxy, context) if is_socks else _connector(context),
            proxy=None if is_socks else proxy,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s),
            headers={"User-Agent": settings.user_agent},
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
            read_bufsize=settings.read_bytes,
            max_line_size=settings.max_head_bytes,
            max_field_size=settings.max_head_bytes,
        )

    async def _close_client(self, client: aiohttp.ClientSession) -> None:
        await client.close()


def _connector(context: SSLContext) -> aiohttp.BaseConnector:
    # The scheduler bounds the requests under way; a second bound would only hide.
    return aiohttp.TCPConnector(limit=0, ssl=context)


def _socks_connector(proxy: str | None, context: SSLContext) -> aiohttp.BaseConnector:
    from aiohttp_socks import ProxyConnector  # noqa: PLC0415 -- only for who has such a proxy

    assert proxy is not None, "chosen by its scheme"
    resolves_there = proxy.startswith("socks5h://")
    url = proxy.replace("socks5h://", "socks5://", 1)
    connector: aiohttp.BaseConnector = ProxyConnector.from_url(
        url, rdns=resolves_there, limit=0, ssl=context
    )
    return connector


def map_aiohttp_errors(error: Exception, url: str) -> AsyncDicomError:
    """Turn an exception of aiohttp or of its SOCKS proxies into one of ours; total."""
    why = one_line(str(error))
    # A rejected certificate is a ValueError too, so this comes first.
    if isinstance(error, aiohttp.ClientSSLError):
        return TlsRejected(explain_tls_failure(str(error)) or why, origin=origin_of(url))
    if isinstance(error, (aiohttp.InvalidURL, ValueError)):
        return ProtocolError(f"not a URL or a field that can be sent: {why}")
    origin = origin_of(url)
    # python-socks is only imported where such a proxy is used; its errors share a prefix.
    if type(error).__name__.startswith("Proxy"):
        return Unreachable(f"the proxy made no connection: {why}", origin=origin)
    match error:
        case aiohttp.ConnectionTimeoutError():
            return Unreachable("no connection within the connect timeout", origin=origin)
        case TimeoutError():
            return Stalled("nothing came within the idle timeout", origin=origin)
        case aiohttp.ClientHttpProxyError():
            told = f"the proxy answers {error.status} {error.message}"
            return Unreachable(one_line(told), origin=origin)
        case aiohttp.ClientConnectorError():
            return Unreachable(system_reason(error), origin=origin)
        case aiohttp.ServerConnectionError() | aiohttp.ClientOSError():
            return _lost(why, origin)
        case aiohttp.ClientPayloadError() if "not enough data" in why.lower():
            return ConnectionLost("the body ended too early", origin=origin)
        case aiohttp.ClientResponseError() | HttpProcessingError():
            # Its status is that of an answer to be made up, which nobody here gives.
            return ProtocolError(f"the answer breaks HTTP: {one_line(error.message)}")
        case aiohttp.ClientPayloadError():
            return ProtocolError(f"the answer breaks HTTP: {why}")
        case _:
            return TransportError(f"{type(error).__name__}: {why}", origin=origin)


def _lost(why: str, origin: str) -> AsyncDicomError:
    # TLS 1.3 refuses a client certificate only after the handshake (RFC 8446 §4.4.2.4).
    advice = explain_tls_failure(why) if "alert" in why.lower() else None
    return (
        ConnectionLost(why, origin=origin) if advice is None else TlsRejected(advice, origin=origin)
    )
