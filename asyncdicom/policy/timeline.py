"""What happened when: requests, bytes and requests in flight over time, in bounded memory.

    timeline = Timeline()
    timeline.add(Interval(begin_s=0.0, first_byte_s=0.2, end_s=0.5), byte_count=4096)
    for bin in timeline.bins(at_most=100): ...

Strategy: bins start 1/1024 s wide. Whenever the time from the first to the last
event no longer fits into `MAX_BINS`, neighbours are merged and bins are twice as
wide. Intervals may come in any order; memory depends on neither their number
nor their span.

Rule: bins lie at multiples of their width since the epoch, so that the order of
the requests does not matter. An amount (bytes, seconds in flight) is spread
evenly over its interval and is exact per bin; merging adds amounts, so it loses
resolution, never truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["MAX_BINS", "Bin", "Interval", "Timeline"]

MAX_BINS = 4096
"""Resolution kept: a run of one hour has bins of one second."""

_FINEST_S = 1 / 1024


@dataclass(frozen=True, slots=True)
class Interval:
    """A request: three points in time, in seconds since any one epoch, ascending."""

    begin_s: float
    first_byte_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Bin:
    """What happened in a span of time."""

    offset_s: float
    """Start of the bin, in seconds since the first request began."""
    width_s: float
    """The outer bins end where the run does: half to one and a half times the others."""
    requests: float
    """Requests that ended here."""
    byte_count: float
    """Bytes that arrived here."""
    in_flight: float
    """Requests under way, on average over the bin."""


class _Lane:
    """One amount over time, in units of bins.

    A long interval touches its two outer bins, and two steps: the difference
    where its constant density begins and ends. So it costs no more than a short one.
    """

    __slots__ = ("_amounts", "_steps")

    def __init__(self) -> None:
        self._amounts: dict[int, float] = {}
        self._steps: dict[int, float] = {}

    def add(self, begin: float, end: float, amount: float) -> None:
        """Spread an amount evenly over an interval."""
        amounts = self._amounts
        first, last = math.floor(begin), math.floor(end)
        if first == last:
            amounts[first] = amounts.get(first, 0.0) + amount
            return
        density = amount / (end - begin)
        amounts[first] = amounts.get(first, 0.0) + density * (first + 1 - begin)
        amounts[last] = amounts.get(last, 0.0) + density * (end - last)
        if last - first > 1:
            self._steps[first + 1] = self._steps.get(first + 1, 0.0) + density
            self._steps[last] = self._steps.get(last, 0.0) - density

    def settle(self) -> dict[int, float]:
        """Turn steps into amounts, and return the amounts."""
        density = 0.0
        places = sorted(self._steps)
        for place, following in zip(places, [*places[1:], *places[-1:]], strict=True):
            density += self._steps[place]
            for index in range(place, following):
                self._amounts[index] = self._amounts.get(index, 0.0) + max(density, 0.0)
        self._steps.clear()
        return self._amounts

    def widen(self) -> None:
        """Merge each even bin with its right neighbour."""
        merged: dict[int, float] = {}
        for index, amount in self.settle().items():
            merged[index >> 1] = merged.get(index >> 1, 0.0) + amount
        self._amounts = merged


class Timeline:
    """Requests, bytes and concurrency over time.

    Attributes:
        requests: Intervals added.
        first_s: When the first request began, in seconds of the caller's epoch.
        last_s: When the last one ended.

    """

    def __init__(self) -> None:
        self.requests = 0
        self.first_s = math.inf
        self.last_s = -math.inf
        self._width_s = _FINEST_S
        self._ended = _Lane()
        self._bytes = _Lane()
        self._flight = _Lane()

    @property
    def span_s(self) -> float:
        """Seconds from the first request to the last byte."""
        return self.last_s - self.first_s if self.requests else 0.0

    def add(self, interval: Interval, byte_count: float) -> None:
        """Count a request; its bytes are spread from its first byte to its end.

        Args:
            interval: Finite, ascending times.
            byte_count: Bytes that arrived.

        """
        self.requests += 1
        self._reach(interval)
        width_s = self._width_s
        end = interval.end_s / width_s
        self._ended.add(end, end, 1.0)
        self._bytes.add(interval.first_byte_s / width_s, end, byte_count)
        self._flight.add(interval.begin_s / width_s, end, interval.end_s - interval.begin_s)

    def _reach(self, interval: Interval) -> None:
        """Extend the span, and widen the bins until it fits."""
        self.first_s = min(self.first_s, interval.begin_s)
        self.last_s = max(self.last_s, interval.end_s)
        while self.last_s - self.first_s > (MAX_BINS - 1) * self._width_s:
            self._width_s *= 2
            for lane in (self._ended, self._bytes, self._flight):
                lane.widen()

    @property
    def active_s(self) -> float:
        """Seconds in which at least one request was in flight, rounded up to whole bins."""
        busy = sum(1 for amount in self._flight.settle().values() if amount > 0)
        return min(busy * self._width_s, self.span_s)

    @property
    def mean_in_flight(self) -> float:
        """Requests under way, on average over the active time."""
        active_s = self.active_s
        return sum(self._flight.settle().values()) / active_s if active_s else 0.0

    @property
    def peak_in_flight(self) -> float:
        """The highest mean over one bin at full resolution: a bound from below of the true peak."""
        return max((one.in_flight for one in self.bins()), default=0.0)

    def bins(self, at_most: int = MAX_BINS) -> list[Bin]:
        """Return the bins from the first request to the last byte, empty ones included.

        Args:
            at_most: Bins to return, at least 2; neighbours are merged by powers of two.

        """
        if not self.requests:
            return []
        shift = 0
        while self._index(self.last_s, shift) - self._index(self.first_s, shift) >= at_most:
            shift += 1
        lanes = (self._ended, self._bytes, self._flight)
        ended, received, flight = (_merged(lane.settle(), shift) for lane in lanes)
        found = []
        for index in range(self._index(self.first_s, shift), self._index(self.last_s, shift) + 1):
            begin_s, end_s = self._extent(index, shift)
            amounts = (ended.get(index, 0.0), received.get(index, 0.0), flight.get(index, 0.0))
            found.append(_Cell(begin_s - self.first_s, end_s - begin_s, *amounts))
        return [cell.bin() for cell in _without_slivers(found, self._width_s * 2**shift)]

    def _index(self, time_s: float, shift: int) -> int:
        return math.floor(time_s / self._width_s) >> shift

    def _extent(self, index: int, shift: int) -> tuple[float, float]:
        """Return begin and end of a bin, cut to the run."""
        width_s = self._width_s * 2**shift
        begin_s = index * width_s
        return max(begin_s, self.first_s), min(begin_s + width_s, self.last_s)


@dataclass(slots=True)
class _Cell:
    """A bin in the making, with amounts that can be added."""

    offset_s: float
    width_s: float
    requests: float
    byte_count: float
    flight_s: float

    def absorb(self, neighbour: _Cell) -> None:
        self.offset_s = min(self.offset_s, neighbour.offset_s)
        self.width_s += neighbour.width_s
        self.requests += neighbour.requests
        self.byte_count += neighbour.byte_count
        self.flight_s += neighbour.flight_s

    def bin(self) -> Bin:
        in_flight = self.flight_s / self.width_s if self.width_s > 0 else 0.0
        return Bin(self.offset_s, self.width_s, self.requests, self.byte_count, in_flight)


def _without_slivers(cells: list[_Cell], width_s: float) -> list[_Cell]:
    """Merge an outer bin of less than half the width into its neighbour.

    The one request that ends a run may end a microsecond into its bin: as a
    rate that would be a million requests per second.
    """
    if len(cells) > 1 and cells[-1].width_s < width_s / 2:
        cells[-2].absorb(cells.pop())
    if len(cells) > 1 and cells[0].width_s < width_s / 2:
        cells[1].absorb(cells.pop(0))
    return cells


def _merged(amounts: dict[int, float], shift: int) -> dict[int, float]:
    merged: dict[int, float] = {}
    for index, amount in amounts.items():
        merged[index >> shift] = merged.get(index >> shift, 0.0) + amount
    return merged
