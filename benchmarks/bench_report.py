"""Claim: `asyncdicom report` reads 20,000 records per second or more, in memory that is bounded.

    python -m benchmarks.bench_report [--records N] [--short]

Builds trees as `dump` writes them (records beside their payloads, one part per
answer) and runs the command on them in a fresh process, so that start-up and
the text itself are counted. Peak memory is that of the process. Beside it: the
same files listed and read, and parsed, without anything being learnt from them.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

ROOT = "https://archive.example/dicom-web/studies"
TARGET_PER_S = 20_000
FRAMES_PER_INSTANCE = 10
STARTED = datetime(2025, 1, 1, tzinfo=UTC)


def record(number: int, url: str) -> bytes:
    """Return a record of some 1,100 bytes."""
    first_byte = 5 + number * 7919 % 1000 / 20
    part = {
        "headers": {
            "content-type": "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.90",
            "content-location": url,
        },
        "offset": 97,
        "length": 524_288,
        "sha256": f"{number:064x}",
    }
    document = {
        "url": url,
        "request": {
            "headers": {"accept": 'multipart/related; type="application/octet-stream"'},
        },
        "response": {
            "headers": {
                "content-type": f"multipart/related; boundary={number:032x}",
                "date": "Wed, 01 Jan 2025 00:00:00 GMT",
                "server": "archive",
            },
            "statusCode": 200,
            "httpVersion": "2",
            "timeWaitingInMS": 0.2,
            "timeToFirstByteInMS": first_byte,
            "timeToLastByteInMS": first_byte + 1.5,
            "bytesDownloaded": 524_500,
        },
        "multipart": [part],
        "sha256": None,
        "attempts": 1,
        "startedAt": (STARTED + timedelta(milliseconds=number * 1.3)).isoformat(),
        "error": None,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def build(folder: Path, records: int) -> None:
    """Write a dump of frames, with empty payloads beside their records."""
    for first in range(0, records, FRAMES_PER_INSTANCE):
        uid = f"1.2.826.0.1.3680043.8.498.{first:039d}"
        frames = folder / "1.2.3" / "series" / "1.2.3.4" / "instances" / uid / "frames"
        frames.mkdir(parents=True)
        for frame in range(1, min(FRAMES_PER_INSTANCE, records - first) + 1):
            url = f"{ROOT}/1.2.3/series/1.2.3.4/instances/{uid}/frames/{frame}"
            (frames / str(frame)).touch()
            (frames / f"{frame}.dump.json").write_bytes(record(first + frame, url))


def run(code: str, *arguments: str) -> tuple[float, int]:
    """Run Python code in a fresh process; return seconds and peak memory in KiB."""
    begun_s = time.perf_counter()
    process_id = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code, *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(process_id, 0)
    if status:
        raise SystemExit(f"{code!r} ended with status {status}")
    return time.perf_counter() - begun_s, usage.ru_maxrss


REPORT = "import sys; from asyncdicom.cli.app import main; main(['report', *sys.argv[1:]])"
READ_AND_PARSE = """
import os, sys, orjson
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        if name.endswith('.dump.json'):
            with open(os.path.join(folder, name), 'rb') as file:
                orjson.loads(file.read())
"""


def measure(name: str, code: str, arguments: list[str], records: int) -> float:
    """Time a command three times and print one line; return records per second."""
    runs = [run(code, *arguments) for _ in range(3)]
    seconds = statistics.median(run[0] for run in runs)
    fastest, slowest = min(run[0] for run in runs), max(run[0] for run in runs)
    memory = max(run[1] for run in runs) / 1024
    print(
        f"{name:<34}{records:>9,} records {seconds:7.2f} s ({fastest:.2f}-{slowest:.2f})"
        f" {records / seconds:>9,.0f}/s {memory:7.1f} MiB"
    )
    return records / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--short", action="store_true", help="20,000 records")
    options = parser.parse_args()
    records = 20_000 if options.short else options.records
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="asyncdicom-bench-") as base:
        folder, tenth = Path(base, "dump"), Path(base, "tenth")
        build(folder, records)
        build(tenth, records // 10)
        measure("os.walk, open, orjson.loads", READ_AND_PARSE, [str(folder)], records)
        reached = measure("report", REPORT, [str(folder)], records)
        measure("report of a tenth", REPORT, [str(tenth)], records // 10)
        measure("report --format html", REPORT, [str(folder), "--format", "html"], records)
        measure("report --format json", REPORT, [str(folder), "--format", "json"], records)
    print(f"target: {TARGET_PER_S:,} records/s, {'met' if reached >= TARGET_PER_S else 'MISSED'}")
    return 0 if reached >= TARGET_PER_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
