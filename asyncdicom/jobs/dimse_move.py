"""Fetch instances by C-MOVE to a receiver of our own, or move them elsewhere (PS3.4 §C.4.2).

Rule: what is moved to ourselves is proven as with C-GET: what our receiver has taken
counts, whatever the archive says. What is moved elsewhere only the other side can prove:
there the counters of the archive are reported as its own.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncdicom.errors import AsyncDicomError, NotFound
from asyncdicom.jobs.dimse_get import Contexts, DimseRetriever, judge
from asyncdicom.jobs.dimse_lookup import NO_MATCH, DimseLookup
from asyncdicom.jobs.dimse_receiving import ReceivingStorage, Refusal, last_response
from asyncdicom.jobs.stores import WriterT
from asyncdicom.ports.dimse import PresentationContext
from asyncdicom.protocol.dimse.statuses import Operation, Status
from asyncdicom.sources.dimse import unique_keys
from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings
from asyncdicom.transports.associations.services import CALLED_AE_UNKNOWN, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from asyncdicom.jobs.stores import Reception
    from asyncdicom.model import Target
    from asyncdicom.ports.dimse import (
        StorageHandler,
        StoreRequest,
        StoreSink,
        SubOperations,
    )
    from asyncdicom.protocol.upper_layer.pdu import AssociateReject, ProposedContext
    from asyncdicom.sources.dimse import DimseSource
    from asyncdicom.transports.associations.services import Requestor

__all__ = ["MoveJob", "MoveReceiver", "MoveRetriever", "Moved"]


ANY_CLASS = "*"
"""Stands for all SOP classes, where an archive does not say which one an instance is of."""


class MoveReceiver(Services):
    """Our own Storage SCP, for what we have moved to ourselves.

    Attributes:
        ae_title: What it is called, and answers to.

    """

    def __init__(
        self, ae_title: str, settings: ServerSettings, transfer_syntaxes: Collection[str]
    ) -> None:
        """Prepare; it listens from the first `open` on.

        Args:
            ae_title: What it is called.
            settings: Where to listen.
            transfer_syntaxes: What it takes.

        """
        self.ae_title = ae_title
        self._settings = settings
        self._wanted = frozenset(transfer_syntaxes)
        self._only: dict[str, tuple[str, ...]] = {}
        self._server: AssociationServer | None = None
        self._expecting: list[ReceivingStorage[Any]] = []
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Listen; harmless when repeated.

        Raises:
            ConfigError: If the address is not ours or taken.

        """
        async with self._opening:
            if self._server is None:
                self._server = await AssociationServer(self._settings, self).__aenter__()

    async def aclose(self) -> None:
        """Listen no more, and abort what is open."""
        server, self._server = self._server, None
        if server is not None:
            await server.__aexit__(None, None, None)

    @property
    def port(self) -> int:
        """Port that it listens on; 0 before it does."""
        return 0 if self._server is None else self._server.port

    @contextmanager
    def expecting(self, storage: ReceivingStorage[Any]) -> Iterator[None]:
        """Give instances to a storage while the block runs."""
        self._expecting.append(storage)
        try:
            yield
        finally:
            self._expecting.remove(storage)

    @contextmanager
    def taking_only(self, *contexts: PresentationContext) -> Iterator[None]:
        """Take the SOP classes of some contexts in their transfer syntaxes only."""
        before = self._only
        self._only = before | {one.abstract_syntax: one.transfer_syntaxes for one in contexts}
        try:
            yield
        finally:
            self._only = before

    def admit(self, requestor: Requestor) -> AssociateReject | None:
        """Let in who asks for us by name."""
        return None if requestor.called_ae.strip() == self.ae_title else CALLED_AE_UNKNOWN

    def select(self, requestor: Requestor, proposed: ProposedContext) -> str | None:
        """Take what was wanted, in the order of the archive."""
        only = self._only.get(proposed.abstract_syntax, self._only.get(ANY_CLASS))
        if only is not None:
            return next((one for one in proposed.transfer_syntaxes if one in only), None)
        chosen = super().select(requestor, proposed)
        if chosen is None or chosen in self._wanted:
            return chosen
        return next((one for one in proposed.transfer_syntaxes if one in self._wanted), None)

    def storage(self, requestor: Requestor) -> StorageHandler:  # noqa: ARG002 -- Services
        """Return what hands each instance to whoever expects it."""
        return self

    def begin(self, request: StoreRequest) -> StoreSink:
        """Give an instance to whoever expects it; refuse it if nobody expects anything."""
        for storage in self._expecting:
            if storage.expects(request.sop_instance_uid):
                return storage.begin(request)
        if self._expecting:
            # No list names it; whoever takes it finds out where it belongs.
            return self._expecting[0].begin(request)
        return Refusal(Status.NOT_AUTHORIZED)


