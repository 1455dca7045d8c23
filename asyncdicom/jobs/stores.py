"""What a get needs of a place for instances: a folder, or the memory of a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.model import Buffer, Outcome, Skipped, Target, Uid
    from asyncdicom.protocol.part10 import Part10Walker

__all__ = ["Batch", "PartWriter", "Store", "WriterT"]


class PartWriter(Protocol):
    """Takes the bytes of one instance as they arrive."""

    def write(self, data: Buffer, /) -> object:
        """Take bytes; they are only lent."""

    def discard(self) -> None:
        """Drop what was taken; harmless when repeated."""


WriterT = TypeVar("WriterT", bound=PartWriter)


class Batch(Protocol[WriterT]):
    """The instances of one answer; when the block has ended, all of them are settled."""

    async def __aenter__(self) -> Self:
        """Begin."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        """Wait for what is under way."""

    async def settle(
        self,
        study: Expectation,
        arrival: Arrival[WriterT],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        """Keep an instance that is whole, and settle and record it once it is safe.

        Raises:
            StorageError: If it cannot be kept.

        """


class Store(Protocol[WriterT]):
    """Where instances go."""

    def begin(self) -> WriterT:
        """Begin an instance that has yet to say what it is."""

    def walker(self) -> Part10Walker:
        """Return a walker that collects what the store wants to know."""

    def batch(self, target: Target) -> Batch[WriterT]:
        """Return a context for the instances of the answer to one target."""

    async def withdraw(self, study: Expectation, instance: Uid) -> bool:
        """Take back, and unsettle, what may be another instance under a wrong UID.

        Returns:
            Whether it was recorded as stored.

        """

    async def already_there(self, study: Expectation, target: Target) -> list[Skipped]:
        """Return those instances of a target that need not be fetched."""
