"""The list of DIMSE faults, and what each of them changes; `dimse_wrongs` misbehaves.

Four kinds of effects, by what they take hold of:

* an *admission* is changed before the association is answered;
* a *manner* is how a query or retrieval is performed, and how it ends;
* an *interruption* happens between two answers, or inside of a data set;
* a *transmission* sends one instance in another way than it should.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncdicom.protocol.upper_layer.pdu import AssociateReject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from asyncdicom.mock.dimse_channel import Scene, Sending
    from asyncdicom.mock.registry import Settings

__all__ = [
    "ANYWHERE",
    "BYTES",
    "DIMSE_EFFECTS",
    "INTERRUPTING",
    "QUERIES",
    "Admission",
    "DimseEffect",
    "Manner",
    "Outcome",
    "dimse_status_effect",
    "interruption",
    "transmission",
]

QUERIES: Final = ("find", "get", "move")
BYTES: Final = (*QUERIES, "suboperation")
"""Where data is sent."""
ANYWHERE: Final = ("association", *BYTES, "release")

_RETRIEVALS: Final = ("get", "move")

SENT = "answers or sub-operations before it (default: 0)"

INTERRUPTING: Final = {
    "sent": SENT,
    "at": "suboperation: bytes of the data set sent before it (default: half of it)",
}
"""Options of each interruption."""


@dataclass(frozen=True, slots=True)
class Admission:
    """How an association is answered."""

    reject: AssociateReject | None = None
    refused: str = ""
    """Pattern of the abstract syntaxes that are refused; empty for none."""
    interrupt: Callable[[Scene], Awaitable[None]] | None = None
    """Happens instead of the answer."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a request is performed."""

    status: int | None = None
    """Ends with it, whatever happened; None for the true one."""
    sent: int | None = None
    """Answers or sub-operations before the end, or the interruption; None for all."""
    interrupt: Callable[[Scene], Awaitable[None]] | None = None
    repeats: int = 1
    """How often each pending response is sent."""
    miscounted: int = 0
    """More sub-operations are said to be completed than were."""
    requests_ahead: int = 1
    """C-STORE requests that are sent before one is answered."""
    stops_at_first: bool = False
    lists_failed: bool = True
    level: str = ""
    """What answers say their level is, if it is not the true one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a retrieval takes a sub-operation for."""

    status: int = 0x0000


Admit: TypeAlias = "Callable[[Admission, Settings], Admission]"
Behave: TypeAlias = "Callable[[Manner, Settings], Manner]"
Interrupt: TypeAlias = "Callable[[Scene, Settings], Awaitable[None]]"
Transmit: TypeAlias = "Callable[[Sending, Settings], Awaitable[Outcome]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DimseEffect:
    """One entry of the list of DIMSE faults."""

    name: str
    summary: str
    kinds: frozenset[str]
    """What it can happen to; all of it, where a fault names none."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What each option means, with its default."""
    admit: Admit | None = None
    behave: Behave | None = None
    interrupt: Interrupt | None = None
    transmit: Transmit | None = None


DIMSE_EFFECTS: dict[str, DimseEffect] = {}
"""All effects by name, in the order in which they are listed."""


def admission(name: str, summary: str, **options: str) -> Callable[[Admit], Admit]:
    """Register a function that changes how associations are answered."""

    def register(act: Admit) -> Admit:
        kinds = frozenset({"association"})
        DIMSE_EFFECTS[name] = DimseEffect(
            name=name, summary=summary, kinds=kinds, options=options, admit=act
        )
        return act

    return register


def manner(
    name: str, kinds: tuple[str, ...], summary: str, **options: str
) -> Callable[[Behave], Behave]:
    """Register a function that changes how requests are performed."""

    def register(act: Behave) -> Behave:
        DIMSE_EFFECTS[name] = DimseEffect(
            name=name, summary=summary, kinds=frozenset(kinds), options=options, behave=act
        )
        return act

    return register


