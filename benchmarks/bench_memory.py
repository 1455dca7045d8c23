"""Memory does not grow with the study: 5 GB through `get`, and 900 MB of metadata planned.

    python -m benchmarks.bench_memory [--gigabytes 5] [--short]

The study is one multipart answer of 512 KB instances; the metadata is one JSON
array of 50,000 instances of 18 KB. Both come from nginx over HTTP/2 and TLS.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.child import Sample, run
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
from tests.support.datasets import SliceStudy
from tests.support.nginx import Nginx, running_nginx
from tests.support.static_tree import StaticTree, json_array

if TYPE_CHECKING:
    import argparse

METADATA_PER_INSTANCE_BYTES = 18_000
CHARACTERS = "A description of 50 characters, as scanners love. "


def fetch_study(settings: Settings, nginx: Nginx, tree: StaticTree) -> list[Verdict]:
    """Fetch a study of many gigabytes in one answer."""
    gigabytes = 1.0 if settings.is_short else settings.options.gigabytes
    study = SliceStudy(number=1, instance_count=int(gigabytes * 1e9 / (512 * 1024)))
    tree.add_whole(study)
    output_folder = Path(tempfile.mkdtemp(dir=settings.folder))
    sample = run(
        [
            *(*ASYNCDICOM, "get", nginx.https_url, "--study", study.study_instance_uid),
            *("--granularity", "study", "-o", str(output_folder), "-q"),
            *("--cacert", str(nginx.ca_file)),
        ]
    )
    stored = sum(len(files) for _, _, files in os.walk(output_folder))
    shutil.rmtree(output_folder)
    print(f"\nget: {stored} of {study.instance_count} instances, {gigabytes:g} GB")
    print_timeline(sample)
    return [
        Verdict("instances stored of a study", stored / study.instance_count, Target(1)),
        _peak("get of a study", sample, 120),
        Verdict("MB by which get grew in its second half", growth_mb(sample), _at_most(10)),
    ]


def plan_study(settings: Settings, nginx: Nginx, tree: StaticTree) -> list[Verdict]:
    """Plan a study from its metadata alone."""
    count = 5_000 if settings.is_short else 50_000
    comment = (CHARACTERS * 400)[:METADATA_PER_INSTANCE_BYTES]
    study = SliceStudy(
        number=2, instance_count=count, rows=1, columns=1, extra=(("TextValue", comment),)
    )
    path = f"studies/{study.study_instance_uid}/metadata"
    tree.write(path, json_array(study.instances()))
    size = (tree.root / "dicom-web" / f"{path}.body").stat().st_size
    sample = run(
        [
            *(*ASYNCDICOM, "get", nginx.https_url, "--study", study.study_instance_uid),
            *("--expect", "metadata", "--dry-run", "-o", str(settings.folder / "plan")),
            *("--cacert", str(nginx.ca_file)),
        ]
    )
    print(f"\nget --dry-run: {count} instances, {size / MB:.0f} MB of metadata")
    print(sample.output.strip().splitlines()[-1] if sample.output.strip() else "no output")
    print_timeline(sample)
    return [
        Verdict("plan says how many instances", float(names_count(sample, count)), Target(1)),
        _peak("get --dry-run", sample, 250),
    ]


def names_count(sample: Sample, count: int) -> bool:
    """Tell whether the output holds a number, with or without separators."""
    return str(count) in sample.output.replace(",", "").replace("\N{THIN SPACE}", "")


def print_timeline(sample: Sample) -> None:
    """Print the resident size at eight moments."""
    timeline = sample.rss_timeline
    moments = [timeline[index * (len(timeline) - 1) // 7] for index in range(8)]
    shown = " ".join(f"{rss / MB:.0f}@{at_s:.1f}s" for at_s, rss in moments)
    print(f"{sample.wall_s:.1f} s, peak {sample.peak_rss_bytes / MB:.0f} MB; MB over time: {shown}")


def growth_mb(sample: Sample) -> float:
    """Return how much higher the second half of a run peaked than the second quarter.

    The first quarter is left out: it holds the start and the first buffers.
    """
    sizes = [rss for _, rss in sample.rss_timeline]
    quarter = len(sizes) // 4
    return (max(sizes[2 * quarter :]) - max(sizes[quarter : 2 * quarter])) / MB


def _peak(name: str, sample: Sample, most_mb: float) -> Verdict:
    return Verdict(f"peak MB of {name}", sample.peak_rss_bytes / MB, _at_most(most_mb))


def _at_most(figure: float) -> Target:
    return Target(at_most=figure)


def main() -> int:
    """Run both with one server."""
    settings = parse_arguments("memory of get and of its plan", _add_options)
    print_machine("Memory", settings, "pyreqwest", "uvloop", "orjson")
    tree = StaticTree(settings.folder / "root")
    tree.root.mkdir()
    try:
        with running_nginx(settings.folder, tree.root) as nginx:
            verdicts = fetch_study(settings, nginx, tree) + plan_study(settings, nginx, tree)
    finally:
        shutil.rmtree(settings.folder)
    return print_verdicts(verdicts)


def _add_options(parser: argparse.ArgumentParser) -> None:
    # Ten gigabytes at once belong on a disk.
    parser.set_defaults(folder=DISK)
    parser.add_argument("--gigabytes", type=float, default=5, metavar="N", help="default: 5")


if __name__ == "__main__":
    sys.exit(main())
