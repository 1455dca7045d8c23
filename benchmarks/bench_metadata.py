"""Speed and memory of the streaming DICOM JSON reader.

    python benchmarks/bench_metadata.py [--repetitions 3] [--megabytes 900]

Claim: at least 200 MB/s on metadata as Orthanc writes it (about 18 KB of indented JSON for
a CT), and less than 40 MB of memory whatever the size of the answer. orjson over the whole
answer at once runs beside it: its speed is the ceiling, its memory what is saved.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).parent.parent))

from asyncdicom.protocol.dicom_json import NEED_DATA, JsonArraySplitter, instance_metadata

CHUNK_BYTES = 64 * 1024
MB = 1_000_000


def ct_attributes(number: int) -> dict[str, object]:
    """Return what a CT has: about 150 attributes, some of them sequences."""
    attributes: dict[str, object] = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00080018": {"vr": "UI", "Value": [f"2.999.3.{10_000_000 + number}"]},
        "0020000D": {"vr": "UI", "Value": ["2.999.1.10000001"]},
        "0020000E": {"vr": "UI", "Value": ["2.999.2.10000001"]},
        "00280010": {"vr": "US", "Value": [512]},
        "00280011": {"vr": "US", "Value": [512]},
        "00280100": {"vr": "US", "Value": [16]},
    }
    for index in range(120):
        tag = f"{0x00180010 + index * 0x10:08X}"
        attributes[tag] = {"vr": "DS", "Value": [f"{index}.5", f"{number}"]}
    for index in range(8):
        item = {"00080100": {"vr": "SH", "Value": ["1"]}, "00080104": {"vr": "LO", "Value": ["x"]}}
        attributes[f"{0x00400260 + index:08X}"] = {"vr": "SQ", "Value": [item, item]}
    attributes["7FE00010"] = {"vr": "OW", "BulkDataURI": f"../instances/{number}/bulk/7fe00010"}
    return attributes


def elements(indent: int | None, count: int) -> list[bytes]:
    separators = (",", " : ") if indent else (",", ":")
    return [
        json.dumps(ct_attributes(number), indent=indent, separators=separators).encode()
        for number in range(count)
    ]


def split(payload: bytes) -> int:
    splitter = JsonArraySplitter()
    count = 0
    for start in range(0, len(payload), CHUNK_BYTES):
        splitter.receive_data(payload[start : start + CHUNK_BYTES])
        while splitter.next_event() is not NEED_DATA:
            count += 1
    splitter.receive_eof()
    while splitter.next_event() is not NEED_DATA:
        count += 1
    return count


def speeds(job: object, payload: bytes, repetitions: int) -> list[float]:
    assert callable(job)
    found = []
    for _ in range(repetitions):
        begin = time.process_time()
        job(payload)
        found.append(len(payload) / MB / (time.process_time() - begin))
    return found


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024**2


def stream(item: bytes, total_bytes: int) -> tuple[int, float, float]:
    """Push an answer of any size through; returns elements, seconds, growth of the peak in MiB."""
    splitter, count, sent = JsonArraySplitter(), 0, 0
    lot = b",\n".join([item] * (1 + CHUNK_BYTES // len(item)))
    before, peak = rss_mib(), 0.0
    begin = time.process_time()
    splitter.receive_data(b"[")
    while sent < total_bytes:
        splitter.receive_data(lot if sent == 0 else b",\n" + lot)
        sent += len(lot)
        while splitter.next_event() is not NEED_DATA:
            count += 1
        if count % 1000 < 4:
            peak = max(peak, rss_mib())
    splitter.receive_data(b"]")
    splitter.receive_eof()
    while splitter.next_event() is not NEED_DATA:
        count += 1
    return count, time.process_time() - begin, max(peak, rss_mib()) - before


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=900)
    parser.add_argument("--short", action="store_true", help="100 MB, 2 repetitions")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.megabytes, arguments.repetitions = 100, 2
    print(f"{platform.platform()}, Python {platform.python_version()},", end=" ")
    print(f"orjson {version('orjson')}; chunks of {CHUNK_BYTES} bytes")
    for name, indent in (("indented", 3), ("compact", None)):
        items = elements(indent, 1500)
        payload = b"[" + b",\n".join(items) + b"]"
        assert split(payload) == len(items)
        ours = speeds(split, payload, arguments.repetitions)
        whole = speeds(orjson.loads, payload, arguments.repetitions)
        print(
            f"{name:9} {len(items)} x {len(items[0])} bytes: median {statistics.median(ours):.0f}"
            f" MB/s ({min(ours):.0f} to {max(ours):.0f}); orjson at once"
            f" {statistics.median(whole):.0f} MB/s"
        )
    element = orjson.loads(elements(3, 1)[0])
    begin = time.process_time()
    for _ in range(2000):
        instance_metadata(element)
    print(f"instance_metadata: {(time.process_time() - begin) / 2000 * 1e6:.0f} µs")
    item = elements(3, 1)[0]
    del payload, items
    count, seconds, growth = stream(item, arguments.megabytes * MB)
    print(
        f"{arguments.megabytes} MB in {count} elements: {arguments.megabytes / seconds:.0f} MB/s,"
        f" RSS grew by {growth:.1f} MiB at most"
    )


if __name__ == "__main__":
    main()
