"""The Storage SCP as a whole: entered it listens, left it has ended (PS3.4 Annex B).

with OutputFolder.open("incoming", durability=Durability.BATCH) as folder:
    async with Receiver(settings, folder, observers=[print]) as receiver:
        print(receiver.port)
        await receiver.serve()          # until somebody calls `receiver.stop`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from asyncdicom.receiver.events import ReceiverObserver
    from asyncdicom.receiver.settings import ReceiverSettings
    from asyncdicom.receiver.statistics import ReceiverStatistics
    from asyncdicom.storage.folder import OutputFolder

__all__ = ["Receiver"]


class Receiver:
    """Takes what peers store, from entering until it is left; for one event loop.

    Leaving aborts the associations that are open; `drain` lets them end before.

    Raises:
        ConfigError: If a hook or (on entering) an address or a certificate is not usable.

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
            observers: Called with each event.

        """
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    @property
    def port(self) -> int:
        """Port that is listened on."""
        raise NotImplementedError

    def statistics(self) -> ReceiverStatistics:
        """Return the counters."""
        raise NotImplementedError

    async def serve(self) -> None:
        """Wait until `stop` is called, and drain then; peers are served from entering on."""
        raise NotImplementedError

    def stop(self, reason: str, *, grace_s: float) -> None:
        """Let `serve` drain and return; called again, the shorter grace counts."""
        raise NotImplementedError

    async def drain(self, *, grace_s: float) -> None:
        """Let in nobody any more, wait for the open associations, and abort what then remains.

        Args:
            grace_s: How long to wait, in seconds.

        """
        raise NotImplementedError
