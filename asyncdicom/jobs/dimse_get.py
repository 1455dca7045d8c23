"""Fetch instances by C-GET, or by C-MOVE to a receiver of our own (PS3.4 §C.4.2, §C.4.3).

Rule: an instance has arrived when its data set was walked to its last byte and the
store has taken it. What the archive counts as completed proves nothing; what it
counts as failed is found missing, and asked for again one level deeper.

Rule: a C-STORE request is answered with 0000 when its instance is whole, verified and
taken by the store. What a group commit finds out after that is an outcome of ours: the
archive keeps its copy, and nobody deletes on this answer.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Generic

from asyncdicom.errors import (
    AsyncDicomError,
    DiskFull,
    StorageError,
    UidMismatch,
)
from asyncdicom.jobs.intake import InstanceIntake
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Uid
from asyncdicom.ports.dimse import PresentationContext
from asyncdicom.protocol.dimse.contexts import storage_proposals
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.protocol.dimse.statuses import Operation, Status, failure_of, is_success
from asyncdicom.sources.dimse import unique_keys

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.get_plan import Missing
    from asyncdicom.jobs.stores import Reception
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StoreRequest, SubOperations
    from asyncdicom.sources.dimse import DimseSource

__all__ = [
    "DimseRetriever",
    "ReceivingStorage",
    "Refusal",
    "contexts_for",
    "judge",
    "last_response",
]

Contexts = tuple[PresentationContext, ...]


def contexts_for(
    study: Expectation,
    transfer_syntaxes: tuple[str, ...],
    some: Sequence[Missing] | None = None,
) -> list[Contexts]:
    """Return the storage contexts for instances, one tuple for each association they take.

    Args:
        study: What is known of them.
        transfer_syntaxes: What they may be sent in.
        some: Which of them; None for all.

    """
    counts = study.class_counts if some is None else study.classes_of(some)
    classes = set(counts)
    if counts.total() < len(study if some is None else some):
        # Somebody did not say what it is of.
        classes |= study.further_classes
    return [
        tuple(
            PresentationContext(one.abstract_syntax, one.transfer_syntaxes, is_scp=True)
            for one in proposal
        )
        for proposal in storage_proposals(sorted(classes), transfer_syntaxes, counts=counts)
    ]


class ReceivingStorage(Generic[WriterT]):
    """Takes what an archive stores for one target (`ports.dimse.StorageHandler`).

    Attributes:
        errors: Why instances were refused, in order.
        taken: Instances that the store has taken.

    """

    def __init__(self, reception: Reception[WriterT]) -> None:
        self.errors: list[AsyncDicomError] = []
        self.taken: set[Uid] = set()
        self._reception = reception

    def begin(self, request: StoreRequest) -> _Sink[WriterT] | Refusal:
        """Begin an instance, or refuse it: when the disk is full, or its UID is none."""
        try:
            if self.disk_is_full:
                return Refusal(Status.OUT_OF_RESOURCES)
            sink = _Sink(self, self._reception, file_meta(request))
        except AsyncDicomError as error:
            self.errors.append(error)
            return Refusal(_status_of(error))
        return sink

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

    def write(self, fragment: Buffer) -> None:
        """Do nothing."""

    async def end(self) -> int:
        """Return the status of the refusal."""
        return self._status

    def discard(self) -> None:
        """Do nothing."""


class _Sink(Generic[WriterT]):
    """Takes one data set."""

    def __init__(
        self, storage: ReceivingStorage[WriterT], reception: Reception[WriterT], header: bytes
    ) -> None:
        self._storage = storage
        self._reception = reception
        self._intake = InstanceIntake(reception.store)
        self._error: AsyncDicomError | None = None
        try:
            self._intake.write(header)
        except AsyncDicomError:
            self._intake.discard()
            raise

    def write(self, fragment: Buffer) -> None:
        """Take bytes; after an error they are counted and swallowed."""
        self._reception.count_bytes(len(fragment))
        if self._error is None:
            try:
                self._intake.write(fragment)
            except AsyncDicomError as error:
                self._refuse(error)

    async def end(self) -> int:
        """Hand the instance over, and return what became of it."""
        if self._error is None:
            try:
                await self._hand_over()
            except AsyncDicomError as error:
                self._refuse(error)
        return Status.SUCCESS if self._error is None else _status_of(self._error)

    def discard(self) -> None:
        """Drop what came of the instance."""
        self._intake.discard()

    async def _hand_over(self) -> None:
        arrival = self._intake.end()
        facts = arrival.facts
        # Ours says what the command said, so this compares command and data set.
        if facts.media_storage_sop_instance_uid != facts.sop_instance_uid:
            arrival.writer.discard()
            raise UidMismatch(
                expected=facts.media_storage_sop_instance_uid, received=facts.sop_instance_uid
            )
        await self._reception.take(arrival)
        self._storage.taken.add(facts.sop_instance_uid)

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


class DimseRetriever(Generic[WriterT]):
    """Fetches targets by C-GET."""

    def __init__(self, source: DimseSource) -> None:
        self._source = source

    async def retrieve(self, reception: Reception[WriterT]) -> None:
        """Hand over the instances of a target as they arrive.

        Raises:
            FetchError: If the archive said that not all of them could be sent, one
                was refused, or the association broke.
            StorageError: If this machine could not keep one.

        """
        storage = ReceivingStorage(reception)
        keys = unique_keys(reception.target, reception.study.patient_id)
        final: SubOperations | None = None
        for contexts in self._proposals(reception):
            responses = self._source.get(keys, contexts, storage)
            final = await last_response(responses, storage) or final
            if not storage.missing:
                break
        storage.raise_first()
        if final is not None and storage.missing:
            judge(final, Operation.GET)

    def _proposals(self, reception: Reception[WriterT]) -> list[Contexts]:
        """Return what to propose: for the whole study where that is possible.

        Then its series and instances find the same association again.
        """
        study, target = reception.study, reception.target
        syntaxes = self._source.options.transfer_syntaxes
        whole = contexts_for(study, syntaxes)
        return whole if len(whole) <= 1 else contexts_for(study, syntaxes, study.missing(target))


async def last_response(
    responses: AsyncGenerator[SubOperations], storage: ReceivingStorage[WriterT]
) -> SubOperations | None:
    """Follow an operation to its end; it is cancelled when nothing more can be kept."""
    last = None
    async with aclosing(responses):
        async for response in responses:
            last = response
            if storage.disk_is_full:
                break
    return last


def judge(final: SubOperations, operation: Operation) -> None:
    """Raise what the final response says, unless it says that all is well.

    Raises:
        OperationFailed: If it does not; it names how many sub-operations failed.

    """
    failed = final.failed or 0
    if is_success(final.status) and not failed:
        return
    error = failure_of(final.status or Status.SUB_OPERATIONS_WITH_FAILURES, operation)
    if failed:
        noun = "sub-operation" if failed == 1 else "sub-operations"
        error.message = f"{error.message}; {failed} {noun} failed"
    raise error
