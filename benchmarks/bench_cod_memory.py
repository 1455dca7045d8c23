"""Memory does not grow with an archive: 5 GB of a Cloud-Optimized DICOM store through `cod get`.

    python -m benchmarks.bench_cod_memory [--gigabytes 5] [--short]

The archive of one series is made while it is sent, so it is nowhere; the instances of
512 KB are stored, read again by a second run, and removed.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c

from asyncdicom.model import Uid
from asyncdicom.protocol.cod.places import CodRoot, member_of, metadata_key, tar_key
from benchmarks.bench_memory import growth_mb, print_timeline
from benchmarks.child import run
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
from tests.support.gcs_scripted import BUCKET, Made, ScriptedGcs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from tests.support.datasets import SampleInstance

BLOCK_BYTES = 512
HEADER_BYTES = 3 * BLOCK_BYTES
"""An extended header, its records, and the header: what the writer puts before each member."""
END = bytes(2 * BLOCK_BYTES)
ROOT = CodRoot(BUCKET, "dicomweb")
PEAK_MB = 120


class Series:
    """One series as objects of a store."""

    def __init__(self, instance_count: int) -> None:
        self.study = SliceStudy(number=1, instance_count=instance_count)
        self.byte_count = 0
        self._entries: dict[str, Any] = {}
        for instance in self.study.instances():
            self._add(instance)
        self._series = Uid(instance.series_instance_uid)

    def objects(self) -> dict[str, bytes | Made]:
        """Return content by key."""
        study = Uid(self.study.study_instance_uid)
        document = {
            "study_uid": study,
            "series_uid": self._series,
            "cod": {"instances": self._entries},
        }
        return {
            metadata_key(ROOT, study, self._series): gzip.compress(json.dumps(document).encode()),
            tar_key(ROOT, study, self._series): Made(self.byte_count + len(END), self._pieces),
        }

    def _add(self, instance: SampleInstance) -> None:
        uid, content = Uid(instance.sop_instance_uid), instance.content
        study, series = Uid(instance.study_instance_uid), Uid(instance.series_instance_uid)
        start = self.byte_count + HEADER_BYTES
        crc32c = google_crc32c.value(content).to_bytes(4, "big")
        self._entries[uid] = {
            "instance_uid": uid,
            "series_uid": series,
            "study_uid": study,
            "has_pixeldata": True,
            "metadata": base64.b64encode(instance.metadata).decode(),
            "uri": f"gs://{BUCKET}/{tar_key(ROOT, study, series)}://{member_of(uid)}",
            "headers": {"start_byte": start, "end_byte": start + len(content)},
            "offset_tables": {},
            "crc32c": base64.b64encode(crc32c).decode(),
            "size": len(content),
            "version": "2.0",
        }
        self.byte_count = start + len(content) + -len(content) % BLOCK_BYTES

    def _pieces(self) -> Iterator[bytes]:
        for instance in self.study.instances():
            info = tarfile.TarInfo(member_of(Uid(instance.sop_instance_uid)))
            info.size = len(instance.content)
            info.pax_headers = {"mtime": "1767225600.123456789"}
            yield info.tobuf(tarfile.PAX_FORMAT)
            yield instance.content
            yield bytes(-len(instance.content) % BLOCK_BYTES)
        yield END


class FirstFile(threading.Thread):
    """Watches when the first file appears below a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.after_s: float | None = None
        self._folder = folder
        self._begun_s = time.perf_counter()

    def run(self) -> None:
        """Look until there is one."""
        while self.after_s is None:
            if any(self._folder.rglob("*.dcm")):
                self.after_s = time.perf_counter() - self._begun_s
            time.sleep(0.02)


def fetch(settings: Settings) -> list[Verdict]:
    """Fetch a series of many gigabytes in one stream."""
    gigabytes = 0.5 if settings.is_short else settings.options.gigabytes
    series = Series(int(gigabytes * 1e9 / (512 * 1024)))
    folder = Path(tempfile.mkdtemp(dir=settings.folder))
    with ScriptedGcs(series.objects()) as gcs:
        command = [
            *(*ASYNCDICOM, "cod", "get", f"cod+{gcs.url}/{BUCKET}?token=sesame"),
            *("--study", series.study.study_instance_uid, "-o", str(folder), "-q"),
        ]
        watch = FirstFile(folder)
        watch.start()
        sample = run(command)
        stored = sum(len(files) for _, _, files in os.walk(folder))
        again = run(command)
    shutil.rmtree(folder)
    print(f"\ncod get: {stored} of {series.study.instance_count} instances, {gigabytes:g} GB")
    print_timeline(sample)
    print(f"first instance on disk after {watch.after_s or 0:.2f} s of {sample.wall_s:.1f} s")
    print(f"second run, nothing to fetch: {again.wall_s:.1f} s")
    print_timeline(again)
    share = (watch.after_s or sample.wall_s) / sample.wall_s
    return [
        Verdict("instances stored of a series", stored / series.study.instance_count, Target(1)),
        Verdict("peak MB of cod get", sample.peak_rss_bytes / MB, Target(at_most=PEAK_MB)),
        Verdict("MB by which it grew in its second half", growth_mb(sample), Target(at_most=15)),
        Verdict("share of the time until the first instance", share, Target(at_most=0.5)),
        Verdict("peak MB of a second run", again.peak_rss_bytes / MB, Target(at_most=PEAK_MB)),
    ]


def main() -> int:
    """Run with one server."""
    settings = parse_arguments("memory of cod get", _add_options)
    print_machine("Memory, Cloud-Optimized DICOM", settings, "pyreqwest", "uvloop")
    try:
        verdicts = fetch(settings)
    finally:
        shutil.rmtree(settings.folder)
    return print_verdicts(verdicts)


def _add_options(parser: argparse.ArgumentParser) -> None:
    # Some gigabytes at once belong on a disk.
    parser.set_defaults(folder=DISK)
    parser.add_argument("--gigabytes", type=float, default=5, metavar="N", help="default: 5")


if __name__ == "__main__":
    sys.exit(main())
