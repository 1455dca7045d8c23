"""Runs that end by force or by a full disk: nothing torn, nothing lost, little done twice.

`ASYNCDICOM_TEST_KILLS` says how many processes are killed: 40 unless told, 100 before
a release of a change to the commit path, 1,000 at night.
"""

from __future__ import annotations

import os
import random
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from anyio.from_thread import start_blocking_portal

from tests.e2e.support import (
    Completed,
    Runs,
    TruthStudy,
    cli,
    files_below,
    killed,
    portal_mock,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.from_thread import BlockingPortal

    from tests.e2e.support import Mock

KILLS = int(os.environ.get("ASYNCDICOM_TEST_KILLS", "40"))
KILLS_PER_FOLDER = 5
IN_FLIGHT = 8
"""Requests at once; what was under way when the kill came has to be asked for again."""
RECORD = ".dump.json"
OURS = ".asyncdicom-"
"""Begins every name that is no result: what a killed run may leave, and the next one removes."""

STUDY = TruthStudy(series=1, instances=500, rows=4)
SMALL = TruthStudy(series=1, instances=250, rows=4)
"""A dump asks for each instance twice: its metadata, and its frame."""


@dataclass(frozen=True, slots=True)
class Case:
    """A command that is killed again and again until it is let end."""

    command: str
    folder: int


CASES = [
    pytest.param(Case(command, folder), id=f"{command} {folder}")
    for command, folder in zip(
        ("get one by one", "dump", "get at once") * KILLS,
        range(max(3, KILLS // KILLS_PER_FOLDER)),
        strict=False,
    )
]


@dataclass(frozen=True, slots=True)
class Cycle:
    """One process, and the folder after its end."""

    code: int
    told: frozenset[str]
    """What it said was stored, as paths."""
    before: frozenset[str]
    """What was there and proven when it began."""
    after: frozenset[str]
    asked: tuple[str, ...]
    """What it asked the server for, as the paths of files."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Killed runs into one folder, and the last one."""

    cycles: tuple[Cycle, ...]
    last: Completed
    needed: frozenset[str]


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest, portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs[Case, Trial]]:
    base = tmp_path_factory.mktemp("kills")
    dumped = whole_dump(portal, base / "reference")

    def perform(case: Case) -> Trial:
        out = base / f"out-{case.folder}"
        out.mkdir()
        study = SMALL if case.command == "dump" else STUDY
        with portal_mock(portal, study) as mock:
            if case.command == "dump":
                # Workers hold the pipe that `killed` reads to its end, so they have gone by then.
                shared = ("--processes", str(1 + case.folder % 2))
                dump = ("dump", "-w", mock.url, "-s", study.uid, "-o", str(out), *shared)
                return tried(case, mock, dump, lambda: proven_dump(out, dumped))
            how = "instance" if case.command == "get one by one" else "auto"
            words = ("get", mock.url, "--study", study.uid, "-o", str(out), "--granularity", how)
            return tried(case, mock, words, lambda: true_instances(out, study))

    with Runs.of_module(request, Case, perform) as runs:
        yield runs


def whole_dump(portal: BlockingPortal, out: Path) -> dict[str, bytes]:
    """Dump undisturbed; return the payloads by path."""
    with portal_mock(portal, SMALL) as mock:
        assert cli("dump", "-w", mock.url, "-s", SMALL.uid, "-o", str(out)).code == 0
    return {name: data for name, data in files_below(out).items() if not name.endswith(RECORD)}


def true_instances(out: Path, study: TruthStudy) -> frozenset[str]:
    """Return which instances are there; whatever has a final name has to be whole and true."""
    found = {name: data for name, data in files_below(out).items() if not name.startswith(OURS)}
    for name, content in found.items():
        assert content == study.files[name.removesuffix(".dcm")], f"{name} is torn"
    return frozenset(found)


def proven_dump(out: Path, truth: dict[str, bytes]) -> frozenset[str]:
    """Return which payloads are there with their records; both have to be whole."""
    found = files_below(out)
    proven = set()
    for name, content in found.items():
        if Path(name).name.startswith(OURS):
            continue
        if name.endswith(RECORD):
            assert orjson.loads(content)["error"] is None
            assert name.removesuffix(RECORD) in found, "a record without its payload"
        else:
            assert content == truth[name], f"{name} is torn"
            if name + RECORD in found:
                proven.add(name)
    return frozenset(proven)


def tried(
    case: Case, mock: Mock, command: tuple[str, ...], prove: Callable[[], frozenset[str]]
) -> Trial:
    """Kill runs until the folder has seen enough of it, then let one run to its end."""
    dice = random.Random(f"{case.command} {case.folder}")
    words = (*command, "-c", str(IN_FLIGHT))
    expected = 500
    cycles = []
    there: frozenset[str] = frozenset()
    for _ in range(KILLS_PER_FOLDER):
        lines = dice.randrange(max(1, (expected - len(there)) // 2))
        told, code = killed(words, after_lines=lines, pause_s=dice.uniform(0, 0.004))
        before, there = there, prove()
        cycles.append(Cycle(code, told, before, there, asked_for(mock)))
    last = cli(*words)
    before, there = there, prove()
    cycles.append(Cycle(last.code, frozenset(), before, there, asked_for(mock)))
    folder = Path(words[words.index("-o") + 1])
    assert not list(folder.rglob(f"{OURS}*")), "a run that ended leaves nothing but results"
    return Trial(tuple(cycles), last, there)


def asked_for(mock: Mock) -> tuple[str, ...]:
    """Return the requests for single files since the last call, as the paths they get."""
    # What the process had sent when it was killed is read and counted after its end.
    mock.until_left()
    found = []
    for request in mock.new_requests():
        below = request.path.removeprefix("/dicom-web/studies/")
        is_instance = below.count("/") == 4 and "/instances/" in below
        found.append(f"{below.rpartition('/')[2]}.dcm" if is_instance else below)
    return tuple(found)


def single(asked: tuple[str, ...], command: str) -> list[str]:
    """Return what was asked for one by one."""
    if command == "dump":
        return [path for path in asked if path.endswith("/metadata") or "/frames/" in path]
    return [path for path in asked if path.endswith(".dcm")]


@pytest.mark.parametrize("case", CASES)
def test_what_was_said_to_be_stored_outlives_kill_9(trials: Runs[Case, Trial], case: Case) -> None:
    for cycle in trials[case].cycles:
        assert {path for path in cycle.told if "/" in path or path.endswith(".dcm")} <= cycle.after
        assert cycle.before <= cycle.after


@pytest.mark.parametrize("case", CASES)
def test_the_next_run_after_kill_9_completes(trials: Runs[Case, Trial], case: Case) -> None:
    trial = trials[case]
    assert trial.last.code == 0, trial.last.err
    assert len(trial.needed) == (502 if case.command == "dump" else 500)


@pytest.mark.parametrize("case", CASES)
def test_kill_9_costs_only_what_was_in_flight(trials: Runs[Case, Trial], case: Case) -> None:
    for cycle in trials[case].cycles:
        again = single(cycle.asked, case.command)
        assert len(set(again)) == len(again), "asked for twice in one run"
        assert not set(again) & cycle.before, "asked for what was there and proven"
        if case.command != "get at once":
            assert len(set(again) - cycle.after) <= IN_FLIGHT


@pytest.mark.parametrize("case", CASES)
def test_what_is_partly_there_is_never_asked_for_whole(
    trials: Runs[Case, Trial], case: Case
) -> None:
    for cycle in trials[case].cycles:
        whole = {STUDY.uid, f"{STUDY.uid}/series/{STUDY.series[0]}"} & set(cycle.asked)
        # 2 % of what is there may travel twice, where that saves requests.
        assert not whole or len(cycle.before) <= 0.02 * len(STUDY.instances)


@pytest.mark.parametrize("case", CASES)
def test_the_kills_came_in_the_middle(trials: Runs[Case, Trial], case: Case) -> None:
    trial = trials[case]
    killed = [cycle for cycle in trial.cycles if cycle.code == -9]
    assert len(killed) >= KILLS_PER_FOLDER - 1
    assert any(cycle.told for cycle in killed)
    # A kill of a quick run may come late on a busy machine, but not each of a command.
    alike = [trials[one] for one in trials._results if one.command == case.command]
    assert any(0 < len(cycle.after) < len(one.needed) for one in alike for cycle in one.cycles)


# Two at once, and too little room


COMMANDS = [
    pytest.param(("get", "--granularity", "instance"), id="get one by one"),
    pytest.param(("get",), id="get at once"),
    pytest.param(("get", "--durability", "none"), id="get, not durable"),
    pytest.param(("get", "--zip"), id="get a zip"),
    pytest.param(("dump",), id="dump"),
]


def words_for(command: tuple[str, ...], mock: Mock, out: Path) -> tuple[str, ...]:
    name, *further = command
    source = (mock.url, "--study") if name == "get" else ("-w", mock.url, "-s")
    return (name, *source, SMALL.uid, "-o", str(out), *further)


def count_whole(command: tuple[str, ...], out: Path) -> int:
    """Return how many results are there; whatever has a final name has to be whole."""
    if "--zip" in command:
        archives = [zipfile.ZipFile(path) for path in out.iterdir()]
        assert all(archive.testzip() is None for archive in archives)
        return sum(len(archive.namelist()) for archive in archives)
    if command[0] == "get":
        return len(true_instances(out, SMALL))
    found = files_below(out)
    for name, content in found.items():
        if name.endswith("/frames/1"):
            uid = name.split("/")[-3]
            assert SMALL.frames[uid][0] in content, f"{name} is torn"
    return sum(name + RECORD in found for name in found)


def count_wanted(command: tuple[str, ...]) -> int:
    return 2 * len(SMALL.instances) + 2 if command[0] == "dump" else len(SMALL.instances)


@pytest.mark.parametrize("command", COMMANDS)
def test_two_runs_into_one_folder_share_it(
    portal: BlockingPortal, tmp_path: Path, command: tuple[str, ...]
) -> None:
    with portal_mock(portal, SMALL) as mock, ThreadPoolExecutor(2) as pool:
        # Slow answers, so that both are at it all the time.
        mock.set_faults("delay:study+instance+frame:s=0.002")
        words = words_for(command, mock, tmp_path)
        both = [pool.submit(cli, *words) for _ in range(2)]
        for one in both:
            assert one.result().code == 0, one.result().err
    assert count_whole(command, tmp_path) == count_wanted(command)
    assert not list(tmp_path.rglob(f"{OURS}*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for half of the study; needs root."""
    path = tmp_path / "disk"
    path.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mounting, check=False).returncode != 0:
        pytest.skip("may not mount")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_ends_the_run_and_the_next_one_completes(
    portal: BlockingPortal, small_disk: Path, command: tuple[str, ...]
) -> None:
    with portal_mock(portal, SMALL) as mock:
        words = words_for(command, mock, small_disk)
        full = cli(*words)
        asked = mock.new_requests()
        assert full.code == 3
        assert "no space" in full.last_line
        assert "free some, then run again" in full.last_line
        assert "Traceback" not in full.err
        there = count_whole(command, small_disk)
        assert there < count_wanted(command)
        # Nothing is asked for that cannot be kept: what is stored, what was under way.
        assert len(asked) <= there + IN_FLIGHT + 4
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        again = cli(*words)
        assert again.code == 0, again.err
    assert count_whole(command, small_disk) == count_wanted(command)
    assert not list(small_disk.rglob(f"{OURS}*"))
