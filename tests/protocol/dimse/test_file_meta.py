"""Header and data set are one file, for pydicom and for our own walker."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info

from asyncdicom._version import __version__
from asyncdicom.errors import ProtocolError
from asyncdicom.model import is_uid
from asyncdicom.ports.dimse import StoreRequest
from asyncdicom.protocol.dimse.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    file_meta,
)
from asyncdicom.protocol.part10 import Part10Walker
from tests.protocol.dimse.samples import CT
from tests.support.dicom import ct, data_set_offset, explicit

EXPLICIT = "1.2.840.10008.1.2.1"
INSTANCE = "2.999.3.10000001"


def request(
    *,
    sop_class_uid: str = CT,
    sop_instance_uid: str = INSTANCE,
    transfer_syntax: str = EXPLICIT,
    calling_ae: str = "SENDER",
) -> StoreRequest:
    return StoreRequest(sop_class_uid, sop_instance_uid, transfer_syntax, 1, calling_ae)


def data_set(sop_instance_uid: str = INSTANCE) -> bytes:
    return explicit(0x00080016, "UI", CT.encode()) + explicit(
        0x00080018, "UI", sop_instance_uid.encode()
    )


def test_pydicom_reads_what_was_asked_for() -> None:
    file = dcmread(BytesIO(file_meta(request()) + data_set()))
    assert {element.keyword: element.value for element in file.file_meta} == {
        "FileMetaInformationGroupLength": len(file_meta(request())) - 128 - 4 - 12,
        "FileMetaInformationVersion": b"\0\1",
        "MediaStorageSOPClassUID": CT,
        "MediaStorageSOPInstanceUID": INSTANCE,
        "TransferSyntaxUID": EXPLICIT,
        "ImplementationClassUID": IMPLEMENTATION_CLASS_UID,
        "ImplementationVersionName": IMPLEMENTATION_VERSION_NAME,
        "SourceApplicationEntityTitle": "SENDER",
    }
    assert file.SOPInstanceUID == INSTANCE


@pytest.mark.parametrize("instance", ["2.999.1", "2.999.12", "1" * 64, "0"])
@pytest.mark.parametrize("calling_ae", ["A", "AB", "SIXTEEN CHARS AE"])
def test_pydicom_writes_the_same_bytes(instance: str, calling_ae: str) -> None:
    written = file_meta(request(sop_instance_uid=instance, calling_ae=calling_ae))
    file = dcmread(BytesIO(written), force=True)
    theirs = DicomBytesIO()
    write_file_meta_info(theirs, file.file_meta)
    assert written == bytes(128) + b"DICM" + theirs.getvalue()


def test_the_walker_finds_the_file_whole() -> None:
    theirs = ct(number=3)
    meta = dcmread(BytesIO(theirs), stop_before_pixels=True).file_meta
    instance = str(meta.MediaStorageSOPInstanceUID)
    walker = Part10Walker()
    walker.receive_data(file_meta(request(sop_instance_uid=instance)))
    walker.receive_data(theirs[data_set_offset(theirs) :])
    facts = walker.receive_eof()
    assert facts.sop_instance_uid == facts.media_storage_sop_instance_uid == instance
    assert facts.transfer_syntax_uid == EXPLICIT


@pytest.mark.parametrize(
    "calling_ae",
    [
        pytest.param("", id="none"),
        pytest.param("   ", id="blank"),
        pytest.param("SEVENTEEN CHARS A", id="too long"),
        pytest.param("A\\B", id="backslash"),
        pytest.param("A\nB", id="control"),
        pytest.param("\xe9", id="letter beyond ASCII"),
    ],
)
def test_an_ae_title_that_is_none_is_left_out(calling_ae: str) -> None:
    file = dcmread(BytesIO(file_meta(request(calling_ae=calling_ae))), force=True)
    assert "SourceApplicationEntityTitle" not in file.file_meta
    assert file.file_meta.MediaStorageSOPInstanceUID == INSTANCE


@pytest.mark.parametrize(
    "uid",
    ["", "../1", "1.2\\3", "1.2\0", "1" * 65, "a", "1..2", " 1.2", "\u0661"],
    ids=["empty", "path", "backslash", "NUL", "long", "letter", "dots", "blank", "digit"],
)
def test_what_is_no_uid_never_becomes_a_file(uid: str) -> None:
    for hostile in (
        request(sop_class_uid=uid),
        request(sop_instance_uid=uid),
        request(transfer_syntax=uid),
    ):
        with pytest.raises(ProtocolError, match="no UID"):
            file_meta(hostile)


@given(st.text(), st.text(), st.text(max_size=20))
def test_hostile_text_is_refused_or_harmless(uid: str, syntax: str, calling_ae: str) -> None:
    hostile = request(sop_instance_uid=uid, transfer_syntax=syntax, calling_ae=calling_ae)
    if is_uid(uid) and is_uid(syntax):
        assert file_meta(hostile)
    else:
        with pytest.raises(ProtocolError):
            file_meta(hostile)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=5), st.text(max_size=18))
def test_any_uid_comes_back(components: list[int], calling_ae: str) -> None:
    uid = ".".join(map(str, (2, *components)))
    file = dcmread(
        BytesIO(file_meta(request(sop_instance_uid=uid, calling_ae=calling_ae))), force=True
    )
    assert uid == file.file_meta.MediaStorageSOPInstanceUID
    assert file.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID


def test_our_names_are_legal_and_of_this_version() -> None:
    assert is_uid(IMPLEMENTATION_CLASS_UID)
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
    major, minor, *_ = __version__.split(".")
    assert f"ASYNCDICOM_{major}.{minor}" == IMPLEMENTATION_VERSION_NAME
