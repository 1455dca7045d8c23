"""What is proposed and what is agreed on, without the machine (PS3.8 §7.1.1, PS3.7 Annex D).

request = propose(contexts, requestor)       # -> AssociateRequest, IDs 1, 3, 5...
negotiated = negotiate(request, accept)      # requestor: check and combine
answer = accept(request, results, acceptor)  # acceptor: -> AssociateAccept
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncdicom.protocol.upper_layer.user_information import AsyncOperationsWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.protocol.upper_layer.pdu import (
        AnsweredContext,
        AssociateAccept,
        AssociateRequest,
    )
    from asyncdicom.protocol.upper_layer.user_information import UserIdentity, UserItem

__all__ = [
    "ContextProposal",
    "Negotiated",
    "NegotiatedContext",
    "Party",
    "accept",
    "negotiate",
    "propose",
]


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
    """What we say about ourselves."""

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
    """What became of one proposed context. A refusal is information, not an error."""

    context_id: int
    abstract_syntax: str
    result: int
    """0 is acceptance (PS3.8 Table 9-18)."""
    transfer_syntax: str = ""
    """Empty unless accepted."""
    is_scu: bool = True
    """Whether the requestor may play the SCU."""
    is_scp: bool = False
    """Whether the requestor may play the SCP."""

    @property
    def is_accepted(self) -> bool:
        """Whether data may be sent in this context."""
        return self.result == 0


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed on."""

    contexts: tuple[NegotiatedContext, ...]
    """All that were proposed, in the order of the request."""
    peer_max_pdu_bytes: int
    """Longest variable field of a P-DATA-TF that the peer takes, in bytes; 0 is no limit."""
    request: AssociateRequest
    answer: AssociateAccept


def propose(contexts: Sequence[ContextProposal], party: Party) -> AssociateRequest:
    """Make a request: contexts get the IDs 1, 3, 5...

    Raises:
        ConfigError: If there are none or more than 128, or an AE title is none.

    """
    raise NotImplementedError


def accept(
    request: AssociateRequest,
    results: Sequence[AnsweredContext],
    *,
    max_pdu_bytes: int,
    extra: Sequence[UserItem] = (),
) -> AssociateAccept:
    """Make an answer: AE titles as asked, roles as proposed, window 1 and 1."""
    raise NotImplementedError


def negotiate(request: AssociateRequest, answer: AssociateAccept) -> Negotiated:
    """Combine request and answer.

    Raises:
        ProtocolError: If the answer accepts what was not proposed.

    """
    raise NotImplementedError
