"""What an association tells whoever uses it: indications and confirmations (PS3.8 §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    PdvFragment,
    ReleaseRequest,
    ReleaseResponse,
)
from asyncdicom.protocol.upper_layer.table import Event

if TYPE_CHECKING:
    from asyncdicom.protocol.upper_layer.negotiation import Negotiated
    from asyncdicom.protocol.upper_layer.pdu import Pdu

__all__ = [
    "EVENT_OF",
    "AssociationAccepted",
    "AssociationEvent",
    "AssociationReleased",
    "AssociationRequested",
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

    In a collision the acceptor of the association answers only after
    `AssociationReleased` (PS3.8 §7.2.2): see `AssociationMachine.may_respond_to_release`.
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

EVENT_OF: Final[dict[type[Pdu | PdvFragment], Event]] = {
    AssociateAccept: Event.EVT3,
    AssociateReject: Event.EVT4,
    AssociateRequest: Event.EVT6,
    PdvFragment: Event.EVT10,
    ReleaseRequest: Event.EVT12,
    ReleaseResponse: Event.EVT13,
    Abort: Event.EVT16,
}
"""What happens when a PDU arrives (PS3.8 Table 9-7)."""
