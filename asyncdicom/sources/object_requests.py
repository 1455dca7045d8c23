"""Requests to an object store: what the interfaces of S3 and of Google have in common.

    way = StoreWay(transport, Endpoint.of_aws("us-east-1"))
    async with ObjectRequest(way, "bucket", "/key", headers) as response:
        ...

Where a bucket is (its region) is learnt from the first refusal that says so, and holds for all
later requests.

Rule: a redirect is never followed. The store says a region, and the URL is made anew from
our own endpoint, so nothing that a server says can send credentials elsewhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from asyncdicom.errors import FetchError, ObjectChanged
from asyncdicom.policy.pacing import Pacer
from asyncdicom.policy.retry import MAX_RETRY_AFTER_S
from asyncdicom.ports.http import HttpRequest
from asyncdicom.protocol.content_coding import decoder_for
from asyncdicom.protocol.http_fields import retry_after_s
from asyncdicom.protocol.object_stores.heads import coded_on_the_way, fields_of, place_of
from asyncdicom.protocol.object_stores.refusals import (
    MAX_ERROR_BYTES,
    Refusal,
    read_refusal,
    refusal_of,
)
from asyncdicom.protocol.object_stores.urls import check_bucket
from asyncdicom.records import dataclass
from asyncdicom.sources.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from asyncdicom.model import Buffer, Header
    from asyncdicom.ports.http import HttpResponse, HttpTransport
    from asyncdicom.ports.signing import RequestSigner
    from asyncdicom.protocol.content_coding import Decoder
    from asyncdicom.protocol.object_stores.endpoints import Endpoint
    from asyncdicom.protocol.object_stores.values import ByteSpan, ObjectEntry

__all__ = [
    "ListRequest",
    "ObjectFetch",
    "ObjectRequest",
    "ObjectStream",
    "StoreOptions",
    "StoreWay",
]

MAX_TRIES: Final = 3
"""Of one request: as it is, in the right region, and with renewed credentials."""

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
    trusts_etag: bool = True
    """Whether an ETag that looks like the MD5 of an object is one."""


class StoreWay:
    """The way to a store: transport, credentials, patience, and where its buckets are.

    Attributes:
        endpoint: Where buckets are as long as nobody says otherwise.
        signer: Proves who we are, or None.
        patience: How long the store wants to be left alone.
        pacer: Keeps the bandwidth, or None.

    """

    def __init__(
        self,
        transport: HttpTransport,
        endpoint: Endpoint,
        *,
        signer: RequestSigner | None = None,
        bytes_per_s: float | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.signer = signer
        self.patience = Patience()
        self.pacer = None if bytes_per_s is None else Pacer(bytes_per_s)
        self.send = transport.request
        self._places: dict[str, tuple[str, str]] = {}

    def place_of(self, bucket: str) -> tuple[str, str]:
        """Return where a bucket is (its URL), and its region.

        Raises:
            ConfigError: If no bucket is called so. Manifests and reports name buckets, which
                become a part of the host: `host?` would be one of its own.

        """
        place = self._places.get(bucket)
        if place is None:
            check_bucket(bucket)
            endpoint = self.endpoint
            place = self._places[bucket] = (endpoint.url_of(bucket), endpoint.region)
        return place

    def move(self, bucket: str, region: str) -> None:
        """Ask for a bucket in another region from now on."""
        endpoint = self.endpoint.in_region(region)
        self._places[bucket] = (endpoint.url_of(bucket), region)

    async def pace(self, count: int) -> None:
        """Wait until so many bytes more are within the bandwidth."""
        if self.pacer is not None:
            now_s = asyncio.get_running_loop().time()
            await asyncio.sleep(self.pacer.delay_s(count, now_s=now_s))


class ObjectRequest:
    """One request and the answer that says yes; entering waits for its head.

    A class and not a generator: it stands around every request.
    """

    __slots__ = ("_bucket", "_context", "_headers", "_method", "_tail", "way")

    what: ClassVar[str] = "object"
    """What is asked for, in messages."""

    def __init__(
        self,
        way: StoreWay,
        bucket: str,
        tail: str,
        headers: tuple[Header, ...],
        *,
        method: str = "GET",
    ) -> None:
        """Prepare.

        Args:
            way: To the store.
            bucket: Its name.
            tail: Of the URL, behind that of the bucket: `/key` or `?query`.
            headers: Fields, without those that prove who we are.
            method: `GET` or `HEAD`.

        """
        self.way = way
        self._bucket = bucket
        self._tail = tail
        self._headers = headers
        self._method = method
        self._context: AbstractAsyncContextManager[HttpResponse] | None = None

    async def __aenter__(self) -> HttpResponse:
        way, tries = self.way, 0
        while True:
            tries += 1
            if way.patience.resume_at_s:
                await way.patience.until_over()
            base, region = way.place_of(self._bucket)
            request = HttpRequest(base + self._tail, self._method, self._headers)
            if way.signer is not None:
                headers = await way.signer.signed(request, region=region)
                request = replace(request, headers=headers)
            context = self._context = way.send(request)
            response = await context.__aenter__()
            if response.status_code in (200, 206):
                return response
            refusal = await _refused(context, response)
            if not await self._learns(refusal, region, request) or tries == MAX_TRIES:
                raise refusal_of(refusal, what=self.what, is_anonymous=way.signer is None)

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
        way = self.way
        if refusal.is_throttling:
            way.patience.extend(min(refusal.retry_after_s or 0.0, MAX_RETRY_AFTER_S))
            return False
        if refusal.status_code in _ELSEWHERE and refusal.region not in (None, region):
            assert refusal.region is not None, "just compared"
            way.move(self._bucket, refusal.region)
            return True
        if way.signer is not None and (refusal.is_expiry or refusal.status_code == 401):
            return await way.signer.renew(request.headers)
        return False


class ListRequest(ObjectRequest):
    """A request for objects of a bucket."""

    __slots__ = ()

    what: ClassVar[str] = "bucket"


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


class ObjectFetch:
    """The bytes of an object, or of a span of it.

    Args:
        request: For them.
        key: Of the object.
        span: What was asked for, or None for all.
        etag: The version that was asked for, or None for any.
        entry_of: Makes an entry from the key, the size, and the fields of an answer.

    """

    __slots__ = ("_entry_of", "_etag", "_key", "_request", "_span")

    def __init__(
        self,
        request: ObjectRequest,
        key: str,
        span: ByteSpan | None,
        etag: str | None,
        entry_of: Callable[[str, int, dict[str, str]], ObjectEntry],
    ) -> None:
        self._request = request
        self._key = key
        self._span = span
        self._etag = etag
        self._entry_of = entry_of

    async def __aenter__(self) -> ObjectStream:
        response = await self._request.__aenter__()
        try:
            return self._stream(response)
        except BaseException as error:
            await self._request.__aexit__(type(error), error, None)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._request.__aexit__(kind, error, traceback)

    def _stream(self, response: HttpResponse) -> ObjectStream:
        fields = fields_of(response.headers)
        first_byte, size_bytes = place_of(response.status_code, fields, self._span)
        entry = self._entry_of(self._key, size_bytes, fields)
        if self._etag is not None and entry.etag not in (None, self._etag):
            # Some servers do not know If-Match.
            raise ObjectChanged("the object is another version than before", status_code=200)
        return ObjectStream(entry, first_byte, self._reader(response, fields))

    def _reader(
        self, response: HttpResponse, fields: dict[str, str]
    ) -> Callable[[], Coroutine[Any, Any, Buffer]]:
        way = self._request.way
        read = response.read if way.pacer is None else _Paced(response, way).read
        coding = coded_on_the_way(fields)
        decoder = None if coding is None else decoder_for(coding)
        return read if decoder is None else _Inflated(read, decoder).read


class _Paced:
    """Reads no faster than the bandwidth allows."""

    def __init__(self, response: HttpResponse, way: StoreWay) -> None:
        self._response = response
        self._way = way

    async def read(self) -> Buffer:
        data = await self._response.read()
        await self._way.pace(len(data))
        return data


class _Inflated:
    """Takes off what was put on for the way only."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, Buffer]], decoder: Decoder) -> None:
        self._read = read
        self._decoder = decoder
        self._pieces: Iterator[bytes] = iter(())

    async def read(self) -> Buffer:
        while True:
            if piece := next(self._pieces, b""):
                return piece
            data = await self._read()
            if not data:
                self._decoder.end()
                return b""
            self._pieces = self._decoder.decode(data)
