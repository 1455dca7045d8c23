"""What every benchmark shares: run the contenders in turn, and say what was found.

    settings = parse_arguments("One sentence: the claim")
    results = race(contenders, settings)
    print_results(results)
    sys.exit(print_verdicts([Verdict("at least half of h2load", 0.61, Target(at_least=0.5))]))

Rules:

* Contenders run side by side in one session, in an order that turns with each
  repetition, so that a slow minute of the machine hurts all of them alike.
* Like is compared with like. Where peers say how long their run took without their start
  (h2load, our scripts), so does asyncdicom; the life of each process stands beside it.
* Bytecode is cached, as it is wherever a package was installed and has run once.
* An exit code other than 0, or fewer files than expected, is no result at all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from asyncdicom._version import __version__
from benchmarks.child import run
from tests.support.peers import PEERS, program_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.child import Sample

__all__ = [
    "ASYNCDICOM",
    "DISK",
    "MB",
    "Contender",
    "Job",
    "Result",
    "Results",
    "Settings",
    "Target",
    "Verdict",
    "bytes_ratio",
    "json_seconds",
    "parse_arguments",
    "print_machine",
    "print_results",
    "print_verdicts",
    "race",
    "requests_ratio",
]

MB = 1_000_000
"""Bytes of a megabyte, as networks and disks count."""
MEMORY = Path("/dev/shm")
"""Where files cost next to nothing: clients are compared there, not disks."""
DISK = Path(".bench")

_SCRIPT = Path(sys.executable).with_name("asyncdicom")
ASYNCDICOM: tuple[str, ...] = (
    (str(_SCRIPT),)
    if _SCRIPT.exists()
    else (sys.executable, "-c", "from asyncdicom.cli.app import main; main()")
)
"""The command as users start it; from a checkout that is not installed, what it would call."""

Results: TypeAlias = "Mapping[str, Result]"
"""By name of the contender."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long, and where."""

    repetitions: int
    is_short: bool
    folder: Path
    """For what is served and what is written; below it everything may be removed."""
    options: argparse.Namespace


@dataclass(frozen=True, slots=True)
class Job:
    """What one run of a contender moves."""

    request_count: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that does the job."""

    name: str
    command: Callable[[Path], Sequence[str]]
    """Makes the command line for an empty output folder."""
    job: Job
    seconds: Callable[[str], float] | None = None
    """Finds the seconds in what it printed; without it the life of the process counts."""
    expected_files: int | None = None
    """How many files a run leaves in its folder; None where it writes nothing."""
    probe: Sequence[str] = ()
    """Ends with 0 where the contender can be run; else its program is asked for its version."""


@dataclass(slots=True)
class Result:
    """All runs of a contender."""

    contender: Contender
    seconds: list[float] = field(default_factory=list)
    process_s: list[float] = field(default_factory=list)
    """Lives of the processes, start and end included."""
    peak_rss_bytes: int = 0
    """Of the process and those it started, together."""

    @property
    def median_s(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def megabytes_per_s(self) -> float:
        """Bodies only, in units of 10^6 bytes, at the median."""
        return self.contender.job.body_bytes / MB / self.median_s

    @property
    def requests_per_s(self) -> float:
        """At the median."""
        return self.contender.job.request_count / self.median_s


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure has to reach: a floor or a ceiling."""

    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, figure: float) -> bool:
        """Compare."""
        return (self.at_least is None or figure >= self.at_least) and (
            self.at_most is None or figure <= self.at_most
        )

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim beside what was measured."""

    claim: str
    figure: float | None
    """None where a contender is missing, so that nothing can be said."""
    target: Target


def parse_arguments(
    description: str, add_options: Callable[[argparse.ArgumentParser], object] | None = None
) -> Settings:
    """Read the options that all benchmarks have, and those of one."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--short", action="store_true", help="smaller data, for a first look")
    parser.add_argument(
        "--folder",
        type=Path,
        default=MEMORY if MEMORY.is_dir() else DISK,
        help="for data, removed afterwards; default: memory (tmpfs) where the system has it",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="TEXT",
        help="leave out contenders with this text in their name",
    )
    if add_options is not None:
        add_options(parser)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="asyncdicom-bench-", dir=options.folder.resolve()))
    return Settings(options.repetitions, options.short, folder, options)


def race(
    contenders: Sequence[Contender], settings: Settings, *, weighs_all_every_s: float = 0.01
) -> dict[str, Result]:
    """Run all contenders as often as asked for, in turning order, after one warm-up.

    A contender whose program cannot be started is named and left out.

    Args:
        contenders: Who runs.
        settings: How often, and where.
        weighs_all_every_s: As `child.run` has it.

    """
    unwanted: list[str] = settings.options.without
    able = [
        contender
        for contender in contenders
        if not any(text in contender.name for text in unwanted) and _can_start(contender)
    ]
    results = {contender.name: Result(contender) for contender in able}
    if able:
        _run_once(able[0], settings.folder, weighs_all_every_s)
    for repetition in range(settings.repetitions):
        turn = repetition % max(len(able), 1)
        for contender in able[turn:] + able[:turn]:
            sample = _run_once(contender, settings.folder, weighs_all_every_s)
            result = results[contender.name]
            find = contender.seconds
            result.seconds.append(find(sample.output) if find else sample.wall_s)
            result.process_s.append(sample.wall_s)
            result.peak_rss_bytes = max(result.peak_rss_bytes, sample.peak_of_all_bytes)
    return results


