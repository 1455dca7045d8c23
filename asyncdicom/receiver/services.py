"""What a receiver offers to its peers: storage and verification, to those it admits."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError, ProtocolError
from asyncdicom.policy.admission import Candidate, Verdict, admit
from asyncdicom.protocol.dimse.sop_classes import VERIFICATION
from asyncdicom.protocol.upper_layer.pdu import AssociateReject
from asyncdicom.receiver.associations import OpenAssociations, caller_of, host_of
from asyncdicom.receiver.events import AssociationBegan, AssociationRefused, ConnectionFailed
from asyncdicom.receiver.storing import AssociationStorage
from asyncdicom.transports.associations.services import SUCCESS, Services
from asyncdicom.transports.associations.tls import explain_client

if TYPE_CHECKING:
    from asyncdicom.protocol.upper_layer.pdu import ProposedContext
    from asyncdicom.protocol.upper_layer.user_information import ExtendedNegotiation, RoleSelection
    from asyncdicom.receiver.events import ReceiverObserver
    from asyncdicom.receiver.settings import ReceiverSettings
    from asyncdicom.receiver.sop_classes import SopClasses
    from asyncdicom.receiver.statistics import ReceiverStatistics
    from asyncdicom.receiver.storing import Storing
    from asyncdicom.transports.associations.services import Requestor

__all__ = ["ReceivingServices"]


class ReceivingServices(Services):
    """A Storage SCP for an `AssociationServer`.

    Attributes:
        associations: Those that are open.
        is_ending: Set when nobody new is to be let in.

    """

    def __init__(
        self,
        settings: ReceiverSettings,
        storing: Storing,
        sop_classes: SopClasses,
    ) -> None:
        self.associations = OpenAssociations()
        self.is_ending = False
        self._admission = settings.admission
        self._storing = storing
        self._sop_classes = sop_classes
        self._statistics: ReceiverStatistics = storing.statistics
        self._tell: ReceiverObserver = storing.tell

    def admit(self, requestor: Requestor) -> AssociateReject | None:
        """Let in who may come, and has something that we take."""
        verdict = self._verdict_on(requestor)
        return None if verdict is Verdict.ADMITTED else AssociateReject(*verdict.rejection)

    def rejected(self, requestor: Requestor, refusal: AssociateReject) -> None:
        """Tell who was refused, and why."""
        verdict = self._verdict_on(requestor)
        is_ours = verdict is not Verdict.ADMITTED
        reason = verdict.reason if is_ours else "there are as many associations as there may be"
        self._tell(AssociationRefused(caller_of(requestor), reason, refusal.result == 2))

    def unserved(self, address: str, error: Exception) -> None:
        """Tell why no association came of a connection."""
        is_silent = not isinstance(error, ssl.SSLError | ProtocolError)
        self._tell(ConnectionFailed(address, explain_client(error), is_silent))

    def offers(self, requestor: Requestor, abstract_syntax: str) -> bool:  # noqa: ARG002 -- Services
        """Speak verification, and storage of what is taken."""
        return abstract_syntax == VERIFICATION or self._sop_classes.takes(abstract_syntax)

    def select(self, requestor: Requestor, proposed: ProposedContext) -> str | None:  # noqa: ARG002 -- Services
        """Choose a transfer syntax."""
        return self._sop_classes.select(proposed)

    def granted(self, requestor: Requestor, proposed: RoleSelection) -> RoleSelection | None:  # noqa: ARG002 -- Services
        """Let the peer be what the profile says; a peer that stores is SCU."""
        return self._sop_classes.granted(proposed)

    def extended(self, requestor: Requestor, proposed: ExtendedNegotiation) -> bytes | None:  # noqa: ARG002 -- Services
        """Answer what the profile says."""
        return self._sop_classes.extended(proposed.sop_class_uid)

    def began(self, requestor: Requestor) -> None:
        """Count the association in; `ended` counts it out."""
        now_s = asyncio.get_running_loop().time()
        association = self.associations.begin(requestor, now_s)
        contexts = tuple(map(self._negotiated, requestor.request.contexts))
        self._tell(AssociationBegan(association.caller, contexts))

    def storage(self, requestor: Requestor) -> AssociationStorage:
        """Return what takes the C-STOREs of an association."""
        return AssociationStorage(self._storing, self.associations.of(requestor))

    async def echo(self, requestor: Requestor) -> int:  # noqa: ARG002 -- Services
        """Verify."""
        self._statistics.echoes += 1
        return SUCCESS

    def ended(self, requestor: Requestor, failure: BaseException | None) -> None:
        """Tell how an association ended."""
        association = self.associations.end(requestor)
        now_s = asyncio.get_running_loop().time()
        self._tell(association.ended(now_s, _told(failure)))

    def _negotiated(self, proposed: ProposedContext) -> tuple[str, str | None]:
        uid, classes = proposed.abstract_syntax, self._sop_classes
        return uid, classes.select(proposed) if classes.accepts(proposed) else None

    def _verdict_on(self, requestor: Requestor) -> Verdict:
        host = host_of(requestor)
        candidate = Candidate(
            requestor.called_ae,
            requestor.calling_ae,
            host,
            self.associations.count_of(host),
            has_context=any(map(self._sop_classes.accepts, requestor.request.contexts)),
            is_late=self.is_ending,
        )
        return admit(candidate, self._admission)


def _told(failure: BaseException | None) -> str | None:
    """Say why an association did not end with its release."""
    match failure:
        case None:
            return None
        case asyncio.CancelledError():
            return "the receiver ended before it"
        case AsyncDicomError():
            return str(failure)
        case _:
            return f"a bug: {type(failure).__name__}"
