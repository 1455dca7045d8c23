"""What `idc get` will do, found out by a process of its own while this one gets ready.

    with worker_processes(1, lambda sock: tell_plan(sock, options, selection)) as (worker,):
        with ToldPlan(worker.sock) as told:     # ... import everything else, meanwhile
            places = await told.places()        # ... list them, meanwhile
            head = await told.head()
            for group in told.groups(): ...

Reading the index takes DuckDB, which takes 60 MB and a core. In a process of its own
it shares neither with what fetches: it works on another core while this one imports, and
its memory is back when the first byte comes.

What is told: `PlanPlaces`, a `PlanHead`, then lists of groups until there are no more; an
error in the place of any of them.
"""

from __future__ import annotations

import pickle
from typing import IO, TYPE_CHECKING, Any, Self, cast

from asyncdicom.errors import AsyncDicomError, StorageError
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from asyncdicom.jobs.idc_plans import IdcPlan, InstancePlan
    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.protocol.idc.buckets import Location

__all__ = ["MAX_PLACES", "PlanHead", "PlanPlaces", "ToldPlan"]

MAX_PLACES = 128
"""Series that are named before the index is read: more than are listed meanwhile."""


@dataclass(frozen=True, slots=True)
class PlanPlaces:
    """What is known before the index is read."""

    location: Location
    listings: tuple[tuple[str, str], ...] = ()
    """Bucket and prefix of series that a manifest names by their addresses, some of them."""


@dataclass(frozen=True, slots=True)
class PlanHead:
    """A plan without its groups."""

    plan: IdcPlan | InstancePlan


class ToldPlan:
    """The end of a plan that hears what the other process tells."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A socket stays open as long as a file of it is: the other process would not hear it.
        if self._stream is not None:
            self._stream.close()

    async def places(self) -> PlanPlaces:
        """Wait for what is known before the index is read; before anything else.

        Raises:
            ConfigError: If the manifest, or an option, is not usable.
            StorageError: If the process that reads it was ended.

        """
        self._sock.setblocking(True)
        self._stream = self._sock.makefile("rb")
        return cast("PlanPlaces", await self._told())

    async def head(self) -> PlanHead:
        """Wait for the head.

        Raises:
            ConfigError: If the plan could not be made.
            StorageError: If the process that made it was ended.

        """
        return cast("PlanHead", await self._told())

    async def _told(self) -> object:
        import asyncio  # noqa: PLC0415 -- this module is imported before there is time for it
        import socket  # noqa: PLC0415 -- as said

        try:
            told = await asyncio.to_thread(self._next)
        except asyncio.CancelledError:
            # Else the thread waits, and we for it, as long as the other process reads (stdin).
            self._sock.shutdown(socket.SHUT_RDWR)
            raise
        if isinstance(told, AsyncDicomError):
            raise told
        return told

    def groups(self) -> Iterator[ObjectGroup]:
        """Yield the groups as they are told; the other process is ahead by some thousands.

        Raises:
            StorageError: As `head`.

        """
        while told := self._next():
            if isinstance(told, AsyncDicomError):
                raise told
            yield from told

    def _next(self) -> Any:
        assert self._stream is not None, "the head comes first"
        try:
            return pickle.load(self._stream)  # noqa: S301 -- from a copy of this very process
        except (EOFError, pickle.UnpicklingError, ConnectionResetError) as error:
            # At the end of what it told, in the middle of it, before it read what it was told.
            told = "the process that read the index was ended"
            raise StorageError(told, path="index", hint="is there memory enough?") from error
