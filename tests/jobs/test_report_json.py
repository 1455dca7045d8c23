"""The report as JSON: keys stay, numbers are plain, strangers' names survive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson
import pytest

from asyncdicom.jobs.report import collect
from asyncdicom.jobs.report_json import TIMELINE_BINS, comparison_to_json, to_json
from tests.support.dump_records import INSTANCE, STUDY, frame_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

KIND_KEYS = [
    *("requests", "failed", "bytes", "retried", "extraAttempts", "statuses", "errors"),
    *("httpVersions", "timeWaitingInMS", "timeToFirstByteInMS", "timeToLastByteInMS"),
    *("partsPerAnswer", "partBytes"),
]


def test_keys_are_those_that_the_module_documents(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(1000, 5000))
    write_record(tmp_path, "broken", b"{")
    found = to_json(collect(tmp_path))
    assert list(found) == [
        *("format", "version", "folder", "records", "span", "total", "kinds", "contents"),
        *("timeline", "slowest", "quantileError"),
    ]
    assert list(found["total"]) == list(found["kinds"]["frame"]) == KIND_KEYS
    assert list(found["total"]["partBytes"]) == ["count", "min", "p50", "p90", "p99", "max", "mean"]
    assert list(found["timeline"][0]) == [
        "offsetSeconds",
        "seconds",
        "requests",
        "bytes",
        "inFlight",
    ]
    assert list(found["contents"][0]) == ["mediaType", "transferSyntax", "count"]
    assert found["records"]["damaged"] == 1
    problem = {"path": "broken.dump.json", "trouble": "damaged"}
    assert problem.items() <= found["records"]["problems"][0].items()


def test_figures_are_those_of_the_records(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(1000, 5000, attempts=3))
    found = to_json(collect(tmp_path))
    frame = found["kinds"]["frame"]
    assert frame["timeToFirstByteInMS"]["p99"] == frame["timeToFirstByteInMS"]["min"] == 1000
    assert (frame["statuses"], frame["httpVersions"], frame["errors"]) == ({"200": 1}, {"2": 1}, {})
    assert (frame["retried"], frame["extraAttempts"]) == (1, 2)
    assert found["span"]["firstRequestAt"] == "2025-03-04T09:30:00+00:00"
    assert found["span"]["lastByteAt"] == "2025-03-04T09:30:05+00:00"
    assert found["span"]["bytesPerSecond"] == pytest.approx(200)
    assert found["slowest"][0]["timeToLastByteInMS"] == 5000
    assert sum(one["bytes"] for one in found["timeline"]) == pytest.approx(1000, abs=TIMELINE_BINS)
    assert len(found["timeline"]) <= TIMELINE_BINS


def test_what_is_missing_is_null_or_empty(tmp_path: Path) -> None:
    lost = frame_record(response=None, multipart=[], error={"reason": "connection-lost"})
    write_record(tmp_path, f"{INSTANCE}/frames/1", lost)
    found = to_json(collect(tmp_path))
    assert (found["span"], found["timeline"], found["slowest"]) == ({}, [], [])
    assert found["total"]["timeToLastByteInMS"] is None


def test_what_goes_beyond_the_limits_is_named_other(tmp_path: Path) -> None:
    for number in range(70):
        headers = {"content-type": f"a/b{number}"}
        record = frame_record(
            multipart=[], response_headers=headers, response_httpVersion=f"{number}"
        )
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", record)
    found = to_json(collect(tmp_path))
    assert found["total"]["httpVersions"]["(other)"] == 6
    assert {"mediaType": "(other)", "transferSyntax": "", "count": 6} in found["contents"]


def test_names_that_are_not_utf8_can_be_written(tmp_path: Path) -> None:
    record = write_record(tmp_path, f"{STUDY}/metadata")
    record.rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.dump.json"))
    found = orjson.loads(orjson.dumps(to_json(collect(tmp_path))))
    assert found["slowest"][0]["path"] == "??"


def test_ratios_are_right_by_left_where_both_have_the_kind(tmp_path: Path) -> None:
    write_record(tmp_path / "a", f"{INSTANCE}/frames/1", frame_record(100, 200))
    write_record(tmp_path / "a", f"{STUDY}/metadata")
    for number in range(3):
        write_record(tmp_path / "b", f"{INSTANCE}/frames/{number}", frame_record(150, 400))
    found = comparison_to_json(collect(tmp_path / "a"), collect(tmp_path / "b"))
    assert list(found) == ["format", "version", "left", "right", "ratios"]
    assert list(found["ratios"]) == ["total", "frame"]
    frame = found["ratios"]["frame"]
    assert (found["ratios"]["total"]["requests"], frame["requests"]) == (1.5, 3)
    assert frame["failed"] is None
    assert frame["timeToFirstByteP50"] == pytest.approx(1.5, rel=0.01)
    assert frame["timeToLastByteP99"] == pytest.approx(2, rel=0.01)
