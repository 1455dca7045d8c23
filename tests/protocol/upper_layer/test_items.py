"""Items: what fits is read, what does not is refused, and none is endless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ConfigError, LimitExceeded, ProtocolError
from asyncdicom.protocol.upper_layer.items import (
    Item,
    ItemReader,
    write_item,
    write_sized,
    write_text,
)


def test_items_are_type_reserved_length_and_value() -> None:
    data = bytes.fromhex("51 00 0004 00004000 55 07 0002 4142")
    assert list(ItemReader(data).items(0, len(data))) == [
        Item(0x51, 0, 4, 8),
        Item(0x55, 7, 12, 14),
    ]


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=30))))
def test_what_was_written_is_read(items: list[tuple[int, bytes]]) -> None:
    data = b"".join(write_item(item_type, value) for item_type, value in items)
    read = ItemReader(data).items(0, len(data))
    assert [(one.item_type, data[one.start : one.end]) for one in read] == items


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        pytest.param("10 00 00", 0, id="header cut"),
        pytest.param("10 00 0002 41", 0, id="value cut"),
        pytest.param("10 00 0000 10 00 0001", 4, id="second item cut"),
        pytest.param("10 00 FFFF", 0, id="longest length, nothing there"),
    ],
)
def test_an_item_that_reaches_beyond_is_refused_where_it_begins(data: str, offset: int) -> None:
    reader = ItemReader(bytes.fromhex(data))
    with pytest.raises(ProtocolError) as caught:
        list(reader.items(0, len(reader.data)))
    assert caught.value.offset == offset


def test_an_item_does_not_leave_the_item_it_is_in() -> None:
    reader = ItemReader(bytes.fromhex("10 00 0003 414243"))
    with pytest.raises(ProtocolError):
        list(reader.items(0, 6))


def test_items_are_counted_over_the_whole_pdu() -> None:
    reader = ItemReader(bytes(4 * 3), max_items=4)
    assert len(list(reader.items(0, 12))) == 3
    with pytest.raises(LimitExceeded) as caught:
        list(reader.items(0, 12))
    assert caught.value.offset == 4


@pytest.mark.parametrize(
    "padded", [b"1.2", b"1.2\0", b"1.2 ", b" 1.2\0\0", b"\x001.2 \0"], ids=repr
)
def test_padding_is_no_text(padded: bytes) -> None:
    assert ItemReader(padded).text(0, len(padded)) == "1.2"


def test_characters_beyond_ascii_come_back() -> None:
    data = bytes(range(1, 32)) + bytes(range(33, 256))
    assert write_text(ItemReader(data).text(0, len(data))) == data


@pytest.mark.parametrize("data", ["", "00", "0002 41"], ids=["nothing", "length cut", "value cut"])
def test_a_value_with_its_own_length_stays_within_its_item(data: str) -> None:
    reader = ItemReader(bytes.fromhex(data))
    with pytest.raises(ProtocolError):
        reader.sized(0, len(reader.data))


def test_a_value_with_its_own_length_is_found() -> None:
    assert ItemReader(bytes.fromhex("FF 0002 4142 43")).sized(1, 6) == (3, 5)
    assert write_sized(b"AB") == bytes.fromhex("0002 4142")


def test_a_value_of_the_length_it_must_have_is_found() -> None:
    assert ItemReader(bytes(9)).exact(Item(0x51, 0, 4, 8), 4) == 4


@pytest.mark.parametrize("length", [3, 5])
def test_a_value_of_another_length_than_it_must_have_is_refused(length: int) -> None:
    with pytest.raises(ProtocolError):
        ItemReader(bytes(9)).exact(Item(0x51, 0, 4, 4 + length), 4)


def test_what_no_length_can_say_is_not_written() -> None:
    assert len(write_item(0x58, bytes(0xFFFF))) == 0x10003
    with pytest.raises(ConfigError, match="item 58 of 65536 bytes"):
        write_item(0x58, bytes(0x8000), bytes(0x8000))
    with pytest.raises(ConfigError, match="a value of 65536 bytes"):
        write_sized(bytes(0x10000))


def test_text_beyond_latin_1_is_not_written() -> None:
    with pytest.raises(ConfigError, match="山"):
        write_text("山田")
