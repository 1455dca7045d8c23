"""The plots of the HTML report, as inline SVG without scripts.

Two plots: how latencies are distributed per kind, on a logarithmic axis, and
what happened over time. Colours are classes of the template's style sheet, so
that both colour schemes and paper work. What a plot shows also stands in a
table; its description says which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.cli.markup import Markup, element, joined
from asyncdicom.cli.report_format import as_bytes, as_duration, as_milliseconds, as_per_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from asyncdicom.policy.statistics import Histogram
    from asyncdicom.policy.timeline import Bin

__all__ = ["DistributionRow", "Legend", "distribution_plot", "time_plot"]

WIDTH = 960
_LEFT, _RIGHT = 150, 130
_ROW_HEIGHT, _AXIS_HEIGHT = 48, 26
_PANEL_HEIGHT, _PANEL_GAP = 96, 30
_CELLS = 80


@dataclass(frozen=True, slots=True)
class Legend:
    """What a distribution plot is called, and what its two shapes are."""

    name: str
    """Identifier within the page: letters and hyphens."""
    title: str
    filled: str
    outlined: str


@dataclass(frozen=True, slots=True)
class DistributionRow:
    """One kind: a filled shape with an outline before it."""

    label: str
    filled: Histogram
    outlined: Histogram
    """Values are in seconds."""


@dataclass(frozen=True, slots=True)
class _LogAxis:
    """Maps seconds to pixels, logarithmically."""

    low_s: float
    high_s: float

    def x(self, value_s: float) -> float:
        share = math.log(max(value_s, self.low_s) / self.low_s) / math.log(self.high_s / self.low_s)
        return _LEFT + min(share, 1.0) * (WIDTH - _LEFT - _RIGHT)

    def ticks(self) -> Iterator[float]:
        """Yield 1, 2, 5 of each power of ten, or the powers alone where it gets narrow."""
        decades = math.log10(self.high_s / self.low_s)
        steps = (1,) if decades > 3 else (1, 2, 5)
        for power in range(
            math.floor(math.log10(self.low_s)), math.ceil(math.log10(self.high_s)) + 1
        ):
            for step in steps:
                value_s = step * 10.0**power
                if self.low_s * 0.999 <= value_s <= self.high_s * 1.001:
                    yield value_s


def distribution_plot(rows: Sequence[DistributionRow], legend: Legend) -> Markup:
    """Draw one row per kind; each is as high as its most frequent latency."""
    histograms = [h for row in rows for h in (row.filled, row.outlined) if h.count]
    if not histograms:
        return Markup()
    axis = _axis_around(histograms)
    height = _ROW_HEIGHT * len(rows) + _AXIS_HEIGHT
    shapes = [_row(row, at * _ROW_HEIGHT, axis) for at, row in enumerate(rows)]
    described = (
        f"One row per kind on a logarithmic axis of milliseconds. Filled: {legend.filled}."
        f" Outlined: {legend.outlined}. The figures are in the table of latencies."
    )
    drawing = _svg(legend.name, legend.title, described, height, _grid(axis, height), *shapes)
    return joined(_legend(legend), _scrolled(drawing, legend.title))


def _axis_around(histograms: Sequence[Histogram]) -> _LogAxis:
    """Choose ends at 1, 2 or 5 of a power of ten, at least one power apart."""
    low_s = max(min(h.minimum for h in histograms), 1e-5)
    high_s = max(*(h.maximum for h in histograms), low_s * 1.01)
    ends = [step * 10.0**power for power in range(-6, 8) for step in (1, 2, 5)]
    low_s = max(end for end in ends if end <= low_s)
    return _LogAxis(low_s, max(min(end for end in ends if end >= high_s), low_s * 10))


def _grid(axis: _LogAxis, height: float) -> Markup:
    bottom = height - _AXIS_HEIGHT
    lines = []
    for value_s in axis.ticks():
        x = axis.x(value_s)
        lines.append(element("line", class_="grid", x1=x, x2=x, y1=0, y2=bottom))
        label = f"{value_s * 1000:,.10g}"
        lines.append(
            element("text", label, class_="tick", x=x, y=bottom + 17, text_anchor="middle")
        )
    lines.append(element("text", "ms", class_="tick", x=WIDTH - _RIGHT + 32, y=bottom + 17))
    return joined(*lines)


def _row(row: DistributionRow, top: float, axis: _LogAxis) -> Markup:
    base = top + _ROW_HEIGHT - 1
    room = _ROW_HEIGHT - 12
    pieces = [
        element("line", class_="base", x1=_LEFT, x2=WIDTH - _RIGHT, y1=base, y2=base),
        element("text", row.label, class_="label", x=_LEFT - 12, y=base - 12, text_anchor="end"),
        _shape(row.filled, base, room, axis, "filled"),
        _shape(row.outlined, base, room, axis, "outlined"),
    ]
    if row.filled.count:
        pieces += _marks(row.filled, base, axis)
    return joined(*pieces)


def _marks(histogram: Histogram, base: float, axis: _LogAxis) -> list[Markup]:
    """Mark median and 99th percentile, and write them at the end of the row."""
    x = WIDTH - _RIGHT + 12
    marks = []
    for share, offset in ((0.5, 20), (0.99, 5)):
        value_s = histogram.quantile(share)
        at = axis.x(value_s)
        name = f"p{share * 100:.0f}"
        told = f"{name} {as_milliseconds(value_s)} ms"
        line = element(
            "line",
            element("title", told),
            class_=f"mark {name}",
            x1=at,
            x2=at,
            y1=base,
            y2=base - _ROW_HEIGHT + 10,
        )
        marks += [line, element("text", told, class_="value", x=x, y=base - offset)]
    return marks


def _shape(histogram: Histogram, base: float, room: float, axis: _LogAxis, name: str) -> Markup:
    if not histogram.count:
        return Markup()
    cells = _density(histogram, axis)
    highest = max(cells)
    width = (WIDTH - _LEFT - _RIGHT) / _CELLS
    points = ((_LEFT + at * width, base - room * cell / highest) for at, cell in enumerate(cells))
    return element("path", class_=name, d=_steps(points, _LEFT + _CELLS * width, base))


def _density(histogram: Histogram, axis: _LogAxis) -> list[float]:
    """Share the buckets out to cells of equal width on the axis.

    A bucket that lies across two cells counts in both in proportion: else the
    bars would show a pattern of the two grids, not of the data.
    """
    cells = [0.0] * _CELLS
    per_pixel = _CELLS / (WIDTH - _LEFT - _RIGHT)
    for low_s, high_s, count in histogram.buckets():
        begin = (axis.x(low_s) - _LEFT) * per_pixel
        end = (axis.x(high_s) - _LEFT) * per_pixel
        first, last = min(int(begin), _CELLS - 1), min(int(end), _CELLS - 1)
        if first == last:
            cells[first] += count
        else:
            share = (last - begin) / (end - begin)
            cells[first] += count * share
            cells[last] += count * (1 - share)
    return cells


def _steps(points: Iterable[tuple[float, float]], right: float, base: float) -> str:
    """Write a path of steps; no line is drawn along the base."""
    pieces: list[str] = []
    previous = base
    for x, y in points:
        if abs(y - previous) < 0.05:
            continue
        is_start, is_end = previous == base, base - y < 0.05
        pieces.append(f"M{x:.1f},{base:.1f}" if is_start else f"H{x:.1f}")
        pieces.append(f"V{base:.1f}" if is_end else f"V{y:.1f}")
        previous = base if is_end else y
    if previous != base:
        pieces.append(f"H{right:.1f}V{base:.1f}")
    return "".join(pieces)


@dataclass(frozen=True, slots=True)
class _Panel:
    """One quantity over time."""

    label: str
    write: Callable[[float], str]
    write_tick: Callable[[float], str]
    values: Sequence[float]


def time_plot(bins: Sequence[Bin], *, name: str, title: str) -> Markup:
    """Draw data rate, request rate and requests in flight above one axis of time."""
    if len(bins) < 2:
        return Markup()
    panels = (
        _Panel("data/s", as_bytes, as_bytes, [one.byte_count / one.width_s for one in bins]),
        _Panel("requests/s", as_per_s, _round, [one.requests / one.width_s for one in bins]),
        _Panel("in flight", as_per_s, _round, [one.in_flight for one in bins]),
    )
    pitch = _PANEL_HEIGHT + _PANEL_GAP
    height = pitch * len(panels) + 12
    drawn = [_panel(panel, bins, at * pitch + 18) for at, panel in enumerate(panels)]
    axis = _time_axis(bins, height - _AXIS_HEIGHT)
    hover = _hover(bins, panels, height - _AXIS_HEIGHT)
    described = (
        f"Three areas over {as_duration(_end_s(bins))}: data per second, up to"
        f" {as_bytes(max(panels[0].values))}; requests per second, up to"
        f" {as_per_s(max(panels[1].values))}; requests in flight, up to"
        f" {as_per_s(max(panels[2].values))}."
    )
    return _scrolled(_svg(name, title, described, height, *drawn, axis, hover), title)


def _end_s(bins: Sequence[Bin]) -> float:
    return bins[-1].offset_s + bins[-1].width_s


def _time_x(offset_s: float, bins: Sequence[Bin]) -> float:
    return _LEFT + offset_s / _end_s(bins) * (WIDTH - _LEFT - 20)


def _panel(panel: _Panel, bins: Sequence[Bin], top: float) -> Markup:
    base = top + _PANEL_HEIGHT
    highest = _nice(max(panel.values)) or 1
    pieces = [element("text", panel.label, class_="label", x=0, y=top + 12)]
    for share in (0, 0.5, 1):
        y = base - share * _PANEL_HEIGHT
        name = "grid" if share else "base"
        pieces += [
            element("line", class_=name, x1=_LEFT, x2=WIDTH - 20, y1=y, y2=y),
            element(
                "text",
                panel.write_tick(highest * share) if share else "0",
                class_="tick",
                x=_LEFT - 8,
                y=y + 4,
                text_anchor="end",
            ),
        ]
    points = (
        (_time_x(one.offset_s, bins), base - value / highest * _PANEL_HEIGHT)
        for one, value in zip(bins, panel.values, strict=True)
    )
    area = element("path", class_="filled", d=_steps(points, WIDTH - 20, base))
    return joined(*pieces, area)


def _round(value: float) -> str:
    """Write a round number without the digits that only floats have."""
    return f"{value:,.6g}" if value < 1e6 else f"{value:,.0f}"


def _nice(value: float) -> float:
    """Round up to 1, 1.5, 2, 3, 4, 5, 6 or 8 of a power of ten."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return next((step * power for step in steps if step * power >= value * 0.999), 10 * power)


