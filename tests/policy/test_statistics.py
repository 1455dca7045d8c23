"""Distributions, counts and rankings: errors bounded, memory bounded, order of no consequence."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.policy.statistics import RELATIVE_ERROR, Counts, Histogram, Largest

SHARES = (0.0, 0.01, 0.5, 0.9, 0.99, 1.0)


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def exact(values: list[float], share: float) -> float:
    """Nearest rank, from all values."""
    ordered = sorted(values)
    below = [v for at, v in enumerate(ordered, 1) if at >= share * len(ordered)]
    return below[0]


@pytest.mark.parametrize("share", SHARES)
@given(values=st.lists(st.floats(1e-6, 1e15), min_size=1, max_size=60))
def test_a_quantile_is_off_by_at_most_the_stated_error(share: float, values: list[float]) -> None:
    quantile = histogram_of(values).quantile(share)
    assert quantile == pytest.approx(exact(values, share), rel=RELATIVE_ERROR * 1.0001)


def test_extremes_mean_and_count_are_exact() -> None:
    histogram = histogram_of([3.0, 0.1, 7.3])
    assert (histogram.minimum, histogram.maximum, histogram.count) == (0.1, 7.3, 3)
    assert histogram.mean == pytest.approx(10.4 / 3)


@pytest.mark.parametrize("value", [0.0, 1e-9, 42.0, 1e300], ids=["zero", "tiny", "usual", "huge"])
def test_every_quantile_of_one_value_is_that_value(value: float) -> None:
    assert {histogram_of([value]).quantile(share) for share in SHARES} == {value}


def test_an_empty_histogram_has_zeros() -> None:
    empty = Histogram()
    assert (empty.quantile(0.5), empty.mean, empty.minimum, empty.maximum) == (0, 0, 0, 0)
    assert list(empty.buckets()) == []


def test_merging_equals_adding_everything_to_one() -> None:
    chosen = random.Random(1)
    values = [chosen.lognormvariate(0, 2) for _ in range(500)]
    merged = Histogram()
    for part in (values[:100], [], values[100:]):
        merged.merge(histogram_of(part))
    whole = histogram_of(values)
    assert list(merged.buckets()) == list(whole.buckets())
    assert (merged.count, merged.minimum, merged.maximum) == (500, min(values), max(values))
    assert merged.total == pytest.approx(whole.total)


def test_buckets_hold_their_values_and_ascend() -> None:
    buckets = list(histogram_of([0.5, 2.0, 2.0]).buckets())
    assert [count for _, _, count in buckets] == [1, 2]
    assert buckets[0][0] < 0.5 <= buckets[0][1] < buckets[1][0] < 2.0 <= buckets[1][1]


def test_memory_does_not_follow_the_values() -> None:
    histogram = histogram_of([10.0 ** (power / 50) for power in range(-15_000, 15_000)])
    assert len(list(histogram.buckets())) <= 4_840


def test_keys_beyond_the_limit_are_counted_together() -> None:
    counts: Counts[str] = Counts(limit=2)
    for key in ("a", "b", "c", "b", "d"):
        counts.add(key)
    assert (counts.most_common(), counts.other, len(counts)) == ([("b", 2), ("a", 1)], 2, 2)
    assert (counts["b"], counts["c"]) == (2, 0)


def test_merged_counts_keep_the_limit() -> None:
    left: Counts[str] = Counts(limit=2)
    right: Counts[str] = Counts(limit=1)
    left.add("a")
    for key in ("a", "b", "c"):
        right.add(key)
    left.merge(right)
    assert (left.most_common(), left.other) == ([("a", 2)], 2)


@given(order=st.permutations(list(enumerate("edcba"))))
def test_the_largest_are_the_same_in_any_order(order: list[tuple[int, str]]) -> None:
    largest: Largest[str] = Largest(3)
    for number, name in order:
        largest.add(float(number // 2), name, name.upper())
    assert largest.ranked() == [(2.0, "A"), (1.0, "B"), (1.0, "C")]


@pytest.mark.parametrize(("one", "longer"), [("a", "ab"), ("a", "aa")])
def test_equal_values_rank_by_name_even_where_one_name_begins_the_other(
    one: str, longer: str
) -> None:
    largest: Largest[str] = Largest(2)
    for name in (longer, one):
        largest.add(1.0, name, name)
    assert [item for _, item in largest.ranked()] == [one, longer]


def test_a_ranking_of_none_admits_nothing() -> None:
    largest: Largest[str] = Largest(0)
    largest.add(1.0, "a", "a")
    assert (largest.admits(9.0), largest.ranked()) == (False, [])


def test_what_is_too_small_is_not_admitted() -> None:
    largest: Largest[str] = Largest(1)
    largest.add(2.0, "a", "a")
    assert [largest.admits(value) for value in (1.9, 2.0, 2.1)] == [False, True, True]
