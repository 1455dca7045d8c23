"""The fast engine: pyreqwest (Rust reqwest, hyper and rustls), HTTP/1.1 and HTTP/2.

Strategy, as measured with version 0.15 (512 KiB bodies over HTTP/2, 32 at once):

* The library gathers `read_bytes` of a body before it hands over the head, and
  again before each wake-up of the event loop. 64 KiB and more make large bodies 1.7 times
  as fast as single frames. It hides a trickle for just as long, so the amount is
  bound to what the least throughput brings in one idle time, and the wait for
  the head is longer by the time that amount may take.
* Its own read timeout also runs while a consumer is busy elsewhere, so it cannot tell a slow
  disk from a stall. It is set far above the watchdog's limits and serves one end: a
  request that was cancelled before its head arrived goes on inside of the library
  until the head comes or that timeout strikes. Our side is free at once.
* Bodies are handed on as memoryviews of the library's own memory: no copy.
* Its thread may be inside of a call into Python while the interpreter goes down, which then
  aborts (in 12 of 24 runs that ended right behind 100 large bodies). A moment
  without the interpreter's lock at exit lets that call finish (0 of 24).
"""

from __future__ import annotations

import atexit
import time
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from pyreqwest import exceptions
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.proxy import ProxyBuilder

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
from asyncdicom.transports.messages import one_line
from asyncdicom.transports.tls import explain_tls_failure, identity_pem, read_certificates

if TYPE_CHECKING:
    from pyreqwest.request import StreamRequest
    from pyreqwest.response import Response, ResponseBodyReader

    from asyncdicom.model import Buffer, Header
    from asyncdicom.policy.throughput import StallLimits
    from asyncdicom.ports.http import HttpRequest
    from asyncdicom.transports.settings import TransportSettings

__all__ = ["PyreqwestTransport", "map_pyreqwest_errors"]

VERSIONS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2.0": "2"}

ABANDONED_AFTER_IDLE_TIMES = 4
"""Idle times after which the library gives up a request that nobody waits for any more.

Also what a consumer may do between two reads of a body, besides the pauses that are meant;
servers wait no longer either.
"""

SETTLE_S = 0.02
"""Pause at exit in which the library's thread leaves Python, in seconds."""

atexit.register(time.sleep, SETTLE_S)

