"""Reading records back: each field checked, nothing followed out of the folder, never a crash."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from asyncdicom.jobs import report_records
from asyncdicom.jobs.report_kinds import Kind
from asyncdicom.jobs.report_records import MAX_DEPTH, Part, Problem, Record, Trouble, read_records
from tests.support.dump_records import INSTANCE, frame_record, write_record

FRAME = f"{INSTANCE}/frames/1"


def read_one(root: Path, record: Any = None) -> Record:
    write_record(root, FRAME, record)
    (found,) = read_records(root)
    assert isinstance(found, Record)
    return found


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def problem_of(root: Path) -> Problem:
    (found,) = read_records(root)
    assert isinstance(found, Problem)
    return found


def test_a_record_tells_everything(tmp_path: Path) -> None:
    record = read_one(tmp_path, frame_record(attempts=2, response_bytesDownloaded=524_843))
    part = Part("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1", 800)
    assert (record.path, record.kind, record.status_code) == (FRAME, Kind.FRAME, 200)
    assert (record.http_version, record.byte_count, record.attempts) == ("2", 524_843, 2)
    assert (record.waiting_s, record.first_byte_s, record.last_byte_s) == (0.0005, 0.01, 0.012)
    assert (record.parts, record.content_type) == ((part,), "multipart/related; boundary=b")
    assert (record.started_s, record.error, record.has_failed) == (1_741_080_600, None, False)


def test_a_request_without_an_answer_failed_and_says_why(tmp_path: Path) -> None:
    error = {"reason": "connection-lost", "message": "stream reset"}
    record = read_one(tmp_path, frame_record(response=None, error=error))
    assert (record.status_code, record.last_byte_s, record.byte_count) == (None, None, 0)
    assert (record.has_failed, record.reason) == (True, "connection-lost")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"error": "gone"}, "gone"),
        ({"error": {"message": "x"}}, "unknown"),
        ({"error": 7}, "unknown"),
        ({"error": ""}, "unknown"),
        ({"error": {"reason": ["x"]}}, "unknown"),
        ({"response_statusCode": 503}, "status 503"),
        ({"response_statusCode": "200"}, "no answer"),
        ({"response_statusCode": True}, "no answer"),
    ],
    ids=str,
)
def test_why_a_request_failed(tmp_path: Path, changes: Any, reason: str) -> None:
    record = read_one(tmp_path, frame_record(**changes))
    assert (record.has_failed, record.reason) == (True, reason)


@pytest.mark.parametrize(
    "value",
    [None, "12", True, -1, 1e300, [], {}, 31 * 24 * 3600 * 1000],
    ids=["null", "text", "truth", "negative", "endless", "list", "object", "a month"],
)
def test_a_time_that_makes_no_sense_is_left_out(tmp_path: Path, value: Any) -> None:
    record = read_one(tmp_path, frame_record(response_timeToLastByteInMS=value))
    assert record.last_byte_s is None
    assert record.first_byte_s == 0.01


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T01:00:01.5+01:00", 1.5),
        ("2025-03-04T09:30:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59Z", None),
        ("yesterday", None),
        (12, None),
        (None, None),
    ],
    ids=str,
)
def test_a_start_is_an_instant_or_nothing(
    tmp_path: Path, value: Any, seconds: float | None
) -> None:
    assert read_one(tmp_path, frame_record(startedAt=value)).started_s == seconds


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        ({"Content-Type": "image/jpeg"}, "image/jpeg"),
        ({"CONTENT-type": ["a/b", "c/d"]}, "a/b"),
        ({"content-type": []}, ""),
        ({"content-type": 3}, ""),
        ({}, ""),
        ("content-type", ""),
        (None, ""),
    ],
    ids=str,
)
def test_the_content_type_is_found_in_any_case(
    tmp_path: Path, headers: Any, content_type: str
) -> None:
    assert read_one(tmp_path, frame_record(response_headers=headers)).content_type == content_type


@pytest.mark.parametrize(
    ("multipart", "parts"),
    [
        (None, ()),
        ("parts", ()),
        ([1, None, []], ()),
        ([{}], (Part("", 0),)),
        ([{"headers": {}, "length": -5}], (Part("", 0),)),
    ],
    ids=str,
)
def test_parts_that_make_no_sense_are_left_out(
    tmp_path: Path, multipart: Any, parts: tuple[Part, ...]
) -> None:
    assert read_one(tmp_path, frame_record(multipart=multipart)).parts == parts


@pytest.mark.parametrize("value", [None, "3", 0, -1, 2.5, True], ids=str)
def test_attempts_that_make_no_sense_are_one(tmp_path: Path, value: Any) -> None:
    assert read_one(tmp_path, frame_record(attempts=value)).attempts == 1


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b"", Trouble.DAMAGED),
        (b'{"url": "http', Trouble.DAMAGED),
        (b"\xff\xfe\x00", Trouble.DAMAGED),
        (b"[" * 100_000, Trouble.DAMAGED),
        (b'{"url": "http://h/", "response": {"timeWaitingInMS": NaN}}', Trouble.DAMAGED),
        (b"[]", Trouble.FOREIGN),
        (b"null", Trouble.FOREIGN),
        (b'{"url": 3, "response": {}}', Trouble.FOREIGN),
        (b'{"url": "http://h/"}', Trouble.FOREIGN),
        (b'{"url": "http://h/", "response": []}', Trouble.FOREIGN),
        (b'{"response": {}}', Trouble.FOREIGN),
    ],
    ids=lambda value: value.decode("latin-1")[:30] if isinstance(value, bytes) else str(value),
)
def test_what_is_no_record_is_named(tmp_path: Path, content: bytes, trouble: Trouble) -> None:
    write_record(tmp_path, FRAME, content)
    problem = problem_of(tmp_path)
    assert (problem.path, problem.trouble) == (f"{FRAME}.dump.json", trouble)


def test_other_files_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_bytes(b"[]")
    (tmp_path / "metadata.bin").write_bytes(b"")
    (tmp_path / "dump.json").write_bytes(b"")
    assert list(read_records(tmp_path)) == []


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "out"
    secret = write_record(outside, "secret")
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "up").symlink_to(tmp_path)
    (root / "linked.dump.json").symlink_to(secret)
    problem = problem_of(root)
    told = (problem.path, problem.trouble, problem.detail)
    assert told == ("linked.dump.json", Trouble.UNREADABLE, "not a regular file")


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    write_record(tmp_path / "out", FRAME)
    (tmp_path / "link").symlink_to("out")
    assert len(list(read_records(tmp_path / "link"))) == 1


def test_a_pipe_named_like_a_record_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dump.json")
    assert problem_of(tmp_path).detail == "not a regular file"


def test_a_folder_named_like_a_record_is_a_folder(tmp_path: Path) -> None:
    write_record(tmp_path, "x.dump.json/metadata")
    assert [type(found) for found in read_records(tmp_path)] == [Record]


def test_a_large_record_is_read_whole(tmp_path: Path) -> None:
    part = {"headers": {"content-type": "application/dicom"}, "length": 7}
    assert len(read_one(tmp_path, frame_record(multipart=[part] * 5000)).parts) == 5000


def test_a_record_beyond_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_records, "MAX_RECORD_BYTES", 100_000)
    write_record(tmp_path, FRAME, b" " * 100_001)
    problem = problem_of(tmp_path)
    assert problem.trouble is Trouble.UNREADABLE
    assert "100,000 bytes" in problem.detail


def test_what_vanishes_or_cannot_be_opened_is_named(tmp_path: Path) -> None:
    files = {path: write_record(tmp_path, path) for path in ("one", "two")}
    found = read_records(tmp_path)
    first = next(found)
    files.pop(first.path)
    (gone,) = files.values()
    gone.unlink()
    (problem,) = found
    assert isinstance(problem, Problem)
    assert (problem.path, problem.detail) == (gone.name, "no such file or directory")


def test_folders_too_deep_are_named_and_the_others_read(tmp_path: Path) -> None:
    write_record(tmp_path, "/".join("d" * (MAX_DEPTH + 1)) + "/metadata")
    write_record(tmp_path, FRAME)
    found = {type(one): one for one in read_records(tmp_path)}
    problem = found[Problem]
    assert isinstance(problem, Problem)
    assert (problem.path.count("d"), problem.detail) == (MAX_DEPTH + 1, "more than 64 folders deep")
    assert Record in found


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    write_record(tmp_path, FRAME)
    write_record(tmp_path, "broken", b"{")
    before = open_descriptors()
    assert len(list(read_records(tmp_path))) == 2
    interrupted = read_records(tmp_path)
    next(interrupted)
    interrupted.close()
    assert open_descriptors() == before


def test_a_folder_that_cannot_be_listed_leaves_no_descriptor_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    before = open_descriptors()
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        next(read_records(tmp_path))
    monkeypatch.undo()
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("name", "error"), [("missing", FileNotFoundError), ("file", NotADirectoryError)]
)
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str, error: type[OSError]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(error):
        next(read_records(tmp_path / name))
