"""What the three engines share: one exchange, and the transport it belongs to.

An engine says how a request is sent, how bytes are received and how both are
dropped; everything that must hold for all of them is here:

* every wait is under the watchdog, and foreign exceptions end at its border;
* a head beyond `max_head_bytes` is refused;
* a body ends with exactly Content-Length bytes, or with an error;
* leaving early frees the connection, and retires it where it is in doubt.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from abc import ABC, abstractmethod
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

from asyncdicom.errors import (
    AsyncDicomError,
    ConfigError,
    ConnectionLost,
    LimitExceeded,
    Stalled,
    UsageError,
)
from asyncdicom.ports.http import TransportStatistics
from asyncdicom.protocol.http_fields import content_length, field_values
from asyncdicom.protocol.urls import origin_of
from asyncdicom.transports.lanes import Lanes
from asyncdicom.transports.messages import one_line
from asyncdicom.transports.proxies import read_proxy_rules
from asyncdicom.transports.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from asyncdicom.model import Buffer, Header
    from asyncdicom.policy.throughput import StallLimits
    from asyncdicom.ports.http import HttpRequest
    from asyncdicom.transports.lanes import Lane
    from asyncdicom.transports.settings import TransportSettings
    from asyncdicom.transports.watchdog import Watch

__all__ = ["EngineTransport", "Exchange"]

ClientT = TypeVar("ClientT")

MAX_LAST_WORDS_BYTES = 16 * 1024
"""Of a body that was refused: what an error page has, and what is on its way anyway."""
LAST_WORDS_S = 1.0
"""Longest time spent on them."""


class Exchange(ABC, Generic[ClientT]):
    """One request and its answer; entering sends the request and waits for the head."""

    ends_at_length: ClassVar[bool] = False
    """Whether the engine needs no last read to see that a body of known length is over."""

    _lane: Lane[ClientT]
    _watch: Watch

    def __init__(self, transport: EngineTransport[ClientT], request: HttpRequest) -> None:
        self._transport = transport
        self._request = request
        self._expected_bytes: int | None = None
        self._received_bytes = 0
        self._is_whole = False
        self._has_head = False
        self._failure: AsyncDicomError | None = None

    @property
    @abstractmethod
    def status_code(self) -> int:
        """Status, 200 to 599."""

    @property
    @abstractmethod
    def http_version(self) -> str:
        """Either "1.0", "1.1" or "2"."""

    @property
    @abstractmethod
    def headers(self) -> tuple[Header, ...]:
        """Fields in the order received."""

    @abstractmethod
    def header(self, name: str) -> str | None:
        """First value of a field, whatever its case, or None."""

    @abstractmethod
    async def _send(self, client: ClientT, request: HttpRequest) -> None:
        """Send the request and wait for the head."""

    @abstractmethod
    async def _receive(self) -> Buffer:
        """Return the next bytes, or `b""` when the engine saw the end of the framing."""

    @abstractmethod
    async def _drop(self) -> None:
        """Free what the engine holds, whether or not the body was read."""

    def _must_retire(self) -> bool:
        """Tell whether leaving now puts the connection in doubt."""
        return isinstance(self._watch.failure or self._failure, Stalled)

    async def __aenter__(self) -> Self:
        transport = self._transport
        self._lane = transport.take_lane(self._request.url)
        self._watch = transport.watchdog.watch(self._translate)
        transport.count_request()
        try:
            with self._watch:
                await self._send(self._lane.client, self._request)
            self._check_head()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is not None and issubclass(kind, Exception) and self._may_go_on:
                await self._read_rest()
        finally:
            await self._leave()

    @property
    def _may_go_on(self) -> bool:
        return not self._is_whole and self._failure is None and self._watch.failure is None

    async def _read_rest(self) -> None:
        """Read the end of a small body that was refused: a reset would cost both sides more."""
        rest_bytes = 0
        with contextlib.suppress(AsyncDicomError, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while rest_bytes < MAX_LAST_WORDS_BYTES and (data := await self.read()):
                    rest_bytes += len(data)

    async def read(self) -> Buffer:
        """Return the next bytes of the body as sent, or `b""` at its end.

        Raises:
            ConnectionLost: If the stream ended before its framing said so.
            Stalled: If no byte came for the idle time, or too few for too long.
            ProtocolError: If the framing is broken.

        """
        if self._is_whole:
            return b""
        if self.ends_at_length and self._received_bytes == self._expected_bytes:
            return self._end()
        watch = self._watch
        with watch:
            data = await self._receive()
            watch.received(len(data))
        if data:
            self._received_bytes += len(data)
            return data
        return self._end()

    def _end(self) -> bytes:
        expected = self._expected_bytes
        if expected is not None and expected != self._received_bytes:
            lost = ConnectionLost(
                f"the body ended after {self._received_bytes} of {expected} bytes",
                origin=origin_of(self._request.url),
            )
            lost.in_body = True
            raise lost
        self._is_whole = True
        return b""

    def _check_head(self) -> None:
        limit = self._transport.settings.max_head_bytes
        if self._head_bytes() > limit:
            raise LimitExceeded(f"the head of the answer has more than {limit} bytes")
        self._has_head = True
        version = self.http_version
        self._transport.count_answer(version)
        self._lane.is_http2 = version == "2"
        # RFC 9112 §6.3: no body whatever the fields say; and Transfer-Encoding
        # overrides Content-Length.
        is_bodiless = self._request.method == "HEAD" or self.status_code in (204, 304)
        if not is_bodiless and self.header("transfer-encoding") is None:
            self._expected_bytes = content_length(self._values("content-length"))

    def _head_bytes(self) -> int:
        return sum(map(len, chain.from_iterable(self.headers)))

    def _values(self, name: str) -> list[str]:
        return field_values(self.headers, name)

    async def _leave(self) -> None:
        transport = self._transport
        transport.watchdog.forget(self._watch)
        if self._must_retire() or self._is_one_too_many():
            transport.lanes.retire(self._lane)
        try:
            await self._drop()
        finally:
            transport.lanes.give_back(self._lane)
            transport.count_end(self._received_bytes)

    def _is_one_too_many(self) -> bool:
        """Count a stream left early; tell whether its connection has had its share of them."""
        if self._is_whole or not self._lane.is_http2:
            return False
        return self._lane.cancellations.note(self._transport.clock())

    def _translate(self, error: Exception) -> AsyncDicomError:
        failure = self._failure = self._transport.map_error(error, self._request.url)
        if self._has_head and isinstance(failure, ConnectionLost):
            failure.in_body = True
        return failure


class EngineTransport(ABC, Generic[ClientT]):
    """An HTTP engine with its clients, statistics and watchdog.

    Args:
        settings: Versions, limits, trust and proxy.
        environment: Where proxies are named; usually `os.environ`.
        clock: Monotonic clock, in seconds.

    Raises:
        ConfigError: If a proxy or a certificate cannot be used.

    """

    name: ClassVar[str]
    speaks_http2: ClassVar[bool] = True
    refusals: ClassVar[tuple[type[Exception], ...]] = (ValueError,)
    """What the library says of a proxy that it cannot use, when a client is made."""

    def __init__(
        self,
        settings: TransportSettings,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.watchdog = Watchdog(self._stall_limits(), clock=clock)
        count = settings.connections if settings.http2 and self.speaks_http2 else 1
        self.lanes: Lanes[ClientT] = Lanes(count, self._open_client, self._close_client)
        self._proxies = read_proxy_rules(settings.proxy, environment)
        self._load_trust()
        self._statistics = TransportStatistics()
        self._is_closed = False

    @abstractmethod
    def request(self, request: HttpRequest) -> Exchange[ClientT]:
        """Send a request; entering waits for the head of the answer."""

    @abstractmethod
    def map_error(self, error: Exception, url: str) -> AsyncDicomError:
        """Turn an exception of the library into one of ours; total."""

    @abstractmethod
    def _load_trust(self) -> None:
        """Read certificates and keys once, so that what is wrong with them is told at once."""

    @abstractmethod
    def _open_client(self, proxy: str | None) -> ClientT:
        """Make a client of the library."""

    @abstractmethod
    async def _close_client(self, client: ClientT) -> None:
        """Close it and its connections."""

    def _stall_limits(self) -> StallLimits:
        return self.settings.stall_limits

    def statistics(self) -> TransportStatistics:
        """Return the counters."""
        return self._statistics

    async def aclose(self) -> None:
        """Close all connections; requests under way fail with `ConnectionLost`."""
        self._is_closed = True
        self.watchdog.end_all("the transport was closed")
        await self.lanes.aclose()

    def take_lane(self, url: str) -> Lane[ClientT]:
        """Return the client for a request, and count it there.

        Raises:
            ConfigError: If the library cannot use its proxy.

        """
        if self._is_closed:
            raise UsageError("the transport is closed")
        proxy = None if self._proxies.is_empty else self._proxies.choose(url)
        if proxy is None:
            return self.lanes.take(None)
        try:
            return self.lanes.take(proxy)
        except self.refusals as error:
            # The URL may hold a password, and with it the error.
            why = one_line(str(error))
            raise ConfigError(f"the proxy cannot be used: {why}", hint="check --proxy") from None

    def count_request(self) -> None:
        """Count a request that begins."""
        counters = self._statistics
        counters.requests += 1
        counters.in_flight += 1
        counters.in_flight_peak = max(counters.in_flight_peak, counters.in_flight)

    def count_answer(self, http_version: str) -> None:
        """Count the head of an answer."""
        versions = self._statistics.http_versions
        versions[http_version] = versions.get(http_version, 0) + 1

    def count_end(self, body_bytes: int) -> None:
        """Count a request that has ended, with the bytes its body brought."""
        self._statistics.in_flight -= 1
        self._statistics.bytes_received += body_bytes
