"""`asyncdicom idc get`: series of the Imaging Data Commons to files, proven complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.idc_options import (
    IdcCommand,
    location_option,
    manifests_of,
    selection_of,
    selection_options,
)
from asyncdicom.cli.object_options import OBJECT_CONCURRENCY, object_store_options, transfer_options
from asyncdicom.cli.options import (
    concurrency_option,
    connection_options,
    durability_option,
    option,
    run_options,
)
from asyncdicom.protocol.idc.dir_templates import DEFAULT_TEMPLATE

if TYPE_CHECKING:
    from asyncdicom.cli.idc_told import ToldPlan
    from asyncdicom.cli.run import Interrupts

__all__ = ["get"]

EPILOG = """\b
ID is a collection, analysis result, patient, study, series or version of a series (its
CRDC UUID); MANIFEST a file with any of them, or with addresses, one per line.
\b
Examples:
  asyncdicom idc get rider_pilot -o data
  asyncdicom idc get 1.3.6.1.4.1.9328.50.1.69736,TCGA-05-4244 -o data
  asyncdicom idc get manifest.txt --download-dir data --dir-template '%Modality/%PatientID'
  asyncdicom idc get --collection-id tcga_luad --patient-id TCGA-05-4244 --dry-run
  asyncdicom idc get --series-instance-uid 1.2.3 --sop-instance-uid 1.2.3.4 -o data
"""

_IDENTITIES = (
    *("profile", "authorization", "user", "bearer", "bearer_command", "oauth2_token_url", "netrc"),
)

_LEVELS = {"debug": "verbose", "info": None, "warning": None, "error": "quiet", "critical": "quiet"}


@click.command("get", cls=IdcCommand, epilog=EPILOG, short_help="Fetch series, proven complete.")
@click.argument("names", nargs=-1, metavar="[ID,…|MANIFEST]...")
@selection_options
@option(
    "-o",
    "-d",
    "--output",
    "--directory",
    "--download-dir",
    default=".",
    show_default=True,
    metavar="DIR",
    help="Folder to write to; it is created if missing.",
)
@option(
    "--dir-template",
    default=DEFAULT_TEMPLATE,
    show_default=True,
    metavar="TEMPLATE",
    help="Folders, made of columns of the index; '' for none, or {PatientID} for %PatientID.",
)
@option("--dry-run", is_flag=True, help="Say how much it would be; fetch and create nothing.")
@location_option
@durability_option
@option(
    "--log-level",
    type=click.Choice(list(_LEVELS), case_sensitive=False),
    default="warning",
    show_default=True,
    help="debug is --verbose, error and critical are --quiet.",
)
@option(
    "--show-progress-bar/--no-show-progress-bar", default=True, help="Draw a bar on a terminal."
)
@option(
    "--validate-manifest/--no-validate-manifest",
    default=True,
    help="For idc-index: a manifest is always compared with the index.",
)
@option(
    "--use-s5cmd-sync",
    is_flag=True,
    help="For idc-index: what is there and whole is never fetched again.",
)
@run_options(concurrency_option("Requests at once.", default=OBJECT_CONCURRENCY))
@transfer_options
@object_store_options
@connection_options
def get(**options: Any) -> int:
    """Fetch series of the Imaging Data Commons, proven complete.

    Options of different kinds restrict each other; without any, ID or MANIFEST say what
    to fetch. The number of objects of each series and their size are compared with
    the index. An id that is not known is named, and makes the exit code 1 (4, if there is
    nothing else to fetch).
    """
    selection = selection_of(options)
    ways = (not selection.is_empty, bool(manifests_of(options)), bool(options["retry_failed"]))
    if not any(ways):
        raise click.UsageError("say what to get: an ID, a MANIFEST or an option as --patient-id")
    if ways[2] and any(ways[:2]):
        raise click.UsageError("--retry-failed names its series itself: give no other selection")
    _settle(options)
    from asyncdicom.cli.idc_early import plan_teller  # noqa: PLC0415 -- help must not pay for it
    from asyncdicom.cli.idc_told import ToldPlan  # noqa: PLC0415 -- as above

    with plan_teller(options, selection) as sock, ToldPlan(sock) as told:
        from asyncdicom.cli.run import run  # noqa: PLC0415 -- while the index is read

        return run(lambda interrupts: _get(options, told, interrupts))


def _settle(options: dict[str, Any]) -> None:
    # Everything is open to everybody; who says who he is has a reason.
    if not any(options[name] for name in _IDENTITIES):
        options["no_sign_request"] = True
    if (meant := _LEVELS[options["log_level"]]) is not None:
        options[meant] = True


async def _get(options: dict[str, Any], told: ToldPlan, interrupts: Interrupts) -> int:
    from asyncdicom.cli.idc_run import carry_out  # noqa: PLC0415 -- while the index is read

    return await carry_out(options, told, interrupts)
