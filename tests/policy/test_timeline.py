"""What happened when: amounts are exact per bin, whatever the order and the span."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.policy.timeline import MAX_BINS, Interval, Timeline

EPOCH_S = 1_750_000_000.0

intervals = st.builds(
    lambda begin, wait, receive: Interval(
        EPOCH_S + begin, EPOCH_S + begin + wait, EPOCH_S + begin + wait + receive
    ),
    st.floats(-5000, 5000),
    st.floats(0, 100),
    st.floats(0, 100),
)


def timeline_of(*given: tuple[float, float, float], byte_count: float = 100) -> Timeline:
    timeline = Timeline()
    for begin, first, end in given:
        interval = Interval(EPOCH_S + begin, EPOCH_S + first, EPOCH_S + end)
        timeline.add(interval, byte_count)
    return timeline


@given(st.lists(intervals, min_size=1, max_size=30), st.sampled_from([2, 7, 120, MAX_BINS]))
def test_no_request_byte_or_second_is_lost_in_any_resolution(
    given: list[Interval], at_most: int
) -> None:
    timeline = Timeline()
    for interval in given:
        timeline.add(interval, 1000)
    bins = timeline.bins(at_most)
    flight_s = sum(one.end_s - one.begin_s for one in given)
    assert len(bins) <= at_most
    assert sum(one.requests for one in bins) == pytest.approx(len(given))
    assert sum(one.byte_count for one in bins) == pytest.approx(1000 * len(given))
    if timeline.span_s > 1e-3:
        counted_s = sum(one.in_flight * one.width_s for one in bins)
        assert counted_s == pytest.approx(flight_s, abs=1e-3)


@given(st.lists(intervals, min_size=1, max_size=30))
def test_bins_cover_the_run_without_gap_or_overlap(given: list[Interval]) -> None:
    timeline = Timeline()
    for interval in given:
        timeline.add(interval, 1)
    bins = timeline.bins(50)
    assert bins[0].offset_s == 0
    for one, following in pairwise(bins):
        assert one.offset_s + one.width_s == pytest.approx(following.offset_s, abs=1e-5)
    assert bins[-1].offset_s + bins[-1].width_s == pytest.approx(timeline.span_s, abs=1e-5)


def test_order_does_not_matter() -> None:
    given = [(n * 0.37, n * 0.37 + 0.5, n * 0.37 + 2.0) for n in range(200)]
    shuffled = given.copy()
    random.Random(3).shuffle(shuffled)
    one, other = timeline_of(*given).bins(20), timeline_of(*shuffled).bins(20)
    assert [bin_.byte_count for bin_ in one] == pytest.approx([bin_.byte_count for bin_ in other])
    assert [bin_.in_flight for bin_ in one] == pytest.approx([bin_.in_flight for bin_ in other])


def test_bytes_arrive_between_first_and_last_byte() -> None:
    bins = timeline_of((0, 2, 3.9999)).bins(4)
    assert [round(one.byte_count) for one in bins] == [0, 0, 50, 50]


def test_the_bin_between_two_others_gets_its_share_at_the_finest_resolution() -> None:
    fine_s = 1 / 1024
    timeline = timeline_of((0.25 * fine_s, 0.25 * fine_s, 2.75 * fine_s))
    assert [round(one.byte_count, 2) for one in timeline.bins()] == [30, 40, 30]


def test_a_request_counts_where_it_ends_and_is_in_flight_all_the_way() -> None:
    bins = timeline_of((0, 2, 3.9), (0, 1, 1.5)).bins(4)
    assert [one.requests for one in bins] == [0, 1, 0, 1]
    assert [round(one.in_flight, 3) for one in bins] == [2, 1.5, 1, 1]


def test_a_pause_is_not_active_time() -> None:
    timeline = timeline_of((0, 1, 10), (3600, 3601, 3610))
    assert timeline.span_s == 3610
    assert timeline.active_s == pytest.approx(20, abs=2)
    assert timeline.mean_in_flight == pytest.approx(1, rel=0.1)


def test_the_peak_is_the_number_of_requests_that_overlap() -> None:
    assert timeline_of((0, 1, 5), (0, 1, 5), (4, 4.5, 9)).peak_in_flight == pytest.approx(3)


def test_a_last_request_just_behind_a_border_is_no_peak_of_rate() -> None:
    bins = timeline_of((0, 1, 4), (3, 3, 4.000_001)).bins(5)
    assert max(one.requests / one.width_s for one in bins) < 4


def test_a_first_bin_that_hardly_begins_is_no_peak_of_rate() -> None:
    bins = timeline_of((3.9999, 3.9999, 4), (4, 5, 8)).bins(3)
    assert max(one.requests / one.width_s for one in bins) < 2


def test_years_apart_need_no_more_memory() -> None:
    timeline = timeline_of((0, 0.1, 0.2), (3e9, 3e9 + 1, 3e9 + 2), (-9e8, -9e8, -9e8 + 1))
    assert len(timeline.bins()) <= MAX_BINS
    assert sum(one.requests for one in timeline.bins(10)) == 3


def test_an_empty_timeline_has_nothing() -> None:
    empty = Timeline()
    found = (empty.bins(), empty.span_s, empty.active_s, empty.mean_in_flight, empty.peak_in_flight)
    assert found == ([], 0, 0, 0, 0)


def test_one_request_that_took_no_time_divides_by_nothing() -> None:
    timeline = timeline_of((1, 1, 1))
    (only,) = timeline.bins()
    assert (only.requests, only.width_s, only.in_flight, timeline.mean_in_flight) == (1, 0, 0, 0)
