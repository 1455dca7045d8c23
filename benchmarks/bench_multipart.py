"""Claim: the multipart parser does 2.5 GB/s on 512 KiB parts, and 7 µs per 1 KiB part, on one core.

    python -m benchmarks.bench_multipart

Payloads are built before the clock starts and fed in chunks of 64 KiB, as a
transport would. Peak memory is what the parser allocates on top of one payload.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
import time
import tracemalloc
from dataclasses import dataclass

from asyncdicom.protocol.multipart import MultipartParser, PartData, PayloadEnded, drain

BOUNDARY = b"0f3c2a1b-9d8e-7f60-5a4b-4c3d2e1f0a9b"
CONTENT_TYPE = "Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\n"
CHUNK_BYTES = 64 * 1024
REPETITIONS = 15


@dataclass(frozen=True, slots=True)
class Case:
    """One shape of payload."""

    name: str
    parts: int
    part_bytes: int
    varies_headers: bool = False
    boundary: bytes = BOUNDARY


CASES = (
    Case("512 KiB parts", 128, 512 * 1024),
    Case("512 KiB parts, boundary of 1 byte", 128, 512 * 1024, boundary=b"b"),
    Case("1 KiB parts, same headers", 16_384, 1024),
    Case("1 KiB parts, own headers", 16_384, 1024, varies_headers=True),
)


def build(case: Case) -> list[bytes]:
    """Return a payload of random content as chunks."""
    content = os.urandom(case.part_bytes)
    pieces = []
    for number in range(case.parts):
        location = f"Content-Location: /i/{number}\r\n" if case.varies_headers else ""
        head = f"{CONTENT_TYPE}{location}\r\n".encode()
        pieces += [b"--", case.boundary, b"\r\n", head, content, b"\r\n"]
    payload = b"".join([*pieces, b"--", case.boundary, b"--\r\n"])
    return [payload[at : at + CHUNK_BYTES] for at in range(0, len(payload), CHUNK_BYTES)]


def parse(case: Case, chunks: list[bytes]) -> int:
    """Parse a payload; return the content bytes reported."""
    parser = MultipartParser(case.boundary)
    content_bytes = 0
    ended = False
    for chunk in chunks:
        parser.receive_data(chunk)
        for event in drain(parser):
            if isinstance(event, PartData):
                content_bytes += len(event.data)
            ended = ended or isinstance(event, PayloadEnded)
    parser.receive_eof()
    if not ended:
        raise SystemExit("the benchmark broke its own payload")
    return content_bytes


def measure(case: Case) -> None:
    """Time a case and print one line."""
    chunks = build(case)
    seconds = []
    content_bytes = parse(case, chunks)
    for _ in range(REPETITIONS):
        gc.collect()
        began = time.perf_counter()
        parse(case, chunks)
        seconds.append(time.perf_counter() - began)
    tracemalloc.start()
    parse(case, chunks)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    median = statistics.median(seconds)
    print(
        f"{case.name:36s} {content_bytes / 1e6:7.1f} MB  median {median * 1e3:7.2f} ms"
        f"  [{min(seconds) * 1e3:.2f} to {max(seconds) * 1e3:.2f}]"
        f"  {content_bytes / median / 1e9:6.2f} GB/s  {median / case.parts * 1e6:7.2f} µs/part"
        f"  peak {peak_bytes / 1024:.0f} KiB"
    )


def main() -> None:
    cpus = os.cpu_count()
    print(f"{platform.machine()}, {cpus} cores, {platform.system()} {platform.release()}")
    print(f"Python {sys.version.split()[0]}; chunks of {CHUNK_BYTES // 1024} KiB;", end=" ")
    print(f"{REPETITIONS} repetitions after one to warm up; median [fastest to slowest]")
    for case in CASES:
        measure(case)


if __name__ == "__main__":
    main()
