"""When is a transfer stalled: silent for too long, or trickling for too long.

Only the time spent *waiting for the network* counts. A consumer that is busy
with a slow disk between two reads is not the server's fault:

    meter.wait_begins(now_s)
    data = ...                     # the network
    meter.wait_ends(now_s, len(data))

Rule: the window tumbles. A trickle is therefore seen after one to two
windows, and an exchange costs two numbers instead of a list of samples.
"""

from __future__ import annotations

from asyncdicom.records import dataclass

__all__ = ["StallLimits", "Throughput"]


@dataclass(frozen=True, slots=True)
class StallLimits:
    """What is still patience, and what is a stall."""

    head_s: float
    """Longest wait for the head of the answer, in seconds, above 0."""
    idle_s: float
    """Longest wait for the next bytes of the body, in seconds, above 0."""
    min_bytes_per_s: float
    """Least mean throughput over a window; 0 allows any."""
    window_s: float
    """Waiting time over which the throughput is averaged, in seconds, above 0."""


@dataclass(slots=True)
class Throughput:
    """Waiting time and bytes of one exchange."""

    _waiting_since_s: float | None = None
    _waited_s: float = 0.0
    _window_bytes: int = 0
    _has_begun: bool = False

    def wait_begins(self, now_s: float) -> None:
        """Note that the exchange waits for the network from now on."""
        self._waiting_since_s = now_s

    def wait_ends(self, now_s: float, byte_count: int = 0) -> None:
        """Note that the wait is over, and what it brought.

        The wait for the head of an answer brings no bytes and is left out of the
        throughput: an archive may think for long and then send fast.
        """
        if self._waiting_since_s is not None and self._has_begun:
            self._waited_s += now_s - self._waiting_since_s
        self._waiting_since_s = None
        self._has_begun = True
        self._window_bytes += byte_count

    def verdict(self, now_s: float, limits: StallLimits) -> str | None:
        """Return why the exchange is stalled, or None; begins a new window where one is full."""
        if self._waiting_since_s is None:
            return None
        silent_s = now_s - self._waiting_since_s
        if silent_s >= (limits.idle_s if self._has_begun else limits.head_s):
            return f"nothing came for {silent_s:.3g} s"
        return self._judge_window(silent_s, limits) if self._has_begun else None

    def _judge_window(self, silent_s: float, limits: StallLimits) -> str | None:
        waited_s = self._waited_s + silent_s
        if waited_s < limits.window_s:
            return None
        if self._window_bytes < limits.min_bytes_per_s * waited_s:
            return f"only {self._window_bytes} bytes came in {waited_s:.3g} s"
        # The wait that is under way has been judged; only its rest belongs to the next window.
        self._waited_s = -silent_s
        self._window_bytes = 0
        return None
