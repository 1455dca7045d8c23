"""Values of data elements: what PS3.5 §6.2 says, and that nothing raises."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.protocol.data_values import (
    BINARY_VRS,
    NUMBER_BYTES,
    Value,
    swapped,
    values_of,
)


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        pytest.param("LO", b"A\\ B \\C ", ["A", " B", "C"], id="trailing blanks are padding"),
        pytest.param("LO", b"A\\", ["A", ""], id="an empty value keeps its place"),
        pytest.param("LO", b"  x ", ["  x"], id="blanks in front are shown"),
        pytest.param("UI", b"1.2.3\0", ["1.2.3"], id="a NUL pads a UID"),
        pytest.param("LT", b" a\\b ", [" a\\b"], id="a backslash in long text"),
        pytest.param("UR", b"http://a/\\b", ["http://a/\\b"], id="a backslash in a URI"),
        pytest.param("CS", b"", [], id="nothing"),
        pytest.param("CS", b"  ", [], id="nothing but padding"),
        pytest.param("IS", b"12\\ -3\\+4 ", [12, -3, 4], id="integers"),
        pytest.param("IS", b"1.5\\1_0\\x", ["1.5", "1_0", "x"], id="no integers"),
        pytest.param("DS", b"0.5\\-.5\\1e-3\\7.", [0.5, -0.5, 0.001, 7.0], id="decimals"),
        pytest.param("DS", b"nan\\1_0\\1,5\\", ["nan", "1_0", "1,5", ""], id="no decimals"),
        pytest.param("US", b"\1\0\2\0", [1, 2], id="unsigned"),
        pytest.param("US", b"\1\0\2", [1], id="half a number is none"),
        pytest.param("SS", b"\xfb\xff", [-5], id="signed"),
        pytest.param("FD", struct.pack("<d", 2.5), [2.5], id="double"),
        pytest.param("SV", struct.pack("<q", -7), [-7], id="very long"),
        pytest.param("AT", b"\x28\0\x09\0\x18\0\x63\x10", ["00280009", "00181063"], id="tags"),
        pytest.param("ZZ", b"ab", ["ab"], id="a VR to come"),
    ],
)
def test_values(vr: str, raw: bytes, values: list[Value]) -> None:
    found = values_of(vr, raw)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        pytest.param("US", b"\0\1", [1], id="unsigned"),
        pytest.param("AT", b"\0\x28\0\x09", ["00280009"], id="tags"),
        pytest.param("FL", struct.pack(">f", 1.5), [1.5], id="float"),
    ],
)
def test_values_in_big_endian(vr: str, raw: bytes, values: list[Value]) -> None:
    assert values_of(vr, raw, is_big_endian=True) == values


@pytest.mark.parametrize(
    ("vr", "raw", "character_set", "values"),
    [
        pytest.param("PN", "山^太".encode(), b"ISO_IR 192", ["山^太"], id="UTF-8"),
        pytest.param(
            "LO",
            "表\\誠".encode("gb18030"),
            b"GB18030",
            ["表", "誠"],
            id="decoded before it is split",
        ),
        pytest.param(
            "LO",
            "亅".encode("gbk") + b"\\x",
            b"GBK",
            ["亅", "x"],
            id="a second byte like a backslash",
        ),
        pytest.param("CS", "ä".encode(), b"ISO_IR 192", ["Ã¤"], id="codes know no character set"),
    ],
)
def test_text_follows_its_character_set(
    vr: str, raw: bytes, character_set: bytes, values: list[Value]
) -> None:
    assert values_of(vr, raw, character_set=character_set) == values


@pytest.mark.parametrize(
    ("vr", "raw", "turned"),
    [
        pytest.param("US", b"\1\2\3\4", b"\2\1\4\3", id="two bytes"),
        pytest.param("FL", b"\1\2\3\4", b"\4\3\2\1", id="four bytes"),
        pytest.param("OD", bytes(range(8)), bytes(range(7, -1, -1)), id="eight bytes"),
        pytest.param("AT", b"\1\2\3\4", b"\2\1\4\3", id="a tag is two numbers"),
        pytest.param("OB", b"\1\2", b"\1\2", id="bytes have no order"),
        pytest.param("US", b"\1\2\3", b"\2\1\3", id="half a number stays"),
    ],
)
def test_byte_ordering_is_turned_around(vr: str, raw: bytes, turned: bytes) -> None:
    assert swapped(vr, raw) == turned


VRS = sorted({*NUMBER_BYTES, *BINARY_VRS, "PN", "DS", "IS", "UI", "UT", "DA"})


@given(st.sampled_from(VRS), st.binary(max_size=64), st.booleans(), st.binary(max_size=16))
def test_nothing_raises(vr: str, raw: bytes, is_big_endian: bool, character_set: bytes) -> None:  # noqa: FBT001 -- hypothesis gives arguments by place
    values_of(vr, raw, is_big_endian=is_big_endian, character_set=character_set)
    assert swapped(vr, swapped(vr, raw)) == raw
