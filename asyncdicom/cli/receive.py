"""`asyncdicom receive`: a Storage SCP with every option of DCMTK's dcmrecv."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asyncdicom._version import __version__
from asyncdicom.cli.dcmtk_spelling import canonical, expand_command_files, spellings_of
from asyncdicom.cli.receive_declaring import ReceiveOption, Section
from asyncdicom.cli.receive_exit_codes import ReceiveExitCode, with_exit_code
from asyncdicom.cli.receive_options import GROUPS, receive_options

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["command"]

EPILOG = """\b
Options have the long names and the short spellings of DCMTK's dcmrecv. @FILE stands for
the words in FILE. Of options that exclude each other, the rightmost one counts.
\b
Storage classes of the Standard are accepted in every transfer syntax; --config-file and
--promiscuous change that. Success is answered when the object has its name and not before.
\b
Commands of --on-object, --on-association and --on-study are run without a shell. Filled in:
  all          {root}, and but for studies {association} {address} {calling_ae} {called_ae}
  object       {file} {path} {folder} {bytes} {sha256} {sop_instance_uid} {sop_class_uid}
               {series_instance_uid} {study_instance_uid} {transfer_syntax_uid}
  association  {stored} {refused} {bytes} {seconds} {failure}
  study        {study_instance_uid} {instances} {replaced} {bytes} {calling_aes}
\b
SIGTERM and SIGINT let nobody in any more and wait for objects on their way. Exit codes: 0
ended by a signal, 1 syntax, 45 output folder, 64 cannot listen, 66 association profile,
71 TLS, 130 and 143 ended by SIGINT and SIGTERM while objects were on their way.
\b
Examples:
  asyncdicom receive 11112 -od incoming -v
  asyncdicom receive 11112 -od incoming --layout tree --on-study 'notify {study_instance_uid}'
  asyncdicom receive 11112 -xf storescp.cfg Default +ssd +fsu -fe .dcm
  asyncdicom receive 2762 -od incoming +tls key.pem cert.pem +cf hospital-ca.pem
  asyncdicom receive 11112 -od incoming --allow-calling-aet CT1 --allow-from 10.1.0.0/16
"""


class ReceiveCommand(click.Command):
    """A command that is spelled as those of DCMTK are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; without any, show the help as dcmrecv does."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit(ReceiveExitCode.ENDED)
        try:
            words = self._canonical(args)
            rest = super().parse_args(ctx, list(words))
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            with_exit_code(error, ReceiveExitCode.SYNTAX)
            raise
        _drop_overridden(ctx)
        if ctx.params.get("arguments"):
            click.echo(_shown(words), err=True)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors that it raises about options have the code for syntax."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            with_exit_code(error, ReceiveExitCode.SYNTAX)
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options by section."""
        for section in Section:
            records = [
                record
                for param in self.get_params(ctx)
                if _section_of(param) is section
                if (record := param.get_help_record(ctx)) is not None
            ]
            with formatter.section(section.value):
                formatter.write_dl(records)

    def _canonical(self, args: Sequence[str]) -> list[str]:
        spellings = spellings_of(self.params)
        return canonical(expand_command_files(args), spellings, GROUPS)


def _section_of(param: click.Parameter) -> Section | None:
    if isinstance(param, ReceiveOption):
        return param.section
    return Section.GENERAL if isinstance(param, click.Option) else None


def _drop_overridden(ctx: click.Context) -> None:
    """Let the command line win over environment and file where options exclude each other."""
    for group in GROUPS:
        names = [name.strip("-").replace("-", "_") for name in group]
        given = [name for name in names if ctx.params[name]]
        typed = [name for name in given if _is_typed(ctx, name)]
        for name in given:
            if name not in (typed or given)[-1:]:
                ctx.params[name] = None if ctx.params[name] is not True else False


def _is_typed(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _shown(words: Sequence[str]) -> str:
    """Write the arguments as they are understood, but for the password."""
    listed = " ".join(
        f"'{_unless_secret(before, word)}'"
        for before, word in zip(["", *words], words, strict=False)
    )
    return f"calling 'asyncdicom receive' with {len(words)} arguments: {listed}"


def _unless_secret(before: str, word: str) -> str:
    is_secret = before == "--use-passwd" or word.startswith("--use-passwd=")
    return "<password>" if is_secret else word


@click.command(
    "receive",
    cls=ReceiveCommand,
    epilog=EPILOG,
    # As of the program: a command keeps the help option that it made first.
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("port", type=click.IntRange(0, 65535), metavar="PORT")
@click.version_option(__version__, prog_name="asyncdicom receive")
@receive_options
def command(**options: Any) -> int:
    """Receive what others send by C-STORE, and answer C-ECHO (Storage SCP).

    PORT is the TCP port to listen on; 0 takes any that is free, and says which.
    """
    from asyncdicom.cli.receive_run import run  # noqa: PLC0415 -- help must not pay for it

    return run(options)
