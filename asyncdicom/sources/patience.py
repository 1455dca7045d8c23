"""The pause that a server asked for."""

from __future__ import annotations

import asyncio

__all__ = ["Patience"]


class Patience:
    """The pause that a server asked for; it holds for each request, whoever sends it.

    A task may take several requests (the pages of a search, another Accept value), so
    it is not enough that the scheduler begins no task. A pause is only made longer.

    Attributes:
        resume_at_s: Reading of the event loop's clock, or 0 as long as no pause was asked for.

    """

    def __init__(self) -> None:
        self.resume_at_s = 0.0

    def extend(self, pause_s: float) -> None:
        """Send nothing for so many seconds from now."""
        if pause_s > 0:
            now_s = asyncio.get_running_loop().time()
            self.resume_at_s = max(self.resume_at_s, now_s + pause_s)

    async def until_over(self) -> None:
        """Wait for the end of the pause, and of what is added meanwhile."""
        loop = asyncio.get_running_loop()
        while (remaining_s := self.resume_at_s - loop.time()) > 0:  # noqa: ASYNC110 -- a deadline, not a poll
            await asyncio.sleep(remaining_s)
