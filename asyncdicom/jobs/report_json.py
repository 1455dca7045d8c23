"""The report as JSON, for scripts: these keys stay, new ones may be added.

    {"format": "asyncdicom-report", "version": 1, "folder": "out",
     "records": {"read": 8, "damaged": 0, "foreign": 0, "unreadable": 0, "withoutTimes": 0,
                 "problems": [{"path": "...", "trouble": "damaged", "detail": "..."}]},
     "span": {"firstRequestAt": "RFC 3339", "lastByteAt": "RFC 3339", "seconds": 1.5,
              "activeSeconds": 1.5, "requestsPerSecond": 5.3, "bytesPerSecond": 70000.0,
              "meanInFlight": 3.9, "peakInFlight": 8.0},
     "total": KIND, "kinds": {"frame": KIND, ...},
     "contents": [{"mediaType": "...", "transferSyntax": "...", "count": 8}],
     "timeline": [{"offsetSeconds": 0.0, "seconds": 0.5, "requests": 3.0, "bytes": 35000.0,
                   "inFlight": 3.9}],
     "slowest": [{"kind": "frame", "url": "...", "path": "...", "timeToFirstByteInMS": 10.5,
                  "timeToLastByteInMS": 12.0, "statusCode": 200, "bytes": 524843,
                  "attempts": 1, "error": null}],
     "quantileError": 0.005}

    KIND = {"requests": 8, "failed": 0, "bytes": 4198744, "retried": 0, "extraAttempts": 0,
            "statuses": {"200": 8}, "errors": {"not-found": 1}, "httpVersions": {"2": 8},
            "timeWaitingInMS": VALUES, "timeToFirstByteInMS": VALUES,
            "timeToLastByteInMS": VALUES, "partsPerAnswer": VALUES, "partBytes": VALUES}
    VALUES = {"count": 8, "min": 9.0, "p50": 11.2, "p90": 12.0, "p99": 12.0, "max": 12.0,
              "mean": 11.0}, or null without values

`activeSeconds` leaves out the time in which nothing was in flight, such as the
pause before a resumed run; rates are per active second. `peakInFlight` is the
highest mean over one bin of the timeline at full resolution (the run in at most
4,096 bins). The timeline itself has at most 120. Quantiles are off by at most
`quantileError` of their value. What goes beyond 64 different errors, statuses,
versions or contents is counted under `(other)`.

A comparison is `{"format": "asyncdicom-report-comparison", "version": 1,
"left": REPORT, "right": REPORT, "ratios": {"total": RATIOS, "frame": RATIOS}}`
with the keys of `asyncdicom.jobs.report_compare.Figure`; a ratio is right
divided by left, or null where either is missing or left is 0.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncdicom.jobs.report_compare import compare
from asyncdicom.jobs.report_records import Trouble
from asyncdicom.policy.statistics import RELATIVE_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.jobs.report import KindStatistics, Report, SlowRequest
    from asyncdicom.jobs.report_compare import Row
    from asyncdicom.policy.statistics import Counts, Histogram
    from asyncdicom.policy.timeline import Bin

__all__ = ["comparison_to_json", "to_json"]

TIMELINE_BINS = 120
"""As many as a plot has room for."""

OTHER = "(other)"


def to_json(report: Report) -> dict[str, Any]:
    """Return a report as a JSON object."""
    return {
        "format": "asyncdicom-report",
        "version": 1,
        "folder": _text(report.folder),
        "records": _records(report),
        "span": _span(report),
        "total": _kind(report.total),
        "kinds": {kind.value: _kind(statistics) for kind, statistics in report.listed()},
        "contents": _contents(report),
        "timeline": _timeline(report.timeline.bins(TIMELINE_BINS)),
        "slowest": [_slow(item) for _, item in report.slowest.ranked()],
        "quantileError": RELATIVE_ERROR,
    }


def comparison_to_json(left: Report, right: Report) -> dict[str, Any]:
    """Return two reports and the ratios of their figures, per kind that both have."""
    return {
        "format": "asyncdicom-report-comparison",
        "version": 1,
        "left": to_json(left),
        "right": to_json(right),
        "ratios": {
            one.name: {row.figure.value: _ratio(row) for row in one.rows}
            for one in compare(left, right)
        },
    }


def _ratio(row: Row) -> float | None:
    return None if row.ratio is None else float(f"{row.ratio:.4g}")


def _text(text: str) -> str:
    """Replace what JSON cannot hold: file names that are not UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _records(report: Report) -> dict[str, Any]:
    return {
        "read": report.total.requests,
        **{trouble.value: report.troubles[trouble] for trouble in Trouble},
        "withoutTimes": report.untimed,
        "problems": [
            {"path": _text(p.path), "trouble": p.trouble.value, "detail": p.detail}
            for p in report.problems
        ],
    }


