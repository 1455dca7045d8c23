"""Objects of an S3 server to files, beside s5cmd and the command of idc-index.

    python -m benchmarks.bench_objects [--repetitions 5] [--short] [--part collections]...

Two whole collections of the Imaging Data Commons (1,258 objects and 298 MB; 2,816 and 246 MB),
with the sizes that its index says, behind rclone's server of S3; one object of 182 MB; 4,074
small objects (13 KB) through a relay that adds 50 ms to each round trip; a second run with
nothing to do; and questions to the real index (74 MB). Far stores are reached by TLS: there a
new connection is two round trips more. Without TLS it is one more, which stands beside.

The whole life of each process counts, as nobody here says how long it took without its start.
We walk every file as DICOM, compare it with what index and list say, and give it its name when
it is whole; s5cmd compares nothing. Neither side waits for the disk (`batch`, our default,
stands beside). In front of the races one run of ours is compared byte by byte. rclone without
ETags is what compares clients: to make them, it reads every file twice. The same with MD5
ETags, which we compare with the bytes and s5cmd does not, stands beside.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from benchmarks.child import run
from benchmarks.common import (
    ASYNCDICOM,
    MB,
    Contender,
    Job,
    Result,
    Results,
    Settings,
    Target,
    Verdict,
    bytes_ratio,
    parse_arguments,
    print_machine,
    print_results,
    print_verdicts,
    race,
)
from benchmarks.delay_relay import delayed, prove
from benchmarks.object_arena import FOLDER, Arena, Workload, running_arena
from tests.support.idc_layout import big_series, collection
from tests.support.s5cmd import s5cmd_command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.idc_layout import IdcSeries

    Verdicts: TypeAlias = list[Verdict]

COLLECTIONS = ("prostate_3t", "qin_pet_phantom")
SMALL = "small objects"
"""Both collections, a tenth as large: 13 KB, so that what counts is the way, not the bytes."""
SYNCED = "prostate_3t"
"""64 series: as many lists are asked for."""
LARGE = "one object of 182 MB"

GET = "asyncdicom get"
GET_SYNCED = "asyncdicom get, synced"
IDC_GET = "asyncdicom idc get"
S5CMD = "s5cmd cp"
S5CMD_RUN = "s5cmd run"
IDC_INDEX = "idc download"
AGAIN = "asyncdicom idc get again"
AGAIN_NOTED = "asyncdicom idc get --catalog again"
SYNC = "s5cmd sync BUCKET"
SYNC_OF_SERIES = "s5cmd run, sync of each series"

DELAY_S = 0.025
"""In each direction."""
FAR_WORKERS = 64
SHORT_REPETITIONS = 3
SLOW_REPETITIONS = 2
"""Of who takes ten times as long."""


class Ground:
    """The settings, and the workloads that were written so far."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._workloads: dict[str, Workload] = {}

    def arena(
        self, name: str, *, etag_hash: str = "none", speaks_tls: bool = False
    ) -> AbstractContextManager[Arena]:
        """Serve a collection, or the large object."""
        if name not in self._workloads:
            series = series_of(name)
            scale = 0.1 if name == SMALL else 1.0
            written = Workload.written(self.settings.folder, name, series, scale=scale)
            self._workloads[name] = written
        return running_arena(
            self.settings.folder,
            self._workloads[name],
            etag_hash=etag_hash,
            speaks_tls=speaks_tls,
        )

    def race(
        self, contenders: list[Contender], title: str, *, repetitions: int | None = None
    ) -> dict[str, Result]:
        """Race, and print what was found."""
        count = min(repetitions or sys.maxsize, self.settings.repetitions)
        results = race(contenders, replace(self.settings, repetitions=count))
        print_results(results, f"{title}, {count} repetitions")
        return results


