"""DIMSE as a source sees it: an association, and the operations on it (PS3.7 §9.1, PS3.8 §7).

Two engines implement `DimseTransport` and pass one contract suite
(`tests/transports/associations/test_dimse_contract.py`):

    proposal = Proposal((PresentationContext(STUDY_ROOT_FIND, UNCOMPRESSED),))
    async with transport.associate(proposal) as association:
        context = association.context_for(STUDY_ROOT_FIND)
        async for answer in association.find(context, identifier):
            ...

Rules:
* A transport retries nothing and judges no study complete: it raises what the
  peer did, and hands over what the peer said.
* Data sets are bytes in the transfer syntax of their context, never re-encoded.
* One operation at a time per association; who wants more opens more associations.
* A generator that is left before its end cancels its operation (C-CANCEL,
  PS3.7 §9.3.2.3) and waits for the final response, bounded by the idle time-out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from asyncdicom.protocol.dimse.contexts import MAX_CONTEXTS, PresentationContext

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.model import Buffer

__all__ = [
    "MAX_CONTEXTS",
    "AcceptedContext",
    "Association",
    "DimseStatistics",
    "DimseTransport",
    "FindAnswer",
    "PeerFacts",
    "PresentationContext",
    "Proposal",
    "StorageHandler",
    "StoreRequest",
    "StoreSink",
    "SubOperations",
]


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that the peer accepted."""

    context_id: int
    """Odd, 1 to 255."""
    abstract_syntax: str
    transfer_syntax: str
    is_scp: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an association is asked for; who and where are settings of the transport."""

    contexts: tuple[PresentationContext, ...]
    """1 to `MAX_CONTEXTS`."""
    extended_negotiation: tuple[tuple[str, bytes], ...] = ()
    """SOP Class UID and its service class application information (PS3.7 §D.3.3.5)."""
    max_operations_invoked: int = 1
    """Window to ask for (PS3.7 §D.3.3.3). A question only: no engine has two under way."""


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """What a peer says about itself when it accepts (PS3.7 §D.3.3)."""

    implementation_class_uid: str = ""
    implementation_version: str = ""
    max_operations_invoked: int = 1
    """Window that it grants, 0 for any number; 1 where it says nothing."""


@dataclass(frozen=True, slots=True)
class FindAnswer:
    """One pending response of a C-FIND."""

    identifier: bytes
    """Data set in `transfer_syntax`."""
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class SubOperations:
    """A response to C-GET or C-MOVE: how far the peer says it is (PS3.7 §9.1.3, §9.1.4).

    What the peer says is no proof: what arrived is counted by whoever stores it.
    """

    status: int
    """FF00 while pending; the last one is final, whatever it is."""
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    failed_sop_instance_uids: tuple[str, ...] = ()
    """(0008,0058) of the final response; not validated."""
    error_comment: str = ""
    """(0000,0902) as sent, for people; may name patients, so it goes into no log and no error."""

    @property
    def is_final(self) -> bool:
        """Whether the operation is over."""
        return self.status not in (0xFF00, 0xFF01)


class StoreRequest(NamedTuple):
    """A C-STORE request of the peer (PS3.7 §9.1.1); UIDs are as sent, hostile or not.

    A tuple, as one is made for each instance that arrives, and a peer waits meanwhile.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    message_id: int
    calling_ae: str = ""
    """Application entity that sends; the peer of an association we requested."""
    move_originator: str = ""
    """AE that asked for the C-MOVE this belongs to, or empty."""
    move_message_id: int | None = None


class StoreSink(Protocol):
    """Takes one data set while it arrives."""

    def write(self, *fragments: Buffer) -> object:
        """Take the next bytes of the data set, in one piece or several; they are only lent."""

    async def end(self) -> int:
        """Take note that the last fragment came; return the status to answer with.

        0000 is a promise: the data set is as safe as it will ever be.
        """

    def end_nowait(self) -> int | None:
        """Do as `end` where nothing has to be waited for; None if `end` has to be called."""

    def discard(self) -> None:
        """The association ended before the last fragment did; harmless when repeated."""


