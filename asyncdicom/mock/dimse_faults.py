"""Faults of DIMSE, in the language of `faults`.

    NAME[:KIND[+KIND…]][:option=value[,option=value…]]

    A702:get:times=1                         the first retrieval runs out of resources
    abort:suboperation:nth=3,at=1000         the third instance ends after 1000 bytes
    reject:result=2,source=3,reason=2,times=4    four associations are refused for now
    lose:suboperation:path=*/1.2.3*          these instances are counted, and never sent
    C000:find:path=/find/SERIES*             queries for series fail

NAME is one of `dimse_effects.DIMSE_EFFECTS`, or a DIMSE status of four hexadecimal
digits. KIND is association, echo, find, get, move, store (what we receive), suboperation
(a C-STORE that we send for a get or a move) or release. Selectors are those of all faults;
the path of a request is

    /association/CALLING/CALLED    /echo    /find/LEVEL/UID    /get/LEVEL/UID
    /move/LEVEL/UID                /store/SOP-INSTANCE-UID     /release

and that of a sub-operation the path of its request and `/SOP-INSTANCE-UID`.

What breaks in on queries and retrievals, from `abort` to `ends-twice`, also knows

    sent=N           it happens after N answers or sub-operations (default: 0)
    at=N             suboperation: after N bytes of the data set (default: half of it)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.mock import dimse_wrongs  # noqa: F401 -- fills DIMSE_EFFECTS
from asyncdicom.mock.dimse_effects import DIMSE_EFFECTS, DimseEffect, dimse_status_effect
from asyncdicom.mock.faults import Plan, Selector, read_pairs, read_selector, read_settings
from asyncdicom.mock.registry import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DimseFault", "DimsePlan", "is_dimse_fault", "parse_dimse_fault"]


@dataclass(frozen=True, slots=True)
class DimseFault:
    """One fault: what happens, and to whom."""

    effect: DimseEffect
    selector: Selector = field(default_factory=Selector)
    settings: Settings = field(default_factory=Settings)
    text: str = ""
    """As it was written."""

    def __str__(self) -> str:
        return self.text or self.effect.name


def is_dimse_fault(text: str) -> bool:
    """Tell whether a fault is one of DIMSE; no other face has effects of the same names."""
    return _effect(text) is not None


def _effect(text: str) -> DimseEffect | None:
    name = text.strip().partition(":")[0]
    return DIMSE_EFFECTS.get(name) or dimse_status_effect(name)


def parse_dimse_fault(text: str) -> DimseFault:
    """Read a fault.

    Raises:
        ConfigError: If a name is unknown, or a value is of the wrong kind.

    """
    effect = _effect(text)
    if effect is None:
        hint = "`mock --list-faults` lists them"
        raise ConfigError(f"unknown fault: {text.partition(':')[0]!r}", hint=hint)
    first, _, others = text.strip().partition(":")[2].partition(":")
    kinds, options = ("", first) if "=" in first else (first, others)
    pairs = read_pairs(options, text)
    selector = read_selector(kinds, pairs, text, effect.kinds)
    settings = read_settings(effect, pairs, text)
    if settings.has("as") and dimse_status_effect(settings.text("as")) is None:
        raise ConfigError(f"in fault {text!r} is no status: {settings.text('as')!r}")
    return DimseFault(effect, selector, settings, text.strip())


class DimsePlan(Plan[DimseFault]):
    """Faults of DIMSE.

    Args:
        faults: As text, or read already.

    """

    def __init__(self, faults: Iterable[DimseFault | str] = ()) -> None:
        super().__init__(f if isinstance(f, DimseFault) else parse_dimse_fault(f) for f in faults)
