"""`asyncdicom idc citations`: what to cite for data that was used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.idc_options import IdcCommand, open_index, selection_options
from asyncdicom.cli.options import connection_options, option
from asyncdicom.protocol.idc.citations import RESOLVER, CitationFormat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.jobs.idc_citations import CitationJob

__all__ = ["citations"]

CONCURRENCY = 4
"""At once with a public service that nobody pays for."""


@click.command(
    "citations",
    short_help="Write what to cite for a selection.",
    cls=IdcCommand,
    epilog="""\b
Examples:
  asyncdicom idc citations rider_pilot --dois
  asyncdicom idc citations manifest.txt --format bibtex
""",
)
@click.argument("names", nargs=-1, metavar="[ID,…|MANIFEST]...")
@selection_options
@option(
    "--format",
    "format_",
    type=click.Choice([kind.value for kind in CitationFormat]),
    default="apa",
    show_default=True,
    help="Form of the citations; JSON is that of the Citation Style Language.",
)
@option("--dois", is_flag=True, help="List the DOIs only; needs no network.")
@option(
    "--resolver-url",
    metavar="URL",
    default=RESOLVER,
    show_default=True,
    help="Who turns a DOI into a citation.",
)
@option(
    "-r",
    "--retry",
    type=click.IntRange(0, 100),
    default=3,
    show_default=True,
    help="Further tries of a citation that did not come.",
)
@connection_options
def citations(**options: Any) -> int:
    """Write the citations of the data that a selection is from, and of IDC itself."""
    from asyncdicom.cli.idc_chosen import choice_of  # noqa: PLC0415 -- as in get
    from asyncdicom.cli.run import run  # noqa: PLC0415 -- as in get
    from asyncdicom.protocol.idc.citations import citation_dois  # noqa: PLC0415 -- as in get
    from asyncdicom.sources.idc_selection import source_dois  # noqa: PLC0415 -- as in get

    with open_index(options) as index:
        choice = choice_of(index, options)
        dois = citation_dois(source_dois(choice.chosen))
    code = choice.end()
    if code == ExitCode.NO_MATCH:
        return code
    if options["dois"]:
        click.echo("\n".join(dois))
        return code
    return max(code, run(lambda interrupts: _fetch(dois, options, interrupts)))


async def _fetch(dois: Sequence[str], options: Mapping[str, Any], interrupts: Interrupts) -> int:
    from asyncdicom.connecting import (  # noqa: PLC0415 -- as in get
        scheduler_settings,
        transport_settings,
    )
    from asyncdicom.engine.scheduler import Scheduler  # noqa: PLC0415 -- as in get
    from asyncdicom.jobs.idc_citations import CitationJob  # noqa: PLC0415 -- as in get
    from asyncdicom.sources.citations import CitationResolver  # noqa: PLC0415 -- as in get
    from asyncdicom.transports.engines import open_transport  # noqa: PLC0415 -- as in get
    from asyncdicom.transports.redirects import Session  # noqa: PLC0415 -- as in get

    kind = CitationFormat(options["format_"])
    url = options["resolver_url"]
    transport = open_transport(options["http_engine"], transport_settings(options))
    try:
        job = CitationJob(CitationResolver(Session(transport, url), url), kind)
        settings = scheduler_settings({"concurrency": CONCURRENCY, "retry": options["retry"]})
        scheduler = Scheduler(job, settings)
        interrupts.stops(scheduler)
        await scheduler.run(dois)
    finally:
        await transport.aclose()
    return _tell(job, dois, kind)


def _tell(job: CitationJob, dois: Sequence[str], kind: CitationFormat) -> int:
    found = [job.citations[doi] for doi in dois if doi in job.citations]
    if kind is CitationFormat.JSON:
        click.echo("[" + ",\n".join(found) + "]")
    elif found:
        click.echo("\n\n".join(found))
    for doi in filter(job.errors.__contains__, dois):
        told = f"asyncdicom: no citation of https://doi.org/{doi}: {job.errors[doi]}"
        click.echo(told, err=True)
    if not job.errors:
        return ExitCode.COMPLETE
    return ExitCode.INCOMPLETE if found else ExitCode.UNREACHABLE
