"""The report for a terminal: aligned, bounded in width, harmless whatever a record says."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli.report_text import comparison_text, report_text
from asyncdicom.jobs.report import collect
from tests.support.dump_records import INSTANCE, SERIES, STUDY, frame_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "\x1b[2J\u202e</script>\n\ttext"


def text_of(root: Path, columns: int = 80, slowest: int = 10) -> str:
    return report_text(collect(root, slowest=slowest), columns)


def section(text: str, title: str) -> list[str]:
    """Return the lines below a title, up to the next empty one."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(title))
    return list(takewhile(bool, lines))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    root = tmp_path / "out"
    write_record(root, f"{STUDY}/metadata", frame_record(200, 300, multipart=[]))
    write_record(root, f"{SERIES}/metadata", frame_record(50, 60, multipart=[]))
    for number in range(1, 41):
        started = f"2025-03-04T09:30:{number:02}Z"
        record = frame_record(10 + number, 12 + number, startedAt=started)
        write_record(root, f"{INSTANCE}/frames/{number}", record)
    return root


def test_the_summary_counts_and_rates(out: Path) -> None:
    failed = frame_record(response=None, error={"reason": "connection-lost"}, attempts=4)
    write_record(out, f"{INSTANCE}/frames/99", failed)
    lines = text_of(out).splitlines()[:5]
    assert lines[1] == "  43 requests, 1 failed, 1 retried · 42.0 kB · HTTP 2"
    assert lines[2].startswith("  2025-03-04 09:30:00 to 09:30:40 UTC: 40.1 s")
    assert "requests/s" in lines[3]
    assert lines[4] == "  1 record without times: not in the timeline"


def test_kinds_are_listed_with_a_total(out: Path) -> None:
    rows = section(text_of(out), "Requests")
    names = [row.split("  ")[1] for row in rows]
    assert names == ["kind", "study metadata", "series metadata", "frame", "total"]
    assert rows[3].split()[:4] == ["frame", "40", "0", "0"]


