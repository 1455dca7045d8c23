"""Google Cloud Storage by its JSON interface, which bearer tokens and emulators speak.

    endpoint = Endpoint.parse(f"{GOOGLE}{JSON_PATH}", style=AddressingStyle.PATH)
    store = GcsStore(StoreWay(transport, endpoint, signer=signer))

The version of an object is its *generation*: it is what an entry has as `etag`, and what
a later request for the same version names (`ifGenerationMatch`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from asyncdicom.errors import LimitExceeded, UnexpectedContent
from asyncdicom.protocol.object_stores.digests import digests_of_fields
from asyncdicom.protocol.object_stores.gcs_listing import (
    GcsListingParser,
    gcs_entry,
    parse_resource,
)
from asyncdicom.protocol.object_stores.heads import byte_range_of, entry_of_head
from asyncdicom.protocol.object_stores.urls import query_of
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

__all__ = ["JSON_PATH", "GcsStore"]

JSON_PATH: Final = "/storage/v1/b"
"""Where the buckets are below an endpoint."""

MAX_RESOURCE_BYTES: Final = 256 * 1024
"""Of what is said of one object; we ask for a few hundred bytes of it."""

_OF_AN_OBJECT: Final = "name,size,generation,updated,md5Hash,crc32c"
_LISTS: Final = ListDialect(
    path="/o",
    asked={
        "maxResults": str(KEYS_PER_PAGE),
        "fields": f"kind,nextPageToken,prefixes,items({_OF_AN_OBJECT})",
    },
    continuation="pageToken",
    parser=GcsListingParser,
)


class GcsStore(PagedStore):
    """Buckets of Google Cloud Storage."""

    def __init__(self, way: StoreWay, options: StoreOptions | None = None) -> None:
        """Prepare.

        Args:
            way: To the store; its endpoint ends with `JSON_PATH`, and the bucket is in the path.
            options: How it is asked.

        """
        options = options or StoreOptions(scheme="gs")
        further = options.further_headers
        super().__init__(way, options.scheme, _LISTS, (("accept-encoding", "identity"), *further))
        # Without it, what is stored compressed would come inflated.
        self._headers: tuple[Header, ...] = (("accept-encoding", "gzip"), *further)

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Return what the store says of one object.

        Raises:
            NotFound: If there is no such object.
            FetchError: As `page`.

        """
        tail = f"{_tail_of(key)}?{query_of({'fields': _OF_AN_OBJECT})}"
        data = bytearray()
        async with ObjectRequest(self._way, bucket, tail, self._list_headers) as response:
            while piece := await response.read():
                data += piece
                if len(data) > MAX_RESOURCE_BYTES:
                    raise LimitExceeded(f"metadata of more than {MAX_RESOURCE_BYTES} bytes")
        entry = gcs_entry(parse_resource(data, what="metadata"))
        if entry.key != key:
            raise UnexpectedContent("the metadata are of another object")
        return entry

    def fetch(
        self, bucket: str, key: str, *, span: ByteSpan | None = None, etag: str | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Ask for an object or a span of it, as `ports.objects.ObjectStore` has it.

        Raises (on entering):
            NotFound: If there is no such object.
            ObjectChanged: If it is another generation than `etag`.
            FetchError: If no answer came, or its status says no.

        """
        headers = self._headers
        if span is not None:
            headers = (*headers, ("range", byte_range_of(span)))
        tail = f"{_tail_of(key)}?alt=media"
        if etag is not None:
            tail += f"&{query_of({'ifGenerationMatch': etag})}"
        request = ObjectRequest(self._way, bucket, tail, headers)
        return ObjectFetch(request, key, span, etag, _entry_of)


def _tail_of(key: str) -> str:
    # Here a slash is a letter of the name, so that nothing looks like a path.
    if key in (".", ".."):
        raise UnexpectedContent(f"an object named {key!r} cannot be asked for by HTTP")
    try:
        return f"/o/{quote(key, safe='-._~')}"
    except UnicodeEncodeError as error:
        raise UnexpectedContent("the name of an object is no text") from error


def _entry_of(key: str, size_bytes: int, fields: dict[str, str]) -> ObjectEntry:
    # The ETag of this interface is no digest, whatever it looks like.
    digests = digests_of_fields(fields, is_whole=True, trusts_etag=False)
    entry = entry_of_head(key, size_bytes, fields, digests)
    return replace(entry, etag=fields.get("x-goog-generation"))
