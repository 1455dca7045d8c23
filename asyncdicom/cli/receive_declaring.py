"""How the options of `asyncdicom receive` are declared.

Each reads `ASYNCDICOM_RECEIVE_<LONG NAME>` from the environment, and knows the section of
the help that it is in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ReceiveOption", "Seconds", "Section", "chosen", "flag", "option"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Section(StrEnum):
    """A section of the help."""

    GENERAL = "General"
    NETWORK = "Network"
    TLS = "TLS"
    OUTPUT = "Output"
    EVENTS = "Events"


class Seconds(click.FloatRange):
    """A time; what is no number (NaN) is within any bounds, and loops cannot wait for it."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a time."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value} is not a time", param, ctx)
        return seconds


class ReceiveOption(click.Option):
    """An option with the section of the help that it is in."""

    def __init__(self, *args: Any, section: Section, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


def option(section: Section, *names: str, **settings: Any) -> Callable[[F], F]:
    """Declare an option that takes a value, or values."""
    long_name = next(name for name in names if name.startswith("--"))
    variable = long_name.strip("-").upper().replace("-", "_")
    settings.setdefault("envvar", f"ASYNCDICOM_RECEIVE_{variable}")
    return click.option(*names, cls=ReceiveOption, section=section, **settings)


def flag(section: Section, *names: str, **settings: Any) -> Callable[[F], F]:
    """Declare an option that takes none."""
    return option(section, *names, is_flag=True, **settings)


def chosen(options: Mapping[str, Any], meanings: Mapping[str, T], default: T) -> T:
    """Return what the one flag that is set means.

    Args:
        options: Values by name; of options that exclude each other at most one is set.
        meanings: By name.
        default: If none is set.

    """
    return next((meaning for name, meaning in meanings.items() if options[name]), default)
