"""An instance on its way: when its file is begun, what it becomes, and when it is refused."""

from __future__ import annotations

import errno
import hashlib
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import (
    ContentError,
    DiskFull,
    FetchError,
    InvalidUid,
    ProtocolError,
    UsageError,
)
from asyncdicom.jobs.data_set_intake import HELD_BYTES, DataSetIntake, IntakeTerms
from asyncdicom.ports.dimse import StoreRequest
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.protocol.part10_shapes import DataSetReader
from asyncdicom.protocol.part10_vocabulary import DEFAULT_TAGS
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.system import System
from tests.support import dicom
from tests.support.chunking import bytewise, random_cuts, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import ReadableBuffer

    from asyncdicom.storage.atomic import FileWriter

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
SMALL = dicom.ct(number=1)
LARGE = dicom.ct(number=2, rows=512, columns=512)


class Files:
    """Begins files in a folder, and counts them."""

    def __init__(self, folder: OutputFolder) -> None:
        self.folder = folder
        self.begun: list[FileWriter] = []

    def begin(self) -> FileWriter:
        self.begun.append(self.folder.create("incoming"))
        return self.begun[-1]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    with OutputFolder.open(tmp_path / "in") as folder:
        yield Files(folder)


class Failing(System):
    """A disk that is full."""

    @staticmethod
    def write(_fd: int, _data: ReadableBuffer, /) -> int:
        raise OSError(errno.ENOSPC, "full")


def terms(**changes: bool) -> IntakeTerms:
    return IntakeTerms(DataSetReader(DEFAULT_TAGS), **changes)


def data_set_of(content: bytes) -> bytes:
    return content[dicom.data_set_offset(content) :]


def request_for(number: int, transfer_syntax: str = EXPLICIT) -> StoreRequest:
    return StoreRequest(CT, dicom.uid("instance", number), transfer_syntax, 1, "SENDER")


def stored(
    files: Files, instance: DataSetIntake[FileWriter], pieces: list[bytes]
) -> tuple[bytes, str]:
    """Write an instance to its end; return its file, and the digest that was told."""
    for piece in pieces:
        instance.write(memoryview(bytearray(piece)))
    arrival = instance.end()
    arrival.writer.retarget("kept")
    arrival.writer.commit()
    return Path(files.folder.root, "kept").read_bytes(), arrival.sha256


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_the_file_is_our_header_and_the_bytes_as_they_came(files: Files, content: bytes) -> None:
    request = request_for(1 if content is SMALL else 2)
    data_set = data_set_of(content)
    pieces = random_cuts(data_set, random.Random(1), at_most=9)
    file, digest = stored(files, DataSetIntake(request, terms(), files.begin), pieces)
    assert file == file_meta(request) + data_set
    assert digest == hashlib.sha256(file).hexdigest()


@pytest.mark.parametrize("way", [whole, bytewise])
def test_the_facts_do_not_depend_on_where_the_bytes_were_cut(
    files: Files, way: Callable[[bytes], list[bytes]]
) -> None:
    instance = DataSetIntake(request_for(1), terms(), files.begin)
    for piece in way(data_set_of(SMALL)):
        instance.write(piece)
    arrival = instance.end()
    assert arrival.facts.sop_instance_uid == dicom.uid("instance", 1)
    assert arrival.facts.sop_class_uid == CT
    assert arrival.facts.transfer_syntax_uid == EXPLICIT
    assert arrival.facts.byte_count == arrival.writer.byte_count
    arrival.writer.discard()


def test_a_small_one_has_no_file_before_it_is_whole(files: Files) -> None:
    instance = DataSetIntake(request_for(1), terms(), files.begin)
    instance.write(data_set_of(SMALL))
    assert files.begun == []
    instance.discard()
    assert files.begun == []


