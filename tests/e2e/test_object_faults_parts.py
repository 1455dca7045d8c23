"""Large objects in parts, against every fault that parts can have: two versions never mix.

Objects of 512 KB come in parts of 128 KB, so that each has several under way.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from tests.e2e.object_fault_rows import PARTS, PartRow
from tests.e2e.object_support import BucketTruth, Told, get, other_version, portal_bucket
from tests.e2e.support import WORKERS, Runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.server import Recorded

BUCKET = BucketTruth(series=1, instances=2, rows=512)
VICTIM = BUCKET.keys[-1]
PART_BYTES = 131_072
IN_PARTS = ("--part-size", str(PART_BYTES))
PART_COUNT = 5
"""Of each object: 512 KB of pixels, and what stands before them."""


@dataclass(frozen=True, slots=True)
class Story:
    """Two runs into one folder."""

    first: Told
    """The victim has the fault for good."""
    second: Told
    """No fault."""


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def stories(
    request: pytest.FixtureRequest, portal: BlockingPortal, tmp_path_factory: Any
) -> Iterator[Runs[PartRow, Story]]:
    base = tmp_path_factory.mktemp("parts")

    def perform(case: PartRow) -> Story:
        folder = base / re.sub(r"\W", "-", case.fault)
        folder.mkdir()
        with portal_bucket(portal, BUCKET) as mock:
            mock.set_faults(case.of("object", f"path=*{VICTIM}"))
            first = get(mock, BUCKET, folder, *IN_PARTS)
            mock.set_faults()
            return Story(first, get(mock, BUCKET, folder, *IN_PARTS))

    with (
        ThreadPoolExecutor(WORKERS) as pool,
        Runs.of_module(request, PartRow, perform, pool) as runs,
    ):
        yield runs


@pytest.mark.parametrize("case", PARTS)
def test_what_is_damaged_is_named_and_nothing_is_torn(
    stories: Runs[PartRow, Story], case: PartRow
) -> None:
    first = stories[case].first
    assert first.done.code == (1 if case.reasons else 0)
    assert set(first.failed) == ({VICTIM} if case.reasons else set())
    assert {line["reason"] for line in first.failed.values()} <= case.reasons
    assert set(first.there) == set(BUCKET.keys) - set(first.failed)


@pytest.mark.parametrize("case", PARTS)
def test_the_next_run_brings_what_is_missing(stories: Runs[PartRow, Story], case: PartRow) -> None:
    second = stories[case].second
    assert second.done.code == 0
    assert set(second.fetched) == ({VICTIM} if case.reasons else set())


@pytest.mark.parametrize("case", PARTS)
def test_requests_are_bounded(stories: Runs[PartRow, Story], case: PartRow) -> None:
    first = stories[case].first
    # A part that breaks on the way is continued, as often as bytes came.
    assert first.fetched.count(VICTIM) <= 2 * 2 * PART_COUNT


def ranges_of(requests: list[Recorded], key: str) -> list[tuple[int, int]]:
    """Return first and last byte of each range that was asked for."""
    found = []
    for request in requests:
        value = dict(request.headers).get("range", "")
        if request.path.endswith(key) and value:
            first, _, last = value.removeprefix("bytes=").partition("-")
            found.append((int(first), int(last or len(BUCKET.objects[key]) - 1)))
    return found


def test_parts_cover_the_object_once(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        told = get(mock, BUCKET, tmp_path, *IN_PARTS)

    for key in BUCKET.keys:
        ranges = sorted(ranges_of(told.requests, key))
        assert [first for first, _ in ranges] == [0, *(last + 1 for _, last in ranges[:-1])]
        assert ranges[-1][1] == len(BUCKET.objects[key]) - 1
        conditions = {
            dict(request.headers).get("if-match")
            for request in told.requests
            if request.path.endswith(key) and request.method == "GET"
        }
        assert len(conditions) == 1
        assert conditions != {None}


def test_a_part_that_breaks_continues_from_the_byte_it_reached(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults(f"cut:object:path=*{VICTIM},at=100000,times=2")
        told = get(mock, BUCKET, tmp_path, *IN_PARTS)

    assert told.done.code == 0
    (line,) = [line for line in told.report if line["path"] == VICTIM]
    assert line["attempts"] == 1
    ranges = ranges_of(told.requests, VICTIM)
    assert len(ranges) == PART_COUNT + 2
    continued = [first % PART_BYTES for first, _ in ranges if first % PART_BYTES]
    assert len(continued) == 2
    assert max(continued) <= 100_000


def test_a_body_that_breaks_continues_from_the_byte_it_reached(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults(f"cut:object:path=*{VICTIM},at=300000,times=1")
        told = get(mock, BUCKET, tmp_path)

    assert told.done.code == 0
    ((first, last),) = ranges_of(told.requests, VICTIM)
    assert 0 < first <= 300_000
    assert last == len(BUCKET.objects[VICTIM]) - 1


@pytest.mark.parametrize("after", range(1, PART_COUNT + 1))
def test_an_object_that_is_replaced_while_it_comes_is_never_mixed(
    portal: BlockingPortal, tmp_path: Path, after: int
) -> None:
    new = {key: other_version(BUCKET, key) for key in BUCKET.keys}
    with portal_bucket(portal, BUCKET) as mock:
        # The books are checked against the new version, and nothing but it.
        mock.set_faults(f"changed:object+head:path=*{VICTIM},after={after}")
        told = get(mock, BUCKET, tmp_path, *IN_PARTS, also={VICTIM: new[VICTIM]})

    assert told.done.code == 0
    assert told.there[VICTIM] == new[VICTIM]
    (line,) = [line for line in told.report if line["path"] == VICTIM]
    assert line["remarks"] == ["changed after it was listed"]
