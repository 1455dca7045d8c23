"""A folder is served as it is on disk, and what is broken in it does no harm."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pydicom
import pydicom.data
import pytest
from pydicom.encaps import generate_frames

from asyncdicom.errors import ConfigError
from asyncdicom.mock import FolderArchive, MockServer
from asyncdicom.mock.dicomweb import DicomWeb
from asyncdicom.mock.messages import Request
from tests.mock.raw_client import get
from tests.mock.reading import split_parts

if TYPE_CHECKING:
    from asyncdicom.mock.folder import FolderInstance

# pydicom's own files are full of what it warns about.
pytestmark = pytest.mark.filterwarnings("ignore")

FILES = Path(pydicom.data.__file__).parent / "test_files"


@pytest.fixture(scope="module")
def archive() -> FolderArchive:
    return FolderArchive.index(FILES)


def instances(archive: FolderArchive) -> list[FolderInstance]:
    return [i for study in archive.studies for s in study.all_series for i in s.instances]


def path_of(instance: FolderInstance) -> str:
    return (
        f"/dicom-web/studies/{instance.study_instance_uid}"
        f"/series/{instance.series_instance_uid}/instances/{instance.sop_instance_uid}"
    )


def parts_of(archive: FolderArchive, path: str) -> list[bytes]:
    response = DicomWeb(archive).respond(Request("GET", path))
    assert response.status == 200
    data = b"".join(response.body.buffers())
    return [content for _, content in split_parts(response.header("content-type") or "", data)]


def test_every_file_that_can_be_named_is_served_as_it_is(archive: FolderArchive) -> None:
    found = instances(archive)
    assert len(found) > 100
    assert all(parts_of(archive, path_of(i)) == [i.path.read_bytes()] for i in found)


def test_every_instance_has_metadata_that_names_it(archive: FolderArchive) -> None:
    web = DicomWeb(archive)
    for instance in instances(archive):
        response = web.respond(Request("GET", f"{path_of(instance)}/metadata"))
        (described,) = orjson.loads(b"".join(response.body.buffers()))
        assert described["00080018"]["Value"] == [instance.sop_instance_uid]
        assert "7FE00010" not in described or "BulkDataURI" in described["7FE00010"]


def test_every_frame_is_the_one_that_pydicom_reads(archive: FolderArchive) -> None:
    checked = 0
    for instance in instances(archive):
        dataset = pydicom.dcmread(instance.path)
        if not dataset.file_meta.TransferSyntaxUID.is_encapsulated or not instance.frame_count:
            continue
        truth = list(generate_frames(dataset.PixelData, number_of_frames=instance.frame_count))
        numbers = ",".join(str(n + 1) for n in range(instance.frame_count))
        assert parts_of(archive, f"{path_of(instance)}/frames/{numbers}") == truth
        checked += 1
    assert checked > 10


def index_of(tmp_path: Path, *names: str) -> FolderArchive:
    for name in names:
        shutil.copy(FILES / name, tmp_path / name)
    return FolderArchive.index(tmp_path)


def test_native_frames_come_without_padding(tmp_path: Path) -> None:
    small = index_of(tmp_path, "SC_rgb_small_odd.dcm")
    (instance,) = instances(small)
    dataset = pydicom.dcmread(instance.path)
    (frame,) = parts_of(small, f"{path_of(instance)}/frames/1")
    assert len(frame) == dataset.Rows * dataset.Columns * 3
    assert dataset.PixelData.startswith(frame)


def test_big_endian_frames_are_turned_round(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "little").mkdir()
    big = index_of(tmp_path / "big", "MR_small_bigendian.dcm")
    little = index_of(tmp_path / "little", "MR_small.dcm")
    frames = [
        parts_of(archive, f"{path_of(instances(archive)[0])}/frames/1") for archive in (big, little)
    ]
    assert frames[0] == frames[1]


def test_multi_frame_native_pixels_are_cut_where_frames_end(tmp_path: Path) -> None:
    dose = index_of(tmp_path, "rtdose.dcm")
    (instance,) = instances(dose)
    pixels = pydicom.dcmread(instance.path).PixelData
    numbers = ",".join(str(n + 1) for n in range(instance.frame_count))
    frames = parts_of(dose, f"{path_of(instance)}/frames/{numbers}")
    assert len(frames) == 15
    assert b"".join(frames) == pixels


def test_large_binary_values_are_bulk_data(tmp_path: Path) -> None:
    overlay = index_of(tmp_path, "examples_overlay.dcm")
    (instance,) = instances(overlay)
    dataset = pydicom.dcmread(instance.path)
    large = {
        f"{e.tag:08X}": e.value for e in dataset if e.VR in {"OB", "OW"} and len(e.value) >= 1024
    }
    assert len(large) > 1
    for tag, value in large.items():
        assert parts_of(overlay, f"{path_of(instance)}/bulkdata/{tag}") == [value]


def test_of_two_files_with_one_uid_the_first_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    twice = index_of(tmp_path, "MR_small.dcm", "MR_small_RLE.dcm")
    (instance,) = instances(twice)
    assert instance.path.name == "MR_small.dcm"
    assert "MR_small_RLE.dcm has the UID of" in caplog.text


def test_files_that_are_not_dicom_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no DICOM")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "short.dcm").write_bytes((FILES / "CT_small.dcm").read_bytes()[:200])
    assert len(instances(index_of(tmp_path, "CT_small.dcm"))) == 1


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no DICOM file"):
        FolderArchive.index(tmp_path)
    with pytest.raises(ConfigError, match="not a folder"):
        FolderArchive.index(tmp_path / "missing")


def test_a_file_that_broke_since_it_was_indexed_is_a_500(tmp_path: Path) -> None:
    broken = index_of(tmp_path, "CT_small.dcm")
    (instance,) = instances(broken)
    instance.path.write_bytes(b"gone")
    for end in ("/metadata", "/frames/1"):
        response = DicomWeb(broken).respond(Request("GET", path_of(instance) + end))
        assert response.status == 500


def test_nothing_is_found_where_nothing_is(archive: FolderArchive) -> None:
    study = archive.studies[0]
    assert archive.study("1.2.3") is None
    assert study.series("1.2.3") is None
    assert study.all_series[0].instance("1.2.3") is None


@pytest.mark.anyio
async def test_a_folder_is_served_without_blocking_the_loop(archive: FolderArchive) -> None:
    instance = instances(archive)[0]
    async with MockServer(archive) as server:
        answer = await get(server, path_of(instance), "Accept: application/dicom")
        searched = await get(server, "/dicom-web/studies")
    assert answer.body == instance.path.read_bytes()
    assert len(orjson.loads(searched.body)) == len(archive.studies)
