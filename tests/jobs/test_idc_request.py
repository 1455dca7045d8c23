from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import DiskFull
from asyncdicom.jobs import idc_room
from asyncdicom.jobs.idc_request import IdcRequest
from asyncdicom.jobs.idc_room import free_bytes_for, require_room
from asyncdicom.protocol.idc.buckets import Location
from asyncdicom.protocol.idc.manifest import read_manifest
from asyncdicom.protocol.idc.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

UUID = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("lines", "given", "location"),
    [
        pytest.param(None, None, Location.AWS, id="nothing is said"),
        pytest.param(None, "gcs", Location.GCS, id="an option"),
        pytest.param([f"gs://idc-open-data/{UUID}/*"], None, Location.GCS, id="a manifest"),
        pytest.param([f"gs://idc-open-data/{UUID}/*"], "aws", Location.AWS, id="an option wins"),
        pytest.param(
            [f"s3://idc-open-idc1/{UUID}/*", "1.2.3"], None, Location.GCS, id="its bucket"
        ),
        pytest.param(
            [f"gs://idc-open-data/{UUID}/*", f"s3://idc-open-data-two/{UUID}/*"],
            None,
            Location.AWS,
            id="both clouds",
        ),
        pytest.param([f"s3://idc-open-data/{UUID}/*"], None, Location.AWS, id="either cloud"),
    ],
)
def test_a_request_is_for_one_cloud(
    lines: list[str] | None, given: str | None, location: Location
) -> None:
    entries = None if lines is None else tuple(read_manifest(lines))
    assert IdcRequest("", Selection(), entries, given).location is location


def test_room_is_looked_for_where_the_folder_will_be(tmp_path: Path) -> None:
    assert free_bytes_for(tmp_path / "not" / "yet") > 0
    require_room(1, tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").write_bytes(bytes(1000))
    monkeypatch.setattr(idc_room, "free_bytes", lambda root: 500)
    monkeypatch.setattr("asyncdicom.storage.room.free_bytes", lambda root: 500)
    require_room(1400, tmp_path)
    with pytest.raises(DiskFull):
        require_room(1600, tmp_path)


def test_a_folder_that_cannot_be_looked_into_is_for_others_to_refuse(tmp_path: Path) -> None:
    # Too long a name, as root may look into any other.
    assert free_bytes_for(tmp_path / ("x" * 300) / "out") > 0


def test_a_file_that_vanishes_meanwhile_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "walk", lambda top: [(top, [], ["gone"])])
    with pytest.raises(DiskFull):
        require_room(1 << 60, tmp_path)
