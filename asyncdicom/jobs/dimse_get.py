"""Fetch instances by C-GET, or by C-MOVE to a receiver of our own (PS3.4 §C.4.2, §C.4.3).

Rule: an instance has arrived when its data set was walked to its last byte and the
store has taken it. What the archive counts as completed proves nothing; what it
counts as failed is found missing, and asked for again one level deeper.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeAlias

from asyncdicom.errors import OperationFailed
from asyncdicom.jobs.dimse_receiving import ReceivingStorage, last_response
from asyncdicom.jobs.stores import WriterT
from asyncdicom.ports.dimse import PresentationContext
from asyncdicom.protocol.dimse.contexts import MAX_CONTEXTS, storage_proposals
from asyncdicom.protocol.dimse.sop_classes import (
    COMMON_TRANSFER_SYNTAXES,
    LIKELY_STORAGE_CLASSES,
)
from asyncdicom.protocol.dimse.statuses import Operation, Status, failure_of, is_success
from asyncdicom.sources.dimse import unique_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.get_plan import Missing
    from asyncdicom.jobs.stores import Reception
    from asyncdicom.ports.dimse import SubOperations
    from asyncdicom.sources.dimse import DimseSource

__all__ = [
    "Contexts",
    "DimseRetriever",
    "contexts_for",
    "judge",
]

Contexts: TypeAlias = tuple[PresentationContext, ...]


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
    if not study.is_listed or counts.total() < len(study if some is None else some):
        # Somebody did not say what it is of.
        classes |= study.further_classes
    if not classes:
        return _guessed(transfer_syntaxes)
    return [
        tuple(
            PresentationContext(one.abstract_syntax, one.transfer_syntaxes, is_scp=True)
            for one in proposal
        )
        for proposal in storage_proposals(sorted(classes), transfer_syntaxes, counts=counts)
    ]


def _guessed(transfer_syntaxes: tuple[str, ...]) -> list[Contexts]:
    """Return contexts for whatever archives hold most of, for one that tells no SOP classes.

    One association for each transfer syntax: dcmqrscp tells none, and takes the first
    context of a SOP class, whatever the instance is encoded in.
    """
    common = [one for one in COMMON_TRANSFER_SYNTAXES if one in transfer_syntaxes]
    return [
        tuple(
            PresentationContext(sop_class, (syntax,), is_scp=True)
            for sop_class in LIKELY_STORAGE_CLASSES[: MAX_CONTEXTS - 1]
        )
        for syntax in common or transfer_syntaxes
    ]


class DimseRetriever(Generic[WriterT]):
    """Fetches targets by C-GET.

    Of several contexts of one SOP class, DCMTK's archives take the first that they
    accepted, whatever the instance is encoded in, and then cannot send it. So what could
    not be sent alone is asked for once more, with one transfer syntax after the other; the
    one that succeeds is the only one proposed for the next instance of the class.
    """

    operation = Operation.GET

    def __init__(self, source: DimseSource) -> None:
        self._source = source
        self._syntaxes: dict[str, Contexts] = {}
        """The context that an archive could send instances of a SOP class in."""
        self._last_good: Contexts = ()
        # One at a time: what it finds out spares the others of its SOP class the search.
        self._trying = asyncio.Lock()
        self._hopeless: set[str] = set()
        """SOP classes for which no transfer syntax alone did better than all."""

    async def retrieve(self, reception: Reception[WriterT]) -> None:
        """Hand over the instances of a target as they arrive.

        Raises:
            FetchError: If the archive said that not all of them could be sent, one
                was refused, or the association broke.
            StorageError: If this machine could not keep one.

        """
        storage = ReceivingStorage(reception)
        try:
            await self._retrieve(reception, storage)
        finally:
            storage.close()

    async def _retrieve(
        self, reception: Reception[WriterT], storage: ReceivingStorage[WriterT]
    ) -> None:
        final: SubOperations | None = None
        proven = self._syntaxes.get(self._kind_of(reception))
        for contexts in self._proposals(reception) if proven is None else [proven]:
            alone = proven is not None
            final = await self._ask(reception, storage, contexts, alone=alone) or final
            if storage.taken or storage.errors or not storage.missing:
                # Another proposal would bring some of it a second time.
                self._last_good = contexts if storage.taken else self._last_good
                break
        storage.raise_first()
        await reception.until_listed()
        if final is None or not storage.missing:
            return
        try:
            judge(final, self.operation)
        except OperationFailed:
            # An archive that did not even try has another reason than how to send it.
            if not final.failed:
                raise
            async with self._trying:
                if not await self._syntax_by_syntax(reception, storage):
                    raise

    async def _ask(
        self,
        reception: Reception[WriterT],
        storage: ReceivingStorage[WriterT],
        contexts: Contexts,
        *,
        alone: bool,
    ) -> SubOperations | None:
        """Perform one operation and return its final response.

        Args:
            reception: What is asked for.
            storage: Where it goes.
            contexts: What it may come in.
            alone: Whether it may come in nothing else.

        """
        keys = unique_keys(reception.target, reception.study.patient_id)
        responses = self._source.get(keys, contexts, storage, alone=alone)
        return await last_response(responses, storage)

    def _proposals(self, reception: Reception[WriterT]) -> list[Contexts]:
        """Return what to propose: for the whole study where that is possible.

        Then its series and instances find the same association again.
        """
        study, target = reception.study, reception.target
        syntaxes = self._source.options.transfer_syntaxes
        whole = contexts_for(study, syntaxes)
        if len(whole) <= 1:
            return whole
        some = contexts_for(study, syntaxes, study.missing(target))
        # Who had to guess before begins with what was right.
        return sorted(some, key=lambda contexts: contexts != self._last_good)

    async def _syntax_by_syntax(
        self, reception: Reception[WriterT], storage: ReceivingStorage[WriterT]
    ) -> bool:
        """Ask for one instance in each transfer syntax alone; tell whether it came.

        Raises:
            FetchError: As `retrieve`.

        """
        kind = self._kind_of(reception)
        if not kind or kind in self._hopeless:
            return False
        # Somebody may have found it out meanwhile.
        proven = self._syntaxes.get(kind)
        for contexts in sorted(self._alone(reception, kind), key=lambda one: one != proven):
            await self._ask(reception, storage, contexts, alone=True)
            storage.raise_first()
            if not storage.missing:
                self._syntaxes[kind] = contexts
                return True
        self._syntaxes.pop(kind, None)
        self._hopeless.add(kind)
        return False

    def _kind_of(self, reception: Reception[WriterT]) -> str:
        """Return the SOP class of the one instance that is asked for, or an empty string."""
        target, study = reception.target, reception.study
        if target.sop_instance_uid is None or target.series_instance_uid is None:
            return ""
        one = (target.series_instance_uid, target.sop_instance_uid)
        return next(iter(study.classes_of([one])), "")

    def _alone(self, reception: Reception[WriterT], kind: str) -> Iterator[Contexts]:
        """Yield each context of a SOP class by itself."""
        missing = reception.study.missing(reception.target)
        syntaxes = self._source.options.transfer_syntaxes
        for contexts in contexts_for(reception.study, syntaxes, missing):
            yield from ((one,) for one in contexts if one.abstract_syntax == kind)


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
