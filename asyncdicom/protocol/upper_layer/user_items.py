"""The sub-items of user information, byte by byte (PS3.7 Annex D, PS3.8 §D.1)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, assert_never

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.upper_layer.items import write_item, write_sized, write_text
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.protocol.upper_layer.items import Item, ItemReader

__all__ = ["MIN_PEER_PDU_BYTES", "read_user_information", "write_user_information"]

MIN_PEER_PDU_BYTES = 128
"""Peers that take less are refused: a data set would travel as a million PDUs of mostly headers.
DCMTK allows no less than 4096."""

_MAXIMUM_LENGTH = struct.Struct(">L")
_WINDOW = struct.Struct(">HH")


def read_user_information(reader: ItemReader, item: Item) -> UserInformation:
    """Parse the sub-items of a User Information item.

    Raises:
        ProtocolError: If one of a known type is malformed.

    """
    found = reader.items(item.start, item.end)
    return UserInformation(tuple(_READERS.get(one.item_type, _raw)(reader, one) for one in found))


def _raw(reader: ItemReader, item: Item) -> RawItem:
    return RawItem(item.item_type, reader.data[item.start : item.end])


def _maximum_length(reader: ItemReader, item: Item) -> MaximumLength:
    (max_pdu_bytes,) = _MAXIMUM_LENGTH.unpack_from(reader.data, reader.exact(item, 4))
    if 0 < max_pdu_bytes < MIN_PEER_PDU_BYTES:
        raise ProtocolError(f"takes PDUs of {max_pdu_bytes} bytes only", offset=item.start)
    return MaximumLength(max_pdu_bytes)


def _implementation_class(reader: ItemReader, item: Item) -> ImplementationClass:
    return ImplementationClass(reader.text(item.start, item.end))


def _implementation_version(reader: ItemReader, item: Item) -> ImplementationVersion:
    return ImplementationVersion(reader.text(item.start, item.end))


def _async_operations(reader: ItemReader, item: Item) -> AsyncOperationsWindow:
    return AsyncOperationsWindow(*_WINDOW.unpack_from(reader.data, reader.exact(item, 4)))


def _role_selection(reader: ItemReader, item: Item) -> RoleSelection:
    start, end = reader.sized(item.start, item.end)
    if item.end - end != 2:
        raise ProtocolError("a role selection has two roles", offset=item.start)
    return RoleSelection(
        reader.text(start, end),
        is_scu=_flag(reader, end),
        is_scp=_flag(reader, end + 1),
    )


def _flag(reader: ItemReader, at: int) -> bool:
    value = reader.data[at]
    if value > 1:
        raise ProtocolError(f"{value} is neither yes nor no", offset=at)
    return value == 1


def _extended_negotiation(reader: ItemReader, item: Item) -> ExtendedNegotiation:
    start, end = reader.sized(item.start, item.end)
    return ExtendedNegotiation(reader.text(start, end), reader.data[end : item.end])


def _common_extended_negotiation(reader: ItemReader, item: Item) -> CommonExtendedNegotiation:
    sop_class = reader.sized(item.start, item.end)
    service_class = reader.sized(sop_class[1], item.end)
    at, related_end = reader.sized(service_class[1], item.end)
    related = []
    while at < related_end:
        reader.count_one(at)
        start, at = reader.sized(at, related_end)
        related.append(reader.text(start, at))
    return CommonExtendedNegotiation(
        reader.text(*sop_class),
        reader.text(*service_class),
        tuple(related),
        reserved=reader.data[related_end : item.end],
        version=item.second_byte,
    )


def _user_identity(reader: ItemReader, item: Item) -> UserIdentity:
    if item.end - item.start < 2:
        raise ProtocolError("a user identity is cut", offset=item.start)
    primary = reader.sized(item.start + 2, item.end)
    secondary = reader.sized(primary[1], item.end)
    _check_end(secondary[1], item)
    return UserIdentity(
        reader.data[item.start],
        reader.data[slice(*primary)],
        reader.data[slice(*secondary)],
        wants_response=_flag(reader, item.start + 1),
    )


def _user_identity_response(reader: ItemReader, item: Item) -> UserIdentityResponse:
    start, end = reader.sized(item.start, item.end)
    _check_end(end, item)
    return UserIdentityResponse(reader.data[start:end])


def _check_end(at: int, item: Item) -> None:
    if at != item.end:
        raise ProtocolError("bytes behind the last field of a user identity", offset=at)


_READERS: dict[int, Callable[[ItemReader, Item], UserItem]] = {
    0x51: _maximum_length,
    0x52: _implementation_class,
    0x53: _async_operations,
    0x54: _role_selection,
    0x55: _implementation_version,
    0x56: _extended_negotiation,
    0x57: _common_extended_negotiation,
    0x58: _user_identity,
    0x59: _user_identity_response,
}


def write_user_information(user: UserInformation) -> bytes:
    """Write the sub-items of a User Information item.

    Raises:
        ConfigError: If a field is longer than its length can say.

    """
    return b"".join(map(_write, user.items))


def _write(item: UserItem) -> bytes:
    match item:
        case MaximumLength(max_pdu_bytes):
            return write_item(0x51, _MAXIMUM_LENGTH.pack(max_pdu_bytes))
        case ImplementationClass(uid):
            return write_item(0x52, write_text(uid))
        case AsyncOperationsWindow(max_invoked, max_performed):
            return write_item(0x53, _WINDOW.pack(max_invoked, max_performed))
        case RoleSelection(uid, is_scu, is_scp):
            roles = bytes((is_scu, is_scp))
            return write_item(0x54, write_sized(write_text(uid)), roles)
        case ImplementationVersion(name):
            return write_item(0x55, write_text(name))
        case ExtendedNegotiation(uid, information):
            return write_item(0x56, write_sized(write_text(uid)), information)
        case RawItem(item_type, data):
            return write_item(item_type, data)
        case CommonExtendedNegotiation():
            return _write_common(item)
        case UserIdentity() | UserIdentityResponse():
            return _write_identity(item)
        case _:
            assert_never(item)


def _write_common(item: CommonExtendedNegotiation) -> bytes:
    related = b"".join(write_sized(write_text(uid)) for uid in item.related_sop_class_uids)
    fields = (write_text(item.sop_class_uid), write_text(item.service_class_uid), related)
    sized = map(write_sized, fields)
    return write_item(0x57, *sized, item.reserved, second_byte=item.version)


def _write_identity(item: UserIdentity | UserIdentityResponse) -> bytes:
    if isinstance(item, UserIdentityResponse):
        return write_item(0x59, write_sized(item.response))
    head = bytes((item.kind, item.wants_response))
    return write_item(0x58, head, write_sized(item.primary), write_sized(item.secondary))
