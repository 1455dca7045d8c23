"""`Source.retrieve`: the instances of a target in memory, proven complete.

The machinery is that of `get` (jobs/get.py) with a store in memory: an answer
that breaks costs only what had not arrived, and what is expected and does not
come in the end is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncdicom.connecting import scheduler_settings
from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import Incomplete
from asyncdicom.events import Finished, Planned, Withdrawn
from asyncdicom.jobs.get import GetOptions
from asyncdicom.jobs.lookup import Witness
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.library.watching import watched_archive
from asyncdicom.model import Failed, Stored
from asyncdicom.policy.granularity import Granularity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.engine.slot import Slot
    from asyncdicom.events import Event
    from asyncdicom.jobs.archives import Archive
    from asyncdicom.library.memory_store import MemoryStore
    from asyncdicom.model import Target

__all__ = ["Retrieval", "get_options"]

MAX_NAMED = 3
"""Missing instances that a message names; the exception has all of them."""


def get_options(options: Mapping[str, Any]) -> GetOptions:
    """Return how instances are asked for."""
    return GetOptions(
        granularity=Granularity(options.get("granularity", "auto")),
        concurrency=options.get("concurrency", 8),
    )


class Retrieval:
    """Retrieves one target into a store in memory.

    Args:
        archive: Where from.
        slot: Bookkeeping of the source.
        target: What.
        options: Values of the options of `retrieve`.

    """

    def __init__(
        self,
        archive: Archive,
        slot: Slot,
        target: Target,
        options: Mapping[str, Any],
    ) -> None:
        self._archive = archive
        self._slot = slot
        self._target = target
        self._options = options
        self._expected = 0
        self._received = 0
        self._failed: list[Failed] = []

    async def run(self, store: MemoryStore) -> None:
        """Retrieve everything.

        Raises:
            Incomplete: If something is missing in the end; everything else was handed over.
            FetchError: If the target as a whole could not be had.

        """
        tally = Tally([self._take_note])
        await self._archive.prepare()
        job = watched_archive(self._archive, store).get_job(
            store,
            tally,
            get_options(self._options),
            witness=Witness(self._options.get("expect", "auto")),
        )
        scheduler = Scheduler(
            job, scheduler_settings(self._options), slot=self._slot, observe=tally.tell
        )
        await run_job(job, job.tasks([self._target]), scheduler=scheduler, tally=tally)
        self._judge()

    def _take_note(self, event: Event) -> None:
        match event:
            case Planned(_, instances):
                self._expected = instances
            case Finished(Stored()):
                self._received += 1
            case Withdrawn():
                self._received -= 1
            case Finished(Failed() as failed):
                self._failed.append(failed)

    def _judge(self) -> None:
        if not self._failed:
            return
        first = self._failed[0].error
        if [failed.target for failed in self._failed] == [self._target]:
            raise first
        missing = tuple(
            uid for failed in self._failed if (uid := failed.target.sop_instance_uid) is not None
        )
        named = ", ".join(missing[:MAX_NAMED]) + (", …" if len(missing) > MAX_NAMED else "")
        raise Incomplete(
            f"{len(missing)} of {self._expected} instances are missing: {named} (first: {first})",
            expected=self._expected,
            received=self._received,
            missing=missing,
        ) from first
