"""Turn what an archive sends into DICOM files: bytes in, verified files out.

    async for arrival in take_in(transaction, store, on_bytes=count):
        ...

Each instance is walked, digested and written as its bytes pass; it becomes an
`Arrival` only when its framing has ended and the walk reached the last byte.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Generic

from asyncdicom.errors import Doubtful, UnexpectedContent
from asyncdicom.jobs.payload import expect_content
from asyncdicom.jobs.stores import Arrival, WriterT
from asyncdicom.protocol.payload import payload_parser
from asyncdicom.protocol.payload_events import NEED_DATA, PartBegan, PartData, PartEnded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from asyncdicom.jobs.stores import Intaking, Reception, Store
    from asyncdicom.model import Buffer
    from asyncdicom.sources.dicomweb import DicomWebSource
    from asyncdicom.sources.transaction import Transaction

__all__ = ["Arrival", "InstanceIntake", "WebRetriever", "take_in"]


class InstanceIntake(Generic[WriterT]):
    """Feeds the bytes of one instance to walker, digest and file."""

    def __init__(self, store: Intaking[WriterT]) -> None:
        """Begin an instance.

        Raises:
            StorageError: If no file can be begun.

        """
        self._walker = store.walker()
        self._hash = hashlib.sha256()
        self._writer: WriterT | None = store.begin()

    def write(self, data: Buffer) -> None:
        """Take bytes; they are only lent.

        Raises:
            ProtocolError: If no continuation could make the instance whole.
            StorageError: If they cannot be kept.

        """
        assert self._writer is not None, "nothing comes behind the end of an instance"
        self._walker.receive_data(data)
        self._hash.update(data)
        self._writer.write(data)

    def end(self) -> Arrival[WriterT]:
        """Confirm that the instance is whole.

        Raises:
            ProtocolError: If it is not; it has to be discarded then.
            ContentError: If it does not say what it is.

        """
        assert self._writer is not None, "an instance ends once"
        facts = self._walker.receive_eof()
        arrival = Arrival(facts, self._hash.hexdigest(), self._writer)
        self._writer = None
        return arrival

    def discard(self) -> None:
        """Drop the instance unless it has ended; harmless when repeated."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None


class _Intake(Generic[WriterT]):
    """Takes the instances out of a payload."""

    def __init__(self, content_type: str | None, store: Store[WriterT]) -> None:
        self._parser = payload_parser(content_type)
        self._store = store
        self._part: InstanceIntake[WriterT] | None = None
        self.parts = 0

    def receive_data(self, data: Buffer) -> Iterator[Arrival[WriterT]]:
        self._parser.receive_data(data)
        return self._arrivals()

    def receive_eof(self) -> Iterator[Arrival[WriterT]]:
        self._parser.receive_eof()
        return self._arrivals()

    def discard(self) -> None:
        """Drop the part under way."""
        if self._part is not None:
            self._part.discard()

    def _arrivals(self) -> Iterator[Arrival[WriterT]]:
        while (event := self._parser.next_event()) is not NEED_DATA:
            match event:
                case PartData(data):
                    assert self._part is not None, "data comes after the beginning of its part"
                    self._part.write(data)
                case PartBegan():
                    self._part = InstanceIntake(self._store)
                case PartEnded():
                    assert self._part is not None, "a part ends after it began"
                    self.parts += 1
                    yield self._part.end()


async def take_in(
    transaction: Transaction, store: Store[WriterT], *, on_bytes: Callable[[int], None]
) -> AsyncIterator[Arrival[WriterT]]:
    """Yield the instances of an answer as they become whole.

    Args:
        transaction: An answer whose status was judged.
        store: Makes the files.
        on_bytes: Called with the size of each piece received.

    Raises:
        TransportError: If bytes stop flowing. What was yielded before is whole.
        ProtocolError: If framing or DICOM structure are broken or cut.
        UnexpectedContent: If the answer is of another media type, or empty.
        Doubtful: If an instance came alone, may be cut, and the framing would not show it.

    """
    content_type = transaction.content_type
    expect_content(transaction.target.resource, content_type)
    intake = _Intake(content_type, store)
    try:
        while data := await transaction.read():
            on_bytes(len(data))
            for arrival in intake.receive_data(data):
                yield arrival
        for arrival in intake.receive_eof():
            if arrival.facts.doubts and not transaction.shows_its_end:
                # A second answer like it proves nothing: both may be cut at the same place.
                arrival.writer.discard()
                raise Doubtful("; ".join(arrival.facts.doubts))
            yield arrival
        if intake.parts == 0:
            raise UnexpectedContent("the answer holds no instance")
    finally:
        intake.discard()


class WebRetriever(Generic[WriterT]):
    """Fetches targets with WADO-RS (PS3.18 §10.4)."""

    def __init__(self, source: DicomWebSource) -> None:
        self._source = source

    async def retrieve(self, reception: Reception[WriterT]) -> None:
        """Hand over the instances of one answer as they become whole.

        Raises:
            FetchError: If the status says no, or the answer did not come to its end.
            StorageError: What the reception raises.

        """
        async with self._source.transact(reception.target) as transaction:
            transaction.judge()
            async for arrival in take_in(
                transaction, reception.store, on_bytes=reception.count_bytes
            ):
                await reception.take(arrival)
