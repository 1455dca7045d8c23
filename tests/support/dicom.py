"""Smallest valid Part 10 instances, by transfer syntax, with UIDs that never change.

    ct(number=3)                       # 16 x 16 pixels, about 1 KB
    ct(rows=512, columns=512)          # 512 KB of pixels, 80 elements in front of them
    samples()                          # one of each kind, by name in words
    small_instances(1_000)             # built once, then patched: 1,000 in a few ms

Pixels are a pattern; compressed frames are dummies, for nobody decodes them here.
UIDs stand below 2.999, the arc that X.660 keeps for examples.
"""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
MPEG4 = "1.2.840.10008.1.2.4.102"
PRIVATE_SOP_CLASS = "2.999.9.1"
FRAME = b"\xff\x4f\xff\x51" + bytes(range(60))
"""A dummy code stream that begins like JPEG 2000."""


def uid(kind: str, number: int) -> str:
    """Return a UID of fixed length for a `study`, `series` or `instance`, 0 to 89,999,999."""
    return f"2.999.{('study', 'series', 'instance').index(kind) + 1}.{10_000_000 + number}"


def identified(*, sop_class_uid: str, number: int = 1, series: int = 1, study: int = 1) -> Dataset:
    """Return a data set with the modules that each instance of a study has."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = uid("instance", number)
    dataset.StudyDate = "20260102"
    dataset.SeriesDate = "20260103"
    dataset.AccessionNumber = "A17"
    dataset.Modality = "OT"
    dataset.StudyDescription = "Head and neck"
    dataset.SeriesDescription = "axial 1.0"
    dataset.PatientName = "Doe^Jane^^Dr"
    dataset.PatientID = "P-0042"
    dataset.StudyInstanceUID = uid("study", study)
    dataset.SeriesInstanceUID = uid("series", series)
    dataset.StudyID = "S1"
    dataset.SeriesNumber = str(series)
    dataset.InstanceNumber = str(number)
    return dataset


def add_pixels(
    dataset: Dataset, *, rows: int, columns: int, frames: int = 1, bits_allocated: int = 16
) -> None:
    """Add a monochrome image with a pattern for pixels."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    if frames > 1:
        dataset.NumberOfFrames = str(frames)
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = bits_allocated
    dataset.HighBit = bits_allocated - 1
    dataset.PixelRepresentation = 0
    byte_count = (rows * columns * frames * bits_allocated + 7) // 8
    pattern = bytes(range(256)) * (byte_count // 256 + 1)
    dataset.PixelData = pattern[: byte_count + byte_count % 2]
    dataset["PixelData"].VR = "OW" if bits_allocated > 8 else "OB"


def part10(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """Serialise a data set as a file in a transfer syntax."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID("2.999.4")
    dataset.file_meta = meta
    target = BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def with_file_meta(
    data_set: bytes, *, transfer_syntax_uid: str = ExplicitVRLittleEndian, number: int = 1
) -> bytes:
    """Put preamble and file meta in front of the bytes of a data set, whatever they are."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = UID(uid("instance", number))
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID("2.999.4")
    target = DicomBytesIO(bytes(128) + b"DICM")
    target.seek(132)
    write_file_meta_info(target, meta)
    return target.getvalue() + data_set


def data_set_offset(part10_file: bytes) -> int:
    """Return where the data set begins."""
    return 144 + int.from_bytes(part10_file[140:144], "little")


def ct(
    *,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    number: int = 1,
    rows: int = 16,
    columns: int = 16,
    series: int = 1,
    study: int = 1,
) -> bytes:
    """Return a native CT image; from 256 rows on with the 80 elements a scanner writes."""
    dataset = identified(sop_class_uid=CTImageStorage, number=number, series=series, study=study)
    dataset.Modality = "CT"
    if rows >= 256:
        add_scanner_attributes(dataset)
    add_pixels(dataset, rows=rows, columns=columns)
    return part10(dataset, transfer_syntax_uid)


def mr(*, number: int = 1, series: int = 1, study: int = 1) -> bytes:
    """Return a native MR image."""
    dataset = identified(sop_class_uid=MRImageStorage, number=number, series=series, study=study)
    dataset.Modality = "MR"
    dataset.EchoTime, dataset.PixelSpacing = "2.40", ["0.661468", "0.700000"]
    add_pixels(dataset, rows=16, columns=16)
    return part10(dataset)


def add_scanner_attributes(dataset: Dataset) -> None:
    """Add what a CT scanner writes in front of its pixels: text, numbers, two sequences."""
    texts = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "InstanceCreationDate": "20260103", "InstanceCreationTime": "101112.5",
        "AcquisitionDate": "20260103", "ContentDate": "20260103",
        "StudyTime": "101010", "SeriesTime": "101011",
        "AcquisitionTime": "101012", "ContentTime": "101013",
        "Manufacturer": "Example Corp", "InstitutionName": "Example Hospital",
        "ReferringPhysicianName": "Roe^Richard", "StationName": "CT01",
        "ProcedureCodeSequence": [code("36643-5", "LN", "XR Chest 2 Views")],
        "PerformingPhysicianName": "Poe^Pat", "OperatorsName": "Loe^Lee",
        "ManufacturerModelName": "Example 64",
        "ReferencedStudySequence": [reference(uid("study", 7))],
        "PatientBirthDate": "19700101", "PatientSex": "F", "PatientAge": "056Y",
        "PatientSize": "1.70", "PatientWeight": "70", "AdditionalPatientHistory": "none",
        "BodyPartExamined": "CHEST", "ScanOptions": "HELICAL", "SliceThickness": "1.25",
        "KVP": "120", "DataCollectionDiameter": "500", "DeviceSerialNumber": "12345",
        "SoftwareVersions": "v1", "ProtocolName": "Chest", "ReconstructionDiameter": "360",
        "DistanceSourceToDetector": "949.07", "DistanceSourceToPatient": "541",
        "GantryDetectorTilt": "0", "TableHeight": "151.5", "RotationDirection": "CW",
        "ExposureTime": "600", "XRayTubeCurrent": "300", "Exposure": "180",
        "FilterType": "BODY FILTER", "GeneratorPower": "36000", "FocalSpots": "1.2",
        "ConvolutionKernel": "STANDARD", "PatientPosition": "FFS",
        "AcquisitionNumber": "1", "ImagePositionPatient": ["-180", "-180", "12.5"],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "FrameOfReferenceUID": "2.999.5.1", "ImagesInAcquisition": "300",
        "PositionReferenceIndicator": "SN", "SliceLocation": "12.5",
        "PixelSpacing": ["0.703125", "0.703125"], "WindowCenter": "40", "WindowWidth": "400",
        "RescaleIntercept": "-1024", "RescaleSlope": "1", "RescaleType": "HU",
        "PerformedProcedureStepStartDate": "20260103",
        "PerformedProcedureStepID": "PPS1",
    }  # fmt: skip
    for keyword, value in texts.items():
        setattr(dataset, keyword, value)
    block = dataset.private_block(0x0019, "EXAMPLE 01", create=True)
    for element in range(0x10, 0x18):
        block.add_new(element, "DS", "1.5")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence (PS3.3 §8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def reference(sop_instance_uid: str) -> Dataset:
    """Return an item that references an instance."""
    item = Dataset()
    item.ReferencedSOPClassUID = CTImageStorage
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def multi_frame(*, frames: int = 5, number: int = 1, bits_allocated: int = 16) -> bytes:
    """Return a native multi-frame image."""
    dataset = identified(sop_class_uid=EnhancedCTImageStorage, number=number)
    add_pixels(dataset, rows=8, columns=8, frames=frames, bits_allocated=bits_allocated)
    return part10(dataset)


def encapsulated(
    transfer_syntax_uid: str = JPEG2000Lossless,
    *,
    frames: int = 3,
    number: int = 1,
    has_offset_table: bool = True,
    fragments_per_frame: int = 1,
) -> bytes:
    """Return an image whose frames are compressed (dummies), one or more fragments each."""
    dataset = identified(sop_class_uid=SecondaryCaptureImageStorage, number=number)
    add_pixels(dataset, rows=64, columns=64, frames=max(frames, 1), bits_allocated=8)
    dataset.PixelData = encapsulate(
        [FRAME] * frames, fragments_per_frame=fragments_per_frame, has_bot=has_offset_table
    )
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return part10(dataset, transfer_syntax_uid)


def structured_report(
    *, number: int = 1, transfer_syntax_uid: str = ExplicitVRLittleEndian
) -> bytes:
    """Return a Basic Text SR: no pixels, content three sequences deep."""
    dataset = identified(sop_class_uid=BASIC_TEXT_SR, number=number)
    dataset.Modality = "SR"
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = Sequence([code("18748-4", "LN", "Imaging Report")])
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = Sequence([code("121071", "DCM", "Finding")])
    item.TextValue = "Nothing of note"
    dataset.ContentSequence = Sequence([item])
    return part10(dataset, transfer_syntax_uid)


def encapsulated_document(*, number: int = 1) -> bytes:
    """Return an encapsulated PDF (a dummy of a few bytes)."""
    dataset = identified(sop_class_uid=EncapsulatedPDFStorage, number=number)
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = b"%PDF-1.4"
    return part10(dataset)


def private_object(*, number: int = 1) -> bytes:
    """Return an instance of a private SOP class with private elements and no pixels."""
    dataset = identified(sop_class_uid=PRIVATE_SOP_CLASS, number=number)
    block = dataset.private_block(0x0029, "EXAMPLE 01", create=True)
    block.add_new(0x10, "OB", bytes(64))
    block.add_new(0x11, "UN", b"\1\2\3\4")
    return part10(dataset)


def nested(
    *,
    is_undefined: bool,
    depth: int = 3,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    number: int = 1,
) -> bytes:
    """Return an image with sequences in sequences, of defined or undefined length."""
    dataset = identified(sop_class_uid=CTImageStorage, number=number)
    add_pixels(dataset, rows=4, columns=4)
    level = dataset
    for step in range(depth):
        item = reference(uid("instance", step))
        item.is_undefined_length_sequence_item = is_undefined
        level.ReferencedImageSequence = Sequence([item, reference(uid("instance", 99))])
        level["ReferencedImageSequence"].is_undefined_length = is_undefined
        level = item
    return part10(dataset, transfer_syntax_uid)


def in_character_set(character_set: str | list[str], patient_name: str) -> bytes:
    """Return an image whose patient's name is written in a character set."""
    dataset = identified(sop_class_uid=CTImageStorage)
    dataset.SpecificCharacterSet = character_set
    dataset.PatientName = patient_name
    add_pixels(dataset, rows=4, columns=4)
    return part10(dataset)


@cache
def samples() -> dict[str, bytes]:
    """Return one small instance of each kind, by its name in words."""
    return {
        "explicit little endian": ct(),
        "implicit little endian": ct(transfer_syntax_uid=ImplicitVRLittleEndian),
        "explicit big endian": ct(transfer_syntax_uid=ExplicitVRBigEndian),
        "deflated": ct(transfer_syntax_uid=DeflatedExplicitVRLittleEndian),
        "multi-frame": multi_frame(),
        "one bit": multi_frame(bits_allocated=1),
        "rle": encapsulated(RLELossless),
        "jpeg-ls": encapsulated(JPEGLSLossless, frames=1),
        "jpeg 2000 without offset table": encapsulated(has_offset_table=False),
        "jpeg 2000 in many fragments": encapsulated(fragments_per_frame=4),
        "structured report": structured_report(),
        "structured report, implicit": structured_report(
            transfer_syntax_uid=ImplicitVRLittleEndian
        ),
        "structured report, big endian": structured_report(transfer_syntax_uid=ExplicitVRBigEndian),
        "encapsulated document": encapsulated_document(),
        "private sop class": private_object(),
        "nested, defined": nested(is_undefined=False),
        "nested, undefined": nested(is_undefined=True),
        "nested, undefined, implicit": nested(
            is_undefined=True, transfer_syntax_uid=ImplicitVRLittleEndian
        ),
        "nested, undefined, big endian": nested(
            is_undefined=True, transfer_syntax_uid=ExplicitVRBigEndian
        ),
        "latin 1": in_character_set("ISO_IR 100", "Buc^Jérôme"),
        "utf-8": in_character_set("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    }


@cache
def _template() -> tuple[bytes, bytes, bytes, bytes]:
    """Return a small CT, and its UIDs of instance, series and study as they stand in it."""
    instance_uid, series_uid, study_uid = (
        uid(kind, 1).encode() for kind in ("instance", "series", "study")
    )
    return ct(rows=8, columns=8), instance_uid, series_uid, study_uid


def small_instance(number: int, *, series: int = 1, study: int = 1) -> bytes:
    """Return a CT of 1 KB with its own UIDs; patched, so 100 times faster than built."""
    template, instance_uid, series_uid, study_uid = _template()
    return (
        template.replace(instance_uid, uid("instance", number).encode())
        .replace(series_uid, uid("series", series).encode())
        .replace(study_uid, uid("study", study).encode())
    )


def small_instances(count: int, *, series: int = 1, study: int = 1) -> Iterator[bytes]:
    """Yield CTs of 1 KB, numbered from 1."""
    for number in range(1, count + 1):
        yield small_instance(number, series=series, study=study)


UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset(
    ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
)


def explicit(
    tag: int, vr: str, value: bytes = b"", *, length: int | None = None, order: str = "<"
) -> bytes:
    """Return one element in explicit VR; `length` may lie."""
    claimed = len(value) if length is None else length
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")
    if vr in _LONG_VRS:
        return head + struct.pack(f"{order}HI", 0, claimed) + value
    return head + struct.pack(f"{order}H", claimed) + value


def implicit(tag: int, value: bytes = b"", *, length: int | None = None, order: str = "<") -> bytes:
    """Return one element in implicit VR, an item or a delimiter; `length` may lie."""
    claimed = len(value) if length is None else length
    return struct.pack(f"{order}HHI", tag >> 16, tag & 0xFFFF, claimed) + value


def item(value: bytes = b"", *, length: int | None = None, order: str = "<") -> bytes:
    """Return an item with its content; undefined length is closed by a delimiter."""
    end = implicit(0xFFFEE00D, order=order) if length == UNDEFINED else b""
    return implicit(0xFFFEE000, value, length=length, order=order) + end


SEQUENCE_END = implicit(0xFFFEE0DD)
