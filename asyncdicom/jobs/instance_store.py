"""Where instances go: named by layout, committed in groups, found again in the next run.

Rule: what is there is believed after it was read again to its last byte, and
only if it is the instance that was asked for. A file that holds another
instance is never replaced; one that is damaged is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Self

from asyncdicom.errors import AsyncDicomError, DiskFull, NameTaken
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
    from asyncdicom.jobs.stores import Settle
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
        self._looking_through = asyncio.Lock()
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

    @property
    def collect(self) -> Mapping[int, str]:
        """What names are made from."""
        return self._collect

    def batch(self, target: Target) -> CommitBatch:  # noqa: ARG002 -- Store
        """Return a context in which the instances of one answer are committed."""
        return CommitBatch(self)

    async def already_there(self, study: Expectation, target: Target) -> list[Skipped]:
        """Return those instances of a target that are on disk and whole."""
        inventory = await self._look_through()
        found: list[Skipped] = []
        for series, uid in study.missing(target):
            own = study.own_uid_of(uid)
            if (path := inventory.path_of(own)) is None:
                continue
            place = Target(Resource.INSTANCE, study.study_instance_uid, series, uid)
            try:
                verified = await asyncio.to_thread(
                    verify_instance, self._folder, path, sop_instance_uid=own, **study.proof_of(uid)
                )
            except AsyncDicomError:
                continue  # damaged or gone: it will be fetched, and replaced
            found.append(Skipped(place, path, verified.byte_count, verified.sha256))
        return found

    async def takes_on_trust(self) -> bool:
        """Tell whether nothing was there when the run began."""
        return not len(await self._look_through())

    async def _look_through(self) -> Inventory:
        async with self._looking_through:
            if self._inventory is None:
                self._inventory = await asyncio.to_thread(Inventory.of, self._folder)
        return self._inventory

    async def finish(self) -> None:
        """Do nothing: each instance was safe when it was recorded."""

    async def commit(self, arrival: Arrival[FileWriter]) -> str:
        """Give an instance its name and return its path.

        Raises:
            StorageError: If it cannot be kept.

        """
        replace = self._name(arrival)
        try:
            await self._committer.commit(arrival.writer, replace=replace)
        except NameTaken as error:
            # Another run into the same folder was faster with the very same bytes.
            if not error.is_identical:
                raise
        return self._noted(arrival)

    def commit_nowait(self, arrival: Arrival[FileWriter]) -> str:
        """Do as `commit` where no disk is waited for (`commits_at_once`).

        The file is whole under its name when this returns, and still open; whoever called this
        closes it.
        """
        replace = self._name(arrival)
        try:
            arrival.writer.appear(replace=replace)
        except NameTaken as error:
            if not error.is_identical:
                raise
        return self._noted(arrival)

    def _name(self, arrival: Arrival[FileWriter]) -> bool:
        """Give a file its name to come; tell whether it may replace what has that.

        Raises:
            NameTaken: If something else has it, which does not give way.

        """
        path = self._layout.path_for(Instance.of(arrival.facts))
        arrival.writer.retarget(path)
        # Where the folder was looked through, names that nobody had are not looked for again;
        # should one have appeared since, it is not replaced.
        occupied = None if self._inventory is None else self._inventory.occupied
        is_free = occupied is not None and path not in occupied
        return not is_free and self._may_replace(arrival.facts, path)

    def _noted(self, arrival: Arrival[FileWriter]) -> str:
        path = arrival.writer.path
        if self._inventory is not None:
            self._inventory.occupied.add(path)
        self._paths[arrival.facts.sop_instance_uid] = path
        return path

    def _may_replace(self, facts: InstanceFacts, path: str) -> bool:
        """Tell whether a damaged copy of the same instance has the name, which gives way.

        Raises:
            NameTaken: If something else has it, which does not.

        """
        if self._folder.facts(path) is None:
            return False
        own = (facts.sop_instance_uid, facts.media_storage_sop_instance_uid, None)
        if claimed_uid(self._folder, path) not in own:
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
        self._unnamed: deque[_Settled] = deque()
        self._unrecorded: deque[_Settled] = deque()
        self._errors: list[AsyncDicomError] = []
        """Why single instances could not be kept."""
        self._failure: AsyncDicomError | OSError | None = None
        """Why no other one will be."""
        self._is_ending_soon = False
        self._is_recording = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Instances that arrived whole are kept, whatever became of the answer.
        results = await asyncio.gather(*self._commits, return_exceptions=True)
        self._end_settled()
        assert not self._is_recording, "whoever was told of an instance has a bug"
        if kind is None:
            for result in (self._failure, *self._errors, *results):
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
        try:
            await self._until_room()
        except BaseException:
            arrival.writer.discard()
            raise
        at_once = self._store.commits_at_once
        settle = self._settle_at_once if at_once else self._begin_to_settle
        settle(study, arrival, attempts, record)

    @property
    def settle_nowait(self) -> Settle[FileWriter] | None:
        """What begins to settle an instance; None without room for it.

        What goes wrong then, the end of the block tells.
        """
        if self._store.commits_at_once:
            return self._settle_soon
        return self._begin_to_settle if len(self._commits) < MAX_COMMITS else None

    async def _until_room(self) -> None:
        """Wait until another commit may begin; raise why an earlier one failed."""
        if len(self._commits) < MAX_COMMITS:
            return
        done, self._commits = await asyncio.wait(self._commits, return_when=asyncio.FIRST_COMPLETED)
        for error in [commit.exception() for commit in done]:
            if error is not None:
                raise error

    def _begin_to_settle(
        self,
        study: Expectation,
        arrival: Arrival[FileWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        settled = _Settled(study, arrival, attempts, record)
        if settled.begins():
            self._commits.add(asyncio.create_task(self._settle(settled)))

    async def _settle(self, settled: _Settled) -> None:
        try:
            await self._store.commit(settled.arrival)
        except BaseException:
            settled.fail()
            raise
        settled.record()

    def _settle_at_once(
        self,
        study: Expectation,
        arrival: Arrival[FileWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        settled = self._begun(study, arrival, attempts, record)
        if settled is not None:
            self._name(settled)

    def _settle_soon(
        self,
        study: Expectation,
        arrival: Arrival[FileWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        settled = self._begun(study, arrival, attempts, record)
        if settled is not None:
            self._unnamed.append(settled)

    def _begun(
        self,
        study: Expectation,
        arrival: Arrival[FileWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> _Settled | None:
        """Begin to settle an instance, to be ended soon; None if it is settled.

        Raises:
            AsyncDicomError, OSError: Why no other one will be kept.

        """
        if self._failure is not None:
            arrival.writer.discard()
            raise self._failure
        settled = _Settled(study, arrival, attempts, record)
        if not settled.begins():
            return None
        if not self._is_ending_soon:
            # A turn of the loop later: an archive waits for our answer, but not for this.
            self._is_ending_soon = True
            asyncio.get_running_loop().call_soon(self._end_soon)
        return settled

    def _name(self, settled: _Settled) -> None:
        """Commit an instance, to be recorded soon; raises as `InstanceStore.commit`."""
        try:
            self._store.commit_nowait(settled.arrival)
        except BaseException:
            settled.fail()
            raise
        self._unrecorded.append(settled)

    def _end_soon(self) -> None:
        self._is_ending_soon = False
        self._is_recording = True
        try:
            self._end_settled()
        except (AsyncDicomError, OSError) as error:
            self._failure = error
        self._is_recording = False

    def _end_settled(self) -> None:
        while self._unnamed:
            try:
                self._name(self._unnamed.popleft())
            except AsyncDicomError as error:
                self._errors.append(error)
                if isinstance(error, DiskFull):
                    self._failure = error
        while self._unrecorded:
            self._unrecorded.popleft().record()


class _Settled(NamedTuple):
    """An instance that is being settled, and whom to tell when it is safe."""

    study: Expectation
    arrival: Arrival[FileWriter]
    attempts: int
    tell: Callable[[Outcome], None]

    def begins(self) -> bool:
        """Settle the instance unless it is; what came a second time is dropped."""
        settled, uid = self.study.settled, self.arrival.facts.sop_instance_uid
        if uid in settled:
            self.arrival.writer.discard()
            return False
        settled.add(uid)
        return True

    def fail(self) -> None:
        """Take back that it is settled."""
        self.study.settled.discard(self.arrival.facts.sop_instance_uid)
        self.arrival.writer.discard()

    def record(self) -> None:
        """Let go of the file, which is under its name, and tell of it."""
        facts, writer = self.arrival.facts, self.arrival.writer
        writer.close()
        target = Target(
            Resource.INSTANCE,
            self.study.study_instance_uid,
            facts.series_instance_uid,
            facts.sop_instance_uid,
        )
        self.tell(
            Stored(
                target,
                writer.path,
                facts.byte_count,
                self.arrival.sha256,
                self.attempts,
                facts.doubts,
            )
        )
