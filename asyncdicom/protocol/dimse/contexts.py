"""Which storage contexts to propose, and over how many associations (PS3.8 §9.3.2.2).

    for contexts in storage_proposals(sop_classes, UNCOMPRESSED):
        Proposal((PresentationContext(STUDY_ROOT.get, UNCOMPRESSED), *contexts))

Rule: one context per transfer syntax. Of several in one context the acceptor picks
one, whatever its objects are compressed with, and then cannot send those that are not.

Rule: the contexts of one SOP class stay together, so that one association takes all
instances of it.

Rule: only images are compressed as images. For structured reports and the like none
of the compressions is proposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MAX_CONTEXTS", "PresentationContext", "storage_proposals"]

MAX_CONTEXTS = 128
"""Of one proposal: their IDs are the odd numbers of one byte (PS3.8 §9.3.2.2)."""


@dataclass(frozen=True, slots=True)
class PresentationContext:
    """One SOP class and the transfer syntaxes it may be spoken in (PS3.8 §7.1.1.13)."""

    abstract_syntax: str
    """SOP Class UID."""
    transfer_syntaxes: tuple[str, ...]
    """UIDs; the acceptor picks one."""
    is_scp: bool = False
    """We play the SCP (PS3.7 §D.3.3.4): the peer sends us C-STORE requests, as in a C-GET."""


def storage_proposals(
    sop_classes: Iterable[str],
    transfer_syntaxes: Sequence[str],
    *,
    counts: Mapping[str, int] | None = None,
    reserved: int = 1,
) -> list[tuple[PresentationContext, ...]]:
    """Return the storage contexts, SCP role, split into what one association may propose.

    Args:
        sop_classes: Storage SOP Class UIDs, none if nothing is known: then those are
            proposed that archives hold most of.
        transfer_syntaxes: Wanted ones, in order of preference.
        counts: Instances per SOP Class UID, where known: the most come first.
        reserved: Contexts to leave room for in each, as that of the C-GET itself.

    """
    raise NotImplementedError
