"""Start and stop of programs that tests talk to: free ports, readiness, an orderly end."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "accepts_connections",
    "descriptor_count",
    "free_port",
    "resident_bytes",
    "stop",
    "thread_count",
    "wait_until",
]

POLL_S = 0.02
STOP_DEADLINE_S = 40.0


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on.

    The kernel hands such ports out in turn, so that another process takes this one
    before its owner-to-be is unlikely enough for tests.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether somebody listens on a port."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def resident_bytes(process_id: int) -> int:
    """Return how much memory a process has now, as the kernel counts it."""
    return int(_status(process_id, "VmRSS").split()[0]) * 1024


def thread_count(process_id: int) -> int:
    """Return how many threads a process has now."""
    return int(_status(process_id, "Threads"))


def descriptor_count(process_id: int) -> int:
    """Return how many descriptors a process has open now."""
    return len(list(Path(f"/proc/{process_id}/fd").iterdir()))


def _status(process_id: int, name: str) -> str:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def wait_until(
    is_ready: Callable[[], bool],
    process: subprocess.Popen[bytes],
    *,
    deadline_s: float,
    log: Path,
) -> None:
    """Poll a state until it holds.

    Args:
        is_ready: Looks at the state; false means "not yet".
        process: Watched meanwhile: when it ends, waiting is over.
        deadline_s: How long to wait at most, in seconds.
        log: Its end becomes the message of a failure.

    Raises:
        AssertionError: If the process ended, or the time is over.

    """
    end_s = time.monotonic() + deadline_s
    while not is_ready():
        assert process.poll() is None, f"exit code {process.returncode}: {_tail(log)}"
        assert time.monotonic() < end_s, f"not ready after {deadline_s} s: {_tail(log)}"
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it if it does not within ten seconds."""
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] if log.exists() else "no log"
