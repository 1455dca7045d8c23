"""The list of effects that faults can have, and the values of their options."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.mock.messages import Request, Response

__all__ = [
    "EFFECTS",
    "Apply",
    "Effect",
    "Rewrite",
    "Settings",
    "effect",
    "same_request",
    "same_response",
    "search_effect",
]

TEXT_OPTIONS = frozenset({"to", "retry-after", "as", "uid", "where", "key"})
"""Options whose values are text; `at` is a number or `head`; all others are numbers."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of an effect's options."""

    values: Mapping[str, str] = field(default_factory=dict)

    def check(self, fault: str) -> None:
        """Refuse values of the wrong kind.

        Raises:
            ConfigError: If a number is none.

        """
        for name, value in self.values.items():
            if name in TEXT_OPTIONS or (name, value) == ("at", "head"):
                continue
            if not _is_number(value, may_be_infinite=name == "s"):
                raise ConfigError(f"{name} in fault {fault!r} is no number: {value!r}")

    def number(self, name: str, default: int) -> int:
        """Return an integer."""
        return int(float(self.values.get(name, default)))

    def decimal(self, name: str, default: float) -> float:
        """Return a number."""
        return float(self.values.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        """Return text."""
        return self.values.get(name, default)

    def has(self, name: str) -> bool:
        """Tell whether an option was given."""
        return name in self.values


def _is_number(text: str, *, may_be_infinite: bool) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) or (may_be_infinite and number == math.inf)


Apply: TypeAlias = "Callable[[Request, Response, Settings], Response]"
"""Changes an answer."""

Rewrite: TypeAlias = "Callable[[Request, Settings], Request]"
"""Changes a request before it is answered, as a server with that bug would misread it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One entry of the list of faults."""

    name: str
    summary: str
    options: Mapping[str, str]
    """What each option means, with its default."""
    apply: Apply
    rewrite: Rewrite


EFFECTS: dict[str, Effect] = {}
"""All effects by name, in the order in which they are listed."""


def effect(name: str, summary: str, **options: str) -> Callable[[Apply], Apply]:
    """Register a function that changes answers."""

    def register(apply: Apply) -> Apply:
        EFFECTS[name] = Effect(name, summary, options, apply, same_request)
        return apply

    return register


def search_effect(name: str, summary: str, **options: str) -> Callable[[Rewrite], Rewrite]:
    """Register a function that misreads searches."""

    def register(rewrite: Rewrite) -> Rewrite:
        EFFECTS[name] = Effect(name, summary, options, same_response, rewrite)
        return rewrite

    return register


def same_request(request: Request, _settings: Settings) -> Request:
    """Change nothing."""
    return request


def same_response(_request: Request, response: Response, _settings: Settings) -> Response:
    """Change nothing."""
    return response
