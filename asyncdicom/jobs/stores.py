"""What a get needs: a place for instances, somebody who lists them, somebody who fetches them.

The place is a folder or the memory of a program. Who lists and who fetches speaks
DICOMweb or DIMSE; a get never knows which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.model import Buffer, Outcome, Skipped, Target, Uid
    from asyncdicom.protocol.part10 import InstanceFacts, Part10Walker

__all__ = [
    "Arrival",
    "Batch",
    "Finder",
    "Intaking",
    "PartWriter",
    "Reception",
    "Retriever",
    "Settle",
    "Store",
    "WriterT",
]


class PartWriter(Protocol):
    """Takes the bytes of one instance as they arrive."""

    def write(self, data: Buffer, /) -> object:
        """Take bytes; they are only lent."""

    def write_many(self, buffers: Sequence[Buffer], /) -> object:
        """Take several pieces, in order; they are only lent."""

    def discard(self) -> None:
        """Drop what was taken; harmless when repeated."""


WriterT = TypeVar("WriterT", bound=PartWriter)
MadeT_co = TypeVar("MadeT_co", bound=PartWriter, covariant=True)


class Arrival(NamedTuple, Generic[WriterT]):
    """One instance that is whole, written, and not yet committed."""

    facts: InstanceFacts
    sha256: str
    writer: WriterT
    """Who receives the arrival commits or discards it."""


Settle: TypeAlias = (
    "Callable[[Expectation, Arrival[WriterT], int, Callable[[Outcome], None]], None]"
)


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

    @property
    def settle_nowait(self) -> Settle[WriterT] | None:
        """What does as `settle`, where that would not wait; else None."""


class Intaking(Protocol[MadeT_co]):
    """Begins instances: each has a writer and a walker of its own."""

    def begin(self) -> MadeT_co:
        """Begin an instance that has yet to say what it is."""

    def walker(self) -> Part10Walker:
        """Return a walker that collects what the store wants to know."""

    @property
    def collect(self) -> Mapping[int, str]:
        """Keyword by tag of what the store wants to know."""


class Store(Intaking[WriterT], Protocol[WriterT]):
    """Where instances go."""

    def batch(self, target: Target) -> Batch[WriterT]:
        """Return a context for the instances of the answer to one target."""

    async def withdraw(self, study: Expectation, instance: Uid) -> bool:
        """Take back, and unsettle, what may be another instance under a wrong UID.

        Returns:
            Whether it was recorded as stored.

        """

    async def already_there(self, study: Expectation, target: Target) -> list[Skipped]:
        """Return those instances of a target that need not be fetched."""

    async def takes_on_trust(self) -> bool:
        """Tell whether instances may come before they are listed.

        So it is where nothing is there yet, and what no list will name can be taken back.
        """


class Finder(Protocol):
    """Says what targets hold, before any of it is fetched."""

    async def expectation_of(self, target: Target) -> Expectation:
        """Return what a study, series or instance must hold.

        Raises:
            NotFound: If the archive does not have it, or lists nothing.
            FetchError: If nobody can say what it holds.

        """


class Reception(Protocol[WriterT]):
    """Takes what comes for one target."""

    @property
    def target(self) -> Target:
        """What was asked for."""

    @property
    def study(self) -> Expectation:
        """What its study must hold, and what of it is settled."""

    @property
    def store(self) -> Store[WriterT]:
        """Makes writers and walkers for what arrives."""

    def count_bytes(self, byte_count: int, /) -> None:
        """Take note of bytes as they arrive."""

    async def until_listed(self) -> None:
        """Wait until it is known what is missing, or that nobody will say it."""

    def take_nowait(self, arrival: Arrival[WriterT], /) -> bool:
        """Do as `take` where that would not wait; False if nothing was done.

        Raises:
            ContentError, StorageError: As `take`.

        """

    async def take(self, arrival: Arrival[WriterT], /) -> None:
        """Keep an instance that is whole, or discard what nobody waits for.

        Raises:
            ContentError: If it is not what was asked for.
            StorageError: If it cannot be kept.

        """


class Retriever(Protocol[WriterT]):
    """Fetches targets.

    It hands over and does not yield, because the answer to a C-STORE request is due
    when its instance is settled, and not before.
    """

    async def retrieve(self, reception: Reception[WriterT], /) -> None:
        """Fetch a target and hand over each instance of it as it becomes whole.

        Raises:
            FetchError: If it did not come to its end; what was handed over before counts.
            StorageError: What the reception raises.

        """
