"""Records as `dump` writes them, and trees of them, for tests of what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["INSTANCE", "SERIES", "STUDY", "URL", "frame_record", "write_record"]

STUDY = "1.2.3"
SERIES = f"{STUDY}/series/1.2.3.4"
INSTANCE = f"{SERIES}/instances/1.2.3.4.5"
URL = "https://archive.example/dicom-web/studies/"


def frame_record(first_byte_ms: float = 10.0, last_byte_ms: float = 12.0, **changes: Any) -> Any:
    """Return the record of one frame; `response_…` changes a key of the response."""
    response: dict[str, Any] = {
        "headers": {"content-type": "multipart/related; boundary=b"},
        "statusCode": 200,
        "httpVersion": "2",
        "timeWaitingInMS": 0.5,
        "timeToFirstByteInMS": first_byte_ms,
        "timeToLastByteInMS": last_byte_ms,
        "bytesDownloaded": 1000,
    }
    part_type = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    part = {"headers": {"content-type": part_type}, "offset": 97, "length": 800, "sha256": ""}
    record: dict[str, Any] = {
        "url": f"{URL}{INSTANCE}/frames/1",
        "request": {"headers": {}},
        "response": response,
        "multipart": [part],
        "attempts": 1,
        "startedAt": "2025-03-04T09:30:00+00:00",
        "error": None,
    }
    for key, value in changes.items():
        if key.startswith("response_"):
            response[key.removeprefix("response_")] = value
        else:
            record[key] = value
    return record


def write_record(root: Path, path: str, record: Any = None) -> Path:
    """Write a record for a dumped file; bytes are written as they are."""
    content = record if isinstance(record, bytes) else orjson.dumps(record or frame_record())
    file = root / f"{path}.dump.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file
