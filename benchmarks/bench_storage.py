"""What a stored file costs: by size, strategy, durability, and where it is hashed.

    python -m benchmarks.bench_storage [--repetitions 5] [--folder DIR] [--short]

Claims, in memory (/dev/shm): a file of 4 KB that appears whole costs at most three
times a bare open-write-close, and at most a third of aiofiles with a rename. On a disk
(`--folder`) the figures of the disk drown ours; it is there to compare durabilities.
Strategies take turns in each repetition.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiofiles
import aiofiles.os

from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.committing import GroupCommitter
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.hashing import HashingStream, HashingWriter
from asyncdicom.storage.system import SYSTEM, System
from benchmarks.common import Target, Verdict, print_verdicts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

KIB = 1024
SIZES = {"4 KB": 4 * KIB, "64 KB": 64 * KIB, "512 KB": 512 * KIB, "5 MB": 5 * KIB * KIB}
CHUNK_BYTES = 64 * KIB
"""As the network delivers."""

BARE = "bare open-write-close"
AIOFILES = "aiofiles and rename"
WHOLE = "write_whole"


class Portable(System):
    """A file system without O_TMPFILE."""

    @staticmethod
    def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """Refuse files without a name."""
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE")
        return os.open(path, flags, mode, dir_fd=dir_fd)


@dataclass(frozen=True, slots=True)
class Work:
    """Files to be stored."""

    root: Path
    content: bytes
    count: int

    def chunks(self) -> list[bytes]:
        """Cut the content as the network does."""
        return [
            self.content[start : start + CHUNK_BYTES]
            for start in range(0, len(self.content), CHUNK_BYTES)
        ]


async def bare(work: Work) -> None:
    for number in range(work.count):
        fd = os.open(work.root / str(number), os.O_CREAT | os.O_WRONLY, 0o666)
        os.write(fd, work.content)
        os.close(fd)


async def with_aiofiles(work: Work) -> None:
    for number in range(work.count):
        path = work.root / str(number)
        async with aiofiles.open(f"{path}.part", "wb") as file:
            await file.write(work.content)
        await aiofiles.os.rename(f"{path}.part", path)


def whole(system: System = SYSTEM, below: str = "") -> Callable[[Work], Awaitable[None]]:
    async def store(work: Work) -> None:
        with OutputFolder.open(work.root, system=system) as folder:
            for number in range(work.count):
                folder.write_whole(f"{number}{below}", work.content)

    return store


def durable(durability: str, workers: int) -> Callable[[Work], Awaitable[None]]:
    async def store(work: Work) -> None:
        with OutputFolder.open(work.root, durability=Durability(durability)) as folder:
            async with GroupCommitter(folder) as committer:

                async def worker(first: int) -> None:
                    for number in range(first, work.count, workers):
                        writer = folder.create(f"{number % 8}/{number}")
                        writer.write(work.content)
                        await committer.commit(writer)

                await asyncio.gather(*map(worker, range(workers)))

    return store


def hashed(batch_bytes: int | None, workers: int = 8) -> Callable[[Work], Awaitable[None]]:
    """Hash and write on the loop, or in a thread by batches."""

    async def store(work: Work) -> None:
        chunks = work.chunks()
        with OutputFolder.open(work.root) as folder, ThreadPoolExecutor(2) as executor:

            async def worker(first: int) -> None:
                for number in range(first, work.count, workers):
                    with folder.create(str(number)) as writer:
                        if batch_bytes is None:
                            await _on_the_loop(HashingWriter(writer), chunks)
                        else:
                            stream = HashingStream(writer, executor, batch_bytes=batch_bytes)
                            await _in_threads(stream, chunks)
                        writer.commit()

            await asyncio.gather(*map(worker, range(workers)))

    return store


async def _on_the_loop(hashing: HashingWriter, chunks: list[bytes]) -> None:
    for chunk in chunks:
        hashing.write(chunk)
        await asyncio.sleep(0)
    hashing.hexdigest()


async def _in_threads(stream: HashingStream, chunks: list[bytes]) -> None:
    for chunk in chunks:
        await stream.write(chunk)
        await asyncio.sleep(0)
    await stream.finish()


Strategies = dict[str, "Callable[[Work], Awaitable[None]]"]

WRITING: Strategies = {
    BARE: bare,
    AIOFILES: with_aiofiles,
    WHOLE: whole(),
    f"{WHOLE}, a folder each": whole(below="/metadata"),
    f"{WHOLE}, temporary names": whole(Portable()),
}
HASHING: Strategies = {
    "on the loop": hashed(None),
    "in threads, 256 KB": hashed(256 * KIB),
    "in threads, 1 MB": hashed(1024 * KIB),
}
DURABLE: Strategies = {
    f"{durability}, {workers} workers": durable(durability, workers)
    for workers in (8, 64)
    for durability in ("none", "batch", "full")
}


def measure(
    strategies: Strategies, content: bytes, count: int, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Return microseconds per file, by strategy and repetition."""
    found: dict[str, list[float]] = {name: [] for name in strategies}
    for repetition in range(options.repetitions + 1):
        for name, store in strategies.items():
            root = Path(tempfile.mkdtemp(dir=options.folder))
            cost_us = asyncio.run(_timed(store, Work(root, content, count)))
            shutil.rmtree(root)
            if repetition:
                found[name].append(cost_us)
    return found


async def _timed(store: Callable[[Work], Awaitable[None]], work: Work) -> float:
    begin_s = time.perf_counter()
    await store(work)
    return (time.perf_counter() - begin_s) / work.count * 1e6


def show(title: str, found: Mapping[str, list[float]]) -> None:
    print(f"\n{title:<44}{'median us':>12}{'min-max':>18}")
    for name, costs in found.items():
        spread = f"{min(costs):.0f}-{max(costs):.0f}"
        print(f"  {name:<42}{statistics.median(costs):>12.1f}{spread:>18}")


def ratio(found: Mapping[str, list[float]], ours: str, theirs: str) -> float:
    """Return the median over the repetitions, so that a slow minute hurts both."""
    return statistics.median(a / b for a, b in zip(found[ours], found[theirs], strict=True))


def main() -> int:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--folder", default=memory, help=f"default: {memory}")
    parser.add_argument("--short", action="store_true", help="a fifth of the files")
    options: Any = parser.parse_args()
    Path(options.folder).mkdir(exist_ok=True)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(f"aiofiles {version('aiofiles')}; {options.repetitions} repetitions in {options.folder}")
    share = 5 if options.short else 1
    verdicts = []
    for label, size in SIZES.items():
        content = os.urandom(size)
        count = max(8, min(1000, 64 * KIB * KIB // size) // share)
        written = measure(WRITING, content, count, options)
        show(f"writing {label}, {count} files", written)
        show(f"writing and SHA-256, {label}", measure(HASHING, content, count, options))
        if size == SIZES["4 KB"]:
            verdicts = _judge(written)
    for label in ("4 KB", "512 KB"):
        content = os.urandom(SIZES[label])
        show(f"durability, {label}, 128 files", measure(DURABLE, content, 128, options))
    return print_verdicts(verdicts)


def _judge(written: Mapping[str, list[float]]) -> list[Verdict]:
    return [
        Verdict(f"4 KB: {WHOLE} by {BARE}", ratio(written, WHOLE, BARE), Target(at_most=3)),
        Verdict(
            f"4 KB: {WHOLE} by {AIOFILES}", ratio(written, WHOLE, AIOFILES), Target(at_most=1 / 3)
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
