"""The tables of the page: which figure stands in which column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli import report_tables
from asyncdicom.jobs.report import collect
from tests.support.dump_records import INSTANCE, STUDY, frame_record, write_record

if TYPE_CHECKING:
    from pathlib import Path


def rows_of(markup: str) -> list[list[str]]:
    """Return the text of each cell of each row of the body."""
    body = markup[markup.index("<tbody>") : markup.index("</tbody>")]
    rows = re.findall(r"<tr.*?</tr>", body)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[re.sub(r"<.*?>", "", cell) for cell in row] for row in cells]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(10, 20, attempts=3))
    failed = frame_record(1, 40, response_statusCode=503, error={"reason": "throttled"})
    write_record(tmp_path, f"{INSTANCE}/frames/2", failed)
    plain = {"content-type": "application/dicom+json"}
    write_record(
        tmp_path, f"{STUDY}/metadata", frame_record(5, 8, multipart=[], response_headers=plain)
    )
    write_record(tmp_path, "broken", b"{")
    return tmp_path


def test_requests(out: Path) -> None:
    rows = rows_of(report_tables.requests(collect(out)))
    assert [row[:5] for row in rows] == [
        ["study metadata", "1", "0", "0", "1.00 kB"],
        ["frame", "2", "1", "1", "2.00 kB"],
        ["total", "3", "1", "1", "3.00 kB"],
    ]
    assert [row[-1] for row in rows] == ["2", "2", "2"]


def test_latencies(out: Path) -> None:
    metadata = rows_of(report_tables.latencies(collect(out)))[0]
    assert metadata == ["study metadata", "0.50", "0.50", *["5.00"] * 5, *["8.00"] * 5]


def test_latencies_of_a_kind_that_never_succeeded_are_dashes(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(error="x", response=None))
    assert rows_of(report_tables.latencies(collect(tmp_path))) == [["frame", *["-"] * 12]]


def test_slowest(out: Path) -> None:
    rows = rows_of(report_tables.slowest(collect(out, slowest=2)))
    assert [row[:7] for row in rows] == [
        ["40.0", "", "1.00", "1.00 kB", "throttled", "1", "frame"],
        ["20.0", "", "10.0", "1.00 kB", "200", "3", "frame"],
    ]
    assert rows[0][7].startswith("https://archive.example/")


def test_bars_are_as_long_as_the_requests_took(out: Path) -> None:
    widths = re.findall(r'width="([0-9.]+)"', report_tables.slowest(collect(out, slowest=2)))
    assert [float(width) for width in widths] == [2.8, 107.2, 27.5, 27.5]


def test_a_request_that_took_no_time_has_an_empty_bar(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(0, 0))
    widths = re.findall(r'width="([0-9.]+)"', report_tables.slowest(collect(tmp_path)))
    assert widths == ["0", "0"]


def test_failures(out: Path) -> None:
    table = report_tables.failures(collect(out))
    assert rows_of(table) == [["frame", "throttled", "1"]]
    assert "HTTP statuses: 200 (2), 503 (1)" in table


def test_parts(out: Path) -> None:
    (frame,) = rows_of(report_tables.parts(collect(out)))
    assert frame == ["frame", "2", "2", "1", "1", *["800 B"] * 4]


def test_contents(out: Path) -> None:
    assert rows_of(report_tables.contents(collect(out))) == [
        ["application/dicom+json", "-", "1"],
        ["application/octet-stream", "1.2.840.10008.1.2.1", "1"],
    ]


def test_problems(out: Path) -> None:
    table = report_tables.problems(collect(out))
    assert rows_of(table) == [["broken.dump.json", "damaged", "no JSON: unexpected end of data"]]
    assert "1 damaged" in table


def test_comparison(out: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    write_record(other, f"{INSTANCE}/frames/1", frame_record(30, 60))
    rows = rows_of(report_tables.comparison(collect(out), collect(other)))
    assert rows[0] == ["total", "requests", "3", "1", "0.33x"]
    assert ["frame", "requests", "2", "1", "0.50x"] in rows
    assert rows[-1] == ["", "last byte p99, ms", "20.0", "60.0", "3.00x"]


def test_what_goes_beyond_the_limits_is_named_other(tmp_path: Path) -> None:
    for number in range(70):
        headers = {"content-type": f"a/b{number}"}
        record = frame_record(multipart=[], response_headers=headers)
        write_record(tmp_path, f"{STUDY}.{number}/metadata", record)
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", frame_record(error=f"e{number}"))
    report = collect(tmp_path)
    assert rows_of(report_tables.contents(report))[-1] == ["(other)", "-", "6"]
    assert rows_of(report_tables.failures(report))[-1] == ["frame", "(other)", "6"]


def test_without_rows_there_is_no_table(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(multipart=[]))
    report = collect(tmp_path, slowest=0)
    for table in (report_tables.slowest, report_tables.failures, report_tables.parts):
        assert table(report) == ""
    assert report_tables.problems(report) == ""
