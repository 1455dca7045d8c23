"""First pages of lists, asked for before it is known what becomes of them.

    async with ListedAhead(store) as ahead:
        ahead.begin([("bucket", "series/"), ...], at_once=8)
        ...                                     # something slow
        page = await ahead.page("bucket", "series/")    # here already, or on its way

While the index of the Imaging Data Commons is read, a core and the network wait: a manifest
says already what will be listed.

Rule: what failed ahead of time is asked for again when it is needed, by whoever retries.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.ports.objects import (
        ByteSpan,
        ListingPage,
        ObjectAnswer,
        ObjectEntry,
        ObjectStore,
    )

__all__ = ["ListedAhead"]

MAX_PAGES = 128
"""Pages that are held until somebody wants them: some 40 MB if all of them are full."""


class ListedAhead:
    """An object store, some of whose first pages are here already."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._pages: dict[tuple[str, str], asyncio.Task[ListingPage]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for page in self._pages.values():
            page.cancel()
        await asyncio.gather(*self._pages.values(), return_exceptions=True)

    @property
    def scheme(self) -> str:
        """How objects are named in reports."""
        return self._store.scheme

    def begin(self, places: Iterable[tuple[str, str]], *, at_once: int) -> None:
        """Ask for the first pages of some lists.

        Args:
            places: Bucket and prefix; those behind the first `MAX_PAGES` are left out.
            at_once: Requests under way at the same time.

        """
        room = asyncio.Semaphore(at_once)
        for place in islice(places, MAX_PAGES):
            if place not in self._pages:
                self._pages[place] = asyncio.create_task(self._list(place, room))

    async def page(
        self, bucket: str, prefix: str, *, delimiter: str = "", continuation: str | None = None
    ) -> ListingPage:
        """List, as `ObjectStore.page`; a first page may be here already."""
        if not delimiter and continuation is None:
            listed = self._pages.pop((bucket, prefix), None)
            if listed is not None:
                with contextlib.suppress(FetchError):
                    return await listed
        return await self._store.page(
            bucket, prefix, delimiter=delimiter, continuation=continuation
        )

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Ask for one object, as `ObjectStore.entry`."""
        return await self._store.entry(bucket, key)

    def fetch(
        self, bucket: str, key: str, *, span: ByteSpan | None = None, etag: str | None = None
    ) -> AbstractAsyncContextManager[ObjectAnswer]:
        """Fetch an object, as `ObjectStore.fetch`."""
        return self._store.fetch(bucket, key, span=span, etag=etag)

    async def _list(self, place: tuple[str, str], room: asyncio.Semaphore) -> ListingPage:
        async with room:
            return await self._store.page(*place)
