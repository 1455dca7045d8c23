"""What a receiver counts."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ReceiverStatistics"]


@dataclass(slots=True)
class ReceiverStatistics:
    """Counters of a receiver since it began; those without `peak` or "now" only grow."""

    connections: int = 0
    """Open now, associated or not."""
    associations: int = 0
    """Established now."""
    associations_peak: int = 0
    accepted: int = 0
    """Associations established."""
    rejected: int = 0
    """Associations refused."""
    aborted: int = 0
    """Associations that ended otherwise than by their release."""
    echoes: int = 0
    in_flight: int = 0
    """Data sets on their way now, up to the answer."""
    in_flight_peak: int = 0
    stored: int = 0
    """In place and answered with 0000, without those that were skipped."""
    skipped: int = 0
    """The same data set was there."""
    replaced: int = 0
    """Stored in place of an older file."""
    kept_beside: int = 0
    """Stored beside a file that had the name."""
    ignored: int = 0
    """Answered with 0000 and dropped, as was asked for."""
    refused: int = 0
    refused_by_status: dict[int, int] = field(default_factory=dict)
    byte_count: int = 0
    """Of data sets, whatever became of them."""
    open_studies: int = 0
    """Not yet told as complete, now."""
    completed_studies: int = 0
    hooks_running: int = 0
    """Now."""
    hooks_run: int = 0
    hooks_failed: int = 0
