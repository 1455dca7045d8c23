"""Follow what a source sends while it arrives: to report it, or to hold it back.

archive = watched_archive(archive, watcher)     # the same place, for one job
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from asyncdicom.jobs.web_archive import WebArchive
from asyncdicom.sources.transaction import Transaction

if TYPE_CHECKING:
    from types import TracebackType

    from asyncdicom.jobs.archives import Archive
    from asyncdicom.jobs.cod_archive import CodArchive
    from asyncdicom.jobs.dimse_archive import DimseArchive
    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.jobs.stores import Reception, Retriever, Store
    from asyncdicom.model import Buffer, Target
    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["Answering", "Watcher", "watched", "watched_archive"]


class Answering(Protocol):
    """An answer while it arrives: of an HTTP request, or of a C-GET or C-MOVE."""

    @property
    def url(self) -> str:
        """What was asked for."""

    @property
    def is_wanted(self) -> bool:
        """Whether it is what was asked for, and not a refusal."""

    @property
    def byte_count(self) -> int:
        """Bytes received so far, as they travelled."""

    @property
    def total_bytes(self) -> int | None:
        """Bytes of all of it, or None if nobody said."""


class Watcher(Protocol):
    """Whoever follows answers; called on the event loop."""

    async def until_room(self, answer: Answering) -> None:
        """Hold a request, or the next piece of its answer, back until it may go on."""

    def received(self, answer: Answering, byte_count: int) -> None:
        """Take note of bytes, as sent; 0 of them are the end of a whole answer."""

    def left(self, answer: Answering) -> None:
        """Take note that nothing more will be read, whether or not the answer was whole."""


def watched_archive(archive: Archive, watcher: Watcher) -> Archive:
    """Return the same archive, with what it sends under watch."""
    if isinstance(archive, WebArchive):
        # Look-ups are no answers to what the caller asked for.
        return WebArchive(archive.source, retrieving=watched(archive.source, watcher))
    # Imported here: who speaks HTTP does not pay for it.
    from asyncdicom.jobs.cod_archive import CodArchive  # noqa: PLC0415 -- lazy on purpose

    if isinstance(archive, CodArchive):
        return _watched_store(archive, watcher)
    return archive.wrapping(lambda retriever: _WatchedRetriever(retriever, archive, watcher))


def _watched_store(archive: CodArchive, watcher: Watcher) -> CodArchive:
    from asyncdicom.jobs.cod_archive import CodArchive  # noqa: PLC0415 -- as above
    from asyncdicom.library.object_watching import WatchedObjects  # noqa: PLC0415 -- as above

    source = archive.source
    retrieving = source.over(lambda store: WatchedObjects(store, watcher))
    return CodArchive(source, retrieving=retrieving)


def watched(source: DicomWebSource, watcher: Watcher) -> DicomWebSource:
    """Return the same service, with its answers under watch."""

    def make(*args: Any, **settings: Any) -> Transaction:
        transaction = _WatchedTransaction(*args, **settings)
        transaction.watcher = watcher
        return transaction

    return source.making(make)


class _WatchedTransaction(Transaction):
    watcher: Watcher

    @property
    def url(self) -> str:
        return self.request.url

    @property
    def is_wanted(self) -> bool:
        return self.response.status_code == 200

    @property
    def byte_count(self) -> int:
        return self.bytes_downloaded

    @property
    def total_bytes(self) -> int | None:
        length = self.response.header("content-length") or ""
        return int(length) if length.isdecimal() else None

    async def __aenter__(self) -> Self:
        try:
            await self.watcher.until_room(self)
            return await super().__aenter__()
        except BaseException:
            self.watcher.left(self)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            return await super().__aexit__(kind, error, traceback)
        finally:
            self.watcher.left(self)

    async def read(self) -> Buffer:
        await self.watcher.until_room(self)
        bytes_before = self.bytes_downloaded
        data = await super().read()
        # A content-coding may give several pieces for one chunk: told is what travelled.
        if (byte_count := self.bytes_downloaded - bytes_before) or not data:
            self.watcher.received(self, byte_count)
        return data


class _WatchedRetriever:
    """Watches a C-GET or C-MOVE: the next C-STORE is answered when there is room again."""

    def __init__(self, retriever: Retriever[Any], archive: DimseArchive, watcher: Watcher) -> None:
        self._retriever = retriever
        self._archive = archive
        self._watcher = watcher

    async def retrieve(self, reception: Reception[Any]) -> None:
        answer = _WatchedReception(reception, self._archive.url_of(reception.target), self._watcher)
        try:
            await self._watcher.until_room(answer)
            await self._retriever.retrieve(answer)
            self._watcher.received(answer, 0)
        finally:
            self._watcher.left(answer)


class _WatchedReception:
    is_wanted = True
    total_bytes = None

    def __init__(self, reception: Reception[Any], url: str, watcher: Watcher) -> None:
        self.url = url
        self.byte_count = 0
        self._reception = reception
        self._watcher = watcher

    @property
    def target(self) -> Target:
        return self._reception.target

    @property
    def study(self) -> Expectation:
        return self._reception.study

    @property
    def store(self) -> Store[Any]:
        return self._reception.store

    def count_bytes(self, byte_count: int, /) -> None:
        self.byte_count += byte_count
        self._reception.count_bytes(byte_count)
        self._watcher.received(self, byte_count)

    async def until_listed(self) -> None:
        await self._reception.until_listed()

    def take_nowait(self, arrival: Arrival[Any], /) -> bool:  # noqa: ARG002 -- Reception
        """Let each be waited for: there may be no room for another one."""
        return False

    async def take(self, arrival: Arrival[Any], /) -> None:
        await self._reception.take(arrival)
        await self._watcher.until_room(self)
