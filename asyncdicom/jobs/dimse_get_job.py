"""A get over DIMSE that asks for a study while it is listed.

    C-FIND of the study (counts, SOP classes) ─┬→ C-FIND of its series and instances ─┬→ compare
                                               └→ C-GET of the study ─────────────────┘

An archive takes as long to list a small instance as a third of sending it, and can do both at
once. It takes an association more, so it is done where there is one to spare, and where nothing
is there yet: what is there must not be asked for again.

Rule: nothing is proven before the list is whole. What came and is not on it is taken back and
asked for alone; what is on it and did not come is missing, as ever.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asyncdicom.errors import AsyncDicomError, FetchError
from asyncdicom.events import Retrying
from asyncdicom.jobs.get import Doubted, GetJob, GetTask
from asyncdicom.jobs.get_plan import one_by_one
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable

    from asyncdicom.jobs.dimse_lookup import DimseLookup
    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.get import GetOptions
    from asyncdicom.jobs.get_plan import Missing
    from asyncdicom.jobs.stores import Retriever, Store
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Target

__all__ = ["TrustingGetJob"]


class TrustingGetJob(GetJob[WriterT]):
    """Performs get tasks; of a study that is asked for whole, the look-up brings it, too."""

    def __init__(
        self,
        retriever: Retriever[WriterT],
        lookup: DimseLookup,
        store: Store[WriterT],
        tally: Tally,
        options: GetOptions,
    ) -> None:
        super().__init__(retriever, lookup, store, tally, options)
        self._lookup = lookup
        self._listed: dict[Target, list[Missing]] = {}
        """By study that was listed while it came: what was taken back, and not asked for yet."""

    async def perform(self, task: GetTask, attempt: int) -> Iterable[GetTask]:
        """Look up or retrieve one target, or both; return what is to be retrieved next."""
        target = task.target
        if not task.is_lookup:
            return await super().perform(task, attempt)
        if target in self._listed:
            again = GetTask(target)
            is_there = not self._studies[target.study_instance_uid].missing(target)
            tasks = () if is_there else await super().perform(again, attempt)
            return [*tasks, *self._alone(target)]
        if not self._may_come_on_trust(target):
            return await super().perform(task, attempt)
        study, is_trusted = await asyncio.gather(
            self._lookup.outline_of(target), self._store.takes_on_trust()
        )
        is_first = self._studies.setdefault(target.study_instance_uid, study) is study
        if is_first and is_trusted and self._planner.asks_on_trust(study):
            return await self._retrieve_on_trust(study, target, attempt)
        await self._lookup.list_instances(study, target)
        self.announce(study, target)
        return await self.first_tasks(study, target)

    def give_up(self, task: GetTask, error: AsyncDicomError, attempts: int) -> Iterable[GetTask]:
        """Name what is missing, one by one if the study was listed while it came."""
        if not task.is_lookup or task.target not in self._listed:
            return super().give_up(task, error, attempts)
        tasks = super().give_up(GetTask(task.target), error, attempts)
        return [*tasks, *self._alone(task.target)]

    def _may_come_on_trust(self, target: Target) -> bool:
        is_first_look = target.study_instance_uid not in self._studies
        return target.resource is Resource.STUDY and is_first_look and not self._options.dry_run

    async def _retrieve_on_trust(
        self, study: Expectation, target: Target, attempt: int
    ) -> Iterable[GetTask]:
        doubted = Doubted()
        try:
            async with _meanwhile(self._list(study, target)) as listing:
                try:
                    await self.receive(study, target, attempt, doubted, listing)
                except AsyncDicomError as error:
                    # What is missing can be named, or asked for again, when it is known.
                    await asyncio.wait({listing})
                    if not isinstance(error, FetchError) or not study.settled:
                        raise
                    self._tally.tell(Retrying(str(target), error, attempt, 0.0))
                await listing
        finally:
            await self.withdraw_disputed(study, doubted)
            if study.is_listed:
                self._listed[target] += await self.withdraw_strays(study)
        doubted.unlisted += self._listed[target]
        self._listed[target] = []
        return self.next_tasks(study, target, doubted)

    async def _list(self, study: Expectation, target: Target) -> None:
        await self._lookup.list_instances(study, target)
        self._listed[target] = []
        self.announce(study, target)

    def _alone(self, target: Target) -> list[GetTask]:
        """Return what was taken back of a study, and is to be asked for alone."""
        strays, self._listed[target] = self._listed[target], []
        return [
            GetTask(one) for one in one_by_one(self._studies[target.study_instance_uid], strays)
        ]


@asynccontextmanager
async def _meanwhile(work: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Let work go on beside the block; it ends with it."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # told by whoever waited for it, or outdone by what ended the block
