"""The entry point: commands are listed without being imported, so that help is instant."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asyncdicom._version import __version__
from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.errors import AsyncDicomError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMANDS", "application", "file_values", "main"]

COMMANDS = {
    "dump": "Write DICOMweb responses to disk exactly as the server sent them.",
    "get": "Fetch instances as DICOM files, proven complete.",
    "verify": "Prove that the files of a folder are whole, and all of them there.",
    "find": "Search studies, series or instances.",
    "probe": "Find out what a server can do, and where it is odd.",
    "move": "Let a DIMSE archive send instances to another application entity.",
    "echo": "Ask whether a source answers, and how fast.",
    "idc": "Select and fetch series of the Imaging Data Commons.",
    "cod": "Count and fetch studies of Cloud-Optimized DICOM stores.",
    "receive": "Receive what others send: a Storage SCP with every option of dcmrecv.",
    "print": "Show what DICOM files say, element by element.",
    "dicomdir": "Build or update the DICOMDIR of a folder.",
    "report": "Show how a dump went: latencies, throughput, slowest requests.",
    "mock": "Serve an embedded archive, with faults on demand.",
    "demo": "Start the mock, download from it, verify, show the result.",
    "config": "Show where each setting comes from.",
}
"""Name and one line of help; module `asyncdicom.cli.NAME` holds `command`."""

USAGE_CODES = {"receive": 1}
"""Of commands that do not have `ExitCode.USAGE`. The configuration file holds options: what is
wrong with it has the code of options, whichever way it is wrong."""


class _LazyGroup(click.Group):
    """A group that imports a command only when it is run or explained."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"asyncdicom.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command), "every command module holds `command`"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            ctx.default_map = {name: file_values(ctx, name, command)}
        return name, command, rest


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Examples: asyncdicom demo; asyncdicom COMMAND --help",
)
@click.version_option(__version__, prog_name="asyncdicom")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="ASYNCDICOM_CONFIG",
    help="TOML file with defaults; environment and flags override it.",
)
def application(config_file: Path | None) -> None:
    """Move DICOM studies at high concurrency, and prove that nothing is missing."""


def file_values(ctx: click.Context, name: str, command: click.Command) -> dict[str, Any]:
    """Return what the configuration file says for a command."""
    from asyncdicom import config  # noqa: PLC0415 -- only when a command runs

    given: Path | None = ctx.params.get("config_file")
    path = given or config.default_path(os.environ)
    # `Path.exists` raises where a folder of the home is closed to us, as it is to daemons.
    if given is None and not os.path.exists(path):  # noqa: PTH110 -- see above
        return {}
    commands = {other: _option_names_of(ctx, other) for other in COMMANDS}
    content = config.load(path, commands=commands)
    if isinstance(command, click.Group):
        subs = command.commands.items()
        return {sub: _values_in(path, content, name, one) for sub, one in subs}
    return _values_in(path, content, name, command)


def _values_in(
    path: Path, content: Mapping[str, Any], name: str, command: click.Command
) -> dict[str, Any]:
    from asyncdicom import config  # noqa: PLC0415 -- as above

    options = option_names(command)
    values = config.values_for(content, name, options)
    takes_list = {p.name: p.multiple or p.nargs != 1 for p in command.params}
    for long_name, value in values.items():
        wanted = list if takes_list[options[long_name]] else (str, int, float)
        if not isinstance(value, wanted):
            shown, example = long_name.replace("_", "-"), '["..."]' if wanted is list else '"..."'
            raise ConfigError(
                f"{path}: {shown} takes {'a list' if wanted is list else 'one value'}",
                hint=f"write {shown} = {example}",
            )
    return {options[long_name]: value for long_name, value in values.items()}


def _option_names_of(ctx: click.Context, name: str) -> dict[str, str]:
    group = ctx.command
    assert isinstance(group, _LazyGroup), "the root is the lazy group"
    command = group.get_command(ctx, name)
    return option_names(command) if command is not None else {}


def option_names(command: click.Command) -> dict[str, str]:
    """Return the name of the parameter for each long option, written with underscores.

    Of a group, those of all its commands.
    """
    if isinstance(command, click.Group):
        return {
            long_name: parameter
            for one in command.commands.values()
            for long_name, parameter in option_names(one).items()
        }
    return {
        spelling.lstrip("-").replace("-", "_"): parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name is not None
        for spelling in parameter.opts
        if spelling.startswith("--")
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = application.main(
            args=_config_first(words), prog_name="asyncdicom", standalone_mode=False
        )
    except click.exceptions.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(_own_code(words, error.exit_code))
    except AsyncDicomError as error:
        _tell(error)
        sys.exit(_own_code(words, exit_code_of(error)))
    except (OSError, ExceptionGroup) as error:
        if (lost := _lost_output(error)) is None:
            raise
        if not isinstance(lost, BrokenPipeError):
            click.echo(f"asyncdicom: stdout cannot be written: {lost.strerror}", err=True)
        # Else the reader of our output has gone (`| head`): nothing to say, nobody to say it to.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 -- until exit
        sys.exit(ExitCode.INCOMPLETE)
    sys.exit(code if isinstance(code, int) else ExitCode.COMPLETE)


_OF_OUTPUT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


def _lost_output(error: BaseException) -> OSError | None:
    """Return why stdout took no more (a full disk, as a rule); None if this is something else.

    Errors of named files are told where they are written.
    """
    while isinstance(error, BaseExceptionGroup):  # of the tasks whose events were printed
        error = error.exceptions[0]
    if isinstance(error, BrokenPipeError):
        return error
    if isinstance(error, OSError) and error.filename is None and error.errno in _OF_OUTPUT:
        return error
    return None


def _tell(error: AsyncDicomError) -> None:
    """Say on stderr what ended the command, and what to do about it."""
    from asyncdicom.cli.hints import hint_for  # noqa: PLC0415 -- only when something failed

    for line in (str(error), hint_for(error)):
        if line:
            click.echo(f"asyncdicom: {line}", err=True)


def _config_first(arguments: list[str]) -> list[str]:
    """Move `--config FILE` to the front, so that it may stand behind the command as well."""
    for index, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument.startswith("--config="):
            return [argument, *arguments[:index], *arguments[index + 1 :]]
        if argument == "--config":
            if index + 1 == len(arguments):
                return [argument]  # for the message that its value is missing
            return [*arguments[index : index + 2], *arguments[:index], *arguments[index + 2 :]]
    return arguments


def _own_code(words: list[str], code: int) -> int:
    """Return an exit code as the command that is run spells it."""
    if code != ExitCode.USAGE:
        return code
    names = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before != "--config" and not word.startswith("-")
    ]
    return USAGE_CODES.get(names[0], code) if names else code


def exit_code_of(error: AsyncDicomError) -> ExitCode:
    """Return the exit code for an error that ended a command."""
    from asyncdicom import errors  # noqa: PLC0415 -- keeps the table beside its use

    match error:
        case errors.ConfigError() | errors.StorageError():
            return ExitCode.USAGE
        case errors.RunAborted():
            return ExitCode.ABORTED
        case (
            errors.TransportError()
            | errors.Unauthorized()
            | errors.UnexpectedContent()
            | errors.NotNegotiated()
        ):
            return ExitCode.UNREACHABLE
        case errors.NotFound():
            return ExitCode.NO_MATCH
        case _:
            return ExitCode.INCOMPLETE
