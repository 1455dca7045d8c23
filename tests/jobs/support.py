"""Jobs driven to their end over an archive without a network, and what came of them."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.events import Finished, Planned, Retrying
from asyncdicom.jobs.dump import DumpJob, DumpOptions
from asyncdicom.jobs.get import GetJob, GetOptions
from asyncdicom.jobs.instance_store import InstanceStore
from asyncdicom.jobs.intake import Arrival, WebRetriever
from asyncdicom.jobs.lookup import Lookup, Witness
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.jobs.zip_store import ZipStore
from asyncdicom.model import Failed, Skipped, Stored, Target
from asyncdicom.policy.retry import RetryPolicy
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.templates import parse_layout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from asyncdicom.events import Event, RunEnded
    from asyncdicom.storage.atomic import FileWriter
    from tests.support.served import Served

__all__ = [
    "IMPATIENT",
    "ONCE",
    "Books",
    "Run",
    "arrival_of",
    "dump",
    "files_in",
    "get",
    "open_store",
]

IMPATIENT = SchedulerSettings(
    concurrency=1, retry=RetryPolicy(retries=2, first_pause_s=0.0, longest_pause_s=0.0)
)
"""One worker, so that requests have an order; three tries without a pause."""

ONCE = SchedulerSettings(concurrency=1, retry=RetryPolicy(retries=0))


@dataclass
class Books:
    """An observer that keeps everything it hears."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def stored(self) -> list[Stored]:
        """What was stored, in order."""
        return [o for o in self._outcomes() if isinstance(o, Stored)]

    @property
    def skipped(self) -> list[Skipped]:
        """What was there, in order."""
        return [o for o in self._outcomes() if isinstance(o, Skipped)]

    @property
    def failed(self) -> list[Failed]:
        """What failed, in order."""
        return [o for o in self._outcomes() if isinstance(o, Failed)]

    @property
    def failed_targets(self) -> list[Target]:
        """What failed, as it can be asked for again."""
        return [one.target for one in self.failed if isinstance(one.target, Target)]

    @property
    def retried(self) -> list[str]:
        """What was tried again, and why, in order."""
        return [f"{e.what}: {e.error.reason}" for e in self.events if isinstance(e, Retrying)]

    @property
    def planned(self) -> list[tuple[str, int]]:
        """Studies and how many instances they should have."""
        found = [e for e in self.events if isinstance(e, Planned)]
        return [(e.study_instance_uid, e.instances) for e in found]

    def _outcomes(self) -> list[Stored | Skipped | Failed]:
        return [e.outcome for e in self.events if isinstance(e, Finished)]


@dataclass
class Run(Books):
    """A run that has ended."""

    ended: RunEnded | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the run says that nothing is missing."""
        assert self.ended is not None, "the run has ended"
        return self.ended.is_complete


@asynccontextmanager
async def open_store(
    root: Path,
    *,
    layout: str = "flat",
    is_iso_9660: bool = False,
    as_zip: bool = False,
    durability: Durability = Durability.NONE,
) -> AsyncIterator[InstanceStore | ZipStore]:
    """Open where instances go."""
    with OutputFolder.open(root, durability=durability) as folder:
        names = Layout(parse_layout(layout), is_iso_9660=is_iso_9660, names_in=folder.names)
        async with (ZipStore if as_zip else InstanceStore)(folder, names) as store:
            yield store


def arrival_of(store: InstanceStore | ZipStore, content: bytes) -> Arrival[FileWriter]:
    """Return an instance as it stands between its last byte and its commit."""
    walker, writer = store.walker(), store.begin()
    walker.receive_data(content)
    writer.write(content)
    return Arrival(walker.receive_eof(), hashlib.sha256(content).hexdigest(), writer)


async def get(
    served: Served,
    store: InstanceStore | ZipStore,
    targets: Sequence[Target] = (),
    *,
    options: GetOptions | None = None,
    witness: Witness = Witness.AUTO,
    settings: SchedulerSettings = IMPATIENT,
) -> Run:
    """Get targets, or the whole study."""
    run = Run()
    tally = Tally([run])
    lookup = Lookup(served.source, witness=witness)
    job = GetJob(WebRetriever(served.source), lookup, store, tally, options or GetOptions())
    run.ended = await run_job(
        job,
        job.tasks(targets or [served.target()]),
        scheduler=Scheduler(job, settings, observe=tally.tell),
        tally=tally,
        finish=store.finish,
    )
    return run


async def dump(
    served: Served,
    root: Path,
    options: DumpOptions | None = None,
    *,
    again: Sequence[Target] = (),
    settings: SchedulerSettings = IMPATIENT,
) -> Run:
    """Dump the study, or targets that failed before."""
    run = Run()
    tally = Tally([run])
    with OutputFolder.open(root) as folder:
        async with DumpJob.here(served.source, folder, tally, options or DumpOptions()) as job:
            run.ended = await run_job(
                job,
                job.tasks_again(again) if again else job.tasks([served.study]),
                scheduler=Scheduler(job, settings, observe=tally.tell),
                tally=tally,
            )
    return run


def files_in(root: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if not path.is_dir()
    }
