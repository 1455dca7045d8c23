"""Commands of the DIMSE-C services, typed (PS3.7 §9.3).

    request = parse_command(data)          # CStoreRequest(message_id=7, ...)
    CStoreResponse(7, status=0x0000).encode()

Rule: text is decoded byte by byte (ISO 8859-1), so that anything can be echoed as it
came. Padding is dropped: NUL and blanks behind a UID, blanks around an AE title.
A UID in here may be hostile; who makes a name of it validates it first.

Rule: what a peer adds beyond PS3.7 is ignored; what is missing and decides what to do
is refused. A service that nobody here performs (DIMSE-N) comes as `OtherCommand`, so
that it can be answered with 0211, unrecognized operation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.model import Buffer

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

VERIFICATION = "1.2.840.10008.1.1"


class CommandField(IntEnum):
    """Values of (0000,0100) (PS3.7 §E.1)."""

    C_STORE_RQ = 0x0001
    C_GET_RQ = 0x0010
    C_FIND_RQ = 0x0020
    C_MOVE_RQ = 0x0021
    C_ECHO_RQ = 0x0030
    C_CANCEL_RQ = 0x0FFF
    C_STORE_RSP = 0x8001
    C_GET_RSP = 0x8010
    C_FIND_RSP = 0x8020
    C_MOVE_RSP = 0x8021
    C_ECHO_RSP = 0x8030


class Priority(IntEnum):
    """Values of (0000,0700) (PS3.7 §E.1)."""

    LOW = 2
    MEDIUM = 0
    HIGH = 1


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What a response may add to its status (PS3.7 Annex C)."""

    offending_elements: tuple[int, ...] = ()
    """(0000,0901): tags."""
    error_comment: str = ""
    """(0000,0902), 64 characters; may name patients, so it goes into no log and no error."""
    error_id: int | None = None
    """(0000,0903), 0 to FFFF."""


NO_DETAILS = ErrorDetails()


@dataclass(frozen=True, slots=True)
class CEchoRequest:
    """C-ECHO-RQ (PS3.7 §9.3.5.1)."""

    name: ClassVar[str] = "C-ECHO-RQ"

    message_id: int
    """0 to FFFF."""
    sop_class_uid: str = VERIFICATION
    has_data_set: bool = False

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CEchoResponse:
    """C-ECHO-RSP (PS3.7 §9.3.5.2)."""

    name: ClassVar[str] = "C-ECHO-RSP"

    responds_to: int
    """(0000,0120) Message ID Being Responded To."""
    status: int
    sop_class_uid: str = VERIFICATION
    has_data_set: bool = False
    details: ErrorDetails = NO_DETAILS

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CStoreRequest:
    """C-STORE-RQ (PS3.7 §9.3.1.1)."""

    name: ClassVar[str] = "C-STORE-RQ"

    message_id: int
    """0 to FFFF."""
    sop_class_uid: str
    sop_instance_uid: str
    priority: int = Priority.MEDIUM
    move_originator: str = ""
    """(0000,1030): AE title that asked for the C-MOVE this belongs to, or empty."""
    move_message_id: int | None = None
    """(0000,1031): message ID of that C-MOVE-RQ."""
    has_data_set: bool = True

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CStoreResponse:
    """C-STORE-RSP (PS3.7 §9.3.1.2)."""

    name: ClassVar[str] = "C-STORE-RSP"

    responds_to: int
    """(0000,0120) Message ID Being Responded To."""
    status: int
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    has_data_set: bool = False
    details: ErrorDetails = NO_DETAILS

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CFindRequest:
    """C-FIND-RQ (PS3.7 §9.3.2.1); its identifier follows as a data set."""

    name: ClassVar[str] = "C-FIND-RQ"

    message_id: int
    """0 to FFFF."""
    sop_class_uid: str
    priority: int = Priority.MEDIUM
    has_data_set: bool = True

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CFindResponse:
    """C-FIND-RSP (PS3.7 §9.3.2.2); a pending one is followed by an identifier."""

    name: ClassVar[str] = "C-FIND-RSP"

    responds_to: int
    """(0000,0120) Message ID Being Responded To."""
    status: int
    sop_class_uid: str = ""
    has_data_set: bool = False
    details: ErrorDetails = NO_DETAILS

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CGetRequest:
    """C-GET-RQ (PS3.7 §9.3.3.1); its identifier follows as a data set."""

    name: ClassVar[str] = "C-GET-RQ"

    message_id: int
    """0 to FFFF."""
    sop_class_uid: str
    priority: int = Priority.MEDIUM
    has_data_set: bool = True

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CGetResponse:
    """C-GET-RSP (PS3.7 §9.3.3.2); the final one may be followed by failed UIDs."""

    name: ClassVar[str] = "C-GET-RSP"

    responds_to: int
    """(0000,0120) Message ID Being Responded To."""
    status: int
    sop_class_uid: str = ""
    remaining: int | None = None
    """(0000,1020) Number of Remaining Sub-operations, as far as it is told."""
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    has_data_set: bool = False
    details: ErrorDetails = NO_DETAILS

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CMoveRequest:
    """C-MOVE-RQ (PS3.7 §9.3.4.1); its identifier follows as a data set."""

    name: ClassVar[str] = "C-MOVE-RQ"

    message_id: int
    """0 to FFFF."""
    sop_class_uid: str
    move_destination: str
    """(0000,0600): AE title to send to."""
    priority: int = Priority.MEDIUM
    has_data_set: bool = True

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CMoveResponse:
    """C-MOVE-RSP (PS3.7 §9.3.4.2); the final one may be followed by failed UIDs."""

    name: ClassVar[str] = "C-MOVE-RSP"

    responds_to: int
    """(0000,0120) Message ID Being Responded To."""
    status: int
    sop_class_uid: str = ""
    remaining: int | None = None
    """(0000,1020) Number of Remaining Sub-operations, as far as it is told."""
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    has_data_set: bool = False
    details: ErrorDetails = NO_DETAILS

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CCancelRequest:
    """C-CANCEL-RQ of a C-FIND, C-GET or C-MOVE (PS3.7 §9.3.2.3)."""

    name: ClassVar[str] = "C-CANCEL-RQ"

    responds_to: int
    """(0000,0120): message ID of the request to cancel."""
    has_data_set: bool = False

    def encode(self) -> bytes:
        """Write the command set."""
        raise NotImplementedError


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
        """Write the command set."""
        raise NotImplementedError


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


def parse_command(data: Buffer) -> Message:
    """Parse a command set.

    Raises:
        ProtocolError: If it is no command set (PS3.7 §6.3.1), or lacks what its command needs.
        LimitExceeded: If it is longer than anybody needs.

    """
    raise NotImplementedError
