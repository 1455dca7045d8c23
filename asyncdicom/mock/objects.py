"""What a synthetic archive holds: kinds of SOP Instances, and their attributes (PS3.3 Annex A)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pydicom.dataset import Dataset

from asyncdicom.errors import ConfigError
from asyncdicom.mock.templates import INSTANCE_NUMBER, PRIVATE_BULK_BYTES, Z_POSITION

__all__ = ["TRANSFER_SYNTAXES", "Kind", "SyntheticOptions", "describe", "kinds_of"]

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MULTI_FRAME_WORD_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"

SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
}
"""SOP Class per modality (PS3.4 §B.5); others are Secondary Capture."""

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"

TRANSFER_SYNTAXES = {
    "explicit": EXPLICIT_VR_LITTLE_ENDIAN,
    "implicit": "1.2.840.10008.1.2",
    "rle": RLE_LOSSLESS,
    "jpeg2000": JPEG_2000_LOSSLESS,
}
"""Transfer Syntaxes that can be made, by a short name; JPEG 2000 is a label only."""

MIXED_FRAMES = 4
"""Frames of a multi-frame object in a mixed study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions:
    """What the archive shall hold.

    Raises:
        ConfigError: If a number is out of bounds.

    """

    studies: int = 10
    """1 to 8,000,000."""
    series: int = 1
    """Per study, 1 to 8,000."""
    instances: int = 300
    """Per series, 1 to 8,000,000."""
    rows: int = 512
    columns: int | None = None
    """As many as rows by default; both 4 to 65,535."""
    frames: int = 1
    """Per instance; more than 1 makes multi-frame objects."""
    modality: str = "CT"
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN
    mixed: bool = False
    """Series of five kinds (single frame, multi-frame, RLE, labelled JPEG 2000, SR) in turn."""
    seed: int = 0
    """0 to 999,999; another seed gives other UIDs and other pixels."""

    def __post_init__(self) -> None:
        bounds = {
            "studies": (self.studies, 1, 8_000_000),
            "series": (self.series, 1, 8_000),
            "instances": (self.instances, 1, 8_000_000),
            "rows": (self.rows, 4, 65_535),
            "columns": (self.columns or self.rows, 4, 65_535),
            "frames": (self.frames, 1, 100_000),
            "seed": (self.seed, 0, 999_999),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}", hint=f"it has to be {low} to {high}")
        if self.transfer_syntax_uid not in TRANSFER_SYNTAXES.values():
            raise ConfigError(f"no such transfer syntax is made: {self.transfer_syntax_uid}")

    @property
    def frame_bytes(self) -> int:
        """Length of an uncompressed frame of 16-bit pixels, in bytes."""
        return self.rows * (self.columns or self.rows) * 2

    @property
    def series_per_study(self) -> int:
        """A mixed study has every kind at least once."""
        return max(self.series, len(kinds_of(self))) if self.mixed else self.series


@dataclass(frozen=True, slots=True)
class Kind:
    """What the instances of a series are."""

    modality: str
    sop_class_uid: str
    transfer_syntax_uid: str
    frames: int
    """0 without pixel data."""


def kinds_of(options: SyntheticOptions) -> tuple[Kind, ...]:
    """List the kinds that the series of a study take in turn."""
    modality = options.modality
    syntax = options.transfer_syntax_uid
    single = Kind(modality, image_class(modality, options.frames), syntax, options.frames)
    if not options.mixed:
        return (single,)
    many = max(options.frames, MIXED_FRAMES)
    word = MULTI_FRAME_WORD_SECONDARY_CAPTURE
    return (
        single,
        Kind("OT", word, EXPLICIT_VR_LITTLE_ENDIAN, many),
        Kind(modality, image_class(modality, 1), RLE_LOSSLESS, 1),
        Kind("OT", word, JPEG_2000_LOSSLESS, many),
        Kind("SR", BASIC_TEXT_SR, EXPLICIT_VR_LITTLE_ENDIAN, 0),
    )


def image_class(modality: str, frames: int) -> str:
    """Return the SOP Class of an image."""
    if frames > 1:
        return MULTI_FRAME_WORD_SECONDARY_CAPTURE
    return SOP_CLASSES.get(modality, SECONDARY_CAPTURE)


def describe(options: SyntheticOptions, kind: Kind, study_at: int, series_at: int) -> Dataset:
    """Build the data set of a series, without UIDs and Pixel Data."""
    dataset = Dataset()
    dataset.SOPClassUID = kind.sop_class_uid
    describe_study(dataset, options.seed, study_at)
    dataset.Modality = kind.modality
    dataset.Manufacturer = "asyncdicom"
    dataset.SeriesNumber = series_at + 1
    dataset.SeriesDescription = f"{kind.modality} series {series_at + 1}"
    dataset.InstanceNumber = INSTANCE_NUMBER
    if kind.frames:
        describe_image(dataset, options, kind)
    else:
        describe_report(dataset)
    return dataset


def describe_study(dataset: Dataset, seed: int, study_at: int) -> None:
    """Add patient and study; two studies in a row belong to one patient."""
    patient = study_at // 2 + 1
    day = study_at % 28 + 1
    month = study_at // 28 % 12 + 1
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyDate = dataset.SeriesDate = f"{2020 + seed % 5}{month:02}{day:02}"
    dataset.StudyTime = dataset.SeriesTime = f"{8 + study_at % 10:02}{study_at % 60:02}00"
    dataset.AccessionNumber = f"ACC{seed:03}{study_at + 1:06}"
    dataset.ReferringPhysicianName = "Referrer^Rita"
    dataset.StudyDescription = f"Synthetic study {study_at + 1}"
    dataset.PatientName = f"Synthetic^Patient{patient:04}=合成^患者{patient:04}"
    dataset.PatientID = f"SYN{seed:03}{patient:06}"
    dataset.PatientBirthDate = f"19{50 + patient % 50}0101"
    dataset.PatientSex = "FM"[patient % 2]
    dataset.StudyID = f"{study_at + 1}"


def describe_image(dataset: Dataset, options: SyntheticOptions, kind: Kind) -> None:
    """Add the image modules: 16-bit monochrome, and a private OB element."""
    dataset.ImagePositionPatient = ["0", "0", Z_POSITION]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceLocation = Z_POSITION
    dataset.PixelSpacing = [0.5, 0.5]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    if kind.frames > 1:
        dataset.NumberOfFrames = kind.frames
    dataset.Rows = options.rows
    dataset.Columns = options.columns or options.rows
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = 32768, 65536
    noise = random.Random(options.seed).randbytes(PRIVATE_BULK_BYTES)  # noqa: S311 -- not a secret
    block = dataset.private_block(0x0009, "ASYNCDICOM MOCK", create=True)
    block.add_new(0x01, "OB", noise)


def describe_report(dataset: Dataset) -> None:
    """Add a small structured report (PS3.3 §A.35.1)."""
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator = "121071", "DCM"
    name.CodeMeaning = "Finding"
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = [name]
    item.TextValue = "Nothing to see: this report is synthetic."
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ContentSequence = [item]
