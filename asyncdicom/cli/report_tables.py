"""The tables of the HTML report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.cli.markup import Markup, element, joined
from asyncdicom.cli.report_format import (
    NOTHING,
    as_bytes,
    as_count,
    as_figure,
    as_milliseconds,
    as_per_s,
    as_ratio,
    figure_label,
    shortened,
)
from asyncdicom.jobs.report_compare import compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncdicom.jobs.report import KindStatistics, Report, SlowRequest
    from asyncdicom.policy.statistics import Counts, Histogram

__all__ = [
    "comparison",
    "contents",
    "failures",
    "latencies",
    "parts",
    "problems",
    "requests",
    "slowest",
]


def requests(report: Report) -> Markup:
    """Return counts, data and rates per kind."""
    head = ("kind", "requests", "failed", "retried", "data", "requests/s", "data/s", "HTTP")
    rows = []
    for label, one in _kinds(report):
        rate = report.per_s(one.byte_count)
        cells = (
            _number(as_count(one.requests)),
            _number(as_count(one.failed), "bad" if one.failed else None),
            _number(as_count(one.retried)),
            _number(as_bytes(one.byte_count)),
            _number(as_per_s(report.per_s(one.requests))),
            _number(NOTHING if rate is None else f"{as_bytes(rate)}/s"),
            _number(_versions(one.http_versions)),
        )
        rows.append(_row(label, cells))
    return _table("Requests per kind", _head(head), rows)


def _kinds(report: Report) -> list[tuple[str, KindStatistics]]:
    found = [(kind.label, one) for kind, one in report.listed()]
    return [*found, ("total", report.total)] if len(found) > 1 else found


def _versions(counts: Counts[str]) -> str:
    return ", ".join(shortened(key, 16) or "?" for key, _ in counts.most_common()[:4]) or NOTHING


def latencies(report: Report) -> Markup:
    """Return the quantiles of waiting, first and last byte per kind."""
    groups = (
        ("waiting", ("p50", "p99")),
        ("first byte", ("min", "p50", "p90", "p99", "max")),
        ("last byte", ("min", "p50", "p90", "p99", "max")),
    )
    upper = [element("th", "", scope="col")]
    lower = [element("th", "kind", scope="col", class_="text")]
    for name, figures in groups:
        upper.append(element("th", name, scope="colgroup", colspan=str(len(figures))))
        lower += [element("th", figure, scope="col") for figure in figures]
    rows = [
        _row(
            label,
            [*_spread(one.waiting_s)[1::2], *_spread(one.first_byte_s), *_spread(one.last_byte_s)],
        )
        for label, one in _kinds(report)
    ]
    head = joined(element("tr", *upper), element("tr", *lower))
    return _table("Latency per kind in milliseconds", head, rows)


def _spread(histogram: Histogram) -> list[Markup]:
    """Return minimum, three quantiles and maximum."""
    if not histogram.count:
        return [_number(NOTHING)] * 5
    inner = [histogram.quantile(share) for share in (0.5, 0.9, 0.99)]
    values = (histogram.minimum, *inner, histogram.maximum)
    return [_number(as_milliseconds(value)) for value in values]


def slowest(report: Report) -> Markup:
    """Return the slowest requests, each with a bar."""
    ranked = report.slowest.ranked()
    head = ("ms", "", "first byte", "data", "status", "attempts", "kind", "URL")
    longest_s = ranked[0][0] if ranked else 0.0
    rows = [_slow_row(value_s, item, longest_s) for value_s, item in ranked]
    cells = [
        element("th", name, scope="col", class_="text" if name in {"kind", "URL"} else None)
        for name in head
    ]
    return _table("Slowest requests", element("tr", *cells), rows)


def _slow_row(last_byte_s: float, item: SlowRequest, longest_s: float) -> Markup:
    status = shortened(item.reason or str(item.status_code), 32)
    return element(
        "tr",
        element("th", as_milliseconds(last_byte_s), scope="row"),
        element("td", _bar(item.first_byte_s or 0.0, last_byte_s, longest_s)),
        _number(as_milliseconds(item.first_byte_s)),
        _number(as_bytes(item.byte_count)),
        _number(status, "bad" if item.reason else None),
        _number(as_count(item.attempts)),
        element("td", item.kind.label, class_="text"),
        element("td", item.url, class_="url"),
    )


def _bar(first_byte_s: float, last_byte_s: float, longest_s: float) -> Markup:
    """Draw a request: waiting for the first byte, then receiving."""
    scale = 110 / longest_s if longest_s else 0.0
    waiting = min(first_byte_s, last_byte_s) * scale
    return element(
        "svg",
        element("rect", class_="wait-bar", x=0, y=0, width=waiting, height=10),
        element(
            "rect",
            class_="body-bar",
            x=waiting,
            y=0,
            width=last_byte_s * scale - waiting,
            height=10,
        ),
        class_="bar",
        viewBox="0 0 110 10",
        aria_hidden="true",
    )


def failures(report: Report) -> Markup:
    """Return why requests failed, per kind."""
    rows = []
    for kind, one in report.listed():
        found = one.reasons.most_common()
        found += [("(other)", one.reasons.other)] if one.reasons.other else []
        rows += [
            _row(kind.label, [element("td", reason, class_="text wrap"), _number(as_count(count))])
            for reason, count in found
        ]
    table = _table("Failures per kind", _head(("kind", "reason", "count"), texts=2), rows)
    statuses = report.total.statuses.most_common()
    if not rows or not statuses:
        return table
    told = ", ".join(f"{status} ({as_count(count)})" for status, count in statuses[:12])
    return joined(table, element("p", f"HTTP statuses: {told}", class_="note"))


def parts(report: Report) -> Markup:
    """Return how many parts the multipart answers had, and of what size."""
    head = ("kind", "answers", "parts", "per answer p50", "max", "size min", "p50", "p99", "max")
    rows = []
    for kind, one in report.listed():
        if not one.parts_per_answer.count:
            continue
        sizes = one.part_bytes
        figures = (
            as_count(one.parts_per_answer.count),
            as_count(sizes.count),
            as_count(one.parts_per_answer.quantile(0.5)),
            as_count(one.parts_per_answer.maximum),
            as_bytes(sizes.minimum),
            *(as_bytes(sizes.quantile(share)) for share in (0.5, 0.99)),
            as_bytes(sizes.maximum),
        )
        rows.append(_row(kind.label, [_number(figure) for figure in figures]))
    return _table("Multipart answers per kind", _head(head), rows)


def contents(report: Report) -> Markup:
    """Return media types and transfer syntaxes."""
    rows = [
        _row(
            content.media_type or "(none given)",
            [
                element("td", content.transfer_syntax_uid or NOTHING, class_="text wrap"),
                _number(as_count(count)),
            ],
        )
        for content, count in report.contents.most_common()
    ]
    if report.contents.other:
        other = _number(as_count(report.contents.other))
        rows.append(_row("(other)", [element("td", NOTHING, class_="text"), other]))
    head = _head(("media type", "transfer syntax", "count"), texts=2)
    return _table("Content received", head, rows)


def problems(report: Report) -> Markup:
    """Return what was found and could not be used."""
    rows = [
        element(
            "tr",
            element("th", problem.path, scope="row", class_="url"),
            element("td", problem.trouble.value, class_="text"),
            element("td", problem.detail, class_="text wrap"),
        )
        for problem in report.problems
    ]
    table = _table("Files not counted", _head(("file", "trouble", "detail"), texts=3), rows)
    if not rows:
        return table
    counted = report.troubles.most_common()
    told = ", ".join(f"{as_count(count)} {trouble.value}" for trouble, count in counted)
    return joined(element("p", f"{told}. The first ones:", class_="note"), table)


def comparison(left: Report, right: Report) -> Markup:
    """Return the figures of two reports and their ratios."""
    rows = []
    for one in compare(left, right):
        for at, row in enumerate(one.rows):
            name = one.name.replace("-", " ") if at == 0 else ""
            cells = (
                element("th", figure_label(row.figure), scope="row", class_="text plain"),
                _number(as_figure(row.figure, row.left)),
                _number(as_figure(row.figure, row.right)),
                _number(as_ratio(row.ratio)),
            )
            group = element("th", name, class_="text", scope="rowgroup" if name else None)
            rows.append(element("tr", group, *cells, class_=None if at else "first"))
    head = _head(("kind", "figure", "A", "B", "B/A"), texts=2)
    return _table("Figures of A and B", head, rows)


def _number(value: str, class_: str | None = None) -> Markup:
    return element("td", value, class_=class_)


def _row(label: str, cells: Iterable[Markup]) -> Markup:
    class_ = "total" if label == "total" else None
    return element(
        "tr", element("th", label, scope="row", class_="text wrap"), *cells, class_=class_
    )


def _head(names: Sequence[str], texts: int = 1) -> Markup:
    cells = [
        element("th", name, scope="col", class_="text" if at < texts else None)
        for at, name in enumerate(names)
    ]
    return element("tr", *cells)


def _table(caption: str, head: Markup, rows: Sequence[Markup]) -> Markup:
    """Put rows below a head, in a box that scrolls on narrow screens; nothing without rows."""
    if not rows:
        return Markup()
    table = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *rows),
    )
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)
