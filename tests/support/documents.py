"""Read documents as their readers do: blocks of code, the commands in them, tables, links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asyncdicom.cli.app import application

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "PROJECT",
    "README",
    "Block",
    "blocks_of",
    "code_spans",
    "command_named",
    "command_words",
    "option_names",
    "parse_command",
    "shell_lines",
    "table_of",
]

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>\w+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_OPERATORS = frozenset({"|", "||", "&", "&&", ";", "(", ")"})


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code.

    Attributes:
        mark: Word in a comment above it (`<!-- runnable -->`), or empty.

    """

    language: str
    mark: str
    text: str


def blocks_of(document: Path, *languages: str, mark: str | None = None) -> list[Block]:
    """Return the blocks of a document that are in one of the languages, or have a mark."""
    found = (
        Block(match["language"], match["mark"] or "", match["text"])
        for match in _FENCE.finditer(document.read_text(encoding="utf-8"))
    )
    return [
        block
        for block in found
        if (not languages or block.language in languages) and mark in (None, block.mark)
    ]


def shell_lines(block: Block) -> list[tuple[str, list[str]]]:
    """Return what is typed, continued lines joined, and what is said to be printed."""
    lines: list[tuple[str, list[str]]] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if block.language != "console":
            if line.strip() and not line.lstrip().startswith("#"):
                lines.append((line, []))
        elif line.startswith("$ "):
            lines.append((line.removeprefix("$ "), []))
        else:
            lines[-1][1].append(line)
    return lines


def command_words(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each `asyncdicom` in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if token not in _OPERATORS:
            words.append(token)
            continue
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        if words and words[0] == "asyncdicom":
            yield _without_redirections(words[1:])
        words = []


def _without_redirections(words: list[str]) -> list[str]:
    ends = [index for index, word in enumerate(words) if set(word) <= set("<>")]
    return words[: ends[0]] if ends else words


def parse_command(arguments: list[str]) -> click.Context:
    """Parse a command line without running it.

    Raises:
        click.UsageError: If a command, an option or a value does not exist.

    """
    context = application.make_context("asyncdicom", list(arguments))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return context
        command = context.command.get_command(context, rest[0])
        if command is None:
            raise click.UsageError(f"no command {rest[0]!r}")
        context = command.make_context(rest[0], rest[1:], parent=context)
    return context


def command_named(name: str) -> click.Command:
    """Return a command of the program."""
    command = application.get_command(click.Context(application), name)
    assert command is not None, f"no command {name!r}"
    return command


def option_names(command: click.Command) -> set[str]:
    """Return every spelling of every option, `--help` included."""
    with click.Context(command, help_option_names=["-h", "--help"]) as context:
        parameters = command.get_params(context)
    return {
        name
        for parameter in parameters
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def code_spans(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def table_of(document: Path, first_heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column has that heading, without its head."""
    lines = document.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows
