"""What is refused in a command set is what leaves its structure undecidable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.dimse.command_set import (
    MAX_COMMAND_SET_BYTES,
    MAX_ELEMENTS,
    Element,
    decode_command_set,
    encode_command_set,
    text_element,
    uid_element,
    us_element,
    us_value,
    value_spans,
    with_group_length,
)


def element(number: int, value: bytes = b"", *, group: int = 0) -> bytes:
    header = group.to_bytes(2, "little") + number.to_bytes(2, "little")
    return header + len(value).to_bytes(4, "little") + value


def group_length(length: int) -> bytes:
    return element(0, length.to_bytes(4, "little"))


ECHO = us_element(Element.COMMAND_FIELD, 0x0030)
PADDING = element(0x9999, b"anything")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", {}, id="nothing"),
        pytest.param(group_length(0), {}, id="a group length alone"),
        pytest.param(group_length(10) + ECHO, {0x0100: b"\x30\0"}, id="one element"),
        pytest.param(ECHO, {0x0100: b"\x30\0"}, id="no group length"),
        pytest.param(
            group_length(10) + ECHO + element(0, bytes(4), group=8) + element(0x58, group=8),
            {0x0100: b"\x30\0", 0x00080000: bytes(4), 0x00080058: b""},
            id="status detail of DCMTK behind",
        ),
        pytest.param(
            PADDING + ECHO, {0x9999: b"anything", 0x0100: b"\x30\0"}, id="unknown, out of order"
        ),
        pytest.param(element(0x1000, b"1.2"), {0x1000: b"1.2"}, id="odd length"),
        pytest.param(element(0x1000, b"1\0\0 "), {0x1000: b"1\0\0 "}, id="padding stays"),
        pytest.param(element(0x0001, b"\1\0\0\0"), {1: b"\1\0\0\0"}, id="retired length to end"),
    ],
)
def test_what_can_be_taken_apart_in_one_way_is(data: bytes, expected: dict[int, bytes]) -> None:
    assert decode_command_set(data) == expected
    assert decode_command_set(memoryview(data)) == expected


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"\0", Truncated, id="inside of a header"),
        pytest.param(ECHO[:-1], Truncated, id="inside of a value"),
        pytest.param(ECHO + b"\0" * 7, Truncated, id="zeros behind"),
        pytest.param(element(1)[:4] + b"\xff" * 4, Truncated, id="undefined length"),
        pytest.param(
            element(0x0058, group=8) + ECHO, ProtocolError, id="group 0000 behind another group"
        ),
        pytest.param(ECHO + element(0x0058, b"1.2", group=8)[:-1], Truncated, id="status detail"),
        pytest.param(group_length(9) + ECHO, ProtocolError, id="group length too small"),
        pytest.param(group_length(11) + ECHO, ProtocolError, id="group length too large"),
        pytest.param(ECHO + group_length(0), ProtocolError, id="group length behind"),
        pytest.param(element(0, b"\x0a\0") + ECHO, ProtocolError, id="group length of two bytes"),
        pytest.param(ECHO + ECHO, ProtocolError, id="an element twice"),
        pytest.param(group_length(12) * 2, ProtocolError, id="group length twice"),
        pytest.param(bytes(MAX_COMMAND_SET_BYTES + 1), LimitExceeded, id="too long"),
        pytest.param(
            b"".join(element(number) for number in range(1, MAX_ELEMENTS + 2)),
            LimitExceeded,
            id="too many elements",
        ),
    ],
)
def test_what_cannot_is_refused(data: bytes, error: type[ProtocolError]) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_command_set(data)
    assert type(caught.value) is error


def test_as_many_elements_and_bytes_as_allowed_pass() -> None:
    many = b"".join(element(number) for number in range(1, MAX_ELEMENTS + 1))
    assert len(decode_command_set(many)) == MAX_ELEMENTS
    assert len(decode_command_set(group_length(len(many)) + many)) == MAX_ELEMENTS
    long = element(1, bytes(MAX_COMMAND_SET_BYTES - 8))
    assert len(decode_command_set(long)[1]) == MAX_COMMAND_SET_BYTES - 8


def test_elements_are_written_in_their_order_and_padded() -> None:
    written = encode_command_set({0x1000: b"1.2", 0x0100: b"\x30\0"})
    assert written == group_length(22) + ECHO + element(0x1000, b"1.2\0")


def test_no_more_is_written_than_read() -> None:
    body = bytes(MAX_COMMAND_SET_BYTES - 12 - 8)
    assert decode_command_set(with_group_length(element(1, body)))[1] == body
    with pytest.raises(LimitExceeded):
        with_group_length(element(1, body + b"\0"))


TAGS = st.integers(1, 0xFFFF) | st.integers(0x00080000, 0xFFFFFFFF)
VALUES = st.binary(max_size=40).filter(lambda value: len(value) % 2 == 0)


@given(st.dictionaries(TAGS, VALUES, max_size=MAX_ELEMENTS))
def test_what_was_written_is_read_and_written_again(elements: dict[int, bytes]) -> None:
    written = encode_command_set(elements)
    assert decode_command_set(written) == elements
    assert encode_command_set(decode_command_set(written)) == written


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        elements = decode_command_set(data)
    except ProtocolError:
        return
    again = decode_command_set(encode_command_set(elements))
    assert {
        number: value.ljust(len(value) + len(value) % 2, b"\0")
        for number, value in elements.items()
    } == again


@pytest.mark.parametrize(
    ("written", "value"),
    [
        pytest.param(uid_element(2, "1.2"), b"1.2\0", id="a UID gets a NUL"),
        pytest.param(uid_element(2, "1.23"), b"1.23", id="an even UID gets nothing"),
        pytest.param(text_element(2, "AET"), b"AET ", id="an AE title gets a blank"),
        pytest.param(text_element(2, "\xe9t"), b"\xe9t", id="one byte per character"),
    ],
)
def test_text_is_padded_as_its_vr_asks(written: bytes, value: bytes) -> None:
    assert written == element(2, value)


def test_empty_text_is_left_out() -> None:
    assert uid_element(2, "") == text_element(2, "") == b""


def test_text_that_no_command_set_holds_is_a_mistake_of_ours() -> None:
    with pytest.raises(UsageError, match="one byte"):
        text_element(2, "\u4e2d")


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        pytest.param({}, None, id="absent"),
        pytest.param({1: b""}, None, id="empty"),
        pytest.param({1: b"\x02\x01"}, 0x0102, id="little endian"),
    ],
)
def test_a_number_is_read_or_absent(elements: dict[int, bytes], expected: int | None) -> None:
    assert us_value(elements, 1) == expected


@pytest.mark.parametrize("value", [b"\1", b"\1\0\0", b"\1\0\2\0"])
def test_a_number_has_two_bytes(value: bytes) -> None:
    with pytest.raises(ProtocolError, match="two"):
        us_value({1: value}, 1)


def test_values_are_where_they_are_said_to_be() -> None:
    elements = {0x0002: b"1.2.840.10008.1.1\0", 0x0100: b"\1\0", 0x0902: b""}
    raw = encode_command_set(elements)
    spans = value_spans(raw)
    assert {tag: raw[start:end] for tag, (start, end) in spans.items() if tag} == elements