def _span(report: Report) -> dict[str, Any]:
    timeline = report.timeline
    if not timeline.requests:
        return {}
    return {
        "firstRequestAt": _instant(timeline.first_s),
        "lastByteAt": _instant(timeline.last_s),
        "seconds": timeline.span_s,
        "activeSeconds": timeline.active_s,
        "requestsPerSecond": report.per_s(timeline.requests),
        "bytesPerSecond": report.per_s(report.total.byte_count),
        "meanInFlight": timeline.mean_in_flight,
        "peakInFlight": timeline.peak_in_flight,
    }


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _kind(statistics: KindStatistics) -> dict[str, Any]:
    return {
        "requests": statistics.requests,
        "failed": statistics.failed,
        "bytes": statistics.byte_count,
        "retried": statistics.retried,
        "extraAttempts": statistics.extra_attempts,
        "statuses": _counts(statistics.statuses),
        "errors": _counts(statistics.reasons),
        "httpVersions": _counts(statistics.http_versions),
        "timeWaitingInMS": _values(statistics.waiting_s, 1000),
        "timeToFirstByteInMS": _values(statistics.first_byte_s, 1000),
        "timeToLastByteInMS": _values(statistics.last_byte_s, 1000),
        "partsPerAnswer": _values(statistics.parts_per_answer),
        "partBytes": _values(statistics.part_bytes),
    }


def _counts(counts: Counts[Any]) -> dict[str, int]:
    found = {str(key): count for key, count in counts.most_common()}
    if counts.other:
        found[OTHER] = found.get(OTHER, 0) + counts.other
    return found


def _values(histogram: Histogram, factor: float = 1) -> dict[str, float] | None:
    if not histogram.count:
        return None
    figures = {
        "min": histogram.minimum,
        "p50": histogram.quantile(0.5),
        "p90": histogram.quantile(0.9),
        "p99": histogram.quantile(0.99),
        "max": histogram.maximum,
        "mean": histogram.mean,
    }
    # Six digits are below the error of a quantile and above that of a clock.
    scaled = {name: float(f"{value * factor:.6g}") for name, value in figures.items()}
    return {"count": histogram.count, **scaled}


def _contents(report: Report) -> list[dict[str, Any]]:
    found = [
        {"mediaType": c.media_type, "transferSyntax": c.transfer_syntax_uid, "count": count}
        for c, count in report.contents.most_common()
    ]
    if report.contents.other:
        found.append({"mediaType": OTHER, "transferSyntax": "", "count": report.contents.other})
    return found


def _timeline(bins: Iterable[Bin]) -> list[dict[str, float]]:
    return [
        {
            "offsetSeconds": round(one.offset_s, 6),
            "seconds": round(one.width_s, 6),
            "requests": round(one.requests),
            "bytes": round(one.byte_count),
            "inFlight": round(one.in_flight, 3),
        }
        for one in bins
    ]


def _slow(item: SlowRequest) -> dict[str, Any]:
    first_byte_s = item.first_byte_s
    return {
        "kind": item.kind.value,
        "url": _text(item.url),
        "path": _text(item.path),
        "timeToFirstByteInMS": None if first_byte_s is None else round(first_byte_s * 1000, 3),
        "timeToLastByteInMS": round(item.last_byte_s * 1000, 3),
        "statusCode": item.status_code,
        "bytes": item.byte_count,
        "attempts": item.attempts,
        "error": item.reason,
    }
