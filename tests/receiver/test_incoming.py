"""An instance on its way: when its file is begun, what it becomes, and when it is refused."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import FetchError, InvalidUid, ProtocolError
from asyncdicom.ports.dimse import StoreRequest
from asyncdicom.protocol.dimse.file_meta import file_meta
from asyncdicom.receiver.incoming import HELD_BYTES, IncomingInstance
from asyncdicom.storage.folder import OutputFolder
from tests.receiver.support import CT, data_set_of, rules
from tests.support import dicom
from tests.support.chunking import bytewise, random_cuts, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncdicom.storage.atomic import FileWriter

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


def request_for(number: int, transfer_syntax: str = EXPLICIT) -> StoreRequest:
    return StoreRequest(CT, dicom.uid("instance", number), transfer_syntax, 1, "SENDER")


def stored(files: Files, instance: IncomingInstance, pieces: list[bytes]) -> tuple[bytes, str]:
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
    file, digest = stored(files, IncomingInstance(request, rules(), files.begin), pieces)
    assert file == file_meta(request) + data_set
    assert digest == hashlib.sha256(file).hexdigest()


@pytest.mark.parametrize("way", [whole, bytewise])
def test_the_facts_do_not_depend_on_where_the_bytes_were_cut(
    files: Files, way: Callable[[bytes], list[bytes]]
) -> None:
    instance = IncomingInstance(request_for(1), rules(), files.begin)
    for piece in way(data_set_of(SMALL)):
        instance.write(piece)
    arrival = instance.end()
    assert arrival.facts.sop_instance_uid == dicom.uid("instance", 1)
    assert arrival.facts.sop_class_uid == CT
    assert arrival.facts.transfer_syntax_uid == EXPLICIT
    assert arrival.facts.byte_count == arrival.writer.byte_count
    arrival.writer.discard()


def test_a_small_one_has_no_file_before_it_is_whole(files: Files) -> None:
    instance = IncomingInstance(request_for(1), rules(), files.begin)
    instance.write(data_set_of(SMALL))
    assert files.begun == []
    instance.discard()
    assert files.begun == []


def test_a_large_one_is_held_up_to_its_bound_only(files: Files) -> None:
    instance = IncomingInstance(request_for(2), rules(), files.begin)
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
    instance = IncomingInstance(request_for(1), rules(), files.begin)
    instance.write(memoryview(lent))
    lent[:] = bytes(len(lent))
    arrival = instance.end()
    arrival.writer.retarget("kept")
    arrival.writer.commit()
    kept = Path(files.folder.root, "kept").read_bytes()
    assert data_set_of(kept) == data_set_of(SMALL)


def test_no_digest_is_made_where_none_is_wanted(files: Files) -> None:
    wanted = rules(computes_digests=False)
    instance = IncomingInstance(request_for(1), wanted, files.begin)
    file, digest = stored(files, instance, [data_set_of(SMALL)])
    assert digest == ""
    assert data_set_of(file) == data_set_of(SMALL)


def test_a_deflated_one_is_kept_deflated(files: Files) -> None:
    content = dicom.ct(number=1, transfer_syntax_uid=DEFLATED)
    instance = IncomingInstance(request_for(1, DEFLATED), rules(), files.begin)
    file, _ = stored(files, instance, [data_set_of(content)])
    assert data_set_of(file) == data_set_of(content)


@pytest.mark.parametrize("cut_at", [0, 1, 100, -100, -1])
def test_a_cut_one_is_refused_and_leaves_nothing(files: Files, cut_at: int) -> None:
    instance = IncomingInstance(request_for(1), rules(), files.begin)
    instance.write(data_set_of(SMALL)[:cut_at])
    with pytest.raises(FetchError):
        instance.end()
    instance.discard()
    assert files.begun == []


def test_structure_that_cannot_become_whole_is_refused_at_once(files: Files) -> None:
    instance = IncomingInstance(request_for(1), rules(), files.begin)
    with pytest.raises(ProtocolError):
        instance.write(b"\xfe\xff\x0d\xe0" + bytes(4))  # an item ends that never began
    instance.discard()


@pytest.mark.parametrize("what", ["transfer syntax", "instance"])
def test_what_is_no_uid_gets_no_file(files: Files, what: str) -> None:
    good = request_for(1)
    bad = (
        StoreRequest(CT, good.sop_instance_uid, "../x", 1)
        if what == "transfer syntax"
        else StoreRequest(CT, "../x", EXPLICIT, 1)
    )
    with pytest.raises((ProtocolError, InvalidUid)):
        IncomingInstance(bad, rules(), files.begin)
    assert files.begun == []
