"""What is proposed and what is agreed on, without the machine (PS3.8 §7.1.1, PS3.7 Annex D).

    request = propose(contexts, party)           # requestor: IDs 1, 3, 5...
    answer = accept(request, results, ...)       # acceptor: roles as proposed, window 1 and 1
    negotiated = negotiate(request, answer)      # both: check and combine

Rule: a context that is refused is information, not an error; one that is accepted without
having been proposed is a mistake of the peer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError, ProtocolError
from asyncdicom.protocol.dimse.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from asyncdicom.protocol.upper_layer.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    ProposedContext,
    check_ae_title,
)
from asyncdicom.protocol.upper_layer.user_information import (
    AsyncOperationsWindow,
    ImplementationClass,
    ImplementationVersion,
    MaximumLength,
    RoleSelection,
    UserInformation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncdicom.protocol.upper_layer.user_information import UserIdentity, UserItem

__all__ = [
    "ACCEPTANCE",
    "MAX_CONTEXTS",
    "ContextProposal",
    "Negotiated",
    "NegotiatedContext",
    "Party",
    "accept",
    "negotiate",
    "propose",
]

MAX_CONTEXTS = 128
"""Of one request: their IDs are the odd numbers of one byte (PS3.8 §9.3.2.2)."""
ACCEPTANCE = 0
"""Result of an accepted context (PS3.8 Table 9-18)."""
_NOT_ANSWERED = 2
"""Result where the answer does not mention a context: no reason."""


@dataclass(frozen=True, slots=True)
class ContextProposal:
    """A SOP class, the transfer syntaxes it may be spoken in, and our roles."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    is_scu: bool = True
    is_scp: bool = False
    """If set, roles are negotiated (PS3.7 §D.3.3.4); they hold for the whole SOP class."""


@dataclass(frozen=True, slots=True)
class Party:
    """What a requestor says about itself and its peer."""

    called_ae: str
    calling_ae: str
    max_pdu_bytes: int
    """Longest variable field of a P-DATA-TF that we take, in bytes; 0 is no limit."""
    identity: UserIdentity | None = None
    async_operations: AsyncOperationsWindow = field(default_factory=AsyncOperationsWindow)
    extra: tuple[UserItem, ...] = ()
    """Further sub-items, such as `ExtendedNegotiation`."""


