"""The table of stalls: what happened, and whether it is one."""

from __future__ import annotations

import pytest

from asyncdicom.policy.throughput import StallLimits, Throughput

LIMITS = StallLimits(head_s=20, idle_s=30, min_bytes_per_s=100, window_s=60)

WAIT, COME, REST = "waits for", "then come", "is busy for"


def verdict(story: list[tuple[str, float]], limits: StallLimits = LIMITS) -> str | None:
    """Play a story on a clock; the last wait is still under way."""
    meter, now_s = Throughput(), 0.0
    for what, amount in story:
        if what == WAIT:
            meter.wait_begins(now_s)
            now_s += amount
            found = meter.verdict(now_s, limits)
        elif what == COME:
            meter.wait_ends(now_s, int(amount))
        else:
            now_s += amount
            assert meter.verdict(now_s, limits) is None
    return found


HEAD = [(WAIT, 1.0), (COME, 0.0)]


@pytest.mark.parametrize(
    ("story", "is_stalled"),
    [
        pytest.param([(WAIT, 19.9)], False, id="the head may take its time"),
        pytest.param([(WAIT, 20)], True, id="but not for ever"),
        pytest.param([*HEAD, (WAIT, 29.9)], False, id="a pause in the body"),
        pytest.param([*HEAD, (WAIT, 30)], True, id="silence in the body"),
        pytest.param(
            [*HEAD, (WAIT, 29), (COME, 1), (WAIT, 29), (COME, 1), (WAIT, 2)], True, id="a trickle"
        ),
        pytest.param(
            [*HEAD, (WAIT, 29), (COME, 6000), (WAIT, 29), (COME, 1), (WAIT, 2)],
            False,
            id="just enough in a window",
        ),
        pytest.param(
            [*HEAD, (WAIT, 1), (COME, 1), (REST, 10_000), (WAIT, 1), (COME, 1), (WAIT, 1)],
            False,
            id="a slow consumer is not the server's fault",
        ),
        pytest.param(
            [(WAIT, 19), (COME, 0), (WAIT, 29), (COME, 2000), (WAIT, 15)],
            False,
            id="the wait for the head does not lower the throughput",
        ),
    ],
)
def test_stalls(story: list[tuple[str, float]], *, is_stalled: bool) -> None:
    assert (verdict(story) is not None) is is_stalled


def test_a_burst_does_not_pay_for_a_later_trickle() -> None:
    meter, now_s = Throughput(), 0.0
    meter.wait_begins(now_s)
    meter.wait_ends(now_s, 0)
    meter.wait_begins(now_s)
    meter.wait_ends(now_s, 10**9)
    for _second in range(121):
        meter.wait_begins(now_s)
        now_s += 1
        if meter.verdict(now_s, LIMITS) is not None:
            break
        meter.wait_ends(now_s, 1)
    assert 60 < now_s <= 121


def test_a_minimum_of_nothing_allows_any_trickle() -> None:
    limits = StallLimits(head_s=20, idle_s=30, min_bytes_per_s=0, window_s=60)
    story = [*HEAD, *[(WAIT, 29.0), (COME, 1.0)] * 100, (WAIT, 29.0)]
    assert verdict(story, limits) is None


def test_the_verdict_says_what_was_seen() -> None:
    assert verdict([(WAIT, 20)]) == "nothing came for 20 s"
    story = [*HEAD, (WAIT, 29.0), (COME, 7.0), (WAIT, 29.0), (COME, 7.0), (WAIT, 2.0)]
    assert verdict(story) == "only 14 bytes came in 60 s"
