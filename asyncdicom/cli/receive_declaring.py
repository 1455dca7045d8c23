"""How the options of `asyncdicom receive` are declared.

Each reads `ASYNCDICOM_RECEIVE_<LONG NAME>` from the environment, and knows the section of
the help that it is in.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ReceiveOption", "Section", "chosen", "flag", "option"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Section(StrEnum):
    """A section of the help."""

    GENERAL = "General"
    NETWORK = "Network"
    TLS = "TLS"
    OUTPUT = "Output"
    EVENTS = "Events"


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
