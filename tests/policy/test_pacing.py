"""A rate is never exceeded by more than the burst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.policy.pacing import BURST_S, Pacer


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 100)), min_size=1, max_size=50))
def test_what_was_spent_never_exceeds_rate_and_burst(steps: list[tuple[float, float]]) -> None:
    pacer, now_s, spent = Pacer(100.0), 0.0, 0.0
    for pause_s, amount in steps:
        now_s += pause_s
        now_s += pacer.delay_s(amount, now_s=now_s)
        spent += amount
    assert spent <= 100.0 * (now_s + BURST_S) * (1 + 1e-9)


def test_an_idle_time_does_not_pile_up() -> None:
    pacer = Pacer(10.0)
    assert pacer.delay_s(2, now_s=1000.0) == 0.0
    assert pacer.delay_s(10, now_s=1000.0) == pytest.approx(1.2 - BURST_S)
