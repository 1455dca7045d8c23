"""The books of a run: every outcome is counted once, told once, and can be summed up.

Rule: `corrupt` is what arrived and was refused, `missing` is what did not
arrive. Both are named in the report; neither is ever called stored.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, assert_never

from asyncdicom.errors import (
    DigestMismatch,
    Doubtful,
    NotFound,
    NotNegotiated,
    ProtocolError,
    TransportError,
    UidMismatch,
    Unauthorized,
    UnexpectedContent,
)
from asyncdicom.events import Event, Finished, RunEnded, Withdrawn
from asyncdicom.model import Failed, Outcome, Skipped, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.events import Observer
    from asyncdicom.model import Target

__all__ = ["Tally"]


class Tally:
    """Counts outcomes and passes events on to whoever listens.

    Attributes:
        stored: Targets stored and proven in this run.
        skipped: Targets found on disk and proven again.
        missing: Targets that did not arrive.
        corrupt: Targets that arrived damaged or wrong.
        bytes_received: Body bytes, counted as they arrive.
        expected: Targets that are known of so far, or 0 where nobody counts them.
        expected_bytes: Size of all of them.
        first_error: What went wrong first, or None.

    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._began_s = asyncio.get_running_loop().time()
        self.stored = 0
        self.skipped = 0
        self.missing = 0
        self.corrupt = 0
        self.bytes_received = 0
        self.expected = 0
        self.expected_bytes = 0
        self.first_error: AsyncDicomError | None = None

    def record(self, outcome: Outcome) -> None:
        """Count an outcome and tell it."""
        match outcome:
            case Stored():
                self.stored += 1
            case Skipped():
                self.skipped += 1
            case Failed(_, error):
                self.first_error = self.first_error or error
                if isinstance(error, ProtocolError | UidMismatch | DigestMismatch | Doubtful):
                    self.corrupt += 1
                else:
                    self.missing += 1
            case _:
                assert_never(outcome)
        if self._observers:
            self.tell(Finished(outcome))

    def count_bytes(self, byte_count: int) -> None:
        """Count body bytes as they arrive."""
        self.bytes_received += byte_count

    def expect(self, count: int, byte_count: int) -> None:
        """Take note of targets that were found and will get an outcome."""
        self.expected += count
        self.expected_bytes += byte_count

    def withdraw(self, target: Target, why: AsyncDicomError) -> None:
        """Take back what was counted as stored, and tell it."""
        self.stored -= 1
        self.tell(Withdrawn(target, why))

    def tell(self, event: Event) -> None:
        """Pass an event on."""
        for observe in self._observers:
            observe(event)

    @property
    def was_refused_at_once(self) -> bool:
        """Whether nothing succeeded: unreachable, refused, or no such service at all."""
        nothing = self.stored == 0 and self.skipped == 0
        return nothing and isinstance(
            self.first_error,
            TransportError | Unauthorized | UnexpectedContent | NotNegotiated,
        )

    @property
    def found_nothing(self) -> bool:
        """Whether nothing succeeded because the source does not have what was asked for."""
        nothing = self.stored == 0 and self.skipped == 0
        return nothing and isinstance(self.first_error, NotFound)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return asyncio.get_running_loop().time() - self._began_s

    def end(self, aborted: str | None = None) -> RunEnded:
        """Sum up, tell it, and return the sum."""
        ended = RunEnded(
            stored=self.stored,
            skipped=self.skipped,
            missing=self.missing,
            corrupt=self.corrupt,
            byte_count=self.bytes_received,
            duration_s=self.elapsed_s,
            aborted=aborted,
        )
        self.tell(ended)
        return ended
