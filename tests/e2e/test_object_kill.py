"""Runs from a bucket that end by force or by a full disk: nothing torn, little fetched twice.

`ASYNCDICOM_TEST_OBJECT_KILLS` says how many processes are killed: 20 unless told, 100
before a release of a change to how objects are written, 1,000 at night.
"""

from __future__ import annotations

import os
import random
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from tests.e2e.object_support import LEFT, BucketTruth, get, portal_bucket, s3_environ
from tests.e2e.support import Completed, Runs, cli, files_below, killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from tests.e2e.object_support import S3Mock

KILLS = int(os.environ.get("ASYNCDICOM_TEST_OBJECT_KILLS", "20"))
KILLS_PER_FOLDER = 5
IN_FLIGHT = 8

SMALL = BucketTruth(instances=500, rows=4)
LARGE = BucketTruth(instances=24, rows=512, columns=1024)
"""1 MB each, in parts of 256 KB."""


@dataclass(frozen=True, slots=True)
class Case:
    """A bucket whose fetching is killed again and again until it is let end."""

    is_large: bool
    folder: int

    @property
    def bucket(self) -> BucketTruth:
        return LARGE if self.is_large else SMALL


CASES = [
    pytest.param(
        Case(bool(folder % 2), folder), id=f"{'large' if folder % 2 else 'small'} {folder}"
    )
    for folder in range(max(2, KILLS // KILLS_PER_FOLDER))
]


@dataclass(frozen=True, slots=True)
class Cycle:
    """One process, and the folder after its end."""

    code: int
    told: frozenset[str]
    """What it said was stored."""
    before: frozenset[str]
    """What was there when it began."""
    after: frozenset[str]
    asked: tuple[str, ...]
    """Keys it asked for, one for each request."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Killed runs into one folder, and the last one."""

    cycles: tuple[Cycle, ...]
    last: Completed


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest, portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs[Case, Trial]]:
    base = tmp_path_factory.mktemp("object-kills")

    def perform(case: Case) -> Trial:
        out = base / str(case.folder)
        with portal_bucket(portal, case.bucket) as mock:
            return tried(case, mock, out)

    with Runs.of_module(request, Case, perform) as runs:
        yield runs


def tried(case: Case, mock: S3Mock, out: Path) -> Trial:
    """Kill runs until the folder has seen enough of it, then let one run to its end."""
    dice = random.Random(f"objects {case.folder}")
    words = (
        *("get", mock.bucket_url, "--endpoint-url", mock.url, "--no-sign-request"),
        *("-o", str(out), "-c", str(IN_FLIGHT), "--part-size", "256k"),
    )
    pause_s = 0.02 if case.is_large else 0.004
    there: frozenset[str] = frozenset()
    cycles = []
    for _ in range(KILLS_PER_FOLDER):
        lines = dice.randrange(max(1, (len(case.bucket.keys) - len(there)) // 2))
        told, code = killed(
            words, after_lines=lines, pause_s=dice.uniform(0, pause_s), env=s3_environ()
        )
        before, there = there, true_objects(case, out)
        cycles.append(Cycle(code, told, before, there, asked_for(mock)))
    last = cli(*words, env=s3_environ())
    before, there = there, true_objects(case, out)
    cycles.append(Cycle(last.code, frozenset(), before, there, asked_for(mock)))
    assert not list(out.rglob(f"{LEFT}*")), "a run that ended leaves nothing but results"
    return Trial(tuple(cycles), last)


def true_objects(case: Case, out: Path) -> frozenset[str]:
    """Return which objects are there; whatever has a final name has to be whole and true."""
    found = files_below(out) if out.exists() else {}
    results = {name: content for name, content in found.items() if LEFT not in name}
    for name, content in results.items():
        assert content == case.bucket.objects[name], f"{name} is torn"
    return frozenset(results)


def asked_for(mock: S3Mock) -> tuple[str, ...]:
    """Return the keys of objects that were asked for since the last call."""
    # What the process had sent when it was killed is read and counted after its end.
    mock.until_left()
    asked = [request for request in mock.new_requests() if request.method == "GET"]
    return tuple(r.path.removeprefix("/dicom/") for r in asked if r.path.endswith(".dcm"))


@pytest.mark.parametrize("case", CASES)
def test_what_was_said_to_be_stored_outlives_kill_9(trials: Runs[Case, Trial], case: Case) -> None:
    for cycle in trials[case].cycles:
        assert {path for path in cycle.told if path.endswith(".dcm")} <= cycle.after
        assert cycle.before <= cycle.after


@pytest.mark.parametrize("case", CASES)
def test_the_next_run_after_kill_9_completes(trials: Runs[Case, Trial], case: Case) -> None:
    trial = trials[case]
    assert trial.last.code == 0, trial.last.err
    assert trial.cycles[-1].after == set(case.bucket.keys)


@pytest.mark.parametrize("case", CASES)
def test_kill_9_costs_only_what_was_in_flight(trials: Runs[Case, Trial], case: Case) -> None:
    for cycle in trials[case].cycles:
        again = set(cycle.asked)
        assert case.is_large or len(again) == len(cycle.asked), "asked for twice in one run"
        assert not again & cycle.before, "asked for what was there"
        assert len(again - cycle.after) <= IN_FLIGHT


@pytest.mark.parametrize("case", CASES)
def test_the_kills_came_in_the_middle(trials: Runs[Case, Trial], case: Case) -> None:
    killed = [cycle for cycle in trials[case].cycles if cycle.code == -9]
    assert len(killed) >= KILLS_PER_FOLDER - 1
    assert any(cycle.told for cycle in killed)
    assert any(0 < len(cycle.after) < len(case.bucket.keys) for cycle in killed)


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system that is too small in some way; needs root."""
    path = tmp_path / "out"
    path.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mounting, check=False).returncode != 0:
        pytest.skip("may not mount")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def make_room(folder: Path) -> None:
    larger = "remount,size=64m,nr_inodes=10000"
    subprocess.run(["mount", "-o", larger, str(folder)], check=True)


@pytest.mark.parametrize(
    "small_disk",
    [
        # Blocks of 4 KB for files of 2 KB: the list fits, and the files do not.
        pytest.param("size=1500k", id="no space"),
        pytest.param("size=64m,nr_inodes=200", id="no inodes"),
    ],
    indirect=True,
)
def test_a_disk_that_fills_ends_the_run_and_the_next_one_completes(
    portal: BlockingPortal, small_disk: Path, tmp_path: Path
) -> None:
    with portal_bucket(portal, SMALL) as mock:
        full = get(mock, SMALL, tmp_path, "-c", str(IN_FLIGHT))
        assert full.done.code == 3
        assert "free some, then run again" in full.done.last_line
        assert 0 < len(full.there) < len(SMALL.keys)
        # Nothing is asked for that cannot be kept: what is stored, what was under way.
        assert len(full.fetched) <= len(full.there) + IN_FLIGHT
        make_room(small_disk)
        again = get(mock, SMALL, tmp_path)
        assert again.done.code == 0
        assert not set(again.fetched) & set(full.there)


@pytest.mark.parametrize("small_disk", ["size=10m"], indirect=True)
def test_what_is_known_not_to_fit_is_not_begun(
    portal: BlockingPortal, small_disk: Path, tmp_path: Path
) -> None:
    with portal_bucket(portal, LARGE) as mock:
        full = get(mock, LARGE, tmp_path)
        assert full.done.code == 3
        assert "free some" in full.done.last_line
        assert (full.fetched, full.there) == ([], {})
        make_room(small_disk)
        assert get(mock, LARGE, tmp_path).done.code == 0
