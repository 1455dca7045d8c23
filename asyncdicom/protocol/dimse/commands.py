"""The commands of the DIMSE-C services as frozen values that write themselves (PS3.7 §9.3).

Rule: elements stand in the order of their numbers, and absent is what has no value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from asyncdicom.protocol.dimse.command_set import (
    NO_DATA_SET,
    CommandField,
    Element,
    Priority,
    encode_command_set,
    raw_element,
    text_element,
    uid_element,
    us_element,
    with_group_length,
)
from asyncdicom.protocol.dimse.sop_classes import VERIFICATION

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NO_DETAILS",
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
]


_ANY_DATA_SET: Final = 0x0001
"""Of (0000,0800), where one follows: any value but 0101 says so (PS3.7 §E.1); peers send 1."""


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What a response may add to its status (PS3.7 Annex C)."""

    offending_elements: tuple[int, ...] = ()
    """(0000,0901): tags."""
    error_comment: str = ""
    """(0000,0902), 64 characters; may name patients, so it goes into no log and no error."""
    error_id: int | None = None
    """(0000,0903), 0 to FFFF."""

    def encode(self) -> bytes:
        """Write the three elements, as far as they are there."""
        tags = b"".join(_TAG.pack(tag >> 16, tag & 0xFFFF) for tag in self.offending_elements)
        return b"".join(
            (
                raw_element(Element.OFFENDING_ELEMENT, tags) if tags else b"",
                text_element(Element.ERROR_COMMENT, self.error_comment),
                _optional_us(Element.ERROR_ID, self.error_id),
            )
        )


NO_DETAILS: Final = ErrorDetails()
_TAG: Final = Struct("<HH")
# Command field, message ID being responded to, data set type and status: they follow
# each other in each response (PS3.7 §9.3).
_RESPONSE: Final = Struct("<HHIHHHIHHHIHHHIH")
_REQUEST: Final = Struct("<HHIHHHIH")


@dataclass(frozen=True, slots=True)
class _Request:
    """What the requests share (PS3.7 §9.3)."""

    name: ClassVar[str]
    command_field: ClassVar[CommandField]

    message_id: int
    """(0000,0110), 0 to FFFF."""
    sop_class_uid: str
    """(0000,0002); empty if the peer gave none."""

    def _begin(self) -> bytes:
        return _class_element(self.sop_class_uid) + _REQUEST.pack(
            *(0, Element.COMMAND_FIELD, 2, self.command_field),
            *(0, Element.MESSAGE_ID, 2, self.message_id),
        )


@dataclass(frozen=True, slots=True)
class _Query(_Request):
    """What C-FIND-RQ and C-GET-RQ are; their identifier follows as a data set."""

    priority: int = Priority.MEDIUM
    has_data_set: bool = True

    def encode(self) -> bytes:
        """Write the command set."""
        return with_group_length(
            self._begin(),
            us_element(Element.PRIORITY, self.priority),
            _data_set_type(self.has_data_set),
        )


@dataclass(frozen=True, slots=True)
class _Response:
    """What the responses share (PS3.7 §9.3)."""

    name: ClassVar[str]
    command_field: ClassVar[CommandField]

    responds_to: int
    """(0000,0120) Message ID Being Responded To."""
    status: int
    """(0000,0900); see `statuses`."""
    sop_class_uid: str = ""
    """(0000,0002); may be left out."""
    has_data_set: bool = field(default=False, kw_only=True)
    details: ErrorDetails = field(default=NO_DETAILS, kw_only=True)

    def encode(self) -> bytes:
        """Write the command set."""
        return with_group_length(self._begin())

    def _begin(self) -> bytes:
        begin = _class_element(self.sop_class_uid) + _RESPONSE.pack(
            *(0, Element.COMMAND_FIELD, 2, self.command_field),
            *(0, Element.MESSAGE_ID_BEING_RESPONDED_TO, 2, self.responds_to),
            *(0, Element.COMMAND_DATA_SET_TYPE, 2),
            _ANY_DATA_SET if self.has_data_set else NO_DATA_SET,
            *(0, Element.STATUS, 2, self.status),
        )
        return begin if self.details is NO_DETAILS else begin + self.details.encode()


