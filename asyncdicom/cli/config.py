"""`asyncdicom config show`: the settings of a command, and where each of them comes from."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

__all__ = ["command"]

SECRETS = frozenset(
    {
        "authorization",
        "user",
        "bearer",
        "bearer_command",
        "oauth2_client_secret",
        "oauth2_refresh_token",
        "header",
        "proxy",
        "use_passwd",
    }
)
"""Options whose values may hold a credential; `show` tells only that they are set."""

_SOURCES = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
    ParameterSource.DEFAULT: "default",
}


@click.group(
    "config",
    epilog="""\b
Examples:
  asyncdicom config show dump
  ASYNCDICOM_CONCURRENCY=16 asyncdicom config show get
  asyncdicom --config site.toml config show get
""",
)
def command() -> None:
    """Show where each setting comes from."""


@command.command("show")
@click.argument("words", metavar="COMMAND", nargs=-1)
@click.pass_context
def show(ctx: click.Context, words: tuple[str, ...]) -> None:
    """List the settings that COMMAND (such as `get`, or `idc get`) would run with.

    The configuration file is overridden by the environment, and that by flags.
    """
    trial = _trial_of(ctx.find_root(), words or ("get",))
    rows = [
        (_spelling(p), _shown(p.name, trial.params.get(p.name)), _origin(trial, p))
        for p in trial.command.params
        if isinstance(p, click.Option) and p.name is not None
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for option, value, origin in rows:
        click.echo(f"{option:<{widths[0]}}  {value:<{widths[1]}}  {origin}")


def _trial_of(root: click.Context, words: tuple[str, ...]) -> click.Context:
    """Return the context that a command would run in, without running it.

    Raises:
        click.BadParameter: If there is no such command.

    """
    from asyncdicom.cli.app import application, file_values  # noqa: PLC0415 -- app imports us

    parent = root
    command: click.Command = application
    for word in words:
        chosen = command.get_command(parent, word) if isinstance(command, click.Group) else None
        if chosen is None:
            raise click.BadParameter(f"no command {' '.join(words)!r}", param_hint="COMMAND")
        if parent is root:
            # The file's values are what the command itself would be given.
            root.default_map = {word: file_values(root, word, chosen)}
        parent = chosen.make_context(word, [], parent=parent, resilient_parsing=True)
        command = chosen
    if isinstance(command, click.Group):
        known = ", ".join(command.commands)
        raise click.BadParameter(f"name one of its commands: {known}", param_hint="COMMAND")
    return parent


def _spelling(option: click.Option) -> str:
    """Return the long name as this project spells it, before those of other tools."""
    return next(spelling for spelling in option.opts if spelling.startswith("--"))


def _shown(name: str, value: Any) -> str:
    if value in (None, ()):
        return "-"
    if name in SECRETS:
        return "<set>"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _origin(trial: click.Context, parameter: click.Option) -> str:
    assert parameter.name is not None, "options have names"
    source = trial.get_parameter_source(parameter.name)
    origin = "default" if source is None else _SOURCES.get(source, source.name.lower())
    if source is ParameterSource.ENVIRONMENT and isinstance(parameter.envvar, str):
        return f"{origin} ({parameter.envvar})"
    return origin
