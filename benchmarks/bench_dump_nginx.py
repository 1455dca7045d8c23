"""`dump` over HTTP/2 and TLS from nginx, beside C, Rust, Python and Node on the same URLs.

    python -m benchmarks.bench_dump_nginx [--size 512k|4k|both] [--short]

h2load and the bare pyreqwest loop write nothing. The second pyreqwest loop hashes and
writes, and does nothing else: what one Python process can reach here. httpx and got
write body and record as `dump` does, but prove nothing. Slow contenders get the first part of the
list: rates are compared, not times.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import (
    ASYNCDICOM,
    Contender,
    Job,
    Results,
    Settings,
    Target,
    Verdict,
    bytes_ratio,
    json_seconds,
    parse_arguments,
    print_machine,
    print_results,
    print_verdicts,
    race,
    requests_ratio,
)
from tests.support.datasets import SliceStudy
from tests.support.nginx import Nginx, running_nginx
from tests.support.static_tree import StaticTree

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

CONCURRENCY = 32
H2LOAD_TUNED = "h2load, windows 1 MB and 16 MB"
H2LOAD_PLAIN = "h2load, its default windows"
PYREQWEST = "pyreqwest, bare loop"
FLOOR = "pyreqwest, hashed and written"
HTTPX = "httpx, body and record"
GOT = "got, body and record"
DUMP = "asyncdicom dump"


@dataclass(frozen=True, slots=True)
class Workload:
    """A study, and how much of it slow contenders get."""

    study: SliceStudy
    slow_request_count: int
    verdicts: tuple[tuple[str, str, float], ...]
    """Claim, peer, and what the ratio has to reach."""
    ratio: Callable[[Results, str, str], float | None]


def workloads(*, is_short: bool) -> dict[str, Workload]:
    """Return the two sizes; large enough that the start of a process is a small part."""
    large = SliceStudy(number=1, instance_count=600 if is_short else 1500)
    small = SliceStudy(number=2, instance_count=4000 if is_short else 10_000, rows=32, columns=64)
    return {
        "512k": Workload(
            large,
            120 if is_short else 300,
            (
                ("MB/s, share of h2load", H2LOAD_TUNED, 0.5),
                ("MB/s, times httpx", HTTPX, 8),
                ("MB/s, times got", GOT, 5),
            ),
            bytes_ratio,
        ),
        "4k": Workload(
            small,
            1000 if is_short else 2000,
            (
                ("requests/s, share of pyreqwest", PYREQWEST, 0.22),
                ("requests/s, times httpx", HTTPX, 4),
            ),
            requests_ratio,
        ),
    }


@dataclass(frozen=True, slots=True)
class Arena:
    """The server, the list of URLs, and how to shorten it."""

    folder: Path
    nginx: Nginx
    tree: StaticTree
    study_instance_uid: str
    paths: Sequence[str]

    def job(self, count: int | None = None) -> Job:
        """Count requests and bytes of the first paths."""
        chosen = self.paths[:count]
        root = self.tree.root / "dicom-web"
        return Job(len(chosen), sum((root / f"{path}.body").stat().st_size for path in chosen))

    def url_file(self, count: int | None = None) -> Path:
        """Write the first URLs to a file."""
        file = self.folder / f"urls-{count}"
        file.write_text("\n".join(f"{self.nginx.https_url}/{p}" for p in self.paths[:count]))
        return file

    def contender(self, name: str, *program: str, count: int | None, writes: bool) -> Contender:
        """Return one of our small clients as a contender."""
        job = self.job(count)
        urls = str(self.url_file(count))
        ca_file = str(self.nginx.ca_file)
        return Contender(
            name,
            lambda folder: [*program, urls, str(folder), ca_file, str(CONCURRENCY)],
            job,
            seconds=json_seconds,
            expected_files=2 * job.request_count if writes else None,
        )


def contenders(arena: Arena, slow_count: int) -> list[Contender]:
    """Return ours first, then the peers."""
    found = [
        _dump(arena),
        _h2load(arena, H2LOAD_TUNED, "-w20", "-W24"),
        _h2load(arena, H2LOAD_PLAIN),
        arena.contender(PYREQWEST, *_client("pyreqwest_loop"), count=None, writes=False),
        arena.contender(FLOOR, *_client("pyreqwest_dump"), count=None, writes=True),
        arena.contender(HTTPX, *_client("httpx_dump"), count=slow_count, writes=True),
    ]
    script = _got_script(arena.folder.parent)
    if script is not None:
        found.append(arena.contender(GOT, "node", str(script), count=2 * slow_count, writes=True))
    return found


def _dump(arena: Arena) -> Contender:
    job = arena.job()
    return Contender(
        DUMP,
        lambda folder: [
            *(*ASYNCDICOM, "dump", "-w", arena.nginx.https_url, "-s", arena.study_instance_uid),
            *("-o", str(folder), "-c", str(CONCURRENCY)),
            *("--cacert", str(arena.nginx.ca_file), "--quiet", "--json"),
        ],
        job,
        seconds=json_seconds,
        expected_files=2 * job.request_count,
        probe=(*ASYNCDICOM, "dump", "--help"),
    )


def _h2load(arena: Arena, name: str, *windows: str) -> Contender:
    job = arena.job()
    command = [
        *("h2load", "-c1", f"-m{CONCURRENCY}", f"-n{job.request_count}"),
        *("-i", str(arena.url_file()), *windows),
    ]
    return Contender(name, lambda _folder: command, job, seconds=_h2load_seconds)


def _h2load_seconds(output: str) -> float:
    """Find the seconds in `finished in 406.82ms, ...`; an answer other than 2xx is no result."""
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", output)
    found = re.search(r"finished in ([\d.]+)(ms|us|s)", output)
    if not found or not failed or any(int(count) for count in failed.groups()):
        sys.exit(f"h2load failed:\n{output}")
    return float(found[1]) * {"s": 1, "ms": 1e-3, "us": 1e-6}[found[2]]


def _client(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"benchmarks.clients.{name}")


def _got_script(folder: Path) -> Path | None:
    """Install got below the benchmark's folder; None where Node or npm is missing."""
    place = folder / "node"
    place.mkdir(exist_ok=True)
    script = place / "got_dump.mjs"
    shutil.copy(Path(__file__).parent / "clients" / script.name, script)
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    if not (place / "node_modules" / "got").exists():
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "got@14"]
        if subprocess.run(command, cwd=place, check=False, capture_output=True).returncode:
            print("left out, npm cannot install it: got")
            return None
    return script