class StorageHandler(Protocol):
    """Receives what a peer stores: the Storage SCP without its wires."""

    def begin(self, request: StoreRequest, /) -> StoreSink:
        """Begin a data set. A refusal is a sink that swallows and answers with its status."""


@dataclass(slots=True)
class DimseStatistics:
    """Counters of a transport since it was opened."""

    associations: int = 0
    """Established so far."""
    in_flight: int = 0
    in_flight_peak: int = 0
    messages_received: int = 0
    bytes_received: int = 0
    """Of PDUs, headers included."""
    rejections: dict[str, int] = field(default_factory=dict)
    """Associations refused, by reason."""


class Association(Protocol):
    """An established association.

    Every wait is bounded by the idle time-out of the transport. All operations raise:

        ConnectionLost: If the connection broke, or the peer aborted (`AssociationAborted`).
        Stalled: If nothing came for the idle time.
        ProtocolError: If PDUs or messages break their standard; the association is aborted.
    """

    @property
    def accepted(self) -> tuple[AcceptedContext, ...]:
        """Contexts the peer accepted, in the order of their IDs."""

    @property
    def peer_max_pdu_bytes(self) -> int:
        """Longest variable field of a P-DATA-TF that the peer takes; 0 is no limit."""

    @property
    def peer(self) -> PeerFacts:
        """What the peer says about itself."""

    def context_for(self, abstract_syntax: str) -> AcceptedContext:
        """Return the first accepted context of a SOP class.

        Raises:
            NotNegotiated: If the peer accepted none.

        """

    async def echo(self) -> None:
        """C-ECHO (PS3.7 §9.1.5).

        Raises:
            NotNegotiated: If the peer does not verify.
            OperationFailed: If it answers with another status than 0000.

        """

    def find(self, context: AcceptedContext, identifier: bytes) -> AsyncGenerator[FindAnswer]:
        """C-FIND (PS3.7 §9.1.2): yield each pending answer.

        Raises:
            OperationFailed: If the final status is none of success or our own cancel.

        """

    def get(
        self, context: AcceptedContext, identifier: bytes, storage: StorageHandler
    ) -> AsyncGenerator[SubOperations]:
        """C-GET (PS3.7 §9.1.3): yield responses, the final one last, whatever its status.

        Pending ones that follow each other within a moment may be passed over. C-STORE
        requests that the peer sends meanwhile go to `storage`, and are answered with the
        status that its sink returns. What a sink raises ends the operation.
        """

    def move(
        self,
        context: AcceptedContext,
        identifier: bytes,
        destination: str,
        elsewhere: Callable[[], int] | None = None,
    ) -> AsyncGenerator[SubOperations]:
        """C-MOVE (PS3.7 §9.1.4) to an AE title: yield each response, the final one last.

        Args:
            context: Of the C-MOVE.
            identifier: What to move.
            destination: AE title.
            elsewhere: Counts what the peer does on other connections, where we see it: as
                long as that changes, it is not silent.

        """


class DimseTransport(Protocol):
    """A DIMSE engine for one peer."""

    @property
    def name(self) -> str:
        """`native` or `pynetdicom`."""

    def associate(self, proposal: Proposal) -> AbstractAsyncContextManager[Association]:
        """Establish an association; leaving releases it, or aborts it after an error.

        Raises (on entering):
            Unreachable: If no connection could be made in time.
            TlsRejected: If no trust could be established.
            AssociationRejected: If the peer refuses the association (PS3.8 §9.3.4).
            NotNegotiated: If it accepts none of the contexts.
            ConnectionLost, Stalled, ProtocolError: As for operations.

        """

    def statistics(self) -> DimseStatistics:
        """Return the counters."""

    async def aclose(self) -> None:
        """Abort all associations; operations under way fail with `ConnectionLost`."""
