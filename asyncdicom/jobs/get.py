"""`get`: the instances of studies as DICOM files, proven complete.

    look up what the study must hold → ask for what is not on disk yet, as
    coarsely as is sensible → verify and store each instance as it arrives →
    ask again, one by one, for what did not come

Rule: an instance is settled when it is on disk, walked to its last byte, of the
UID expected. Whatever is expected and not settled in the end is named.

Rule: an answer that breaks after part k costs only what came after it: the
first k instances are settled, and only the missing ones are asked for again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from asyncdicom.errors import (
    AsyncDicomError,
    ContentError,
    Doubtful,
    FetchError,
    Incomplete,
    TransportError,
    UidMismatch,
    Unauthorized,
)
from asyncdicom.events import Planned, Retrying
from asyncdicom.jobs.get_plan import Missing, Planner, WebPlanner, one_by_one
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Failed, Resource, Target, Uid
from asyncdicom.policy.granularity import Granularity

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.jobs.stores import Finder, Retriever, Store
    from asyncdicom.jobs.tally import Tally
    from asyncdicom.model import AnyTarget

__all__ = ["Doubted", "GetJob", "GetOptions", "GetTask"]


@dataclass(frozen=True, slots=True)
class GetOptions:
    """How instances are asked for."""

    granularity: Granularity = Granularity.AUTO
    concurrency: int = 8
    """Requests at once: what `auto` weighs the number of series against."""
    dry_run: bool = False
    """Look up and count, fetch nothing."""
    planner: Planner | None = None
    """Who decides what is asked for at once; None for the planner of WADO-RS."""


@dataclass(frozen=True, slots=True)
class GetTask:
    """Look up what a target holds, or retrieve it."""

    target: Target
    is_lookup: bool = False

    def __str__(self) -> str:
        return f"look up {self.target}" if self.is_lookup else str(self.target)


@dataclass(slots=True)
class Doubted:
    """Instances of one answer that are not what they seem, or may not be."""

    disputed: set[Uid] = field(default_factory=set)
    """Came twice, with different content."""
    unlisted: list[tuple[Uid, Uid]] = field(default_factory=list)
    """Series and instance that no list names."""


@dataclass(frozen=True, slots=True)
class _Reception(Generic[WriterT]):
    """Implements `stores.Reception`."""

    target: Target
    study: Expectation
    store: Store[WriterT]
    take: Callable[[Arrival[WriterT]], Coroutine[Any, Any, None]]
    take_nowait: Callable[[Arrival[WriterT]], bool]
    tally: Tally
    listing: asyncio.Task[None] | None
    """Lists the study meanwhile; None if that is done."""

    def count_bytes(self, byte_count: int) -> None:
        self.tally.count_bytes(byte_count)

    async def until_listed(self) -> None:
        if self.listing is not None:
            await asyncio.wait({self.listing})


class GetJob(Generic[WriterT]):
    """Performs get tasks; driven by a scheduler."""

    def __init__(
        self,
        retriever: Retriever[WriterT],
        finder: Finder,
        store: Store[WriterT],
        tally: Tally,
        options: GetOptions,
    ) -> None:
        self._retriever = retriever
        self._finder = finder
        self._store = store
        self._tally = tally
        self._options = options
        self._planner = options.planner or WebPlanner(options.granularity, options.concurrency)
        self._studies: dict[Uid, Expectation] = {}
        self._doubted: dict[Uid, str] = {}
        self._digests: dict[Uid, str] = {}

    def tasks(self, targets: Iterable[Target]) -> Iterator[GetTask]:
        """Yield the first task for each study, series or instance asked for."""
        for target in targets:
            yield GetTask(target, is_lookup=True)

    async def perform(self, task: GetTask, attempt: int) -> Iterable[GetTask]:
        """Look up or retrieve one target; return what is to be retrieved next."""
        if task.is_lookup:
            return await self._look_up(task.target)
        return await self._retrieve(task.target, attempt)

    def give_up(self, task: GetTask, error: AsyncDicomError, attempts: int) -> Iterable[GetTask]:
        """Name what is missing, or ask for it one by one where that may help."""
        study = self._studies.get(task.target.study_instance_uid)
        if task.is_lookup or study is None:
            if study is not None and task.target.resource is Resource.STUDY:
                study.end_list()  # what came on trust is whole, and stays
            self._tally.record(Failed(task.target, error, attempts))
            return ()
        missing = study.missing(task.target)
        if task.target.resource is not Resource.INSTANCE and self._planner.may_help(error):
            return _tasks(self._planner.narrower(study, task.target, missing))
        for series, instance in missing:
            target = Target(Resource.INSTANCE, study.study_instance_uid, series, instance)
            self._tally.record(Failed(target, error, attempts))
        if self._is_lost(study, task.target, error):
            self._tally.record(Failed(task.target, error, attempts))
        return ()

    def _is_lost(self, study: Expectation, target: Target, error: AsyncDicomError) -> bool:
        """Tell whether an instance that no list names was not had, though it may be there.

        An answer that says no may mean that it is not of the study; a break says nothing.
        """
        is_answer = isinstance(error, FetchError) and not isinstance(
            error, TransportError | Unauthorized
        )
        return target.sop_instance_uid is not None and not (
            is_answer or target.sop_instance_uid in study
        )

    async def _look_up(self, target: Target) -> Iterable[GetTask]:
        found = await self._finder.expectation_of(target)
        self.announce(found, target)
        return () if self._options.dry_run else await self.first_tasks(found, target)

    def announce(self, found: Expectation, target: Target) -> None:
        """Tell how much was found, and name what is only counted."""
        self._tally.tell(Planned(found.study_instance_uid, len(found), found.byte_count))
        if found.unlisted and not self._options.dry_run:
            error = Incomplete(
                f"the server counts {found.counted} instances but lists {len(found)}",
                expected=found.counted,
                received=len(found),
            )
            self._tally.record(Failed(target, error))

    async def first_tasks(self, found: Expectation, target: Target) -> Iterable[GetTask]:
        """Expect what was found; return what of it is to be retrieved first."""
        study = self._studies.setdefault(target.study_instance_uid, found)
        if study is not found:
            study.absorb(found)
        is_whole = target.resource is Resource.STUDY
        strays = await self.withdraw_strays(study) if is_whole else []
        for outcome in await self._store.already_there(study, target):
            study.settled.add(_instance_of(outcome.target))
            self._tally.record(outcome)
        return _tasks([*self._planner.first(study, target), *one_by_one(study, strays)])

    async def _retrieve(self, target: Target, attempt: int) -> Iterable[GetTask]:
        study = self._studies[target.study_instance_uid]
        settled_before = len(study.settled)
        doubted = Doubted()
        try:
            await self.receive(study, target, attempt, doubted)
        except FetchError as error:
            has_progressed = len(study.settled) > settled_before
            if target.resource is Resource.INSTANCE or not has_progressed:
                raise
            self._tally.tell(Retrying(str(target), error, attempt, 0.0))
        finally:
            await self.withdraw_disputed(study, doubted)
        if target.resource is Resource.INSTANCE and study.missing(target):
            raise Incomplete("the answer does not hold the instance", expected=1, received=0)
        return self.next_tasks(study, target, doubted)

    def next_tasks(self, study: Expectation, target: Target, doubted: Doubted) -> Iterable[GetTask]:
        """Return what is to be asked for again after an answer."""
        missing = study.missing(target)
        if doubted.unlisted:
            # Only alone it can be told whether they belong to the study.
            return _tasks(one_by_one(study, missing + doubted.unlisted))
        return _tasks(self._planner.narrower(study, target, missing)) if missing else ()

    async def receive(
        self,
        study: Expectation,
        target: Target,
        attempt: int,
        doubted: Doubted,
        listing: asyncio.Task[None] | None = None,
    ) -> None:
        """Fetch a target and settle what comes of it.

        Raises:
            FetchError, StorageError: As `Retriever.retrieve`.

        """
        async with self._store.batch(target) as batch:

            async def take(arrival: Arrival[WriterT]) -> None:
                if self._is_wanted(study, target, arrival, doubted):
                    await batch.settle(study, arrival, attempt, self._tally.record)
                else:
                    arrival.writer.discard()

            def take_nowait(arrival: Arrival[WriterT]) -> bool:
                settle = batch.settle_nowait
                if settle is None:
                    return False
                if self._is_wanted(study, target, arrival, doubted):
                    settle(study, arrival, attempt, self._tally.record)
                else:
                    arrival.writer.discard()
                return True

            reception = _Reception(
                target, study, self._store, take, take_nowait, self._tally, listing
            )
            await self._retriever.retrieve(reception)

    async def withdraw_strays(self, study: Expectation) -> list[Missing]:
        """Take back what came on trust and is not on the list, which is whole; return it."""
        strays = study.end_list()
        await self._withdraw(study, strays, "it came, but no list names it")
        return strays

    async def withdraw_disputed(self, study: Expectation, doubted: Doubted) -> None:
        """Take back what came twice with different content; it will be asked for alone."""
        disputed = [(study.series_of(uid), uid) for uid in doubted.disputed]
        await self._withdraw(study, disputed, "two different instances came under this UID")

    async def _withdraw(
        self, study: Expectation, instances: Iterable[tuple[Uid | None, Uid]], why: str
    ) -> None:
        error = ContentError(why)
        for series, uid in instances:
            self._digests.pop(uid, None)
            target = Target(Resource.INSTANCE, study.study_instance_uid, series, uid)
            if await self._store.withdraw(study, uid):
                self._tally.withdraw(target, error)

    def _is_wanted(
        self, study: Expectation, target: Target, arrival: Arrival[WriterT], doubted: Doubted
    ) -> bool:
        """Tell whether an instance is of the target and not on disk yet.

        Raises:
            UidMismatch: If one instance was asked for and another one came.

        """
        facts = arrival.facts
        expected, received = target.sop_instance_uid, facts.sop_instance_uid
        if expected is not None and received != expected:
            arrival.writer.discard()
            raise UidMismatch(expected=expected, received=received)
        # What belongs elsewhere is not stored under a wrong name; the instance
        # that should have come instead will be found missing and asked for.
        if facts.study_instance_uid != study.study_instance_uid:
            return False
        # Within one answer, a commit of its twin may still be under way.
        known = self._digests.get(received) if expected is None else None
        if known is not None and known != arrival.sha256:
            doubted.disputed.add(received)
        if known is not None or received in study.settled:
            return False
        if received not in study and not self._is_new(study, target, arrival, doubted):
            return False
        if facts.doubts and not self._is_confirmed(target, arrival):
            return False
        self._digests[received] = arrival.sha256
        return True

    def _is_new(
        self, study: Expectation, target: Target, arrival: Arrival[WriterT], doubted: Doubted
    ) -> bool:
        """Tell whether an instance that no list names is taken all the same.

        In a larger answer it may be one of the others under a wrong UID; if it
        can be had alone, it is new, and belongs to the study. Before the list is
        whole, it comes on trust.
        """
        uid, series = arrival.facts.sop_instance_uid, arrival.facts.series_instance_uid
        if series is None:
            return False
        if study.trusts(uid, series):
            return True
        if target.resource is Resource.INSTANCE:
            study.expect(uid, series, byte_count=arrival.facts.byte_count)
            return True
        doubted.unlisted.append((series, uid))
        return False

    def _is_confirmed(self, target: Target, arrival: Arrival[WriterT]) -> bool:
        """Tell whether a doubtful instance came a second time with the same bytes.

        Then it is what the server holds, and is kept as it is.

        Raises:
            Doubtful: If it came for the first time, and alone.

        """
        uid, doubts = arrival.facts.sop_instance_uid, arrival.facts.doubts
        if self._doubted.get(uid) == arrival.sha256:
            return True
        self._doubted[uid] = arrival.sha256
        if target.resource is Resource.INSTANCE:
            arrival.writer.discard()
            raise Doubtful("; ".join(doubts))
        return False


def _tasks(targets: Iterable[Target]) -> Iterator[GetTask]:
    return map(GetTask, targets)


def _instance_of(target: AnyTarget) -> Uid:
    assert target.sop_instance_uid is not None, "an instance outcome names its instance"
    return target.sop_instance_uid
