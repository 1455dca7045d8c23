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
@click.argument("name", metavar="COMMAND", default="get")
@click.pass_context
def show(ctx: click.Context, name: str) -> None:
    """List the settings that COMMAND would run with: value and origin.

    The configuration file is overridden by the environment, and that by flags.
    """
    from asyncdicom.cli.app import application, file_values  # noqa: PLC0415 -- app imports us

    root = ctx.find_root()
    chosen = application.get_command(root, name)
    if chosen is None:
        raise click.BadParameter(f"no command {name!r}", param_hint="COMMAND")
    # The file's values are what the command itself would be given.
    root.default_map = {name: file_values(root, name, chosen)}
    trial = chosen.make_context(name, [], parent=root, resilient_parsing=True)
    rows = [
        (_spelling(p), _shown(p.name, trial.params.get(p.name)), _origin(trial, p))
        for p in chosen.params
        if isinstance(p, click.Option) and p.name is not None
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for option, value, origin in rows:
        click.echo(f"{option:<{widths[0]}}  {value:<{widths[1]}}  {origin}")


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
