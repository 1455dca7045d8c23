"""Large objects in parts, against every fault that parts can have: two versions never mix.

Objects come in four to five parts, so that each has several under way. Where bytes have
to be kept when a body breaks, parts are large: engines read 128 KB at a time, and may
lose what they have not handed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.policy.object_parts import plan_parts
from tests.e2e.object_fault_rows import PARTS, PartRow
from tests.e2e.object_support import BucketTruth, Told, get, other_version, portal_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from asyncdicom.mock.server import Recorded

BUCKET = BucketTruth(series=1, instances=2, rows=1024)
VICTIM = BUCKET.keys[-1]
PART_BYTES = 512 * 1024
IN_PARTS = ("--part-size", str(PART_BYTES))
PLANNED = [
    part.first for part in plan_parts(len(BUCKET.objects[VICTIM]), part_bytes=PART_BYTES, lanes=4)
]
PART_COUNT = len(PLANNED)
CUT_AT = 250_000
"""Within each part, and behind what engines may lose."""

PARADE = BucketTruth(series=1, instances=len(PARTS) + 2, rows=512)
VICTIMS: dict[PartRow, str] = {
    one.values[0]: key for one, key in zip(PARTS, PARADE.keys, strict=False)
}


@dataclass(frozen=True, slots=True)
class Story:
    """Two runs into one folder."""

    first: Told
    """Each victim has its fault for good."""
    second: Told
    """No fault."""


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def story(portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("parts")
    words = ("--part-size", "128k", "-c", "16", "--timeout", "2")
    with portal_bucket(portal, PARADE) as mock:
        mock.set_faults(*(case.of("object", f"path=*{key}") for case, key in VICTIMS.items()))
        first = get(mock, PARADE, folder, *words)
        mock.set_faults()
        return Story(first, get(mock, PARADE, folder, *words))


@pytest.mark.parametrize("case", PARTS)
def test_what_is_damaged_is_named_and_nothing_is_torn(story: Story, case: PartRow) -> None:
    key = VICTIMS[case]
    failed = story.first.failed.get(key)
    assert (failed is not None) == bool(case.reasons)
    assert failed is None or failed["reason"] in case.reasons
    assert (key in story.first.there) == (not case.reasons)


def test_the_next_run_brings_what_is_missing_and_nothing_else(story: Story) -> None:
    damaged = {key for case, key in VICTIMS.items() if case.reasons}
    assert set(story.first.failed) == damaged
    assert set(story.second.fetched) == damaged
    assert (story.first.done.code, story.second.done.code) == (1, 0)


@pytest.mark.parametrize("case", PARTS)
def test_requests_are_bounded(story: Story, case: PartRow) -> None:
    # A part that breaks on the way is continued, as often as bytes came.
    assert story.first.fetched.count(VICTIMS[case]) <= 2 * 2 * PART_COUNT


def test_a_server_that_ignores_ranges_sends_each_object_once(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults("ignore-range")
        told = get(mock, BUCKET, tmp_path, *IN_PARTS, "-c", "1")
    assert told.done.code == 0
    # What was begun in parts before anybody knew, and each object as a whole.
    assert len(told.fetched) <= PART_COUNT + len(BUCKET.keys)


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
        mock.set_faults(f"cut:object:path=*{VICTIM},at={CUT_AT},times=2")
        told = get(mock, BUCKET, tmp_path, *IN_PARTS)

    assert told.done.code == 0
    firsts = [first for first, _ in ranges_of(told.requests, VICTIM)]
    assert len(firsts) == PART_COUNT + 2
    continued = set(firsts) - set(PLANNED)
    assert len(continued) == 2
    for first in continued:
        begun = max(planned for planned in PLANNED if planned < first)
        assert 0 < first - begun <= CUT_AT


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_a_body_that_breaks_continues_from_the_byte_it_reached(
    portal: BlockingPortal, tmp_path: Path, fault: str
) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults(f"{fault}:object:path=*{VICTIM},at=1200000,times=1")
        told = get(mock, BUCKET, tmp_path)

    assert told.done.code == 0
    ((first, last),) = ranges_of(told.requests, VICTIM)
    assert 0 < first <= 1_200_000
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
