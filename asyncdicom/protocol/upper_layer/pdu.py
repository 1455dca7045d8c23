"""Protocol data units of the upper layer (PS3.8 §9.3).

    encode(Abort(source=0))
    decode(data)

Rule: P-DATA-TF is not here but in `reader.py`, which passes it on while it arrives;
only the header to send one is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from asyncdicom.protocol.upper_layer.user_information import RawItem, UserInformation

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = [
    "APPLICATION_CONTEXT",
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
"""DICOM Application Context Name (PS3.7 Annex A)."""


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """Presentation context of a request (PS3.8 Table 9-13)."""

    context_id: int
    """Odd, 1 to 255."""
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    unknown: tuple[RawItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AnsweredContext:
    """Presentation context of an acceptance (PS3.8 Table 9-18)."""

    context_id: int
    """Odd, 1 to 255."""
    result: int
    """0 acceptance, 1 user rejection, 2 no reason, 3 abstract syntax, 4 transfer syntaxes."""
    transfer_syntax: str = ""
    """Says something only where the result is 0."""
    unknown: tuple[RawItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2)."""

    called_ae: str
    calling_ae: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation = field(default_factory=UserInformation)
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1
    unknown: tuple[RawItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 §9.3.3)."""

    called_ae: str
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

    A tuple, as it is made for each piece of data that arrives.
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


def check_ae_title(title: str) -> str:
    """Check an application entity title of our own (PS3.5 §6.2).

    Returns:
        The title without leading and trailing blanks.

    Raises:
        ConfigError: Unless it is 1 to 16 characters of ASCII without backslash and control.

    """
    raise NotImplementedError


def encode(pdu: Pdu) -> bytes:
    """Write a PDU, header included.

    Raises:
        ConfigError: If a field is longer than its length can say.

    """
    raise NotImplementedError


def encode_pdv_header(context_id: int, length: int, *, is_command: bool, is_last: bool) -> bytes:
    """Write what stands before the bytes of a P-DATA-TF with one PDV: PDU and item header.

    Args:
        context_id: Odd, 1 to 255.
        length: Of the fragment, in bytes.
        is_command: Command or data set.
        is_last: Whether it is the last fragment.

    """
    raise NotImplementedError


def decode(data: Buffer) -> Pdu:
    """Parse one whole PDU, header included; any but P-DATA-TF.

    Raises:
        ProtocolError: If it breaks PS3.8 §9.3.
        LimitExceeded: If it holds more items than anybody needs.

    """
    raise NotImplementedError