def test_one_kind_needs_no_total(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1")
    assert len(section(text_of(tmp_path), "Requests")) == 2


def test_columns_are_aligned(out: Path) -> None:
    for title in ("Requests", "Time to the first byte", "Time to the last byte", "Waiting"):
        assert len({len(row) for row in section(text_of(out), title)}) == 1


def test_latencies_are_in_milliseconds(out: Path) -> None:
    frame = section(text_of(out), "Time to the last byte")[3].split()
    assert (frame[0], frame[1], frame[5]) == ("frame", "13.0", "52.0")
    assert float(frame[2]) == pytest.approx(32, rel=0.005)


@pytest.mark.parametrize("columns", [20, 80, 100, 500])
def test_no_line_but_urls_and_names_is_wider_than_the_terminal(out: Path, columns: int) -> None:
    record = frame_record(
        error={"reason": "r" * 500},
        multipart=[],
        response_httpVersion="v" * 500,
        response_headers={"content-type": f"{'a' * 200}/b; transfer-syntax={'1' * 200}"},
    )
    write_record(out, f"{INSTANCE}/frames/98", record)
    width = min(max(columns, 80), 120)
    lines = text_of(out, columns).splitlines()
    too_wide = [line for line in lines[1:] if len(line) > width and "https://" not in line]
    assert too_wide == []


def test_the_timeline_draws_a_pause_as_nothing(tmp_path: Path) -> None:
    for number, minute in enumerate((30, 31)):
        record = frame_record(startedAt=f"2025-03-04T09:{minute}:00Z")
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", record)
    data, requests, in_flight = section(text_of(tmp_path), "Over time")
    for line in (data, requests, in_flight):
        drawn = line[14 : line.index("  up to")]
        assert drawn[0] not in " ▁"
        assert set(drawn[1:-1]) == {" "}


def test_without_any_times_the_summary_has_no_rates(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(response=None, error="x"))
    text = text_of(tmp_path)
    assert "1 record without times" in text
    assert "UTC" not in text


def test_a_run_of_one_moment_has_no_timeline(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(0, 0))
    assert "Over time" not in text_of(tmp_path)


def test_failures_are_listed_by_reason_with_statuses(out: Path) -> None:
    for number, (status, reason) in enumerate(((404, "not-found"), (503, "throttled"))):
        record = frame_record(response_statusCode=status, error={"reason": reason})
        write_record(out, f"{INSTANCE}/frames/{90 + number}", record)
    lines = section(text_of(out), "Failures")
    assert [line.split() for line in lines[1:3]] == [
        ["frame", "not-found", "1"],
        ["frame", "throttled", "1"],
    ]
    assert lines[3] == "  HTTP statuses: 200 (42), 404 (1), 503 (1)"


def test_the_slowest_have_their_whole_url_below_their_figures(out: Path) -> None:
    lines = section(text_of(out, slowest=2), "Slowest requests")
    assert lines[1].split() == ["300", "200", "1.00", "kB", "study", "metadata", "200"]
    assert lines[2].strip().startswith("https://archive.example/")
    assert len(lines) == 5


def test_none_of_the_slowest_were_asked_for(out: Path) -> None:
    assert "Slowest" not in text_of(out, slowest=0)


def test_contents_and_parts_are_listed(out: Path) -> None:
    text = text_of(out)
    (frame,) = section(text, "Multipart answers")[1:]
    assert frame.split()[:5] == ["frame", "40", "1", "1", "40"]
    assert section(text, "Content received")[1].split() == [
        "application/octet-stream",
        "1.2.840.10008.1.2.1",
        "40",
    ]


def test_more_than_the_limit_is_named_other(tmp_path: Path) -> None:
    for number in range(70):
        headers = {"content-type": f"a/b{number}"}
        record = frame_record(multipart=[], response_headers=headers)
        write_record(tmp_path, f"{STUDY}.{number}/metadata", record)
        failed = frame_record(error=f"reason {number}")
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", failed)
    text = text_of(tmp_path)
    assert section(text, "Content received")[-1].split() == ["(other)", "-", "6"]
    assert section(text, "Failures")[-2].split() == ["frame", "(other)", "6"]


def test_what_was_not_counted_is_named_and_the_rest_numbered(out: Path) -> None:
    for number in range(25):
        write_record(out, f"broken{number}", b"{")
    lines = section(text_of(out), "Not counted: 25 damaged")
    assert len(lines) == 21
    assert lines[-1] == "  and 5 more"


def test_nothing_that_a_record_says_reaches_the_terminal_raw(tmp_path: Path) -> None:
    root = tmp_path / f"out{HOSTILE.replace('/', '')}"
    record = frame_record(
        url=f"https://me:secret@host/{HOSTILE}?secret",
        error={"reason": HOSTILE},
        response_httpVersion=HOSTILE,
        multipart=[{"headers": {"content-type": HOSTILE}, "length": 1}],
    )
    write_record(root, f"{INSTANCE}/frames/1", record)
    write_record(root, "bad\x1b[2Jname", b"{")
    ok = frame_record(multipart=[{"headers": {"content-type": HOSTILE}, "length": 1}])
    write_record(root, f"{INSTANCE}/frames/2", ok)
    for text in (text_of(root), comparison_text(collect(root), collect(root))):
        assert all(character.isprintable() for character in text.replace("\n", ""))
        assert "secret" not in text
        assert "\n\ttext" not in text


def test_a_comparison_shows_both_sides_and_the_ratio(out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_record(other, f"{INSTANCE}/frames/1", frame_record(100, 240))
    write_record(other, "broken", b"{")
    text = comparison_text(collect(out), collect(other))
    lines = text.splitlines()
    assert lines[:3] == [f"A: {out}", f"B: {other}", "  Not counted in B: 1 damaged"]
    assert any(line.split() == ["frame", "requests", "40", "1", "0.03x"] for line in lines)
    assert any(line.split()[:3] == ["last", "byte", "p50,"] for line in lines)