def json_seconds(output: str) -> float:
    """Find `"seconds"` in the last JSON line, as asyncdicom and `benchmarks/clients` print it."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return float(json.loads(lines[-1])["seconds"])


def bytes_ratio(results: Results, ours: str, theirs: str) -> float | None:
    """Divide our bytes per second by theirs; see `_paired`."""
    return _paired(results, ours, theirs, lambda job: job.body_bytes)


def requests_ratio(results: Results, ours: str, theirs: str) -> float | None:
    """Divide our requests per second by theirs; see `_paired`."""
    return _paired(results, ours, theirs, lambda job: job.request_count)


def _paired(results: Results, ours: str, theirs: str, amount: Callable[[Job], int]) -> float | None:
    """Return the median over the repetitions of our rate by theirs.

    Both ran within seconds of each other in each repetition, so that what else the
    machine does counts less than in a ratio of medians. None when one was left out.
    """
    if ours not in results or theirs not in results:
        return None
    mine, other = results[ours], results[theirs]
    size = amount(mine.contender.job) / amount(other.contender.job)
    pairs = zip(mine.seconds, other.seconds, strict=True)
    return statistics.median(size * their_s / our_s for our_s, their_s in pairs)


def print_machine(title: str, settings: Settings, *packages: str) -> None:
    """Print what was measured, and on what."""
    folder = settings.folder.parent
    print(f"\n## {title}\n")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    print(
        f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}"
    )
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"load before the start: {load}; a new file of 4 KB in {folder}: {_file_cost(folder)}")
    versions = [f"{name} {version(name)}" for name in packages]
    print(" · ".join([f"asyncdicom {__version__}", *versions]))
    print(" · ".join(f"{peer.name} {program_version(peer)}" for peer in PEERS))


def print_results(results: Results, note: str = "") -> None:
    """Print one line per contender."""
    if note:
        print(f"\n{note}")
    print(
        f"\n{'':<34}{'median s':>10}{'min-max':>16}{'process s':>11}"
        f"{'MB/s':>9}{'req/s':>10}{'peak MB':>9}"
    )
    for name, result in results.items():
        spread = f"{min(result.seconds):.3f}-{max(result.seconds):.3f}"
        print(
            f"{name:<34}{result.median_s:>10.3f}{spread:>16}"
            f"{statistics.median(result.process_s):>11.3f}{result.megabytes_per_s:>9.0f}"
            f"{result.requests_per_s:>10.0f}{result.peak_rss_bytes / MB:>9.0f}"
        )


def print_verdicts(verdicts: Sequence[Verdict]) -> int:
    """Print PASS or MISS per claim, and return the exit code."""
    print()
    code = 0
    for verdict in verdicts:
        if verdict.figure is None:
            print(f"----  {verdict.claim}: not measured (target {verdict.target})")
            continue
        is_met = verdict.target.is_met(verdict.figure)
        code = code if is_met else 1
        word = "PASS" if is_met else "MISS"
        print(f"{word}  {verdict.claim}: {verdict.figure:.2f} (target {verdict.target})")
    return code


def _run_once(contender: Contender, folder: Path, weighs_all_every_s: float) -> Sample:
    """Run a contender into an empty folder; remove it outside of the measured time."""
    output_folder = Path(tempfile.mkdtemp(dir=folder))
    sample = run(contender.command(output_folder), weighs_all_every_s=weighs_all_every_s)
    if contender.expected_files is not None:
        found = sum(len(files) for _, _, files in os.walk(output_folder))
        if found < contender.expected_files:
            sys.exit(f"{contender.name}: {found} of {contender.expected_files} files")
    shutil.rmtree(output_folder)
    return sample


def _can_start(contender: Contender) -> bool:
    probe = contender.probe or (contender.command(Path(os.devnull))[0], "--version")
    if shutil.which(probe[0]) is not None:
        done = subprocess.run(probe, capture_output=True, check=False)
        if done.returncode == 0:
            return True
    print(f"left out, cannot be started: {contender.name}")
    return False


def _file_cost(folder: Path) -> str:
    """Create files as a dump does, and return what one costs."""
    count = 500
    with tempfile.TemporaryDirectory(dir=folder) as place:
        start_s = time.perf_counter()
        for number in range(count):
            Path(place, str(number)).write_bytes(bytes(4096))
        return f"{(time.perf_counter() - start_s) / count * 1e6:.0f} microseconds"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
