"""Jobs driven to their end over a DIMSE archive without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.jobs.dimse_archive import DimseArchive
from asyncdicom.jobs.get import GetOptions
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.protocol.urls import DimseRoot
from asyncdicom.sources.dimse import DimseOptions, DimseSource
from tests.jobs.support import IMPATIENT, Run, open_store
from tests.support.dicom import ct, uid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncdicom.engine.scheduler import SchedulerSettings
    from tests.support.scripted_dimse import ScriptedPeer

__all__ = ["STUDY", "get_dimse", "instances", "series", "source_of", "study_of"]

STUDY = Uid(uid("study", 1))


def study_of(*counts: int, **settings: Any) -> list[bytes]:
    """Return a study of CT images, so many in each series."""
    return [
        ct(number=100 * number + index, series=number, **settings)
        for number, count in enumerate(counts, 1)
        for index in range(1, count + 1)
    ]


def instances(peer: ScriptedPeer) -> dict[str, bytes]:
    """Return the data sets that have to be stored, by SOP Instance UID."""
    return {held.uid: held.data_set for held in peer.held}


def series(number: int) -> Target:
    """Return a series as a target."""
    return Target(Resource.SERIES, STUDY, Uid(uid("series", number)))


def source_of(peer: ScriptedPeer, **options: Any) -> DimseSource:
    """Return a source over a scripted peer."""
    return DimseSource(DimseRoot("archive.test", 104, "PEER"), peer, DimseOptions(**options))


async def get_dimse(
    peer: ScriptedPeer,
    folder: Path,
    targets: Sequence[Target] = (),
    *,
    settings: SchedulerSettings = IMPATIENT,
    source: DimseSource | None = None,
    **options: Any,
) -> Run:
    """Get targets, or the whole study."""
    run = Run()
    tally = Tally([run])
    source = source or source_of(peer)
    options.setdefault("concurrency", settings.concurrency)
    async with open_store(folder) as store:
        job = DimseArchive(source).get_job(store, tally, GetOptions(**options))
        run.ended = await run_job(
            job,
            job.tasks(targets or [Target(Resource.STUDY, STUDY)]),
            scheduler=Scheduler(job, settings, observe=tally.tell),
            tally=tally,
            finish=store.finish,
        )
    await source.aclose()
    assert peer.open_now == 0
    return run
