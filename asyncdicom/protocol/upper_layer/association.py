"""The association state machine (PS3.8 §9.2), for requestor and acceptor.

    machine = AssociationMachine.requestor()
    machine.request(request)              # an AssociateRequest, see `negotiation.propose`
    ...connect...
    machine.connected()
    transport.writelines(machine.data_to_send())
    machine.receive_data(chunk)
    while (event := machine.next_event()) is not NEED_DATA:
        match event: ...

Rules for the shell:
* After each call, send `data_to_send()`; then, if `must_close`, close the connection.
* While `artim_is_running`, a timer of the shell runs; when it ends, call `artim_expired`.
  Each `artim_starts` that was not there before starts it anew.
* When the peer closes, or the connection breaks, call `receive_eof`, and drain once more.
* What `next_event` raises ends the association; data to send (A-ABORT) may be left.
* An acceptor whose peer went away while it made up its mind finds another `state` than Sta3;
  so the events are drained, and `state` is looked at, before `accept` or `reject`.

Rule: what happens when is data in `table.py`; here is only how it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ConnectionLost, ProtocolError, UsageError
from asyncdicom.protocol.payload_events import NEED_DATA, NeedData
from asyncdicom.protocol.upper_layer.association_events import (
    EVENT_OF,
    AssociationAccepted,
    AssociationEvent,
    AssociationReleased,
    AssociationRequested,
    ReleaseRequested,
)
from asyncdicom.protocol.upper_layer.meanings import (
    INVALID_PARAMETER,
    UNEXPECTED_PDU,
    aborted,
    rejected,
)
from asyncdicom.protocol.upper_layer.negotiation import negotiate
from asyncdicom.protocol.upper_layer.p_data import fragment_bytes, p_data
from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    PdvFragment,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)
from asyncdicom.protocol.upper_layer.progress import Progress
from asyncdicom.protocol.upper_layer.reader import PduReader
from asyncdicom.protocol.upper_layer.table import (
    COLLISION_OF_ACCEPTOR,
    EFFECTS,
    REFUSAL_BY_PROVIDER,
    Action,
    Event,
    State,
)

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.protocol.upper_layer.negotiation import Negotiated
    from asyncdicom.protocol.upper_layer.pdu import Pdu
    from asyncdicom.protocol.upper_layer.reader import PduLimits

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

_STA1: Final = State.STA1  # Python 3.11 finds members by a function; this is asked for per PDU
_VERSION_1 = 0b1
_SERVICE_USER, _SERVICE_PROVIDER = 0, 2
_VERSION_NOT_SUPPORTED: Final = AssociateReject(1, 2, 2)


class AssociationMachine:
    """One side of one association.

    Attributes:
        negotiated: What was agreed on; None before the association is established.

    """

    def __init__(self, *, is_requestor: bool, limits: PduLimits | None = None) -> None:
        self.negotiated: Negotiated | None = None
        self._is_requestor = is_requestor
        self._reader = PduReader(limits=limits)
        self._progress = Progress()
        self._is_connected = False
        self._is_eof = False
        self._is_deaf = False  # what the peer sends makes no sense any more
        self._request: AssociateRequest | None = None
        self._encoded_request = b""
        self._context_ids: frozenset[int] = frozenset()
        self._fragment_bytes = 0

    @classmethod
    def requestor(cls, *, limits: PduLimits | None = None) -> AssociationMachine:
        """Make the side that asks."""
        return cls(is_requestor=True, limits=limits)

    @classmethod
    def acceptor(cls, *, limits: PduLimits | None = None) -> AssociationMachine:
        """Make the side that is asked."""
        return cls(is_requestor=False, limits=limits)

    @property
    def state(self) -> State:
        """State, by its name in PS3.8 §9.2.1."""
        return self._progress.state

    @property
    def artim_is_running(self) -> bool:
        """Whether the Association Request/Reject/Release Timer runs (PS3.8 §9.1.5)."""
        return self._progress.artim_is_running

    @property
    def artim_starts(self) -> int:
        """How often that timer was started so far."""
        return self._progress.artim_starts

    @property
    def must_close(self) -> bool:
        """Whether the connection is to be closed, once all data were sent."""
        return self._progress.must_close

    @property
    def may_respond_to_release(self) -> bool:
        """Whether `respond_to_release` is what the peer waits for."""
        return self._progress.allows(Event.EVT14)

    def request(self, request: AssociateRequest) -> None:
        """A-ASSOCIATE request (Evt1); it is sent when `connected`.

        Raises:
            UsageError: On the side that is asked, or if it was called before.
            ConfigError: If a field is longer than its length can say.

        """
        if not self._is_requestor or self._request is not None:
            raise UsageError("an association is requested once, by its requestor")
        encoded = encode(request)
        self._progress.perform(Event.EVT1)
        self._request, self._encoded_request = request, encoded

    def connected(self) -> None:
        """Say that the connection is open (Evt2; for an acceptor Evt5).

        Raises:
            UsageError: If it was called before, or by a requestor before `request`.

        """
        if self._is_connected:
            raise UsageError("one connection carries one association")
        self._progress.perform(
            Event.EVT2 if self._is_requestor else Event.EVT5, self._encoded_request
        )
        self._is_connected = True

    def accept(self, answer: AssociateAccept) -> Negotiated:
        """A-ASSOCIATE response, accept (Evt7); for an answer see `negotiation.accept`.

        Raises:
            UsageError: If it accepts what was not proposed, or nobody asks (any more).

        """
        if self._request is None or self._progress.state is not State.STA3:
            raise UsageError("nobody asks for an association")
        try:
            negotiated = negotiate(self._request, answer)
        except ProtocolError as error:
            raise UsageError(str(error)) from error
        self._progress.perform(Event.EVT7, encode(answer))
        self._establish(negotiated)
        return negotiated

    def reject(self, rejection: AssociateReject) -> None:
        """A-ASSOCIATE response, reject (Evt8).

        Raises:
            UsageError: If nobody asks (any more).

        """
        self._progress.perform(Event.EVT8, encode(rejection))

    def release(self) -> None:
        """A-RELEASE request (Evt11).

        Raises:
            UsageError: If no association is established (any more).

        """
        self._progress.perform(Event.EVT11, encode(ReleaseRequest()))

    def respond_to_release(self) -> None:
        """A-RELEASE response (Evt14).

        Raises:
            UsageError: Unless `may_respond_to_release`.

        """
        self._progress.perform(Event.EVT14, encode(ReleaseResponse()))

    def abort(self) -> None:
        """A-ABORT request (Evt15); harmless where there is nothing (left) to abort."""
        if self._progress.allows(Event.EVT15):
            self._progress.perform(Event.EVT15, encode(Abort(_SERVICE_USER)))

    def send_data(self, context_id: int, data: Buffer, *, is_command: bool, is_last: bool) -> None:
        """P-DATA request (Evt9): queue bytes, in as many PDUs as the peer's limit asks for.

        Args:
            context_id: Of an accepted presentation context.
            data: Only lent: they must not change until `data_to_send` was written.
            is_command: Command or data set.
            is_last: Whether the command or data set ends with these bytes.

        Raises:
            UsageError: If no association is established, or the context was not accepted.

        """
        if not self._progress.may_send_data:
            raise UsageError(f"data to send while {self._progress.state.value}")
        if context_id not in self._context_ids:
            raise UsageError(f"data to send in context {context_id}, which was not accepted")
        self._progress.out += p_data(
            context_id,
            data,
            is_command=is_command,
            is_last=is_last,
            max_fragment_bytes=self._fragment_bytes,
        )

    def data_to_send(self) -> list[bytes | memoryview]:
        """Return what is to be written, in order, and forget it. Long data are not joined."""
        out, self._progress.out = self._progress.out, []
        return out

    def receive_data(self, data: Buffer) -> None:
        """Store the next bytes of the peer; parse nothing. Fragments are views into them.

        Args:
            data: Bytes, of any length. They must not change before the fragments were used
                and `next_event` returned `NEED_DATA`.

        Raises:
            UsageError: Before `connected`, or after `receive_eof`.

        """
        if not self._is_connected or self._is_eof:
            raise UsageError("data without a connection")
        # PS3.8 §9.2.2: when all is over, what still comes is of no interest.
        if self._progress.state is not _STA1 and not self._is_deaf:
            self._reader.receive_data(data)

    def receive_eof(self) -> None:
        """Say that the connection is closed (Evt17); `next_event` tells what it means."""
        self._is_eof = True

    def artim_expired(self) -> None:
        """Say that the timer ended (Evt18); ignored if it was stopped meanwhile."""
        if self._progress.artim_is_running:
            self._progress.perform(Event.EVT18)

    def next_event(self) -> AssociationEvent | NeedData:
        """Parse on to the next event.

        Raises:
            AssociationRejected: If the peer refuses (A-ASSOCIATE-RJ).
            AssociationAborted: If the peer aborts (A-ABORT).
            ConnectionLost: If the connection ended before the association did.
            ProtocolError: If the peer breaks PS3.8 §9, or speaks another version; A-ABORT or
                A-ASSOCIATE-RJ is left in `data_to_send`.

        """
        while self._progress.state is not _STA1 and not self._is_deaf:
            try:
                received = self._reader.next_event()
            except ProtocolError:
                self._is_deaf = True
                if self._refuse(self._reader.abort_reason):
                    raise
                break
            if isinstance(received, PdvFragment) and self._progress.takes_data:
                return received
            if isinstance(received, NeedData):
                break
            if (event := self._take(received)) is not None:
                return event
        if self._is_eof:
            self._end()
        return NEED_DATA

    @property
    def data_reader(self) -> PduReader | None:
        """What reads P-DATA-TF, for whoever takes several at once; None while none may come."""
        may_come = self._progress.takes_data and not self._is_deaf
        return self._reader if may_come else None

    def _take(self, received: Pdu | PdvFragment) -> AssociationEvent | None:
        """Do what the table says about a PDU; return or raise what is to be told about it."""
        event = EVENT_OF[type(received)]
        action = self._progress.action(event)
        match action, received:
            case Action.AE_3, AssociateAccept() as answer:
                return self._confirm(answer)
            case Action.AE_6, AssociateRequest() as request:
                return self._indicate(request)
            case Action.AE_4, AssociateReject() as rejection:
                self._progress.apply(EFFECTS[action])
                raise rejected(rejection)
            case Action.AA_3, Abort() as abort:
                self._progress.apply(EFFECTS[action])
                raise aborted(abort)
            case ((Action.AR_2 | Action.AR_8), _):
                return self._indicate_release(action)
            case ((Action.AR_3 | Action.AR_10), _):
                self._progress.apply(EFFECTS[action])
                return AssociationReleased()
            case ((Action.AA_2 | Action.AA_6), _):
                self._progress.apply(EFFECTS[action])
            case _:
                while_state = self._progress.state.value
                if self._refuse(UNEXPECTED_PDU, event):
                    raise ProtocolError(f"{event.value} while {while_state}")
        return None

    def _confirm(self, answer: AssociateAccept) -> AssociationAccepted:
        assert self._request is not None, "who awaits an answer has asked"
        try:
            negotiated = negotiate(self._request, answer)
        except ProtocolError:
            self._refuse(INVALID_PARAMETER)
            raise
        self._progress.apply(EFFECTS[Action.AE_3])
        self._establish(negotiated)
        return AssociationAccepted(negotiated)

    def _indicate(self, request: AssociateRequest) -> AssociationRequested:
        # PS3.8 §9.3.2: bit 0 of the protocol version is version 1, and the only one tested.
        if not request.protocol_version & _VERSION_1:
            self._progress.apply(REFUSAL_BY_PROVIDER, encode(_VERSION_NOT_SUPPORTED))
            raise ProtocolError(f"it speaks protocol {request.protocol_version:04X}, not version 1")
        self._progress.apply(EFFECTS[Action.AE_6])
        self._request = request
        return AssociationRequested(request)

    def _indicate_release(self, action: Action) -> ReleaseRequested:
        is_collision = action is Action.AR_8
        if is_collision and not self._is_requestor:
            self._progress.apply(COLLISION_OF_ACCEPTOR)
        else:
            self._progress.apply(EFFECTS[action])
        return ReleaseRequested(is_collision=is_collision)

    def _establish(self, negotiated: Negotiated) -> None:
        ours, theirs = negotiated.request.user, negotiated.answer.user
        if not self._is_requestor:
            ours, theirs = theirs, ours
        self.negotiated = negotiated
        self._context_ids = frozenset(one.context_id for one in negotiated.accepted)
        self._reader.expect(max_pdu_bytes=ours.max_pdu_bytes, context_ids=self._context_ids)
        self._fragment_bytes = fragment_bytes(theirs.max_pdu_bytes)

    def _refuse(self, reason: int, event: Event = Event.EVT19) -> bool:
        """Abort because of what the peer sent; tell whether that is news."""
        action = self._progress.action(event)
        # PS3.8 Table 9-26: a reason says something only if the provider aborts.
        is_by_user = action is Action.AA_1
        pdu = Abort(_SERVICE_USER) if is_by_user else Abort(_SERVICE_PROVIDER, reason)
        self._progress.apply(EFFECTS[action], encode(pdu))
        return action is not Action.AA_7

    def _end(self) -> None:
        """Take note that the connection is closed, once."""
        self._progress.must_close = True
        state = self._progress.state
        if self._progress.allows(Event.EVT17):
            action = self._progress.action(Event.EVT17)
            self._progress.apply(EFFECTS[action])
            if action is Action.AA_4:
                raise ConnectionLost(f"connection closed while {state.value}")
