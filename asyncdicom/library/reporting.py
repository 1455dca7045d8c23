"""What a job tells: events to whoever iterates over it, and callbacks.

Order, for one answer: progress after each chunk, download once it was received
to its end, extract with the instances that were in it. Instances are taken out
while the answer flows, so the first may be saved before the last has arrived.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias

from asyncdicom.events import Event, Finished, RunEnded
from asyncdicom.jobs.stores import WriterT
from asyncdicom.model import Failed, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from asyncdicom.engine.scheduler import Scheduler
    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.jobs.stores import Batch, Settle, Store
    from asyncdicom.library.watching import Answering
    from asyncdicom.model import Outcome, Skipped, Target, Uid
    from asyncdicom.protocol.part10 import Part10Walker

__all__ = ["Downloaded", "Extracted", "Listener", "Progress", "ReportedStore", "Reporter"]

MAX_EVENTS_WAITING = 1000
"""Events that wait for an iterating program before nothing more is read."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A chunk of an answer arrived."""

    url: str
    byte_count: int
    """Of this chunk, as it travelled."""
    total_bytes: int | None
    """Of the whole answer, or None if the server did not say."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """An answer was received to its end."""

    url: str
    byte_count: int
    """Of the body, as it travelled."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """Instances were taken out of an answer, which may have been cut after them."""

    url: str
    sop_instance_uids: tuple[str, ...]


Told: TypeAlias = Progress | Downloaded | Extracted | Stored | Failed | RunEnded
"""What callbacks are for."""


class Listener:
    """Events on their way to one iteration."""

    def __init__(self) -> None:
        self.waiting: deque[Event] = deque()
        self._is_over = False
        self._arrival = asyncio.Event()

    def put(self, event: Event) -> None:
        """Append an event."""
        self.waiting.append(event)
        self._arrival.set()

    def end(self) -> None:
        """Let the iteration end."""
        self._is_over = True
        self._arrival.set()

    async def take(self) -> Event | None:
        """Return the next event, or None after the last."""
        while not self.waiting:
            if self._is_over:
                return None
            self._arrival.clear()
            await self._arrival.wait()
        return self.waiting.popleft()


class Reporter:
    """Passes on what happens in a job, and stops it when asked.

    It is an observer of the job (`events.Observer`) and watches its answers
    (`watching.Watcher`).

    Attributes:
        failure: What a callback raised, or None.
        stop_reason: Why the job was stopped, or None.

    """

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.stop_reason: str | None = None
        self._callbacks: dict[type[Told], list[Callable[[Any], object]]] = {}
        self._listeners: list[Listener] = []
        self._room = asyncio.Event()
        self._scheduler: Scheduler[Any] | None = None

    def register(self, kind: type[Told], callback: Callable[[Any], object]) -> None:
        """Call back with everything of a kind."""
        self._callbacks.setdefault(kind, []).append(callback)

    def listen(self) -> Listener:
        """Return a new listener to all events from now on."""
        listener = Listener()
        self._listeners.append(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Tell a listener nothing more."""
        self._listeners.remove(listener)
        self._room.set()

    async def next_event(self, listener: Listener) -> Event | None:
        """Return the next event of a listener, or None after the last."""
        event = await listener.take()
        self._room.set()
        return event

    def end(self) -> None:
        """Let all iterations end."""
        for listener in self._listeners:
            listener.end()

    def drives(self, scheduler: Scheduler[Any]) -> None:
        """From now on, stopping stops this."""
        self._scheduler = scheduler

    def stop(self, reason: str, *, grace_s: float) -> None:
        """Begin nothing more; end what is in flight within the grace."""
        self.stop_reason = self.stop_reason or reason
        if self._scheduler is not None:
            self._scheduler.stop(reason, grace_s=grace_s)

    def __call__(self, event: Event, /) -> None:
        """Pass an event on."""
        match event:
            case Finished(Stored() | Failed() as outcome):
                self.tell(outcome)
            case RunEnded():
                self.tell(event)
            case _:
                pass
        for listener in self._listeners:
            listener.put(event)

    def tell(self, told: Told) -> None:
        """Call back; a callback that raises stops the job."""
        for callback in self._callbacks.get(type(told), ()):
            try:
                callback(told)
            except Exception as error:  # noqa: BLE001 -- any code of the user's; raised when the job ends
                self.failure = self.failure or error
                self.stop("a callback failed", grace_s=0)

    async def until_room(self, answer: Answering) -> None:  # noqa: ARG002 -- Watcher
        """Hold answers back while events wait for whoever iterates."""
        while any(len(one.waiting) >= MAX_EVENTS_WAITING for one in self._listeners):
            self._room.clear()
            await self._room.wait()

    def received(self, answer: Answering, byte_count: int) -> None:
        """Tell of a chunk, or of the end of an answer."""
        if not answer.is_wanted:
            return
        if byte_count:
            self.tell(Progress(answer.url, byte_count, answer.total_bytes))
        else:
            self.tell(Downloaded(answer.url, answer.byte_count))

    def left(self, answer: Answering) -> None:
        """Do nothing: an answer that was cut is told as a failure or a retry."""


class ReportedStore(Generic[WriterT]):
    """A store that also reports which instances were taken out of an answer."""

    def __init__(
        self, store: Store[WriterT], url_of: Callable[[Target], str], reporter: Reporter
    ) -> None:
        self._store = store
        self._url_of = url_of
        self._reporter = reporter

    def begin(self) -> WriterT:
        """Begin an instance that has yet to say what it is."""
        return self._store.begin()

    def walker(self) -> Part10Walker:
        """Return a walker that collects what the store wants to know."""
        return self._store.walker()

    @property
    def collect(self) -> Mapping[int, str]:
        """Keyword by tag of what the store wants to know."""
        return self._store.collect

    def batch(self, target: Target) -> _ReportedBatch[WriterT]:
        """Return a context for the instances of one answer."""
        return _ReportedBatch(self._store.batch(target), self._url_of(target), self._reporter)

    async def already_there(self, study: Expectation, target: Target) -> list[Skipped]:
        """Return those instances of a target that need not be fetched."""
        return await self._store.already_there(study, target)

    async def takes_on_trust(self) -> bool:
        """Tell whether instances may come before they are listed."""
        return await self._store.takes_on_trust()

    async def withdraw(self, study: Expectation, instance: Uid) -> bool:
        """Take back, and unsettle, what may be another instance under a wrong UID."""
        return await self._store.withdraw(study, instance)


class _ReportedBatch(Generic[WriterT]):
    def __init__(self, batch: Batch[WriterT], url: str, reporter: Reporter) -> None:
        self._batch = batch
        self._url = url
        self._reporter = reporter
        self._uids: list[str] = []

    @property
    def settle_nowait(self) -> Settle[WriterT] | None:
        settle = self._batch.settle_nowait
        if settle is None:
            return None

        def settle_and_note(
            study: Expectation,
            arrival: Arrival[WriterT],
            attempts: int,
            record: Callable[[Outcome], None],
        ) -> None:
            self._uids.append(arrival.facts.sop_instance_uid)
            settle(study, arrival, attempts, record)

        return settle_and_note

    async def __aenter__(self) -> Self:
        await self._batch.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        if self._uids:
            self._reporter.tell(Extracted(self._url, tuple(self._uids)))
        return await self._batch.__aexit__(kind, error, traceback)

    async def settle(
        self,
        study: Expectation,
        arrival: Arrival[WriterT],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        self._uids.append(arrival.facts.sop_instance_uid)
        await self._batch.settle(study, arrival, attempts, record)
