"""A report has one line per outcome, and can be read after its run was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from asyncdicom.errors import ConfigError, DiskFull, NotFound
from asyncdicom.events import Finished, Planned, RunEnded
from asyncdicom.model import Failed, Resource, Stored, Target, Uid
from asyncdicom.storage.reports import FLUSH_EVERY, ReportFile, read_report

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target(Resource.INSTANCE, Uid("1"), Uid("2"), Uid("3"))
STORED = Finished(Stored(TARGET, "3.dcm", 7, "ab"))
FAILED = Finished(Failed(TARGET, NotFound("gone", status_code=404), 2))
ENDED = RunEnded(stored=1, skipped=0, missing=1, corrupt=0, byte_count=7, duration_s=0.1)


def test_outcomes_are_written_and_nothing_else(tmp_path: Path) -> None:
    path = str(tmp_path / "run.jsonl")
    with ReportFile.open(path) as report:
        for event in (Planned("1", 2, 3), STORED, FAILED, ENDED):
            report(event)
    lines = list(read_report(path))
    assert [line["outcome"] for line in lines] == ["stored", "failed"]
    assert lines[0] == {
        "outcome": "stored",
        "kind": "instance",
        "study": "1",
        "series": "2",
        "instance": "3",
        "path": "3.dcm",
        "bytes": 7,
        "sha256": "ab",
        "attempts": 1,
    }
    assert (lines[1]["reason"], lines[1]["statusCode"]) == ("not-found", 404)


def test_lines_reach_the_disk_while_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ReportFile.open(str(path)) as report:
        report(STORED)
        assert path.read_bytes() == b"", "one line is not worth a write"
        for _ in range(FLUSH_EVERY - 1):
            report(STORED)
        assert len(path.read_bytes().splitlines()) == FLUSH_EVERY
        report(STORED)
        report(ENDED)
        assert len(path.read_bytes().splitlines()) == FLUSH_EVERY + 1


def test_a_full_disk_is_told() -> None:
    with pytest.raises(DiskFull, match="/dev/full"), ReportFile.open("/dev/full") as report:
        report(STORED)
    report = ReportFile.open("/dev/full")
    report(STORED)
    with pytest.raises(DiskFull, match="/dev/full"):
        report(ENDED)
    with pytest.raises(DiskFull):
        report.__exit__()


def test_an_older_report_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"old\n")
    with ReportFile.open(str(path)):
        pass
    assert path.read_bytes() == b""


LINE = orjson.dumps({"outcome": "failed"})


@pytest.mark.parametrize(
    ("content", "count"),
    [
        pytest.param(LINE + b"\n" + LINE + b"\n", 2, id="whole"),
        pytest.param(LINE + b"\n" + LINE[:-3], 1, id="killed in the last line"),
        pytest.param(b"\n" + LINE + b"\n\n", 1, id="empty lines"),
        pytest.param(b"[1]\n" + LINE + b"\n", 1, id="no object"),
        pytest.param(b"", 0, id="empty"),
    ],
)
def test_what_is_whole_is_read(tmp_path: Path, content: bytes, count: int) -> None:
    (tmp_path / "run.jsonl").write_bytes(content)
    assert len(list(read_report(str(tmp_path / "run.jsonl")))) == count


def test_a_line_in_the_middle_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(LINE[:-3] + b"\n" + LINE + b"\n")
    with pytest.raises(ConfigError, match=r"line 1 of .* is not JSON"):
        list(read_report(str(tmp_path / "run.jsonl")))


def test_a_report_that_cannot_be_opened_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        list(read_report(str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="cannot write"):
        ReportFile.open(str(tmp_path / "nowhere" / "run.jsonl"))
