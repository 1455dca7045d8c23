"""The catalog: what was noted is found again, whatever a killed run left of its last line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from asyncdicom.errors import ConfigError, StorageError
from asyncdicom.storage.catalog import LINES_PER_WRITE, Catalog, CatalogEntry

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = CatalogEntry(
    "s3", "bucket", "a/1.dcm", 42, "etag", "2026-12-01T00:00:00Z", "ab" * 32, "1.dcm", 7, "1.2"
)


def entries_of(path: Path) -> list[CatalogEntry]:
    with Catalog.open(str(path)) as catalog:
        return list(catalog.entries())


def test_what_was_recorded_is_found(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    other = replace(ENTRY, bucket="other", sop_instance_uid="1.2.3")
    with Catalog.open(str(path)) as catalog:
        assert catalog.find("s3", "bucket", "a/1.dcm") is None
        catalog.record(ENTRY)
        catalog.record(other)
    with Catalog.open(str(path)) as catalog:
        assert len(catalog) == 2
        assert catalog.find("s3", "bucket", "a/1.dcm") == ENTRY
        assert catalog.find("s3", "other", "a/1.dcm") == other
        assert catalog.find("gs", "bucket", "a/1.dcm") is None


def test_a_line_says_what_people_look_for(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    with Catalog.open(str(path)) as catalog:
        catalog.record(ENTRY)
    assert orjson.loads(path.read_bytes()) == {
        "store": "s3",
        "bucket": "bucket",
        "key": "a/1.dcm",
        "size": 42,
        "etag": "etag",
        "modified": "2026-12-01T00:00:00Z",
        "sha256": "ab" * 32,
        "path": "1.dcm",
        "mtimeNs": 7,
        "study": "1.2",
        "series": None,
        "instance": None,
    }


def test_the_last_line_of_an_object_counts(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    for count in (1, 2, 3):
        with Catalog.open(str(path)) as catalog:
            catalog.record(replace(ENTRY, byte_count=count))
    assert [entry.byte_count for entry in entries_of(path)] == [3]


def test_a_torn_last_line_is_ended_and_ignored(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    with Catalog.open(str(path)) as catalog:
        catalog.record(ENTRY)
        catalog.record(replace(ENTRY, key="b"))
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        with Catalog.open(str(path)) as catalog:
            catalog.record(replace(ENTRY, key="c"))
        keys = [entry.key for entry in entries_of(path)]
        assert keys[-1] == "c"
        assert keys[:-1] == ["a/1.dcm", "b"][: len(keys) - 1]


def test_lines_are_written_together(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    with Catalog.open(str(path)) as catalog:
        for number in range(LINES_PER_WRITE - 1):
            catalog.record(replace(ENTRY, key=str(number)))
        assert path.read_bytes() == b""
        catalog.record(replace(ENTRY, key="last"))
        assert path.read_bytes().count(b"\n") == LINES_PER_WRITE


def test_a_killed_run_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "catalog"
    program = f"""
import os, signal
from dataclasses import replace
from tests.storage.test_catalog import ENTRY
from asyncdicom.storage.catalog import Catalog
catalog = Catalog.open({str(path)!r})
for number in range(1000):
    catalog.record(replace(ENTRY, key=str(number)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    keys = [entry.key for entry in entries_of(path)]
    assert keys == [str(number) for number in range(1000 - 1000 % LINES_PER_WRITE)]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"[]", id="no object"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"store":"s3"}', id="fields are missing"),
        pytest.param(b'{"size":"x"}', id="no number"),
        pytest.param(b'{"a":"' + b"x" * 20_000 + b'"}', id="too long"),
    ],
)
def test_what_is_no_line_is_ignored(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "catalog"
    known = orjson.dumps(ENTRY.to_json())
    path.write_bytes(known + b"\n" + line + b"\n" + known.replace(b"a/1.dcm", b"b") + b"\n")
    assert [entry.key for entry in entries_of(path)] == ["a/1.dcm", "b"]


@pytest.mark.parametrize("field", ["etag", "modified", "study", "series", "instance"])
def test_a_field_of_another_kind_is_a_text_all_the_same(tmp_path: Path, field: str) -> None:
    path = tmp_path / "catalog"
    path.write_bytes(orjson.dumps(ENTRY.to_json() | {field: ["x"]}) + b"\n")
    (entry,) = entries_of(path)
    assert entry.to_json()[field] == "['x']"


def test_a_write_that_fails_halfway_costs_no_later_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write_half(fd: int, data: bytes) -> int:
        written.append(data)
        if len(written) == 2:
            raise OSError(errno.EIO, "failed")
        return write(fd, data[: len(data) // 2] if len(written) == 1 else data)

    write = os.write
    monkeypatch.setattr(os, "write", write_half)
    with Catalog.open(str(tmp_path / "catalog")) as catalog:
        catalog.record(ENTRY)
        with pytest.raises(StorageError):
            catalog.flush()
        catalog.record(replace(ENTRY, key="later"))
    assert [entry.key for entry in entries_of(tmp_path / "catalog")] == ["later"]


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(bytes(128) + b"DICM")
    with pytest.raises(ConfigError, match="is no catalog"):
        Catalog.open(str(path))
    assert path.read_bytes() == bytes(128) + b"DICM"


def test_a_catalog_that_cannot_be_opened_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot open the catalog"):
        Catalog.open(str(tmp_path))
    with pytest.raises(ConfigError, match="no regular file"):
        Catalog.open("/dev/zero")
    with pytest.raises(ConfigError, match="No such file"):
        Catalog.open(str(tmp_path / "none"), may_create=False)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    program = f"""
import resource
from tests.storage.test_catalog import ENTRY
from asyncdicom.errors import DiskFull
from asyncdicom.storage.catalog import Catalog
catalog = Catalog.open({str(tmp_path / "catalog")!r})
catalog.record(ENTRY)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    catalog.close()
except DiskFull as error:
    print(error.reason)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.stdout == b"disk-full\n", done.stderr
    assert entries_of(tmp_path / "catalog") == []
