"""Protocol data units of the upper layer (PS3.8 §9.3).

    encode(Abort(source=0))
    decode(data)

Rule: P-DATA-TF is not decoded here but in `reader.py`, which passes it on while it
arrives; only the header to send one is.

Rule (reserved fields): they are written as 0 and not looked at, as PS3.8 §9.3 asks for.
So a PDU that came in the Standard's order, with reserved fields of 0 and no padding, is
written again byte by byte as it came; any other as an equal one in that form.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, assert_never

from asyncdicom.errors import ConfigError, ProtocolError
from asyncdicom.protocol.upper_layer.contexts import (
    AnsweredContext,
    ProposedContext,
    read_answered,
    read_proposed,
    write_answered,
    write_proposed,
)
from asyncdicom.protocol.upper_layer.items import ItemReader, write_item, write_text
from asyncdicom.protocol.upper_layer.user_information import RawItem, UserInformation
from asyncdicom.protocol.upper_layer.user_items import (
    read_user_information,
    write_user_information,
)

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.protocol.upper_layer.items import Item

__all__ = [
    "APPLICATION_CONTEXT",
    "MAX_AE_TITLE_CHARACTERS",
    "Abort",
    "AnsweredContext",
    "AssociateAccept",
    "AssociateReject",
    "AssociateRequest",
    "Pdu",
    "PdvFragment",
    "ProposedContext",
    "ReleaseRequest",
    "ReleaseResponse",
    "check_ae_title",
    "decode",
    "encode",
    "encode_pdv_header",
]

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""DICOM Application Context Name (PS3.7 §A.2.1)."""