def test_a_large_one_is_held_up_to_its_bound_only(files: Files) -> None:
    instance = DataSetIntake(request_for(2), terms(), files.begin)
    data_set = data_set_of(LARGE)
    instance.write(data_set[: HELD_BYTES // 2])
    assert files.begun == []
    instance.write(data_set[HELD_BYTES // 2 : HELD_BYTES])
    (writer,) = files.begun
    assert writer.byte_count == len(file_meta(request_for(2))) + HELD_BYTES
    instance.discard()
    instance.discard()


def test_lent_bytes_may_change_afterwards(files: Files) -> None:
    lent = bytearray(data_set_of(SMALL))
    instance = DataSetIntake(request_for(1), terms(), files.begin)
    instance.write(memoryview(lent))
    lent[:] = bytes(len(lent))
    arrival = instance.end()
    arrival.writer.retarget("kept")
    arrival.writer.commit()
    kept = Path(files.folder.root, "kept").read_bytes()
    assert data_set_of(kept) == data_set_of(SMALL)


def test_no_digest_is_made_where_none_is_wanted(files: Files) -> None:
    wanted = terms(computes_digests=False)
    instance = DataSetIntake(request_for(1), wanted, files.begin)
    file, digest = stored(files, instance, [data_set_of(SMALL)])
    assert digest == ""
    assert data_set_of(file) == data_set_of(SMALL)


def test_a_deflated_one_is_kept_deflated(files: Files) -> None:
    content = dicom.ct(number=1, transfer_syntax_uid=DEFLATED)
    instance = DataSetIntake(request_for(1, DEFLATED), terms(), files.begin)
    file, _ = stored(files, instance, [data_set_of(content)])
    assert data_set_of(file) == data_set_of(content)


@pytest.mark.parametrize("cut_at", [0, 1, 100, -100, -1])
def test_a_cut_one_is_refused_and_leaves_nothing(files: Files, cut_at: int) -> None:
    instance = DataSetIntake(request_for(1), terms(), files.begin)
    instance.write(data_set_of(SMALL)[:cut_at])
    with pytest.raises(FetchError):
        instance.end()
    instance.discard()
    assert files.begun == []


def test_structure_that_cannot_become_whole_is_refused_as_soon_as_it_is_read(files: Files) -> None:
    an_end_of_nothing = b"\xfe\xff\x0d\xe0" + bytes(4)
    small = DataSetIntake(request_for(1), terms(), files.begin)
    small.write(an_end_of_nothing)
    with pytest.raises(ProtocolError):
        small.end()
    large = DataSetIntake(request_for(1), terms(), files.begin)
    with pytest.raises(ProtocolError):
        large.write(an_end_of_nothing + bytes(HELD_BYTES))
    small.discard()
    large.discard()
    assert files.begun == []


def test_of_a_full_disk_the_file_is_closed(files: Files) -> None:
    files.folder = OutputFolder.open(files.folder.root, system=Failing())
    instance = DataSetIntake(request_for(1), terms(), files.begin)
    instance.write(data_set_of(SMALL))
    with pytest.raises(DiskFull):
        instance.end()
    instance.discard()
    with pytest.raises(UsageError):
        files.begun[0].write(b"")


@pytest.mark.parametrize("what", ["transfer syntax", "instance"])
def test_what_is_no_uid_gets_no_file(files: Files, what: str) -> None:
    good = request_for(1)
    bad = (
        StoreRequest(CT, good.sop_instance_uid, "../x", 1)
        if what == "transfer syntax"
        else StoreRequest(CT, "../x", EXPLICIT, 1)
    )
    with pytest.raises((ProtocolError, InvalidUid)):
        DataSetIntake(bad, terms(), files.begin)
    assert files.begun == []


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_doubtful_one_is_kept_only_where_that_is_wanted(files: Files, content: bytes) -> None:
    request = request_for(1 if content is SMALL else 2)
    # Padding behind the pixels' place: large enough to be walked as it comes, without an image.
    pixels = content.rindex(b"\xe0\x7f\x10\x00")
    odd = data_set_of(content[:pixels])
    if content is LARGE:
        odd += b"\x09\x00\x10\x10OB\0\0" + HELD_BYTES.to_bytes(4, "little") + bytes(HELD_BYTES)
    kept = DataSetIntake(request, terms(), files.begin)
    kept.write(odd)
    arrival = kept.end()
    assert arrival.facts.doubts
    arrival.writer.discard()
    refused = DataSetIntake(request, terms(keeps_doubtful=False), files.begin)
    refused.write(odd)
    with pytest.raises((ContentError, ProtocolError)):
        refused.end()
    refused.discard()
