"""In which parts a large object is fetched, and how far it is whole from its beginning.

    parts = plan_parts(180_000_000, part_bytes=32 * 1024 * 1024, lanes=4)
    frontier = Frontier(parts)
    frontier.advance(1, 50_000)        # part 1 has so many bytes; part 0 has none yet
    frontier.reached                   # 0

Rule: parts are of one size (the last may be shorter), and as many as the lanes can share
evenly: of six parts in four lanes, two lanes would wait for the last two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Frontier", "Part", "plan_parts"]

ALIGNMENT_BYTES = 64 * 1024
"""Parts begin where blocks of file systems do."""


class Part(NamedTuple):
    """Bytes of an object, the last one included (RFC 9110 §14.1.2)."""

    first: int
    last: int

    @property
    def byte_count(self) -> int:
        """Length."""
        return self.last - self.first + 1


def plan_parts(byte_count: int, *, part_bytes: int, lanes: int) -> tuple[Part, ...]:
    """Divide an object.

    Args:
        byte_count: Of the object.
        part_bytes: A part is at most so large, at least 1.
        lanes: Parts fetched at once, at least 1.

    Returns:
        All parts in order; one alone if the object is not larger than `part_bytes`.

    """
    if byte_count <= part_bytes or lanes == 1:
        return (Part(0, max(byte_count - 1, 0)),)
    rounds = -(-byte_count // (part_bytes * lanes))
    even = -(-byte_count // (rounds * lanes))
    step = min(-(-even // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, part_bytes)
    return tuple(
        Part(first, min(first + step, byte_count) - 1) for first in range(0, byte_count, step)
    )


class Frontier:
    """How far an object is whole from its first byte, while parts arrive in any order."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._received = [0] * len(parts)
        self._first_open = 0

    def advance(self, index: int, byte_count: int) -> None:
        """Take note that more bytes of a part, in order, are there."""
        self._received[index] += byte_count
        while (
            self._first_open < len(self._parts)
            and self._received[self._first_open] == self._parts[self._first_open].byte_count
        ):
            self._first_open += 1

    def received(self, index: int) -> int:
        """Return how many bytes of a part are there."""
        return self._received[index]

    @property
    def reached(self) -> int:
        """Count of bytes from the beginning without a gap."""
        if self._first_open == len(self._parts):
            return self._parts[-1].last + 1
        return self._parts[self._first_open].first + self._received[self._first_open]
