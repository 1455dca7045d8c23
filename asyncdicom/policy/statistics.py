"""Distributions, counts and rankings of a stream of values, in bounded memory.

    latencies = Histogram()
    latencies.add(0.012)
    latencies.quantile(0.99)

Strategy: a histogram of geometric buckets (each 1 % wider than the one below)
answers any quantile with a bounded *relative* error, whatever the values, and
two of them can be merged without further loss. Sorting would be exact, but
needs all values at once.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterator
from itertools import accumulate
from typing import Generic, TypeVar

__all__ = ["RELATIVE_ERROR", "Counts", "Histogram", "Largest"]

K = TypeVar("K", bound=Hashable)

RELATIVE_ERROR = 0.005
"""Bound of the relative error of a quantile; minimum, maximum, mean and count are exact."""

_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_SCALE = 1 / math.log(_GROWTH)
# A microsecond, in seconds, up to a petabyte, in bytes: what lies outside is
# counted in the outermost bucket, so that there are never more than 4,840.
_SMALLEST = 1e-6
_LARGEST = 1e15
_LOWEST_INDEX = math.ceil(math.log(_SMALLEST) * _SCALE)


class Histogram:
    """Count, extremes, mean and quantiles of non-negative values.

    Attributes:
        count: Values added.
        total: Their sum.
        minimum: The smallest, or 0 without values.
        maximum: The largest, or 0 without values.

    """

    __slots__ = ("_buckets", "count", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.minimum = 0.0
        self.maximum = 0.0
        self._buckets: dict[int, int] = {}

    def add(self, value: float) -> None:
        """Count a value; it must be finite and not negative."""
        if value <= _SMALLEST:
            index = _LOWEST_INDEX
        else:
            index = math.ceil(math.log(min(value, _LARGEST)) * _SCALE)
        self._buckets[index] = self._buckets.get(index, 0) + 1
        if value > self.maximum:  # noqa: PLR1730 -- max() doubles the cost of this hot line
            self.maximum = value
        if value < self.minimum or not self.count:
            self.minimum = value
        self.count += 1
        self.total += value

    def merge(self, other: Histogram) -> None:
        """Count all values of another histogram."""
        if not other.count:
            return
        self.minimum = min(self.minimum, other.minimum) if self.count else other.minimum
        self.maximum = max(self.maximum, other.maximum)
        self.count += other.count
        self.total += other.total
        for index, count in other._buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + count

    @property
    def mean(self) -> float:
        """Arithmetic mean, or 0 without values."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Return the value that a share (0 to 1) of the values does not exceed, by nearest rank.

        The error is at most `RELATIVE_ERROR` for values of 1e-6 to 1e15; 0 without values.
        """
        rank = max(1, math.ceil(share * self.count))
        if rank >= self.count:
            return self.maximum
        places = sorted(self._buckets)
        ranks = accumulate(self._buckets[index] for index in places)
        found = next(i for i, seen in zip(places, ranks, strict=True) if seen >= rank)
        return min(max(_middle(found), self.minimum), self.maximum)

    def buckets(self) -> Iterator[tuple[float, float, int]]:
        """Yield both ends and the count of each bucket that is not empty, in ascending order."""
        for index in sorted(self._buckets):
            yield _GROWTH ** (index - 1), _GROWTH**index, self._buckets[index]


def _middle(index: int) -> float:
    """Return the value whose relative distance to both ends of a bucket is the same."""
    return float(2 * _GROWTH**index / (_GROWTH + 1))


class Counts(Generic[K]):
    """How often each key was seen, for keys that strangers choose.

    The first `limit` different keys are kept; what comes later is counted
    together, so that a million different error texts need no memory.

    Attributes:
        other: Sightings of keys beyond the limit.

    """

    __slots__ = ("_counts", "_limit", "other")

    def __init__(self, limit: int = 64) -> None:
        self.other = 0
        self._limit = limit
        self._counts: dict[K, int] = {}

    def add(self, key: K, count: int = 1) -> None:
        """Count a key."""
        seen = self._counts.get(key)
        if seen is not None:
            self._counts[key] = seen + count
        elif len(self._counts) < self._limit:
            self._counts[key] = count
        else:
            self.other += count

    def merge(self, other: Counts[K]) -> None:
        """Count all keys of another."""
        self.other += other.other
        for key, count in other._counts.items():
            self.add(key, count)

    def most_common(self) -> list[tuple[K, int]]:
        """Return the keys with their counts, the most frequent first, equal ones by name."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], str(item[0])))

    def __getitem__(self, key: K) -> int:
        return self._counts.get(key, 0)

    def __len__(self) -> int:
        return len(self._counts)


class Largest(Generic[K]):
    """The items with the largest values seen, each with its value."""

    __slots__ = ("_heap", "_limit", "_serial")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._serial = 0
        self._heap: list[tuple[float, str, int, K]] = []

    def admits(self, value: float) -> bool:
        """Tell whether an item of this value might be kept: ask before making the item."""
        return self._limit > 0 and (len(self._heap) < self._limit or value >= self._heap[0][0])

    def add(self, value: float, name: str, item: K) -> None:
        """Offer an item; of equal values the first in order of name is kept, whatever the order."""
        if not self.admits(value):
            return
        self._serial += 1
        entry = (value, _backwards(name), self._serial, item)
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def ranked(self) -> list[tuple[float, K]]:
        """Return values and items, the largest first, equal ones by name."""
        return [(entry[0], entry[3]) for entry in sorted(self._heap, reverse=True)]


def _backwards(name: str) -> str:
    """Return a key that sorts in the opposite order of names."""
    return "".join(chr(0x10FFFF - ord(character)) for character in name) + chr(0x10FFFF)
