"""Run a program as a child, and watch its time and memory."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Sample", "run"]

_SAMPLE_EVERY_S = 0.01
_SAMPLES_PER_SEARCH = 5
"""Processes that another one started are looked for less often: that costs more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run."""

    wall_s: float
    peak_rss_bytes: int
    output: str
    rss_timeline: tuple[tuple[float, int], ...] = ()
    """Seconds since the start, and resident bytes."""
    peak_of_all_bytes: int = 0
    """The most that the process and those it started had together, what they share once."""


def run(command: Sequence[str], *, weighs_all_every_s: float = _SAMPLE_EVERY_S) -> Sample:
    """Run a command, and watch its memory.

    Args:
        command: What to run.
        weighs_all_every_s: How often the memory that it shares with those it started is
            looked at. That takes half a millisecond from each of them.

    Raises:
        SystemExit: If its exit code is not 0; its output is shown.

    """
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with tempfile.TemporaryFile() as output:
        start_s = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=_environment()
        )
        watch = _MemoryWatch(process.pid, start_s, weighs_all_every_s)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start_s
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        sys.exit(f"{' '.join(command)}\nexit code {process.returncode}\n{text[-2000:]}")
    # The kernel counts our own size to a child that it started from us: only a larger
    # figure is the child's, otherwise the samples are; a child that ended before the
    # first sample keeps the figure that is too large.
    peak = usage.ru_maxrss * 1024
    if peak <= own_peak and watch.peak_bytes:
        peak = watch.peak_bytes
    return Sample(wall_s, peak, text, tuple(watch.timeline), max(peak, watch.peak_of_all_bytes))


def _environment() -> dict[str, str]:
    """Return ours, less what would compile every module anew at each start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class _MemoryWatch:
    """Samples the resident size of a process until it is told to stop."""

    def __init__(self, process_id: int, start_s: float, weighs_all_every_s: float) -> None:
        self._samples_per_weighing = round(weighs_all_every_s / _SAMPLE_EVERY_S)
        self.peak_bytes = 0
        self.peak_of_all_bytes = 0
        self.timeline: list[tuple[float, int]] = []
        self._process_id = process_id
        self._others: list[int] = []
        self._status = Path(f"/proc/{process_id}/status")
        self._start_s = start_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(_SAMPLE_EVERY_S):
            try:
                lines = self._status.read_text().splitlines()
            except OSError:
                return
            sizes = dict(line.split(":", 1) for line in lines if line.startswith("Vm"))
            if "VmRSS" in sizes:
                self.peak_bytes = max(self.peak_bytes, _kilobytes(sizes["VmHWM"]))
                elapsed_s = time.perf_counter() - self._start_s
                resident = _kilobytes(sizes["VmRSS"])
                self.timeline.append((elapsed_s, resident))
                if len(self.timeline) % _SAMPLES_PER_SEARCH == 1:
                    self._others = _descendants(self._process_id)
                if self._others and len(self.timeline) % self._samples_per_weighing == 0:
                    resident = sum(map(_share_bytes, (self._process_id, *self._others)))
                self.peak_of_all_bytes = max(self.peak_of_all_bytes, resident)


def _descendants(process_id: int) -> list[int]:
    """Return the processes that one started, and theirs; of those that are gone, none."""
    found: list[int] = []
    for task in Path(f"/proc/{process_id}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return [*found, *(other for child in found for other in _descendants(child))]


def _share_bytes(process_id: int) -> int:
    """Return what a process has, its part of what it shares: a copy of one shares much with it."""
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(_kilobytes(line.partition(":")[2]) for line in lines if line.startswith("Pss:"))


def _kilobytes(field_text: str) -> int:
    return int(field_text.split(maxsplit=1)[0]) * 1024