def collections(ground: Ground) -> Verdicts:
    """Fetch whole collections."""
    verdicts: Verdicts = []
    for name in COLLECTIONS:
        with ground.arena(name) as arena:
            require_whole(arena, ground.settings.folder)
            contenders = [
                arena.ours(GET, *arena.get_words(FOLDER)),
                arena.s5cmd_cp(S5CMD),
                arena.ours(IDC_GET, *arena.idc_get_words(FOLDER)),
                arena.s5cmd_run(S5CMD_RUN),
                arena.ours(GET_SYNCED, *arena.get_words(FOLDER), "--durability", "batch"),
            ]
            results = ground.race(contenders, title_of(arena))
            slow = [arena.idc_index(IDC_INDEX)]
            results |= ground.race(slow, title_of(arena), repetitions=SLOW_REPETITIONS)
        verdicts += [
            faster(results, name, (GET, S5CMD), 0.9),
            faster(results, name, (IDC_GET, S5CMD_RUN), 0.9),
            faster(results, name, (IDC_GET, IDC_INDEX), 4),
            *(slim(results, name, ours, 120) for ours in (GET, IDC_GET)),
        ]
    return verdicts


def digests(ground: Ground) -> Verdicts:
    """Fetch collections whose ETags are digests: no target, as only we compare them."""
    for name in COLLECTIONS:
        with ground.arena(name, etag_hash="MD5") as arena:
            contenders = [arena.ours(GET, *arena.get_words(FOLDER)), arena.s5cmd_cp(S5CMD)]
            ground.race(contenders, f"{title_of(arena)}, MD5 ETags")
    return []


def large(ground: Ground) -> Verdicts:
    """Fetch one large object."""
    with ground.arena(LARGE) as arena:
        (one,) = arena.workload.layout.objects
        contenders = [
            arena.ours(GET, *arena.get_words(FOLDER, one.key)),
            arena.s5cmd(S5CMD, "cp", one.url, "./"),
        ]
        results = ground.race(contenders, title_of(arena))
    return [faster(results, LARGE, (GET, S5CMD), 1.0), slim(results, LARGE, GET, 120)]


def far(ground: Ground) -> Verdicts:
    """Fetch small objects from far away."""
    with ground.arena(LARGE) as arena, delayed(arena.port, delay_s=DELAY_S) as relay:
        (one,) = arena.workload.layout.objects
        proof = prove(relay, f"/{one.series.bucket}/{one.key}")
    print(
        f"\nthe relay: {proof.first_s * 1e3:.0f} ms to the answer on a new connection, "
        f"{proof.next_s * 1e3:.0f} ms on an open one, {proof.megabytes_per_s:.0f} MB/s on one"
    )
    results: dict[bool, Results] = {}
    for speaks_tls in (True, False):
        with (
            ground.arena(SMALL, speaks_tls=speaks_tls) as near,
            delayed(near.port, delay_s=DELAY_S) as relay,
        ):
            away = replace(near, url=relay.url.replace("http:", urlsplit(near.url).scheme + ":"))
            results[speaks_tls] = race_far(ground, away)
    return [
        Verdict("the relay: ms of a round trip", proof.next_s * 1e3, Target(at_least=50)),
        Verdict("the relay: MB/s of a connection", proof.megabytes_per_s, Target(at_least=100)),
        faster(results[True], f"{SMALL}, TLS, 50 ms away", (GET, S5CMD), 1.5),
    ]


def race_far(ground: Ground, arena: Arena) -> Results:
    """Race over a relay."""
    contenders = [
        arena.ours(GET, *arena.get_words(FOLDER), "-c", str(FAR_WORKERS)),
        arena.s5cmd_cp(S5CMD, workers=FAR_WORKERS),
    ]
    way = "TLS" if arena.ca_file else "no TLS"
    title = f"{title_of(arena)}, {way}, 50 ms away, {FAR_WORKERS} at once"
    return ground.race(contenders, title)


def again(ground: Ground) -> Verdicts:
    """Ask once more for what is there."""
    with ground.arena(SYNCED) as arena:
        there, catalog = ground.settings.folder / "there", ground.settings.folder / "catalog"
        noted = (*arena.idc_get_words(str(there)), "--catalog", str(catalog))
        run(arena.command(*noted))
        theirs = ground.settings.folder / "theirs"
        theirs.mkdir()
        sync = (*("sync", f"s3://{arena.workload.bucket}/*"), f"{theirs}/")
        run(s5cmd_command(arena.url, *sync))
        contenders = [
            arena.ours(AGAIN_NOTED, *noted),
            arena.ours(AGAIN, *arena.idc_get_words(str(there))),
            arena.s5cmd(SYNC_OF_SERIES, "run", str(arena.workload.sync_lines(theirs))),
            arena.s5cmd(SYNC, *sync),
        ]
        # Nothing comes into the folder of a run: everything is in another one.
        idle = [replace(one, expected_files=None) for one in contenders]
        results = ground.race(idle, f"{title_of(arena)}, all there")
    return [faster(results, f"{SYNCED}, nothing to do", (AGAIN_NOTED, SYNC_OF_SERIES), 2)]


