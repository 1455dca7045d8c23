"""The association state machine (PS3.8 §9.2), for requestor and acceptor.

    machine = AssociationMachine.requestor(max_pdu_bytes=MAX)
    machine.request(request)              # an AssociateRequest, see negotiation.propose()
    ...connect...
    machine.connected()
    transport.writelines(machine.data_to_send())
    machine.receive_data(chunk)
    while (event := machine.next_event()) is not NEED_DATA:
        match event: ...

Rules for the shell:
* After each call, send `data_to_send()`; then, if `must_close`, close the connection.
* While `artim_is_running`, a timer of the shell runs; when it ends, call `artim_expired`.
* When the peer closes, or the connection breaks, call `receive_eof`, and drain once more.
* What `next_event` raises ends the association; data to send (A-ABORT) may be left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from asyncdicom.protocol.payload_events import NEED_DATA, NeedData
from asyncdicom.protocol.upper_layer.pdu import PdvFragment

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.protocol.upper_layer.negotiation import Negotiated
    from asyncdicom.protocol.upper_layer.pdu import AssociateAccept, AssociateRequest
    from asyncdicom.protocol.upper_layer.reader import PduLimits
    from asyncdicom.protocol.upper_layer.table import State

__all__ = [
    "NEED_DATA",
    "AssociationAccepted",
    "AssociationEvent",
    "AssociationMachine",
    "AssociationReleased",
    "AssociationRequested",
    "NeedData",
    "PdvFragment",
    "ReleaseRequested",
]


@dataclass(frozen=True, slots=True)
class AssociationRequested:
    """A-ASSOCIATE indication: answer with `accept` or `reject` (PS3.8 §7.1)."""

    request: AssociateRequest


@dataclass(frozen=True, slots=True)
class AssociationAccepted:
    """A-ASSOCIATE confirmation: the association is established (PS3.8 §7.1)."""

    negotiated: Negotiated


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """A-RELEASE indication: answer with `respond_to_release` (PS3.8 §7.2).

    In a collision the acceptor answers only after `AssociationReleased` (PS3.8 §7.2.2).
    """

    is_collision: bool = False


@dataclass(frozen=True, slots=True)
class AssociationReleased:
    """A-RELEASE confirmation: the peer agrees to the end (PS3.8 §7.2)."""


AssociationEvent: TypeAlias = (
    AssociationRequested
    | AssociationAccepted
    | ReleaseRequested
    | AssociationReleased
    | PdvFragment
)


class AssociationMachine:
    """One side of one association."""

    def __init__(self, *, is_requestor: bool, max_pdu_bytes: int, limits: PduLimits | None) -> None:
        raise NotImplementedError

    @classmethod
    def requestor(
        cls, *, max_pdu_bytes: int, limits: PduLimits | None = None
    ) -> AssociationMachine:
        """Make the side that asks. `max_pdu_bytes`: what our request announces; 0 is no limit."""
        return cls(is_requestor=True, max_pdu_bytes=max_pdu_bytes, limits=limits)

    @classmethod
    def acceptor(cls, *, max_pdu_bytes: int, limits: PduLimits | None = None) -> AssociationMachine:
        """Make the side that is asked. `max_pdu_bytes`: what our answer announces, or 0."""
        return cls(is_requestor=False, max_pdu_bytes=max_pdu_bytes, limits=limits)

    @property
    def state(self) -> State:
        """State, by its name in PS3.8 §9.2.1."""
        raise NotImplementedError

    @property
    def artim_is_running(self) -> bool:
        """Whether the Association Request/Reject/Release Timer runs (PS3.8 §9.1.5)."""
        raise NotImplementedError

    @property
    def must_close(self) -> bool:
        """Whether the connection is to be closed, once all data were sent."""
        raise NotImplementedError

    @property
    def negotiated(self) -> Negotiated | None:
        """What was agreed on; None before the association is established."""
        raise NotImplementedError

    def request(self, request: AssociateRequest) -> None:
        """A-ASSOCIATE request (Evt1); it is sent when `connected`."""
        raise NotImplementedError

    def connected(self) -> None:
        """Say that the connection is open (Evt2; for an acceptor Evt5)."""
        raise NotImplementedError

    def accept(self, answer: AssociateAccept) -> Negotiated:
        """A-ASSOCIATE response, accept (Evt7); see `negotiation.accept()`.

        Raises:
            UsageError: If it accepts what was not proposed, or nobody asked.

        """
        raise NotImplementedError

    def reject(self, *, result: int = 1, source: int = 1, reason: int = 1) -> None:
        """A-ASSOCIATE response, reject (Evt8); values of PS3.8 Table 9-21."""
        raise NotImplementedError

    def release(self) -> None:
        """A-RELEASE request (Evt11)."""
        raise NotImplementedError

    def respond_to_release(self) -> None:
        """A-RELEASE response (Evt14)."""
        raise NotImplementedError

    def abort(self, *, reason: int = 0) -> None:
        """A-ABORT request (Evt15); harmless where there is nothing left to abort."""
        raise NotImplementedError

    def send_data(self, context_id: int, data: Buffer, *, is_command: bool, is_last: bool) -> None:
        """P-DATA request (Evt9): queue bytes, in as many PDUs as the peer's limit asks for.

        Args:
            context_id: Of an accepted presentation context.
            data: Only lent: they must not change until `data_to_send()` was written.
            is_command: Command or data set.
            is_last: Whether the command or data set ends with these bytes.

        Raises:
            UsageError: If no association is established, or the context was not accepted.

        """
        raise NotImplementedError

    def receive_data(self, data: Buffer) -> None:
        """Store the next bytes of the peer; parse nothing. Fragments are views into them."""
        raise NotImplementedError

    def receive_eof(self) -> None:
        """Say that the connection is closed (Evt17); `next_event` tells what it means."""
        raise NotImplementedError

    def artim_expired(self) -> None:
        """Say that the timer ended (Evt18); ignored when it was stopped meanwhile."""
        raise NotImplementedError

    def next_event(self) -> AssociationEvent | NeedData:
        """Parse on to the next event.

        Raises:
            AssociationRejected: If the peer refuses (A-ASSOCIATE-RJ).
            AssociationAborted: If the peer aborts (A-ABORT).
            ConnectionLost: If the connection ended before the association did.
            ProtocolError: If the peer breaks PS3.8; A-ABORT is left in `data_to_send()`.

        """
        raise NotImplementedError

    def data_to_send(self) -> list[bytes | memoryview]:
        """Return what is to be written, in order, and forget it. Nothing is joined."""
        raise NotImplementedError
