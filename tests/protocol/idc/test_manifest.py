from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.protocol.idc.manifest import (
    ManifestEntry,
    ManifestId,
    ManifestUrl,
    NotUnderstood,
    read_manifest,
)

UUID = "cb09464a-c5cc-4428-9339-d7fa87cfe837"
OTHER = "88f3990d-bdef-49cd-9b2b-4787767240f2"
BUCKET = "idc-open-data"


def entries_of(*lines: str) -> list[ManifestEntry]:
    return list(read_manifest(f"{line}\n" for line in lines))


def series_of(uuid: str = UUID, *, line: int = 1, scheme: str = "s3") -> ManifestUrl:
    return ManifestUrl(line, scheme, BUCKET, f"{uuid}/")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"cp s3://{BUCKET}/{UUID}/* .", id="a command of s5cmd"),
        pytest.param(f"cp s3://{BUCKET}/{UUID}/* data/x", id="with a destination"),
        pytest.param(f"cp 's3://{BUCKET}/{UUID}/*' \"my data\"", id="with quotes"),
        pytest.param(f"cp --sp s3://{BUCKET}/{UUID}/* .", id="with an option"),
        pytest.param(f"s5cmd --no-sign-request cp s3://{BUCKET}/{UUID}/* .", id="the program, too"),
        pytest.param(f'cp "s3://{BUCKET}/{UUID}/* .', id="a quote that is not closed"),
        pytest.param(f"s3://{BUCKET}/{UUID}/*", id="bare"),
        pytest.param(f"s3://{BUCKET}/{UUID}/", id="bare, without a star"),
        pytest.param(f"s3://{BUCKET}/{UUID}", id="bare, without a slash"),
        pytest.param(f"  s3://{BUCKET}/{UUID}/*\r", id="blanks and a line end of Windows"),
        pytest.param(f"\ufeffs3://{BUCKET}/{UUID}/*", id="a byte order mark"),
        pytest.param(f"https://s3.amazonaws.com/{BUCKET}/{UUID}/", id="HTTPS, path style"),
        pytest.param(f"https://{BUCKET}.s3.amazonaws.com/{UUID}/*", id="HTTPS, host style"),
    ],
)
def test_a_series_is_named_in_many_ways(line: str) -> None:
    (entry,) = entries_of(line)
    assert isinstance(entry, ManifestUrl)
    assert entry == series_of()
    assert entry.series_uuid == UUID


def test_a_series_at_google() -> None:
    assert entries_of(f"gs://{BUCKET}/{UUID}/*") == [series_of(scheme="gs")]
    url = f"https://storage.googleapis.com/{BUCKET}/{UUID}/"
    assert entries_of(url) == [series_of(scheme="gs")]


def test_a_single_object_is_one() -> None:
    (entry,) = entries_of(f"cp s3://{BUCKET}/{UUID}/{OTHER}.dcm .")
    assert entry == ManifestUrl(1, "s3", BUCKET, f"{UUID}/{OTHER}.dcm", is_single=True)


def test_a_pattern_is_a_part_of_a_series() -> None:
    (entry,) = entries_of(f"s3://{BUCKET}/{UUID}/0*.dcm")
    assert entry == ManifestUrl(1, "s3", BUCKET, f"{UUID}/0", f"{UUID}/0*.dcm")
    assert str(entry) == f"s3://{BUCKET}/{UUID}/0*.dcm"


def test_a_folder_in_a_bucket_of_somebody_is_an_address() -> None:
    (entry,) = entries_of("s3://my-mirror/2024/series/")
    assert entry == ManifestUrl(1, "s3", "my-mirror", "2024/series/")


def test_comments_and_empty_lines_are_nothing() -> None:
    lines = ("# IDC manifest", "", "   ", f"s3://{BUCKET}/{UUID}/*", "#end", "\t")
    assert entries_of(*lines) == [series_of(line=4)]


