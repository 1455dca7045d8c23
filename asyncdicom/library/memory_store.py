"""Where instances go that a program wants to have in memory: through a `Prefetch`."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Self

from asyncdicom.library.instance import Instance
from asyncdicom.model import Resource, Skipped, Stored, Target
from asyncdicom.protocol.part10 import Part10Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncdicom.jobs.expectation import Expectation
    from asyncdicom.jobs.intake import Arrival
    from asyncdicom.jobs.stores import Settle
    from asyncdicom.library.prefetch import Prefetch
    from asyncdicom.library.watching import Answering
    from asyncdicom.model import Buffer, Outcome, Uid

__all__ = ["MemoryStore", "MemoryWriter"]


class MemoryWriter:
    """The bytes of one instance, counted as long as they are held."""

    def __init__(self, prefetch: Prefetch[Instance]) -> None:
        self._prefetch = prefetch
        # The value of a BytesIO is its buffer: unlike a bytearray or a list of
        # chunks, it is not there twice when it is taken.
        self._buffer = BytesIO()
        self._held_bytes = 0

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        self._buffer.write(data)
        self._held_bytes += len(data)
        self._prefetch.hold(len(data))

    def write_many(self, buffers: Sequence[Buffer]) -> None:
        """Append several pieces."""
        for data in buffers:
            self.write(data)

    def discard(self) -> None:
        """Drop the bytes; harmless when repeated, or after `take`."""
        self._prefetch.release(self._held_bytes)
        self._held_bytes = 0
        self._buffer.close()

    def take(self) -> bytes:
        """Return the bytes, still held: whoever takes them gives them back."""
        data = self._buffer.getvalue()
        self._held_bytes = 0
        self._buffer.close()
        return data


class MemoryStore:
    """Hands instances to whoever takes from the prefetch.

    It watches the answers as well (`watching.Watcher`): nothing is asked for,
    and nothing read, beyond the budget.
    """

    def __init__(self, prefetch: Prefetch[Instance]) -> None:
        self.prefetch = prefetch

    def begin(self) -> MemoryWriter:
        """Begin an instance that has yet to say what it is."""
        return MemoryWriter(self.prefetch)

    def walker(self) -> Part10Walker:
        """Return a walker that collects nothing: an instance needs no name."""
        return Part10Walker(collect=self.collect, collect_doubts=True)

    @property
    def collect(self) -> Mapping[int, str]:
        """Return nothing: an instance needs no name."""
        return {}

    def batch(self, target: Target) -> MemoryBatch:  # noqa: ARG002 -- Store
        """Return a context for the instances of one answer."""
        return MemoryBatch(self)

    async def already_there(self, study: Expectation, target: Target) -> list[Skipped]:  # noqa: ARG002 -- Store
        """Return nothing: memory is empty at first."""
        return []

    async def takes_on_trust(self) -> bool:
        """Return that it does not: what was handed over cannot be taken back."""
        return False

    async def withdraw(self, study: Expectation, instance: Uid) -> bool:
        """Unsettle an instance, so that the right one follows the one that was handed over."""
        study.settled.discard(instance)
        return True

    async def until_room(self, answer: Answering) -> None:
        """Hold an answer back while the budget is used up."""
        await self.prefetch.until_room(answer)

    def received(self, answer: Answering, byte_count: int) -> None:
        """Do nothing: bytes are counted where they are kept."""

    def left(self, answer: Answering) -> None:
        """Let another answer go on."""
        self.prefetch.leave(answer)


class MemoryBatch:
    """The instances of one answer; each is handed over at once."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: nothing is under way."""

    @property
    def settle_nowait(self) -> Settle[MemoryWriter]:
        """Wait for nothing: whoever takes instances holds answers back, if need be."""
        return self._settle

    async def settle(
        self,
        study: Expectation,
        arrival: Arrival[MemoryWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        """Hand an instance over, and record it."""
        self._settle(study, arrival, attempts, record)

    def _settle(
        self,
        study: Expectation,
        arrival: Arrival[MemoryWriter],
        attempts: int,
        record: Callable[[Outcome], None],
    ) -> None:
        facts = arrival.facts
        uid, series = facts.sop_instance_uid, facts.series_instance_uid
        assert series is not None, "what is of a study is of a series (PS3.3 §A.1.2.3)"
        study.settled.add(uid)
        instance = Instance(
            study_instance_uid=study.study_instance_uid,
            series_instance_uid=series,
            sop_instance_uid=uid,
            sop_class_uid=facts.sop_class_uid,
            transfer_syntax_uid=facts.transfer_syntax_uid,
            data=arrival.writer.take(),
            sha256=arrival.sha256,
            remarks=facts.doubts,
        )
        self._store.prefetch.put(instance, facts.byte_count)
        target = Target(Resource.INSTANCE, study.study_instance_uid, series, uid)
        record(Stored(target, "", facts.byte_count, arrival.sha256, attempts, facts.doubts))
