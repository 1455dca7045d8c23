"""The concurrency of one source: how many tasks at once, and when it asked for a pause.

One slot per origin: when a server says `Retry-After` to one worker, all of them
wait. Rule: a pause is only ever made longer, so that the answer to a request
sent earlier cannot shorten what a later one asked for.
"""

from __future__ import annotations

import asyncio

from asyncdicom.policy.pacing import Pacer
from asyncdicom.records import dataclass

__all__ = ["Slot", "SlotStatistics"]


@dataclass(frozen=True, slots=True)
class SlotStatistics:
    """What a slot has seen."""

    in_flight: int
    in_flight_peak: int
    pauses: int
    paused_s: float
    """Sum of the pauses asked for, in seconds."""


class Slot:
    """Bookkeeping and pauses of one source; the worker pool bounds the concurrency."""

    def __init__(self, *, tasks_per_s: float | None = None) -> None:
        """Prepare.

        Args:
            tasks_per_s: Tasks begun per second at most, or None for as many as there are.

        """
        self._pacer = None if tasks_per_s is None else Pacer(tasks_per_s)
        self._resume_at_s = 0.0
        self._in_flight = 0
        self._in_flight_peak = 0
        self._pauses = 0
        self._paused_s = 0.0

    def enter_nowait(self) -> None:
        """Count a task in."""
        self._in_flight += 1
        self._in_flight_peak = max(self._in_flight_peak, self._in_flight)

    def leave_nowait(self) -> None:
        """Count a task out."""
        self._in_flight -= 1

    def pause(self, duration_s: float) -> None:
        """Let nobody start before the duration is over; never shortens a pause."""
        resume_at_s = asyncio.get_running_loop().time() + duration_s
        if resume_at_s > self._resume_at_s:
            self._pauses += 1
            self._paused_s += duration_s
            self._resume_at_s = resume_at_s

    @property
    def is_open(self) -> bool:
        """Whether a task may begin at once: no pause is under way, and no pace is set."""
        if self._pacer is not None:
            return False
        return self._resume_at_s == 0.0 or self._resume_at_s <= asyncio.get_running_loop().time()

    async def until_open(self) -> None:
        """Wait for the turn of a task, and for the end of any pause, those added meanwhile too."""
        loop = asyncio.get_running_loop()
        while True:
            while (remaining_s := self._resume_at_s - loop.time()) > 0:  # noqa: ASYNC110 -- a deadline, not a poll
                await asyncio.sleep(remaining_s)
            if self._pacer is None:
                return
            await asyncio.sleep(self._pacer.delay_s(1, now_s=loop.time()))
            # A turn that falls into a pause is lost: kept for its end, all would come at once.
            if self._resume_at_s <= loop.time():
                return

    def statistics(self) -> SlotStatistics:
        """Return the counters."""
        return SlotStatistics(self._in_flight, self._in_flight_peak, self._pauses, self._paused_s)
