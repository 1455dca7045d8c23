"""Names of DCMTK: as its own tools print them, and those that follow from no rule."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from asyncdicom.protocol.dimse.sop_classes import ALL_TRANSFER_SYNTAXES
from asyncdicom.protocol.dimse.symbolic_names import (
    SOP_CLASSES,
    TRANSFER_SYNTAXES,
    find_sop_class,
    find_transfer_syntax,
)
from tests.support.peers import require_peer

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "1.2.840.10008.5.1.4.1.1"


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        ("VerificationSOPClass", "1.2.840.10008.1.1"),
        ("CTImageStorage", f"{ROOT}.2"),
        ("TwelveLeadECGWaveformStorage", f"{ROOT}.9.1.1"),
        ("General32BitECGWaveformStorage", f"{ROOT}.9.1.4"),
        ("UltrasoundMultiframeImageStorage", f"{ROOT}.3.1"),
        ("RETIRED_UltrasoundMultiframeImageStorage", f"{ROOT}.3"),
        ("RETIRED_HardcopyColorImageStorage", "1.2.840.10008.5.1.1.30"),
        ("DRAFT_SRTextStorage", f"{ROOT}.88.1"),
        ("DICOS_QuadrupoleResonanceStorage", f"{ROOT}.501.6"),
        ("DICONDE_ThermographyMultiFrameImageStorage", f"{ROOT}.601.4"),
        ("ImplantationPlanSRStorage", f"{ROOT}.88.70"),
        ("ImplantationPlanSRDocumentStorage", f"{ROOT}.88.70"),
        ("1.2.3.4", "1.2.3.4"),
        ("1.02.3", "1.02.3"),
        ("1." + "2" * 62, "1." + "2" * 62),
    ],
)
def test_a_sop_class_is_found(name: str, uid: str) -> None:
    assert find_sop_class(name) == uid


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        ("LocalEndianExplicit", "1.2.840.10008.1.2.1"),
        ("OppositeEndianExplicit", "1.2.840.10008.1.2.2"),
        ("JPEGLossless:Non-hierarchical-1stOrderPrediction", "1.2.840.10008.1.2.4.70"),
        ("MPEG2MainProfile@MainLevel", "1.2.840.10008.1.2.4.100"),
        ("JPEGXLLossless", "1.2.840.10008.1.2.4.110"),
        ("HighThroughputJPEG2000ImageCompression", "1.2.840.10008.1.2.4.203"),
        ("1.2.840.113619.5.2", "1.2.840.113619.5.2"),
    ],
)
def test_a_transfer_syntax_is_found(name: str, uid: str) -> None:
    assert find_transfer_syntax(name) == uid


@pytest.mark.parametrize(
    "name", ["", "ctimagestorage", "1..2", ".1", "1.", "1.2.x", "1." + "2" * 63, "\u0661.2"]
)
def test_what_is_neither_name_nor_uid_is_not_found(name: str) -> None:
    assert find_sop_class(name) is None
    assert find_transfer_syntax(name) is None


def test_each_transfer_syntax_has_a_name() -> None:
    assert set(TRANSFER_SYNTAXES.values()) == set(ALL_TRANSFER_SYNTAXES)


def test_neither_is_taken_for_the_other() -> None:
    assert find_sop_class("JPEGBaseline") is None
    assert find_transfer_syntax("CTImageStorage") is None


# No other UID carries these: DCMTK names the byte order of the machine, and what it wrote before.
ALIASES = {
    *("LocalEndianExplicit", "OppositeEndianExplicit"),
    *("ImplantationPlanSRStorage", "ImplantationPlanSRDocumentStorage"),
    "RETIRED_VLMultiFrameImageStorage",
}
YOUNGER_THAN_DCMTK = 30
"""More names than these, that an installed DCMTK does not have yet, would be a mistake."""


@pytest.mark.peer("dcmtk")
@pytest.mark.parametrize("table", [SOP_CLASSES, TRANSFER_SYNTAXES], ids=["classes", "syntaxes"])
def test_names_are_those_that_dcmtk_prints(table: dict[str, str], tmp_path: Path) -> None:
    require_peer("dcmtk")
    names = {uid: name for name, uid in table.items() if name not in ALIASES}
    printed = printed_names(list(names), tmp_path / "all.dcm")
    unknown = {uid for uid, name in printed.items() if name == f"[{uid}]"}
    assert {uid: printed[uid] for uid in names.keys() - unknown} == {
        uid: f"={names[uid]}" for uid in names.keys() - unknown
    }
    assert len(unknown) <= YOUNGER_THAN_DCMTK


def printed_names(uids: list[str], path: Path) -> dict[str, str]:
    """Return what dcmdump prints for each UID."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3"
    dataset.ReferencedImageSequence = pydicom.Sequence(map(referencing, uids))
    dataset.save_as(path, enforce_file_format=True)
    command = ["dcmdump", "+L", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    values = re.findall(r"^ *\(0008,1150\) UI (\S+)", text, re.MULTILINE)
    assert len(values) == len(uids)
    return dict(zip(uids, values, strict=True))


def referencing(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = uid
    return item