def test_an_empty_manifest_names_nothing() -> None:
    assert entries_of() == []
    assert entries_of("# only a heading") == []


def test_ids_are_taken_one_or_several_in_a_line() -> None:
    assert entries_of("1.2.3", f"{UUID}, 1.2.4", "1.2.5 1.2.6") == [
        ManifestId(1, "1.2.3"),
        ManifestId(2, UUID),
        ManifestId(2, "1.2.4"),
        ManifestId(3, "1.2.5"),
        ManifestId(3, "1.2.6"),
    ]


@pytest.mark.parametrize(
    ("heading", "row", "expected"),
    [
        pytest.param("SeriesInstanceUID", "1.2.3", "1.2.3", id="one column"),
        pytest.param("PatientID,SeriesInstanceUID", "4711,1.2.3", "1.2.3", id="among others"),
        pytest.param(
            "StudyInstanceUID,SeriesInstanceUID", "1.2,1.2.3", "1.2.3", id="series before study"
        ),
        pytest.param("PatientID,StudyInstanceUID", "4711,1.2", "1.2", id="studies"),
        pytest.param("crdc_series_uuid,SeriesInstanceUID", f"{UUID},1.2.3", UUID, id="a version"),
        pytest.param("a;series_instance_uid", "x;1.2.3", "1.2.3", id="semicolons"),
        pytest.param("a\tSeriesInstanceUID", "x\t1.2.3", "1.2.3", id="tabs"),
        pytest.param('"a","SeriesInstanceUID"', '"x, y","1.2.3"', "1.2.3", id="quoted cells"),
    ],
)
def test_of_a_table_the_column_counts_that_says_most(heading: str, row: str, expected: str) -> None:
    assert entries_of("# exported", heading, row) == [ManifestId(3, expected)]


def test_of_a_table_addresses_count_before_ids() -> None:
    lines = ("SeriesInstanceUID,series_aws_url", f"1.2.3,s3://{BUCKET}/{UUID}/*")
    assert entries_of(*lines) == [series_of(line=2)]


def test_a_row_without_the_cell_is_told() -> None:
    lines = ("PatientID,SeriesInstanceUID", "4711,", "4712")
    assert entries_of(*lines) == [NotUnderstood(2, "4711,"), NotUnderstood(3, "4712")]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("hello", id="a word"),
        pytest.param("cp . .", id="a command without an address"),
        pytest.param("s3://", id="no bucket"),
        pytest.param("s3://bucket-only", id="no key"),
        pytest.param("ftp://host/x", id="another scheme"),
        pytest.param("https://example.org/a/b", id="another host"),
        pytest.param("https://[bad/a/b", id="no URL"),
        pytest.param("1.2.3,CT", id="a UID and something else"),
    ],
)
def test_what_names_no_series_is_told_with_its_line(line: str) -> None:
    entries = entries_of("# heading", "1.2.3", line)
    assert entries == [ManifestId(2, "1.2.3"), NotUnderstood(3, line)]
    assert str(entries[1]) == f"line 3 names no series: {line!r}"


@pytest.mark.parametrize("line", [",", " ; ;", "\x1f"])
def test_a_line_of_separators_is_named(line: str) -> None:
    assert [entry.line_number for entry in entries_of("1.2.3", line)] == [1, 2]


def test_a_long_line_is_told_by_its_beginning() -> None:
    (entry,) = entries_of("x" * 1000)
    assert isinstance(entry, NotUnderstood)
    assert entry.text == "x" * 77 + "..."


@given(st.lists(st.text(max_size=60), max_size=5))
def test_no_line_is_dropped_and_none_breaks_the_reader(lines: list[str]) -> None:
    named = {entry.line_number for entry in read_manifest(lines)}
    meant = {
        number
        for number, line in enumerate(lines, 1)
        if line.strip("\ufeff \t\r\n") and not line.strip("\ufeff \t\r\n").startswith("#")
    }
    # The first of them may be the heading of a table.
    assert meant - named <= {min(meant, default=0)}
