"""The three HTTP engines beside a bare pyreqwest loop, on nginx over HTTP/2 and TLS.

    python -m benchmarks.bench_transports [--short]

Claim: a 4 KB exchange through the transport costs at most 35 us CPU more than the
library alone, and large bodies cost nothing more. Each contender is a process of its
own, since peak memory belongs to a process; contenders take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from asyncdicom.ports.http import HttpRequest
from asyncdicom.transports.engines import ENGINES, open_transport
from asyncdicom.transports.settings import TransportSettings
from tests.support.nginx import running_nginx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

BARE = "bare pyreqwest"
CONCURRENCY = 32
MAX_OVERHEAD_US = 35.0
SIZES = {"4 KB": 4096, "512 KB": 512 * 1024}
REQUESTS = {
    (BARE, "4 KB"): 8000,
    ("pyreqwest", "4 KB"): 8000,
    ("httpx", "4 KB"): 800,
    ("aiohttp", "4 KB"): 3000,
    (BARE, "512 KB"): 600,
    ("pyreqwest", "512 KB"): 600,
    ("httpx", "512 KB"): 60,
    ("aiohttp", "512 KB"): 300,
}
"""About a second each."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one contender."""

    requests_per_s: float
    mb_per_s: float
    cpu_us: float
    """Per request."""
    peak_mb: float
    """Resident memory of the process."""


async def drive(fetch: Callable[[], Awaitable[int]], request_count: int) -> Sample:
    """Fetch from many workers at once and count."""
    counter = iter(range(request_count))

    async def work() -> int:
        received_bytes = 0
        for _ in counter:
            # Not `+=` on one shared name: that would lose what others add meanwhile.
            received_bytes += await fetch()
        return received_bytes

    before, begun_s = os.times(), time.perf_counter()
    received = await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    assert sum(received) in {size * request_count for size in SIZES.values()}, "bodies are whole"
    seconds, after = time.perf_counter() - begun_s, os.times()
    cpu_s = after.user + after.system - before.user - before.system
    return Sample(
        requests_per_s=request_count / seconds,
        mb_per_s=sum(received) / seconds / 1e6,
        cpu_us=cpu_s / request_count * 1e6,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


async def run_engine(name: str, url: str, ca_file: Path, request_count: int) -> Sample:
    """Drive one of our transports."""
    transport = open_transport(name, TransportSettings(ca_file=ca_file))

    async def fetch() -> int:
        received_bytes = 0
        async with transport.request(HttpRequest(url)) as response:
            while data := await response.read():
                received_bytes += len(data)
        return received_bytes

    await fetch()
    sample = await drive(fetch, request_count)
    await transport.aclose()
    return sample


async def run_bare(url: str, ca_pem: bytes, request_count: int) -> Sample:
    """Drive pyreqwest alone, with the settings that the transport gives it."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415 -- only in its own process

    client = (
        ClientBuilder()
        .no_proxy()
        .http2(True)
        .add_root_certificate_pem(ca_pem)
        .http2_initial_stream_window_size(1024 * 1024)
        .http2_initial_connection_window_size(16 * 1024 * 1024)
        .build()
    )

    async def fetch() -> int:
        received_bytes = 0
        request = client.get(url).streamed_read_buffer_limit(64 * 1024).build_streamed()
        async with request as response:
            reader = response.body_reader
            while (data := await reader.read(64 * 1024)) is not None:
                received_bytes += len(data)
        return received_bytes

    await fetch()
    sample = await drive(fetch, request_count)
    await client.close()
    return sample


def child(name: str, url: str, ca_file: str, request_count: int) -> None:
    """Run one contender and print its figures."""
    path = Path(ca_file)
    if name == BARE:
        sample = uvloop.run(run_bare(url, path.read_bytes(), request_count))
    else:
        sample = uvloop.run(run_engine(name, url, path, request_count))
    print(json.dumps([getattr(sample, field) for field in Sample.__slots__]))


def measure(name: str, url: str, ca_file: Path, request_count: int) -> Sample:
    """Run one contender in a process of its own."""
    arguments = [name, url, str(ca_file), str(request_count)]
    command = [sys.executable, "-m", "benchmarks.bench_transports", "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return Sample(*json.loads(done.stdout))


def race(folder: Path, *, repetitions: int, divisor: int) -> dict[tuple[str, str], list[Sample]]:
    """Let all contenders take turns on both sizes."""
    folder.chmod(0o755)  # nginx drops its rights
    www = folder / "www" / "dicom-web"
    www.mkdir(parents=True)
    found: dict[tuple[str, str], list[Sample]] = {}
    for byte_count in SIZES.values():
        (www / f"{byte_count}.body").write_bytes(os.urandom(byte_count))
    with running_nginx(folder, folder / "www") as nginx:
        for repetition in range(repetitions):
            names = [BARE, *ENGINES]
            turn = repetition % len(names)
            for name in names[turn:] + names[:turn]:
                for size, byte_count in SIZES.items():
                    url = f"{nginx.https_url}/{byte_count}"
                    count = max(1, REQUESTS[name, size] // divisor)
                    sample = measure(name, url, nginx.ca_file, count)
                    found.setdefault((name, size), []).append(sample)
    return found


def show(found: dict[tuple[str, str], list[Sample]]) -> float:
    """Print medians and spread; return the overhead of a small exchange, in microseconds of CPU."""
    print(f"{'':16}{'':8}{'requests/s':>22}{'MB/s':>8}{'CPU us/request':>22}{'peak MB':>9}")
    for (name, size), samples in found.items():
        rates = [sample.requests_per_s for sample in samples]
        costs = [sample.cpu_us for sample in samples]
        print(
            f"{name:16}{size:8}{spread(rates):>22}"
            f"{statistics.median(sample.mb_per_s for sample in samples):8.0f}"
            f"{spread(costs):>22}{max(sample.peak_mb for sample in samples):9.0f}"
        )
    costs_us = {
        name: statistics.median(sample.cpu_us for sample in found[name, "4 KB"])
        for name in (BARE, "pyreqwest")
    }
    return costs_us["pyreqwest"] - costs_us[BARE]


def spread(values: Sequence[float]) -> str:
    """Write a median, and least and greatest value."""
    return f"{statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


def main() -> int:
    """Race, print, and tell whether the claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a fifth of the requests, 2 turns")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, url, ca_file, count = arguments.child
        child(name, url, ca_file, int(count))
        return 0
    engines = ", ".join(f"{name} {version(name)}" for name in ENGINES)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, uvloop {version('uvloop')}, {engines}")
    print(f"{CONCURRENCY} at once; aiohttp speaks HTTP/1.1, all others HTTP/2, over TLS")
    repetitions, divisor = (2, 5) if arguments.short else (4, 1)
    with tempfile.TemporaryDirectory() as folder:
        overhead_us = show(race(Path(folder), repetitions=repetitions, divisor=divisor))
    print(f"a 4 KB exchange costs {overhead_us:.0f} us CPU more than the library alone")
    return 0 if overhead_us <= MAX_OVERHEAD_US else 1


if __name__ == "__main__":
    sys.exit(main())
