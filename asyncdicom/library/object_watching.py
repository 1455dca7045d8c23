"""Follow what an object store sends while it arrives: to report it, or to hold it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from asyncdicom.library.watching import Watcher
    from asyncdicom.model import Buffer
    from asyncdicom.ports.objects import (
        ByteSpan,
        ListingPage,
        ObjectAnswer,
        ObjectEntry,
        ObjectStore,
    )

__all__ = ["WatchedObjects"]


class WatchedObjects:
    """The same store, with the objects that it sends under watch."""

    def __init__(self, store: ObjectStore, watcher: Watcher) -> None:
        self._store = store
        self._watcher = watcher

    @property
    def scheme(self) -> str:
        """`s3` or `gs`."""
        return self._store.scheme

    async def page(
        self,
        bucket: str,
        prefix: str,
        *,
        delimiter: str = "",
        continuation: str | None = None,
    ) -> ListingPage:
        """List objects."""
        return await self._store.page(
            bucket, prefix, delimiter=delimiter, continuation=continuation
        )

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Return what the store says of one object."""
        return await self._store.entry(bucket, key)

    def fetch(
        self, bucket: str, key: str, *, span: ByteSpan | None = None, etag: str | None = None
    ) -> AbstractAsyncContextManager[ObjectAnswer]:
        """Ask for an object or a span of it."""
        asked = self._store.fetch(bucket, key, span=span, etag=etag)
        return _WatchedAnswer(asked, f"{self.scheme}://{bucket}/{key}", span, self._watcher)


class _WatchedAnswer:
    """Implements `ports.objects.ObjectAnswer` and `watching.Answering`."""

    is_wanted = True

    def __init__(
        self,
        asked: AbstractAsyncContextManager[ObjectAnswer],
        url: str,
        span: ByteSpan | None,
        watcher: Watcher,
    ) -> None:
        self.url = url
        self.byte_count = 0
        self.total_bytes: int | None = None
        self._asked = asked
        self._span = span
        self._watcher = watcher
        self._answer: ObjectAnswer | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._watcher.until_room(self)
            self._answer = await self._asked.__aenter__()
        except BaseException:
            self._watcher.left(self)
            raise
        self.total_bytes = self._expected_bytes(self._answer)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            return await self._asked.__aexit__(kind, error, traceback)
        finally:
            self._watcher.left(self)

    @property
    def entry(self) -> ObjectEntry:
        """What the head says of the whole object."""
        return self._entered.entry

    @property
    def first_byte(self) -> int:
        """Offset in the object of the first byte that will be read."""
        return self._entered.first_byte

    async def read(self) -> Buffer:
        """Return the next bytes, when there is room for them."""
        await self._watcher.until_room(self)
        data = await self._entered.read()
        self.byte_count += len(data)
        self._watcher.received(self, len(data))
        return data

    @property
    def _entered(self) -> ObjectAnswer:
        assert self._answer is not None, "an answer is entered before it is read"
        return self._answer

    def _expected_bytes(self, answer: ObjectAnswer) -> int:
        end = answer.entry.byte_count
        if self._span is not None and answer.first_byte == self._span.first:
            last = self._span.last
            end = end if last is None else min(end, last + 1)
        return end - answer.first_byte