def interruption(
    name: str, kinds: tuple[str, ...], summary: str, **options: str
) -> Callable[[Interrupt], Interrupt]:
    """Register a function that breaks in on what a peer asked for."""

    def register(act: Interrupt) -> Interrupt:
        DIMSE_EFFECTS[name] = DimseEffect(
            name=name,
            summary=summary,
            kinds=frozenset(kinds),
            options=INTERRUPTING | options,
            interrupt=act,
        )
        return act

    return register


def transmission(name: str, summary: str, **options: str) -> Callable[[Transmit], Transmit]:
    """Register a function that sends an instance."""

    def register(act: Transmit) -> Transmit:
        kinds = frozenset({"suboperation"})
        DIMSE_EFFECTS[name] = DimseEffect(
            name=name, summary=summary, kinds=kinds, options=options, transmit=act
        )
        return act

    return register


def dimse_status_effect(name: str) -> DimseEffect | None:
    """Return the effect that ends with a DIMSE status of four hexadecimal digits, or None."""
    if not re.fullmatch(r"[0-9A-Fa-f]{4}", name):
        return None
    return DimseEffect(
        name=name,
        summary=f"end with status {name.upper()}",
        kinds=frozenset({"echo", "store", *QUERIES}),
        options={"sent": SENT},
        behave=partial(end_with, int(name, 16)),
    )


def end_with(status: int, manner: Manner, settings: Settings) -> Manner:
    """End with a status."""
    return replace(manner, status=status, sent=settings.number("sent", 0))


@admission(
    "reject",
    "refuse the association (default: 1/1/7, called AE title not recognized)",
    result="1 permanent, 2 transient",
    source="1 service user, 2 ACSE, 3 presentation",
    reason="see PS3.8 Table 9-21; 2/3/1 is congestion, 2/3/2 a local limit",
)
def reject(admission: Admission, settings: Settings) -> Admission:
    """Refuse an association."""
    numbers = (settings.number(*one) for one in (("result", 1), ("source", 1), ("reason", 7)))
    return replace(admission, reject=AssociateReject(*numbers))


@admission(
    "refuse-contexts",
    "accept the association, but not its presentation contexts",
    uid="pattern of the SOP classes that are refused (default: `*`, all)",
)
def refuse_contexts(admission: Admission, settings: Settings) -> Admission:
    """Refuse presentation contexts."""
    return replace(admission, refused=settings.text("uid", "*"))


@manner(
    "pending-flood",
    _RETRIEVALS,
    "send each pending response many times",
    n="times (default: 100000)",
)
def pending_flood(manner: Manner, settings: Settings) -> Manner:
    """Say again and again that it goes on."""
    return replace(manner, repeats=settings.number("n", 100_000))


@manner("answer-flood", ("find",), "send each answer many times", n="times (default: 100000)")
def answer_flood(manner: Manner, settings: Settings) -> Manner:
    """Answer and answer."""
    return replace(manner, repeats=settings.number("n", 100_000))


@manner("wrong-level", ("find",), "say another level in answers", to="level (default: PATIENT)")
def wrong_level(manner: Manner, settings: Settings) -> Manner:
    """Answer for another level than was asked for."""
    return replace(manner, level=settings.text("to", "PATIENT"))


@manner(
    "miscount",
    _RETRIEVALS,
    "say that more sub-operations completed than did",
    by="more (default: 1)",
)
def miscount(manner: Manner, settings: Settings) -> Manner:
    """Count wrongly."""
    return replace(manner, miscounted=settings.number("by", 1))


@manner("unlisted", _RETRIEVALS, "leave the Failed SOP Instance UID List out")
def unlisted(manner: Manner, _settings: Settings) -> Manner:
    """Keep silent about which sub-operations failed."""
    return replace(manner, lists_failed=False)


@manner(
    "stop-at-first",
    _RETRIEVALS,
    "end with C000 at the first instance that cannot be sent, as Orthanc does",
)
def stop_at_first(manner: Manner, _settings: Settings) -> Manner:
    """Give up at the first failure."""
    return replace(manner, stops_at_first=True)


@manner(
    "window",
    ("get",),
    "send C-STORE requests without waiting for answers, though no window was negotiated",
    n="requests at once (default: 4)",
)
def window(manner: Manner, settings: Settings) -> Manner:
    """Send ahead."""
    return replace(manner, requests_ahead=settings.number("n", 4))
