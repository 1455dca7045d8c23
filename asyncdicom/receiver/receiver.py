"""The Storage SCP as a whole: entered it listens, left it has ended (PS3.4 Annex B).

with OutputFolder.open("incoming", durability=Durability.BATCH) as folder:
    async with Receiver(settings, folder, observers=[print]) as receiver:
        print(receiver.port)
        await receiver.serve()          # until somebody calls `receiver.stop`
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from asyncdicom.jobs.data_set_intake import IntakeTerms
from asyncdicom.protocol.part10_shapes import DataSetReader
from asyncdicom.receiver.draining import end_quiet_associations
from asyncdicom.receiver.events import Listening, ReceiverEnded
from asyncdicom.receiver.hooks import Hooks
from asyncdicom.receiver.keeping import Keeper
from asyncdicom.receiver.room import Room
from asyncdicom.receiver.services import ReceivingServices
from asyncdicom.receiver.sop_classes import SopClasses
from asyncdicom.receiver.statistics import ReceiverStatistics
from asyncdicom.receiver.storing import Storing
from asyncdicom.receiver.studies import StudyWatch
from asyncdicom.transports.associations.engines import dimse_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from asyncdicom.receiver.events import ReceiverEvent, ReceiverObserver
    from asyncdicom.receiver.settings import ReceiverSettings
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["Receiver"]


class Receiver:
    """Takes what peers store, from entering until it is left; for one event loop, and once.

    Leaving aborts the associations that are open; `drain` lets them end before. Hooks that
    wait then are still run, as long as one of them may take.

    Raises:
        ConfigError: If a hook or a certificate is not usable; on entering, if an address
            is not ours or taken.

    """

    def __init__(
        self,
        settings: ReceiverSettings,
        folder: OutputFolder,
        observers: Sequence[ReceiverObserver] = (),
    ) -> None:
        """Prepare.

        Args:
            settings: All that can be set.
            folder: Where instances go; its durability says what 0000 promises.
            observers: Called with each event, on the event loop; they must not block.

        """
        self._settings = settings
        self._statistics = ReceiverStatistics()
        self._keeper = Keeper(folder, settings.storing)
        classes = SopClasses(settings)
        rules = settings.storing
        terms = IntakeTerms(
            DataSetReader(rules.collect),
            keeps_doubtful=rules.keeps_doubtful,
            computes_digests=rules.computes_digests,
        )
        room = Room(folder.root, rules.min_free_bytes)
        storing = Storing(
            rules, room, self._keeper, terms, classes.takes, self._statistics, self._tell
        )
        self._services = ReceivingServices(settings, storing, classes)
        self._server = dimse_server(settings.engine, settings.server, self._services)
        self._hooks = Hooks(settings.hooks, folder.root, self._tell, self._statistics)
        self._studies = StudyWatch(
            settings.study_idle_s, self._tell, self._services.associations.numbered
        )
        # Ours first: an observer that fails is nobody else's matter.
        self._listeners = (
            self._statistics.note,
            self._studies.note,
            self._hooks.note,
            *observers,
        )
        self._untold: deque[ReceiverEvent] = deque()
        self._is_telling = False
        self._began_s = 0.0
        self._reason: str | None = None
        self._grace_s = 0.0
        self._is_stopped = asyncio.Event()
        self._is_hurried = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._began_s = asyncio.get_running_loop().time()
        await self._server.__aenter__()
        self._tell(Listening(self._settings.server.host, self._server.port))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._services.is_ending = True
        try:
            await self._server.aclose()
            await self._all_told()
            self._studies.close()
            await self._all_told()
        finally:
            try:
                await self._hooks.aclose(self._hook_grace_s)
            finally:
                await self._keeper.aclose()
        await self._all_told()
        self._tell(self._ended())
        self._tell_all()

    @property
    def port(self) -> int:
        """Port that is listened on."""
        return self._server.port

    def statistics(self) -> ReceiverStatistics:
        """Return the counters, those of this moment included."""
        self._tell_all()
        counters, server = self._statistics, self._server.statistics()
        counters.connections = server.connections
        counters.associations = server.associations
        counters.associations_peak = server.associations_peak
        counters.accepted = server.accepted
        counters.rejected = server.rejected
        counters.open_studies = len(self._studies)
        return counters

    async def serve(self) -> None:
        """Wait until `stop` is called, and drain then; peers are served from entering on."""
        await self._is_stopped.wait()
        await self.drain(grace_s=self._grace_s)

    def stop(self, reason: str, *, grace_s: float) -> None:
        """Let `serve` drain and return; called again, what is still open is aborted at once.

        Args:
            reason: What the last event says.
            grace_s: How long what is on its way may take to its end, in seconds.

        """
        if self._is_stopped.is_set():
            self._is_hurried.set()
            self._hooks.hurry()
            return
        self._reason, self._grace_s = reason, grace_s
        self._is_stopped.set()

    async def drain(self, *, grace_s: float) -> None:
        """Let in nobody any more, wait for what is on its way, and abort what then remains.

        Associations on which nothing is on its way end at once, see `draining`.

        Args:
            grace_s: How long to wait, in seconds.

        """
        services, server = self._services, self._server
        services.is_ending = True
        services.associations.end_soon()
        waits: set[asyncio.Task[Any]] = {
            asyncio.create_task(server.drain()),
            asyncio.create_task(self._is_hurried.wait()),
            asyncio.create_task(end_quiet_associations(server, services.associations)),
        }
        try:
            await asyncio.wait(waits, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
        await self._server.aclose()
        await self._all_told()

    @property
    def _hook_grace_s(self) -> float:
        """How long hooks may go on when all else has ended, in seconds."""
        timeout_s = self._settings.hooks.timeout_s
        if self._is_hurried.is_set():
            return 0.0
        return min(timeout_s, self._grace_s) if self._is_stopped.is_set() else timeout_s

    def _tell(self, event: ReceiverEvent) -> None:
        """Tell the listeners of an event soon, in order: what a peer waits for goes first."""
        self._untold.append(event)
        if len(self._untold) == 1:
            asyncio.get_running_loop().call_soon(self._tell_all)

    async def _all_told(self) -> None:
        """Wait until all is told: by the loop, which also hears of a listener that fails."""
        while self._untold:  # noqa: ASYNC110 -- whoever is told may tell more
            await asyncio.sleep(0)

    def _tell_all(self) -> None:
        """Tell what was not told yet. A listener that fails costs the others this event only."""
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._untold:
                event = self._untold.popleft()
                for listener in self._listeners:
                    listener(event)
        finally:
            self._is_telling = False
            if self._untold:
                asyncio.get_running_loop().call_soon(self._tell_all)

    def _ended(self) -> ReceiverEnded:
        counters = self.statistics()
        return ReceiverEnded(
            stored=counters.stored,
            skipped=counters.skipped,
            refused=counters.refused,
            associations=counters.accepted,
            aborted=counters.aborted,
            byte_count=counters.byte_count,
            duration_s=asyncio.get_running_loop().time() - self._began_s,
            reason=self._reason,
        )
