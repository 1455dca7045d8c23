"""Encodings, transfer syntaxes and watch lists."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID

from asyncdicom.protocol.part10_vocabulary import (
    BIG_ENDIAN,
    DEFAULT_TAGS,
    EXPLICIT,
    IMPLICIT,
    Tags,
    encoding_of,
    has_frame_per_fragment,
    is_deflated,
    is_native,
    watch_list,
)

TRANSFER_SYNTAXES = [
    UID(text) for text, facts in UID_dictionary.items() if facts[1] == "Transfer Syntax"
]


@pytest.mark.parametrize("uid", [pytest.param(uid, id=uid.name) for uid in TRANSFER_SYNTAXES])
def test_each_standard_transfer_syntax_is_read_as_pydicom_reads_it(uid: UID) -> None:
    encoding = encoding_of(uid)
    assert encoding.is_explicit is not uid.is_implicit_VR
    assert encoding.is_big_endian is not uid.is_little_endian
    jpip_deflate = uid.endswith((".4.95", ".4.205"))
    assert is_deflated(uid) is (uid.is_deflated or jpip_deflate)
    # pydicom takes Papyrus 3, of 1993, for compressed, and JPIP for neither.
    assert is_native(uid) is (not uid.is_encapsulated and encoding_is_plain(uid))


def encoding_is_plain(uid: UID) -> bool:
    return not uid.startswith("1.2.840.10008.1.2.4") and "20" not in uid.split(".")


@pytest.mark.parametrize(
    ("uid", "encoding"),
    [
        pytest.param("1.2.840.113619.5.2", IMPLICIT, id="private, of GE"),
        pytest.param("2.999.1", EXPLICIT, id="private"),
        pytest.param("1.2.840.10008.1.2.2", BIG_ENDIAN, id="big endian"),
    ],
)
def test_encodings(uid: str, encoding: object) -> None:
    assert encoding_of(uid) is encoding


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        pytest.param("1.2.840.10008.1.2.5", True, id="RLE"),
        pytest.param("1.2.840.10008.1.2.4.90", True, id="JPEG 2000"),
        pytest.param("1.2.840.10008.1.2.4.92", False, id="JPEG 2000 multi-component"),
        pytest.param("1.2.840.10008.1.2.4.102", False, id="MPEG-4"),
        pytest.param("1.2.840.10008.1.2.4.102.1", False, id="MPEG-4, fragmentable"),
        pytest.param("1.2.840.10008.1.2.4.107", False, id="HEVC"),
        pytest.param("1.2.840.10008.1.2.4.201", True, id="HTJ2K"),
        pytest.param("1.2.840.10008.1.2.1.98", True, id="encapsulated uncompressed"),
        pytest.param("2.999.1", False, id="private: nobody knows"),
    ],
)
def test_frames_per_fragment(uid: str, expected: bool) -> None:  # noqa: FBT001 -- a table's column
    assert has_frame_per_fragment(uid) is expected


def test_wire_tags_are_what_one_unpack_reads() -> None:
    assert EXPLICIT.wire_tag(0x7FE00010) == int.from_bytes(b"\xe0\x7f\x10\0", "little")
    assert BIG_ENDIAN.wire_tag(0x7FE00010) == int.from_bytes(b"\x7f\xe0\0\x10", "big")


@pytest.mark.parametrize(
    ("vr", "expected"),
    [(b"AZ", True), (b"@A", False), (b"A[", False), (b"a1", False), (b"\0\0", False)],
)
def test_a_vr_is_two_capital_letters(vr: bytes, expected: bool) -> None:  # noqa: FBT001 -- a table's column
    assert EXPLICIT.could_be_vr(int.from_bytes(vr, "little")) is expected
    assert BIG_ENDIAN.could_be_vr(int.from_bytes(vr, "big")) is expected


def test_watch_lists_are_built_once() -> None:
    watched = watch_list(tuple(DEFAULT_TAGS))
    assert watch_list(tuple(DEFAULT_TAGS)) is watched
    assert watched.of(BIG_ENDIAN)[Tags.ROWS] == Tags.ROWS
    assert watched.of(IMPLICIT)[EXPLICIT.wire_tag(0x00100010)] == 0x00100010