@dataclass(frozen=True, slots=True)
class NegotiatedContext:
    """What became of one proposed context."""

    context_id: int
    """Odd, 1 to 255."""
    abstract_syntax: str
    result: int
    """0 is acceptance; in words: `meanings.RESULTS`."""
    transfer_syntax: str = ""
    """Empty unless accepted."""
    is_scu: bool = True
    """Whether the requestor may play the SCU."""
    is_scp: bool = False
    """Whether the requestor may play the SCP."""

    @property
    def is_accepted(self) -> bool:
        """Whether data may be sent in this context."""
        return self.result == ACCEPTANCE


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed on."""

    contexts: tuple[NegotiatedContext, ...]
    """All that were proposed, in the order of the request."""
    request: AssociateRequest
    answer: AssociateAccept

    @property
    def accepted(self) -> tuple[NegotiatedContext, ...]:
        """Contexts in which data may be sent, in the order of the request."""
        return tuple(context for context in self.contexts if context.is_accepted)

    @property
    def async_operations(self) -> AsyncOperationsWindow:
        """How many operations may be outstanding: the smaller of what both sides said."""
        asked, answered = self.request.user.async_operations, self.answer.user.async_operations
        return AsyncOperationsWindow(
            _smaller(asked.max_invoked, answered.max_invoked),
            _smaller(asked.max_performed, answered.max_performed),
        )


def _smaller(one: int, other: int) -> int:
    """Return the smaller of two limits, of which 0 is none."""
    return min(one, other) or max(one, other)


def propose(contexts: Sequence[ContextProposal], party: Party) -> AssociateRequest:
    """Make a request: contexts get the IDs 1, 3, 5... in their order.

    Raises:
        ConfigError: If there are none or more than 128 contexts, or an AE title is none.

    """
    if not 1 <= len(contexts) <= MAX_CONTEXTS:
        raise ConfigError(
            f"{len(contexts)} presentation contexts", hint=f"1 to {MAX_CONTEXTS} fit into a request"
        )
    roles = _proposed_roles(contexts)
    identity = () if party.identity is None else (party.identity,)
    return AssociateRequest(
        called_ae=check_ae_title(party.called_ae, "called"),
        calling_ae=check_ae_title(party.calling_ae, "calling"),
        contexts=tuple(
            ProposedContext(2 * index + 1, context.abstract_syntax, context.transfer_syntaxes)
            for index, context in enumerate(contexts)
        ),
        user=_user_information(
            party.max_pdu_bytes, party.async_operations, *roles, *party.extra, *identity
        ),
    )


def _proposed_roles(contexts: Iterable[ContextProposal]) -> list[RoleSelection]:
    roles: dict[str, RoleSelection] = {}
    for context in contexts:
        uid = context.abstract_syntax
        known = roles.get(uid, RoleSelection(uid, is_scu=False, is_scp=False))
        roles[uid] = RoleSelection(
            uid,
            is_scu=known.is_scu or context.is_scu,
            is_scp=known.is_scp or context.is_scp,
        )
    # PS3.7 §D.3.3.4: without a selection, the requestor is SCU.
    return [role for role in roles.values() if role.is_scp]


def _user_information(max_pdu_bytes: int, *items: UserItem) -> UserInformation:
    return UserInformation(
        (
            MaximumLength(max_pdu_bytes),
            ImplementationClass(IMPLEMENTATION_CLASS_UID),
            ImplementationVersion(IMPLEMENTATION_VERSION_NAME),
            *items,
        )
    )


def accept(
    request: AssociateRequest,
    results: Sequence[AnsweredContext],
    *,
    max_pdu_bytes: int,
    extra: Sequence[UserItem] = (),
    grant: Callable[[RoleSelection], RoleSelection | None] = lambda proposed: proposed,
) -> AssociateAccept:
    """Make an answer: AE titles as in the request, window 1 and 1.

    Args:
        request: What was asked for.
        results: One for each context of the request.
        max_pdu_bytes: Longest variable field of a P-DATA-TF that we take; 0 is no limit.
        extra: Further sub-items, such as `UserIdentityResponse`.
        grant: Tells what of the roles proposed for a SOP class is granted; for None they
            are not answered, and the requestor is SCU.

    """
    accepted_ids = {one.context_id for one in results if one.result == ACCEPTANCE}
    accepted = {
        context.abstract_syntax
        for context in request.contexts
        if context.context_id in accepted_ids
    }
    asked = [role for uid, role in request.user.roles.items() if uid in accepted]
    roles = [role for role in map(grant, asked) if role is not None]
    # PS3.7 §D.3.3.3: the window is answered only where it was asked for.
    is_asked = request.user.first(AsyncOperationsWindow) is not None
    window = (AsyncOperationsWindow(),) if is_asked else ()
    return AssociateAccept(
        called_ae=request.called_ae,
        calling_ae=request.calling_ae,
        contexts=tuple(results),
        user=_user_information(max_pdu_bytes, *window, *roles, *extra),
    )


def negotiate(request: AssociateRequest, answer: AssociateAccept) -> Negotiated:
    """Combine request and answer.

    Raises:
        ProtocolError: If the answer accepts what was not proposed.

    """
    answered = {context.context_id: context for context in answer.contexts}
    unknown = answered.keys() - {context.context_id for context in request.contexts}
    if unknown:
        raise ProtocolError(f"presentation context {min(unknown)} was answered, not proposed")
    roles = _agreed_roles(request, answer)
    contexts = tuple(
        _combine(context, answered.get(context.context_id), roles) for context in request.contexts
    )
    return Negotiated(contexts, request, answer)


def _agreed_roles(request: AssociateRequest, answer: AssociateAccept) -> dict[str, RoleSelection]:
    # PS3.7 §D.3.3.4: a role holds if it was proposed and accepted; else the defaults do.
    allowed = answer.user.roles
    return {
        uid: RoleSelection(
            uid,
            is_scu=asked.is_scu and allowed[uid].is_scu,
            is_scp=asked.is_scp and allowed[uid].is_scp,
        )
        for uid, asked in request.user.roles.items()
        if uid in allowed
    }


def _combine(
    proposed: ProposedContext, answered: AnsweredContext | None, roles: dict[str, RoleSelection]
) -> NegotiatedContext:
    uid = proposed.abstract_syntax
    if answered is None or answered.result != ACCEPTANCE:
        result = _NOT_ANSWERED if answered is None else answered.result
        return NegotiatedContext(proposed.context_id, uid, result)
    if answered.transfer_syntax not in proposed.transfer_syntaxes:
        raise ProtocolError(
            f"context {proposed.context_id} was accepted with a transfer syntax not proposed"
        )
    role = roles.get(uid, RoleSelection(uid, is_scu=True, is_scp=False))
    return NegotiatedContext(
        proposed.context_id,
        uid,
        ACCEPTANCE,
        answered.transfer_syntax,
        is_scu=role.is_scu,
        is_scp=role.is_scp,
    )