class MoveRetriever(DimseRetriever[WriterT]):
    """Fetches targets by C-MOVE to a receiver of our own."""

    operation = Operation.MOVE

    def __init__(self, source: DimseSource, receiver: MoveReceiver) -> None:
        super().__init__(source)
        self._receiver = receiver
        self._one_syntax = asyncio.Lock()

    def _proposals(self, reception: Reception[WriterT]) -> list[Contexts]:  # noqa: ARG002 -- DimseRetriever
        """Return nothing in particular: the archive proposes, and our receiver takes."""
        return [()]

    def _kind_of(self, reception: Reception[WriterT]) -> str:
        """Return the SOP class, or what stands for all of them, of a single instance."""
        if reception.target.sop_instance_uid is None:
            return ""
        return super()._kind_of(reception) or ANY_CLASS

    def _alone(self, reception: Reception[WriterT], kind: str) -> Iterator[Contexts]:  # noqa: ARG002 -- DimseRetriever
        """Yield what our receiver takes of a SOP class, one transfer syntax after the other."""
        for syntax in self._source.options.transfer_syntaxes:
            yield (PresentationContext(kind, (syntax,)),)

    async def _ask(
        self,
        reception: Reception[WriterT],
        storage: ReceivingStorage[WriterT],
        contexts: Contexts,
        *,
        alone: bool,
    ) -> SubOperations | None:
        if not alone:
            return await self._move(reception, storage)
        # The archive does not say for which operation it associates with us.
        async with self._one_syntax:
            with self._receiver.taking_only(*contexts):
                return await self._move(reception, storage)

    async def _move(
        self, reception: Reception[WriterT], storage: ReceivingStorage[WriterT]
    ) -> SubOperations | None:
        await self._receiver.open()
        keys = unique_keys(reception.target, reception.study.patient_id)
        with self._receiver.expecting(storage):
            ae_title = self._receiver.ae_title
            responses = self._source.move(keys, ae_title, lambda: storage.byte_count)
            return await last_response(responses, storage)


@dataclass(frozen=True, slots=True)
class Moved:
    """What an archive says it has moved of one target."""

    target: Target
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_sop_instance_uids: tuple[str, ...] = ()
    error: AsyncDicomError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the archive says that all of it, and something, arrived unchanged."""
        return not (self.error or self.failed or self.warning)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        target = self.target
        return {
            "study": target.study_instance_uid,
            "series": target.series_instance_uid,
            "instance": target.sop_instance_uid,
            "completed": self.completed,
            "failed": self.failed,
            "warning": self.warning,
            "failedInstances": list(self.failed_sop_instance_uids),
            "reason": None if self.error is None else self.error.reason,
            "message": None if self.error is None else str(self.error),
        }


class _Elsewhere:
    """Keeps nothing itself, so it never has enough but when it is stopped."""

    is_over = False
    disk_is_full = False


class MoveJob:
    """Moves targets to another application entity; driven by a scheduler.

    Attributes:
        moved: What became of each target, in order.

    """

    def __init__(
        self, source: DimseSource, destination: str, tell: Callable[[Moved], object]
    ) -> None:
        self.moved: list[Moved] = []
        self._source = source
        self._destination = destination
        self._tell = tell

    async def perform(self, task: Target, attempt: int) -> Iterable[Target]:  # noqa: ARG002 -- Performer
        """Move one target.

        Raises:
            NotFound: If the archive says that nothing was to be moved.
            OperationFailed: If nothing was moved, and the archive says why.
            FetchError: If the association broke.

        """
        keys = unique_keys(task, await self._patient_of(task))
        responses = self._source.move(keys, self._destination)
        final = await last_response(responses, _Elsewhere())
        assert final is not None, "an operation has a final response"
        done = (final.completed or 0) + (final.warning or 0)
        error: AsyncDicomError | None = None
        try:
            judge(final, Operation.MOVE)
        except AsyncDicomError as judged:
            if not done:
                raise
            error = judged
        else:
            # Who counts nothing at all may have moved it.
            if final.completed == 0 and not done:
                raise NotFound("the archive says that it moved nothing", status_code=NO_MATCH)
        self._settle(
            Moved(
                task,
                final.completed or 0,
                final.failed or 0,
                final.warning or 0,
                final.failed_sop_instance_uids,
                error,
            )
        )
        return ()

    def give_up(self, task: Target, error: AsyncDicomError, attempts: int) -> Iterable[Target]:  # noqa: ARG002 -- Performer
        """Take note that a target could not be moved."""
        self._settle(Moved(task, error=error))
        return ()

    async def _patient_of(self, task: Target) -> str | None:
        """Return the PatientID of a target, where its unique keys have to name that."""
        if not self._source.needs_patient:
            return None
        return (await DimseLookup(self._source).outline_of(task)).patient_id

    def _settle(self, moved: Moved) -> None:
        self.moved.append(moved)
        self._tell(moved)
