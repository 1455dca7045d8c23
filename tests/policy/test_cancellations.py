"""When a connection has had its share of streams that were left early."""

from __future__ import annotations

from asyncdicom.policy.cancellations import MAX_IN_WINDOW, WINDOW_S, Cancellations


def noted(interval_s: float, count: int) -> list[bool]:
    cancellations = Cancellations()
    return [cancellations.note(number * interval_s) for number in range(count)]


def test_a_burst_uses_the_connection_up() -> None:
    verdicts = noted(0.001, MAX_IN_WINDOW)
    assert verdicts == [False] * (MAX_IN_WINDOW - 1) + [True]


def test_what_is_far_apart_never_does() -> None:
    assert not any(noted(1.01 * WINDOW_S / (MAX_IN_WINDOW - 1), 10 * MAX_IN_WINDOW))


def test_any_minute_counts_not_only_the_first() -> None:
    cancellations = Cancellations()
    for number in range(MAX_IN_WINDOW):
        cancellations.note(number * 10.0)
    begun_s = MAX_IN_WINDOW * 10.0
    verdicts = [cancellations.note(begun_s + number * 0.1) for number in range(MAX_IN_WINDOW)]
    assert verdicts.index(True) == MAX_IN_WINDOW - 6
