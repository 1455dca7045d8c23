"""How fast a DICOMDIR is built, and a data set is printed.

python -m benchmarks.bench_dicomdir [--instances 10000]

odil, and for the DICOMDIR dcmmkdir of DCMTK, run beside us over the same files.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.common import (
    ASYNCDICOM,
    MB,
    Contender,
    Job,
    Target,
    Verdict,
    parse_arguments,
    print_machine,
    print_results,
    print_verdicts,
    race,
    requests_ratio,
)
from tests.support import dicom
from tests.support.media import listable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import Dataset

BUILD, BUILD_ODIL, BUILD_DCMTK = "asyncdicom dicomdir", "odil dicomdir", "dcmmkdir"
PRINT, PRINT_ODIL = "asyncdicom print", "odil print"
PER_SERIES = 200


def fill(media: Path, count: int) -> int:
    """Write a study of CT slices under names for DICOM media; return the bytes of all."""
    dataset = listable(1)
    dicom.add_scanner_attributes(dataset)
    dicom.add_pixels(dataset, rows=128, columns=128)
    dataset.InstanceNumber = "123456"
    template = dicom.part10(dataset)
    instance_uid, series_uid = (dicom.uid(kind, 1).encode() for kind in ("instance", "series"))
    for number in range(count):
        folder = media / f"STUDY/SE{number // PER_SERIES:06}"
        folder.mkdir(parents=True, exist_ok=True)
        content = (
            template.replace(instance_uid, dicom.uid("instance", number).encode())
            .replace(series_uid, dicom.uid("series", number // PER_SERIES).encode())
            .replace(b"123456", f"{number:6}".encode())
        )
        (folder / f"IM{number % PER_SERIES:06}").write_bytes(content)
    return count * len(template)


def many_frames(count: int) -> Dataset:
    """Return a multi-frame image that describes each of its frames."""
    dataset = listable(1)
    frames = []
    for number in range(count):
        frame = dicom.identified(sop_class_uid="2.999.1", number=number)
        frame.PlanePositionSequence = [dicom.code("a", "b", "c")]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    return dataset


def builders(media: Path, job: Job) -> list[Contender]:
    """Return those who build a DICOMDIR; each begins without one."""
    commands = {
        BUILD: (*ASYNCDICOM, "dicomdir", str(media)),
        BUILD_ODIL: ("odil", "dicomdir", str(media), str(media)),
        BUILD_DCMTK: (
            *("dcmmkdir", "-q", "+r", "+id", str(media)),
            *("+D", str(media / "DICOMDIR")),
        ),
    }

    def command_of(words: tuple[str, ...]) -> Callable[[Path], tuple[str, ...]]:
        def command(_folder: Path) -> tuple[str, ...]:
            (media / "DICOMDIR").unlink(missing_ok=True)
            return words

        return command

    return [
        Contender(name, command_of(words), job, probe=(words[0], "--help"))
        for name, words in commands.items()
    ]


def printers(path: Path, job: Job) -> list[Contender]:
    """Return those who print a data set."""
    ours = (*ASYNCDICOM, "print", str(path))
    odil = ("odil", "print", str(path))
    return [
        Contender(PRINT, lambda _folder: ours, job, probe=(ours[0], "--help")),
        Contender(PRINT_ODIL, lambda _folder: odil, job, probe=("odil", "--help")),
    ]


def main() -> int:
    """Build, then print."""
    settings = parse_arguments("DICOMDIR and print", _add_options)
    print_machine("DICOMDIR and print", settings, "pydicom")
    count = 1000 if settings.is_short else settings.options.instances
    frames = 1000 if settings.is_short else settings.options.frames
    try:
        media = settings.folder / "media"
        built = race(builders(media, Job(count, fill(media, count))), settings)
        path = settings.folder / "frames"
        path.write_bytes(dicom.part10(many_frames(frames)))
        printed = race(printers(path, Job(frames, path.stat().st_size)), settings)
    finally:
        shutil.rmtree(settings.folder)
    print_results(built, f"{count} instances (req/s: instances per second)")
    print_results(printed, f"{frames} frames described (req/s: frames per second)")
    return print_verdicts(
        [
            Verdict("instances per second", built[BUILD].requests_per_s, Target(at_least=500)),
            Verdict("peak MB", built[BUILD].peak_rss_bytes / MB, Target(at_most=200)),
            Verdict(
                f"times {BUILD_ODIL}", requests_ratio(built, BUILD, BUILD_ODIL), Target(at_least=1)
            ),
            Verdict(
                f"times {PRINT_ODIL}",
                requests_ratio(printed, PRINT, PRINT_ODIL),
                Target(at_least=1),
            ),
        ]
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--instances", type=int, default=10_000, metavar="N", help="default: 10000")
    parser.add_argument("--frames", type=int, default=10_000, metavar="N", help="default: 10000")


if __name__ == "__main__":
    sys.exit(main())