@dataclass(frozen=True, slots=True)
class _Progress(_Response):
    """What C-GET-RSP and C-MOVE-RSP are; the final one may be followed by failed UIDs."""

    remaining: int | None = None
    """(0000,1020) Number of Remaining Sub-operations, as far as it is told."""
    completed: int | None = None
    """(0000,1021)."""
    failed: int | None = None
    """(0000,1022)."""
    warning: int | None = None
    """(0000,1023)."""
    failed_sop_instance_uids: tuple[str, ...] = field(default=(), kw_only=True)
    """(0008,0058) as DCMTK and Orthanc send it, within the command set; as sent, hostile or not.
    The Standard puts it into the data set (PS3.4 §C.4.3)."""

    def encode(self) -> bytes:
        """Write the command set."""
        return with_group_length(
            self._begin(),
            _optional_us(Element.REMAINING_SUB_OPERATIONS, self.remaining),
            _optional_us(Element.COMPLETED_SUB_OPERATIONS, self.completed),
            _optional_us(Element.FAILED_SUB_OPERATIONS, self.failed),
            _optional_us(Element.WARNING_SUB_OPERATIONS, self.warning),
            status_detail=uid_element(
                Element.FAILED_SOP_INSTANCE_UID_LIST, "\\".join(self.failed_sop_instance_uids)
            ),
        )


@dataclass(frozen=True, slots=True)
class CEchoRequest(_Request):
    """C-ECHO-RQ (PS3.7 §9.3.5.1)."""

    name = "C-ECHO-RQ"
    command_field = CommandField.C_ECHO_RQ

    sop_class_uid: str = VERIFICATION
    has_data_set: bool = False

    def encode(self) -> bytes:
        """Write the command set."""
        return with_group_length(self._begin(), _data_set_type(self.has_data_set))


@dataclass(frozen=True, slots=True)
class CEchoResponse(_Response):
    """C-ECHO-RSP (PS3.7 §9.3.5.2)."""

    name = "C-ECHO-RSP"
    command_field = CommandField.C_ECHO_RSP

    sop_class_uid: str = VERIFICATION


@dataclass(frozen=True, slots=True)
class CStoreRequest(_Request):
    """C-STORE-RQ (PS3.7 §9.3.1.1)."""

    name = "C-STORE-RQ"
    command_field = CommandField.C_STORE_RQ

    sop_instance_uid: str
    """(0000,1000); empty if the peer gave none."""
    priority: int = Priority.MEDIUM
    move_originator: str = ""
    """(0000,1030): AE title that asked for the C-MOVE this belongs to, or empty."""
    move_message_id: int | None = None
    """(0000,1031): message ID of that C-MOVE-RQ."""
    has_data_set: bool = True

    def encode(self) -> bytes:
        """Write the command set."""
        return with_group_length(
            self._begin(),
            us_element(Element.PRIORITY, self.priority),
            _data_set_type(self.has_data_set),
            uid_element(Element.AFFECTED_SOP_INSTANCE_UID, self.sop_instance_uid),
            text_element(Element.MOVE_ORIGINATOR_AE_TITLE, self.move_originator),
            _optional_us(Element.MOVE_ORIGINATOR_MESSAGE_ID, self.move_message_id),
        )


@dataclass(frozen=True, slots=True)
class CStoreResponse(_Response):
    """C-STORE-RSP (PS3.7 §9.3.1.2)."""

    name = "C-STORE-RSP"
    command_field = CommandField.C_STORE_RSP

    sop_instance_uid: str = ""
    """(0000,1000); may be left out."""

    def encode(self) -> bytes:
        """Write the command set."""
        return with_group_length(
            self._begin(), uid_element(Element.AFFECTED_SOP_INSTANCE_UID, self.sop_instance_uid)
        )


@dataclass(frozen=True, slots=True)
class CFindRequest(_Query):
    """C-FIND-RQ (PS3.7 §9.3.2.1)."""

    name = "C-FIND-RQ"
    command_field = CommandField.C_FIND_RQ


