"""Commands of hooks: how they are written, and what is put into them.

    command = HookCommand.parse("mail -s {calling_ae} admin", PLACEHOLDERS["association"])
    command.arguments({"calling_ae": "CT01", ...})      # ["mail", "-s", "CT01", "admin"]

A command is split into arguments once, when it is read, by the rules of a shell (quotes,
backslash); then `{placeholders}` are replaced inside of single arguments, `{{` and `}}` are
braces. What was received can so become part of an argument, but never an argument more.

Rule: what a peer sends is not to be taken for an option. An argument that begins with a
placeholder never begins with `-` afterwards: each leading `-` becomes `_`. A placeholder
right behind a `-` is refused, and so is one inside of a script for a shell. The values are
in the environment, too, with their `-`: `ASYNCDICOM_CALLING_AE`.
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Self

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["PLACEHOLDERS", "HookCommand", "environment"]

_OF_CALLER = ("association", "address", "calling_ae", "called_ae")

PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {
    "object": (
        *_OF_CALLER,
        *("file", "path", "folder", "root", "bytes", "sha256", "sop_class_uid"),
        *("sop_instance_uid", "series_instance_uid", "study_instance_uid", "transfer_syntax_uid"),
    ),
    "association": (*_OF_CALLER, "root", "stored", "refused", "bytes", "seconds", "failure"),
    "study": ("study_instance_uid", "root", "instances", "replaced", "bytes", "calling_aes"),
}
"""What each kind of hook knows. `file` and `folder` are absolute, `path` is relative to `root`."""

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<name>[a-z_0-9]+)\}|[{}]")
_OPTION_OF_A_PEER = re.compile(r"-+\{(?!\{)")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh"})
_SCRIPT_OPTION = re.compile(r"-[a-z]*c")


@dataclass(frozen=True, slots=True)
class HookCommand:
    """A command with placeholders."""

    template: tuple[str, ...]
    """Its arguments, the program first."""

    @classmethod
    def parse(cls, text: str, known: Collection[str]) -> Self:
        """Read a command.

        Args:
            text: As the user wrote it.
            known: Placeholders that it may use.

        Raises:
            ConfigError: If it is empty, a quote is open, a placeholder is unknown, or one
                stands where a peer could choose an option or write a script.

        """
        try:
            arguments = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"a hook cannot be read: {error}", hint="close its quotes") from error
        if not arguments:
            raise ConfigError("a hook is empty", hint="name a program")
        _check_program(arguments)
        for argument in arguments:
            _check_argument(argument, known)
        return cls(tuple(arguments))

    @property
    def program(self) -> str:
        """What is run."""
        return self.template[0]

    def arguments(self, values: Mapping[str, str]) -> list[str]:
        """Put values into the command."""
        return [_filled(argument, values) for argument in self.template]


def environment(values: Mapping[str, str]) -> dict[str, str]:
    """Return values as variables of the environment."""
    return {f"ASYNCDICOM_{name.upper()}": value for name, value in values.items()}


def _check_program(arguments: list[str]) -> None:
    if _has_placeholder(arguments[0]):
        raise ConfigError("the program of a hook is no placeholder", hint="name a program")
    if PurePath(arguments[0]).name not in _SHELLS:
        return
    for option, script in itertools.pairwise(arguments):
        if _SCRIPT_OPTION.fullmatch(option) and _has_placeholder(script):
            raise ConfigError(
                "a placeholder inside of a script lets peers run commands",
                hint="""pass it as an argument: sh -c 'echo "$1"' sh {calling_ae}""",
            )


def _check_argument(argument: str, known: Collection[str]) -> None:
    for token in _TOKEN.finditer(argument):
        name = token["name"]
        if (name is None and token[0] in "{}") or (name is not None and name not in known):
            raise ConfigError(
                f"a hook has an unknown placeholder at {argument[token.start() :]!r}",
                hint=f"known here: {', '.join(known)}; braces are written {{{{ and }}}}",
            )
    if _OPTION_OF_A_PEER.match(argument):
        raise ConfigError(
            f"in {argument!r} a peer could choose the option",
            hint="put the placeholder into an argument of its own, or behind =",
        )


def _has_placeholder(argument: str) -> bool:
    return any(token["name"] for token in _TOKEN.finditer(argument))


def _filled(argument: str, values: Mapping[str, str]) -> str:
    filled = _TOKEN.sub(lambda token: _replacement(token, values), argument)
    if argument.startswith("-"):
        return filled
    rest = filled.lstrip("-")
    return "_" * (len(filled) - len(rest)) + rest


def _replacement(token: re.Match[str], values: Mapping[str, str]) -> str:
    name = token["name"]
    return token[0][0] if name is None else values[name]
