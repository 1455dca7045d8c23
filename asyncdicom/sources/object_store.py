"""An object store over HTTP, by the XML interface of S3: lists, heads, bytes.

    store = S3Store(transport, Endpoint.of_aws("us-east-1"))
    page = await store.page("idc-open-data", "uuid/")
    async with store.fetch("idc-open-data", page.entries[0].key) as answer:
        while data := await answer.read():
            ...

Strategy: bodies and lists travel over the shared transports; what is the same for all requests
is made once. Where a bucket is (its region) is learnt from the first refusal that says so, and
holds for all later requests.

Rule: a redirect is never followed. The store says a region, and the URL is made anew from
our own endpoint, so nothing that a server says can send credentials elsewhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from asyncdicom.errors import (
    AsyncDicomError,
    FetchError,
    ObjectChanged,
    ProtocolError,
)
from asyncdicom.policy.pacing import Pacer
from asyncdicom.policy.retry import MAX_RETRY_AFTER_S
from asyncdicom.ports.http import HttpRequest
from asyncdicom.protocol.http_fields import retry_after_s
from asyncdicom.protocol.object_stores.heads import (
    byte_range_of,
    entry_of_head,
    fields_of,
    place_of,
)
from asyncdicom.protocol.object_stores.refusals import (
    MAX_ERROR_BYTES,
    Refusal,
    read_refusal,
    refusal_of,
)
from asyncdicom.protocol.object_stores.s3_listing import S3ListingParser
from asyncdicom.protocol.object_stores.urls import escape_key, query_of
from asyncdicom.sources.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from asyncdicom.model import Buffer, Header
    from asyncdicom.ports.http import HttpResponse, HttpTransport
    from asyncdicom.ports.signing import RequestSigner
    from asyncdicom.protocol.object_stores.endpoints import Endpoint
    from asyncdicom.protocol.object_stores.values import ByteSpan, ListingPage, ObjectEntry

__all__ = ["S3Store", "StoreOptions"]

KEYS_PER_PAGE: Final = 1000
"""The most that S3 gives."""

_ELSEWHERE: Final = frozenset({301, 302, 307, 308, 400})
"""Statuses whose region, if they say one, is where the bucket is."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store is asked."""

    scheme: str = "s3"
    """How its objects are named in reports: `s3` or `gs`."""
    pays: bool = False
    """Whether we pay for requests to buckets whose owner does not."""
    further_headers: tuple[Header, ...] = ()
    """Sent with every request."""
    bytes_per_s: float | None = None
    """Most that is received per second, or None."""


