"""The plots: what is drawn where, that it stays inside, and that it is described in words."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from asyncdicom.cli import report_plots
from asyncdicom.cli.report_plots import WIDTH, DistributionRow, Legend, distribution_plot, time_plot
from asyncdicom.policy.statistics import Histogram
from asyncdicom.policy.timeline import Bin, Interval, Timeline

LEGEND = Legend("latency", "Latency", "filled & co", "outlined")
LEFT, RIGHT = 150.0, WIDTH - 130.0


def histogram_of(*values: float) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def parsed(markup: str) -> ET.Element:
    """Parse as XML, which is stricter than HTML."""
    return ET.fromstring(f"<div>{markup}</div>")


def drawn_x(markup: str) -> list[float]:
    """Return all horizontal positions of the paths."""
    paths = " ".join(node.get("d", "") for node in parsed(markup).iter("path"))
    return [float(x) for x in re.findall(r"[MH](-?[0-9.]+)", paths)]


def drawn_y(markup: str) -> list[float]:
    paths = " ".join(node.get("d", "") for node in parsed(markup).iter("path"))
    return [float(y) for y in re.findall(r"[V,](-?[0-9.]+)", paths)]


@pytest.mark.parametrize(
    "values",
    [(0.012,), (0.0,), (0.001, 0.01), (1e-9, 1000.0), (86_400.0 * 30,), (0.01, 0.01)],
    ids=["one", "zero", "a decade", "very wide", "a month", "equal"],
)
def test_distributions_stay_between_their_axes(values: tuple[float, ...]) -> None:
    row = DistributionRow("frame", histogram_of(*values), histogram_of(*values))
    plot = distribution_plot([row], LEGEND)
    assert drawn_x(plot)
    assert all(LEFT - 0.1 <= x <= RIGHT + 0.1 for x in drawn_x(plot))
    assert all(0 <= y <= 48 for y in drawn_y(plot))


def test_a_bucket_across_two_cells_counts_once() -> None:
    histogram = histogram_of(*(0.01 * 1.003**power for power in range(700)))
    cells = report_plots._density(histogram, report_plots._axis_around([histogram]))
    assert sum(cells) == pytest.approx(700)
    inner = [cell for cell in cells if cell][1:-1]
    assert max(inner) == pytest.approx(min(inner), rel=0.2)


def test_slower_is_further_right_and_as_high() -> None:
    rows = [DistributionRow(str(s), histogram_of(s), Histogram()) for s in (0.01, 0.1)]
    plot = distribution_plot(rows, LEGEND)
    fast, slow = (drawn_x(f'<path d="{p.get("d")}"/>') for p in parsed(plot).iter("path"))
    assert max(fast) < min(slow)


def test_the_median_is_written_and_marked() -> None:
    row = DistributionRow("frame", histogram_of(0.01, 0.02, 0.5), Histogram())
    texts = [node.text for node in parsed(distribution_plot([row], LEGEND)).iter("text")]
    assert "p99 500 ms" in texts
    assert any(re.fullmatch(r"p50 (19\.9|20\.[01]) ms", told or "") for told in texts)


def test_ticks_thin_out_where_many_powers_of_ten_are_shown() -> None:
    narrow = distribution_plot([DistributionRow("a", histogram_of(0.01), Histogram())], LEGEND)
    wide = distribution_plot([DistributionRow("a", histogram_of(1e-4, 99), Histogram())], LEGEND)
    ticks = [
        [node.text for node in parsed(plot).iter("text") if node.get("class") == "tick"]
        for plot in (narrow, wide)
    ]
    assert ticks == [
        ["10", "20", "50", "100", "ms"],
        ["0.1", "1", "10", "100", "1,000", "10,000", "100,000", "ms"],
    ]


def test_a_kind_that_never_succeeded_has_an_empty_row() -> None:
    rows = [
        DistributionRow(name, histogram_of(*v), Histogram())
        for name, v in (("a", [1.0]), ("b", []))
    ]
    plot = distribution_plot(rows, LEGEND)
    labels = [n.text for n in parsed(plot).iter("text") if n.get("class") == "label"]
    assert labels == ["a", "b"]
    assert len(list(parsed(plot).iter("path"))) == 1


def test_answers_without_bytes_lie_on_the_base_line() -> None:
    bins = [Bin(float(at), 1.0, 1.0, 0.0, 1.0) for at in range(5)]
    data, *others = parsed(time_plot(bins, name="time", title="Time")).iter("path")
    assert data.get("d") == ""
    assert all(other.get("d") for other in others)


def test_without_values_there_is_no_plot() -> None:
    assert distribution_plot([DistributionRow("a", Histogram(), Histogram())], LEGEND) == ""
    assert distribution_plot([], LEGEND) == ""
    assert time_plot([Bin(0, 1, 1, 1, 1)], name="time", title="Time") == ""


def bins_of(span_s: float, count: int = 50) -> list[Bin]:
    timeline = Timeline()
    for number in range(count):
        begin_s = 1e9 + span_s * number / count
        timeline.add(Interval(begin_s, begin_s + span_s / 100, begin_s + span_s / count), 1000)
    return timeline.bins(40)


@pytest.mark.parametrize("span_s", [0.05, 3.0, 90.0, 5000.0, 86_400.0 * 3, 86_400.0 * 900])
def test_time_plots_stay_inside_and_have_a_readable_axis(span_s: float) -> None:
    plot = time_plot(bins_of(span_s), name="time", title="Time")
    assert all(LEFT - 0.1 <= x <= WIDTH - 19.9 for x in drawn_x(plot))
    ticks = [n.text or "" for n in parsed(plot).iter("text") if n.get("text-anchor") == "middle"]
    assert 3 <= len(ticks) <= 10
    assert len(set(ticks)) == len(ticks)
    assert ticks[0][0] == "0"


@pytest.mark.parametrize(
    ("span_s", "second"),
    [
        (0.05, "10 ms"),
        (3, "0.5 s"),
        (90, "10 s"),
        (5000, "10 min"),
        (86_400 * 3, "12:00 h"),
        (86_400 * 30, "5 d"),
    ],
)
def test_axis_labels_have_the_unit_of_their_span(span_s: float, second: str) -> None:
    plot = time_plot(bins_of(span_s), name="time", title="Time")
    ticks = [n.text for n in parsed(plot).iter("text") if n.get("text-anchor") == "middle"]
    assert ticks[1] == second


def test_minutes_and_seconds_are_told_apart() -> None:
    plot = time_plot(bins_of(120), name="time", title="Time")
    ticks = [n.text for n in parsed(plot).iter("text") if n.get("text-anchor") == "middle"]
    assert ticks[:6] == ["0 s", "15 s", "30 s", "45 s", "1:00", "1:15"]


def test_each_bin_tells_its_figures_under_the_pointer() -> None:
    bins = bins_of(10)
    plot = time_plot(bins, name="time", title="Time")
    hover = [node for node in parsed(plot).iter("rect") if node.get("class") == "hover"]
    assert len(hover) == len(bins)
    title = hover[0].find("title")
    assert title is not None
    assert re.fullmatch(r".* to .*: .*B/s · .* requests/s · .* in flight", title.text or "")


@pytest.mark.parametrize("is_time", [False, True], ids=["distribution", "time"])
def test_every_drawing_has_a_title_and_a_description(*, is_time: bool) -> None:
    row = DistributionRow("frame", histogram_of(0.01), Histogram())
    if is_time:
        plot = time_plot(bins_of(10), name="latency", title="Latency")
    else:
        plot = distribution_plot([row], LEGEND)
    drawing = parsed(plot).find(".//svg")
    assert drawing is not None
    assert drawing.get("role") == "img"
    labels = (drawing.get("aria-labelledby") or "").split()
    named = {node.get("id"): node.text for node in drawing}
    assert [bool(named[label]) for label in labels] == [True, True]
    assert named["latency-title"] == "Latency"
