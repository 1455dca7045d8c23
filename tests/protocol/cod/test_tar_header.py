"""Header blocks of tar archives: fields, checksums, extended records, hostile names."""

from __future__ import annotations

import tarfile

import pytest

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.cod.tar_header import (
    BLOCK_BYTES,
    TarHeader,
    pax_records,
    read_header,
    why_unsafe,
)


def block_of(name: str, byte_count: int, *, is_gnu: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = byte_count
    return info.tobuf(tarfile.GNU_FORMAT if is_gnu else tarfile.USTAR_FORMAT)[-BLOCK_BYTES:]


def test_a_header_says_name_size_and_kind() -> None:
    assert read_header(block_of("instances/1.2.dcm", 700), 0) == TarHeader(
        "instances/1.2.dcm", 700, "0"
    )


def test_a_long_name_is_put_together_from_its_prefix() -> None:
    name = "/".join(["x" * 60, "y" * 60, "z.dcm"])
    assert read_header(block_of(name, 1), 0).name == name


def test_a_size_beyond_eight_gigabytes_is_a_binary_number() -> None:
    assert read_header(block_of("a", 9 << 30, is_gnu=True), 0).byte_count == 9 << 30


def test_names_of_gnu_have_no_prefix() -> None:
    block = bytearray(block_of("a", 1, is_gnu=True))
    block[345:350] = b"12345"
    assert read_header(summed(block), 0).name == "a"


def summed(block: bytearray, *, is_signed: bool = False) -> bytes:
    block[148:156] = b" " * 8
    total = sum(byte - 256 if is_signed and byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % total
    return bytes(block)


def test_checksums_of_signed_characters_pass() -> None:
    block = bytearray(block_of("\xe9\xe9", 1))
    assert read_header(summed(block, is_signed=True), 0).name == "éé"


def test_no_kind_is_a_regular_file() -> None:
    block = bytearray(block_of("a", 1))
    block[156] = 0
    assert read_header(summed(block), 0).kind == "0"


@pytest.mark.parametrize("place", range(0, BLOCK_BYTES, 7))
def test_each_damaged_byte_is_noticed(place: int) -> None:
    block = bytearray(block_of("instances/1.2.dcm", 700))
    block[place] ^= 1
    with pytest.raises(ProtocolError):
        read_header(bytes(block), 0)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        pytest.param(124, b"\xff" * 12, "size of a tar header is negative", id="negative size"),
        pytest.param(124, b"12x45\0", "size of a tar header is no number", id="no number"),
        pytest.param(257, b"eek\0\0\0\0\0", "neither POSIX nor GNU", id="no magic"),
    ],
)
def test_what_cannot_be_read_is_refused(place: int, value: bytes, message: str) -> None:
    block = bytearray(block_of("a", 1))
    block[place : place + len(value)] = value
    with pytest.raises(ProtocolError, match=message) as caught:
        read_header(summed(block), 1024)
    assert caught.value.offset == 1024


def test_records_say_key_and_value() -> None:
    found = dict(pax_records(b"30 mtime=1767225600.123456789\n13 path=a=\nb\n", 0))
    assert found == {"mtime": b"1767225600.123456789", "path": b"a=\nb"}


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(b"9 a=b\n", id="longer than the block"),
        pytest.param(b"4 a=b\n", id="shorter than the record"),
        pytest.param(b"6 a=bc", id="no end of line"),
        pytest.param(b"5 abc\n", id="no equals sign"),
        pytest.param(b"x a=b\n", id="no length"),
        pytest.param(b"6a=bcd\n", id="no blank"),
        pytest.param(b"0 a=b\n", id="no progress"),
        pytest.param(b"-6 a=b\n", id="negative"),
        pytest.param(b"1" * 30 + b" a=b\n", id="too many digits"),
    ],
)
def test_damaged_records_are_refused(records: bytes) -> None:
    with pytest.raises(ProtocolError, match="damaged"):
        list(pax_records(records, 0))


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [
        pytest.param("instances/1.2.dcm", True, id="an instance"),
        pytest.param("a..b/c", True, id="dots within a name"),
        pytest.param("", False, id="empty"),
        pytest.param("/etc/passwd", False, id="absolute"),
        pytest.param("../x", False, id="upwards"),
        pytest.param("a/../../x", False, id="upwards within"),
        pytest.param("a\\..\\x", False, id="backslashes"),
        pytest.param("a\nb", False, id="a line break"),
        pytest.param("a\udcffb", False, id="not text"),
    ],
)
def test_names_that_lead_elsewhere_are_known(name: str, is_safe: bool) -> None:  # noqa: FBT001 -- a column
    assert (why_unsafe(name) is None) is is_safe
