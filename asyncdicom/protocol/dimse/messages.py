"""Commands of the DIMSE-C services, typed (PS3.7 §9.3).

    request = parse_command(data)          # CStoreRequest(message_id=7, ...)
    CStoreResponse(7, status=0x0000).encode()

Rule: text is decoded byte by byte (ISO 8859-1), so that anything can be echoed as it
came. Padding is dropped: NUL and blanks behind a UID, blanks around an AE title.
A UID in here may be hostile; who makes a name of it validates it first.

Rule: what a peer adds is ignored; what is missing and decides what to do
is refused. A service that nobody here performs (DIMSE-N) comes as `OtherCommand`, so
that it can be answered with 0211, unrecognized operation.
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.dimse.command_set import (
    NO_DATA_SET,
    Element,
    decode_command_set,
    us_value,
)
from asyncdicom.protocol.dimse.commands import (
    NO_DETAILS,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CommandField,
    CStoreRequest,
    CStoreResponse,
    ErrorDetails,
    Message,
    OtherCommand,
    Priority,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from asyncdicom.model import Buffer

    Elements: TypeAlias = Mapping[int, bytes]

__all__ = [
    "CCancelRequest",
    "CEchoRequest",
    "CEchoResponse",
    "CFindRequest",
    "CFindResponse",
    "CGetRequest",
    "CGetResponse",
    "CMoveRequest",
    "CMoveResponse",
    "CStoreRequest",
    "CStoreResponse",
    "CommandField",
    "ErrorDetails",
    "Message",
    "OtherCommand",
    "Priority",
    "parse_command",
]


def parse_command(data: Buffer) -> Message:
    """Parse a command set.

    Raises:
        ProtocolError: If it is no command set (PS3.7 §6.3.1), or lacks what its command needs.
        LimitExceeded: If it is longer than anybody needs.

    """
    elements = decode_command_set(data)
    command_field = _required(elements, Element.COMMAND_FIELD)
    return _PARSERS.get(command_field, _parse_other)(elements)


def _parse_store_request(elements: Elements) -> CStoreRequest:
    return CStoreRequest(
        _required(elements, Element.MESSAGE_ID),
        _uid(elements, Element.AFFECTED_SOP_CLASS_UID),
        _uid(elements, Element.AFFECTED_SOP_INSTANCE_UID),
        _priority(elements),
        _text(elements, Element.MOVE_ORIGINATOR_AE_TITLE),
        us_value(elements, Element.MOVE_ORIGINATOR_MESSAGE_ID),
        _has_data_set(elements),
    )


def _parse_echo_request(elements: Elements) -> CEchoRequest:
    return CEchoRequest(
        _required(elements, Element.MESSAGE_ID),
        _uid(elements, Element.AFFECTED_SOP_CLASS_UID),
        _has_data_set(elements),
    )


def _parse_move_request(elements: Elements) -> CMoveRequest:
    return CMoveRequest(
        _required(elements, Element.MESSAGE_ID),
        _uid(elements, Element.AFFECTED_SOP_CLASS_UID),
        _text(elements, Element.MOVE_DESTINATION),
        _priority(elements),
        _has_data_set(elements),
    )


def _parse_cancel(elements: Elements) -> CCancelRequest:
    return CCancelRequest(
        _required(elements, Element.MESSAGE_ID_BEING_RESPONDED_TO), _has_data_set(elements)
    )


def _parse_other(elements: Elements) -> OtherCommand:
    command_field = _required(elements, Element.COMMAND_FIELD)
    of_response = command_field & 0x8000
    number = Element.MESSAGE_ID_BEING_RESPONDED_TO if of_response else Element.MESSAGE_ID
    return OtherCommand(
        command_field, _required(elements, number), _has_data_set(elements), elements
    )


def _parse_query(
    kind: type[CFindRequest | CGetRequest], elements: Elements
) -> CFindRequest | CGetRequest:
    return kind(
        _required(elements, Element.MESSAGE_ID),
        _uid(elements, Element.AFFECTED_SOP_CLASS_UID),
        _priority(elements),
        _has_data_set(elements),
    )


def _parse_response(
    kind: type[CEchoResponse | CFindResponse], elements: Elements
) -> CEchoResponse | CFindResponse:
    return kind(
        _required(elements, Element.MESSAGE_ID_BEING_RESPONDED_TO),
        _required(elements, Element.STATUS),
        _uid(elements, Element.AFFECTED_SOP_CLASS_UID),
        has_data_set=_has_data_set(elements),
        details=_details(elements),
    )


def _parse_store_response(elements: Elements) -> CStoreResponse:
    return CStoreResponse(
        _required(elements, Element.MESSAGE_ID_BEING_RESPONDED_TO),
        _required(elements, Element.STATUS),
        _uid(elements, Element.AFFECTED_SOP_CLASS_UID),
        _uid(elements, Element.AFFECTED_SOP_INSTANCE_UID),
        has_data_set=_has_data_set(elements),
        details=_details(elements),
    )


def _parse_progress(
    kind: type[CGetResponse | CMoveResponse], elements: Elements
) -> CGetResponse | CMoveResponse:
    return kind(
        _required(elements, Element.MESSAGE_ID_BEING_RESPONDED_TO),
        _required(elements, Element.STATUS),
        _uid(elements, Element.AFFECTED_SOP_CLASS_UID),
        us_value(elements, Element.REMAINING_SUB_OPERATIONS),
        us_value(elements, Element.COMPLETED_SUB_OPERATIONS),
        us_value(elements, Element.FAILED_SUB_OPERATIONS),
        us_value(elements, Element.WARNING_SUB_OPERATIONS),
        failed_sop_instance_uids=_uids(elements, Element.FAILED_SOP_INSTANCE_UID_LIST),
        has_data_set=_has_data_set(elements),
        details=_details(elements),
    )


_PARSERS: Final[Mapping[int, Callable[[Elements], Message]]] = {
    CommandField.C_STORE_RQ: _parse_store_request,
    CommandField.C_GET_RQ: partial(_parse_query, CGetRequest),
    CommandField.C_FIND_RQ: partial(_parse_query, CFindRequest),
    CommandField.C_MOVE_RQ: _parse_move_request,
    CommandField.C_ECHO_RQ: _parse_echo_request,
    CommandField.C_CANCEL_RQ: _parse_cancel,
    CommandField.C_STORE_RSP: _parse_store_response,
    CommandField.C_GET_RSP: partial(_parse_progress, CGetResponse),
    CommandField.C_FIND_RSP: partial(_parse_response, CFindResponse),
    CommandField.C_MOVE_RSP: partial(_parse_progress, CMoveResponse),
    CommandField.C_ECHO_RSP: partial(_parse_response, CEchoResponse),
}


def _required(elements: Elements, tag: int) -> int:
    value = us_value(elements, tag)
    if value is None:
        raise ProtocolError(f"a command without (0000,{tag:04X})")
    return value


def _has_data_set(elements: Elements) -> bool:
    return _required(elements, Element.COMMAND_DATA_SET_TYPE) != NO_DATA_SET


def _priority(elements: Elements) -> int:
    # PS3.7 §9.3 asks for it, and nothing is decided by it: absent is medium.
    return us_value(elements, Element.PRIORITY) or Priority.MEDIUM


def _uid(elements: Elements, tag: int) -> str:
    # PS3.5 §6.2: a UID is padded with one NUL; some pad with blanks, or with more.
    return elements.get(tag, b"").rstrip(b"\0 ").decode("latin-1")


def _uids(elements: Elements, tag: int) -> tuple[str, ...]:
    parts = (part.strip("\0 ") for part in _uid(elements, tag).split("\\"))
    return tuple(part for part in parts if part)


def _text(elements: Elements, tag: int) -> str:
    # PS3.5 §6.2: blanks around AE and LO say nothing.
    return elements.get(tag, b"").strip(b"\0 ").decode("latin-1")


def _details(elements: Elements) -> ErrorDetails:
    if _DETAILS.isdisjoint(elements):
        return NO_DETAILS
    tags = elements.get(Element.OFFENDING_ELEMENT, b"")
    if len(tags) % 4:
        raise ProtocolError("(0000,0901) holds no tags")
    return ErrorDetails(
        tuple(group << 16 | number for group, number in _TAGS.iter_unpack(tags)),
        _text(elements, Element.ERROR_COMMENT),
        us_value(elements, Element.ERROR_ID),
    )


_DETAILS: Final = frozenset({Element.OFFENDING_ELEMENT, Element.ERROR_COMMENT, Element.ERROR_ID})
_TAGS: Final = Struct("<HH")
