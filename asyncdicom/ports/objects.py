"""An object store as a job sees it: lists of objects, and their bytes.

S3 (and what speaks its API) and Google Cloud Storage implement `ObjectStore`
(`sources/object_store.py`); nothing above knows which one it has:

    page = await store.page("bucket", "prefix/")
    async with store.fetch("bucket", page.entries[0].key) as answer:
        while data := await answer.read():
            ...

Rule: `fetch` yields an answer only if its status says yes; it retries nothing,
and what it promises (size, digests) is compared by whoever reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asyncdicom.protocol.object_stores.values import (
    ByteSpan,
    ListingPage,
    ObjectDigest,
    ObjectEntry,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.model import Buffer

__all__ = ["ByteSpan", "ListingPage", "ObjectAnswer", "ObjectDigest", "ObjectEntry", "ObjectStore"]


class ObjectAnswer(Protocol):
    """An object, or a span of it, whose head has arrived."""

    @property
    def entry(self) -> ObjectEntry:
        """What the head says of the whole object; its size is that of the object."""

    @property
    def first_byte(self) -> int:
        """Offset in the object of the first byte that will be read.

        0 if a span was asked for and the server sends the whole object nevertheless.
        """

    async def read(self) -> Buffer:
        """Return the next bytes as stored, or `b""` at the end.

        Raises:
            TransportError: If bytes stop flowing or the framing was not met.

        """


class ObjectStore(Protocol):
    """Buckets behind one endpoint."""

    @property
    def scheme(self) -> str:
        """`s3` or `gs`: how objects are named in reports."""

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

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Return what the store says of one object (HEAD).

        Raises:
            NotFound: If there is no such object.
            FetchError: As `page`.

        """

    def fetch(
        self, bucket: str, key: str, *, span: ByteSpan | None = None, etag: str | None = None
    ) -> AbstractAsyncContextManager[ObjectAnswer]:
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
