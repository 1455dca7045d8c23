"""What the bytes of an object say, however they are cut, and at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO
from typing import TypeAlias

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from asyncdicom.errors import DigestMismatch, ProtocolError, UidMismatch
from asyncdicom.jobs.object_intake import LookOptions, ObjectContent, ObjectLook, check_group
from asyncdicom.model import parse_uid
from asyncdicom.ports.objects import ObjectDigest, ObjectEntry
from tests.jobs.object_support import group_of
from tests.support.dicom import ct, samples, uid

Way: TypeAlias = Callable[[bytes, ObjectEntry], ObjectContent]

OPTIONS = LookOptions(computes_sha256=True)


def at_once(content: bytes, entry: ObjectEntry) -> ObjectContent:
    look = ObjectLook(OPTIONS)
    look.begin(entry)
    return look.receive_whole(content)


def in_pieces(size_bytes: int) -> Way:
    def look_at(content: bytes, entry: ObjectEntry) -> ObjectContent:
        look = ObjectLook(OPTIONS)
        look.begin(entry)
        for start in range(0, len(content), size_bytes):
            look.receive_data(memoryview(content)[start : start + size_bytes])
        return look.receive_eof()

    return look_at


def skipping(content: bytes, entry: ObjectEntry) -> ObjectContent:
    look = ObjectLook(LookOptions())
    look.begin(entry)
    at = 0
    while at < len(content):
        skipped = look.skip(len(content) - at)
        at += skipped
        if not skipped:
            look.receive_data(content[at : at + 300])
            at += 300
    return look.receive_eof()


WAYS = [
    pytest.param(at_once, id="at once"),
    pytest.param(in_pieces(10**6), id="in one piece"),
    pytest.param(in_pieces(1), id="bytewise"),
    pytest.param(in_pieces(131), id="cut in the prefix"),
    pytest.param(skipping, id="without what may be skipped"),
]


def entry_of(content: bytes, *digests: ObjectDigest) -> ObjectEntry:
    return ObjectEntry("key", len(content), digests=digests)


def dicomdir() -> bytes:
    dataset = Dataset()
    dataset.FileSetID = "DISK"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize("look_at", WAYS)
@pytest.mark.parametrize("name", sorted(samples()))
def test_an_instance_says_who_it_is(name: str, look_at: Way) -> None:
    content = samples()[name]
    found = look_at(content, entry_of(content))
    assert found.facts is not None
    assert found.facts.byte_count == len(content)
    digest = "" if look_at is skipping else hashlib.sha256(content).hexdigest()
    assert found.sha256 == digest
    assert not found.is_as_promised


@pytest.mark.parametrize("look_at", WAYS)
@pytest.mark.parametrize(
    ("content", "remark"),
    [
        pytest.param(b"", "no DICOM file", id="nothing"),
        pytest.param(b"text", "no DICOM file", id="short"),
        pytest.param(bytes(500), "no DICOM file", id="zeros"),
        pytest.param(bytes(128) + b"DICX" + bytes(50), "no DICOM file", id="another prefix"),
        pytest.param(dicomdir(), "a DICOMDIR, no instance", id="a DICOMDIR"),
    ],
)
def test_what_holds_no_instance_is_taken_with_a_remark(
    content: bytes, remark: str, look_at: Way
) -> None:
    found = look_at(content, entry_of(content))
    assert (found.facts, found.remarks) == (None, (remark,))


@pytest.mark.parametrize("look_at", WAYS)
def test_a_uid_that_is_none_is_remarked(look_at: Way) -> None:
    content = ct(number=1).replace(uid("study", 1).encode(), b"x" * len(uid("study", 1)))
    found = look_at(content, entry_of(content))
    assert found.facts is None
    assert found.remarks[0].startswith("no DICOM instance: StudyInstanceUID")


@pytest.mark.parametrize("look_at", WAYS)
@pytest.mark.parametrize("cut", [-1, 300, 140, 133])
def test_a_cut_instance_is_refused(cut: int, look_at: Way) -> None:
    content = ct(number=1)[:cut]
    with pytest.raises(ProtocolError):
        look_at(content, entry_of(content))


@pytest.mark.parametrize("look_at", WAYS)
def test_what_the_store_promised_is_compared(look_at: Way) -> None:
    content = ct(number=1)
    promised = ObjectDigest("md5", hashlib.md5(content, usedforsecurity=False).digest())
    assert look_at(content, entry_of(content, promised)).is_as_promised
    with pytest.raises(DigestMismatch):
        look_at(content, entry_of(content, ObjectDigest("md5", bytes(16))))


@pytest.mark.parametrize("look_at", WAYS)
def test_damage_on_the_way_is_told_before_what_it_did(look_at: Way) -> None:
    content = ct(number=1)[:-100]
    with pytest.raises(DigestMismatch):
        look_at(content, entry_of(content, ObjectDigest("md5", bytes(16))))


def test_nothing_is_skipped_where_a_digest_needs_it() -> None:
    content = ct(number=1)
    plain = LookOptions()
    for options, digests, may_skip in (
        (plain, (), True),
        (OPTIONS, (), False),
        (plain, (ObjectDigest("md5", hashlib.md5(content).digest()),), False),
    ):
        look = ObjectLook(options)
        look.begin(entry_of(content, *digests))
        assert look.skip(100) == 0
        look.receive_data(content[:-10])
        assert look.skip(10) == (10 if may_skip else 0)


@pytest.mark.parametrize("kind", ["study", "series", "sop"])
def test_an_instance_is_of_its_group(kind: str) -> None:
    content = ct(number=1)
    found = at_once(content, entry_of(content))
    facts = found.facts
    assert facts is not None
    own: dict[str, object] = {
        "study_instance_uid": facts.study_instance_uid,
        "series_instance_uid": facts.series_instance_uid,
        "sop_instance_uid": facts.sop_instance_uid,
    }
    check_group(group_of("", **own), found)
    with pytest.raises(UidMismatch):
        check_group(group_of("", **{**own, f"{kind}_instance_uid": parse_uid("9.9")}), found)
