"""`dump -i` of a CT study from a real Orthanc, beside a dump that asks for one thing at a time.

    python -m benchmarks.bench_orthanc [--instances 300] [--short]

Both ask for the same: metadata of study, series and instances, every instance and
every frame, and write body and record. The peer accepts gzip, as dicomweb-dump does.
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
    json_seconds,
    parse_arguments,
    print_machine,
    print_results,
    print_verdicts,
    race,
    requests_ratio,
)
from tests.support.datasets import SliceStudy
from tests.support.orthanc import Orthanc, running_orthanc

if TYPE_CHECKING:
    import argparse

DUMP = "asyncdicom dump -i"
SEQUENTIAL = "one at a time, with gzip"


def paths_of(study: SliceStudy) -> list[str]:
    """List what a dump with instances asks for."""
    root = f"studies/{study.study_instance_uid}"
    paths = [f"{root}/metadata"]
    seen = set()
    for instance in study.instances():
        series = f"{root}/series/{instance.series_instance_uid}"
        if series not in seen:
            seen.add(series)
            paths.append(f"{series}/metadata")
        path = f"{series}/instances/{instance.sop_instance_uid}"
        paths += [f"{path}/metadata", path, f"{path}/frames/1"]
    return paths


def contenders(orthanc: Orthanc, study: SliceStudy, settings: Settings) -> list[Contender]:
    """Return ours and the peer."""
    paths = paths_of(study)
    # Frames and instances; metadata is small beside them.
    pixels_bytes = 2 * study.rows * study.columns * study.instance_count
    job = Job(len(paths), 2 * pixels_bytes)
    url_file = settings.folder / "urls"
    url_file.write_text("\n".join(f"{orthanc.dicomweb_url}/{path}" for path in paths))
    sequential = (sys.executable, "-m", "benchmarks.clients.sequential_dump", str(url_file))
    return [
        Contender(
            DUMP,
            lambda folder: [
                *(*ASYNCDICOM, "dump", "-w", orthanc.dicomweb_url, "-i", "-q"),
                *("-s", study.study_instance_uid, "-o", str(folder)),
            ],
            job,
            expected_files=2 * job.request_count,
            probe=(*ASYNCDICOM, "dump", "--help"),
        ),
        Contender(
            SEQUENTIAL,
            lambda folder: [*sequential, str(folder), "-"],
            job,
            seconds=json_seconds,
            expected_files=2 * job.request_count,
        ),
    ]


def main() -> int:
    """Fill an archive, and race."""
    settings = parse_arguments("dump -i from Orthanc, beside one request at a time", _add_options)
    print_machine("dump -i from Orthanc", settings, "pyreqwest", "uvloop")
    count = settings.options.instances or (60 if settings.is_short else 300)
    study = SliceStudy(number=1, instance_count=count)
    try:
        with running_orthanc(settings.folder) as orthanc:
            orthanc.upload(instance.content for instance in study.instances())
            results = race(contenders(orthanc, study, settings), settings)
    finally:
        shutil.rmtree(settings.folder)
    print_results(results, f"{count} x 512 KB, as instances and as frames")
    return print_verdicts(
        [
            Verdict(
                "requests/s, times one request at a time",
                requests_ratio(results, DUMP, SEQUENTIAL),
                Target(at_least=8),
            )
        ]
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--instances", type=int, metavar="N", help="default: 300, with --short 60")


if __name__ == "__main__":
    sys.exit(main())
