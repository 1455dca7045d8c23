"""What is asked of an archive: all of it, the rest of it, or spans."""

from __future__ import annotations

import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    DigestMismatch,
    NotFound,
    Truncated,
    Unauthorized,
    Unreachable,
)
from asyncdicom.jobs.cod_plan import REQUEST_BYTES, CodPlanner, first_missing
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.granularity import Granularity
from asyncdicom.protocol.cod.metadata import CodInstance, OwnUids

STUDY, SERIES = Uid("1"), Uid("1.1")
WHOLE = Target(Resource.STUDY, STUDY)
ARCHIVE = Target(Resource.SERIES, STUDY, SERIES)


def uid(number: int) -> Uid:
    return Uid(f"1.1.{number}")


def study_of(count: int, byte_count: int) -> Expectation:
    study = Expectation(STUDY)
    for number in range(count):
        first = 1536 + number * (byte_count + 1536)
        own = OwnUids(None, None, None)
        study.expect(uid(number), SERIES, byte_count=byte_count)
        study.places[uid(number)] = CodInstance(uid(number), first, byte_count, None, own)
    return study


def settle(study: Expectation, *numbers: int) -> Expectation:
    study.settled.update(uid(number) for number in numbers)
    return study


@pytest.mark.parametrize(
    ("settled", "is_streamed"),
    [
        pytest.param([], True, id="nothing is there"),
        pytest.param([0, 1, 2, 3, 4], True, id="the first half is there"),
        pytest.param([4], True, id="one in between is there"),
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8], False, id="the first and the last are missing"),
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7, 8], False, id="the last is missing"),
    ],
)
def test_an_archive_is_streamed_if_that_costs_less(
    settled: list[int],
    is_streamed: bool,  # noqa: FBT001 -- a column
) -> None:
    study = settle(study_of(10, 4 * REQUEST_BYTES), *settled)
    missing = [uid(number) for number in range(10) if number not in settled]
    alone = [Target(Resource.INSTANCE, STUDY, SERIES, one) for one in missing]
    assert list(CodPlanner().first(study, WHOLE)) == ([ARCHIVE] if is_streamed else alone)


def test_small_instances_are_worth_a_stream_sooner() -> None:
    study = settle(study_of(10, REQUEST_BYTES // 8), *range(1, 9))
    assert list(CodPlanner().first(study, WHOLE)) == [ARCHIVE]


def test_an_archive_of_one_instance_is_streamed() -> None:
    assert list(CodPlanner().first(study_of(1, 10), WHOLE)) == [ARCHIVE]


def test_nothing_is_asked_for_where_nothing_is_missing() -> None:
    assert list(CodPlanner().first(settle(study_of(1, 10), 0), WHOLE)) == []


@pytest.mark.parametrize("granularity", [Granularity.SERIES, Granularity.STUDY])
def test_archives_are_streamed_where_somebody_says_so(granularity: Granularity) -> None:
    study = settle(study_of(10, 4 * REQUEST_BYTES), *range(9))
    assert list(CodPlanner(granularity).first(study, WHOLE)) == [ARCHIVE]


def test_instances_are_asked_for_alone_where_somebody_says_so() -> None:
    alone = list(CodPlanner(Granularity.INSTANCE).first(study_of(3, 10), WHOLE))
    assert [one.sop_instance_uid for one in alone] == [uid(0), uid(1), uid(2)]


def test_an_instance_is_asked_for_by_its_span() -> None:
    target = Target(Resource.INSTANCE, STUDY, SERIES, uid(1))
    assert list(CodPlanner().first(study_of(3, 10), target)) == [target]


def test_a_stream_is_repeated_only_as_long_as_it_brings_something() -> None:
    study, planner = study_of(10, 10), CodPlanner()
    assert list(planner.first(study, WHOLE)) == [ARCHIVE]
    settle(study, 0, 1)
    assert list(planner.narrower(study, ARCHIVE, study.missing(ARCHIVE))) == [ARCHIVE]
    alone = list(planner.narrower(study, ARCHIVE, study.missing(ARCHIVE)))
    assert [one.sop_instance_uid for one in alone] == [uid(number) for number in range(2, 10)]


@pytest.mark.parametrize(
    ("error", "may_help"),
    [
        pytest.param(Truncated("cut"), True, id="cut"),
        pytest.param(DigestMismatch("other bytes"), True, id="other bytes"),
        pytest.param(ConnectionLost("reset"), True, id="reset"),
        pytest.param(NotFound("gone", status_code=404), False, id="no archive"),
        pytest.param(Unauthorized("no", status_code=401), False, id="refused"),
        pytest.param(Unreachable("nobody"), False, id="unreachable"),
    ],
)
def test_spans_may_help_where_an_archive_does_not_come(
    error: AsyncDicomError,
    may_help: bool,  # noqa: FBT001 -- a column
) -> None:
    assert CodPlanner().may_help(error) is may_help


def test_a_stream_begins_with_the_first_that_is_missing() -> None:
    study = study_of(5, 10)
    assert first_missing(study, ARCHIVE) is None
    assert first_missing(settle(study, 3), ARCHIVE) is None
    assert first_missing(settle(study, 0, 1), ARCHIVE) == study.places[uid(2)]
