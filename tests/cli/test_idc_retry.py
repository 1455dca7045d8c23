from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli.idc_retry import failed_entries
from asyncdicom.errors import ConfigError
from asyncdicom.protocol.idc.manifest import ManifestId, ManifestUrl

if TYPE_CHECKING:
    from pathlib import Path


def test_what_failed_is_an_address_or_an_id(tmp_path: Path) -> None:
    lines = [
        {"outcome": "stored", "kind": "object", "url": "s3://b/u/a.dcm"},
        {"outcome": "failed", "kind": "object", "url": "s3://b/u/b.dcm"},
        {"outcome": "failed", "kind": "listing", "url": "gs://b/u/"},
        {"outcome": "failed", "kind": "listing", "url": "idc://PatientID/P 1/x"},
    ]
    report = tmp_path / "run.jsonl"
    report.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert list(failed_entries(str(report))) == [
        ManifestUrl(2, "s3", "b", "u/b.dcm", is_single=True),
        ManifestUrl(3, "gs", "b", "u/"),
        ManifestId(4, "P 1/x"),
    ]


def test_a_report_of_another_command_is_refused(tmp_path: Path) -> None:
    report = tmp_path / "run.jsonl"
    report.write_text('{"outcome": "failed", "kind": "study", "study": "1.2"}\n')
    with pytest.raises(ConfigError, match="is no report of `idc get`"):
        list(failed_entries(str(report)))
