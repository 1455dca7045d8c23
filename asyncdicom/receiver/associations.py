"""The associations of a receiver that are open, and what came over each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.receiver.events import AssociationEnded, Caller

if TYPE_CHECKING:
    from asyncdicom.transports.associations.services import Requestor

__all__ = ["OpenAssociation", "OpenAssociations", "caller_of", "host_of"]


@dataclass(slots=True)
class OpenAssociation:
    """An association, and its counters."""

    caller: Caller
    began_s: float
    """Reading of the event loop's clock, in seconds."""
    stored: int = 0
    refused: int = 0
    byte_count: int = 0
    """Of data sets, whatever became of them."""
    in_flight: int = 0
    """Data sets on their way, up to the answer: 0 or 1 with peers that keep their window."""
    is_ending: bool = False
    """Whether no further data set is taken."""

    def ended(self, now_s: float, failure: str | None) -> AssociationEnded:
        """Return the event of its end."""
        duration_s = now_s - self.began_s
        counts = (self.stored, self.refused, self.byte_count)
        return AssociationEnded(self.caller, *counts, duration_s, failure)


class OpenAssociations:
    """Finds an association by its requestor, and counts those of a host."""

    def __init__(self) -> None:
        # Not by its address: two connections to two addresses of ours may come from one port.
        self._open: dict[int, OpenAssociation] = {}
        self._is_ending = False
        self._by_number: dict[int, OpenAssociation] = {}
        self._by_host: Counter[str] = Counter()
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, requestor: Requestor, now_s: float) -> OpenAssociation:
        """Number an association, and take note of it."""
        self._last_number += 1
        caller = caller_of(requestor, self._last_number)
        association = OpenAssociation(caller, now_s, is_ending=self._is_ending)
        self._open[id(requestor)] = association
        self._by_number[self._last_number] = association
        self._by_host[host_of(requestor)] += 1
        return association

    def of(self, requestor: Requestor) -> OpenAssociation:
        """Return the association of a requestor: of this very object."""
        return self._open[id(requestor)]

    def numbered(self, number: int) -> OpenAssociation | None:
        """Return an association by its number, or None if it has ended."""
        return self._by_number.get(number)

    def end(self, requestor: Requestor) -> OpenAssociation:
        """Forget an association, and return it."""
        host = host_of(requestor)
        self._by_host[host] -= 1
        if not self._by_host[host]:
            del self._by_host[host]
        association = self._open.pop(id(requestor))
        del self._by_number[association.caller.association]
        return association

    def end_soon(self) -> None:
        """Let none of them, and none that comes, take a further data set."""
        self._is_ending = True
        for association in self._open.values():
            association.is_ending = True

    def quiet(self) -> frozenset[int]:
        """Return the numbers of those that have no data set on its way."""
        return frozenset(number for number, one in self._by_number.items() if not one.in_flight)

    def count_of(self, host: str) -> int:
        """Return how many a host has."""
        return self._by_host[host]


def caller_of(requestor: Requestor, number: int = 0) -> Caller:
    """Return who asks, for events."""
    return Caller(
        number,
        requestor.address,
        requestor.calling_ae.strip(" "),
        requestor.called_ae.strip(" "),
    )


def host_of(requestor: Requestor) -> str:
    """Return the IP address of a peer, without its port."""
    host, _, _ = requestor.address.rpartition(":")
    return (host or requestor.address).strip("[]")
