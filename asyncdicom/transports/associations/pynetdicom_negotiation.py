"""What pynetdicom proposes for us, and what became of it (PS3.7 §D.3, PS3.8 §7.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom.uid import UID
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext

from asyncdicom.errors import ProtocolError
from asyncdicom.ports.dimse import AcceptedContext, PeerFacts
from asyncdicom.protocol.upper_layer.user_information import (
    AsyncOperationsWindow,
    ExtendedNegotiation,
    RoleSelection,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynetdicom.association import Association

    from asyncdicom.ports.dimse import Proposal
    from asyncdicom.protocol.upper_layer.pdu import AssociateAccept, AssociateRequest
    from asyncdicom.transports.associations.settings import DimseSettings

__all__ = [
    "accepted_contexts",
    "answer_contexts",
    "answer_items",
    "check_answer",
    "negotiation_items",
    "peer_facts",
]


def negotiation_items(settings: DimseSettings, proposal: Proposal) -> Iterator[Any]:
    """Yield roles, extended negotiation and user identity (PS3.7 §D.3.3)."""
    roles = {one.abstract_syntax for one in proposal.contexts if one.is_scp}
    both = {one.abstract_syntax for one in proposal.contexts if not one.is_scp}
    for uid in sorted(roles):
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid = uid
        role.scu_role, role.scp_role = uid in both, True
        yield role
    for uid, information in proposal.extended_negotiation:
        extended = SOPClassExtendedNegotiation()
        extended.sop_class_uid = uid
        extended.service_class_application_information = information
        yield extended
    if proposal.max_operations_invoked != 1:
        window = AsynchronousOperationsWindowNegotiation()
        window.maximum_number_operations_invoked = proposal.max_operations_invoked
        window.maximum_number_operations_performed = 1
        yield window
    if (who := settings.identity) is not None:
        identity = UserIdentityNegotiation()
        identity.user_identity_type = 1 if who.passcode is None else 2
        identity.primary_field = who.username.encode()
        if who.passcode is not None:
            identity.secondary_field = who.passcode.encode()
        yield identity


def check_answer(answer: A_ASSOCIATE, proposal: Proposal) -> None:
    """Make sure that nothing was accepted but what was proposed.

    Raises:
        ProtocolError: If it was.

    """
    proposed = {2 * n + 1: one.transfer_syntaxes for n, one in enumerate(proposal.contexts)}
    for context in answer.presentation_context_definition_results_list:
        syntaxes = proposed.get(context.context_id or 0)
        if syntaxes is None:
            raise ProtocolError(f"context {context.context_id} was answered, not proposed")
        if context.result == 0 and not set(map(str, context.transfer_syntax)) <= set(syntaxes):
            raise ProtocolError(
                f"context {context.context_id} was accepted with a transfer syntax not proposed"
            )


def accepted_contexts(association: Association) -> Iterator[AcceptedContext]:
    """Yield what the peer accepted, in the order of the IDs."""
    for context in association.accepted_contexts:
        assert context.context_id is not None, "each context was given an ID"
        yield AcceptedContext(
            context.context_id,
            str(context.abstract_syntax),
            str(context.transfer_syntax[0]),
            bool(context.as_scp),
        )


def peer_facts(association: Association) -> PeerFacts:
    """Return who the peer says it is, and how much it does at a time."""
    acceptor = association.acceptor
    return PeerFacts(
        str(acceptor.implementation_class_uid or ""),
        acceptor.implementation_version_name or "",
        acceptor.asynchronous_operations[0],
    )


def answer_contexts(
    request: AssociateRequest, answer: AssociateAccept
) -> list[PresentationContext]:
    """Return what pynetdicom answers to each context of a request."""
    answered = {one.context_id: one for one in answer.contexts}
    contexts = []
    for proposed in request.contexts:
        result, context = answered[proposed.context_id], PresentationContext()
        context.context_id = proposed.context_id
        context.abstract_syntax = UID(proposed.abstract_syntax)
        syntax = result.transfer_syntax or next(iter(proposed.transfer_syntaxes), "")
        context.transfer_syntax = [UID(syntax)]
        context.result = result.result
        contexts.append(context)
    return contexts


def answer_items(answer: AssociateAccept) -> Iterator[Any]:
    """Yield roles, extended negotiation and the window of an answer (PS3.7 §D.3.3)."""
    for item in answer.user.items:
        if isinstance(item, RoleSelection):
            role = SCP_SCU_RoleSelectionNegotiation()
            role.sop_class_uid = UID(item.sop_class_uid)
            role.scu_role, role.scp_role = item.is_scu, item.is_scp
            yield role
        elif isinstance(item, ExtendedNegotiation):
            extended = SOPClassExtendedNegotiation()
            extended.sop_class_uid = UID(item.sop_class_uid)
            extended.service_class_application_information = item.information
            yield extended
        elif isinstance(item, AsyncOperationsWindow):
            window = AsynchronousOperationsWindowNegotiation()
            window.maximum_number_operations_invoked = item.max_invoked
            window.maximum_number_operations_performed = item.max_performed
            yield window
