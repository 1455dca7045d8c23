"""Commands are values: they compare, they do not change, and they write what they hold."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from asyncdicom.protocol.dimse.command_set import CommandField, decode_command_set
from asyncdicom.protocol.dimse.commands import (
    NO_DETAILS,
    CCancelRequest,
    CFindRequest,
    CGetRequest,
    CGetResponse,
    CMoveResponse,
    CStoreResponse,
    ErrorDetails,
    OtherCommand,
)
from tests.protocol.dimse.samples import CT, DETAILS, MESSAGES


def field_of(data: bytes) -> int:
    return int.from_bytes(decode_command_set(data)[0x0100], "little")


@pytest.mark.parametrize("name", MESSAGES)
def test_no_command_changes(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        MESSAGES[name].has_data_set = True  # type: ignore[misc]  # -- what must not work


@pytest.mark.parametrize("name", MESSAGES)
def test_equal_commands_are_one_in_a_set(name: str) -> None:
    message = MESSAGES[name]
    assert {message, replace(message)} == {message}
    assert replace(message, has_data_set=not message.has_data_set) != message


def test_a_get_is_no_find_and_no_move() -> None:
    kinds = [CGetRequest(1, CT), CFindRequest(1, CT), CGetResponse(1, 0), CMoveResponse(1, 0)]
    assert len(set(kinds)) == 4
    assert not issubclass(CGetRequest, CFindRequest)


def test_no_two_kinds_share_a_command_field() -> None:
    fields: dict[int, set[type]] = {}
    for message in MESSAGES.values():
        fields.setdefault(field_of(message.encode()), set()).add(type(message))
    assert all(len(kinds) == 1 for kinds in fields.values())
    assert set(fields) == set(CommandField)


def test_details_are_left_out_unless_there_are_some() -> None:
    plain = CStoreResponse(1, 0xA700).encode()
    assert CStoreResponse(1, 0xA700, details=ErrorDetails()).encode() == plain
    assert NO_DETAILS.encode() == b""
    detailed = decode_command_set(CStoreResponse(1, 0xA700, details=DETAILS).encode())
    assert detailed[0x0901] == b"\x10\0\x20\0\x20\0\x0d\0"
    assert detailed[0x0902] == b"no more room"
    assert detailed[0x0903] == b"\x11\0"


def test_counters_are_left_out_unless_they_are_told() -> None:
    told = decode_command_set(CGetResponse(1, 0, completed=0).encode())
    assert {tag for tag in told if 0x1020 <= tag <= 0x1023} == {0x1021}


def test_failed_uids_stand_behind_the_group_length() -> None:
    plain = CGetResponse(1, 0xB000)
    listed = replace(plain, failed_sop_instance_uids=("1.2", "1.3"))
    assert listed.encode() == plain.encode() + b"\x08\0\x58\0\x08\0\0\0" + b"1.2\\1.3\0"


def test_a_cancel_names_what_it_ends() -> None:
    assert decode_command_set(CCancelRequest(7).encode()) == {
        0x0100: b"\xff\x0f",
        0x0120: b"\x07\0",
        0x0800: b"\x01\x01",
    }


def test_a_command_of_others_is_written_as_it_came() -> None:
    elements = {0x0100: b"\x30\x01", 0x0110: b"\x01\0", 0x0800: b"\x01\x01"}
    command = OtherCommand(0x0130, 1, has_data_set=False, elements=elements)
    assert decode_command_set(command.encode()) == elements
    assert command.is_request
    assert not replace(command, command_field=0x8130).is_request