@dataclass(frozen=True, slots=True)
class CFindResponse(_Response):
    """C-FIND-RSP (PS3.7 §9.3.2.2); a pending one is followed by an identifier."""

    name = "C-FIND-RSP"
    command_field = CommandField.C_FIND_RSP


@dataclass(frozen=True, slots=True)
class CGetRequest(_Query):
    """C-GET-RQ (PS3.7 §9.3.3.1)."""

    name = "C-GET-RQ"
    command_field = CommandField.C_GET_RQ


@dataclass(frozen=True, slots=True)
class CGetResponse(_Progress):
    """C-GET-RSP (PS3.7 §9.3.3.2)."""

    name = "C-GET-RSP"
    command_field = CommandField.C_GET_RSP


@dataclass(frozen=True, slots=True)
class CMoveRequest(_Request):
    """C-MOVE-RQ (PS3.7 §9.3.4.1); its identifier follows as a data set."""

    name = "C-MOVE-RQ"
    command_field = CommandField.C_MOVE_RQ

    move_destination: str
    """(0000,0600): AE title to send to."""
    priority: int = Priority.MEDIUM
    has_data_set: bool = True

    def encode(self) -> bytes:
        """Write the command set."""
        return with_group_length(
            self._begin(),
            text_element(Element.MOVE_DESTINATION, self.move_destination),
            us_element(Element.PRIORITY, self.priority),
            _data_set_type(self.has_data_set),
        )


@dataclass(frozen=True, slots=True)
class CMoveResponse(_Progress):
    """C-MOVE-RSP (PS3.7 §9.3.4.2)."""

    name = "C-MOVE-RSP"
    command_field = CommandField.C_MOVE_RSP


@dataclass(frozen=True, slots=True)
class CCancelRequest:
    """C-CANCEL-RQ of a C-FIND, C-GET or C-MOVE (PS3.7 §9.3.2.3)."""

    name: ClassVar[str] = "C-CANCEL-RQ"

    responds_to: int
    """(0000,0120): message ID of the request to cancel."""
    has_data_set: bool = False

    def encode(self) -> bytes:
        """Write the command set."""
        return with_group_length(
            us_element(Element.COMMAND_FIELD, CommandField.C_CANCEL_RQ),
            us_element(Element.MESSAGE_ID_BEING_RESPONDED_TO, self.responds_to),
            _data_set_type(self.has_data_set),
        )


@dataclass(frozen=True, slots=True)
class OtherCommand:
    """A command of another service, DIMSE-N for one (PS3.7 §10.3)."""

    name: ClassVar[str] = "another command"

    command_field: int
    """(0000,0100)."""
    message_id: int
    """(0000,0110), or (0000,0120) of a response."""
    has_data_set: bool
    elements: Mapping[int, bytes] = field(default_factory=dict)
    """All of the command set: tag to value as it came."""

    @property
    def is_request(self) -> bool:
        """Whether it wants an answer."""
        return not self.command_field & 0x8000

    def encode(self) -> bytes:
        """Write the command set as it came."""
        return encode_command_set(self.elements)


Message: TypeAlias = (
    CEchoRequest
    | CEchoResponse
    | CStoreRequest
    | CStoreResponse
    | CFindRequest
    | CFindResponse
    | CGetRequest
    | CGetResponse
    | CMoveRequest
    | CMoveResponse
    | CCancelRequest
    | OtherCommand
)


@lru_cache(maxsize=32)  # SOP classes recur; 32 of the longest there can be are 8 MiB
def _class_element(uid: str) -> bytes:
    return uid_element(Element.AFFECTED_SOP_CLASS_UID, uid)


def _data_set_type(has_data_set: bool) -> bytes:  # noqa: FBT001 -- the name says it
    return us_element(Element.COMMAND_DATA_SET_TYPE, _ANY_DATA_SET if has_data_set else NO_DATA_SET)


def _optional_us(number: int, value: int | None) -> bytes:
    return b"" if value is None else us_element(number, value)
