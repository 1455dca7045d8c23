"""The counters of a receiver as Prometheus reads them (text exposition format 0.0.4).

    page = Page(prometheus_text(receiver.statistics()), CONTENT_TYPE)

Rule: nothing here names a peer or a patient: labels are statuses of the Standard alone, so
that their number is bounded whatever peers send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.protocol.dimse.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.receiver.statistics import ReceiverStatistics

__all__ = ["CONTENT_TYPE", "prometheus_text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "asyncdicom_receiver"


@dataclass(frozen=True, slots=True)
class _Metric:
    """A family of one sample."""

    name: str
    field: str
    """Of `ReceiverStatistics`."""
    help: str
    is_gauge: bool = False


METRICS = (
    _Metric(
        "connections", "connections", "Connections open now, associated or not.", is_gauge=True
    ),
    _Metric("associations", "associations", "Associations established now.", is_gauge=True),
    _Metric(
        "associations_peak", "associations_peak", "Most associations at one time.", is_gauge=True
    ),
    _Metric("associations_accepted_total", "accepted", "Associations established."),
    _Metric("associations_rejected_total", "rejected", "Associations refused."),
    _Metric("associations_aborted_total", "aborted", "Associations that were not released."),
    _Metric("echoes_total", "echoes", "C-ECHO requests answered."),
    _Metric("in_flight", "in_flight", "Data sets on their way now.", is_gauge=True),
    _Metric("in_flight_peak", "in_flight_peak", "Most data sets at one time.", is_gauge=True),
    _Metric("instances_stored_total", "stored", "Instances in place."),
    _Metric("instances_skipped_total", "skipped", "Instances whose data set was there already."),
    _Metric("instances_replaced_total", "replaced", "Instances stored in place of a file."),
    _Metric("instances_kept_beside_total", "kept_beside", "Instances stored beside a file."),
    _Metric("instances_ignored_total", "ignored", "Instances dropped, as was asked for."),
    _Metric("received_bytes_total", "byte_count", "Bytes of data sets, whatever became of them."),
    _Metric("studies_open", "open_studies", "Studies not yet told as complete.", is_gauge=True),
    _Metric("studies_completed_total", "completed_studies", "Studies told as complete."),
    _Metric("hooks_running", "hooks_running", "Commands that run now.", is_gauge=True),
    _Metric("hooks_run_total", "hooks_run", "Commands run."),
    _Metric("hooks_failed_total", "hooks_failed", "Commands that failed."),
)


ALWAYS_SHOWN = (
    Status.OUT_OF_RESOURCES,
    Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    Status.CANNOT_UNDERSTAND,
)
"""Statuses (PS3.4 §B.2.3) that are told from the first moment on."""


def prometheus_text(statistics: ReceiverStatistics) -> str:
    """Return all counters, one line each, behind what they mean."""
    return "\n".join(_lines(statistics)) + "\n"


def _lines(statistics: ReceiverStatistics) -> Iterator[str]:
    for metric in METRICS:
        yield from _family(metric.name, metric.help, is_gauge=metric.is_gauge)
        yield f"{PREFIX}_{metric.name} {getattr(statistics, metric.field)}"
    refused = "instances_refused_total"
    yield from _family(refused, "Instances refused, by the status that was answered.")
    # A counter that appears with its first count is not seen to rise by scrapers.
    statuses = {int(status): 0 for status in ALWAYS_SHOWN} | statistics.refused_by_status
    for status, count in sorted(statuses.items()):
        yield f'{PREFIX}_{refused}{{status="{status:04X}"}} {count}'


def _family(name: str, meaning: str, *, is_gauge: bool = False) -> Iterator[str]:
    yield f"# HELP {PREFIX}_{name} {meaning}"
    yield f"# TYPE {PREFIX}_{name} {'gauge' if is_gauge else 'counter'}"
