"""Parts cover an object once, evenly; the frontier is never ahead of the first gap."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.policy.object_parts import ALIGNMENT_BYTES, Frontier, Part, plan_parts

MIB = 1024 * 1024


@given(
    byte_count=st.integers(0, 10**10),
    part_bytes=st.integers(ALIGNMENT_BYTES, 10**9),
    lanes=st.integers(1, 16),
)
def test_parts_cover_an_object_once(byte_count: int, part_bytes: int, lanes: int) -> None:
    parts = plan_parts(byte_count, part_bytes=max(part_bytes, byte_count // 1000), lanes=lanes)
    assert parts[0].first == 0
    assert parts[-1].last == max(byte_count - 1, 0)
    assert all(a.last + 1 == b.first for a, b in itertools.pairwise(parts))


@pytest.mark.parametrize(
    ("byte_count", "lanes", "count"),
    [
        pytest.param(0, 4, 1, id="nothing"),
        pytest.param(32 * MIB, 4, 1, id="as large as a part"),
        pytest.param(32 * MIB + 1, 4, 4, id="a byte more"),
        pytest.param(180 * MIB, 4, 8, id="a multiple of the lanes"),
        pytest.param(180 * MIB, 1, 1, id="one lane"),
        pytest.param(5 * MIB + 7, 3, 1, id="small"),
    ],
)
def test_how_many_parts_there_are(byte_count: int, lanes: int, count: int) -> None:
    parts = plan_parts(byte_count, part_bytes=32 * MIB, lanes=lanes)
    assert len(parts) == count
    assert count == 1 or all(part.byte_count <= 32 * MIB for part in parts)


def test_the_frontier_stops_at_the_first_gap() -> None:
    frontier = Frontier((Part(0, 9), Part(10, 19), Part(20, 24)))
    steps = [(1, 10), (0, 4), (2, 5), (0, 6)]
    reached = []
    for index, byte_count in steps:
        frontier.advance(index, byte_count)
        reached.append(frontier.reached)
    assert reached == [0, 4, 4, 25]
    assert [frontier.received(index) for index in range(3)] == [10, 10, 5]


@given(st.data())
def test_the_frontier_is_the_length_of_what_has_no_gap(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    firsts = [sum(sizes[:index]) for index in range(len(sizes))]
    parts = [Part(first, first + size - 1) for first, size in zip(firsts, sizes, strict=True)]
    frontier, there = Frontier(parts), [False] * sum(sizes)
    order = data.draw(st.permutations([i for i, size in enumerate(sizes) for _ in range(size)]))
    for index in order:
        there[parts[index].first + frontier.received(index)] = True
        frontier.advance(index, 1)
        gap = there.index(False) if False in there else len(there)
        assert frontier.reached == gap
