"""`get s3://` against every fault of the mock's bucket: what is damaged is named, nothing is torn.

The *story* of a fault: one object, the victim, has it for good; in a second run into the
same folder it happens once; a third run is undisturbed, where the second left something
to do. For lists the same, with all lists as the victim. What s5cmd is known to do wrong
has tests of its own at the end.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from asyncdicom.mock.s3_effects import S3_EFFECTS
from tests.e2e.object_fault_rows import LISTS, PARTS, ROWS, ListRow, Row
from tests.e2e.object_support import (
    AnyName,
    BucketTruth,
    Told,
    get,
    other_version,
    portal_bucket,
)
from tests.e2e.support import WORKERS, Runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

BUCKET = BucketTruth(series=2, instances=3, rows=32)
VICTIM = BUCKET.keys[-1]
LONGEST_RUN_S = 12.0

NOWHERE = "http://127.0.0.1:1/dicom/x.dcm"


TOLD_BELOW = {"extra-key", "missing-key", "other-object", "repeat-token"}
"""These have tests of their own."""

RUN_THRICE = ("truncate", "cut", "corrupt")
"""Of those that the second run mends."""

DAMAGING = [one for one in ROWS if one.values[0].reasons]
WRONG_LISTS = [one for one in LISTS if one.values[0].reasons]

INDEX: dict[Row, int] = {one.values[0]: index for index, one in enumerate((*ROWS, *LISTS))}


def needs_third(case: Row) -> bool:
    return not case.is_mended or case.fault in RUN_THRICE


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WORKERS) as pool:
        yield pool


@dataclass(frozen=True, slots=True)
class Story:
    """Three runs into one folder."""

    first: Told
    """The fault for good."""
    second: Told | None
    """The fault once; None where the fault is harmless."""
    third: Told | None
    """No fault; None where the second has shown what it would show."""


@pytest.fixture(scope="module")
def stories(
    request: pytest.FixtureRequest, portal: BlockingPortal, pool: Any, tmp_path_factory: Any
) -> Iterator[Runs[Row, Story]]:
    base = tmp_path_factory.mktemp("objects")

    def perform(case: Row) -> Story:
        folder = base / f"{INDEX[case]}"
        folder.mkdir()
        is_list = isinstance(case, ListRow)
        kind, *options = ("listing",) if is_list else ("object", f"path=*{VICTIM}")
        # Two pages, where the list is the victim.
        with portal_bucket(portal, BUCKET, max_keys=4 if is_list else 1000) as mock:
            mock.set_faults(case.of(kind, *options))
            first = get(mock, BUCKET, folder)
            if not case.reasons:
                return Story(first, None, None)
            mock.set_faults(case.of(kind, *options, "times=1"))
            second = get(mock, BUCKET, folder)
            mock.set_faults()
            third = get(mock, BUCKET, folder) if needs_third(case) else None
            return Story(first, second, third)

    with Runs.of_module(request, Row, perform, pool) as runs:
        yield runs


def test_the_tables_cover_every_fault_of_the_mock() -> None:
    every = (*ROWS, *LISTS, *PARTS)
    covered = {one.values[0].fault.partition(":")[0] for one in every} | TOLD_BELOW
    assert set(S3_EFFECTS) <= covered


# Objects


@pytest.mark.parametrize("case", ROWS)
def test_what_is_damaged_is_named_with_a_reason(stories: Runs[Row, Story], case: Row) -> None:
    first = stories[case].first
    assert set(first.failed) == ({VICTIM} if case.reasons else set())
    assert {line["reason"] for line in first.failed.values()} <= case.reasons
    assert first.done.code == (1 if case.reasons else 0)


@pytest.mark.parametrize("case", ROWS)
def test_whatever_is_not_damaged_is_stored(stories: Runs[Row, Story], case: Row) -> None:
    first = stories[case].first
    assert set(first.there) == set(BUCKET.keys) - set(first.failed)
    assert first.done.seconds < LONGEST_RUN_S


@pytest.mark.parametrize("case", ROWS)
def test_a_try_too_many_is_not_made(stories: Runs[Row, Story], case: Row) -> None:
    first = stories[case].first
    tries = first.fetched.count(VICTIM)
    assert tries == (2 if case.reasons and case.is_mended else 1)
    assert len(first.fetched) == len(BUCKET.keys) - 1 + tries


@pytest.mark.parametrize("case", DAMAGING)
def test_the_second_run_asks_only_for_what_is_missing(stories: Runs[Row, Story], case: Row) -> None:
    second = stories[case].second
    assert second is not None
    assert set(second.fetched) == {VICTIM}
    if case.is_mended:
        assert second.done.code == 0
    else:
        assert set(second.failed) == {VICTIM}


@pytest.mark.parametrize("case", [one for one in DAMAGING if needs_third(one.values[0])])
def test_the_third_run_finds_or_brings_what_is_left(stories: Runs[Row, Story], case: Row) -> None:
    third = stories[case].third
    assert third is not None
    assert third.done.code == 0
    assert third.fetched == ([] if case.is_mended else [VICTIM])


# Lists


@pytest.mark.parametrize("case", LISTS)
def test_a_list_that_is_wrong_is_named(stories: Runs[Row, Story], case: ListRow) -> None:
    first = stories[case].first
    assert first.done.code == (case.code if case.reasons else 0)
    assert set(first.failed) == ({""} if case.reasons else set())
    assert {line["reason"] for line in first.failed.values()} <= case.reasons
    assert first.done.seconds < LONGEST_RUN_S


@pytest.mark.parametrize("case", WRONG_LISTS)
def test_a_list_that_is_wrong_once_is_asked_for_again_or_named(
    stories: Runs[Row, Story], case: ListRow
) -> None:
    second = stories[case].second
    assert second is not None
    if case.is_mended:
        assert second.done.code == 0
    else:
        assert second.failed


@pytest.mark.parametrize("case", [one for one in WRONG_LISTS if needs_third(one.values[0])])
def test_with_true_lists_everything_comes(stories: Runs[Row, Story], case: ListRow) -> None:
    third = stories[case].third
    assert third is not None
    assert third.done.code == 0
    assert set(third.there) == set(BUCKET.keys)


def test_a_list_that_leads_to_itself_ends(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_bucket(portal, BUCKET, max_keys=2) as mock:
        mock.set_faults("repeat-token")
        told = get(mock, BUCKET, tmp_path)
        assert told.done.code == 1
        assert told.failed[""]["reason"] == "protocol-error"
        lists = [request for request in told.requests if request.path == "/dicom"]
        assert len(lists) <= 4


def test_an_empty_list_is_no_success(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults("missing-key")
        told = get(mock, BUCKET, tmp_path)
        assert told.done.code == 4
        assert told.failed[""]["reason"] == "not-found"


def test_what_is_listed_and_is_not_there_is_missing(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults("extra-key:to=1/2/3.dcm")
        told = get(mock, BUCKET, tmp_path)
        assert told.done.code == 1
        assert {key: line["reason"] for key, line in told.failed.items()} == {
            "1/2/3.dcm": "not-found"
        }
        assert set(told.there) == set(BUCKET.keys)


def test_an_object_that_is_another_one_is_not_stored(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults(f"other-object:object:path=*{VICTIM},to={BUCKET.keys[0]}")
        told = get(mock, BUCKET, tmp_path)
        assert told.done.code == 1
        assert set(told.failed) == {VICTIM}


@pytest.mark.parametrize(
    "key", ["../../evil.dcm", "/etc/evil.dcm", "a//b/../evil.dcm", "./evil.dcm", "~/evil.dcm"]
)
def test_no_key_leads_out_of_the_folder(portal: BlockingPortal, tmp_path: Path, key: str) -> None:
    folder = tmp_path / "deeply" / "nested"
    folder.mkdir(parents=True)
    content = BUCKET.objects[BUCKET.keys[0]]
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults(f"extra-key:to={key}", f"other-object:path=*evil.dcm,to={BUCKET.keys[0]}")
        told = get(mock, BUCKET, folder, also=AnyName(content))
    assert told.done.code == 0
    assert len(told.there) == len(BUCKET.keys) + 1
    outside = [path for path in tmp_path.rglob("*.dcm") if folder / "out" not in path.parents]
    assert outside == []


def test_an_object_that_was_replaced_is_stored_as_it_is_now(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        # The list is older than the object.
        mock.set_faults(f"changed:path=*{VICTIM}")
        told = get(mock, BUCKET, tmp_path, also={VICTIM: other_version(BUCKET, VICTIM)})
        assert told.done.code == 0
        (line,) = [line for line in told.report if line["path"] == VICTIM]
        assert line["remarks"] == ["changed after it was listed"]


# What s5cmd does wrong


def test_a_short_object_is_never_taken_for_whole(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults("truncate:object:at=4000")
        told = get(mock, BUCKET, tmp_path)
        assert told.done.code == 1
        assert set(told.failed) == set(BUCKET.keys)
        assert told.there == {}


def test_a_flipped_bit_in_a_file_is_found_and_mended(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        get(mock, BUCKET, tmp_path)
        path = tmp_path / "out" / VICTIM
        before = path.stat()
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        told = get(mock, BUCKET, tmp_path)
        assert told.fetched == [VICTIM]
        assert told.done.code == 0


@pytest.mark.parametrize("times", [1, 2])
def test_slow_down_is_obeyed(portal: BlockingPortal, tmp_path: Path, times: int) -> None:
    with portal_bucket(portal, BUCKET) as mock:
        mock.set_faults(f"503:object:path=*{VICTIM},retry-after=1,times={times}")
        told = get(mock, BUCKET, tmp_path, "-r", "2")
        assert told.done.code == 0
        assert told.fetched.count(VICTIM) == times + 1
        assert told.done.seconds >= times


def test_connections_are_used_again(portal: BlockingPortal, tmp_path: Path) -> None:
    many = BucketTruth(instances=300, rows=4)
    with portal_bucket(portal, many) as mock:
        told = get(mock, many, tmp_path, "-c", "8")
        assert told.done.code == 0
        assert len({request.peer_port for request in told.requests}) <= 9
