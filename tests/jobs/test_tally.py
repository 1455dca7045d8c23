"""The books of a run: everything is counted once, and under its name."""

from __future__ import annotations

import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    Doubtful,
    Incomplete,
    NotFound,
    StorageError,
    Truncated,
    UidMismatch,
    Unauthorized,
    UnexpectedContent,
    Unreachable,
)
from asyncdicom.events import Event, Finished, RunEnded, Withdrawn
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Failed, Outcome, Resource, Skipped, Stored, Target, Uid

pytestmark = pytest.mark.anyio

TARGET = Target(Resource.STUDY, Uid("1.2"))
STORED = Stored(TARGET, "a", 3, "00")
SKIPPED = Skipped(TARGET, "a", 3, "00")


def failed(error: AsyncDicomError) -> Failed:
    return Failed(TARGET, error)


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        pytest.param(STORED, (1, 0, 0, 0), id="stored"),
        pytest.param(SKIPPED, (0, 1, 0, 0), id="skipped"),
        pytest.param(failed(NotFound("gone", status_code=404)), (0, 0, 1, 0), id="not there"),
        pytest.param(failed(ConnectionLost("reset")), (0, 0, 1, 0), id="not received"),
        pytest.param(
            failed(Incomplete("206", expected=None, received=0)), (0, 0, 1, 0), id="not all of it"
        ),
        pytest.param(failed(StorageError("full", path="x")), (0, 0, 1, 0), id="not kept"),
        pytest.param(failed(Truncated("cut")), (0, 0, 0, 1), id="cut"),
        pytest.param(failed(UidMismatch(expected="1", received="2")), (0, 0, 0, 1), id="another"),
    ],
)
async def test_each_outcome_is_counted_and_told(
    outcome: Outcome, counts: tuple[int, int, int, int]
) -> None:
    heard: list[Event] = []
    tally = Tally([heard.append])
    tally.record(outcome)
    assert (tally.stored, tally.skipped, tally.missing, tally.corrupt) == counts
    assert heard == [Finished(outcome)]


async def test_what_is_taken_back_is_not_stored() -> None:
    heard: list[Event] = []
    tally = Tally([heard.append])
    tally.record(STORED)
    why = Doubtful("two of them")
    tally.withdraw(TARGET, why)
    assert (tally.stored, heard[-1]) == (0, Withdrawn(TARGET, why))


async def test_the_sum_is_told_at_the_end() -> None:
    heard: list[Event] = []
    tally = Tally([heard.append])
    tally.record(STORED)
    tally.bytes_received += 42
    ended = tally.end("interrupted")
    assert heard[-1] is ended
    assert isinstance(ended, RunEnded)
    assert (ended.stored, ended.byte_count, ended.aborted) == (1, 42, "interrupted")
    assert 0 <= ended.duration_s < 20
    assert not ended.is_complete


REFUSALS = [
    pytest.param(Unreachable("refused"), True, False, id="unreachable"),
    pytest.param(ConnectionLost("reset"), True, False, id="lost"),
    pytest.param(Unauthorized("no", status_code=401), True, False, id="refused"),
    pytest.param(UnexpectedContent("a page"), True, False, id="no DICOMweb service"),
    pytest.param(NotFound("gone", status_code=404), False, True, id="not there"),
    pytest.param(Truncated("cut"), False, False, id="cut"),
    pytest.param(Doubtful("odd"), False, False, id="odd"),
]


@pytest.mark.parametrize(("error", "is_refused", "is_nothing"), REFUSALS)
async def test_the_first_failure_tells_why_nothing_came(
    *, error: AsyncDicomError, is_refused: bool, is_nothing: bool
) -> None:
    tally = Tally()
    assert (tally.was_refused_at_once, tally.found_nothing) == (False, False)
    tally.record(failed(error))
    tally.record(failed(Truncated("later")))
    assert tally.first_error is error
    assert (tally.was_refused_at_once, tally.found_nothing) == (is_refused, is_nothing)


@pytest.mark.parametrize("outcome", [STORED, SKIPPED], ids=["stored", "skipped"])
@pytest.mark.parametrize(("error", "is_refused", "is_nothing"), REFUSALS)
async def test_nothing_was_refused_at_once_if_something_is_there(
    *, outcome: Outcome, error: AsyncDicomError, is_refused: bool, is_nothing: bool
) -> None:
    tally = Tally()
    tally.record(failed(error))
    tally.record(outcome)
    assert (tally.was_refused_at_once, tally.found_nothing) == (False, False)
