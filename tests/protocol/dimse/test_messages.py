"""Commands are read as they are written, by us and by pynetdicom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.dimse.command_set import Element, decode_command_set, encode_command_set
from asyncdicom.protocol.dimse.messages import (
    CEchoRequest,
    CFindResponse,
    CGetResponse,
    CMoveRequest,
    CommandField,
    CStoreRequest,
    ErrorDetails,
    Message,
    OtherCommand,
    Priority,
    parse_command,
)
from tests.protocol.dimse.samples import CT, MESSAGES, messages

RESPONSES = [name for name, message in MESSAGES.items() if hasattr(message, "status")]


def with_elements(message: Message, **values: bytes | None) -> bytes:
    """Write a message with some elements replaced, or left out."""
    elements = decode_command_set(message.encode())
    for name, value in values.items():
        number = getattr(Element, name)
        if value is None:
            elements.pop(number)
        else:
            elements[number] = value
    return encode_command_set(elements)


@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_is_read_as_it_was_written(name: str) -> None:
    message = MESSAGES[name]
    read = parse_command(message.encode())
    assert read == message
    assert type(read) is type(message)
    assert read.encode() == message.encode()


@given(messages())
def test_any_message_is_read_as_it_was_written(message: Message) -> None:
    read = parse_command(message.encode())
    assert read == message
    assert read.encode() == message.encode()


@pytest.mark.parametrize("name", MESSAGES)
def test_elements_stand_in_their_order(name: str) -> None:
    written = MESSAGES[name].encode()
    numbers = list(decode_command_set(written))
    assert numbers == sorted(numbers)
    assert encode_command_set(decode_command_set(written)) == written


def test_the_bytes_of_an_echo_are_those_of_the_standard() -> None:
    assert CEchoRequest(1).encode() == bytes.fromhex(
        "0000 0000 04000000 38000000"  # group length
        "0000 0200 12000000 312e322e3834302e31303030382e312e3100"  # affected SOP class
        "0000 0001 02000000 3000"  # command field
        "0000 1001 02000000 0100"  # message ID
        "0000 0008 02000000 0101"  # no data set
    )


@pytest.mark.parametrize("padded", [b"1.2\0", b"1.2", b"1.2 ", b"1.2\0\0\0", b"1.2 \0"], ids=repr)
def test_padding_of_a_uid_is_dropped(padded: bytes) -> None:
    data = with_elements(MESSAGES["store request"], AFFECTED_SOP_INSTANCE_UID=padded)
    read = parse_command(data)
    assert isinstance(read, CStoreRequest)
    assert read.sop_instance_uid == "1.2"


def test_blanks_around_an_ae_title_are_dropped() -> None:
    data = with_elements(MESSAGES["move request"], MOVE_DESTINATION=b"  DEST A        ")
    read = parse_command(data)
    assert isinstance(read, CMoveRequest)
    assert read.move_destination == "DEST A"


@pytest.mark.parametrize(
    "uid",
    ["../../etc/passwd", "", "a\\b", "\xe9", "1" * 10_000, "1.2\0.3"],
    ids=["path", "empty", "backslash", "letter", "long", "NUL"],
)
def test_a_hostile_uid_is_read_as_it_came(uid: str) -> None:
    read = parse_command(CStoreRequest(1, CT, uid).encode())
    assert isinstance(read, CStoreRequest)
    assert read.sop_instance_uid == uid


@pytest.mark.parametrize("name", [name for name in MESSAGES if "request" in name])
def test_a_request_without_its_number_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match=r"without \(0000,0110\)"):
        parse_command(with_elements(MESSAGES[name], MESSAGE_ID=None))


@pytest.mark.parametrize("name", [*RESPONSES, "cancel"])
def test_who_responds_to_nothing_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match=r"without \(0000,0120\)"):
        parse_command(with_elements(MESSAGES[name], MESSAGE_ID_BEING_RESPONDED_TO=None))


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_without_a_status_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match=r"without \(0000,0900\)"):
        parse_command(with_elements(MESSAGES[name], STATUS=None))


@pytest.mark.parametrize("name", MESSAGES)
def test_who_says_nothing_about_a_data_set_is_refused(name: str) -> None:
    with pytest.raises(ProtocolError, match=r"without \(0000,0800\)"):
        parse_command(with_elements(MESSAGES[name], COMMAND_DATA_SET_TYPE=None))


def test_a_command_without_a_command_field_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"without \(0000,0100\)"):
        parse_command(b"")


@pytest.mark.parametrize("value", [b"\0\0", b"\1\0", b"\2\1", b"\xff\xff"], ids=repr)
def test_any_data_set_type_but_0101_announces_a_data_set(value: bytes) -> None:
    data = with_elements(MESSAGES["store response"], COMMAND_DATA_SET_TYPE=value)
    assert parse_command(data).has_data_set
    data = with_elements(MESSAGES["store request"], COMMAND_DATA_SET_TYPE=b"\1\1")
    assert not parse_command(data).has_data_set


def test_an_absent_or_unknown_priority_decides_nothing() -> None:
    absent = parse_command(with_elements(MESSAGES["find request"], PRIORITY=None))
    assert getattr(absent, "priority", None) == Priority.MEDIUM
    unknown = parse_command(with_elements(MESSAGES["find request"], PRIORITY=b"\x09\0"))
    assert getattr(unknown, "priority", None) == 9


def test_empty_counters_are_absent() -> None:
    read = parse_command(with_elements(MESSAGES["get response"], REMAINING_SUB_OPERATIONS=b""))
    assert isinstance(read, CGetResponse)
    assert (read.remaining, read.completed, read.failed, read.warning) == (None, 2, 1, 0)


def test_failed_uids_of_the_status_detail_are_read_as_they_came() -> None:
    data = with_elements(
        MESSAGES["get response"], FAILED_SOP_INSTANCE_UID_LIST=b"1.2\\ ../x \\\\1.3\0"
    )
    read = parse_command(data)
    assert isinstance(read, CGetResponse)
    assert read.failed_sop_instance_uids == ("1.2", "../x", "1.3")


def test_half_a_tag_is_refused() -> None:
    data = with_elements(MESSAGES["failed find response"], OFFENDING_ELEMENT=b"\1\0")
    with pytest.raises(ProtocolError, match="no tags"):
        parse_command(data)


def test_one_detail_is_enough_to_be_told() -> None:
    read = parse_command(CFindResponse(1, 0xC001, details=ErrorDetails(error_id=3)).encode())
    assert isinstance(read, CFindResponse)
    assert read.details == ErrorDetails(error_id=3)


@pytest.mark.parametrize(
    ("command_field", "number", "is_request"),
    [
        pytest.param(0x0130, Element.MESSAGE_ID, True, id="N-ACTION-RQ"),
        pytest.param(0x8130, Element.MESSAGE_ID_BEING_RESPONDED_TO, False, id="N-ACTION-RSP"),
        pytest.param(0x0777, Element.MESSAGE_ID, True, id="nobody's"),
    ],
)
def test_a_service_of_others_can_be_answered(
    command_field: int, number: int, *, is_request: bool
) -> None:
    elements = {
        Element.COMMAND_FIELD: command_field.to_bytes(2, "little"),
        number: b"\x05\0",
        Element.COMMAND_DATA_SET_TYPE: b"\0\0",
        0x1008: b"\1\0",
    }
    data = encode_command_set(elements)
    read = parse_command(data)
    assert read == OtherCommand(command_field, 5, has_data_set=True, elements=elements)
    assert read.is_request is is_request
    assert read.encode() == data


def test_each_command_field_has_a_message() -> None:
    fields = {
        int.from_bytes(decode_command_set(m.encode())[0x0100], "little") for m in MESSAGES.values()
    }
    assert fields == set(CommandField)


def test_each_name_is_that_of_its_command_field() -> None:
    for message in MESSAGES.values():
        field = CommandField(int.from_bytes(decode_command_set(message.encode())[0x0100], "little"))
        assert field.name == message.name.replace("-", "_")


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read = parse_command(data)
    except ProtocolError:
        return
    assert parse_command(read.encode()) == read
