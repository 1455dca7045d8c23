"""What a receiver counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncdicom.receiver.events import (
    AssociationEnded,
    DuplicateFate,
    HookFailed,
    InstanceDuplicated,
    InstanceRefused,
    InstanceStored,
    StudyCompleted,
)

if TYPE_CHECKING:
    from asyncdicom.receiver.events import ReceiverEvent

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
    """In place, without those that were skipped."""
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

    def note(self, event: ReceiverEvent) -> None:
        """Count what an event tells."""
        match event:
            case InstanceStored():
                self.stored += 1
            case InstanceDuplicated(fate=DuplicateFate.SKIPPED):
                self.skipped += 1
            case InstanceDuplicated(fate=DuplicateFate.REPLACED):
                self.replaced += 1
            case InstanceDuplicated(fate=DuplicateFate.KEPT_BESIDE):
                self.kept_beside += 1
            case InstanceRefused(status=status):
                self.refused += 1
                self.refused_by_status[status] = self.refused_by_status.get(status, 0) + 1
            case AssociationEnded(failure=failure):
                self.aborted += failure is not None
            case StudyCompleted():
                self.completed_studies += 1
            case HookFailed():
                self.hooks_failed += 1
            case _:
                return
