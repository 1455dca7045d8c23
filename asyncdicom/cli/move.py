"""`asyncdicom move`: let an archive send instances to another application entity."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.options import (
    concurrency_option,
    connection_options,
    dimse_options,
    for_source,
    option,
    retry_option,
    selection_options,
    source_argument,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.jobs.dimse_move import Moved
    from asyncdicom.model import Target
    from asyncdicom.sources.dimse import DimseSource

__all__ = ["command"]

EPILOG = """\b
The destination is an AE title that the archive knows, with its host and port. What
arrives there only the destination can prove: reported is what the archive counts.
To fetch to this machine, with proof, use get with ?retrieve=move.
\b
Exit codes: 0 the archive says that everything was moved, 1 something was not (it is
named), 2 usage, 4 nothing matches, 5 no archive, or it refused us.
\b
Examples:
  asyncdicom move dicom://ORTHANC@localhost:4242 --to WORKSTATION --study 1.2.840.99.1
  asyncdicom move dicom://PACS@pacs.example --to RESEARCH PatientID=4711 Modality=CT
  asyncdicom move dicom://PACS@pacs.example --to RESEARCH --study - --json < uids.txt
"""


@click.command("move", epilog=EPILOG)
@source_argument
@click.argument("keys", nargs=-1, metavar="[KEY=VALUE]...")
@option("--to", "destination", required=True, metavar="AET", help="AE title to send to.")
@selection_options
@option(
    "--level",
    type=click.Choice(["patient", "study", "series", "instance", "image"]),
    help="What KEY=VALUE are of (default: what QueryRetrieveLevel= says, or the deepest key).",
)
@concurrency_option("Operations at once, each on an association of its own.", default=1, most=256)
@retry_option("an operation that moved nothing")
@option("--json", "as_json", is_flag=True, help="One JSON line per operation on stdout.")
@option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the last line.")
@connection_options
@dimse_options
def command(**options: Any) -> int:
    """Let an archive send instances to another application entity (C-MOVE).

    SOURCE is dicom://CALLED_AE@HOST:PORT. What to move is named by UIDs (--study,
    --series, --instance) or searched for by KEY=VALUE.
    """
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.cli.selection import read_from_stdin  # noqa: PLC0415 -- as above

    if bool(options["study"]) == bool(options["keys"]):
        raise click.UsageError("say what to move: --study UID, or KEY=VALUE (one of them)")
    if not all(map(str.strip, options["keys"])):
        raise click.UsageError("a KEY=VALUE is empty: leave it out, or name a key")
    for_source(options)
    read_from_stdin(options)
    return run(lambda interrupts: _move(options, interrupts))


async def _move(options: dict[str, Any], interrupts: Interrupts) -> int:
    from asyncdicom.dimse_wiring import open_dimse_source  # noqa: PLC0415 -- as above
    from asyncdicom.engine.scheduler import Scheduler  # noqa: PLC0415 -- as above
    from asyncdicom.errors import RunAborted  # noqa: PLC0415 -- as above
    from asyncdicom.jobs.dimse_move import MoveJob  # noqa: PLC0415 -- as above
    from asyncdicom.protocol.upper_layer.pdu import check_ae_title  # noqa: PLC0415 -- as above
    from asyncdicom.wiring import scheduler_settings  # noqa: PLC0415 -- as above

    teller = _Teller(options)
    destination = check_ae_title(options["destination"], "destination")
    async with open_dimse_source(options["source"], options) as source:
        targets = await _targets(source, options)
        job = MoveJob(source, destination, teller.tell)
        scheduler = Scheduler(job, scheduler_settings(options))
        interrupts.stops(scheduler)
        try:
            await scheduler.run(targets)
        except RunAborted as error:
            for target in scheduler.never_begun():
                job.give_up(target, error, 0)
    return teller.end()


async def _targets(source: DimseSource, options: dict[str, Any]) -> Iterable[Target]:
    if options["keys"]:
        from asyncdicom.cli.selection_by_keys import found_targets  # noqa: PLC0415 -- as above

        return await found_targets(source, options["keys"], options["level"])
    from asyncdicom.cli.selection import selected_targets  # noqa: PLC0415 -- as above

    return list(selected_targets(options["study"], options["series"], options["instance"]))


class _Teller:
    """Says what became of each operation, and of all."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._all: list[Moved] = []

    def tell(self, moved: Moved) -> None:
        self._all.append(moved)
        if self._options["as_json"]:
            import orjson  # noqa: PLC0415 -- as above

            sys.stdout.buffer.write(orjson.dumps(moved.to_json()) + b"\n")
            sys.stdout.buffer.flush()
        if moved.is_complete:
            if not (self._options["quiet"] or self._options["as_json"]):
                click.echo(f"moved {moved.target}: {moved.completed} completed", err=True)
            return
        why = f": {moved.error}" if moved.error else f": {moved.warning} with warnings"
        click.echo(f"failed {moved.target}{why}", err=True)
        for uid in moved.failed_sop_instance_uids:
            click.echo(f"  instance {_shown(uid)} was not moved", err=True)

    def end(self) -> int:
        from asyncdicom.cli.hints import hint_for  # noqa: PLC0415 -- as above

        errors = [one.error for one in self._all if one.error is not None]
        completed = sum(one.completed for one in self._all)
        if errors and not completed and (hint := hint_for(errors[0])):
            click.echo(f"asyncdicom: {hint}", err=True)
        failed = sum(one.failed for one in self._all)
        warning = sum(one.warning for one in self._all)
        refused = len([one for one in self._all if one.error and not one.completed])
        parts = [f"{completed} completed", f"{failed} failed", f"{warning} with warnings"]
        if refused:
            parts.append(f"{refused} of {len(self._all)} operations moved nothing")
        click.echo(f"{' · '.join(parts)} (as the archive counts)", err=True)
        if all(one.is_complete for one in self._all):
            return ExitCode.COMPLETE if completed else ExitCode.NO_MATCH
        return self._code_of_failure(completed)

    def _code_of_failure(self, completed: int) -> int:
        from asyncdicom.cli.app import exit_code_of  # noqa: PLC0415 -- as above
        from asyncdicom.errors import (  # noqa: PLC0415 -- as above
            NotFound,
            NotNegotiated,
            TransportError,
        )

        first = next((one.error for one in self._all if one.error is not None), None)
        if isinstance(first, NotFound | NotNegotiated | TransportError) and not completed:
            return exit_code_of(first)
        return ExitCode.INCOMPLETE


def _shown(uid: str) -> str:
    """Make a UID of the archive fit for a terminal: it was not validated."""
    return uid[:64] if uid.isprintable() else ascii(uid[:64])
