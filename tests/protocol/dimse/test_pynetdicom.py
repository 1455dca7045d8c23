"""pynetdicom writes and we read, and the other way round."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from pynetdicom import dimse_messages, dimse_primitives
from pynetdicom.pdu_primitives import P_DATA

from asyncdicom.protocol.dimse.assembler import (
    DataFragment,
    MessageAssembler,
    MessageBegan,
    MessageEnded,
)
from asyncdicom.protocol.upper_layer.pdu import PdvFragment
from tests.protocol.dimse.samples import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.dimse.messages import Message

CONTEXT_ID = 3
DATA_SET = b"\x08\0\x52\0\x06\0\0\0STUDY "
PRIMITIVES = {
    "C-ECHO": "C_ECHO",
    "C-STORE": "C_STORE",
    "C-FIND": "C_FIND",
    "C-GET": "C_GET",
    "C-MOVE": "C_MOVE",
    "C-CANCEL": "C_CANCEL",
}
ATTRIBUTES = {
    "message_id": "MessageID",
    "responds_to": "MessageIDBeingRespondedTo",
    "sop_class_uid": "AffectedSOPClassUID",
    "sop_instance_uid": "AffectedSOPInstanceUID",
    "priority": "Priority",
    "status": "Status",
    "move_destination": "MoveDestination",
    "move_originator": "MoveOriginatorApplicationEntityTitle",
    "move_message_id": "MoveOriginatorMessageID",
    "remaining": "NumberOfRemainingSuboperations",
    "completed": "NumberOfCompletedSuboperations",
    "failed": "NumberOfFailedSuboperations",
    "warning": "NumberOfWarningSuboperations",
}
DATA_SETS = {"C-STORE-RQ": "DataSet"}


def facts(message: Message) -> dict[str, object]:
    """Return what pynetdicom has a name for, by that name; nothing for what is absent."""
    found = {theirs: getattr(message, ours, None) for ours, theirs in ATTRIBUTES.items()}
    return {name: value for name, value in found.items() if value not in (None, "")}


def their_message(message: Message) -> Any:
    """Build pynetdicom's message of the same facts."""
    primitive = getattr(dimse_primitives, PRIMITIVES[message.name.rpartition("-")[0]])()
    for name, value in facts(message).items():
        setattr(primitive, name, value)
    if message.has_data_set:
        setattr(primitive, DATA_SETS.get(message.name, "Identifier"), BytesIO(DATA_SET))
    details = getattr(message, "details", None)
    if details is not None and details.offending_elements:
        primitive.ErrorComment = details.error_comment
        primitive.OffendingElement = list(details.offending_elements)
    theirs = getattr(dimse_messages, message.name.replace("-", "_"))()
    theirs.primitive_to_message(primitive)
    return theirs


def fragments_of(theirs: Any, max_pdu_bytes: int) -> Iterator[PdvFragment]:
    for primitive in theirs.encode_msg(CONTEXT_ID, max_pdu_bytes):
        for context_id, data in primitive.presentation_data_value_list:
            is_command, is_last = bool(data[0] & 1), bool(data[0] & 2)
            yield PdvFragment(context_id, is_command, is_last, memoryview(data)[1:])


@pytest.mark.parametrize("max_pdu_bytes", [7, 20, 16384])
@pytest.mark.parametrize("name", MESSAGES)
def test_what_pynetdicom_writes_is_read(name: str, max_pdu_bytes: int) -> None:
    message = MESSAGES[name]
    assembler = MessageAssembler()
    events = [
        event
        for fragment in fragments_of(their_message(message), max_pdu_bytes)
        for event in assembler.receive(fragment)
    ]
    began, *data, ended = events
    assert isinstance(began, MessageBegan)
    assert facts(began.command) == facts(message)
    assert began.context_id == CONTEXT_ID
    assert ended == MessageEnded()
    expected = DATA_SET if message.has_data_set else b""
    assert b"".join(bytes(one.data) for one in data if isinstance(one, DataFragment)) == expected


@pytest.mark.parametrize("name", MESSAGES)
def test_pynetdicom_reads_what_is_written(name: str) -> None:
    message = MESSAGES[name]
    theirs = dimse_messages.DIMSEMessage()
    primitive = P_DATA()
    primitive.presentation_data_value_list.append((CONTEXT_ID, b"\x03" + message.encode()))
    is_whole = theirs.decode_msg(primitive)
    assert is_whole is not message.has_data_set
    read: Any = theirs.message_to_primitive()
    assert type(theirs).__name__ == message.name.replace("-", "_")
    assert {name: getattr(read, name) for name in facts(message)} == facts(message)
    details = getattr(message, "details", None)
    if details is not None and details.offending_elements:
        assert theirs.command_set.ErrorComment == details.error_comment
        assert list(theirs.command_set.OffendingElement) == list(details.offending_elements)
        assert theirs.command_set.ErrorID == details.error_id
