"""Synthetic objects are valid, deterministic, and described by what they hold."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pydicom
import pytest
from pydicom.encaps import generate_frames

from asyncdicom.errors import ConfigError
from asyncdicom.mock import SyntheticArchive, SyntheticOptions

if TYPE_CHECKING:
    from asyncdicom.mock.synthetic import SyntheticInstance

MIXED = SyntheticOptions(studies=3, instances=4, rows=32, mixed=True, seed=7)
KINDS = ["single", "multi-frame", "rle", "jpeg2000-labelled", "report"]


def first_of(options: SyntheticOptions, series_at: int = 0) -> SyntheticInstance:
    return SyntheticArchive(options).studies[1].all_series[series_at].instances[2]


def file_of(instance: SyntheticInstance) -> bytes:
    return b"".join(instance.file())


@pytest.mark.parametrize("series_at", range(5), ids=KINDS)
def test_a_file_is_as_long_as_announced_and_names_itself(series_at: int) -> None:
    instance = first_of(MIXED, series_at)
    data = file_of(instance)
    dataset = pydicom.dcmread(BytesIO(data))
    assert len(data) == instance.file_bytes()
    assert dataset.SOPInstanceUID == instance.sop_instance_uid
    assert dataset.file_meta.MediaStorageSOPInstanceUID == instance.sop_instance_uid
    assert dataset.file_meta.TransferSyntaxUID == instance.transfer_syntax_uid
    assert dataset.SeriesInstanceUID == instance.series_instance_uid
    assert dataset.StudyInstanceUID == instance.study_instance_uid


@pytest.mark.parametrize("series_at", range(5), ids=KINDS)
def test_attributes_are_what_pydicom_reads_from_the_file(series_at: int) -> None:
    instance = first_of(MIXED, series_at)
    truth = pydicom.dcmread(BytesIO(file_of(instance))).to_json_dict()
    bulk = {tag: truth.pop(tag)["vr"] for tag in instance.bulk}
    assert instance.attributes() == truth
    assert dict(instance.bulk) == bulk


@pytest.mark.parametrize("series_at", [0, 1], ids=KINDS[:2])
def test_native_frames_are_the_pixel_data_in_order(series_at: int) -> None:
    instance = first_of(MIXED, series_at)
    frames = [b"".join(instance.frame(n + 1)) for n in range(instance.frame_count)]
    assert b"".join(frames) == pydicom.dcmread(BytesIO(file_of(instance))).PixelData
    assert len(set(frames)) == instance.frame_count


@pytest.mark.parametrize("series_at", [2, 3], ids=KINDS[2:4])
def test_encapsulated_frames_are_the_fragments_in_order(series_at: int) -> None:
    instance = first_of(MIXED, series_at)
    frames = [b"".join(instance.frame(n + 1)) for n in range(instance.frame_count)]
    encapsulated = pydicom.dcmread(BytesIO(file_of(instance))).PixelData
    assert list(generate_frames(encapsulated, number_of_frames=len(frames))) == frames


def test_an_rle_frame_decodes_to_as_many_bytes_as_its_pixels_need() -> None:
    frame = b"".join(first_of(MIXED, 2).frame(1))
    assert len(decode_rle(frame)) == 32 * 32 * 2


def decode_rle(frame: bytes) -> bytes:
    """Decode literal and replicate runs (PS3.5 §G.3.2)."""
    count, *offsets = (int.from_bytes(frame[at : at + 4], "little") for at in range(0, 64, 4))
    ends = [*offsets[1:count], len(frame)]
    decoded = b""
    for start, end in zip(offsets[:count], ends, strict=True):
        at = start
        while at < end - 1:
            length = frame[at]
            decoded += frame[at + 1 : at + 2 + length]
            at += 2 + length
    return decoded


def test_the_same_options_give_the_same_bytes() -> None:
    assert file_of(first_of(MIXED)) == file_of(first_of(MIXED))


def test_another_seed_gives_other_uids_and_other_pixels() -> None:
    other = SyntheticOptions(studies=3, instances=4, rows=32, mixed=True, seed=8)
    assert first_of(MIXED).sop_instance_uid != first_of(other).sop_instance_uid
    assert b"".join(first_of(MIXED).frame(1)) != b"".join(first_of(other).frame(1))


def test_no_two_instances_have_the_same_pixels() -> None:
    archive = SyntheticArchive(SyntheticOptions(studies=2, series=2, instances=20, rows=8))
    frames = {
        b"".join(instance.frame(1))
        for study in archive.studies
        for series in study.all_series
        for instance in series.instances
    }
    assert len(frames) == 80


@pytest.mark.parametrize(
    "syntax",
    [
        pytest.param("1.2.840.10008.1.2", id="implicit little endian"),
        pytest.param("1.2.840.10008.1.2.5", id="rle"),
        pytest.param("1.2.840.10008.1.2.4.90", id="jpeg 2000"),
    ],
)
def test_files_are_written_in_the_transfer_syntax_asked_for(syntax: str) -> None:
    instance = first_of(SyntheticOptions(rows=16, transfer_syntax_uid=syntax))
    dataset = pydicom.dcmread(BytesIO(file_of(instance)))
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert dataset.Rows == 16


def test_every_uid_finds_its_instance_again() -> None:
    archive = SyntheticArchive(MIXED)
    instance = archive.studies[2].all_series[4].instances[3]
    study = archive.study(instance.study_instance_uid)
    assert study is not None
    series = study.series(instance.series_instance_uid)
    assert series is not None
    assert series.instance(instance.sop_instance_uid) == instance


@pytest.mark.parametrize("suffix", ["1000004", "1000000", "0", "", "x", "1.2", "²", "99999999999"])
def test_a_uid_of_nothing_finds_nothing(suffix: str) -> None:
    archive = SyntheticArchive(MIXED)
    assert archive.study(f"{archive.uid_prefix}{suffix}") is None


def test_a_million_instances_cost_nothing_until_they_are_asked_for() -> None:
    archive = SyntheticArchive(SyntheticOptions(studies=1_000_000, instances=1_000_000, rows=8))
    last = archive.studies[999_999].all_series[0].instances[999_999]
    dataset = pydicom.dcmread(BytesIO(file_of(last)))
    assert dataset.InstanceNumber == 1_000_000


@pytest.mark.parametrize(
    "options", [{"rows": 1}, {"studies": 0}, {"instances": 0}, {"seed": -1}, {"frames": 0}], ids=str
)
def test_numbers_out_of_bounds_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        SyntheticOptions(**options)  # type: ignore[arg-type]  # -- by name