def bench(name: str, workload: Workload, settings: Settings) -> int:
    """Race over one size."""
    folder = settings.folder / name
    folder.mkdir()
    tree = StaticTree(folder / "root")
    paths = tree.add(workload.study)
    with running_nginx(folder, tree.root) as nginx:
        arena = Arena(folder, nginx, tree, workload.study.study_instance_uid, paths)
        results = race(contenders(arena, workload.slow_request_count), settings)
    job = arena.job()
    print_results(
        results,
        f"{name}: {job.request_count} requests, {job.body_bytes / 1e6:.0f} MB, "
        f"{CONCURRENCY} at once on one connection, {settings.repetitions} repetitions",
    )
    return print_verdicts(
        [
            Verdict(claim, workload.ratio(results, DUMP, peer), Target(at_least=floor))
            for claim, peer, floor in workload.verdicts
        ]
    )


def main() -> int:
    """Run the sizes that were asked for."""
    settings = parse_arguments("dump over HTTP/2 from nginx, beside its peers", _add_options)
    print_machine("dump over HTTP/2 and TLS from nginx", settings, "pyreqwest", "httpx", "uvloop")
    chosen = workloads(is_short=settings.is_short)
    sizes = list(chosen) if settings.options.size == "both" else [settings.options.size]
    try:
        return max(bench(size, chosen[size], settings) for size in sizes)
    finally:
        shutil.rmtree(settings.folder)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=["512k", "4k", "both"], default="both")


if __name__ == "__main__":
    sys.exit(main())
