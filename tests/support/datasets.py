"""Studies for archives to hold, the same bytes on every machine, and the truth about them.

    study = SliceStudy(number=1, instance_count=300)
    orthanc.upload(instance.content for instance in study.instances())
    truth = truth_of(study)

Strategy: equal slices are one template in which UID and number are patched, so that
a gigabyte costs a second; a mixed study is written by pydicom, object by object.
All UIDs are below 2.999, the arc that is reserved for examples.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    KeyObjectSelectionDocumentStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "InstanceTruth",
    "MixedStudy",
    "SampleInstance",
    "SampleStudy",
    "SliceStudy",
    "truth_of",
]

ROOT = "2.999.20251"
_FIRST_INSTANCE = 100_001
"""Numbers of one length leave every offset of the template where it is."""
_TEMPLATE_INSTANCE = 987_654


@dataclass(frozen=True, slots=True)
class SampleInstance:
    """One instance in every form that an origin server gives out."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    content: bytes
    """The Part 10 file."""
    metadata: bytes
    """One object of the DICOM JSON Model, without bulk data (PS3.18 Annex F)."""
    frames: tuple[bytes, ...] = ()


class SampleStudy(Protocol):
    """A study whose instances are made when they are asked for."""

    @property
    def study_instance_uid(self) -> str:
        """UID of the study."""

    def instances(self) -> Iterator[SampleInstance]:
        """Make the instances, the same ones each time."""


@dataclass(frozen=True, slots=True)
class InstanceTruth:
    """What must come back."""

    series_instance_uid: str
    transfer_syntax_uid: str
    byte_count: int
    sha256: str
    """Of the Part 10 file."""
    frame_sha256s: tuple[str, ...]


def truth_of(study: SampleStudy) -> Mapping[str, InstanceTruth]:
    """Return what must come back of each instance, by SOP Instance UID."""
    return {
        instance.sop_instance_uid: InstanceTruth(
            instance.series_instance_uid,
            instance.transfer_syntax_uid,
            len(instance.content),
            _sha256(instance.content),
            tuple(_sha256(frame) for frame in instance.frames),
        )
        for instance in study.instances()
    }


@dataclass(frozen=True, slots=True)
class SliceStudy:
    """A CT study of equal slices, in one series or several."""

    number: int
    """Of the study; distinct numbers give distinct UIDs and patients."""
    instance_count: int = 300
    series_count: int = 1
    rows: int = 512
    columns: int = 512
    """512 x 512 pixels of 16 bits are the 512 KB of a CT slice."""
    study_date: str = "20250102"
    extra: tuple[tuple[str, str], ...] = field(default=())
    """Further attributes, keyword and value, for metadata of another size."""

    @property
    def study_instance_uid(self) -> str:
        """UID of the study."""
        return f"{ROOT}.{self.number}"

    def instances(self) -> Iterator[SampleInstance]:
        """Make the slices series by series."""
        for series_number in range(1, self.series_count + 1):
            yield from self._slices(series_number)

    def _slices(self, series_number: int) -> Iterator[SampleInstance]:
        per_series = self.instance_count // self.series_count
        template = self._template(series_number)
        frame_bytes = self.rows * self.columns * 2
        noise = _noise(frame_bytes)
        head = template.content[: len(template.content) - frame_bytes]
        for index in range(per_series):
            number = str(_FIRST_INSTANCE + index)
            start = 2 * (index % 2048)
            frame = noise[start : start + frame_bytes]
            yield SampleInstance(
                template.study_instance_uid,
                template.series_instance_uid,
                _renumbered(template.sop_instance_uid.encode(), number).decode(),
                template.transfer_syntax_uid,
                _renumbered(head, number) + frame,
                _renumbered(template.metadata, number),
                (frame,),
            )

    def _template(self, series_number: int) -> SampleInstance:
        uid = f"{self.study_instance_uid}.{series_number}"
        dataset = _dataset(self.study_instance_uid, uid, str(_TEMPLATE_INSTANCE), CTImageStorage)
        dataset.PatientID = f"P{self.number}"
        dataset.AccessionNumber = f"A{self.number}"
        dataset.StudyDate = self.study_date
        dataset.SeriesNumber = series_number
        dataset.Modality = "CT"
        for keyword, value in self.extra:
            setattr(dataset, keyword, value)
        _add_pixels(dataset, (self.rows, self.columns), bits=16)
        return _finished(dataset, (bytes(self.rows * self.columns * 2),))


