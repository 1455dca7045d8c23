"""Memory does not grow with an object: one of a gigabyte through C-GET.

    python -m benchmarks.bench_dimse_memory [--gigabytes 1] [--short]

The archive is a scripted one of ours (`clients/serve_multiframe.py`), which makes the pixels
while it sends them: no archive at hand holds such an object without as much memory.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.child import Sample, run
from benchmarks.clients.serve_multiframe import STUDY
from benchmarks.common import (
    ASYNCDICOM,
    DISK,
    MB,
    Settings,
    Target,
    Verdict,
    parse_arguments,
    print_machine,
    print_verdicts,
)
from tests.support.processes import accepts_connections, free_port, stop, wait_until

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

PEAK_MB = 90


def fetch(settings: Settings, megabytes: int, engine: str) -> list[Verdict]:
    """Get the object once, and judge size and memory."""
    with serving(settings.folder, megabytes) as port:
        output_folder = Path(tempfile.mkdtemp(dir=settings.folder))
        sample = run(
            [
                *(*ASYNCDICOM, "get", f"dicom://ARCHIVE@127.0.0.1:{port}", "--study", STUDY),
                *("-o", str(output_folder), "-q", "--dimse-engine", engine),
            ]
        )
    stored_bytes = sum(path.stat().st_size for path in output_folder.iterdir())
    shutil.rmtree(output_folder)
    print(f"\n{engine}: {stored_bytes / MB:.0f} MB stored")
    print_timeline(sample)
    return [
        Verdict(f"{engine}: MB stored", stored_bytes / MB, Target(at_least=megabytes)),
        Verdict(f"{engine}: peak MB", sample.peak_rss_bytes / MB, Target(at_most=PEAK_MB)),
    ]


@contextmanager
def serving(folder: Path, megabytes: int) -> Iterator[int]:
    """Run the archive in a process of its own; yield its port."""
    port = free_port()
    log = folder / "archive.log"
    module = "benchmarks.clients.serve_multiframe"
    with log.open("wb") as sink:
        command = [sys.executable, "-m", module, str(port), str(megabytes)]
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        wait_until(lambda: accepts_connections(port), process, deadline_s=20, log=log)
        yield port
    finally:
        stop(process)


def print_timeline(sample: Sample) -> None:
    """Print the resident size at eight moments."""
    timeline = sample.rss_timeline
    moments = [timeline[index * (len(timeline) - 1) // 7] for index in range(8)]
    shown = " ".join(f"{rss / MB:.0f}@{at_s:.1f}s" for at_s, rss in moments)
    print(f"{sample.wall_s:.1f} s, peak {sample.peak_rss_bytes / MB:.0f} MB; MB over time: {shown}")


def main() -> int:
    """Measure the native engine, as often as asked for."""
    settings = parse_arguments("memory of get with DIMSE", _add_options)
    print_machine("Memory with DIMSE", settings, "uvloop")
    megabytes = 200 if settings.is_short else round(settings.options.gigabytes * 1000)
    try:
        verdicts = [
            verdict
            for _ in range(settings.repetitions)
            for verdict in fetch(settings, megabytes, settings.options.engine)
        ]
    finally:
        shutil.rmtree(settings.folder)
    return print_verdicts(verdicts)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(folder=DISK, repetitions=1)
    parser.add_argument("--gigabytes", type=float, default=1, metavar="N", help="default: 1")
    parser.add_argument("--engine", choices=["native", "pynetdicom"], default="native")


if __name__ == "__main__":
    sys.exit(main())
