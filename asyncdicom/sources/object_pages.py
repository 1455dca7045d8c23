"""The lists of a bucket, page by page: what the interfaces of S3 and of Google do alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.object_stores.urls import query_of
from asyncdicom.records import dataclass
from asyncdicom.sources.object_requests import ListRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.model import Buffer, Header
    from asyncdicom.protocol.object_stores.values import ListingPage
    from asyncdicom.sources.object_requests import StoreWay

__all__ = ["KEYS_PER_PAGE", "ListDialect", "PagedStore", "check_page"]

KEYS_PER_PAGE: Final = 1000
"""The most that S3 gives."""


class PageParser(Protocol):
    """Reads a page as its bytes come."""

    def receive_data(self, data: Buffer) -> None:
        """Take bytes."""

    def receive_eof(self) -> ListingPage:
        """Return the page."""


@dataclass(frozen=True, slots=True)
class ListDialect:
    """How an interface is asked for a page."""

    path: str
    """Of a list, behind that of the bucket."""
    asked: Mapping[str, str]
    """Of the query, always."""
    continuation: str
    """Name in the query of what the next page is asked for with."""
    parser: Callable[[], PageParser]


class PagedStore:
    """A store whose buckets are listed; the rest of `ports.objects.ObjectStore` is its own.

    Args:
        way: To the store.
        scheme: How its objects are named in reports.
        dialect: How it is asked for a page.
        headers: Of a request for a page.

    """

    def __init__(
        self, way: StoreWay, scheme: str, dialect: ListDialect, headers: tuple[Header, ...]
    ) -> None:
        self._way = way
        self._scheme = scheme
        self._dialect = dialect
        self._list_headers = headers

    @property
    def scheme(self) -> str:
        """`s3` or `gs`: how objects are named in reports."""
        return self._scheme

    async def page(
        self,
        bucket: str,
        prefix: str,
        *,
        delimiter: str = "",
        continuation: str | None = None,
    ) -> ListingPage:
        """List objects, as `ObjectStore.page`; raises as it."""
        asked = dict(self._dialect.asked)
        if prefix:
            asked["prefix"] = prefix
        if delimiter:
            asked["delimiter"] = delimiter
        if continuation is not None:
            asked[self._dialect.continuation] = continuation
        parser = self._dialect.parser()
        tail = f"{self._dialect.path}?{query_of(asked)}"
        async with ListRequest(self._way, bucket, tail, self._list_headers) as response:
            while data := await response.read():
                parser.receive_data(data)
                await self._way.pace(len(data))
            page = parser.receive_eof()
        check_page(page, prefix, continuation)
        return page


def check_page(page: ListingPage, prefix: str, continuation: str | None) -> None:
    """Refuse a page that is none of the list asked for.

    Raises:
        ProtocolError: If it leads to itself, or has other objects than asked for.

    """
    if page.continuation is not None and page.continuation == continuation:
        raise ProtocolError("a page of the list leads to itself")
    if not all(entry.key.startswith(prefix) for entry in page.entries):
        raise ProtocolError("the list has other objects than asked for")
