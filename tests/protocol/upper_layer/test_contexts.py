"""Presentation contexts, byte by byte (PS3.8 Tables 9-13 and 9-18)."""

from __future__ import annotations

import pytest
from hypothesis import given

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.upper_layer.contexts import (
    AnsweredContext,
    ProposedContext,
    read_answered,
    read_proposed,
    write_answered,
    write_proposed,
)
from asyncdicom.protocol.upper_layer.items import ItemReader
from asyncdicom.protocol.upper_layer.user_information import RawItem
from tests.protocol.upper_layer.samples import answered_contexts, item, proposed_contexts

PROPOSED = ProposedContext(3, "1.2", ("1.3", "1.4"), (RawItem(0x99, b"?"),))
PROPOSED_BYTES = bytes.fromhex(
    "20 00 001E 03 00 00 0030 00 0003 312E3240 00 0003 312E3340 00 0003 312E3499 00 0001 3F"
)
ANSWERED = AnsweredContext(3, 0, "1.3")
ANSWERED_BYTES = bytes.fromhex("21 00 000B 03 00 00 00 40 00 0003 312E33")


def proposed_in(data: bytes) -> tuple[ProposedContext, ...]:
    reader = ItemReader(data)
    return read_proposed(reader, list(reader.items(0, len(data))))


def answered_in(data: bytes) -> tuple[AnsweredContext, ...]:
    reader = ItemReader(data)
    return read_answered(reader, list(reader.items(0, len(data))))


def test_contexts_are_read_and_written_as_the_standard_lays_them_out() -> None:
    assert write_proposed(PROPOSED) == PROPOSED_BYTES
    assert proposed_in(PROPOSED_BYTES) == (PROPOSED,)
    assert write_answered(ANSWERED) == ANSWERED_BYTES
    assert answered_in(ANSWERED_BYTES) == (ANSWERED,)


@given(proposed_contexts)
def test_proposed_contexts_come_back(contexts: tuple[ProposedContext, ...]) -> None:
    assert proposed_in(b"".join(map(write_proposed, contexts))) == contexts


@given(answered_contexts)
def test_answered_contexts_come_back(contexts: tuple[AnsweredContext, ...]) -> None:
    assert answered_in(b"".join(map(write_answered, contexts))) == contexts


def test_reserved_bytes_are_not_looked_at() -> None:
    noisy = bytearray(PROPOSED_BYTES)
    for place in (1, 5, 6, 7, 9, 16):
        noisy[place] = 0xEE
    assert proposed_in(bytes(noisy)) == (PROPOSED,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"\x03\x00\x03\x00", AnsweredContext(3, 3), id="no transfer syntax"),
        pytest.param(
            b"\x03\x00\x04\x00" + item(0x40, b""), AnsweredContext(3, 4), id="an empty one"
        ),
        pytest.param(
            b"\x03\x00\xff\x00" + item(0x40, b"1.2\0"),
            AnsweredContext(3, 255, "1.2"),
            id="a result nobody knows",
        ),
        pytest.param(
            b"\x03\x00\x00\x00" + item(0x30, b"9") + item(0x40, b"1.2"),
            AnsweredContext(3, 0, "1.2", (RawItem(0x30, b"9"),)),
            id="an abstract syntax, which has no place here",
        ),
    ],
)
def test_answers_of_real_peers_are_understood(value: bytes, expected: AnsweredContext) -> None:
    assert answered_in(item(0x21, value)) == (expected,)


ID_3 = b"\x03\x00\x00\x00"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(item(0x20, b"\x03\x00\x00"), id="cut"),
        pytest.param(item(0x20, ID_3 + item(0x40, b"1")), id="no abstract syntax"),
        pytest.param(item(0x20, ID_3 + item(0x30, b"1") * 2), id="two abstract syntaxes"),
        pytest.param(item(0x20, b"\x02\x00\x00\x00" + item(0x30, b"1")), id="even ID"),
        pytest.param(item(0x20, b"\x00\x00\x00\x00" + item(0x30, b"1")), id="ID 0"),
        pytest.param(item(0x20, ID_3 + item(0x30, b"1")) * 2, id="ID twice"),
        pytest.param(item(0x20, ID_3 + b"\x30\x00\x00\x09"), id="sub-item reaches beyond"),
    ],
)
def test_proposals_that_mean_nothing_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        proposed_in(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(item(0x21, b""), id="cut"),
        pytest.param(item(0x21, ID_3 + item(0x40, b"1") * 2), id="two transfer syntaxes"),
        pytest.param(item(0x21, b"\x04\x00\x00\x00"), id="even ID"),
        pytest.param(item(0x21, ID_3) * 2, id="ID twice"),
    ],
)
def test_answers_that_mean_nothing_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        answered_in(data)
