"""What a receiver offers to its peers: storage and verification, to those it admits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import AsyncDicomError
from asyncdicom.model import is_uid
from asyncdicom.policy.admission import Candidate, Verdict, admit
from asyncdicom.protocol.dimse.sop_classes import (
    ALL_TRANSFER_SYNTAXES,
    VERIFICATION,
    is_storage_class,
)
from asyncdicom.protocol.upper_layer.pdu import AssociateReject
from asyncdicom.receiver.associations import OpenAssociations, caller_of, host_of
from asyncdicom.receiver.events import AssociationBegan, AssociationRefused
from asyncdicom.receiver.storing import AssociationStorage
from asyncdicom.transports.associations.services import SUCCESS, Services

if TYPE_CHECKING:
    from asyncdicom.protocol.upper_layer.pdu import ProposedContext
    from asyncdicom.receiver.events import ReceiverObserver
    from asyncdicom.receiver.settings import ReceiverSettings
    from asyncdicom.receiver.statistics import ReceiverStatistics
    from asyncdicom.receiver.storing import Storing
    from asyncdicom.transports.associations.services import Peer, Requestor

__all__ = ["ReceivingServices", "SopClasses"]

DICOM_ROOT: Final = "1.2.840.10008."
"""Of all UIDs that the Standard gives (PS3.5 §9.1, PS3.6 Annex A)."""
STORAGE_ROOT: Final = f"{DICOM_ROOT}5.1.4.1.1."
"""Of the storage classes of today, and of those that editions to come will add (PS3.4 §B.5)."""


class SopClasses:
    """Which SOP classes and transfer syntaxes are taken.

    What a profile says, and nothing else; without one all storage classes of the Standard.
    Promiscuous, those that no edition we know names, too: private ones, and new ones of the
    Standard, but no other service of it. Verification is always spoken.
    """

    def __init__(self, settings: ReceiverSettings) -> None:
        self._profile = settings.profile
        self._is_promiscuous = settings.is_promiscuous

    def takes(self, sop_class_uid: str) -> bool:
        """Tell whether instances of a SOP class are taken."""
        if sop_class_uid == VERIFICATION:
            return False
        if self._profile is not None and self._profile.offers(sop_class_uid):
            return not _is_other_service(sop_class_uid)
        if self._is_promiscuous:
            return is_uid(sop_class_uid) and not _is_other_service(sop_class_uid)
        return self._profile is None and is_storage_class(sop_class_uid)

    def select(self, proposed: ProposedContext) -> str | None:
        """Return a transfer syntax, or None to refuse: the first of the profile, or of the peer.

        The peer names first what it has; whatever it is, its bytes are kept.
        """
        uid, syntaxes = proposed.abstract_syntax, proposed.transfer_syntaxes
        if self._profile is not None and self._profile.offers(uid):
            return self._profile.select(uid, syntaxes)
        if self._is_promiscuous:
            return next((one for one in syntaxes if is_uid(one)), None)
        return next((one for one in syntaxes if one in ALL_TRANSFER_SYNTAXES), None)

    def accepts(self, proposed: ProposedContext) -> bool:
        """Tell whether a context can be accepted."""
        uid = proposed.abstract_syntax
        return (uid == VERIFICATION or self.takes(uid)) and self.select(proposed) is not None


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

    def offers(self, requestor: Requestor, abstract_syntax: str) -> bool:  # noqa: ARG002 -- Services
        """Speak verification, and storage of what is taken."""
        return abstract_syntax == VERIFICATION or self._sop_classes.takes(abstract_syntax)

    def select(self, requestor: Requestor, proposed: ProposedContext) -> str | None:  # noqa: ARG002 -- Services
        """Choose a transfer syntax."""
        return self._sop_classes.select(proposed)

    async def answering(self, requestor: Requestor, peer: Peer) -> None:  # noqa: ARG002 -- Services
        """Count the association in; `ended` counts it out."""
        now_s = asyncio.get_running_loop().time()
        association = self.associations.begin(requestor, now_s)
        self._tell(AssociationBegan(association.caller))

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


def _is_other_service(uid: str) -> bool:
    """Tell whether the Standard gives a UID to something else than storage."""
    is_known = is_storage_class(uid) or uid.startswith(STORAGE_ROOT)
    return uid.startswith(DICOM_ROOT) and not is_known


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
