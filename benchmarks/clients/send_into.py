"""Start a receiver, send it files with dcmsend, and compare what it kept, byte by byte.

python -m benchmarks.clients.send_into INPUT OUTPUT SENDERS RECEIVER...

INPUT is a folder of Part 10 files, of which each of the SENDERS, all at once, gets its share
on one association. Of the RECEIVER's words `{port}` and `{folder}` stand for where it listens
and for OUTPUT; it is a process of its own, started before the clock and stopped after it.
Where OUTPUT is `-`, nothing is kept or compared. Both inherit the environment.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.dicom import data_set_offset
from tests.support.processes import accepts_connections, free_port, stop, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_DEADLINE_S = 20.0
NOTHING_KEPT = "-"


def send(paths: Sequence[Path], port: int, senders: int) -> float:
    """Send files, each sender its share of them, and return the seconds until the last ended."""
    begun_s = time.perf_counter()
    running = [
        subprocess.Popen(["dcmsend", "127.0.0.1", str(port), *paths[number::senders]])
        for number in range(senders)
    ]
    codes = [process.wait() for process in running]
    seconds = time.perf_counter() - begun_s
    if any(codes):
        sys.exit(f"dcmsend ended with {codes}")
    return seconds


@contextmanager
def receiving(words: Sequence[str], folder: str) -> Iterator[tuple[int, int]]:
    """Run a receiver, and yield its port and process ID."""
    port = free_port()
    command = [word.replace("{port}", str(port)).replace("{folder}", folder) for word in words]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(
                lambda: accepts_connections(port),
                process,
                deadline_s=START_DEADLINE_S,
                log=Path(log.name),
            )
            yield port, process.pid
        finally:
            stop(process)


def data_sets(folder: Path) -> Counter[bytes]:
    """Return the digest of each data set below a folder, whatever its file is called."""
    contents = (path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return Counter(hashlib.sha256(one[data_set_offset(one) :]).digest() for one in contents)


def main(source: Path, folder: str, senders: int, words: Sequence[str]) -> None:
    """Send everything, compare, and print the seconds."""
    paths = sorted(source.iterdir())
    with receiving(words, folder) as (port, _):
        seconds = send(paths, port, senders)
    if folder != NOTHING_KEPT and data_sets(Path(folder)) != data_sets(source):
        sys.exit(f"what {words[0]} kept is not what was sent")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    sent, kept, sender_count, *receiver = sys.argv[1:]
    main(Path(sent), kept, int(sender_count), receiver)
