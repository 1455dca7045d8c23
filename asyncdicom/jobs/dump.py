"""`dump`: the answers of a DICOMweb server on disk, exactly as sent, each with its record.

The study metadata comes first: it names every instance and every frame, and is
what the rest is planned from and counted against. It is read back from the
file just written, element by element, so that a study of 100,000 instances is
never a list of 100,000 tasks.

What is planned here is obtained by a `Dumper`: in this process, or in others.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asyncdicom.errors import StorageError
from asyncdicom.jobs.dump_fetch import DumpFetcher
from asyncdicom.jobs.dump_plan import DumpOptions, DumpPlan, DumpTask
from asyncdicom.model import Failed, Target, Uid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.dump_fetch import Dumper
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.sources.dicomweb import DicomWebSource
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["DumpJob", "DumpOptions"]


class DumpJob:
    """Performs dump tasks; driven by a scheduler.

    Args:
        dumper: Obtains targets.
        folder: Where it puts them; answers are read back from there to plan on.
        tally: The books of the run.
        options: What is dumped.

    """

    def __init__(
        self, dumper: Dumper, folder: OutputFolder, tally: Tally, options: DumpOptions
    ) -> None:
        self._dumper = dumper
        self._folder = folder
        self._plan = DumpPlan(
            folder,
            options.kinds,
            from_search=options.plans_from_search,
            note_unusable=self._note_unusable,
        )
        self._tally = tally
        self._overwrites = options.overwrite
        self._fresh: dict[Uid, bool] = {}

    @classmethod
    @asynccontextmanager
    async def here(
        cls, source: DicomWebSource, folder: OutputFolder, tally: Tally, options: DumpOptions
    ) -> AsyncIterator[DumpJob]:
        """Open a job that obtains everything in this process."""
        async with DumpFetcher(source, folder, options, tally.count_bytes) as fetcher:
            yield cls(fetcher, folder, tally, options)

    def tasks(self, studies: Iterable[Uid]) -> Iterator[DumpTask]:
        """Yield the first task of each study; everything else follows from it."""
        for study in studies:
            self._fresh[study] = self._overwrites or self._has_nothing_of(study)
            yield from self._plan.first(study)

    def _has_nothing_of(self, study: Uid) -> bool:
        try:
            return not self._folder.names(study)
        except StorageError:
            return False  # each target of this study will say what stands in the way

    def tasks_again(self, targets: Iterable[Target]) -> Iterator[DumpTask]:
        """Yield a task for each target that failed in an earlier run."""
        for task in self._plan.again(targets):
            self._fresh[task.target.study_instance_uid] = False
            yield task

    async def perform(self, task: DumpTask, attempt: int) -> Iterable[DumpTask]:
        """Obtain one target; return what follows from it."""
        study = task.target.study_instance_uid
        is_fresh = self._fresh.get(study, True)
        obtained = await self._dumper.obtain(task, attempt, is_fresh=is_fresh)
        if not obtained.is_fresh:
            self._fresh[study] = False
        self._tally.record(obtained.outcome)
        return self._plan.follow_ups(task)

    def give_up(self, task: DumpTask, error: AsyncDicomError, attempts: int) -> Iterable[DumpTask]:
        """Name a target that failed for good, and leave its record."""
        self._tally.record(Failed(task.target, error, attempts))
        self._dumper.give_up(task, error, attempts)
        return ()

    def _note_unusable(self, target: Target, error: AsyncDicomError) -> None:
        """Name an instance that the metadata describes in a way nobody can ask for."""
        self._tally.record(Failed(target, error))