_TIME_STEPS_S = (
    *(step * 10.0**power for power in range(-6, 1) for step in (1, 2, 5)),
    *(10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0),
    *(3600.0 * hours for hours in (1, 2, 3, 6, 12)),
    *(86_400.0 * step * 10**power for power in range(8) for step in (1, 2, 5)),
)


def _time_axis(bins: Sequence[Bin], top: float) -> Markup:
    end_s = _end_s(bins)
    step_s = next(step for step in _TIME_STEPS_S if end_s / step <= 9)
    pieces = []
    for at in range(math.floor(end_s / step_s) + 1):
        x = _time_x(at * step_s, bins)
        told = _clock(at * step_s, step_s)
        pieces.append(element("line", class_="base", x1=x, x2=x, y1=top + 2, y2=top + 7))
        pieces.append(element("text", told, class_="tick", x=x, y=top + 21, text_anchor="middle"))
    return joined(*pieces)


def _clock(value_s: float, step_s: float) -> str:
    """Write a time since the start as precisely as the steps of its axis need."""
    if step_s >= 86_400:
        return f"{value_s / 86_400:,.0f} d"
    if step_s >= 60:
        hours, minutes = divmod(round(value_s / 60), 60)
        return f"{hours}:{minutes:02d} h" if hours else f"{minutes} min"
    if step_s >= 1 and value_s >= 60:
        return f"{value_s // 60:.0f}:{value_s % 60:02.0f}"
    return f"{value_s:.10g} s" if step_s >= 0.1 else f"{value_s * 1000:.10g} ms"


