"""How a dump went: requests, latencies, throughput and failures, per kind of resource.

    report = collect(Path("out"), slowest=10)
    report.kinds[Kind.FRAME].last_byte_s.quantile(0.99)

Rules:
* Latencies are those of requests that succeeded: a quick 404 would make a slow
  server look fast. The slowest requests are listed whether they failed or not.
* Every record counts; what it does not say (no answer, no start) is missing
  from that one figure only, and `untimed` tells how many lack their times.
* Memory is bounded, whatever the records hold (`asyncdicom.policy.statistics`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError, ProtocolError
from asyncdicom.jobs.report_kinds import Kind, shown_url
from asyncdicom.jobs.report_records import Problem, Record, Trouble, read_records
from asyncdicom.policy.statistics import Counts, Histogram, Largest
from asyncdicom.policy.timeline import Interval, Timeline
from asyncdicom.protocol.media_types import parse_media_type

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Content", "KindStatistics", "Report", "SlowRequest", "collect"]

MAX_PROBLEMS_NAMED = 20
"""Problems that are named; all of them are counted."""

MAX_LABEL_CHARACTERS = 120
"""Of an error reason, a media type or a version, which a server chose."""

MAX_CONTENT_TYPE_CHARACTERS = 1_000
"""Looked at: values are kept in a cache."""


@dataclass(frozen=True, slots=True, order=True)
class Content:
    """What a payload or a part of it is."""

    media_type: str
    """Without parameters; empty where nobody said."""
    transfer_syntax_uid: str
    """Parameter `transfer-syntax` (PS3.18 §8.7.3.5.2), or empty."""


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """One of the slowest requests."""

    kind: Kind
    url: str
    """Without user information and query."""
    path: str
    """Of the dumped file, relative to the output folder."""
    first_byte_s: float | None
    last_byte_s: float
    status_code: int | None
    byte_count: int
    attempts: int
    reason: str | None
    """Why it failed, or None."""


@dataclass(slots=True)
class KindStatistics:
    """Figures of all requests of one kind, or of all kinds together."""

    requests: int = 0
    failed: int = 0
    byte_count: int = 0
    """Of bodies as sent, failed requests included."""
    retried: int = 0
    """Requests that took more than one attempt."""
    extra_attempts: int = 0
    """Attempts beyond the first, of all requests."""
    statuses: Counts[int] = field(default_factory=Counts)
    reasons: Counts[str] = field(default_factory=Counts)
    http_versions: Counts[str] = field(default_factory=Counts)
    waiting_s: Histogram = field(default_factory=Histogram)
    first_byte_s: Histogram = field(default_factory=Histogram)
    last_byte_s: Histogram = field(default_factory=Histogram)
    parts_per_answer: Histogram = field(default_factory=Histogram)
    """Of multipart answers only."""
    part_bytes: Histogram = field(default_factory=Histogram)

    def add(self, record: Record) -> None:
        """Count a record."""
        self.requests += 1
        self.byte_count += record.byte_count
        if record.attempts > 1:
            self.retried += 1
            self.extra_attempts += record.attempts - 1
        if record.status_code is not None:
            self.statuses.add(record.status_code)
            self.http_versions.add(_label(record.http_version))
        if record.waiting_s is not None:
            self.waiting_s.add(record.waiting_s)
        if record.has_failed:
            self.failed += 1
            self.reasons.add(_label(record.reason))
        else:
            self._add_latencies(record)
        self._add_parts(record)

    def _add_latencies(self, record: Record) -> None:
        if record.first_byte_s is not None:
            self.first_byte_s.add(record.first_byte_s)
        if record.last_byte_s is not None:
            self.last_byte_s.add(record.last_byte_s)

    def _add_parts(self, record: Record) -> None:
        if record.parts:
            self.parts_per_answer.add(len(record.parts))
            for part in record.parts:
                self.part_bytes.add(part.byte_count)

    def merge(self, other: KindStatistics) -> None:
        """Count everything that another counted."""
        self.requests += other.requests
        self.failed += other.failed
        self.byte_count += other.byte_count
        self.retried += other.retried
        self.extra_attempts += other.extra_attempts
        self.statuses.merge(other.statuses)
        self.reasons.merge(other.reasons)
        self.http_versions.merge(other.http_versions)
        for name in ("waiting_s", "first_byte_s", "last_byte_s", "parts_per_answer", "part_bytes"):
            getattr(self, name).merge(getattr(other, name))


@dataclass(slots=True)
class Report:
    """Everything that the records of a folder tell together."""

    folder: str
    kinds: dict[Kind, KindStatistics] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    untimed: int = 0
    """Records without a start or a time to the last byte: not in the timeline."""
    contents: Counts[Content] = field(default_factory=Counts)
    """Parts, and payloads that are not multipart, of requests that succeeded."""
    slowest: Largest[SlowRequest] = field(default_factory=lambda: Largest(10))
    troubles: Counts[Trouble] = field(default_factory=Counts)
    problems: list[Problem] = field(default_factory=list)
    """The first ones; all are counted in `troubles`."""

    @property
    def total(self) -> KindStatistics:
        """All kinds together."""
        total = KindStatistics()
        for statistics in self.kinds.values():
            total.merge(statistics)
        return total

    def per_s(self, amount: float) -> float | None:
        """Divide an amount by the active time of the run; None where that is not known."""
        active_s = self.timeline.active_s
        return amount / active_s if active_s > 0 else None

    def listed(self) -> list[tuple[Kind, KindStatistics]]:
        """Return the kinds that occurred, in the order of `Kind`."""
        return [(kind, self.kinds[kind]) for kind in Kind if kind in self.kinds]

    def add(self, record: Record) -> None:
        """Count a record."""
        statistics = self.kinds.get(record.kind)
        if statistics is None:
            statistics = self.kinds[record.kind] = KindStatistics()
        statistics.add(record)
        self._add_times(record)
        if not record.has_failed:
            self._add_contents(record)

    def add_problem(self, problem: Problem) -> None:
        """Count a file that is no record, and name it if it is among the first."""
        self.troubles.add(problem.trouble)
        if len(self.problems) < MAX_PROBLEMS_NAMED:
            self.problems.append(problem)

    def _add_times(self, record: Record) -> None:
        last_byte_s, started_s = record.last_byte_s, record.started_s
        if last_byte_s is not None and self.slowest.admits(last_byte_s):
            self.slowest.add(last_byte_s, record.path, _slow(record, last_byte_s))
        if last_byte_s is None or started_s is None:
            self.untimed += 1
            return
        first_byte_s = record.first_byte_s
        if first_byte_s is None or first_byte_s > last_byte_s:
            first_byte_s = last_byte_s
        interval = Interval(started_s, started_s + first_byte_s, started_s + last_byte_s)
        self.timeline.add(interval, record.byte_count)

    def _add_contents(self, record: Record) -> None:
        if not record.parts:
            self.contents.add(_content(record.content_type[:MAX_CONTENT_TYPE_CHARACTERS]))
        for part in record.parts:
            self.contents.add(_content(part.content_type[:MAX_CONTENT_TYPE_CHARACTERS]))


def collect(folder: Path, *, slowest: int = 10) -> Report:
    """Read all records below a folder.

    Args:
        folder: What was given to `dump` as output folder, or any folder within.
        slowest: Requests to keep for the list of the slowest, 0 or more.

    Raises:
        ConfigError: If it is no folder, or cannot be read.

    """
    report = Report(str(folder), slowest=Largest(slowest))
    try:
        for found in read_records(folder):
            if isinstance(found, Problem):
                report.add_problem(found)
            else:
                report.add(found)
    except NotADirectoryError as error:
        raise ConfigError(f"not a folder: {folder}", hint="give the folder of a dump") from error
    except OSError as error:
        told = (error.strerror or str(error)).lower()
        raise ConfigError(f"{told}: {folder}", hint="give the folder of a dump") from error
    return report


def _slow(record: Record, last_byte_s: float) -> SlowRequest:
    return SlowRequest(
        kind=record.kind,
        url=shown_url(record.url),
        path=record.path,
        first_byte_s=record.first_byte_s,
        last_byte_s=last_byte_s,
        status_code=record.status_code,
        byte_count=record.byte_count,
        attempts=record.attempts,
        reason=_label(record.reason) if record.has_failed else None,
    )


def _label(text: str) -> str:
    return text[:MAX_LABEL_CHARACTERS]


# Parts repeat a handful of values; a boundary makes those of whole answers unique,
# but `_add_contents` asks only for answers without parts.
@lru_cache(maxsize=1024)
def _content(value: str) -> Content:
    try:
        media_type = parse_media_type(value)
    except ProtocolError:
        return Content(_label(value), "")
    transfer_syntax = media_type.parameter("transfer-syntax") or ""
    return Content(_label(media_type.essence), _label(transfer_syntax))
