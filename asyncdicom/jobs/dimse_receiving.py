"""What an archive stores with us while it performs a C-GET or C-MOVE (PS3.4 §B.2.3, §C.4).

Rule: a C-STORE request is answered with 0000 when its instance is whole, verified and
taken by the store. What a group commit finds out after that is an outcome of ours: the
archive keeps its copy, and nobody deletes on this answer.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Generic, Protocol

from asyncdicom.errors import AsyncDicomError, DiskFull, StorageError, UidMismatch
from asyncdicom.jobs.data_set_intake import DataSetIntake, IntakeTerms
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Uid
from asyncdicom.protocol.dimse.statuses import Status
from asyncdicom.protocol.part10_shapes import DataSetReader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncdicom.jobs.get_plan import Missing
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.jobs.stores import Reception
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StoreRequest, SubOperations

__all__ = ["ReceivingStorage", "Refusal", "last_response"]

CANCEL_S = 1.5
"""Time that an archive has to end an operation in order; with the grace before it, an exit
stays below 5 s."""


class ReceivingStorage(Generic[WriterT]):
    """Takes what an archive stores for one target (`ports.dimse.StorageHandler`).

    Attributes:
        errors: Why instances were refused, in order.
        taken: Instances that the store has taken.
        byte_count: Bytes that came, of data sets.
        is_over: Set when nobody waits for more.

    """

    def __init__(self, reception: Reception[WriterT]) -> None:
        self.errors: list[AsyncDicomError] = []
        self.taken: set[Uid] = set()
        self.byte_count = 0
        self.is_over = False
        self._reception = reception
        self._terms = IntakeTerms(DataSetReader(reception.store.collect))
        self._prepared: WriterT | None = None
        self._is_closed = False

    def begin(self, request: StoreRequest) -> _Sink[WriterT] | Refusal:
        """Begin an instance, or refuse it: when the disk is full, or its UID is none."""
        if self.errors and self.disk_is_full:
            return Refusal(Status.OUT_OF_RESOURCES)
        try:
            intake = DataSetIntake(request, self._terms, self._begin_file)
        except AsyncDicomError as error:
            self.errors.append(error)
            return Refusal(_status_of(error))
        return _Sink(self, self._reception, intake)

    def prepare(self) -> None:
        """Begin the next file before it is needed, while the archive looks for its instance."""
        if self._prepared is None and not self._is_closed:
            # What is wrong, whoever needs it will be told.
            with suppress(AsyncDicomError):
                self._prepared = self._reception.store.begin()

    def close(self) -> None:
        """Take back what was prepared; instances that still come are taken all the same."""
        self._is_closed = True
        if self._prepared is not None:
            self._prepared.discard()
            self._prepared = None

    def _begin_file(self) -> WriterT:
        prepared, self._prepared = self._prepared, None
        return self._reception.store.begin() if prepared is None else prepared

    @property
    def missing(self) -> list[Missing]:
        """What of the target has neither arrived nor been there before."""
        reception = self._reception
        # Commits of what was taken may still be under way.
        missing = reception.study.missing(reception.target)
        return [pair for pair in missing if pair[1] not in self.taken]

    def expects(self, sop_instance_uid: str) -> bool:
        """Tell whether an instance is of the target and has not arrived."""
        study, target = self._reception.study, self._reception.target
        series = study.series_of(Uid(sop_instance_uid))
        if series is None or sop_instance_uid in study.settled:
            return False
        if target.sop_instance_uid is not None:
            return sop_instance_uid == target.sop_instance_uid
        return target.series_instance_uid in (None, series)

    @property
    def disk_is_full(self) -> bool:
        """Whether nothing more can be kept."""
        return any(isinstance(error, DiskFull) for error in self.errors)

    def raise_first(self) -> None:
        """Raise why an instance was refused, if one was; what this machine lacks comes first."""
        ours = [error for error in self.errors if isinstance(error, StorageError)]
        for error in (*ours, *self.errors):
            raise error


class Refusal:
    """Swallows a data set, and answers that it was not kept."""

    def __init__(self, status: int) -> None:
        self._status = status

    def write(self, *fragments: Buffer) -> None:
        """Do nothing."""

    async def end(self) -> int:
        """Return the status of the refusal."""
        return self._status

    def end_nowait(self) -> int:
        """Return the status of the refusal."""
        return self._status

    def discard(self) -> None:
        """Do nothing."""


class _Sink(Generic[WriterT]):
    """Takes one data set."""

    def __init__(
        self,
        storage: ReceivingStorage[WriterT],
        reception: Reception[WriterT],
        intake: DataSetIntake[WriterT],
    ) -> None:
        self._storage = storage
        self._reception = reception
        self._intake = intake
        self._arrival: Arrival[WriterT] | None = None
        self._error: AsyncDicomError | None = None

    def write(self, *fragments: Buffer) -> None:
        """Take bytes; after an error they are counted and swallowed."""
        byte_count = sum(map(len, fragments))
        self._storage.byte_count += byte_count
        self._reception.count_bytes(byte_count)
        if self._error is None:
            try:
                self._intake.write(*fragments)
            except AsyncDicomError as error:
                self._refuse(error)

    async def end(self) -> int:
        """Hand the instance over, and return what became of it."""
        if self._arrival is None and (status := self.end_nowait()) is not None:
            return status
        arrival, self._arrival = self._arrival, None
        assert arrival is not None, "what has to be waited for has arrived"
        try:
            await self._reception.take(arrival)
        except AsyncDicomError as error:
            self._refuse(error)
        else:
            self._storage.taken.add(arrival.facts.sop_instance_uid)
        return self._status()

    def end_nowait(self) -> int | None:
        """Hand the instance over, unless that has to be waited for."""
        if self._error is None:
            try:
                if not self._is_taken():
                    return None
            except AsyncDicomError as error:
                self._refuse(error)
        return self._status()

    def discard(self) -> None:
        """Drop what came of the instance."""
        self._intake.discard()
        if self._arrival is not None:
            self._arrival.writer.discard()
            self._arrival = None

    def _is_taken(self) -> bool:
        """Hand the instance over; False if its arrival has to wait for that."""
        arrival = self._intake.end()
        facts = arrival.facts
        # Ours says what the command said, so this compares command and data set.
        if facts.media_storage_sop_instance_uid != facts.sop_instance_uid:
            arrival.writer.discard()
            raise UidMismatch(
                expected=facts.media_storage_sop_instance_uid, received=facts.sop_instance_uid
            )
        if not self._reception.take_nowait(arrival):
            self._arrival = arrival
            return False
        self._storage.taken.add(facts.sop_instance_uid)
        return True

    def _status(self) -> int:
        # Behind the answer, which is written before anybody else gets a turn.
        asyncio.get_running_loop().call_soon(self._storage.prepare)
        return Status.SUCCESS if self._error is None else _status_of(self._error)

    def _refuse(self, error: AsyncDicomError) -> None:
        self._error = error
        self._intake.discard()
        self._storage.errors.append(error)


def _status_of(error: AsyncDicomError) -> int:
    """Return what to answer (PS3.4 §B.2.3)."""
    match error:
        case StorageError():
            return Status.OUT_OF_RESOURCES
        case UidMismatch():
            return Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
        case _:
            return Status.CANNOT_UNDERSTAND


class Stoppable(Protocol):
    """Says whether more of an operation is wanted."""

    is_over: bool

    @property
    def disk_is_full(self) -> bool:
        """Whether nothing more can be kept."""


async def last_response(
    responses: AsyncGenerator[SubOperations], storage: Stoppable
) -> SubOperations | None:
    """Follow an operation to its end; it is cancelled when nothing more can be kept.

    Cancellation: cancels the operation (C-CANCEL) at the next response and waits for its
    end, but for `CANCEL_S` at most; then its association is aborted.

    """
    operation = asyncio.create_task(_follow(responses, storage))
    try:
        return await asyncio.shield(operation)
    except asyncio.CancelledError:
        storage.is_over = True
        try:
            await asyncio.wait({operation}, timeout=CANCEL_S)
        finally:
            operation.cancel()
            await asyncio.wait({operation})
            if not operation.cancelled():
                operation.exception()  # nobody waits for it any more
        raise


async def _follow(
    responses: AsyncGenerator[SubOperations], storage: Stoppable
) -> SubOperations | None:
    last = None
    async with aclosing(responses):
        async for response in responses:
            last = response
            if storage.disk_is_full or storage.is_over:
                break
    return last