MAX_AE_TITLE_CHARACTERS = 16
"""PS3.5 §6.2, AE; the field has as many bytes."""


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2)."""

    called_ae: str
    calling_ae: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation = field(default_factory=UserInformation)
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1
    """One bit for each version that is understood; bit 0 is version 1."""
    unknown: tuple[RawItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 §9.3.3)."""

    called_ae: str
    """As in the request; nobody looks at it."""
    calling_ae: str
    contexts: tuple[AnsweredContext, ...]
    user: UserInformation = field(default_factory=UserInformation)
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1
    unknown: tuple[RawItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateReject:
    """A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""

    result: int
    """1 permanent, 2 transient."""
    source: int
    """1 service user, 2 service provider (ACSE), 3 service provider (presentation)."""
    reason: int
    """Means something only together with the source (PS3.8 Table 9-21)."""


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A-RELEASE-RQ (PS3.8 §9.3.6)."""


@dataclass(frozen=True, slots=True)
class ReleaseResponse:
    """A-RELEASE-RP (PS3.8 §9.3.7)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 §9.3.8)."""

    source: int = 0
    """0 service user, 2 service provider."""
    reason: int = 0
    """Says something only where the provider aborts."""


class PdvFragment(NamedTuple):
    """The next bytes of a presentation data value (PS3.8 §9.3.5.1).

    A tuple, as one is made for each piece of data that arrives.
    """

    context_id: int
    """Odd, 1 to 255."""
    is_command: bool
    is_last: bool
    """Whether this ends the last fragment of its command or data set (PS3.8 §E.2)."""
    data: memoryview
    """Valid until the buffer it came in is used again; may be empty."""


Pdu: TypeAlias = (
    AssociateRequest | AssociateAccept | AssociateReject | ReleaseRequest | ReleaseResponse | Abort
)


def check_ae_title(title: str, whose: str = "own") -> str:
    """Check an application entity title that we send (PS3.5 §6.2, AE).

    Args:
        title: As the user wrote it.
        whose: Called, calling, ...; for the message.

    Returns:
        The title without leading and trailing blanks: they mean nothing.

    Raises:
        ConfigError: Unless it is 1 to 16 characters of ASCII without backslash and controls.

    """
    stripped = title.strip(" ")
    is_allowed = stripped.isascii() and stripped.isprintable() and "\\" not in stripped
    if not 1 <= len(stripped) <= MAX_AE_TITLE_CHARACTERS or not is_allowed:
        raise ConfigError(
            f"{whose} AE title is not valid: {stripped[: MAX_AE_TITLE_CHARACTERS + 1]!r}",
            hint="1 to 16 ASCII characters, without backslash",
        )
    return stripped


# PS3.8 §9.3.1: PDU-type, a reserved byte, PDU-length.
_HEADER = struct.Struct(">BxL")
# PS3.8 Table 9-11: protocol version, reserved, called and calling AE title, reserved.
_ASSOCIATE = struct.Struct(">HH16s16s32s")
# PS3.8 Table 9-21: reserved, result, source, reason.
_REJECT = struct.Struct(">xBBB")
# PS3.8 Table 9-26: two reserved bytes, source, reason.
_ABORT = struct.Struct(">xxBB")
# PS3.8 Tables 9-22 and 9-23: a PDU header, then item length, context ID, control header.
_P_DATA = struct.Struct(">BxLLBB")

_IS_COMMAND = 0b01
_IS_LAST = 0b10


def encode(pdu: Pdu) -> bytes:
    """Write a PDU, header included.

    Raises:
        ConfigError: If a field is longer than its length can say.

    """
    match pdu:
        case AssociateRequest():
            contexts = b"".join(map(write_proposed, pdu.contexts))
            return _write(0x01, _write_associate(pdu, contexts))
        case AssociateAccept():
            contexts = b"".join(map(write_answered, pdu.contexts))
            return _write(0x02, _write_associate(pdu, contexts))
        case AssociateReject(result, source, reason):
            return _write(0x03, _REJECT.pack(result, source, reason))
        case ReleaseRequest():
            return _write(0x05, bytes(4))
        case ReleaseResponse():
            return _write(0x06, bytes(4))
        case Abort(source, reason):
            return _write(0x07, _ABORT.pack(source, reason))
        case _:
            assert_never(pdu)


def _write(pdu_type: int, value: bytes) -> bytes:
    return _HEADER.pack(pdu_type, len(value)) + value


def _write_associate(pdu: AssociateRequest | AssociateAccept, contexts: bytes) -> bytes:
    called, calling = _write_title(pdu.called_ae), _write_title(pdu.calling_ae)
    pieces = [_ASSOCIATE.pack(pdu.protocol_version, 0, called, calling, b"")]
    if pdu.application_context:
        pieces.append(write_item(0x10, write_text(pdu.application_context)))
    pieces.append(contexts)
    if pdu.user.items:
        pieces.append(write_item(0x50, write_user_information(pdu.user)))
    pieces += (write_item(item.item_type, item.data) for item in pdu.unknown)
    return b"".join(pieces)


def _write_title(title: str) -> bytes:
    text = write_text(title)
    if len(text) > MAX_AE_TITLE_CHARACTERS:
        raise ConfigError(f"an AE title of {len(text)} characters")
    return text.ljust(MAX_AE_TITLE_CHARACTERS)


def encode_pdv_header(context_id: int, length: int, *, is_command: bool, is_last: bool) -> bytes:
    """Write what stands before the bytes of a P-DATA-TF with one PDV: PDU and item header.

    Args:
        context_id: Odd, 1 to 255.
        length: Of the fragment, in bytes.
        is_command: Command or data set.
        is_last: Whether it is the last fragment.

    """
    control = (_IS_COMMAND if is_command else 0) | (_IS_LAST if is_last else 0)
    return _P_DATA.pack(0x04, length + 6, length + 2, context_id, control)


def decode(data: Buffer) -> Pdu:
    """Parse one whole PDU, header included; any but P-DATA-TF.

    Raises:
        ProtocolError: If it breaks PS3.8 §9.3; `offset` counts from its first byte.
        LimitExceeded: If it holds more items than anybody needs.

    """
    reader = ItemReader(bytes(data))
    if len(reader.data) < _HEADER.size:
        raise ProtocolError("a PDU is cut", offset=0)
    pdu_type, length = _HEADER.unpack_from(reader.data)
    if len(reader.data) != _HEADER.size + length:
        raise ProtocolError(f"a PDU of {len(reader.data)} bytes tells another length", offset=2)
    if pdu_type == 0x01:
        return _read_request(reader)
    if pdu_type == 0x02:
        return _read_accept(reader)
    return _read_short(reader.data, pdu_type)


def _read_short(data: bytes, pdu_type: int) -> Pdu:
    if pdu_type not in (0x03, 0x05, 0x06, 0x07):
        raise ProtocolError(f"a PDU of type {pdu_type:02X}", offset=0)
    if len(data) != 10:
        raise ProtocolError(f"a PDU of type {pdu_type:02X} has {len(data)} bytes", offset=2)
    if pdu_type == 0x03:
        return AssociateReject(*_REJECT.unpack_from(data, _HEADER.size))
    if pdu_type == 0x07:
        return Abort(*_ABORT.unpack_from(data, _HEADER.size))
    return ReleaseRequest() if pdu_type == 0x05 else ReleaseResponse()


@dataclass(slots=True)
class _Associate:
    """What requests and acceptances have in common, while it is read."""

    protocol_version: int
    called_ae: str
    calling_ae: str
    application_context: str | None = None
    contexts: list[Item] = field(default_factory=list)
    user: UserInformation | None = None
    unknown: list[RawItem] = field(default_factory=list)


def _read_request(reader: ItemReader) -> AssociateRequest:
    read = _read_associate(reader, 0x20)
    return AssociateRequest(
        called_ae=read.called_ae,
        calling_ae=read.calling_ae,
        contexts=read_proposed(reader, read.contexts),
        user=read.user or UserInformation(),
        application_context=read.application_context or "",
        protocol_version=read.protocol_version,
        unknown=tuple(read.unknown),
    )


def _read_accept(reader: ItemReader) -> AssociateAccept:
    read = _read_associate(reader, 0x21)
    return AssociateAccept(
        called_ae=read.called_ae,
        calling_ae=read.calling_ae,
        contexts=read_answered(reader, read.contexts),
        user=read.user or UserInformation(),
        application_context=read.application_context or "",
        protocol_version=read.protocol_version,
        unknown=tuple(read.unknown),
    )


def _read_associate(reader: ItemReader, context_type: int) -> _Associate:
    start = _HEADER.size + _ASSOCIATE.size
    if len(reader.data) < start:
        raise ProtocolError("an association PDU is cut", offset=len(reader.data))
    version = int.from_bytes(reader.data[6:8], "big")
    read = _Associate(version, reader.text(10, 26), reader.text(26, 42))
    for item in reader.items(start, len(reader.data)):
        if item.item_type == context_type:
            read.contexts.append(item)
        elif item.item_type == 0x10:
            _check_first(read.application_context, item)
            read.application_context = reader.text(item.start, item.end)
        elif item.item_type == 0x50:
            _check_first(read.user, item)
            read.user = read_user_information(reader, item)
        else:
            read.unknown.append(RawItem(item.item_type, reader.data[item.start : item.end]))
    return read


def _check_first(known: object | None, item: Item) -> None:
    if known is not None:
        raise ProtocolError(f"item {item.item_type:02X} comes twice", offset=item.start)
