"""Redirects and credentials on top of a transport: what may travel where.

    session = Session(transport, "https://archive/dicom-web", credentials)
    async with session.request(HttpRequest(...)) as response:
        ...

Rules:
* Credentials belong to one origin (scheme, host, port). Anything else gets the
  few fields that hold no secret, and nothing else.
* A request that has left its origin does not get its credentials back, even
  if a redirect leads home: whoever sent it there chose the URL.
* https never becomes http, a loop ends at once, and five redirects are enough.
* A client certificate is shown to whoever asks for it, so with one no redirect leaves, and
  what the server refers to elsewhere (BulkDataURI) is not asked for.
* 401 renews the credentials once; the transport retries nothing else.
"""

from __future__ import annotations

import contextlib
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from asyncdicom.errors import FetchError, RedirectRefused, UnexpectedContent
from asyncdicom.protocol.urls import origin_of, resolve
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from asyncdicom.ports.http import HttpRequest, HttpResponse, HttpTransport, TransportStatistics
    from asyncdicom.transports.credentials import Credentials

__all__ = ["Session"]

MAX_REDIRECTS: Final = 5
MAX_DRAINED_BYTES: Final = 64 * 1024
"""A redirect's body up to this size is read, so that the connection can be kept."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""RFC 9110 §15.4; 300 asks a person, 304 is about caches, 305 and 306 are gone."""

HARMLESS: Final = frozenset({"accept", "accept-encoding", "accept-language", "range", "user-agent"})
"""Fields that may travel to any origin."""


@dataclass(slots=True)
class _Trail:
    """Where a request has been."""

    seen: set[str] = field(default_factory=set)
    is_home: bool = True


class Session:
    """A transport that follows redirects and knows who we are at one origin.

    Args:
        transport: Carries the requests.
        home: Any URL of the origin that the credentials belong to.
        credentials: Who we are there, or None.
        has_client_certificate: Whether the transport shows a certificate.

    """

    def __init__(
        self,
        transport: HttpTransport,
        home: str,
        credentials: Credentials | None = None,
        *,
        has_client_certificate: bool = False,
    ) -> None:
        self._transport = transport
        self._home = origin_of(home)
        # Nearly all URLs begin so; that spares taking each of them apart.
        parts = urlsplit(home)
        self._home_prefix = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
        self._credentials = credentials
        self._has_client_certificate = has_client_certificate

    @property
    def name(self) -> str:
        """Name of the engine."""
        return self._transport.name

    def request(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpResponse]:
        """Send a request; entering waits for the head of the last answer.

        Raises (on entering):
            RedirectRefused: If a redirect must not be followed.
            UnexpectedContent: If the URL is of an origin that must not see our certificate.
            AsyncDicomError: If credentials were to be renewed and could not.
            FetchError: As the transport does.

        """
        return _Journey(self, request)

    def statistics(self) -> TransportStatistics:
        """Return the counters of the transport."""
        return self._transport.statistics()

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    def open(
        self, request: HttpRequest, value: str | None
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """Send one hop as it is, with an authorization."""
        if value is not None:
            request = replace(request, headers=(*request.headers, ("Authorization", value)))
        return self._transport.request(request)

    async def value_for(self, trail: _Trail, rejected: str | None = None) -> str | None:
        """Return the authorization for the next hop, or None."""
        if self._credentials is None or not trail.is_home:
            return None
        return await self._credentials.authorization(rejected=rejected)

    def prepared(self, request: HttpRequest, trail: _Trail) -> HttpRequest:
        """Strip what may not travel to the origin of a request.

        Raises:
            UnexpectedContent: If nothing may: a BulkDataURI leads away, and we show a certificate.

        """
        url = request.url
        is_home = url.startswith(self._home_prefix) or origin_of(url) == self._home
        if self._has_client_certificate and not is_home:
            place = origin_of(url)
            raise UnexpectedContent(f"it is at {place}, which must not see our certificate")
        trail.is_home = trail.is_home and is_home
        if trail.is_home:
            return request
        fields = tuple(pair for pair in request.headers if pair[0].lower() in HARMLESS)
        return replace(request, headers=fields)

    def next_hop(
        self, request: HttpRequest, response: HttpResponse, trail: _Trail
    ) -> HttpRequest | None:
        """Return the request that an answer redirects to, or None if it is the last.

        Raises:
            RedirectRefused: If it must not be followed.

        """
        status_code = response.status_code
        if status_code not in REDIRECTS or request.method not in ("GET", "HEAD"):
            return None
        location = response.header("location")
        try:
            url = resolve(request.url, location) if location else ""
        except ValueError:
            url = ""
        if not url:
            raise RedirectRefused("the server redirects to nowhere", status_code=status_code)
        trail.seen.add(request.url)
        if why := self._objection(request.url, url, trail):
            raise RedirectRefused(why, status_code=status_code)
        return replace(request, url=url)

    def _objection(self, old: str, new: str, trail: _Trail) -> str | None:
        place = origin_of(new)
        if new in trail.seen:
            return "the server redirects in a circle"
        if len(trail.seen) > MAX_REDIRECTS:
            return f"the server redirects more than {MAX_REDIRECTS} times"
        if urlsplit(old).scheme == "https" and urlsplit(new).scheme == "http":
            return f"the server redirects from https to {place}"
        if self._has_client_certificate and place != self._home:
            return f"the server redirects to {place}, which must not see our certificate"
        return None


class _Journey:
    """One request, its redirects, and at most one renewal of credentials."""

    def __init__(self, session: Session, request: HttpRequest) -> None:
        self._session = session
        self._request = request
        self._context: AbstractAsyncContextManager[HttpResponse] | None = None

    async def __aenter__(self) -> HttpResponse:
        session, trail, may_renew = self._session, _Trail(), True
        request = session.prepared(self._request, trail)
        value = await session.value_for(trail)
        while True:
            context = session.open(request, value)
            response = await context.__aenter__()
            try:
                hop = session.next_hop(request, response, trail)
                renewed = value
                if hop is None and may_renew and value and response.status_code == 401:
                    may_renew = False
                    renewed = await session.value_for(trail, rejected=value)
            except BaseException:
                await context.__aexit__(None, None, None)
                raise
            if hop is None and renewed == value:
                self._context = context
                return response
            await _leave(context, response)
            if hop is not None:
                request = session.prepared(hop, trail)
                renewed = await session.value_for(trail)
            value = renewed

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._context is not None, "a request is entered before it is left"
        return await self._context.__aexit__(kind, error, traceback)


async def _leave(
    context: AbstractAsyncContextManager[HttpResponse], response: HttpResponse
) -> None:
    drained_bytes = 0
    try:
        with contextlib.suppress(FetchError):
            while drained_bytes < MAX_DRAINED_BYTES and (data := await response.read()):
                drained_bytes += len(data)
    finally:
        await context.__aexit__(None, None, None)
