"""Follow the answers of a source while they arrive: to report them, or to hold them back.

source = watched(source, watcher)     # the same service, for one job
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

from asyncdicom.sources.transaction import Transaction

if TYPE_CHECKING:
    from types import TracebackType

    from asyncdicom.model import Buffer
    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["Watcher", "watched"]


class Watcher(Protocol):
    """Whoever follows answers; called on the event loop."""

    async def until_room(self, transaction: Transaction) -> None:
        """Hold a request, or the next read of its answer, back until it may go on."""

    def received(self, transaction: Transaction, byte_count: int) -> None:
        """Take note of body bytes, as sent; 0 of them are the end of a whole answer."""

    def left(self, transaction: Transaction) -> None:
        """Take note that nothing more will be read, whether or not the answer was whole."""


def watched(source: DicomWebSource, watcher: Watcher) -> DicomWebSource:
    """Return the same service, with its answers under watch."""

    def make(*args: Any, **settings: Any) -> Transaction:
        transaction = _WatchedTransaction(*args, **settings)
        transaction.watcher = watcher
        return transaction

    return source.making(make)


class _WatchedTransaction(Transaction):
    watcher: Watcher

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