class S3Store:
    """Buckets behind one endpoint, through the XML interface of S3.

    Attributes:
        patience: How long the store wants to be left alone.

    """

    def __init__(
        self,
        transport: HttpTransport,
        endpoint: Endpoint,
        *,
        signer: RequestSigner | None = None,
        options: StoreOptions | None = None,
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._options = options or StoreOptions()
        self.signer = signer
        self.patience = Patience()
        rate = self._options.bytes_per_s
        self.pacer = None if rate is None else Pacer(rate)
        self._places: dict[str, tuple[str, str]] = {}
        self._list_headers = self._headers_of_all()
        self._get_headers = (*self._headers_of_all(), *self._headers_of_objects())
        self._ranged_headers = self._list_headers

    @property
    def scheme(self) -> str:
        """`s3` or `gs`: how objects are named in reports."""
        return self._options.scheme

    def _headers_of_all(self) -> tuple[Header, ...]:
        # Google inflates what is stored compressed, unless we say that we could ourselves; with
        # others it is a proxy on the way that would compress.
        coding = "gzip" if self._endpoint.is_google else "identity"
        pays = (("x-amz-request-payer", "requester"),) if self._options.pays else ()
        return (("accept-encoding", coding), *pays, *self._options.further_headers)

    def _headers_of_objects(self) -> tuple[Header, ...]:
        # A checksum is of what is sent, so of a span it says nothing about the object.
        return () if self._endpoint.is_google else (("x-amz-checksum-mode", "ENABLED"),)

    async def page(
        self,
        bucket: str,
        prefix: str,
        *,
        delimiter: str = "",
        continuation: str | None = None,
    ) -> ListingPage:
        """List objects whose key begins with a prefix, in the order of the store.

        Raises:
            NotFound: If there is no such bucket.
            Unauthorized: If the credentials (or none) do not open it.
            FetchError: If the answer did not come whole, or is no listing.

        """
        asked = {"list-type": "2", "max-keys": str(KEYS_PER_PAGE), "encoding-type": "url"}
        asked |= {"prefix": prefix} if prefix else {}
        asked |= {"delimiter": delimiter} if delimiter else {}
        asked |= {"continuation-token": continuation} if continuation is not None else {}
        parser = S3ListingParser()
        tail = f"?{query_of(asked)}"
        async with _Request(self, bucket, tail, self._list_headers) as response:
            while data := await response.read():
                parser.receive_data(data)
                await self.pace(len(data))
            page = parser.receive_eof()
        check_page(page, prefix, continuation)
        return page

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Return what the store says of one object (HEAD).

        Raises:
            NotFound: If there is no such object.
            FetchError: As `page`.

        """
        tail = f"/{escape_key(key)}"
        request = _Request(self, bucket, tail, self._get_headers, method="HEAD")
        async with request as response:
            fields = fields_of(response.headers)
            _, size_bytes = place_of(response.status_code, fields, None)
            return entry_of_head(key, size_bytes, fields)

    def fetch(
        self, bucket: str, key: str, *, span: ByteSpan | None = None, etag: str | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Ask for an object or a span of it.

        Args:
            bucket: Where it is.
            key: Its name.
            span: Bytes wanted, or None for all.
            etag: Ask for this version only (If-Match), or None.

        Raises (on entering):
            NotFound: If there is no such object.
            ObjectChanged: If it is another version than `etag`.
            Throttled: If the store asks for patience (SlowDown, 429, 503).
            FetchError: If no answer came, or its status says no.

        """
        headers = self._get_headers
        if span is not None:
            headers = (*self._ranged_headers, ("range", byte_range_of(span)))
        if etag is not None:
            headers = (*headers, ("if-match", f'"{etag}"'))
        request = _Request(self, bucket, f"/{escape_key(key)}", headers)
        return _Fetch(request, key, span, etag)

    async def pace(self, count: int) -> None:
        """Wait until so many bytes more are within the rate."""
        if self.pacer is not None:
            now_s = asyncio.get_running_loop().time()
            await asyncio.sleep(self.pacer.delay_s(count, now_s=now_s))

    def place_of(self, bucket: str) -> tuple[str, str]:
        """Return where the keys of a bucket begin, and its region."""
        place = self._places.get(bucket)
        if place is None:
            endpoint = self._endpoint
            place = self._places[bucket] = (endpoint.url_of(bucket), endpoint.region)
        return place

    def move(self, bucket: str, region: str) -> None:
        """Ask for a bucket in another region from now on."""
        endpoint = self._endpoint.in_region(region)
        self._places[bucket] = (endpoint.url_of(bucket), region)

    def request(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpResponse]:
        """Send one request as it is."""
        return self._transport.request(request)


def check_page(page: ListingPage, prefix: str, continuation: str | None) -> None:
    """Refuse a page that is none of the list asked for.

    Raises:
        ProtocolError: If it leads to itself, or has other objects than asked for.

    """
    if page.continuation is not None and page.continuation == continuation:
        raise ProtocolError("a page of the list leads to itself")
    if not all(entry.key.startswith(prefix) for entry in page.entries):
        raise ProtocolError("the list has other objects than asked for")


class _Request:
    """One request and the answer that says yes; repeated where a bucket is elsewhere."""

    def __init__(
        self,
        store: S3Store,
        bucket: str,
        tail: str,
        headers: tuple[Header, ...],
        *,
        method: str = "GET",
    ) -> None:
        self.store = store
        self._bucket = bucket
        self._tail = tail
        self._headers = headers
        self._method = method
        self._context: AbstractAsyncContextManager[HttpResponse] | None = None

    async def __aenter__(self) -> HttpResponse:
        store, tries = self.store, 0
        while True:
            tries += 1
            if store.patience.resume_at_s:
                await store.patience.until_over()
            base, region = store.place_of(self._bucket)
            request = HttpRequest(base + self._tail, self._method, self._headers)
            if store.signer is not None:
                headers = await store.signer.signed(request, region=region)
                request = replace(request, headers=headers)
            context = self._context = store.request(request)
            response = await context.__aenter__()
            if response.status_code in (200, 206):
                return response
            refusal = await _refused(context, response)
            if tries > 2 or not await self._learns(refusal, region, request):
                what = "bucket" if self._tail.startswith("?") else "object"
                raise refusal_of(refusal, what=what)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._context is not None, "left after it was entered"
        return await self._context.__aexit__(kind, error, traceback)

    async def _learns(self, refusal: Refusal, region: str, request: HttpRequest) -> bool:
        """Take what a refusal says; return whether another try makes sense at once."""
        store = self.store
        if refusal.status_code in (429, 503):
            store.patience.extend(min(refusal.retry_after_s or 0.0, MAX_RETRY_AFTER_S))
        if refusal.status_code in _ELSEWHERE and refusal.region not in (None, region):
            assert refusal.region is not None, "just compared"
            store.move(self._bucket, refusal.region)
            return True
        if store.signer is not None and (refusal.is_expiry or refusal.status_code == 401):
            return await store.signer.renew(request.headers)
        return False


async def _refused(
    context: AbstractAsyncContextManager[HttpResponse], response: HttpResponse
) -> Refusal:
    """Read an answer that says no, and leave it."""
    body = b""
    try:
        while len(body) < MAX_ERROR_BYTES and (data := await response.read()):
            body += data
    except FetchError:
        pass  # The status says enough.
    finally:
        await context.__aexit__(None, None, None)
    pause_s = retry_after_s(response.header("retry-after"), now_utc=datetime.now(UTC))
    return read_refusal(
        response.status_code,
        body[:MAX_ERROR_BYTES],
        region=response.header("x-amz-bucket-region"),
        retry_after_s=pause_s,
    )


class ObjectStream:
    """An object, or a span of it, whose head has arrived.

    Attributes:
        entry: What the head says of the whole object; its size is that of the object.
        first_byte: Offset in the object of the first byte that will be read.
        read: Returns the next bytes as stored, or `b""` at the end.

    """

    __slots__ = ("entry", "first_byte", "read")

    def __init__(
        self, entry: ObjectEntry, first_byte: int, read: Callable[[], Coroutine[Any, Any, Buffer]]
    ) -> None:
        self.entry = entry
        self.first_byte = first_byte
        self.read = read


class _Fetch:
    """The bytes of an object; a class and not a generator, as it stands around every request."""

    def __init__(
        self, request: _Request, key: str, span: ByteSpan | None, etag: str | None
    ) -> None:
        self._request = request
        self._store = request.store
        self._key = key
        self._span = span
        self._etag = etag

    async def __aenter__(self) -> ObjectStream:
        response = await self._request.__aenter__()
        try:
            return self._stream(response)
        except AsyncDicomError as error:
            await self._request.__aexit__(type(error), error, None)
            raise

    def _stream(self, response: HttpResponse) -> ObjectStream:
        fields = fields_of(response.headers)
        first_byte, size_bytes = place_of(response.status_code, fields, self._span)
        entry = entry_of_head(self._key, size_bytes, fields)
        if self._etag is not None and entry.etag not in (None, self._etag):
            # Some servers do not know If-Match.
            raise ObjectChanged("the object is another version than before", status_code=200)
        read = response.read if self._store.pacer is None else self._paced(response)
        return ObjectStream(entry, first_byte, read)

    def _paced(self, response: HttpResponse) -> Callable[[], Coroutine[Any, Any, Buffer]]:
        store = self._store

        async def read() -> Buffer:
            data = await response.read()
            await store.pace(len(data))
            return data

        return read

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._request.__aexit__(kind, error, traceback)
