"""How many streams of one HTTP/2 connection may be left before their answers have ended.

A client that opens streams and resets them looks like Rapid Reset (CVE-2023-44487),
and servers close its connection, or its whole address, after a hundred or so. Ours
leaves a stream early where an answer breaks its rules, which a hostile server or
proxy may do each time: 300 in 0.3 s were measured.

Rule: nothing is held back here. A connection that has had its share is given up in
order, and the next requests open another one.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Cancellations"]

WINDOW_S = 60.0
MAX_IN_WINDOW = 50
"""Half of what servers put up with: what is under way may be left early as well."""


class Cancellations:
    """Streams of one connection that were left early, in the last minute."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=MAX_IN_WINDOW)

    def note(self, now_s: float) -> bool:
        """Count one stream left early; tell whether the connection has had its share.

        Args:
            now_s: Reading of any steady clock, in seconds.

        """
        self._times_s.append(now_s)
        is_full = len(self._times_s) == MAX_IN_WINDOW
        return is_full and now_s - self._times_s[0] < WINDOW_S
