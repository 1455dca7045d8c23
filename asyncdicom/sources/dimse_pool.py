"""A few associations with one peer, shared by whoever needs one (PS3.8 §7.1).

    async with pool.association(contexts) as association:
        ...

Strategy: an association that is no longer used waits a few seconds for somebody
whose contexts it has; establishing one costs a round trip or more, and archives
accept few at once. One with an error of the way is not used again; one whose
operation was cancelled in order is.

Rule: a peer that refuses while others of ours are established has told how many it
takes, whether it says "for now" or not: from then on there are no more (`limit`).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from asyncdicom.errors import (
    AssociationRejected,
    ConnectionLost,
    NotNegotiated,
    OperationFailed,
    ProtocolError,
    Unreachable,
    UsageError,
)
from asyncdicom.ports.dimse import PresentationContext, Proposal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from asyncdicom.ports.dimse import Association, DimseTransport

__all__ = ["AssociationPool"]

T = TypeVar("T")

IDLE_S = 5.0
"""How long an association is kept for the next one who needs it: peers end them after
30 s of silence or more, and hold a thread for each until then."""


RELEASE_S = 1.0
"""How long a peer may take to agree to the end of an idle association, in seconds."""


@dataclass(slots=True, eq=False)
class _Established:
    association: Association
    contexts: frozenset[PresentationContext]
    block: AbstractAsyncContextManager[Association]
    ending: asyncio.TimerHandle | None = None
    """Releases it when it was idle for too long."""
    was_used: bool = False

    async def close(self, error: BaseException | None = None) -> None:
        """Release the association; after an error, abort it."""
        await self.block.__aexit__(type(error) if error else None, error, None)


class AssociationPool:
    """Associations with one peer; for one event loop.

    Attributes:
        limit: Associations at once, at least 1; a peer that refuses lowers it.

    """

    def __init__(self, transport: DimseTransport, *, limit: int = 4) -> None:
        """Prepare; nothing is sent.

        Args:
            transport: Engine for the peer.
            limit: Associations at once, at least 1.

        """
        self.limit = limit
        self._transport = transport
        self._count = 0
        self._idle: list[_Established] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._change = asyncio.Condition()
        self._is_closed = False

    @asynccontextmanager
    async def association(
        self, contexts: Iterable[PresentationContext], *, alone: bool = False
    ) -> AsyncIterator[Association]:
        """Lend an association that was proposed with at least these contexts.

        Args:
            contexts: What has to be proposed.
            alone: Whether nothing else may be.

        Raises (on entering):
            UsageError: If the pool was closed.
            FetchError: As `DimseTransport.associate`.

        """
        lent = await self._take(tuple(dict.fromkeys(contexts)), alone=alone)
        async with self._lending(lent):
            yield lent.association

    async def perform(
        self,
        contexts: Iterable[PresentationContext],
        ask: Callable[[Association], AsyncGenerator[T]],
        *,
        alone: bool = False,
        has_begun: Callable[[], bool] = lambda: False,
    ) -> AsyncGenerator[T]:
        """Yield what an operation brings.

        A peer may end an association that waits for its next use, or each behind its first
        operation. So where one that was used before is lost, and nothing came, another is asked.

        Args:
            contexts: What has to be proposed.
            ask: Performs the operation on an association.
            alone: Whether nothing else may be proposed.
            has_begun: Tells whether something came that is not yielded.

        Raises:
            FetchError: As `association`, and what `ask` raises.

        """
        wanted = tuple(dict.fromkeys(contexts))
        while True:
            lent, has_come = await self._take(wanted, alone=alone), False
            try:
                async with self._lending(lent), aclosing(ask(lent.association)) as told:
                    async for one in told:
                        has_come = True
                        yield one
            except ConnectionLost:
                if has_come or has_begun() or not lent.was_used:
                    raise
            else:
                return

    @asynccontextmanager
    async def _lending(self, lent: _Established) -> AsyncIterator[None]:
        """Take an association back when the block ends, or end it when the block failed."""
        try:
            yield
        except (OperationFailed, NotNegotiated, GeneratorExit):
            # An answer that says no, and an operation that was cancelled in order.
            await self._give_back(lent)
            raise
        except BaseException as error:
            await self._drop(lent, error)
            raise
        await self._give_back(lent)

    async def aclose(self) -> None:
        """Release what is idle, all at once; what is lent is released when it comes back.

        Who does not agree within `RELEASE_S` is left: an exit is not to wait for that.
        """
        self._is_closed = True
        while self._idle:
            self._end_idle(self._idle[0])
        await asyncio.gather(*self._leaving)

    def _end_idle(self, established: _Established) -> None:
        """Release an association that nobody needs, in a task of its own."""
        task = asyncio.create_task(self._leave(self._claimed(established)))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _claimed(self, established: _Established) -> _Established:
        """Return one that was idle, and is no more."""
        self._idle.remove(established)
        assert established.ending is not None, "what is idle has its time"
        established.ending.cancel()
        return established

    async def _leave(self, established: _Established) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_S):
                await self._drop(established)

    async def _take(self, wanted: tuple[PresentationContext, ...], *, alone: bool) -> _Established:
        needed = frozenset(wanted)
        while True:
            if self._is_closed:
                raise UsageError("the source is closed")
            if (found := self._idle_with(needed, alone=alone)) is not None:
                return self._claimed(found)
            if self._count < self.limit:
                try:
                    return await self._establish(wanted)
                except AssociationRejected:
                    if not self._count:
                        raise
                    self.limit = self._count
            elif self._idle:
                await self._drop(self._claimed(self._idle[0]))
            else:
                async with self._change:
                    await self._change.wait_for(self._has_changed)

    def _has_changed(self) -> bool:
        return bool(self._idle) or self._count < self.limit or self._is_closed

    def _idle_with(
        self, needed: frozenset[PresentationContext], *, alone: bool
    ) -> _Established | None:
        for one in reversed(self._idle):
            if needed == one.contexts or (needed < one.contexts and not alone):
                return one
        return None

    async def _establish(self, wanted: tuple[PresentationContext, ...]) -> _Established:
        self._count += 1
        try:
            block = self._transport.associate(Proposal(wanted))
            return _Established(await block.__aenter__(), frozenset(wanted), block)
        except ProtocolError as error:
            await self._count_out()
            raise Unreachable(f"nobody there speaks DICOM: {error}") from error
        except BaseException:
            await self._count_out()
            raise

    async def _give_back(self, lent: _Established) -> None:
        if self._is_closed or self._count > self.limit:
            await self._drop(lent)
            return
        lent.was_used = True
        lent.ending = asyncio.get_running_loop().call_later(IDLE_S, self._end_idle, lent)
        self._idle.append(lent)
        await self._tell_change()

    async def _drop(self, established: _Established, error: BaseException | None = None) -> None:
        try:
            await established.close(error)
        finally:
            await self._count_out()

    async def _count_out(self) -> None:
        self._count -= 1
        await self._tell_change()

    async def _tell_change(self) -> None:
        async with self._change:
            self._change.notify_all()
