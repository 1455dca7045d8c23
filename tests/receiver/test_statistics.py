"""What is counted of what is told."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import Truncated
from asyncdicom.receiver.events import (
    AssociationEnded,
    Caller,
    DuplicateFate,
    HookFailed,
    InstanceDuplicated,
    InstanceRefused,
    InstanceStored,
    Listening,
    StudyCompleted,
)
from asyncdicom.receiver.statistics import ReceiverStatistics

if TYPE_CHECKING:
    from asyncdicom.receiver.events import ReceiverEvent

CALLER = Caller(1, "127.0.0.1:1", "A", "B")


@pytest.mark.parametrize(
    ("event", "counted"),
    [
        pytest.param(
            InstanceStored(CALLER, "a", "1", "1", "1", "1", "1", 9, "0"), {"stored": 1}, id="stored"
        ),
        pytest.param(
            InstanceDuplicated(CALLER, "1", "a", DuplicateFate.SKIPPED), {"skipped": 1}, id="skip"
        ),
        pytest.param(
            InstanceDuplicated(CALLER, "1", "a", DuplicateFate.REPLACED),
            {"replaced": 1},
            id="replaced",
        ),
        pytest.param(
            InstanceDuplicated(CALLER, "1", "a", DuplicateFate.KEPT_BESIDE),
            {"kept_beside": 1},
            id="kept beside",
        ),
        pytest.param(
            InstanceRefused(CALLER, "1", 0xC000, Truncated("cut")),
            {"refused": 1, "refused_by_status": {0xC000: 1}},
            id="refused",
        ),
        pytest.param(AssociationEnded(CALLER, 0, 0, 0, 0.0), {}, id="released"),
        pytest.param(AssociationEnded(CALLER, 0, 0, 0, 0.0, "cut"), {"aborted": 1}, id="broken"),
        pytest.param(StudyCompleted("1", 1, 1, ()), {"completed_studies": 1}, id="study"),
        pytest.param(HookFailed("object", "x", "1", "no"), {"hooks_failed": 1}, id="hook"),
        pytest.param(Listening("::", 1), {}, id="anything else"),
    ],
)
def test_each_event_counts_as_what_it_is(event: ReceiverEvent, counted: dict[str, Any]) -> None:
    statistics = ReceiverStatistics()
    statistics.note(event)
    assert asdict(statistics) == asdict(ReceiverStatistics()) | counted
