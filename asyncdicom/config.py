"""The configuration file: TOML, checked against the options that exist.

    # asyncdicom.toml
    concurrency = 16            # any command that has the option
    [dump]
    retry = 5                   # this command only

Precedence: file < `ASYNCDICOM_*` environment < flags. The command line library
merges them; this module reads the file and refuses what nobody would read, so
that a misspelt option is an error and not a silent default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["default_path", "load", "values_for"]


def default_path(environment: Mapping[str, str]) -> Path:
    """Return where the file lives when nobody says: the XDG configuration folder."""
    base = environment.get("XDG_CONFIG_HOME") or "~/.config"
    # `Path.expanduser` raises where nobody knows a home, as in containers that run as any user.
    return Path(os.path.expanduser(base)) / "asyncdicom" / "config.toml"  # noqa: PTH111 -- see above


def load(path: Path, *, commands: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Read and check a configuration file.

    Args:
        path: The file.
        commands: Option names (with underscores) of each command.

    Raises:
        ConfigError: If it cannot be read, is not TOML, or names an unknown
            command or option.

    """
    # Imported here: most runs have no such file, and need not pay 10 ms for its syntax.
    import tomllib  # noqa: PLC0415 -- lazy on purpose

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    _check(path, content, commands)
    return content


def values_for(
    content: Mapping[str, Any], command: str, options: Collection[str]
) -> dict[str, Any]:
    """Return the values that a file gives for one command, keyed by option name."""
    shared = {_name(key): value for key, value in content.items() if not isinstance(value, dict)}
    own = {_name(key): value for key, value in content.get(command, {}).items()}
    return {name: value for name, value in (shared | own).items() if name in options}


def _check(path: Path, content: Mapping[str, Any], commands: Mapping[str, Collection[str]]) -> None:
    known = {name for options in commands.values() for name in options}
    for key, value in content.items():
        if not isinstance(value, dict):
            _refuse_unless(_name(key) in known, path, f"option {key!r}", known)
            continue
        _refuse_unless(key in commands, path, f"command [{key}]", commands)
        for name in value:
            options = commands[key]
            _refuse_unless(_name(name) in options, path, f"option {name!r} of [{key}]", options)


def _refuse_unless(
    is_known: bool,  # noqa: FBT001 -- reads as a sentence where it is called
    path: Path,
    what: str,
    known: Collection[str],
) -> None:
    if not is_known:
        names = ", ".join(sorted(name.replace("_", "-") for name in known))
        raise ConfigError(f"{path}: unknown {what}", hint=f"known are: {names}")


def _name(key: str) -> str:
    return key.replace("-", "_")
