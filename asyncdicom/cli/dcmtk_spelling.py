"""Command lines as DCMTK's tools take them: command files, and the last word on a matter wins.

    words = expand_command_files(["@usual.txt", "11112", "+fsu"])
    words = canonical(words, spellings_of(command.params), groups)
        ["--output-directory", "in", "11112", "--short-unique-names"]

Rules:
* `@FILE` stands for the words in FILE, wherever it is; a word in it may stand between
  quotation marks. A command file names no other.
* Of options that exclude each other, the rightmost one counts; those before it are dropped
  with their values, whatever these are.
* A value is whatever stands behind its option, also if it begins with `-`.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

__all__ = ["Spelling", "canonical", "expand_command_files", "spellings_of"]


class Spelling(NamedTuple):
    """What a spelling stands for."""

    name: str
    """Long name, `--output-directory`."""
    values: int
    """Words that follow."""


class _Given(NamedTuple):
    """An option with its values, or a word that is none."""

    name: str | None
    words: tuple[str, ...]


def spellings_of(params: Iterable[click.Parameter]) -> dict[str, Spelling]:
    """Return every spelling of the options of a command."""
    found: dict[str, Spelling] = {}
    for param in params:
        if isinstance(param, click.Option):
            for spellings in (param.opts, param.secondary_opts):
                name = next((one for one in spellings if one.startswith("--")), "")
                values = 0 if param.is_flag else param.nargs
                found.update((spelling, Spelling(name, values)) for spelling in spellings)
    return found


def expand_command_files(words: Iterable[str]) -> list[str]:
    """Replace each `@FILE` by the words in it.

    Raises:
        click.UsageError: If a file cannot be read, has an open quotation, or names another.

    """
    expanded: list[str] = []
    for word in words:
        expanded += _words_in(word[1:]) if word[:1] == "@" and len(word) > 1 else [word]
    return expanded


def _words_in(name: str) -> list[str]:
    try:
        text = Path(name).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise click.UsageError(f"cannot read command file {name!r}: {error.strerror}") from error
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = lexer.escape = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise click.UsageError(f"command file {name!r} has a quotation without end") from error
    nested = next((word for word in words if word.startswith("@")), None)
    if nested is not None:
        raise click.UsageError(f"command file {name!r} names another one ({nested}): not allowed")
    return words


def canonical(
    words: Sequence[str],
    spellings: Mapping[str, Spelling],
    groups: Iterable[Collection[str]],
) -> list[str]:
    """Write a command line with long names, and without what a later word overrides.

    What is no option of ours is left as it is, for the parser to complain.

    Args:
        words: Of the command line, command files expanded.
        spellings: From `spellings_of`.
        groups: Long names of options that exclude each other.

    """
    given = list(_read(list(words), spellings))
    rivals = {name: set(group) - {name} for group in groups for name in group}
    kept: list[_Given] = []
    overridden: set[str] = set()
    for one in reversed(given):
        if one.name is None or one.name not in overridden:
            kept.append(one)
            overridden |= rivals.get(one.name or "", set())
    return [word for one in reversed(kept) for word in one.words]


def _read(words: list[str], spellings: Mapping[str, Spelling]) -> Iterator[_Given]:
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        head, equals, value = word.partition("=")
        if word == "--":
            yield from (_Given(None, (rest,)) for rest in words[position - 1 :])
            return
        if word in spellings:
            name, count = spellings[word]
            yield _Given(name, (name, *words[position : position + count]))
            position += count
        elif equals and head in spellings:
            name = spellings[head].name
            yield _Given(name, (f"{name}={value}",))
        elif cluster := _split_cluster(word, spellings):
            # As `-vs`, or `-ltree`: again, in parts.
            words[position:position] = cluster
        else:
            yield _Given(None, (word,))


def _split_cluster(word: str, spellings: Mapping[str, Spelling]) -> list[str]:
    """Split short options that are written in one word; empty if it is none."""
    if len(word) <= 2 or word[0] != "-" or word[1] == "-":
        return []
    first, rest = word[:2], word[2:]
    if first not in spellings:
        return []
    if spellings[first].values:
        return [first, rest]
    following = f"-{rest}"
    if following in spellings:
        return [first, following]
    return [first, *parts] if (parts := _split_cluster(following, spellings)) else []
