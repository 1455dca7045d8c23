"""C-GET of a study from a real Orthanc, beside DCMTK, odil, pynetdicom and the archive's own bound.

    python -m benchmarks.bench_dimse [--repetitions 5] [--short] [--only small|large|afar]

Two studies: 1,000 x 1 KB, where the time between objects counts, and 300 x 512 KB. Peers that
take 40 to 90 ms for each object get a study of the same objects, a fifth as long, and rates are
compared. Against peers the life of each process counts, our start and our C-FIND included; as
they do, we leave the disk alone (`--durability none`), and the default stands beside. The bound
is a C-MOVE of the whole study to a receiver of ours that discards; it knows how long it took
without its start, and so do we. With -c 1 one association brings the instances while a second one
lists them. How near one Python process can come to the bound while it looks up, checks and stores
is shown by a bare loop that does nothing else, one after the other (`clients/bare_get.py`).

On one machine, several associations share its cores with the archive, and may only not be slower
than one. What they are for is distance: a C-GET waits for the peer with each object. The same
archive behind a relay, 5 ms away in each direction, shows that.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks import child
from benchmarks.common import (
    ASYNCDICOM,
    Contender,
    Job,
    Result,
    Settings,
    Target,
    Verdict,
    json_seconds,
    parse_arguments,
    print_machine,
    print_results,
    print_verdicts,
    race,
    requests_ratio,
)
from benchmarks.delay_relay import delayed
from tests.support.datasets import SliceStudy
from tests.support.orthanc import Orthanc, OrthancOptions, running_orthanc
from tests.support.processes import free_port

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

OURS = "asyncdicom get -c 1"
OURS_4 = "asyncdicom get -c 4"
SYNCED = "asyncdicom get -c 1, synced"
COMPATIBLE = "asyncdicom get -c 1, pynetdicom"
BOUND = "C-MOVE, discarded (the bound)"
BARE = "bare Python loop, same promise"
GETSCU = "getscu"
GETSCU_NODELAY = "getscu, TCP_NODELAY=1"
ODIL = "odil get"
PYNETDICOM = "pynetdicom getscu"

AE_TITLE = "ORTHANC"
OWN_AE_TITLE = "BENCHMARK"
SERIES = 4
"""Of each study: a thing to share between associations."""
SLOW_SHARE = 5
AFAR_S = 0.005
"""To the archive that is not on this machine, in each direction."""
PARTS = ("small", "large", "afar")


@dataclass(frozen=True, slots=True)
class Pair:
    """The same objects, many for who is fast and some for who is slow."""

    title: str
    all_of: SliceStudy
    some_of: SliceStudy
    has_limit: bool = False
    """Whether it is so much about the time between objects that a bare loop is shown."""


def pairs(settings: Settings) -> list[Pair]:
    """Return small objects and large ones."""
    small, large = (200, 60) if settings.is_short else (1000, 300)
    return [
        Pair(
            f"{small} x 1 KB",
            SliceStudy(1, small, SERIES, rows=16, columns=16),
            SliceStudy(2, small // SLOW_SHARE, SERIES, rows=16, columns=16),
            has_limit=True,
        ),
        Pair(
            f"{large} x 512 KB",
            SliceStudy(3, large, SERIES),
            SliceStudy(4, large // SLOW_SHARE, SERIES),
        ),
    ]


@dataclass(frozen=True, slots=True)
class Archive:
    """A running Orthanc, and where its C-MOVE goes."""

    server: Orthanc
    own_port: int
    relay_port: int = 0
    """Of a relay before it; 0 without one."""

    def ours(self, study: SliceStudy, *words: str) -> list[str]:
        """Return our command, without its folder."""
        source = f"dicom://{AE_TITLE}@127.0.0.1:{self.relay_port or self.server.dicom_port}"
        uid = study.study_instance_uid
        return [*ASYNCDICOM, "get", source, "--study", uid, "-q", "--json", *words]

    def getscu(self, study: SliceStudy, folder: Path) -> list[str]:
        """Return the command of DCMTK."""
        return [
            *("getscu", "-S", "-aec", AE_TITLE, "-od", str(folder)),
            *("-k", "0008,0052=STUDY", "-k", f"0020,000d={study.study_instance_uid}"),
            *("127.0.0.1", str(self.server.dicom_port)),
        ]

    def odil(self, study: SliceStudy, folder: Path) -> list[str]:
        """Return the command of odil."""
        return [
            *("odil", "get", "-d", str(folder), "127.0.0.1", str(self.server.dicom_port)),
            *(OWN_AE_TITLE, AE_TITLE, "study", "QueryRetrieveLevel=STUDY"),
            f"StudyInstanceUID={study.study_instance_uid}",
        ]

    def pynetdicom(self, study: SliceStudy, folder: Path) -> list[str]:
        """Return the command of pynetdicom."""
        return [
            *(sys.executable, "-m", "pynetdicom", "getscu", "-S", "-aec", AE_TITLE),
            *("-od", str(folder), "-k", "QueryRetrieveLevel=STUDY"),
            *("-k", f"StudyInstanceUID={study.study_instance_uid}"),
            *("127.0.0.1", str(self.server.dicom_port)),
        ]

    def bound(self, study: SliceStudy) -> list[str]:
        """Return the C-MOVE to a receiver that discards."""
        return [
            *(sys.executable, "-m", "benchmarks.clients.move_discarding"),
            *("127.0.0.1", str(self.server.dicom_port), AE_TITLE),
            *(OWN_AE_TITLE, str(self.own_port), study.study_instance_uid),
        ]

    def bare(self, study: SliceStudy, folder: Path) -> list[str]:
        """Return the C-GET of a loop without layers, which checks and stores as we do."""
        return [
            *(sys.executable, "-m", "benchmarks.clients.bare_get", "127.0.0.1"),
            *(str(self.server.dicom_port), AE_TITLE, study.study_instance_uid, str(folder)),
        ]


def contenders(archive: Archive, pair: Pair) -> list[Contender]:
    """Return ours, the bound, and the peers."""
    whole, part = pair.all_of, pair.some_of
    bound = Contender(BOUND, lambda _: archive.bound(whole), job_of(whole), seconds=json_seconds)
    bare = Contender(
        BARE,
        lambda folder: archive.bare(whole, folder),
        job_of(whole),
        seconds=json_seconds,
        expected_files=whole.instance_count,
        probe=(sys.executable, "--version"),
    )
    return [
        our_contender(archive, OURS, whole, "-c", "1"),
        our_contender(archive, OURS_4, whole, "-c", "4"),
        our_contender(archive, SYNCED, whole, "-c", "1", durability="batch"),
        our_contender(archive, COMPATIBLE, whole, "-c", "1", "--dimse-engine", "pynetdicom"),
        bound,
        *([bare] if pair.has_limit else []),
        Contender(
            GETSCU,
            lambda folder: archive.getscu(part, folder),
            job_of(part),
            expected_files=part.instance_count,
        ),
        Contender(
            GETSCU_NODELAY,
            lambda folder: ["env", "TCP_NODELAY=1", *archive.getscu(part, folder)],
            job_of(part),
            expected_files=part.instance_count,
            probe=("getscu", "--version"),
        ),
        Contender(
            ODIL,
            lambda folder: archive.odil(part, folder),
            job_of(part),
            expected_files=part.instance_count,
            probe=("odil", "--help"),
        ),
        Contender(
            PYNETDICOM,
            lambda folder: archive.pynetdicom(part, folder),
            job_of(part),
            expected_files=part.instance_count,
            probe=(sys.executable, "-m", "pynetdicom", "getscu", "--help"),
        ),
    ]


def our_contender(
    archive: Archive, name: str, study: SliceStudy, *words: str, durability: str = "none"
) -> Contender:
    """Return a way to run our command; without waiting for the disk, as no peer does."""
    words = (*words, "--durability", durability)
    return Contender(
        name,
        lambda folder: [*archive.ours(study, *words), "-o", str(folder)],
        job_of(study),
        seconds=json_seconds,
        expected_files=study.instance_count,
        probe=(*ASYNCDICOM, "get", "--help"),
    )


def job_of(study: SliceStudy) -> Job:
    """Return how much it is; pixels only."""
    return Job(study.instance_count, study.instance_count * study.rows * study.columns * 2)


def cpu_per_object_s(archive: Archive, pair: Pair, engine: str, settings: Settings) -> float:
    """Return the CPU time of one object more, user and system: start and lookup cancel out."""
    costs_s = []
    for _ in range(min(settings.repetitions, 3)):
        whole_s, part_s = (
            cpu_s(archive.ours(study, "-c", "1", "--dimse-engine", engine), settings)
            for study in (pair.all_of, pair.some_of)
        )
        more = pair.all_of.instance_count - pair.some_of.instance_count
        costs_s.append((whole_s - part_s) / more)
    return statistics.median(costs_s)


def cpu_s(command: Sequence[str], settings: Settings) -> float:
    """Run a command into an empty folder, and return the CPU time that it took."""
    folder = tempfile.mkdtemp(dir=settings.folder)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child.run([*command, "-o", folder])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(folder)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def judge_small(results: dict[str, Result]) -> list[Verdict]:
    """Return the verdicts on small objects."""
    limit, ours = (
        requests_ratio(results, one, other) for one, other in ((BOUND, BARE), (BARE, OURS))
    )
    if limit is not None and ours is not None:
        print(
            f"\n1 KB: the bare loop takes {limit:.2f} times the bound, we {ours:.2f} times its time"
        )
    return [
        faster(results, OURS, GETSCU, 15),
        faster(results, OURS, ODIL, 10),
        faster(results, OURS, GETSCU_NODELAY, 10),
        Verdict(
            "1 KB: seconds without start, times the bound of the archive",
            requests_ratio(results, BOUND, OURS),
            Target(at_most=1.5),
        ),
        faster(results, OURS_4, OURS, 0.95),
        faster(results, OURS, COMPATIBLE, 1),
    ]


def judge_large(results: dict[str, Result]) -> list[Verdict]:
    """Return the verdicts on large objects."""
    return [
        faster(results, OURS, GETSCU, 5, "512 KB"),
        faster(results, OURS, GETSCU_NODELAY, 1, "512 KB"),
        faster(results, OURS_4, OURS, 0.95, "512 KB"),
        faster(results, OURS, COMPATIBLE, 1, "512 KB"),
    ]


def faster(
    results: dict[str, Result], ours: str, theirs: str, at_least: float, size: str = "1 KB"
) -> Verdict:
    """Return the verdict on objects per second of the life of a process."""
    ratio = None
    if ours in results and theirs in results:
        mine, other = results[ours], results[theirs]
        share = mine.contender.job.request_count / other.contender.job.request_count
        lives = zip(mine.process_s, other.process_s, strict=True)
        ratio = statistics.median(share * their_s / our_s for our_s, their_s in lives)
    return Verdict(f"{size}: {ours}, times {theirs}", ratio, Target(at_least=at_least))


def judge_cpu(archive: Archive, pair: Pair, settings: Settings) -> Verdict:
    """Compare what an object costs in each engine."""
    native_s, other_s = (
        cpu_per_object_s(archive, pair, engine, settings) for engine in ("native", "pynetdicom")
    )
    shown = f"native {native_s * 1e6:.0f} us, pynetdicom {other_s * 1e6:.0f} us"
    print(f"\nCPU per object of 1 KB: {shown}")
    return Verdict(
        "1 KB: CPU per object, share of the pynetdicom engine's",
        native_s / other_s,
        Target(at_most=1 / 3),
    )


def judge_afar(archive: Archive, settings: Settings) -> list[Verdict]:
    """Fetch from an archive that is not on this machine, and return the verdict."""
    study = SliceStudy(5, 100 if settings.is_short else 400, SERIES, rows=16, columns=16)
    archive.server.upload(instance.content for instance in study.instances())
    with delayed(archive.server.dicom_port, delay_s=AFAR_S) as relay:
        afar = replace(archive, relay_port=relay.port)
        ways = [our_contender(afar, OURS, study, "-c", "1")]
        ways.append(our_contender(afar, OURS_4, study, "-c", "4"))
        results = race(ways, settings)
    distance = f"{AFAR_S * 1e3:g} ms away in each direction"
    print_results(results, f"{study.instance_count} x 1 KB, {SERIES} series, {distance}")
    return [faster(results, OURS_4, OURS, 2, f"1 KB, {distance}")]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let one part be run."""
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; default: all")


