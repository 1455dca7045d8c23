"""Who may associate with a receiver: pure decisions, and how to refuse (PS3.8 Table 9-21).

    verdict = admit(Candidate("STORE", "CT01", "10.1.2.3", associations=2), admission)
    verdict is Verdict.ADMITTED, verdict.reason

Rule: the network is judged first, so that a stranger does not learn which AE titles there
are; what is permanent comes before what may pass, so that nobody waits in vain.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["Admission", "Candidate", "Verdict", "admit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Who may associate."""

    called_aes: frozenset[str] | None = None
    """What we are called; None answers to any name."""
    calling_aes: frozenset[str] | None = None
    """Who may call; None is anybody."""
    networks: tuple[IPv4Network | IPv6Network, ...] | None = None
    """Where from; None is anywhere."""
    max_associations_per_peer: int | None = None
    """Of one address at one time; the next is refused for now."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A peer that asks for an association."""

    called_ae: str
    """As sent; blanks around an AE title mean nothing (PS3.5 §6.2)."""
    calling_ae: str
    host: str
    """IP address."""
    associations: int = 0
    """How many it has already."""
    has_context: bool = True
    """Whether any of its presentation contexts is acceptable."""
    is_late: bool = False
    """Whether it comes while we are about to end."""


class Verdict(Enum):
    """What becomes of a candidate.

    Attributes:
        rejection: Result, source and reason of A-ASSOCIATE-RJ.
        reason: Why, in words.
        is_transient: Whether the peer may come again later.

    """

    ADMITTED = (0, 0, 0, "admitted")
    NETWORK_NOT_ALLOWED = (1, 1, 1, "its network is not allowed")
    CALLED_AE_UNKNOWN = (1, 1, 7, "we are not called like that")
    CALLING_AE_UNKNOWN = (1, 1, 3, "its AE title is not allowed")
    NO_CONTEXT = (1, 1, 1, "it offers nothing that we take")
    """PS3.8 Table 9-21 has no reason for this. An association in which nothing can be sent would
    hold a place; DCMTK's receiver refuses, too, so its clients expect that."""
    ENDING = (2, 3, 1, "we are about to end")
    """Temporary congestion: another one may listen here soon."""
    TOO_MANY_OF_PEER = (2, 3, 2, "it has as many associations as it may have")

    def __init__(self, result: int, source: int, code: int, reason: str) -> None:
        self.rejection = (result, source, code)
        self.reason = reason
        self.is_transient = result == 2


def admit(candidate: Candidate, admission: Admission) -> Verdict:
    """Decide on a candidate."""
    limit = admission.max_associations_per_peer
    if admission.networks is not None and not _is_within(candidate.host, admission.networks):
        return Verdict.NETWORK_NOT_ALLOWED
    if not _is_listed(candidate.called_ae, admission.called_aes):
        return Verdict.CALLED_AE_UNKNOWN
    if not _is_listed(candidate.calling_ae, admission.calling_aes):
        return Verdict.CALLING_AE_UNKNOWN
    if not candidate.has_context:
        return Verdict.NO_CONTEXT
    if candidate.is_late:
        return Verdict.ENDING
    if limit is not None and candidate.associations >= limit:
        return Verdict.TOO_MANY_OF_PEER
    return Verdict.ADMITTED


def _is_listed(title: str, allowed: frozenset[str] | None) -> bool:
    return allowed is None or title.strip(" ") in allowed


def _is_within(host: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False  # a connection that is already gone has none
    # A socket for both families shows IPv4 peers as ::ffff:10.1.2.3.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any((mapped or address) in network for network in networks)
