"""A small language for faults, and the decision which request meets which fault.

    NAME[:KIND[+KIND…]][:option=value[,option=value…]]

    truncate:instance:times=1                the first instance ends early, cleanly
    503:study+series:retry-after=2,times=3   the first three are sent away for two seconds
    cut:instance:every=5,at=1000             every fifth breaks after 1000 bytes
    404:path=*/instances/1.2.3*              by path, as a shell would match it
    reset:frame:probability=0.01,seed=7      one in a hundred, the same ones in each run

NAME is one of `effects.EFFECTS`, or a status. KIND is study, series, instance,
metadata, frame, bulkdata, rendered, thumbnail, search, or any (the default).
These options say which of the matching requests are met:

    path=GLOB        only paths that match
    nth=N            only the N-th matching request, from 1
    every=N          only each N-th
    after=N          not the first N
    times=N          at most N times
    per=path         count the above for each path on its own
    probability=P    with a chance of 0 to 1; depends on seed, path and how often
                     the path was asked for, not on the order of requests
    seed=N           another throw of these dice

All others belong to the effect. Of several faults, the first that is due wins;
each counts all requests that match it.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from asyncdicom.errors import ConfigError
from asyncdicom.mock.effects import EFFECTS, status_effect
from asyncdicom.mock.registry import Effect, Settings
from asyncdicom.model import Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Fault", "FaultPlan", "Plan", "Selector", "parse_fault"]

KINDS = frozenset(resource.value for resource in Resource) - {"object", "listing"}


class Planned(Protocol):
    """A fault of whatever face."""

    @property
    def selector(self) -> Selector:
        """Which requests it is for."""


class Described(Protocol):
    """An effect of whatever face."""

    @property
    def name(self) -> str:
        """As faults write it."""

    @property
    def options(self) -> Mapping[str, str]:
        """What each option means."""


F = TypeVar("F", bound=Planned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which requests a fault is for."""

    kinds: frozenset[str] = KINDS
    path: str = "*"
    nth: int | None = None
    every: int = 1
    after: int = 0
    times: int | None = None
    per_path: bool = False
    probability: float = 1.0
    seed: int = 0

    def matches(self, kind: str | None, path: str) -> bool:
        """Tell whether a request is counted; kind is None where nothing lives at the path."""
        is_kind = kind in self.kinds or self.kinds == KINDS
        return is_kind and fnmatch.fnmatchcase(path, self.path)

    def is_due(self, seen: int, applied: int) -> bool:
        """Tell whether the seen-th request is met, of which some were met before."""
        if self.times is not None and applied >= self.times:
            return False
        if self.nth is not None and seen != self.nth:
            return False
        return seen > self.after and (seen - self.after) % self.every == 0

    def is_drawn(self, path: str, seen_path: int) -> bool:
        """Throw the dice for the seen_path-th request of a path."""
        if self.probability >= 1:
            return True
        thrown = hashlib.sha256(f"{self.seed} {seen_path} {path}".encode()).digest()
        return int.from_bytes(thrown[:8], "big") / 2**64 < self.probability


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what happens, and to whom."""

    effect: Effect
    selector: Selector = field(default_factory=Selector)
    settings: Settings = field(default_factory=Settings)
    text: str = ""
    """As it was written."""

    def __str__(self) -> str:
        return self.text or self.effect.name


def parse_fault(text: str) -> Fault:
    """Read a fault.

    Raises:
        ConfigError: If a name is unknown, or a value is of the wrong kind.

    """
    name, _, rest = text.strip().partition(":")
    effect = EFFECTS.get(name) or status_effect(name)
    if effect is None:
        raise ConfigError(f"unknown fault: {name!r}", hint="`mock --list-faults` lists them")
    first, _, others = rest.partition(":")
    kinds, options = ("", rest) if "=" in first else (first, others)
    pairs = read_pairs(options, text)
    selector = read_selector(kinds, pairs, text)
    return Fault(effect, selector, read_settings(effect, pairs, text), text.strip())


def read_pairs(options: str, text: str) -> dict[str, str]:
    """Split `option=value,…`."""
    pairs = {}
    for option in filter(None, options.split(",")):
        name, equals, value = option.partition("=")
        if not equals:
            raise ConfigError(f"option without a value in fault {text!r}: {option!r}")
        pairs[name.strip()] = value.strip()
    return pairs


def read_selector(
    kinds: str, pairs: dict[str, str], text: str, known: frozenset[str] = KINDS
) -> Selector:
    """Take what belongs to the selector out of the pairs; `any` is all known kinds."""
    names = frozenset(filter(None, kinds.split("+"))) or {"any"}
    if unknown := names - known - {"any"}:
        hint = f"kinds are {', '.join(sorted(known))}, any"
        raise ConfigError(f"unknown kind in fault {text!r}: {min(unknown)!r}", hint=hint)
    counts = {
        name: read_number(name, pairs.pop(name), text)
        for name in ("nth", "every", "after", "times", "seed")
        if name in pairs
    }
    per = pairs.pop("per", "")
    if per not in {"", "path"} or counts.get("every") == 0:
        raise ConfigError(f"per has to be 'path', and every at least 1, in fault {text!r}")
    return Selector(
        kinds=known if "any" in names else frozenset(names),
        path=pairs.pop("path", "*"),
        per_path=per == "path",
        probability=read_probability(pairs.pop("probability", "1"), text),
        **counts,
    )


def read_probability(value: str, text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        probability = float(value)
    except ValueError:
        probability = -1
    if not 0 <= probability <= 1:
        raise ConfigError(f"probability in fault {text!r} is not 0 to 1: {value!r}")
    return probability


def read_number(name: str, value: str, text: str) -> int:
    """Read an integer."""
    try:
        return int(value)
    except ValueError:
        raise ConfigError(f"{name} in fault {text!r} is no number: {value!r}") from None


def read_settings(effect: Described, pairs: dict[str, str], text: str) -> Settings:
    """Check what is left against the options of the effect."""
    for name in pairs:
        if name not in effect.options:
            known = ", ".join(effect.options) or "none"
            raise ConfigError(
                f"unknown option in fault {text!r}: {name!r}",
                hint=f"{effect.name} knows: {known}; selectors: see `mock --list-faults`",
            )
    settings = Settings(pairs)
    settings.check(text)
    return settings


class Plan(Generic[F]):
    """Faults with their counters: decides once per request, in order of arrival.

    Args:
        faults: First come, first served.

    """

    def __init__(self, faults: Iterable[F] = ()) -> None:
        self.faults = tuple(faults)
        self._seen: Counter[tuple[int, str]] = Counter()
        self._applied: Counter[tuple[int, str]] = Counter()

    def decide(self, kind: str | None, path: str) -> F | None:
        """Return the fault that a request meets, or None.

        Args:
            kind: What is asked for (a `Resource` value), None where nothing lives at the path.
            path: Path of the request.

        """
        chosen = None
        for at, fault in enumerate(self.faults):
            if fault.selector.matches(kind, path) and self._is_due(at, fault, path):
                chosen = chosen if chosen is not None else at
        if chosen is None:
            return None
        self._applied[self._key(chosen, path)] += 1
        return self.faults[chosen]

    def _key(self, at: int, path: str) -> tuple[int, str]:
        return (at, path if self.faults[at].selector.per_path else "")

    def _is_due(self, at: int, fault: F, path: str) -> bool:
        """Count a request, and tell whether the fault is due for it."""
        key, path_key = self._key(at, path), (at, f"path {path}")
        self._seen[path_key] += 1
        if key != path_key:
            self._seen[key] += 1
        is_due = fault.selector.is_due(self._seen[key], self._applied[key])
        return is_due and fault.selector.is_drawn(path, self._seen[path_key])


class FaultPlan(Plan[Fault]):
    """Faults of DICOMweb.

    Args:
        faults: As text, or read already.

    """

    def __init__(self, faults: Iterable[Fault | str] = ()) -> None:
        super().__init__(f if isinstance(f, Fault) else parse_fault(f) for f in faults)
