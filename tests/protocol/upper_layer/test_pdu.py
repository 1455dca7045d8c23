"""PDUs, byte by byte (PS3.8 §9.3): what is written, what is read, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from asyncdicom.errors import ConfigError, LimitExceeded, ProtocolError
from asyncdicom.protocol.upper_layer.items import MAX_ITEMS
from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AssociateReject,
    AssociateRequest,
    Pdu,
    ReleaseRequest,
    ReleaseResponse,
    check_ae_title,
    decode,
    encode,
    encode_pdv_header,
)
from asyncdicom.protocol.upper_layer.user_information import RawItem, UserInformation
from tests.protocol.upper_layer.samples import (
    ABORT_BYTES,
    ACCEPT,
    ACCEPT_BYTES,
    APPLICATION_ITEM,
    DATA_BYTES,
    PROPOSED_ITEM,
    REJECT_BYTES,
    RELEASE_REQUEST_BYTES,
    RELEASE_RESPONSE_BYTES,
    REQUEST,
    REQUEST_BYTES,
    USER_ITEM,
    associate,
    item,
    pdus,
)

LAID_OUT = [
    pytest.param(REQUEST_BYTES, REQUEST, id="A-ASSOCIATE-RQ"),
    pytest.param(ACCEPT_BYTES, ACCEPT, id="A-ASSOCIATE-AC"),
    pytest.param(REJECT_BYTES, AssociateReject(1, 1, 7), id="A-ASSOCIATE-RJ"),
    pytest.param(RELEASE_REQUEST_BYTES, ReleaseRequest(), id="A-RELEASE-RQ"),
    pytest.param(RELEASE_RESPONSE_BYTES, ReleaseResponse(), id="A-RELEASE-RP"),
    pytest.param(ABORT_BYTES, Abort(2, 6), id="A-ABORT"),
]


@pytest.mark.parametrize(("data", "pdu"), LAID_OUT)
def test_pdus_are_read_and_written_as_the_standard_lays_them_out(data: bytes, pdu: Pdu) -> None:
    assert decode(data) == pdu
    assert encode(pdu) == data


def test_an_association_request_stands_where_the_standard_says() -> None:
    expected = bytes.fromhex(
        "01 00 000000A6 0001 0000"
        "41524348495645202020202020202020"
        "434C49454E5420202020202020202020"
        "0000000000000000000000000000000000000000000000000000000000000000"
        "10 00 0015 312E322E3834302E31303030382E332E312E312E31"
        "20 00 002E 01 00 00 00"
        "30 00 0011 312E322E3834302E31303030382E312E31"
        "40 00 0011 312E322E3834302E31303030382E312E32"
        "50 00 0013 51 00 0004 00004000 52 00 0007 312E322E332E34"
    )
    assert encode(REQUEST) == expected


@given(pdus)
def test_what_is_written_is_read_as_the_same(pdu: Pdu) -> None:
    assert decode(encode(pdu)) == pdu


@given(pdus)
def test_what_is_read_is_written_as_the_same_bytes(pdu: Pdu) -> None:
    data = encode(pdu)
    assert encode(decode(data)) == data


@pytest.mark.parametrize(("data", "pdu"), LAID_OUT)
def test_reserved_bytes_are_not_looked_at(data: bytes, pdu: Pdu) -> None:
    noisy = bytearray(data)
    reserved = [1, *range(8, 10), *range(42, 74)] if len(data) > 10 else [1, 6]
    if isinstance(pdu, ReleaseRequest | ReleaseResponse):
        reserved = [1, *range(6, 10)]
    for place in reserved:
        noisy[place] = 0xEE
    assert decode(bytes(noisy)) == pdu


@pytest.mark.parametrize("called", [b"ARCHIVE\0", b"  ARCHIVE", b"ARCHIVE".ljust(16, b"\0")])
def test_ae_titles_are_padded_in_any_way(called: bytes) -> None:
    items = APPLICATION_ITEM + PROPOSED_ITEM + USER_ITEM
    assert decode(associate(0x01, items, called=called)) == REQUEST


def test_items_come_in_any_order() -> None:
    assert decode(associate(0x01, USER_ITEM + PROPOSED_ITEM + APPLICATION_ITEM)) == REQUEST


def test_items_that_peers_leave_out_are_not_invented() -> None:
    data = associate(0x01, b"")
    pdu = decode(data)
    assert pdu == AssociateRequest(
        "ARCHIVE", "CLIENT", (), UserInformation(), application_context=""
    )
    assert encode(pdu) == data


def test_items_nobody_knows_are_kept() -> None:
    data = associate(0x01, APPLICATION_ITEM + PROPOSED_ITEM + USER_ITEM + item(0x99, b"\x01\x02"))
    assert decode(data) == replace(REQUEST, unknown=(RawItem(0x99, b"\x01\x02"),))
    assert encode(decode(data)) == data


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(REQUEST_BYTES[:5], 0, id="header cut"),
        pytest.param(ABORT_BYTES[:-1], 2, id="a byte missing"),
        pytest.param(ABORT_BYTES + b"\0", 2, id="a byte too many"),
        pytest.param(REQUEST_BYTES + item(0x99, b""), 2, id="an item too many"),
        pytest.param(bytes.fromhex("07 00 00000003 000000"), 2, id="abort of three bytes"),
        pytest.param(bytes.fromhex("05 00 00000005 0000000000"), 2, id="release of five bytes"),
        pytest.param(b"\x08" + ABORT_BYTES[1:], 0, id="type 08"),
        pytest.param(b"\x00" + ABORT_BYTES[1:], 0, id="type 00"),
        pytest.param(DATA_BYTES, 0, id="P-DATA-TF, which is not decoded whole"),
        pytest.param(bytes.fromhex("01 00 00000000"), 6, id="request of nothing"),
        pytest.param(b"\x01\0\0\0\0\x43" + bytes(67), 73, id="request cut before its items"),
        pytest.param(associate(1, APPLICATION_ITEM * 2), 103, id="application context twice"),
        pytest.param(associate(2, USER_ITEM * 2), 74 + 23 + 4, id="user information twice"),
        pytest.param(associate(1, b"\x10\x00\x00\x01"), 74, id="item reaches beyond"),
    ],
)
def test_what_breaks_the_standard_is_refused_where_it_does(data: bytes, offset: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(data)
    assert caught.value.offset == offset


def test_a_pdu_of_nothing_but_items_stops_at_the_limit() -> None:
    decode(associate(0x01, item(0x99, b"") * MAX_ITEMS))
    with pytest.raises(LimitExceeded):
        decode(associate(0x01, item(0x99, b"") * (MAX_ITEMS + 1)))


def test_any_buffer_is_decoded() -> None:
    assert decode(memoryview(bytearray(REQUEST_BYTES))) == REQUEST


@pytest.mark.parametrize("title", ["A" * 17, "山"], ids=["17 characters", "beyond ISO 8859-1"])
def test_a_title_that_does_not_fit_is_not_written(title: str) -> None:
    with pytest.raises(ConfigError):
        encode(replace(REQUEST, called_ae=title))


@pytest.mark.parametrize(
    ("is_command", "is_last", "control"),
    [(False, False, 0), (True, False, 1), (False, True, 2), (True, True, 3)],
)
def test_a_data_header_is_that_of_pdu_and_item(
    *, is_command: bool, is_last: bool, control: int
) -> None:
    header = encode_pdv_header(5, 258, is_command=is_command, is_last=is_last)
    assert header == bytes.fromhex("04 00 00000108 00000104 05") + bytes((control,))


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("ARCHIVE", "ARCHIVE"),
        ("  blanks around ", "blanks around"),
        ("A" * 16, "A" * 16),
        ("a.b-c_d/e", "a.b-c_d/e"),
    ],
)
def test_an_ae_title_is_1_to_16_characters(title: str, expected: str) -> None:
    assert check_ae_title(title) == expected


@pytest.mark.parametrize(
    "title",
    [
        pytest.param("", id="empty"),
        pytest.param("    ", id="blanks only"),
        pytest.param("A" * 17, id="17 characters"),
        pytest.param("A\\B", id="backslash"),
        pytest.param("A\nB", id="control character"),
        pytest.param("A\0", id="NUL"),
        pytest.param("GROẞ", id="beyond ASCII"),
    ],
)
def test_anything_else_is_no_ae_title(title: str) -> None:
    with pytest.raises(ConfigError, match="own AE title is not valid"):
        check_ae_title(title)
