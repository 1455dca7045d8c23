"""Figures per kind: what counts where, and what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.jobs.report import MAX_PROBLEMS_NAMED, Content, collect
from asyncdicom.jobs.report_kinds import Kind
from asyncdicom.jobs.report_records import Trouble
from tests.support.dump_records import INSTANCE, SERIES, STUDY, frame_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

FRAME = f"{INSTANCE}/frames/1"


def test_each_kind_has_its_own_figures(tmp_path: Path) -> None:
    for path in (f"{STUDY}/metadata", f"{SERIES}/metadata", f"{INSTANCE}/metadata", FRAME):
        write_record(tmp_path, path)
    write_record(tmp_path, f"{INSTANCE}/frames/2")
    report = collect(tmp_path)
    assert [(kind, one.requests) for kind, one in report.listed()] == [
        (Kind.STUDY_METADATA, 1),
        (Kind.SERIES_METADATA, 1),
        (Kind.INSTANCE_METADATA, 1),
        (Kind.FRAME, 2),
    ]
    assert (report.total.requests, report.total.byte_count) == (5, 5000)


def test_latencies_are_those_of_requests_that_succeeded(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(10, 12))
    failed = frame_record(1, 2, response_statusCode=404, error={"reason": "not-found"})
    write_record(tmp_path, f"{INSTANCE}/frames/2", failed)
    frames = collect(tmp_path).kinds[Kind.FRAME]
    assert (frames.last_byte_s.count, frames.last_byte_s.minimum) == (1, 0.012)
    assert (frames.first_byte_s.count, frames.waiting_s.count) == (1, 2)
    assert (frames.failed, frames.reasons.most_common()) == (1, [("not-found", 1)])
    assert frames.statuses.most_common() == [(200, 1), (404, 1)]


def test_retries_are_counted_beyond_the_first_attempt(tmp_path: Path) -> None:
    for number, attempts in enumerate((1, 2, 4)):
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", frame_record(attempts=attempts))
    frames = collect(tmp_path).kinds[Kind.FRAME]
    assert (frames.retried, frames.extra_attempts) == (2, 4)


def test_records_without_times_count_but_have_no_place_in_the_timeline(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(startedAt=None))
    lost = frame_record(response=None, error={"reason": "connection-lost"})
    write_record(tmp_path, f"{INSTANCE}/frames/2", lost)
    report = collect(tmp_path)
    assert (report.total.requests, report.untimed, report.timeline.requests) == (2, 2, 0)
    assert report.per_s(100) is None


def test_rates_are_per_active_second(tmp_path: Path) -> None:
    times = ("2025-03-04T09:30:00Z", "2025-03-04T10:30:00Z")
    for number, started in enumerate(times):
        record = frame_record(1_000, 10_000, startedAt=started)
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", record)
    report = collect(tmp_path)
    assert report.timeline.span_s == pytest.approx(3610)
    assert report.per_s(2000) == pytest.approx(100, rel=0.1)


def test_an_answer_without_times_counts_in_no_latency(tmp_path: Path) -> None:
    record = frame_record(response_timeToFirstByteInMS=None, response_timeToLastByteInMS=None)
    write_record(tmp_path, FRAME, record)
    report = collect(tmp_path)
    frames = report.kinds[Kind.FRAME]
    assert (frames.requests, frames.first_byte_s.count, frames.last_byte_s.count) == (1, 0, 0)
    assert report.slowest.ranked() == []


@pytest.mark.parametrize("first_byte", [None, 5000.0], ids=["missing", "after the last"])
def test_a_doubtful_first_byte_puts_the_bytes_at_the_end(
    tmp_path: Path, first_byte: float | None
) -> None:
    write_record(tmp_path, FRAME, frame_record(response_timeToFirstByteInMS=first_byte))
    bins = collect(tmp_path).timeline.bins()
    assert [one.byte_count for one in bins][-1] == 1000


def test_the_slowest_are_listed_failed_ones_too_without_credentials(tmp_path: Path) -> None:
    for number in range(5):
        url = f"https://me:secret@host/studies/{number}?token=secret"
        record = frame_record(10, 100 + number, url=url)
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", record)
    timed_out = frame_record(10, 9000, response_statusCode=504, error={"reason": "stalled"})
    write_record(tmp_path, f"{INSTANCE}/frames/9", timed_out)
    ranked = collect(tmp_path, slowest=3).slowest.ranked()
    assert [value for value, _ in ranked] == pytest.approx([9.0, 0.104, 0.103])
    assert [item.reason for _, item in ranked] == ["stalled", None, None]
    assert ranked[1][1].url == "https://host/studies/4"


def test_contents_are_those_of_parts_or_else_of_the_payload(tmp_path: Path) -> None:
    write_record(tmp_path, FRAME)
    metadata = frame_record(
        multipart=[], response_headers={"Content-Type": "Application/DICOM+JSON"}
    )
    write_record(tmp_path, f"{STUDY}/metadata", metadata)
    odd = frame_record(multipart=[], response_headers={"Content-Type": "no type at all"})
    write_record(tmp_path, f"{SERIES}/metadata", odd)
    failed = frame_record(multipart=[], error={"reason": "x"})
    write_record(tmp_path, f"{INSTANCE}/metadata", failed)
    assert {content for content, _ in collect(tmp_path).contents.most_common()} == {
        Content("application/octet-stream", "1.2.840.10008.1.2.1"),
        Content("application/dicom+json", ""),
        Content("no type at all", ""),
    }


def test_parts_are_counted_per_answer(tmp_path: Path) -> None:
    parts: list[dict[str, Any]] = [{"headers": {}, "length": length} for length in (10, 20, 30)]
    write_record(tmp_path, FRAME, frame_record(multipart=parts))
    write_record(tmp_path, f"{INSTANCE}/frames/2", frame_record(multipart=[]))
    frames = collect(tmp_path).kinds[Kind.FRAME]
    assert (frames.parts_per_answer.count, frames.parts_per_answer.maximum) == (1, 3)
    assert (frames.part_bytes.minimum, frames.part_bytes.total) == (10, 60)


def test_problems_are_all_counted_and_the_first_ones_named(tmp_path: Path) -> None:
    write_record(tmp_path, FRAME)
    for number in range(MAX_PROBLEMS_NAMED + 5):
        write_record(tmp_path, f"broken{number}", b"{")
    report = collect(tmp_path)
    assert report.troubles[Trouble.DAMAGED] == MAX_PROBLEMS_NAMED + 5
    assert len(report.problems) == MAX_PROBLEMS_NAMED


def test_labels_that_a_server_chose_are_bounded_in_length_and_number(tmp_path: Path) -> None:
    for number in range(100):
        record = frame_record(
            error={"reason": f"{number}" + "x" * 10_000}, response_httpVersion="v" * 10_000
        )
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", record)
    frames = collect(tmp_path).kinds[Kind.FRAME]
    assert (len(frames.reasons), frames.reasons.other) == (64, 36)
    assert all(len(reason) <= 120 for reason, _ in frames.reasons.most_common())
    assert [len(version) for version, _ in frames.http_versions.most_common()] == [120]


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "no such file or directory"), ("file", "not a folder")],
)
def test_what_is_no_folder_is_a_sentence(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"{message}: .*{name}; give the folder of a dump"):
        collect(tmp_path / name)