READING_A_BODY = "error reading a body from connection"
"""What hyper writes once the head has come."""

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""Stands for a field value outside of ASCII, which the library does not hand out."""


class PyreqwestExchange(Exchange[Client]):
    """One request through pyreqwest."""

    ends_at_length: ClassVar[bool] = True

    _response: Response
    _reader: ResponseBodyReader
    _streamed: StreamRequest | None = None
    _headers: tuple[Header, ...] | None = None

    def __init__(self, transport: PyreqwestTransport, request: HttpRequest) -> None:
        super().__init__(transport, request)
        self._gathered_bytes = transport.gathered_bytes

    @property
    def status_code(self) -> int:
        """Status, 200 to 599."""
        return self._response.status

    @property
    def http_version(self) -> str:
        """Either "1.0", "1.1" or "2"."""
        version = self._response.version
        return VERSIONS.get(version, version)

    @property
    def headers(self) -> tuple[Header, ...]:
        """Fields in the order received; names are in lower case."""
        if self._headers is None:
            fields = self._response.headers
            try:
                self._headers = tuple(fields.items())
            except ValueError:
                self._headers = self._readable_headers()
        return self._headers

    def header(self, name: str) -> str | None:
        """First value of a field, whatever its case, or None."""
        try:
            return self._response.get_header(name)
        except ValueError:
            return UNREADABLE

    def _readable_headers(self) -> tuple[Header, ...]:
        names = dict.fromkeys(self._response.headers.keys())
        return tuple((name, value) for name in names for value in self._values(name))

    async def _send(self, client: Client, request: HttpRequest) -> None:
        builder = client.request(request.method, request.url)
        if request.headers:
            builder = builder.headers(request.headers)
        if request.body is not None:
            builder = builder.body_bytes(request.body)
        streamed = builder.streamed_read_buffer_limit(self._gathered_bytes).build_streamed()
        self._response = await streamed.__aenter__()
        self._streamed = streamed
        self._reader = self._response.body_reader

    async def _receive(self) -> Buffer:
        data = await self._reader.read(self._gathered_bytes)
        return b"" if data is None else memoryview(data)

    def _head_bytes(self) -> int:
        # Over HTTP/2 the library keeps the limit itself, by SETTINGS_MAX_HEADER_LIST_SIZE.
        return 0 if self.http_version == "2" else super()._head_bytes()

    def _values(self, name: str) -> list[str]:
        try:
            return self._response.get_header_all(name)
        except ValueError:
            return [UNREADABLE]

    async def _drop(self) -> None:
        # After a whole body nothing is left to close; that saves a call into the library.
        if self._streamed is not None and not self._is_whole:
            await self._streamed.__aexit__(None, None, None)


class PyreqwestTransport(EngineTransport[Client]):
    """Transport on pyreqwest."""

    name: ClassVar[str] = "pyreqwest"

    @cached_property
    def gathered_bytes(self) -> int:
        """How much of a body the library may hold back, in bytes."""
        return gathered_bytes_of(self.settings)

    def request(self, request: HttpRequest) -> PyreqwestExchange:
        """Send a request; entering waits for the head of the answer."""
        return PyreqwestExchange(self, request)

    def map_error(self, error: Exception, url: str) -> AsyncDicomError:
        """Turn an exception of the library into one of ours; total."""
        return map_pyreqwest_errors(error, url)

    def _load_trust(self) -> None:
        # Building a client takes 5 ms, so the one that proves the certificates is kept.
        self._first: Client | None = None
        try:
            self._first = self._open_client(None)
        except (exceptions.PyreqwestError, ValueError) as error:
            why = one_line(_causes_of(error)[-1])
            hint = "check --cacert, --cert and --key"
            raise ConfigError(f"certificates cannot be used: {why}", hint=hint) from error

    def _open_client(self, proxy: str | None) -> Client:
        if proxy is None and self._first is not None:
            client, self._first = self._first, None
            return client
        settings = self.settings
        builder = _with_trust(_with_versions(_plain_builder(settings), settings), settings)
        builder = builder.no_proxy()
        if proxy is not None:
            builder = builder.proxy(ProxyBuilder.all(proxy))
        return builder.build()

    async def _close_client(self, client: Client) -> None:
        await client.close()

    def _stall_limits(self) -> StallLimits:
        limits = self.settings.stall_limits
        if not limits.min_bytes_per_s:
            return limits
        gathering_s = gathered_bytes_of(self.settings) / limits.min_bytes_per_s
        return replace(limits, head_s=limits.head_s + gathering_s)


def gathered_bytes_of(settings: TransportSettings) -> int:
    """Return how much of a body the library may hold back, in bytes, at least 1."""
    trickled_bytes = int(settings.idle_timeout_s * settings.min_bytes_per_s)
    return max(1, min(settings.read_bytes, trickled_bytes))


def map_pyreqwest_errors(error: Exception, url: str) -> AsyncDicomError:
    """Turn an exception of pyreqwest into one of ours; total."""
    if isinstance(error, ValueError):
        return ProtocolError(f"not a URL or a field that can be sent: {one_line(str(error))}")
    causes = _causes_of(error)
    failure = _failure_of(error, causes, origin_of(url))
    if isinstance(failure, ConnectionLost):
        # What was gathered of a body stands between us and its head.
        failure.in_body = READING_A_BODY in causes
    return failure


def _failure_of(error: Exception, causes: list[str], origin: str) -> AsyncDicomError:
    why = one_line(causes[-1])
    # reqwest writes this for everything up to and including the TLS handshake.
    was_connecting = "client error (Connect)" in causes
    match error:
        case exceptions.RequestTimeoutError() if was_connecting:
            return Unreachable("no connection within the connect timeout", origin=origin)
        case exceptions.RequestTimeoutError():
            return Stalled("nothing came within the idle timeout", origin=origin)
        case exceptions.NetworkError() | exceptions.RequestError() if was_connecting:
            advice = explain_tls_failure(" ".join(causes[1:]))
            kind = Unreachable if advice is None else TlsRejected
            return kind(advice or why, origin=origin)
        case exceptions.NetworkError() if "received fatal alert" in why:
            # TLS 1.3 refuses a client certificate only after the handshake (RFC 8446 §4.4.2.4).
            return TlsRejected(explain_tls_failure(why) or why, origin=origin)
        case exceptions.NetworkError():
            return ConnectionLost(why, origin=origin)
        case exceptions.ClientClosedError():
            return ConnectionLost("the transport was closed", origin=origin)
        case exceptions.DecodeError() | exceptions.RequestError():
            return _broken_answer(causes, why, origin)
        case _:
            return TransportError(f"{type(error).__name__}: {why}", origin=origin)


def _broken_answer(causes: list[str], why: str, origin: str) -> AsyncDicomError:
    story = " ".join(causes).lower()
    if "end of file" in story or "eof" in story or "stream error" in story or "go_away" in story:
        return ConnectionLost(why, origin=origin)
    return ProtocolError(f"the answer breaks HTTP: {why}")


def _causes_of(error: Exception) -> list[str]:
    if isinstance(error, exceptions.DetailedPyreqwestError):
        causes = error.details.get("causes") or []
        return [cause["message"] for cause in causes] or [error.message]
    return [str(error)]


def _plain_builder(settings: TransportSettings) -> ClientBuilder:
    read_timeout_s = ABANDONED_AFTER_IDLE_TIMES * settings.idle_timeout_s
    read_timeout_s += settings.consumer_pause_s
    # Bytes are sacred, and decisions belong to the layers above: nothing is
    # decoded, followed or remembered here.
    return (
        ClientBuilder()
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .follow_redirects(False)
        .referer(False)
        .error_for_status(False)
        .user_agent(settings.user_agent)
        .connect_timeout(timedelta(seconds=settings.connect_timeout_s))
        .read_timeout(timedelta(seconds=read_timeout_s))
    )


def _with_versions(builder: ClientBuilder, settings: TransportSettings) -> ClientBuilder:
    if not settings.http2:
        return builder.http1_only()
    builder = builder.http2_prior_knowledge() if settings.h2c else builder.http2(True)
    return (
        builder.http2_initial_stream_window_size(settings.stream_window_bytes)
        .http2_initial_connection_window_size(settings.connection_window_bytes)
        .http2_max_header_list_size(settings.max_head_bytes)
    )


def _with_trust(builder: ClientBuilder, settings: TransportSettings) -> ClientBuilder:
    if not settings.verify:
        builder = builder.danger_accept_invalid_certs(True)
    if settings.ca_file is not None:
        builder = builder.add_root_certificate_pem(read_certificates(settings.ca_file))
    identity = identity_pem(settings)
    return builder if identity is None else builder.identity_pem(identity)
