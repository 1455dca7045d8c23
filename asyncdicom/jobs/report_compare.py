"""Two runs side by side: the same figures of each kind, and how they relate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncdicom.jobs.report import KindStatistics, Report

__all__ = ["Comparison", "Figure", "Row", "compare"]

_QUANTILES = {"P50": 0.5, "P90": 0.9, "P99": 0.99}


class Figure(StrEnum):
    """What is compared; values are the keys of the JSON form."""

    REQUESTS = "requests"
    FAILED = "failed"
    RETRIED = "retried"
    BYTES = "bytes"
    REQUESTS_PER_S = "requestsPerSecond"
    BYTES_PER_S = "bytesPerSecond"
    FIRST_BYTE_P50 = "timeToFirstByteP50"
    FIRST_BYTE_P90 = "timeToFirstByteP90"
    FIRST_BYTE_P99 = "timeToFirstByteP99"
    LAST_BYTE_P50 = "timeToLastByteP50"
    LAST_BYTE_P90 = "timeToLastByteP90"
    LAST_BYTE_P99 = "timeToLastByteP99"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both runs; None where a run has none."""

    figure: Figure
    left: float | None
    right: float | None
    """Times are in seconds."""

    @property
    def ratio(self) -> float | None:
        """Right divided by left; None where that says nothing."""
        if self.left is None or self.right is None or self.left <= 0:
            return None
        return self.right / self.left


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures of one kind, or of all kinds together."""

    name: str
    """Value of the kind, or `total`."""
    rows: tuple[Row, ...]


def compare(left: Report, right: Report) -> list[Comparison]:
    """Compare two reports: first the total, then each kind that both of them have."""
    found = [_compared("total", (left, left.total), (right, right.total))]
    for kind, statistics in left.listed():
        if kind in right.kinds:
            others = (right, right.kinds[kind])
            found.append(_compared(kind.value, (left, statistics), others))
    return found


_Side = tuple["Report", "KindStatistics"]


def _compared(name: str, left: _Side, right: _Side) -> Comparison:
    ours, theirs = _figures(*left), _figures(*right)
    return Comparison(name, tuple(Row(f, ours.get(f), theirs.get(f)) for f in Figure))


def _figures(report: Report, statistics: KindStatistics) -> dict[Figure, float | None]:
    figures: dict[Figure, float | None] = {
        Figure.REQUESTS: statistics.requests,
        Figure.FAILED: statistics.failed,
        Figure.RETRIED: statistics.retried,
        Figure.BYTES: statistics.byte_count,
        Figure.REQUESTS_PER_S: report.per_s(statistics.requests),
        Figure.BYTES_PER_S: report.per_s(statistics.byte_count),
    }
    times = {"FIRST_BYTE": statistics.first_byte_s, "LAST_BYTE": statistics.last_byte_s}
    for name, histogram in times.items():
        for quantile, share in _QUANTILES.items():
            if histogram.count:
                figures[Figure[f"{name}_{quantile}"]] = histogram.quantile(share)
    return figures
