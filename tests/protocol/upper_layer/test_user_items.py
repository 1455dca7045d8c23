"""Sub-items of user information, byte by byte (PS3.7 Tables D.3-1 to D.3-15)."""

from __future__ import annotations

import pytest
from hypothesis import given

from asyncdicom.errors import LimitExceeded, ProtocolError
from asyncdicom.protocol.upper_layer.items import Item, ItemReader
from asyncdicom.protocol.upper_layer.user_information import (
    AsyncOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ImplementationClass,
    ImplementationVersion,
    MaximumLength,
    RawItem,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
    UserItem,
)
from asyncdicom.protocol.upper_layer.user_items import (
    MIN_PEER_PDU_BYTES,
    read_user_information,
    write_user_information,
)
from tests.protocol.upper_layer.samples import item, sized, user_informations


def read(data: bytes, *, max_items: int = 100) -> tuple[UserItem, ...]:
    reader = ItemReader(data, max_items=max_items)
    return read_user_information(reader, Item(0x50, 0, 0, len(data))).items


LAID_OUT = [
    pytest.param("51 00 0004 00004000", MaximumLength(16384), id="maximum length"),
    pytest.param("51 00 0004 00000000", MaximumLength(0), id="no maximum length"),
    pytest.param("52 00 0003 312E32", ImplementationClass("1.2"), id="implementation class"),
    pytest.param("53 00 0004 0001 0000", AsyncOperationsWindow(1, 0), id="async operations"),
    pytest.param(
        "54 00 0007 0003 312E32 00 01",
        RoleSelection("1.2", is_scu=False, is_scp=True),
        id="role selection",
    ),
    pytest.param("55 00 0002 5631", ImplementationVersion("V1"), id="implementation version"),
    pytest.param(
        "56 00 0007 0003 312E32 01 FF",
        ExtendedNegotiation("1.2", b"\x01\xff"),
        id="SOP class extended negotiation",
    ),
    pytest.param(
        "57 00 0014 0003 312E32 0003 312E33 0008 0001 34 0003 312E35",
        CommonExtendedNegotiation("1.2", "1.3", ("4", "1.5")),
        id="SOP class common extended negotiation",
    ),
    pytest.param(
        "57 02 0010 0003 312E32 0003 312E33 0000 7788 9900",
        CommonExtendedNegotiation("1.2", "1.3", (), b"\x77\x88\x99\x00", version=2),
        id="common extended negotiation of a later version",
    ),
    pytest.param("58 00 0008 01 00 0002 6D65 0000", UserIdentity(1, b"me"), id="user name"),
    pytest.param(
        "58 00 000B 02 01 0002 6D65 0003 707764",
        UserIdentity(2, b"me", b"pwd", wants_response=True),
        id="user name and passcode",
    ),
    pytest.param(
        "58 00 0008 03 01 0002 0102 0000",
        UserIdentity(3, b"\x01\x02", wants_response=True),
        id="Kerberos",
    ),
    pytest.param("58 00 0008 04 00 0002 3C3E 0000", UserIdentity(4, b"<>"), id="SAML"),
    pytest.param("58 00 0008 05 00 0002 6579 0000", UserIdentity(5, b"ey"), id="JWT"),
    pytest.param("59 00 0004 0002 4F4B", UserIdentityResponse(b"OK"), id="identity response"),
    pytest.param("5A 00 0001 07", RawItem(0x5A, b"\x07"), id="a sub-item nobody knows"),
]


@pytest.mark.parametrize(("data", "expected"), LAID_OUT)
def test_sub_items_are_read_and_written_as_the_standard_lays_them_out(
    data: str, expected: UserItem
) -> None:
    assert read(bytes.fromhex(data)) == (expected,)
    assert write_user_information(UserInformation((expected,))) == bytes.fromhex(data)


@given(user_informations)
def test_user_information_comes_back(user: UserInformation) -> None:
    assert read(write_user_information(user)) == user.items


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(item(0x51, b"\0\0\x40"), id="maximum length cut"),
        pytest.param(item(0x51, b"\0\0\x40\0\0"), id="maximum length too long"),
        pytest.param(item(0x53, b"\0\1\0"), id="window cut"),
        pytest.param(item(0x54, sized(b"1.2") + b"\x01"), id="one role"),
        pytest.param(item(0x54, sized(b"1.2") + b"\x01\x01\x01"), id="three roles"),
        pytest.param(item(0x54, sized(b"1.2") + b"\x02\x01"), id="a role of 2"),
        pytest.param(item(0x54, b"\x00\x09" + b"1.2\x01\x01"), id="role UID reaches beyond"),
        pytest.param(item(0x56, b"\x00\x09" + b"1.2"), id="extended negotiation UID beyond"),
        pytest.param(item(0x57, sized(b"1.2") + sized(b"1.3")), id="no related classes"),
        pytest.param(
            item(0x57, sized(b"1.2") + sized(b"1.3") + sized(b"\x00\x09")), id="related beyond"
        ),
        pytest.param(item(0x58, b"\x01"), id="identity cut"),
        pytest.param(item(0x58, b"\x01\x00" + sized(b"me")), id="identity without secondary"),
        pytest.param(item(0x58, b"\x01\x00" + sized(b"me") + sized(b"") + b"x"), id="bytes behind"),
        pytest.param(item(0x58, b"\x01\x07" + sized(b"me") + sized(b"")), id="response of 7"),
        pytest.param(item(0x59, sized(b"OK") + b"x"), id="bytes behind a response"),
    ],
)
def test_a_known_sub_item_that_does_not_add_up_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data)


def test_a_peer_that_takes_next_to_nothing_is_refused() -> None:
    assert read(item(0x51, MIN_PEER_PDU_BYTES.to_bytes(4, "big"))) == (MaximumLength(128),)
    with pytest.raises(ProtocolError, match="127 bytes only"):
        read(item(0x51, (MIN_PEER_PDU_BYTES - 1).to_bytes(4, "big")))


def test_related_classes_are_counted_as_items() -> None:
    related = sized(b"1") * 5
    data = item(0x57, sized(b"1.2") + sized(b"1.3") + sized(related))
    assert len(read(data, max_items=6)) == 1
    with pytest.raises(LimitExceeded):
        read(data, max_items=5)
