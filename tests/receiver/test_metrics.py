"""Counters as Prometheus reads them: all of them, named and typed as its format says."""

from __future__ import annotations

import re
from dataclasses import fields

from asyncdicom.receiver.metrics import METRICS, prometheus_text
from asyncdicom.receiver.statistics import ReceiverStatistics

SAMPLE = re.compile(r'(asyncdicom_receiver_[a-z_]+)(?:\{status="([0-9A-F]{4})"\})? ([0-9]+)')


def samples(text: str) -> dict[tuple[str, str | None], int]:
    """Return values by name and status; every other line has to be a comment."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            found[match[1].removeprefix("asyncdicom_receiver_"), match[2]] = int(match[3])
    return found


def test_every_counter_is_told() -> None:
    told = {metric.field for metric in METRICS} | {"refused", "refused_by_status"}
    assert {one.name for one in fields(ReceiverStatistics)} == told


def test_values_are_those_of_the_counters() -> None:
    statistics = ReceiverStatistics()
    for number, metric in enumerate(METRICS, 1):
        setattr(statistics, metric.field, number)
    found = samples(prometheus_text(statistics))
    assert [found[one.name, None] for one in METRICS] == list(range(1, len(METRICS) + 1))


def test_refusals_are_told_by_status_from_the_first_moment_on() -> None:
    statistics = ReceiverStatistics(refused=5, refused_by_status={0xA700: 2, 0x0117: 3})
    found = samples(prometheus_text(statistics))
    refused = {status: n for (name, status), n in found.items() if name.startswith("instances_ref")}
    assert refused == {"0117": 3, "A700": 2, "A900": 0, "C000": 0}


def test_each_family_is_explained_and_typed_before_its_samples() -> None:
    lines = prometheus_text(ReceiverStatistics()).splitlines()
    explained: dict[str, str] = {}
    for line in lines:
        if line.startswith("# HELP "):
            assert re.fullmatch(r"# HELP [a-z_]+ \S.*\.", line)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in explained
            explained[name] = kind
            assert (kind == "counter") == name.endswith("_total")
        else:
            assert re.split(r"[{ ]", line)[0] in explained


def test_the_text_ends_with_a_line_end() -> None:
    assert prometheus_text(ReceiverStatistics()).endswith("\n")
