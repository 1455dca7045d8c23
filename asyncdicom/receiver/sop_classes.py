"""Which SOP classes a receiver takes, and in which transfer syntaxes (PS3.4 §B.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncdicom.model import is_uid
from asyncdicom.protocol.dimse.sop_classes import (
    ALL_TRANSFER_SYNTAXES,
    VERIFICATION,
    is_storage_class,
)
from asyncdicom.protocol.upper_layer.user_information import RoleSelection

if TYPE_CHECKING:
    from asyncdicom.protocol.upper_layer.pdu import ProposedContext
    from asyncdicom.receiver.settings import ReceiverSettings

__all__ = ["SopClasses"]

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

    def granted(self, proposed: RoleSelection) -> RoleSelection | None:
        """Return the roles that a peer may have; None answers nothing: it is SCU."""
        uid = proposed.sop_class_uid
        if self._profile is None:
            return None
        roles = self._profile.granted_roles(uid, is_scu=proposed.is_scu, is_scp=proposed.is_scp)
        return None if roles is None else RoleSelection(uid, *roles)

    def extended(self, sop_class_uid: str) -> bytes | None:
        """Return the answer to extended negotiation that the profile has, or None."""
        if self._profile is None:
            return None
        return self._profile.extended_negotiation.get(sop_class_uid)


def _is_other_service(uid: str) -> bool:
    """Tell whether the Standard gives a UID to something else than storage."""
    is_known = is_storage_class(uid) or uid.startswith(STORAGE_ROOT)
    return uid.startswith(DICOM_ROOT) and not is_known
