"""One data set per series, built with pydicom; its instances are patched from it.

Writing a data set with pydicom takes about a millisecond; patching the four
values in which the instances of a series differ takes a few microseconds. So
the template is written once with placeholders, each found again in the bytes.

Rule: every value patched has a fixed width, so no length in the file changes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID

from asyncdicom.mock.archive import PIXEL_DATA, Attributes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["PRIVATE_BULK", "Template", "build_template"]

PRIVATE_BULK = "00091001"
"""Tag of a private OB element that metadata shows with a BulkDataURI."""

PRIVATE_BULK_BYTES = 1024

# Numbers that no data set holds by chance; each as wide as what replaces it.
INSTANCE_NUMBER = "000271828182"
Z_POSITION = "-00031415.92653"

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"


@dataclass(frozen=True, slots=True)
class Template:
    """A series' instances, but for the values in which they differ."""

    head: bytes
    """Part 10 file up to the value of Pixel Data, or whole without pixel data."""
    attributes: Attributes
    private_bulk: bytes
    uid_at: tuple[int, ...]
    number_at: tuple[int, ...]
    position_at: tuple[int, ...]
    placeholder_uid: str

    def patched_head(self, sop_instance_uid: str, number: int) -> bytes:
        """Return `head` for one instance; number is from 1."""
        head = bytearray(self.head)
        patches = (
            (self.uid_at, sop_instance_uid),
            (self.number_at, f"{number:<{len(INSTANCE_NUMBER)}}"),
            (self.position_at, f"{float(number):<{len(Z_POSITION)}}"),
        )
        for offsets, text in patches:
            value = text.encode("ascii")
            for offset in offsets:
                head[offset : offset + len(value)] = value
        return bytes(head)

    def patched_attributes(self, sop_instance_uid: str, number: int) -> Attributes:
        """Return the attributes of one instance; number is from 1."""
        attributes = self.attributes.copy()
        attributes["00080018"] = {"vr": "UI", "Value": [sop_instance_uid]}
        attributes["00200013"] = {"vr": "IS", "Value": [number]}
        if self.position_at:
            z = float(number)
            attributes["00200032"] = {"vr": "DS", "Value": [0.0, 0.0, z]}
            attributes["00201041"] = {"vr": "DS", "Value": [z]}
        return attributes


def build_template(dataset: Dataset, *, transfer_syntax_uid: str, tail: bytes) -> Template:
    """Write a data set and find in it what has to be patched.

    Args:
        dataset: Without Pixel Data; its SOPInstanceUID is a placeholder that is
            as long as the UIDs which replace it.
        transfer_syntax_uid: What the file is written in.
        tail: What stands between the last element and the first frame.

    """
    placeholder_uid = str(dataset.SOPInstanceUID)
    encoded = write_part10(dataset, transfer_syntax_uid)
    return Template(
        head=encoded + tail,
        attributes=attributes_of(dataset),
        private_bulk=dataset[0x0009, 0x1001].value if (0x0009, 0x1001) in dataset else b"",
        uid_at=find_all(encoded, placeholder_uid),
        number_at=find_all(encoded, INSTANCE_NUMBER),
        position_at=find_all(encoded, Z_POSITION),
        placeholder_uid=placeholder_uid,
    )


def write_part10(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """Encode a data set with preamble and File Meta Information (PS3.10 §7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    buffer = BytesIO()
    file: FileDataset = FileDataset(buffer, dataset, file_meta=meta, preamble=b"\0" * 128)
    implicit = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    file.save_as(buffer, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()


def attributes_of(dataset: Dataset) -> Attributes:
    """Convert to the DICOM JSON Model, without the bulk elements."""
    attributes: dict[str, Any] = dataset.to_json_dict(bulk_data_threshold=1 << 30)
    attributes.pop(PRIVATE_BULK, None)
    attributes.pop(PIXEL_DATA, None)
    return attributes


def find_all(data: bytes, text: str) -> tuple[int, ...]:
    """Return every offset of a text."""
    needle, found, at = text.encode("ascii"), [], -1
    while (at := data.find(needle, at + 1)) >= 0:
        found.append(at)
    return tuple(found)


def pixel_data_header(transfer_syntax_uid: str, frame_bytes: int, frame_count: int) -> bytes:
    """Encode the Pixel Data element up to its first frame (PS3.5 §7.1, §A.4).

    Args:
        transfer_syntax_uid: Native little endian, or encapsulated.
        frame_bytes: Length of each frame, in bytes, even.
        frame_count: At least 1.

    """
    tag = b"\xe0\x7f\x10\x00"
    total_bytes = frame_bytes * frame_count
    if transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN:
        return tag + struct.pack("<L", total_bytes)
    if is_native(transfer_syntax_uid):
        return tag + b"OW\0\0" + struct.pack("<L", total_bytes)
    # PS3.5 §A.4: undefined length, then the Basic Offset Table as the first item;
    # an offset counts from the first byte after that item.
    offsets = [at * (8 + frame_bytes) for at in range(frame_count)]
    table = struct.pack(f"<{frame_count}L", *offsets)
    return tag + b"OB\0\0\xff\xff\xff\xff" + item_header(len(table)) + table


def is_native(transfer_syntax_uid: str) -> bool:
    """Tell whether pixel data is not encapsulated (PS3.5 §A.1 to §A.3)."""
    return transfer_syntax_uid in {IMPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.1"}


def item_header(length: int) -> bytes:
    """Encode the tag and length of an item (PS3.5 §7.5)."""
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", length)


SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
"""Ends encapsulated pixel data (PS3.5 §A.4)."""
