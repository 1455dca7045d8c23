"""Files at rest: their meta information, the window they are read through, inflation."""

from __future__ import annotations

import errno
import os
import re
import struct
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from asyncdicom.errors import (
    DiskFull,
    FetchError,
    LimitExceeded,
    ProtocolError,
    StorageError,
    Truncated,
)
from asyncdicom.protocol.data_elements import ElementFound, FragmentsFound
from asyncdicom.storage.data_dictionary import vr_of
from asyncdicom.storage.dicom_source import FileSource, open_dicom_file
from asyncdicom.storage.system import System
from tests.support import dicom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.data_elements import Event


class CountingSystem(System):
    """Notes what is read; may refuse."""

    def __init__(self, *, at_once: int = 1 << 40, refuses: bool = False) -> None:
        self.reads: list[tuple[int, int]] = []
        self._at_once = at_once
        self._refuses = refuses

    def pread(self, fd: int, byte_count: int, offset: int) -> bytes:
        if self._refuses:
            raise OSError(errno.EIO, "broken")
        self.reads.append((offset, byte_count))
        return os.pread(fd, min(byte_count, self._at_once), offset)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[Any]:
    """Write content to a file and open it; closed at the end."""
    opened: list[int] = []

    def open_it(content: bytes) -> int:
        path = tmp_path / f"file{len(opened)}"
        path.write_bytes(content)
        opened.append(os.open(path, os.O_RDONLY))
        return opened[-1]

    yield open_it
    for fd in opened:
        os.close(fd)


def events_of(fd: int) -> list[Event]:
    with open_dicom_file(fd, vr_of=vr_of) as file:
        return list(file.elements())


def values_in(fd: int, tag: int) -> list[bytes]:
    with open_dicom_file(fd, vr_of=vr_of) as file:
        return [
            file.source.read(event.offset, event.byte_count)
            for event in file.elements()
            if isinstance(event, ElementFound) and event.tag == tag
        ]


@pytest.mark.parametrize("name", dicom.samples())
def test_each_kind_of_file_is_read(descriptor: Any, name: str) -> None:
    fd = descriptor(dicom.samples()[name])
    assert [value.rstrip(b"\0") for value in values_in(fd, 0x00080018)] == [b"2.999.3.10000001"]


def test_file_meta_is_read_whatever_its_group_length_says(descriptor: Any) -> None:
    content = bytearray(dicom.ct())
    content[140:144] = bytes(4)
    with open_dicom_file(descriptor(bytes(content)), vr_of=vr_of) as file:
        assert file.transfer_syntax_uid == "1.2.840.10008.1.2.1"
        assert file.meta_text(0x00020003) == "2.999.3.10000001"
        assert file.meta_text(0x00020100) == ""
        assert file.start == dicom.data_set_offset(dicom.ct())


def with_meta_element(vr: bytes, byte_count: int) -> bytes:
    head = struct.pack("<HH2sHI", 2, 0x0102, vr, 0, byte_count)
    return bytes(128) + b"DICM" + head + bytes(min(byte_count, 1 << 17))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        pytest.param(b"", ProtocolError, "not a DICOM file", id="empty"),
        pytest.param(b"<html>" * 99, ProtocolError, "not a DICOM file", id="something else"),
        pytest.param(bytes(128) + b"DICM", ProtocolError, "lacks TransferSyntaxUID", id="no meta"),
        pytest.param(dicom.ct()[:150], Truncated, "inside of a", id="cut inside of the meta"),
        pytest.param(
            with_meta_element(b"OB", 1 << 17), LimitExceeded, "65536 bytes", id="huge meta"
        ),
        pytest.param(with_meta_element(b"SQ", 0), ProtocolError, "sequence", id="a sequence in it"),
    ],
)
def test_what_is_no_dicom_file_is_refused(
    descriptor: Any, content: bytes, error: type[FetchError], message: str
) -> None:
    with pytest.raises(error, match=message):
        events_of(descriptor(content))


def test_pixel_data_is_not_read(descriptor: Any) -> None:
    system = CountingSystem()
    content = dicom.ct(rows=512, columns=512)
    source = FileSource(descriptor(content), window_bytes=4096, system=system)
    assert source.byte_count == len(content)
    assert source.read(100, 50) == content[100:150]
    assert source.read(120, 30) == content[120:150]
    assert system.reads == [(100, 4096)]


def test_a_large_value_passes_by_the_window(descriptor: Any) -> None:
    system = CountingSystem(at_once=1000)
    content = dicom.ct(rows=64, columns=64)
    source = FileSource(descriptor(content), window_bytes=512, system=system)
    assert source.read(0, len(content) + 99) == content
    assert source.read(len(content) - 3, 10) == content[-3:]
    assert source.read(len(content), 10) == b""


def test_a_broken_disk_is_a_storage_error(descriptor: Any) -> None:
    source = FileSource(descriptor(dicom.ct()), system=CountingSystem(refuses=True))
    with pytest.raises(StorageError, match="input/output"):
        source.read(0, 1)
    with pytest.raises(StorageError):
        FileSource(999_999)


def test_a_deflated_data_set_is_inflated_within_bounds(descriptor: Any) -> None:
    fd = descriptor(dicom.samples()["deflated"])
    with open_dicom_file(fd, vr_of=vr_of) as file:
        assert file.is_inflated
        last = list(file.elements())[-1]
        assert isinstance(last, ElementFound)
        assert file.source.read(last.offset, 4) == bytes(range(4))


def test_a_full_disk_for_what_is_inflated_is_told(
    descriptor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = descriptor(dicom.samples()["deflated"])
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda **_: full.open("r+b"))
    with (
        pytest.raises(DiskFull, match=re.escape(tempfile.gettempdir())),
        open_dicom_file(fd, vr_of=vr_of) as file,
    ):
        list(file.elements())


def deflated(data_set: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return dicom.with_file_meta(
        packer.compress(data_set) + packer.flush(),
        transfer_syntax_uid=DeflatedExplicitVRLittleEndian,
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(deflated(bytes(300_000_000 // 8)), LimitExceeded, id="a bomb"),
        pytest.param(deflated(b"")[:-1], Truncated, id="a cut stream"),
        pytest.param(deflated(b"")[:-2] + b"\xff" * 9, ProtocolError, id="a damaged stream"),
    ],
)
def test_a_bad_deflated_data_set_is_refused(
    descriptor: Any, content: bytes, error: type[FetchError]
) -> None:
    with pytest.raises(error):
        events_of(descriptor(content))


def test_fragments_are_found_in_a_file(descriptor: Any) -> None:
    events = events_of(descriptor(dicom.encapsulated(frames=2, has_offset_table=False)))
    fragments = events[-1]
    assert isinstance(fragments, FragmentsFound)
    assert fragments.fragment_bytes == (0, 64, 64)
