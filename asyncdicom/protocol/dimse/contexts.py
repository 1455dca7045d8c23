"""Which storage contexts to propose, and over how many associations (PS3.8 §9.3.2.2).

    for contexts in storage_proposals(sop_classes, COMMON_TRANSFER_SYNTAXES):
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
from typing import TYPE_CHECKING, Final

from asyncdicom.protocol.dimse.sop_classes import LIKELY_STORAGE_CLASSES, is_image_class
from asyncdicom.protocol.dimse.transfer_syntaxes import is_for_any_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MAX_CONTEXTS", "PresentationContext", "storage_proposals"]

MAX_CONTEXTS: Final = 128
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
    is_thorough: bool = False,
) -> list[tuple[PresentationContext, ...]]:
    """Return the storage contexts, SCP role, split into what one association may propose.

    Those of likely classes come first; smaller groups fill what room is left.

    Args:
        sop_classes: Storage SOP Class UIDs, none if nothing is known: then those are
            proposed that archives hold most of.
        transfer_syntaxes: Wanted ones, in order of preference.
        counts: Instances per SOP Class UID, where known: the most come first.
        reserved: Contexts to leave room for in each, as that of the C-GET itself, 0 to 127.
        is_thorough: Propose compressions for classes without pixels too: for a second
            try, as a few archives label such instances with them.

    """
    room = MAX_CONTEXTS - reserved
    proposals: list[list[PresentationContext]] = []
    for sop_class in _by_likelihood(sop_classes, counts or {}):
        wanted = _wanted(sop_class, transfer_syntaxes, is_thorough=is_thorough)
        contexts = [PresentationContext(sop_class, (one,), is_scp=True) for one in wanted]
        for start in range(0, len(contexts), room):
            _place(contexts[start : start + room], proposals, room)
    return [tuple(proposal) for proposal in proposals]


def _by_likelihood(sop_classes: Iterable[str], counts: Mapping[str, int]) -> list[str]:
    distinct = list(dict.fromkeys(sop_classes)) or list(LIKELY_STORAGE_CLASSES)
    last = len(_RANKS)
    return sorted(distinct, key=lambda uid: (-counts.get(uid, 0), _RANKS.get(uid, last)))


def _wanted(
    sop_class: str, transfer_syntaxes: Sequence[str], *, is_thorough: bool
) -> Sequence[str]:
    distinct = list(dict.fromkeys(transfer_syntaxes))
    if is_thorough or is_image_class(sop_class):
        return distinct
    # Who asks for one compression only gets it proposed as it is.
    return [one for one in distinct if is_for_any_class(one)] or distinct


def _place(
    contexts: list[PresentationContext], proposals: list[list[PresentationContext]], room: int
) -> None:
    """Put contexts that stay together where they fit first."""
    for proposal in proposals:
        if len(proposal) + len(contexts) <= room:
            proposal.extend(contexts)
            return
    proposals.append(contexts)


_RANKS: Final = {uid: rank for rank, uid in enumerate(LIKELY_STORAGE_CLASSES)}
