"""`get` of a study in one multipart answer from nginx, beside curl that only writes it down.

A pyreqwest loop that hashes and writes the answer, and proves nothing, shows what one Python
process can reach here.

    python -m benchmarks.bench_get_study [--instances N] [--short]

curl leaves one file with boundaries in it; `get` leaves one proven DICOM file per
instance. Over HTTP/2 and TLS, and over plain HTTP/1.1.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.common import (
    ASYNCDICOM,
    Contender,
    Job,
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
)
from tests.support.datasets import SliceStudy
from tests.support.nginx import Nginx, running_nginx
from tests.support.static_tree import StaticTree

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

HTTP2, HTTP1 = "HTTP/2 over TLS", "plain HTTP/1.1"
DURABILITIES = ("none", "batch")
SHARE_OF_CURL = Target(at_least=0.7)


def contenders(nginx: Nginx, study: SliceStudy, job: Job) -> list[Contender]:
    """Return both durabilities and curl, over both versions of HTTP."""
    found = []
    for label, url in ((HTTP2, nginx.https_url), (HTTP1, nginx.http_url)):
        found += [_get(label, durability, url, (nginx, study, job)) for durability in DURABILITIES]
        answer = f"{url}/studies/{study.study_instance_uid}"
        found += [_curl(label, answer, nginx, job), _floor(label, answer, nginx, job)]
    return found


def _get(label: str, durability: str, url: str, arena: tuple[Nginx, SliceStudy, Job]) -> Contender:
    nginx, study, job = arena
    command: Sequence[str] = (
        *(*ASYNCDICOM, "get", url, "--study", study.study_instance_uid),
        *("--granularity", "study", "--durability", durability, "--quiet", "--json"),
        *("--cacert", str(nginx.ca_file)),
    )
    return Contender(
        get_name(label, durability),
        lambda folder: [*command, "-o", str(folder)],
        job,
        seconds=json_seconds,
        expected_files=study.instance_count,
        probe=(*ASYNCDICOM, "get", "--help"),
    )


def get_name(label: str, durability: str) -> str:
    """Name ours in the table."""
    return f"{label}: get, {durability}"


def curl_name(label: str) -> str:
    """Name curl in the table."""
    return f"{label}: curl -o"


def _curl(label: str, url: str, nginx: Nginx, job: Job) -> Contender:
    version = "--http2" if label == HTTP2 else "--http1.1"
    timed = ("-w", '{"seconds": %{time_total}}')
    command = ("curl", "-sS", "--fail", version, "--cacert", str(nginx.ca_file), *timed, url)
    return Contender(
        curl_name(label),
        lambda folder: [*command, "-o", str(folder / "study")],
        job,
        seconds=json_seconds,
        expected_files=1,
    )


def _floor(label: str, url: str, nginx: Nginx, job: Job) -> Contender:
    def command(folder: Path) -> Sequence[str]:
        urls = folder.with_name("url")
        urls.write_text(url)
        program = (sys.executable, "-m", "benchmarks.clients.pyreqwest_dump")
        return [*program, str(urls), str(folder), str(nginx.ca_file), "1"]

    name = f"{label}: pyreqwest, hashed"
    return Contender(name, command, job, seconds=json_seconds, expected_files=2)


def bench(count: int, settings: Settings) -> int:
    """Race over one study, and compare with curl."""
    folder = settings.folder / str(count)
    folder.mkdir()
    study = SliceStudy(number=1, instance_count=count)
    tree = StaticTree(folder / "root")
    tree.add_whole(study)
    body = tree.root / "dicom-web" / "studies" / f"{study.study_instance_uid}.body"
    job = Job(request_count=1, body_bytes=body.stat().st_size)
    with running_nginx(folder, tree.root) as nginx:
        results = race(contenders(nginx, study, job), settings)
    print_results(results, f"{count} x 512 KB, {job.body_bytes / 1e6:.0f} MB in one answer")
    return print_verdicts(
        [
            Verdict(
                f"MB/s, share of curl, {get_name(label, durability)}",
                bytes_ratio(results, get_name(label, durability), curl_name(label)),
                SHARE_OF_CURL,
            )
            for label in (HTTP2, HTTP1)
            for durability in DURABILITIES
        ]
    )


def main() -> int:
    """Run each length: in a long study the start of a process counts less."""
    settings = parse_arguments("get of a study, beside curl -o", _add_options)
    print_machine("get of a study in one answer", settings, "pyreqwest", "uvloop")
    counts = settings.options.instances or ([300] if settings.is_short else [300, 1500])
    try:
        return max(bench(count, settings) for count in counts)
    finally:
        shutil.rmtree(settings.folder)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--instances",
        type=int,
        action="append",
        metavar="N",
        help="may be repeated; default: 300 and 1500, with --short 300",
    )


if __name__ == "__main__":
    sys.exit(main())