def _hover(bins: Sequence[Bin], panels: Sequence[_Panel], height: float) -> Markup:
    """Lay a transparent column over each bin, which tells its figures under the pointer."""
    columns = []
    for at, one in enumerate(bins):
        x = _time_x(one.offset_s, bins)
        told = " · ".join(f"{panel.write(panel.values[at])} {panel.label}" for panel in panels)
        begin, end = as_duration(one.offset_s), as_duration(one.offset_s + one.width_s)
        title = element("title", f"{begin} to {end}: {told}".replace(" data/s", "/s"))
        width = _time_x(one.offset_s + one.width_s, bins) - x
        columns.append(element("rect", title, class_="hover", x=x, y=0, width=width, height=height))
    return joined(*columns)


def _svg(name: str, title: str, description: str, height: float, *content: Markup) -> Markup:
    labels = (
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
    )
    return element(
        "svg",
        *labels,
        *content,
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _scrolled(drawing: Markup, title: str) -> Markup:
    return element("div", drawing, class_="scroll", tabindex="0", role="region", aria_label=title)


def _legend(legend: Legend) -> Markup:
    return element(
        "p",
        element("span", "", class_="key filled-key", aria_hidden="true"),
        f" {legend.filled}  ",
        element("span", "", class_="key outlined-key", aria_hidden="true"),
        f" {legend.outlined}",
        class_="legend",
    )
