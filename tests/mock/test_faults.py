"""Faults are read as documented, and meet the requests that their selectors say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.mock import FaultPlan, faults, parse_fault
from asyncdicom.mock.effects import EFFECTS
from asyncdicom.mock.fault_table import fault_table

if TYPE_CHECKING:
    from collections.abc import Sequence


def met(fault: str, requests: Sequence[tuple[str | None, str]]) -> list[int]:
    """Return the numbers, from 1, of the requests that are met."""
    plan = FaultPlan([fault])
    decided = [plan.decide(kind, path) for kind, path in requests]
    return [number for number, chosen in enumerate(decided, 1) if chosen is not None]


TEN = [("instance", f"/i/{n}") for n in range(1, 11)]
ALTERNATING = [("instance", f"/i/{n % 2}") for n in range(8)]


@pytest.mark.parametrize(
    ("fault", "numbers"),
    [
        pytest.param("cut", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], id="all"),
        pytest.param("cut:instance:nth=3", [3], id="nth"),
        pytest.param("cut:instance:every=4", [4, 8], id="every"),
        pytest.param("cut:instance:times=2", [1, 2], id="times"),
        pytest.param("cut:instance:after=7", [8, 9, 10], id="after"),
        pytest.param("cut:instance:after=1,every=3,times=2", [4, 7], id="after, every and times"),
        pytest.param("cut:path=/i/1*", [1, 10], id="path"),
        pytest.param("cut:path=/i/[2-3]", [2, 3], id="path with a set"),
        pytest.param("cut:study", [], id="another kind"),
        pytest.param("cut:study+instance:nth=1", [1], id="several kinds"),
        pytest.param("cut:any:nth=2", [2], id="any kind"),
        pytest.param("cut:probability=0", [], id="never"),
        pytest.param("cut:times=0", [], id="no times"),
    ],
)
def test_selectors(fault: str, numbers: list[int]) -> None:
    assert met(fault, TEN) == numbers


def test_counts_per_path_are_counts_of_each_path() -> None:
    assert met("cut:instance:times=1", ALTERNATING) == [1]
    assert met("cut:instance:times=1,per=path", ALTERNATING) == [1, 2]
    assert met("cut:instance:nth=3,per=path", ALTERNATING) == [5, 6]


def test_only_matching_requests_are_counted() -> None:
    mixed = [("study", "/s"), ("instance", "/i"), ("study", "/s"), ("instance", "/i")]
    assert met("cut:instance:nth=2", mixed) == [4]


def test_paths_where_nothing_lives_meet_only_faults_for_any_kind() -> None:
    assert met("cut", [(None, "/x")]) == [1]
    assert met("cut:instance", [(None, "/x")]) == []


def test_chance_depends_on_path_and_attempt_not_on_order() -> None:
    requests = [("frame", f"/f/{n}") for n in range(200)]
    fault = "reset:frame:probability=0.3,seed=5"
    forward = {requests[n - 1] for n in met(fault, requests)}
    requests.reverse()
    backward = {requests[n - 1] for n in met(fault, requests)}
    assert forward == backward
    assert 30 < len(forward) < 90


def test_chance_is_thrown_again_for_each_attempt_and_seed() -> None:
    attempts = [("frame", "/f")] * 200
    first = met("reset:probability=0.3,seed=1", attempts)
    assert 30 < len(first) < 90
    assert first != met("reset:probability=0.3,seed=2", attempts)


def test_the_first_fault_that_is_due_wins_and_each_counts_on_its_own() -> None:
    plan = FaultPlan(["503:every=2", "404:every=3,times=1"])
    chosen = [plan.decide("study", "/s") for _ in range(9)]
    assert [str(fault.effect.name) if fault else "" for fault in chosen] == (
        ["", "503", "404", "503", "", "503", "", "503", ""]
    )


def test_a_fault_remembers_how_it_was_written() -> None:
    assert str(parse_fault(" 503:study:retry-after=2 ")) == "503:study:retry-after=2"


def test_values_may_hold_colons() -> None:
    fault = parse_fault("redirect:instance:to=https://elsewhere:8443/x?y=z,times=1")
    assert fault.settings.text("to") == "https://elsewhere:8443/x?y=z"
    assert fault.selector.times == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unknown fault"),
        ("explode", "unknown fault"),
        ("199", "unknown fault"),
        ("600", "unknown fault"),
        ("cut:nothing", "unknown kind"),
        ("cut:instance:at", "without a value"),
        ("cut:instance:rate=3", "unknown option"),
        ("cut:at=half", "no number"),
        ("drip:rate=fast", "no number"),
        ("cut:times=x", "no number"),
        ("cut:every=0", "at least 1"),
        ("cut:per=study", "per has to be"),
        ("cut:probability=2", "not 0 to 1"),
        ("cut:probability=often", "not 0 to 1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_fault(text)


def test_the_table_lists_every_fault_and_option() -> None:
    table = fault_table()
    for name, effect in EFFECTS.items():
        assert f"\n  {name} " in table
        assert all(f" {option}: " in table for option in effect.options)


def test_every_example_of_the_language_can_be_read() -> None:
    lines = [line.strip() for line in (faults.__doc__ or "").splitlines()]
    examples = [line.split("  ")[0] for line in lines if "=" in line and ":" in line.split()[0]]
    assert len(examples) == 6
    for example in examples[1:]:
        assert str(parse_fault(example)) == example
