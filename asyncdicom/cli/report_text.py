"""The report for a terminal: aligned tables, 80 to 120 columns wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.cli.report_format import (
    NOTHING,
    as_bytes,
    as_count,
    as_duration,
    as_figure,
    as_milliseconds,
    as_per_s,
    as_ratio,
    as_span,
    counted,
    figure_label,
    printable,
    shortened,
)
from asyncdicom.jobs.report_compare import compare
from asyncdicom.policy.statistics import RELATIVE_ERROR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.jobs.report import KindStatistics, Report
    from asyncdicom.policy.statistics import Counts, Histogram

__all__ = ["comparison_text", "report_text"]

MIN_COLUMNS = 80
MAX_COLUMNS = 120

_BLOCKS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class _Table:
    """A table: the first `texts` columns are flush left, the others, numbers, flush right."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    texts: int = 1

    def lines(self) -> list[str]:
        """Return title, head and rows; nothing without rows."""
        if not self.rows:
            return []
        columns = zip(self.head, *self.rows, strict=True)
        widths = [max(len(cell) for cell in column) for column in columns]
        return ["", self.title, *(self._line(row, widths) for row in (self.head, *self.rows))]

    def _line(self, row: tuple[str, ...], widths: list[int]) -> str:
        cells = [
            cell.ljust(width) if at < self.texts else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  " + "  ".join(cells).rstrip()


def report_text(report: Report, columns: int) -> str:
    """Return the report as text.

    Args:
        report: What to tell.
        columns: Width of the terminal; taken as 80 to 120.

    """
    columns = min(max(columns, MIN_COLUMNS), MAX_COLUMNS)
    total = report.total
    lines = [*_summary(report, total), *_requests(report, total)]
    for title, name in (
        ("Time to the first byte", "first_byte_s"),
        ("Time to the last byte", "last_byte_s"),
    ):
        lines += _latencies(f"{title}, in ms, of requests that succeeded", name, report, total)
    lines += _latencies("Waiting before the request was sent, in ms", "waiting_s", report, total)
    lines += [*_over_time(report, columns), *_parts(report), *_contents(report, columns)]
    lines += [*_failures(report, columns), *_slowest(report, columns), *_problems(report, columns)]
    return "\n".join(lines) + "\n"


def _summary(report: Report, total: KindStatistics) -> list[str]:
    requests = (
        f"  {counted(total.requests, 'request')}, {as_count(total.failed)} failed,"
        f" {as_count(total.retried)} retried · {as_bytes(total.byte_count)}"
        f" · HTTP {_versions(total.http_versions)}"
    )
    lines = [f"Report of {printable(report.folder)}", requests]
    if report.timeline.requests:
        lines += _span(report, total)
    if report.untimed:
        lines.append(f"  {counted(report.untimed, 'record')} without times: not in the timeline")
    return lines


def _span(report: Report, total: KindStatistics) -> list[str]:
    timeline = report.timeline
    when = (
        f"  {as_span(timeline.first_s, timeline.last_s)}:"
        f" {as_duration(timeline.span_s)}, {as_duration(timeline.active_s)} active"
    )
    rates = (
        f"  {_rate(report.per_s(total.byte_count))}"
        f" · {as_per_s(report.per_s(total.requests))} requests/s"
        f" · {as_per_s(timeline.mean_in_flight)} in flight on average,"
        f" {as_per_s(timeline.peak_in_flight)} at the peak"
    )
    return [when, rates]


def _versions(counts: Counts[str]) -> str:
    """Write versions, with counts where there is more than one."""
    found = counts.most_common()
    if len(found) == 1:
        return shortened(found[0][0], 16) or NOTHING
    told = (f"{shortened(key, 16) or '?'} ({as_count(n)})" for key, n in found[:4])
    return ", ".join(told) or NOTHING


def _requests(report: Report, total: KindStatistics) -> list[str]:
    rows = [
        (
            name,
            as_count(one.requests),
            as_count(one.failed),
            as_count(one.retried),
            as_bytes(one.byte_count),
            as_per_s(report.per_s(one.requests)),
            _rate(report.per_s(one.byte_count)),
        )
        for name, one in _rows(report, total)
    ]
    head = ("kind", "requests", "failed", "retried", "data", "requests/s", "data/s")
    return _Table("Requests", head, rows).lines()


def _rate(bytes_per_s: float | None) -> str:
    return NOTHING if bytes_per_s is None else f"{as_bytes(bytes_per_s)}/s"


def _rows(report: Report, total: KindStatistics) -> list[tuple[str, KindStatistics]]:
    """Return the kinds by name, and the total where there is more than one."""
    found = [(kind.label, statistics) for kind, statistics in report.listed()]
    return [*found, ("total", total)] if len(found) > 1 else found


def _latencies(title: str, name: str, report: Report, total: KindStatistics) -> list[str]:
    rows = [
        (label, *_quantiles(getattr(one, name)))
        for label, one in _rows(report, total)
        if getattr(one, name).count
    ]
    head = ("kind", "min", "p50", "p90", "p99", "max", "mean")
    return _Table(f"{title} (quantiles ±{RELATIVE_ERROR:.1%})", head, rows).lines()


def _quantiles(histogram: Histogram) -> tuple[str, ...]:
    inner = [histogram.quantile(share) for share in (0.5, 0.9, 0.99)]
    values = (histogram.minimum, *inner, histogram.maximum, histogram.mean)
    return tuple(as_milliseconds(value) for value in values)


def _over_time(report: Report, columns: int) -> list[str]:
    bins = report.timeline.bins(at_most=columns - 40)
    if len(bins) < 2:
        return []
    width_s = bins[len(bins) // 2].width_s
    data = [one.byte_count / one.width_s for one in bins]
    ended = [one.requests / one.width_s for one in bins]
    in_flight = [one.in_flight for one in bins]
    return [
        "",
        f"Over time, {as_duration(width_s)} per column",
        f"  data/s      {_sparkline(data)}  up to {as_bytes(max(data))}/s",
        f"  requests/s  {_sparkline(ended)}  up to {as_per_s(max(ended))}",
        f"  in flight   {_sparkline(in_flight)}  up to {as_per_s(max(in_flight))}",
    ]


def _sparkline(values: Sequence[float]) -> str:
    """Draw values in eight heights; blank means nothing at all, not little."""
    highest = max(values) or 1
    steps = len(_BLOCKS) - 1
    return "".join(
        _BLOCKS[max(1, round(value / highest * steps)) if value > highest * 1e-9 else 0]
        for value in values
    )


def _parts(report: Report) -> list[str]:
    rows = [
        (
            kind.label,
            as_count(one.parts_per_answer.count),
            as_count(one.parts_per_answer.quantile(0.5)),
            as_count(one.parts_per_answer.maximum),
            as_count(one.part_bytes.count),
            as_bytes(one.part_bytes.minimum),
            as_bytes(one.part_bytes.quantile(0.5)),
            as_bytes(one.part_bytes.maximum),
        )
        for kind, one in report.listed()
        if one.parts_per_answer.count
    ]
    head = ("kind", "answers", "parts p50", "max", "parts", "size min", "p50", "max")
    return _Table("Multipart answers", head, rows).lines()


def _contents(report: Report, columns: int) -> list[str]:
    room = (columns - 20) // 2
    rows = [
        (
            shortened(content.media_type, room) or "(none given)",
            shortened(content.transfer_syntax_uid, room) or NOTHING,
            as_count(count),
        )
        for content, count in report.contents.most_common()
    ]
    if report.contents.other:
        rows.append(("(other)", NOTHING, as_count(report.contents.other)))
    head = ("media type", "transfer syntax", "count")
    return _Table("Content received (parts, or whole payloads)", head, rows, texts=2).lines()


def _failures(report: Report, columns: int) -> list[str]:
    rows = []
    for kind, one in report.listed():
        found = [(shortened(reason, columns - 40), n) for reason, n in one.reasons.most_common()]
        found += [("(other)", one.reasons.other)] if one.reasons.other else []
        rows += [(kind.label, reason, as_count(n)) for reason, n in found]
    failures = _Table("Failures", ("kind", "reason", "count"), rows, texts=2).lines()
    statuses = report.total.statuses.most_common()
    if not rows or not statuses:
        return failures
    told = ", ".join(f"{status} ({as_count(n)})" for status, n in statuses[:8])
    return [*failures, f"  HTTP statuses: {told}"]


def _slowest(report: Report, columns: int) -> list[str]:
    ranked = report.slowest.ranked()
    rows = [
        (
            as_milliseconds(last_byte_s),
            as_milliseconds(item.first_byte_s),
            as_bytes(item.byte_count),
            item.kind.label,
            shortened(item.reason or str(item.status_code), columns - 60),
        )
        for last_byte_s, item in ranked
    ]
    head = ("last byte", "first byte", "data", "kind", "status")
    lines = _Table("Slowest requests, in ms", head, rows, texts=0).lines()
    # Below its figures, not behind them: URLs of frames have 250 characters,
    # and nobody can open one that was cut to fit.
    urls = [f"      {printable(item.url)}" for _, item in ranked]
    return lines[:3] + [line for pair in zip(lines[3:], urls, strict=True) for line in pair]


def _problems(report: Report, columns: int) -> list[str]:
    told = _troubles(report)
    if not told:
        return []
    total = sum(n for _, n in report.troubles.most_common())
    rows = [f"  {printable(p.path)}: {shortened(p.detail, columns)}" for p in report.problems]
    more = total - len(rows)
    tail = [f"  and {as_count(more)} more"] if more else []
    return ["", f"Not counted: {told}", *rows, *tail]


def _troubles(report: Report) -> str:
    found = report.troubles.most_common()
    return ", ".join(f"{as_count(n)} {trouble.value}" for trouble, n in found)


def comparison_text(left: Report, right: Report) -> str:
    """Return two reports side by side."""
    rows = []
    for one in compare(left, right):
        for row in one.rows:
            name = one.name.replace("-", " ") if row is one.rows[0] else ""
            values = (as_figure(row.figure, row.left), as_figure(row.figure, row.right))
            rows.append((name, figure_label(row.figure), *values, as_ratio(row.ratio)))
    lines = [f"A: {printable(left.folder)}", f"B: {printable(right.folder)}"]
    for side, report in (("A", left), ("B", right)):
        if told := _troubles(report):
            lines.append(f"  Not counted in {side}: {told}")
    head = ("kind", "figure", "A", "B", "B/A")
    lines += _Table("Comparison", head, rows, texts=2).lines()
    return "\n".join(lines) + "\n"
