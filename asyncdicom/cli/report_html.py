"""The report as one HTML file: no script, nothing loaded, light and dark, printable.

Everything that a record says passes through `asyncdicom.cli.markup`, which
escapes it; a Content-Security-Policy in the template forbids scripts and loads
besides, should that ever fail.
"""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from asyncdicom._version import __version__
from asyncdicom.cli import report_tables as tables
from asyncdicom.cli.markup import Markup, element, joined, text
from asyncdicom.cli.report_format import (
    as_bytes,
    as_count,
    as_duration,
    as_milliseconds,
    as_per_s,
    as_span,
    counted,
)
from asyncdicom.cli.report_plots import DistributionRow, Legend, distribution_plot, time_plot
from asyncdicom.jobs.report_json import TIMELINE_BINS
from asyncdicom.policy.statistics import RELATIVE_ERROR

if TYPE_CHECKING:
    from asyncdicom.jobs.report import Report

__all__ = ["comparison_page", "report_page"]

_LATENCY_NOTE = (
    f"Milliseconds, of requests that succeeded. Quantiles are exact to ±{RELATIVE_ERROR:.1%}."
)


def report_page(report: Report) -> str:
    """Return the report as an HTML document."""
    legend = Legend("latency", "Latency by kind", "time to the last byte", "time to the first byte")
    rows = [
        DistributionRow(kind.label, one.last_byte_s, one.first_byte_s)
        for kind, one in report.listed()
    ]
    note = "Height: share of the requests of that kind. Lines: median and 99th percentile."
    sections = (
        _tiles(report),
        _section("Latency by kind", distribution_plot(rows, legend), note=note),
        _over_time(report, "Over time", "time"),
        _section("Requests", tables.requests(report)),
        _section("Latency", tables.latencies(report), note=_LATENCY_NOTE),
        _section("Slowest requests", tables.slowest(report), note=_SLOWEST_NOTE),
        _section("Failures", tables.failures(report)),
        _section("Multipart answers", tables.parts(report)),
        _section("Content received", tables.contents(report), note="Parts, or whole payloads."),
        _section("Not counted", tables.problems(report)),
    )
    return _page("Dump report", _lead(report), sections)


_SLOWEST_NOTE = (
    "Failed ones included; without user information and query."
    " Bar: waiting for the first byte, then receiving."
)


def comparison_page(left: Report, right: Report) -> str:
    """Return two reports side by side as an HTML document."""
    legend = Legend("latency", "Latency of A and B by kind", "A", "B")
    rows = [
        DistributionRow(kind.label, one.last_byte_s, right.kinds[kind].last_byte_s)
        for kind, one in left.listed()
        if kind in right.kinds
    ]
    note = (
        "Time to the last byte. Height: share of the requests of that kind."
        " Lines, and figures at the end: A."
    )
    sections = (
        _section("Latency of A and B", distribution_plot(rows, legend), note=note),
        _section("Figures", tables.comparison(left, right), note=_LATENCY_NOTE),
        _over_time(left, "A over time", "time-a"),
        _over_time(right, "B over time", "time-b"),
        _section("Not counted in A", tables.problems(left)),
        _section("Not counted in B", tables.problems(right)),
    )
    lead = joined(
        element("p", "A: ", element("strong", left.folder), _when(left)),
        element("p", "B: ", element("strong", right.folder), _when(right)),
    )
    return _page("Comparison of two dumps", lead, sections)


def _page(title: str, lead: Markup, sections: tuple[Markup, ...]) -> str:
    body = joined(
        element("header", element("h1", title), lead),
        element("main", *sections),
        element("footer", element("p", f"Written by asyncdicom {__version__}.")),
    )
    template = resources.files("asyncdicom.cli").joinpath("report_template.html")
    return Template(template.read_text(encoding="utf-8")).substitute(title=text(title), body=body)


def _lead(report: Report) -> Markup:
    return element("p", element("strong", report.folder), _when(report))


def _when(report: Report) -> str:
    timeline = report.timeline
    if not timeline.requests:
        return ""
    return f" · {as_span(timeline.first_s, timeline.last_s)}"


def _section(title: str, content: Markup, *, note: str = "") -> Markup:
    """Put a heading above content; nothing without content."""
    if not content:
        return Markup()
    told = element("p", note, class_="note") if note else Markup()
    return element("section", element("h2", title), told, content)


def _over_time(report: Report, title: str, name: str) -> Markup:
    bins = report.timeline.bins(TIMELINE_BINS)
    if len(bins) < 2:
        return Markup()
    width_s = bins[len(bins) // 2].width_s
    note = f"One step is {as_duration(width_s)}. Bytes count evenly from first to last byte."
    if report.untimed:
        note += f" Left out: {counted(report.untimed, 'record')} without times."
    return _section(title, time_plot(bins, name=name, title=title), note=note)


def _tiles(report: Report) -> Markup:
    total, timeline = report.total, report.timeline
    mean_bytes = total.byte_count / max(total.requests, 1)
    failed_class = "bad" if total.failed else None
    found = [
        _tile("Requests", as_count(total.requests), f"{as_count(total.retried)} retried"),
        _tile("Failed", as_count(total.failed), _share(total.failed, total.requests), failed_class),
        _tile("Data", as_bytes(total.byte_count), f"{as_bytes(mean_bytes)} each"),
    ]
    if timeline.requests:
        active = f"{as_duration(timeline.active_s)} active"
        in_flight = f"{as_per_s(timeline.peak_in_flight)} at the peak"
        requests = f"{as_per_s(report.per_s(total.requests))} requests/s"
        throughput = f"{as_bytes(report.per_s(total.byte_count) or 0)}/s"
        found += [
            _tile("Duration", as_duration(timeline.span_s), active),
            _tile("Throughput", throughput, requests),
            _tile("In flight", as_per_s(timeline.mean_in_flight), in_flight),
        ]
    if total.last_byte_s.count:
        p99 = f"p99 {as_milliseconds(total.last_byte_s.quantile(0.99))} ms"
        median = f"{as_milliseconds(total.last_byte_s.quantile(0.5))} ms"
        found.append(_tile("Median latency", median, p99))
    return element("dl", *found, class_="tiles")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else ""


def _tile(name: str, value: str, detail: str, class_: str | None = None) -> Markup:
    figure = element("span", value, class_=class_)
    return element("div", element("dt", name), element("dd", figure, element("small", detail)))
