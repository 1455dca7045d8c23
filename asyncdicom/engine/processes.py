"""Worker processes: copies of this one that do a share of the work on other cores.

    with worker_processes(2, serve) as workers:     # before there is a loop or a thread
        ...                                         # talk to each over its socket (`channel.py`)

Forked, not spawned: what was imported is there, and a worker costs some 5 ms. That
demands a process without threads, so commands do it first of all, and programs that
use the library never do it.

Rule: a worker lives as long as its socket. It hears neither Ctrl-C nor SIGTERM, which
whole process groups get: it ends when the process that made it closes, or dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["WorkerProcess", "usable_cores", "worker_processes"]

END_S = 3.0
"""Time that workers have to end after their sockets were closed, in seconds."""
LOOK_S = 0.002
"""Between two looks whether they have."""


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A worker, as the process that made it sees it."""

    process_id: int
    sock: socket.socket
    """Our end; not blocking."""


def usable_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


@contextmanager
def worker_processes(
    count: int, serve: Callable[[socket.socket], None]
) -> Iterator[list[WorkerProcess]]:
    """Make workers, and end them with the block.

    Args:
        count: How many, at least 1.
        serve: What a worker does with its end of a socket pair; it returns at the end of it.

    """
    workers = _fork(count, serve)
    try:
        yield workers
    finally:
        _end(workers)


def _fork(count: int, serve: Callable[[socket.socket], None]) -> list[WorkerProcess]:
    sys.stdout.flush()
    sys.stderr.flush()
    workers: list[WorkerProcess] = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        process_id = os.fork()
        if process_id == 0:
            # The ends of others, held here, would keep those from hearing that we closed.
            for sock in (ours, *(worker.sock for worker in workers)):
                sock.close()
            _be_worker(theirs, serve)
        theirs.close()
        ours.setblocking(False)
        workers.append(WorkerProcess(process_id, ours))
    return workers


def _end(workers: Sequence[WorkerProcess]) -> None:
    """Close the sockets and wait until the workers ended; those that do not are killed."""
    for worker in workers:
        worker.sock.close()
    deadline_s = time.monotonic() + END_S
    waiting = [worker.process_id for worker in workers]
    while waiting and time.monotonic() < deadline_s:
        waiting = [process_id for process_id in waiting if not _has_ended(process_id)]
        if waiting:
            time.sleep(LOOK_S)
    for process_id in waiting:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
        os.waitpid(process_id, 0)


def _has_ended(process_id: int) -> bool:
    return os.waitpid(process_id, os.WNOHANG)[0] == process_id


def _be_worker(sock: socket.socket, serve: Callable[[socket.socket], None]) -> NoReturn:
    """Serve, and leave without what the copied stack would do on its way out."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sock.setblocking(False)
        serve(sock)
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        # Nothing may pass: the caller's code would run twice.
        sys.stderr.flush()
        os._exit(code)