def index(ground: Ground) -> Verdicts:
    """Ask the real index."""
    questions = {
        "idc select": ("select", "--collection-id", "prostate_3t"),
        "idc estimate": ("estimate", "--collection-id", "nlst"),
        "idc sql": ("sql", "SELECT Modality, count(*) FROM index GROUP BY 1 ORDER BY 2 DESC"),
    }
    contenders = [question(name, words) for name, words in questions.items()]
    results = ground.race(contenders, "questions to the index of 74 MB")
    return [
        *(brief(results, name, 1) for name in results),
        *(slim(results, "the index", name, 200) for name in results),
    ]


PARTS: dict[str, Callable[[Ground], Verdicts]] = {
    "collections": collections,
    "digests": digests,
    "large": large,
    "far": far,
    "again": again,
    "index": index,
}


def series_of(name: str) -> list[IdcSeries]:
    """Return what a workload consists of."""
    if name == LARGE:
        return [big_series()]
    names = COLLECTIONS if name == SMALL else (name,)
    return [series for one in names for series in collection(one)]


def question(name: str, words: tuple[str, ...]) -> Contender:
    """Return a question; it leaves no files."""
    command = (*ASYNCDICOM, "idc", *words)
    return Contender(name, lambda _folder: command, Job(1, 0), probe=(*ASYNCDICOM, "--help"))


def require_whole(arena: Arena, folder: Path) -> None:
    """Fetch once, and compare every byte.

    Raises:
        SystemExit: If a file is missing, differs, or is one too many.

    """
    for words in (arena.get_words, arena.idc_get_words):
        place = folder / "whole"
        run(arena.command(*words(str(place))))
        if not arena.workload.is_whole_in(place):
            sys.exit(f"{words(FOLDER)} did not bring what is there")
        shutil.rmtree(place)


def title_of(arena: Arena) -> str:
    """Say what is fetched."""
    job = arena.workload.job
    return f"{arena.workload.name}: {job.request_count} objects, {job.body_bytes / MB:.0f} MB"


def faster(results: Results, what: str, names: tuple[str, str], at_least: float) -> Verdict:
    """Return the verdict on how often as fast as another one we are."""
    ours, theirs = names
    if ours not in results or theirs not in results:
        ratio = None
    elif len(results[ours].seconds) == len(results[theirs].seconds):
        ratio = bytes_ratio(results, ours, theirs)
    else:
        ratio = results[theirs].median_s / results[ours].median_s
    return Verdict(f"{what}: {ours}, times {theirs}", ratio, Target(at_least=at_least))


def slim(results: Results, what: str, name: str, most_megabytes: float) -> Verdict:
    """Return the verdict on the peak memory of all processes."""
    peak = results[name].peak_rss_bytes / MB if name in results else None
    return Verdict(f"{what}: peak MB of {name}", peak, Target(at_most=most_megabytes))


def brief(results: Results, name: str, most_s: float) -> Verdict:
    """Return the verdict on seconds."""
    return Verdict(f"{name}: seconds", results[name].median_s, Target(at_most=most_s))


def main() -> int:
    """Run the parts that were asked for."""
    settings = parse_arguments("objects of S3, beside s5cmd and idc-index", _add_options)
    if settings.is_short:
        settings = replace(settings, repetitions=min(settings.repetitions, SHORT_REPETITIONS))
    print_machine("Objects of an S3 server", settings, "pyreqwest", "duckdb", "idc-index-data")
    ground = Ground(settings)
    try:
        verdicts = [
            verdict
            for part in settings.options.part or list(PARTS)
            for verdict in PARTS[part](ground)
        ]
    finally:
        shutil.rmtree(settings.folder)
    return print_verdicts(verdicts)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", action="append", choices=list(PARTS), help="default: all")


if __name__ == "__main__":
    sys.exit(main())
