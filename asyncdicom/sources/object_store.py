"""An object store by the XML interface of S3, which most of them have.

    store = S3Store(StoreWay(transport, Endpoint.of_aws("us-east-1")))
    page = await store.page("idc-open-data", "uuid/")
    async with store.fetch("idc-open-data", page.entries[0].key) as answer:
        while data := await answer.read():
            ...

Strategy: what is the same for all requests is made once; bodies and lists travel over the shared
transports, which costs a tenth of what Amazon's library needs for a request.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import OriginError, ProtocolError
from asyncdicom.protocol.http_fields import content_length
from asyncdicom.protocol.object_stores.digests import digests_of_fields, has_plain_etag
from asyncdicom.protocol.object_stores.heads import (
    byte_range_of,
    entry_of_head,
    fields_of,
    place_of,
)
from asyncdicom.protocol.object_stores.s3_listing import S3ListingParser
from asyncdicom.protocol.object_stores.urls import escape_key
from asyncdicom.sources.object_pages import KEYS_PER_PAGE, ListDialect, PagedStore
from asyncdicom.sources.object_requests import (
    ObjectFetch,
    ObjectRequest,
    StoreOptions,
    StoreWay,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.model import Header
    from asyncdicom.protocol.object_stores.values import ByteSpan, ObjectEntry
    from asyncdicom.sources.object_requests import ObjectStream

__all__ = ["S3Store"]

_OF_SEVERAL_PARTS: Final = re.compile(r"[0-9A-Fa-f]{32}-(?!1$|0)[0-9]{1,5}")

_CHECKSUMS: Final[Header] = ("x-amz-checksum-mode", "ENABLED")


_LISTS: Final = ListDialect(
    path="",
    asked={"list-type": "2", "max-keys": str(KEYS_PER_PAGE), "encoding-type": "url"},
    continuation="continuation-token",
    parser=S3ListingParser,
)


class S3Store(PagedStore):
    """Buckets behind one endpoint, through the XML interface of S3."""

    def __init__(self, way: StoreWay, options: StoreOptions | None = None) -> None:
        """Prepare.

        Args:
            way: To the store.
            options: How it is asked.

        """
        self._options = options or StoreOptions()
        # Google inflates what is stored compressed, unless we say that we could ourselves; with
        # others it is a proxy on the way that would compress.
        is_google = way.endpoint.is_google
        pays = (("x-amz-request-payer", "requester"),) if self._options.pays else ()
        headers = (
            ("accept-encoding", "gzip" if is_google else "identity"),
            *pays,
            *self._options.further_headers,
        )
        super().__init__(way, self._options.scheme, _LISTS, headers)
        self._headers: tuple[Header, ...] = headers
        self._whole_headers = headers if is_google else (*headers, _CHECKSUMS)

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Return what the store says of one object (HEAD).

        Of an object that was uploaded in parts, their size is asked for as well: it makes a
        digest of the ETag, where that is trusted.

        Raises:
            NotFound: If there is no such object.
            FetchError: As `page`.

        """
        path = f"/{escape_key(key)}"
        try:
            entry = await self._head(bucket, path, key)
        except OriginError as error:
            if error.status_code not in (301, 307, 400):
                raise
            # An answer to HEAD has no body that could say in which region the bucket is; one
            # to GET has, and the region is known from then on.
            async with self.fetch(bucket, key) as stream:
                entry = stream.entry
        if not self._options.trusts_etag or _OF_SEVERAL_PARTS.fullmatch(entry.etag or "") is None:
            return entry
        return replace(entry, part_bytes=await self._part_bytes(bucket, path, entry))

    async def _head(self, bucket: str, path: str, key: str) -> ObjectEntry:
        headers = self._whole_headers
        async with ObjectRequest(self._way, bucket, path, headers, method="HEAD") as response:
            fields = fields_of(response.headers)
            _, size_bytes = place_of(response.status_code, fields, None)
            return self._entry_of(key, size_bytes, fields)

    async def _part_bytes(self, bucket: str, path: str, entry: ObjectEntry) -> int | None:
        """Return the size that all parts of an object have but the last, if the store knows it."""
        first_bytes = await self._size_of_part(bucket, path, entry, 1)
        count = int((entry.etag or "").rpartition("-")[2])
        if first_bytes is None or count == 2:
            return first_bytes
        # Parts may be of different sizes; then nobody could say which bytes make the ETag.
        last_bytes = await self._size_of_part(bucket, path, entry, count)
        if last_bytes is None or first_bytes * (count - 1) + last_bytes != entry.byte_count:
            return None
        return first_bytes

    async def _size_of_part(
        self, bucket: str, path: str, entry: ObjectEntry, number: int
    ) -> int | None:
        """Return the size of a part; None where nobody says, or the ETag is no digest."""
        tail = f"{path}?partNumber={number}"
        headers = (*self._headers, ("if-match", f'"{entry.etag}"'))
        try:
            async with ObjectRequest(self._way, bucket, tail, headers, method="HEAD") as response:
                fields = fields_of(response.headers)
                if fields.get("x-amz-mp-parts-count", "1") == "1" or not has_plain_etag(fields):
                    return None
                return content_length((fields.get("content-length", ""),))
        except (OriginError, ProtocolError):
            return None  # Others say no, or send all of it.

    def fetch(
        self, bucket: str, key: str, *, span: ByteSpan | None = None, etag: str | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Ask for an object or a span of it, as `ports.objects.ObjectStore` has it.

        Raises (on entering):
            NotFound: If there is no such object.
            ObjectChanged: If it is another version than `etag` (If-Match).
            FetchError: If no answer came, or its status says no.

        """
        headers = self._whole_headers
        if span is not None:
            headers = (*self._headers, ("range", byte_range_of(span)))
        if etag is not None:
            headers = (*headers, ("if-match", f'"{etag}"'))
        request = ObjectRequest(self._way, bucket, f"/{escape_key(key)}", headers)
        return ObjectFetch(request, key, span, etag, self._entry_of)

    def _entry_of(self, key: str, size_bytes: int, fields: dict[str, str]) -> ObjectEntry:
        digests = digests_of_fields(
            fields,
            is_whole="content-range" not in fields,
            trusts_etag=self._options.trusts_etag,
        )
        return entry_of_head(key, size_bytes, fields, digests)
