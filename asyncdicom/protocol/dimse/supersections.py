"""Configuration files of DCMTK: entries in sections in supersections.

    [[TransferSyntaxes]]
    [Plain]
    TransferSyntax1 = LittleEndianExplicit

    tree = read_supersections(text, ("TransferSyntaxes",))
    tree["TRANSFERSYNTAXES"]["PLAIN"].entries["TRANSFERSYNTAX1"].value

Rules:
    1. Case and blanks do not count in names and keys; they do in values.
    2. A comment begins with # in the first column. DCMTK takes one further right for the
       beginning of an entry, which swallows the next lines; we refuse it.
    3. What DCMTK would silently take for something else is refused, and told by its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Entry", "Section", "Tree", "failure", "folded", "read_supersections", "shown"]

LINE_END: Final = re.compile(r"\r\n|\r|\n")
BYTE_ORDER_MARK: Final = "\ufeff"
MAX_SHOWN_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One `Key = Value`."""

    key: str
    """As written."""
    value: str
    """Without blanks around it."""
    line: int
    """Counted from 1."""


@dataclass(frozen=True, slots=True)
class Section:
    """The entries below one `[Section]`."""

    name: str
    """As written."""
    line: int
    """Counted from 1."""
    entries: dict[str, Entry] = field(default_factory=dict)
    """By folded key."""


Tree: TypeAlias = dict[str, dict[str, Section]]
"""Sections by folded name of the supersection, then of the section."""


def folded(name: str) -> str:
    """Return a name so that it compares without case and blanks."""
    return "".join(name.split()).upper()


def shown(text: str) -> str:
    """Return text of the file so that it fits a message."""
    short = text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."
    return f"'{short}'" if short.isprintable() else repr(short)


def failure(line: int, message: str, *, hint: str) -> ConfigError:
    """Make the error about one line."""
    return ConfigError(f"line {line}: {message}", hint=hint)


def read_supersections(text: str, known: Sequence[str]) -> Tree:
    """Read a whole file.

    Args:
        text: Of the file.
        known: Names of the supersections that there are.

    Raises:
        ConfigError: If a line is none of the format; the message names it.

    """
    reader = _Reader(known)
    for number, line in enumerate(LINE_END.split(text.removeprefix(BYTE_ORDER_MARK)), start=1):
        reader.read(number, line)
    return reader.tree


class _Reader:
    """Takes the lines one by one, and remembers where it is."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = {folded(name): name for name in known}
        self.tree: Tree = {}
        self._sections: dict[str, Section] | None = None
        self._section: Section | None = None

    def read(self, number: int, line: str) -> None:
        text = line.strip()
        if not text or line.startswith("#"):
            return
        if text.startswith("#"):
            raise failure(
                number,
                "a comment has to begin in the first column",
                hint="DCMTK would take it for an entry; move the # to the beginning of the line",
            )
        if folded(text).startswith("[["):
            self._open_supersection(number, folded(text))
        elif text.startswith("["):
            self._open_section(number, text)
        else:
            self._add(number, text)

    def _open_supersection(self, number: int, text: str) -> None:
        name = text.removeprefix("[[").removesuffix("]]")
        if not text.endswith("]]") or name not in self._known:
            raise failure(
                number,
                f"no supersection {shown(text)}",
                hint=f"one of {', '.join(f'[[{one}]]' for one in self._known.values())}",
            )
        self._sections = self.tree.setdefault(name, {})
        self._section = None

    def _open_section(self, number: int, text: str) -> None:
        name = text[1:-1].strip()
        if not text.endswith("]") or not folded(name) or "[" in name or "]" in name:
            raise failure(
                number, f"not a section: {shown(text)}", hint="write [Name] on a line of its own"
            )
        if self._sections is None:
            raise failure(
                number,
                f"section {shown(name)} is in no supersection",
                hint=f"put [[{next(iter(self._known.values()))}]] or the like above it",
            )
        former = self._sections.get(folded(name))
        if former is not None:
            raise failure(
                number,
                f"section {shown(name)} was there in line {former.line}",
                hint="case and blanks do not count in names; give one of them another name",
            )
        self._section = self._sections[folded(name)] = Section(name, number)

    def _add(self, number: int, text: str) -> None:
        key, equals, value = text.partition("=")
        if not equals or not folded(key):
            raise failure(
                number,
                f"neither a section nor an entry: {shown(text)}",
                hint="write Key = Value, [Section] or [[Supersection]]",
            )
        if self._section is None:
            raise failure(
                number, f"{shown(key.strip())} is in no section", hint="put [Name] above it"
            )
        former = self._section.entries.get(folded(key))
        if former is not None:
            raise failure(
                number,
                f"{shown(key.strip())} was there in line {former.line}",
                hint="take one of the lines out, or number them 1, 2, 3, ...",
            )
        self._section.entries[folded(key)] = Entry(key.strip(), value.strip(), number)
