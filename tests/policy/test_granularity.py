"""What is asked for at once."""

from __future__ import annotations

import pytest

from asyncdicom.model import Uid
from asyncdicom.policy.granularity import (
    MIB,
    Granularity,
    SeriesSize,
    granularity_of_series,
    may_be_repeated_whole,
    study_fits_one_answer,
)


def series(instances: int, mib: float) -> SeriesSize:
    return SeriesSize(Uid("1.2"), instances, int(mib * MIB))


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [([], True), ([series(2, 30)], True), ([series(2, 20), series(2, 20)], False)],
    ids=["nothing known", "small", "two series that are too much together"],
)
def test_a_small_study_is_asked_for_whole(sizes: list[SeriesSize], fits: bool) -> None:  # noqa: FBT001 -- a column
    assert study_fits_one_answer(sizes) is fits


@pytest.mark.parametrize(
    ("size", "series_count", "how"),
    [
        pytest.param(series(0, 0), 1, Granularity.SERIES, id="nothing known"),
        pytest.param(series(5000, 100), 1, Granularity.SERIES, id="small instances"),
        pytest.param(series(300, 150), 1, Granularity.INSTANCE, id="one series, idle workers"),
        pytest.param(series(300, 150), 8, Granularity.SERIES, id="enough series for all workers"),
        pytest.param(series(900, 450), 8, Granularity.INSTANCE, id="too much to lose"),
    ],
)
def test_how_a_series_is_asked_for(size: SeriesSize, series_count: int, how: Granularity) -> None:
    assert granularity_of_series(size, series_count=series_count, concurrency=8) is how


@pytest.mark.parametrize(
    ("there", "may"),
    [(0, True), (10, True), (11, False), (250, False), (499, False)],
    ids=["nothing is there", "2 % is there", "more", "half", "all but one"],
)
def test_what_is_partly_there_is_completed(there: int, may: bool) -> None:  # noqa: FBT001 -- a column
    assert may_be_repeated_whole(series(500, 1), there=there) is may
