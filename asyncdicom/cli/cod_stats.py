"""What `cod stats` does: look up, count, print."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from asyncdicom.cli.app import exit_code_of
from asyncdicom.cli.exit_codes import ExitCode
from asyncdicom.cli.hints import hint_for
from asyncdicom.cli.selection import study_uids
from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import RunAborted
from asyncdicom.jobs.cod_stats import CodSurvey
from asyncdicom.output_wiring import open_store
from asyncdicom.protocol.cod.places import parse_cod_root
from asyncdicom.wiring import open_cod_archive, scheduler_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from asyncdicom.cli.run import Interrupts
    from asyncdicom.jobs.cod_stats import DownloadStats, SeriesStats, StudyStats
    from asyncdicom.jobs.instance_store import InstanceStore
    from asyncdicom.jobs.zip_store import ZipStore

__all__ = ["tell_stats"]

MB = 1e6


async def tell_stats(options: Mapping[str, Any], interrupts: Interrupts) -> int:
    """Run the command."""
    studies = list(study_uids(options["study"]))
    root = parse_cod_root(options["source"])
    async with open_cod_archive(root, options) as archive, _saved(options) as store:
        survey = CodSurvey(archive.source, store)
        scheduler = Scheduler(survey, scheduler_settings(options))
        interrupts.stops(scheduler)
        try:
            await scheduler.run(survey.tasks(studies))
        except RunAborted as error:
            click.echo(f"asyncdicom: {error} before all was counted", err=True)
            return ExitCode.ABORTED
    found = survey.statistics()
    if options["as_json"]:
        click.echo(orjson.dumps(found.to_json()).decode())
    elif not options["quiet"]:
        for line in _table(found):
            click.echo(line)
    return _end(found)


@asynccontextmanager
async def _saved(options: Mapping[str, Any]) -> AsyncIterator[InstanceStore | ZipStore | None]:
    """Open the folder of an earlier download; nothing is made where there is none."""
    folder = options["output"]
    if folder is None or not Path(folder).is_dir():  # noqa: ASYNC240 -- once, before anything runs
        yield None
        return
    async with open_store(options) as store:
        yield store


def _table(found: DownloadStats) -> Iterator[str]:
    """Yield a line per series below that of its study."""
    rows: list[tuple[str, StudyStats | SeriesStats]] = []
    for study in found.studies:
        rows.append((study.study_instance_uid, study))
        rows += [(f"  {one.series_instance_uid}", one) for one in study.series]
    widest = max((len(name) for name, _ in rows), default=0)
    for name, one in rows:
        yield f"{name:<{widest}}  {_counts(one)}"


def _counts(one: StudyStats | SeriesStats) -> str:
    saved = f"{one.saved_instance_count} saved"
    return f"{one.instance_count:>6} instances  {one.byte_count / MB:>9.1f} MB  {saved:>12}"


def _end(found: DownloadStats) -> int:
    """Say in the last line what there is, and return the exit code."""
    for failed in found.failed:
        click.echo(f"failed {failed.target}: {failed.error}", err=True)
    if not found.series and found.failed:
        error = found.failed[0].error
        if hint := hint_for(error):
            click.echo(f"asyncdicom: {hint}", err=True)
        return exit_code_of(error)
    click.echo(
        f"{len(found.studies)} studies · {found.series_count} series, "
        f"{found.saved_series_count} saved · {found.instance_count} instances, "
        f"{found.saved_instance_count} saved · {found.byte_count / MB:.1f} MB, "
        f"{found.saved_byte_count / MB:.1f} MB saved · {len(found.failed)} failed",
        err=True,
    )
    return ExitCode.INCOMPLETE if found.failed else ExitCode.COMPLETE