@dataclass(frozen=True, slots=True)
class MixedStudy:
    """Four objects that archives treat differently: multi-frame, RLE, JPEG 2000, no pixels."""

    number: int
    frame_count: int = 5

    @property
    def study_instance_uid(self) -> str:
        """UID of the study."""
        return f"{ROOT}.{self.number}"

    def instances(self) -> Iterator[SampleInstance]:
        """Make the four, each in a series of its own."""
        yield self._multi_frame()
        yield self._encapsulated(2, RLELossless, _rle_frame(_noise(64)[:64]))
        yield self._encapsulated(3, JPEG2000Lossless, _jpeg_2000_frame())
        yield _finished(self._dataset(4, KeyObjectSelectionDocumentStorage), ())

    def _dataset(self, series_number: int, sop_class_uid: str) -> Dataset:
        uid = f"{self.study_instance_uid}.{series_number}"
        dataset = _dataset(self.study_instance_uid, uid, "1", sop_class_uid)
        dataset.PatientID = f"P{self.number}"
        dataset.SeriesNumber = series_number
        dataset.Modality = "KO" if series_number == 4 else "OT"
        return dataset

    def _multi_frame(self) -> SampleInstance:
        dataset = self._dataset(1, MultiFrameGrayscaleByteSecondaryCaptureImageStorage)
        _add_pixels(dataset, (32, 32), bits=8)
        dataset.NumberOfFrames = self.frame_count
        noise = _noise(1024)
        return _finished(
            dataset, tuple(noise[2 * n : 2 * n + 1024] for n in range(self.frame_count))
        )

    def _encapsulated(
        self, series_number: int, transfer_syntax_uid: UID, frame: bytes
    ) -> SampleInstance:
        dataset = self._dataset(series_number, SecondaryCaptureImageStorage)
        _add_pixels(dataset, (8, 8), bits=8)
        dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
        return _finished(dataset, (frame,))


def _dataset(study_uid: str, series_uid: str, number: str, sop_class_uid: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class_uid
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = series_uid
    dataset.SOPInstanceUID = f"{series_uid}.{number}"
    dataset.InstanceNumber = number
    dataset.PatientName = "Example^Patient"
    dataset.StudyID = "1"
    dataset.StudyDescription = "Example study"
    return dataset


def _add_pixels(dataset: Dataset, shape: tuple[int, int], *, bits: int) -> None:
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0


def _finished(dataset: Dataset, frames: tuple[bytes, ...]) -> SampleInstance:
    """Write the file and its metadata."""
    metadata = json.dumps(dataset.to_json_dict(), separators=(",", ":")).encode()
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        dataset.PixelData = encapsulate(list(frames))
    elif frames:
        dataset.PixelData = b"".join(frames)
    if frames:
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated == 16 else "OB"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return SampleInstance(
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        transfer_syntax_uid=str(syntax),
        content=file.getvalue(),
        metadata=metadata,
        frames=frames,
    )


def _renumbered(text: bytes, number: str) -> bytes:
    return text.replace(str(_TEMPLATE_INSTANCE).encode(), number.encode())


@lru_cache(maxsize=4)
def _noise(byte_count: int) -> bytes:
    """Return 16-bit little-endian values below 128: they shrink by half in gzip, as CT does."""
    size = byte_count + 4096
    noise = random.Random(byte_count).randbytes(size)
    mask = int.from_bytes(b"\x7f\x00" * (size // 2), "big")
    return (int.from_bytes(noise, "big") & mask).to_bytes(size, "big")


def _rle_frame(pixels: bytes) -> bytes:
    """Wrap up to 128 pixels of 8 bits as one literal run (PS3.5 §G.3.1 and §G.5)."""
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    run = bytes([len(pixels) - 1]) + pixels
    return header + run + bytes(len(run) % 2)


def _jpeg_2000_frame() -> bytes:
    """Return a codestream of 8 x 8 pixels whose tile is empty (ISO 15444-1 Annex A)."""
    size = bytes.fromhex("ff51 0029 0000 00000008 00000008 00000000 00000000")
    tile = bytes.fromhex("00000008 00000008 00000000 00000000 0001 07 01 01")
    coding = bytes.fromhex("ff52 000c 00 00 0001 00 00 04 04 00 01")
    quantisation = bytes.fromhex("ff5c 0004 40 40")
    tile_part = bytes.fromhex("ff90 000a 0000 0000000f 00 01 ff93 00")
    return b"\xff\x4f" + size + tile + coding + quantisation + tile_part + b"\xff\xd9"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
