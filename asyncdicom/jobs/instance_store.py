"""Where instances go: named by layout, committed in groups, found again in the next run.

Rule: what is there is believed after it was read again to its last byte, and
only if it is the instance that was asked for. A file that holds another
instance is never replaced; one that is damaged is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Self

from asyncdicom.errors import AsyncDicomError, NameTaken
from asyncdicom.model import Resource, Skipped, Stored, Target, Uid
from asyncdicom.protocol.part10 import DEFAULT_TAGS, Part10Walker
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.committing import GroupCommitter
from asyncdicom.storage.inventory import Inventory, claimed_uid
from asyncdicom.storage.templates import Instance
from asyncdicom.storage.verification import verify_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.model import Outcome
    from asyncdicom.protocol.part10 import InstanceFacts
    from asyncdicom.storage.atomic import FileWriter
    from asyncdicom.storage.folder import OutputFolder
    from asyncdicom.storage.layout import Layout

__all__ = ["InstanceStore"]

MAX_COMMITS = 64
"""Commits of one answer under way; beyond, the answer waits, and the server with it."""

INCOMING = "incoming"
"""Name of a file until its content has said what it is; never seen on disk."""


class InstanceStore:
    """Stores instances in a folder; for one event loop."""

    def __init__(
        self, folder: OutputFolder, layout: Layout, *, collect: Mapping[int, str] = DEFAULT_TAGS
    ) -> None:
        """Prepare.

        Args:
            folder: Where to store.
            layout: How to name.
            collect: Keyword by tag of the values that the layout needs.

        """
        self._folder = folder
        self._layout = layout
        self._collect = collect
        self._committer = GroupCommitter(folder)
        self._paths: dict[Uid, str] = {}
        self._inventory: Inventory | None = None
        self.commits_at_once = folder.durability is Durability.NONE

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._committer.aclose()

    def begin(self) -> FileWriter:
        """Begin the file of an instance that has yet to say what it is."""
        return self._folder.create(INCOMING)

    def walker(self) -> Part10Walker:
        """Return a walker that collects what names are made from."""
        return Part10Walker(collect=self._collect, collect_doubts=True)

    def batch(self, target: Target) -> CommitBatch:  # noqa: ARG002 -- Store
        """Return a context in which the instances of one answer are committed."""
        return CommitBatch(self)

    async def already_there(self, study: Expectation, target: Target) -> list[Skipped]:
        """Return those instances of a target that are on disk and whole."""
        if self._inventory is None:
            self._inventory = await asyncio.to_thread(Inventory.of, self._folder)
        found: list[Skipped] = []
        for series, uid in study.missing(target):
            path = self._inventory.path_of(uid)
            if path is None:
                continue
            place = Target(Resource.INSTANCE, study.study_instance_uid, series, uid)
            try:
                verified = await asyncio.to_thread(
                    verify_instance, self._folder, path, sop_instance_uid=uid
                )
            except AsyncDicomError:
                continue  # damaged or gone: it will be fetched, and replaced
            found.append(Skipped(place, path, verified.byte_count, verified.sha256))
        return found

    async def finish(self) -> None:
        """Do nothing: each instance was safe when it was recorded."""

    async def commit(self, arrival: Arrival[FileWriter]) -> str:
        """Give an instance its name and return its path.

        Raises:
            StorageError: If it cannot be kept.

        """
        facts, writer = arrival.facts, arrival.writer
        path = self._layout.path_for(Instance.of(facts))
        writer.retarget(path)
        # Where the folder was looked through, names that nobody had are not looked for again;
        # should one have appeared since, it is not replaced.
        occupied = None if self._inventory is None else self._inventory.occupied
        replace = (occupied is None or path in occupied) and self._may_replace(facts, path)
        try:
            await self._committer.commit(writer, replace=replace)
        except NameTaken as error:
            # Another run into the same folder was faster with the very same bytes.
            if not error.is_identical:
                raise
        if occupied is not None:
            occupied.add(path)
        self._paths[facts.sop_instance_uid] = path
        return path

    def _may_replace(self, facts: InstanceFacts, path: str) -> bool:
        """Tell whether a damaged copy of the same instance has the name, which gives way.

        Raises:
            NameTaken: If something else has it, which does not.

        """
        if self._folder.facts(path) is None:
            return False
        if claimed_uid(self._folder, path) not in (facts.sop_instance_uid, None):
            raise NameTaken("another instance has the name", path=path)
        return True

    async def withdraw(self, study: Expectation, instance: Uid) -> bool:
        """Remove, and unsettle, what may be another instance under a wrong UID."""
        study.settled.discard(instance)
        path = self._paths.pop(instance, None)
        return path is not None and self._folder.remove(path)


class CommitBatch:
    """Commits of one answer: they share their syncs, and all have ended when the block has."""

    def __init__(self, store: InstanceStore) -> None:
        self._store = store
        self._commits: set[asyncio.Task[None]] = set()
        self._unrecorded: deque[_Settled] = deque()
        self._recording: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Instances that arrived whole are kept, whatever became of the answer.
        under_way = [*self._commits] if self._recording is None else [self._recording]
        results = await asyncio.gather(*under_way, return_exceptions=True)
        await self._record_settled()
        if kind is None:
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def settle(
        self,
        study: Expectation,
        arrival: Arrival[FileWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        """Commit an instance, and settle and record it once it is safe.

        Raises:
            StorageError: If it cannot be kept.

        """
        if self._store.commits_at_once:
            self._check_recording(arrival)
            await self._settle(study, arrival, attempts, record)
            return
        try:
            await self._until_room()
        except BaseException:
            arrival.writer.discard()
            raise
        self._commits.add(asyncio.create_task(self._settle(study, arrival, attempts, record)))

    async def _until_room(self) -> None:
        """Wait until another commit may begin; raise why an earlier one failed."""
        if len(self._commits) < MAX_COMMITS:
            return
        done, self._commits = await asyncio.wait(self._commits, return_when=asyncio.FIRST_COMPLETED)
        for error in [commit.exception() for commit in done]:
            if error is not None:
                raise error

    async def _settle(
        self,
        study: Expectation,
        arrival: Arrival[FileWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        uid = arrival.facts.sop_instance_uid
        if uid in study.settled:
            arrival.writer.discard()
            return
        study.settled.add(uid)
        try:
            path = await self._store.commit(arrival)
        except BaseException:
            study.settled.discard(uid)
            arrival.writer.discard()
            raise
        self._unrecorded.append(_Settled(study, arrival, attempts, path, record))
        if not self._store.commits_at_once:
            await self._record_settled()
        elif self._recording is None or self._recording.done():
            # A turn of the loop later: an archive waits for our answer, but not for this.
            self._recording = asyncio.create_task(self._record_settled())

    async def _record_settled(self) -> None:
        while self._unrecorded:
            self._unrecorded.popleft().record()

    def _check_recording(self, arrival: Arrival[FileWriter]) -> None:
        """Raise why what was settled before could not be recorded."""
        if self._recording is not None and self._recording.done():
            failure = self._recording.exception()
            if failure is not None:
                arrival.writer.discard()
                raise failure


class _Settled(NamedTuple):
    """An instance that is safe, and whom to tell."""

    study: Expectation
    arrival: Arrival[FileWriter]
    attempts: int
    path: str
    tell: Callable[[Outcome], None]

    def record(self) -> None:
        facts = self.arrival.facts
        target = Target(
            Resource.INSTANCE,
            self.study.study_instance_uid,
            facts.series_instance_uid,
            facts.sop_instance_uid,
        )
        self.tell(
            Stored(
                target,
                self.path,
                facts.byte_count,
                self.arrival.sha256,
                self.attempts,
                facts.doubts,
            )
        )
