"""When to stop a run before everything was tried: pure arithmetic on two counters."""

from __future__ import annotations

from asyncdicom.records import dataclass

__all__ = ["AbortPolicy"]


@dataclass(frozen=True, slots=True)
class AbortPolicy:
    """Bounds on failures; None means no bound."""

    max_errors: int | None = None
    """Stop once more than this many tasks have failed for good; 0 stops at the first."""
    max_error_rate: float | None = None
    """Stop once more than this share (0 to 1) of the finished tasks has failed."""
    min_sample: int = 20
    """Finished tasks before the rate says anything: one failure in two is not a trend."""

    def verdict(self, *, failed: int, finished: int) -> str | None:
        """Say why to stop, or None to go on."""
        if self.max_errors is not None and failed > self.max_errors:
            errors = "1 error" if failed == 1 else f"{failed} errors"
            return f"{errors}, at most {self.max_errors} allowed"
        if self.max_error_rate is None or finished < self.min_sample:
            return None
        rate = failed / finished
        if rate > self.max_error_rate:
            return (
                f"{rate:.1%} of {finished} tasks failed, at most {self.max_error_rate:.1%} allowed"
            )
        return None
