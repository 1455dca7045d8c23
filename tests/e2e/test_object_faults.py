"""`get s3://` against every fault of the mock's bucket: what is damaged is named, nothing is torn.

Each object of a bucket is the *victim* of one fault: it has it for good; in a second run
into the same folder it happens once; a third run is undisturbed. A list is the victim
of its fault alone. What s5cmd is known to do wrong has tests of its own at the end.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    s3_environ,
)
from tests.e2e.support import Runs, cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

BUCKET = BucketTruth(series=2, instances=3, rows=32)
VICTIM = BUCKET.keys[-1]
LONGEST_RUN_S = 45.0

TOLD_BELOW = {"extra-key", "ignore-range", "missing-key", "other-object", "repeat-token"}
"""These have tests of their own."""

PATIENT = ("-c", "16", "--timeout", "2")
"""Who shares the machine with many is not silent because it is busy."""

PARADE = BucketTruth(instances=len(ROWS) + 5, rows=32)
"""An object for each fault, and some that have none."""

VICTIMS: dict[Row, str] = {one.values[0]: key for one, key in zip(ROWS, PARADE.keys, strict=False)}
SLOW = {one.values[0] for one in ROWS if one.id == "a body that trickles"}
"""Takes half a minute where a trickle counts as progress."""


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


def test_the_tables_cover_every_fault_of_the_mock() -> None:
    every = (*ROWS, *LISTS, *PARTS)
    covered = {one.values[0].fault.partition(":")[0] for one in every} | TOLD_BELOW
    assert set(S3_EFFECTS) <= covered


# Objects


@dataclass(frozen=True, slots=True)
class Story:
    """Three runs into one folder."""

    first: Told
    """Each victim has its fault for good."""
    second: Told
    """Each has it once."""
    third: Told
    """None has any."""


@pytest.fixture(scope="module")
def story(portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("parade")
    with portal_bucket(portal, PARADE) as mock:
        mock.set_faults(*(case.of("object", f"path=*{key}") for case, key in VICTIMS.items()))
        first = get(mock, PARADE, folder, *PATIENT)
        mock.set_faults(
            *(case.of("object", f"path=*{key},times=1") for case, key in VICTIMS.items())
        )
        second = get(mock, PARADE, folder, *PATIENT)
        mock.set_faults()
        return Story(first, second, get(mock, PARADE, folder))


@pytest.mark.parametrize("case", ROWS)
def test_what_is_damaged_is_named_with_a_reason(story: Story, case: Row) -> None:
    failed = story.first.failed.get(VICTIMS[case])
    assert (failed is not None) == bool(case.reasons)
    assert failed is None or failed["reason"] in case.reasons


def test_whatever_is_not_damaged_is_stored(story: Story) -> None:
    damaged = {key for case, key in VICTIMS.items() if case.reasons}
    assert set(story.first.failed) == damaged
    assert set(story.first.there) == set(PARADE.keys) - damaged
    assert story.first.done.code == 1


@pytest.mark.parametrize("case", ROWS)
def test_a_try_too_many_is_not_made(story: Story, case: Row) -> None:
    tries = story.first.fetched.count(VICTIMS[case])
    if case.reasons:
        assert tries == (2 if case.is_mended else 1)
    else:
        # What is slow may be too slow once, on a machine that is busy.
        assert tries <= 2


@pytest.mark.parametrize("case", ROWS)
def test_a_fault_that_happens_once_is_mended_or_named(story: Story, case: Row) -> None:
    key = VICTIMS[case]
    assert (key in story.second.fetched) == bool(case.reasons)
    assert (key in story.second.there) == (case.is_mended or not case.reasons)


def test_the_third_run_brings_what_is_left_and_nothing_else(story: Story) -> None:
    left = {key for case, key in VICTIMS.items() if not case.is_mended}
    assert set(story.second.failed) == left
    assert sorted(story.third.fetched) == sorted(left)
    assert story.third.done.code == 0


@pytest.mark.parametrize(
    ("engine", "tls"),
    [
        pytest.param("pyreqwest", True, id="pyreqwest over TLS"),
        pytest.param("httpx", False, id="httpx"),
        pytest.param("aiohttp", False, id="aiohttp"),
    ],
)
def test_every_engine_catches_every_fault(
    portal: BlockingPortal, tmp_path: Path, engine: str, *, tls: bool
) -> None:
    victims = {case: key for case, key in VICTIMS.items() if case not in SLOW}
    with portal_bucket(portal, PARADE, tls=tls) as mock:
        mock.set_faults(*(case.of("object", f"path=*{key}") for case, key in victims.items()))
        trust = ("--cacert", str(mock.ca_file)) if tls else ()
        told = get(mock, PARADE, tmp_path, "--http-engine", engine, *PATIENT, *trust)
    assert told.done.code == 1
    assert set(told.failed) == {key for case, key in victims.items() if case.reasons}


# Lists


@dataclass(frozen=True, slots=True)
class ListStory:
    """Runs of which the lists are wrong."""

    first: Told
    """For good."""
    second: Told | None
    """Once; None where the first shows what this would show."""


ONCE = ("truncate", "cut", "stall", "corrupt:at=100", "503:retry-after=0", "404")


@pytest.fixture(scope="module")
def list_stories(
    request: pytest.FixtureRequest,
    portal: BlockingPortal,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runs[ListRow, ListStory]]:
    base = tmp_path_factory.mktemp("lists")

    def perform(case: ListRow) -> ListStory:
        folder = base / re.sub(r"\W", "-", case.fault)
        folder.mkdir()
        # Two pages.
        with portal_bucket(portal, BUCKET, max_keys=4) as mock:
            mock.set_faults(case.of("listing"))
            first = get(mock, BUCKET, folder, *PATIENT)
            if case.fault not in ONCE:
                return ListStory(first, None)
            mock.set_faults(case.of("listing", "times=1"))
            return ListStory(first, get(mock, BUCKET, folder, *PATIENT))

    with Runs.of_module(request, ListRow, perform) as runs:
        yield runs


@pytest.mark.parametrize("case", LISTS)
def test_a_list_that_is_wrong_is_named(
    list_stories: Runs[ListRow, ListStory], case: ListRow
) -> None:
    first = list_stories[case].first
    assert first.done.code == (case.code if case.reasons else 0)
    assert set(first.failed) == ({""} if case.reasons else set())
    assert {line["reason"] for line in first.failed.values()} <= case.reasons
    assert first.done.seconds < LONGEST_RUN_S


@pytest.mark.parametrize("case", [one for one in LISTS if one.values[0].fault in ONCE])
def test_a_list_that_is_wrong_once_is_asked_for_again_or_named(
    list_stories: Runs[ListRow, ListStory], case: ListRow
) -> None:
    second = list_stories[case].second
    assert second is not None
    assert (second.done.code == 0) == case.is_mended


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


def test_nobody_there_is_told_soon(tmp_path: Path) -> None:
    where = ("--endpoint-url", "http://127.0.0.1:1", "--no-sign-request")
    done = cli("get", "s3://dicom/", *where, "-o", str(tmp_path), env=s3_environ())
    assert done.code == 5
    assert done.seconds < 30


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