def main() -> int:
    """Fill an archive, and race for small objects, for large ones, and from afar."""
    settings = parse_arguments("C-GET from Orthanc", add_options)
    parts = settings.options.only or PARTS
    print_machine("C-GET from Orthanc", settings, "uvloop", "pynetdicom")
    own_port = free_port()
    options = OrthancOptions(dicom_aet=AE_TITLE, modalities=((OWN_AE_TITLE, own_port),), plugins=())
    verdicts: list[Verdict] = []
    try:
        with running_orthanc(settings.folder, options) as server:
            archive = Archive(server, own_port)
            small, large = pairs(settings)
            if "small" in parts:
                verdicts += judge_small(run_pair(archive, small, settings))
                verdicts.append(judge_cpu(archive, small, settings))
            if "large" in parts:
                verdicts += judge_large(run_pair(archive, large, settings))
            if "afar" in parts:
                verdicts += judge_afar(archive, settings)
    finally:
        shutil.rmtree(settings.folder)
    return print_verdicts(verdicts)


def run_pair(archive: Archive, pair: Pair, settings: Settings) -> dict[str, Result]:
    """Store a pair of studies, and race."""
    for study in (pair.all_of, pair.some_of):
        archive.server.upload(instance.content for instance in study.instances())
    results = race(contenders(archive, pair), settings)
    print_results(results, f"{pair.title}, {SERIES} series; slow peers: 1 of {SLOW_SHARE}")
    return results


if __name__ == "__main__":
    sys.exit(main())
