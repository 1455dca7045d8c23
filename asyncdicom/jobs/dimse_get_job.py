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
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable

    from asyncdicom.jobs.dimse_lookup import DimseLookup
    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.get import GetOptions
    from asyncdicom.jobs.stores import Retriever, Store
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import Target, Uid

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
        self._listed_meanwhile: set[Uid] = set()

    async def perform(self, task: GetTask, attempt: int) -> Iterable[GetTask]:
        """Look up or retrieve one target, or both; return what is to be retrieved next."""
        if not task.is_lookup or not await self._may_come_on_trust(task.target):
            return await super().perform(task, attempt)
        target = task.target
        study = await self._lookup.outline_of(target)
        if self._planner.asks_on_trust(study):
            return await self._retrieve_on_trust(study, target, attempt)
        await self._list(study, target)
        return await self.first_tasks(study, target)

    def give_up(self, task: GetTask, error: AsyncDicomError, attempts: int) -> Iterable[GetTask]:
        """Name what is missing, one by one if a study was listed while it came."""
        if task.is_lookup and task.target.study_instance_uid in self._listed_meanwhile:
            task = GetTask(task.target)
        return super().give_up(task, error, attempts)

    async def _may_come_on_trust(self, target: Target) -> bool:
        is_first_look = target.study_instance_uid not in self._studies
        is_possible = target.resource is Resource.STUDY and not self._options.dry_run
        return is_possible and is_first_look and await self._store.takes_on_trust()

    async def _list(self, study: Expectation, target: Target) -> None:
        await self._lookup.list_instances(study, target)
        self._listed_meanwhile.add(study.study_instance_uid)
        self.announce(study)

    async def _retrieve_on_trust(
        self, study: Expectation, target: Target, attempt: int
    ) -> Iterable[GetTask]:
        self._studies[target.study_instance_uid] = study
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
        _, strays = await self.accept(study, target)
        doubted.unlisted += strays
        return self.next_tasks(study, target, doubted)


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
