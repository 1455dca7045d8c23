"""CPU per file of the Part 10 walker, fed in chunks as the network delivers them.

    python benchmarks/bench_part10.py [--repetitions 7]

Claim: at most 120 µs for a CT of 512 KB in chunks of 64 or 128 KiB, 60 µs for one of 1 KB.
pydicom's reading of the same bytes, pixels left alone, runs beside it.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import sys
import time
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import pydicom

sys.path.insert(0, str(Path(__file__).parent.parent))

from asyncdicom.protocol.part10 import Part10Walker
from tests.support import dicom

PER_REPETITION = 300
KIB = 1024


def chunked(content: bytes, chunk_bytes: int) -> list[bytes]:
    return [content[i : i + chunk_bytes] for i in range(0, len(content), chunk_bytes)]


def walk(chunks: list[bytes]) -> None:
    walker = Part10Walker()
    for chunk in chunks:
        walker.receive_data(chunk)
    walker.receive_eof()


def read_with_pydicom(chunks: list[bytes]) -> None:
    pydicom.dcmread(BytesIO(b"".join(chunks)))


def cpu_per_file_s(job: object, chunks: list[bytes], count: int) -> float:
    assert callable(job)
    begin = time.process_time()
    for _ in range(count):
        job(chunks)
    return (time.process_time() - begin) / count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--short", action="store_true", help="3 repetitions")
    options = parser.parse_args()
    repetitions = 3 if options.short else options.repetitions
    large = dicom.ct(rows=512, columns=512)
    cases = [
        ("CT 512 KB, 64 KiB chunks", large, 64 * KIB),
        ("CT 512 KB, 128 KiB chunks", large, 128 * KIB),
        ("CT 1 KB, one chunk", dicom.ct(), 64 * KIB),
        ("CT 1 KB, 100-byte chunks", dicom.ct(), 100),
        ("multi-frame JPEG 2000, 1,000 frames", dicom.encapsulated(frames=1000), 64 * KIB),
        ("deflated CT 512 KB", dicom.ct(
            rows=512, columns=512, transfer_syntax_uid="1.2.840.10008.1.2.1.99"), 64 * KIB),
    ]  # fmt: skip
    print(f"{platform.platform()}, Python {platform.python_version()},", end=" ")
    print(f"pydicom {version('pydicom')}; {repetitions} x {PER_REPETITION} files")
    for name, content, chunk_bytes in cases:
        chunks = chunked(content, chunk_bytes)
        ours = [cpu_per_file_s(walk, chunks, PER_REPETITION) * 1e6 for _ in range(repetitions)]
        peer = cpu_per_file_s(read_with_pydicom, chunks, 20) * 1e6
        print(
            f"{name:38} {len(content):>8} bytes: median {statistics.median(ours):7.1f} µs"
            f" ({min(ours):.1f} to {max(ours):.1f}); pydicom {peer:.0f} µs"
        )
    print(f"peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB:.0f} MiB")


if __name__ == "__main__":
    main()
