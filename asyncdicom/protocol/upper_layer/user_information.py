"""What two application entities tell each other when they associate (PS3.7 Annex D, PS3.8 §D.1).

Rule: sub-items stay in the order they came in, and those that nobody here knows
are kept as they are, so that what was parsed can be written again.

Rule: where a sub-item may come once only and comes again, the first one counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

__all__ = [
    "DEFAULT_PEER_PDU_BYTES",
    "AsyncOperationsWindow",
    "CommonExtendedNegotiation",
    "ExtendedNegotiation",
    "ImplementationClass",
    "ImplementationVersion",
    "MaximumLength",
    "RawItem",
    "RoleSelection",
    "UserIdentity",
    "UserIdentityResponse",
    "UserInformation",
    "UserItem",
]

DEFAULT_PEER_PDU_BYTES = 16 * 1024
"""For peers that leave the sub-item out, though it is mandatory: all implementations take this."""


@dataclass(frozen=True, slots=True)
class RawItem:
    """An item or sub-item of a type that is not known here."""

    item_type: int
    """0 to 255."""
    data: bytes


@dataclass(frozen=True, slots=True)
class MaximumLength:
    """Longest variable field of a P-DATA-TF that the sender takes (PS3.8 §D.1)."""

    max_pdu_bytes: int
    """In bytes, without the six of the PDU's header; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class ImplementationClass:
    """Which implementation it is (PS3.7 §D.3.3.2.1)."""

    uid: str


@dataclass(frozen=True, slots=True)
class ImplementationVersion:
    """Which version of the implementation it is (PS3.7 §D.3.3.2.3)."""

    name: str
    """1 to 16 characters."""


@dataclass(frozen=True, slots=True)
class AsyncOperationsWindow:
    """How many operations may be outstanding (PS3.7 §D.3.3.3); 0 is no limit."""

    max_invoked: int = 1
    """By the requestor, 0 to 65535."""
    max_performed: int = 1
    """By the requestor, 0 to 65535."""


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """Which roles the requestor plays for a SOP class (PS3.7 §D.3.3.4)."""

    sop_class_uid: str
    is_scu: bool
    is_scp: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """Service class application information for a SOP class (PS3.7 §D.3.3.5)."""

    sop_class_uid: str
    information: bytes


@dataclass(frozen=True, slots=True)
class CommonExtendedNegotiation:
    """What a SOP class is a specialization of (PS3.7 §D.3.3.6)."""

    sop_class_uid: str
    service_class_uid: str
    related_sop_class_uids: tuple[str, ...] = ()
    reserved: bytes = b""
    """Bytes behind the last field, for later versions."""
    version: int = 0


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Who asks for the association (PS3.7 §D.3.3.7); secrets stay out of its `repr`."""

    kind: int
    """1 user name, 2 user name and passcode, 3 Kerberos ticket, 4 SAML assertion, 5 JWT."""
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    """The passcode of kind 2; else empty."""
    wants_response: bool = False

    @classmethod
    def of_user(cls, name: str, passcode: str | None = None) -> UserIdentity:
        """Make the identity of a user name, with a passcode or without, in UTF-8."""
        if passcode is None:
            return cls(1, name.encode())
        return cls(2, name.encode(), passcode.encode())


@dataclass(frozen=True, slots=True)
class UserIdentityResponse:
    """What the acceptor answers to an identity that wanted a response (PS3.7 §D.3.3.7.2)."""

    response: bytes = field(repr=False)


UserItem: TypeAlias = (
    MaximumLength
    | ImplementationClass
    | ImplementationVersion
    | AsyncOperationsWindow
    | RoleSelection
    | ExtendedNegotiation
    | CommonExtendedNegotiation
    | UserIdentity
    | UserIdentityResponse
    | RawItem
)

T = TypeVar("T", bound=UserItem)


@dataclass(frozen=True, slots=True)
class UserInformation:
    """The sub-items of a User Information item, in their order."""

    items: tuple[UserItem, ...] = ()

    def first(self, kind: type[T]) -> T | None:
        """Return the first sub-item of a kind, or None."""
        return next((item for item in self.items if isinstance(item, kind)), None)

    @property
    def max_pdu_bytes(self) -> int:
        """What the sender takes, in bytes; 0 is no limit."""
        found = self.first(MaximumLength)
        return DEFAULT_PEER_PDU_BYTES if found is None else found.max_pdu_bytes

    @property
    def implementation_class_uid(self) -> str:
        """UID, or empty."""
        found = self.first(ImplementationClass)
        return "" if found is None else found.uid

    @property
    def implementation_version(self) -> str:
        """Version name, or empty."""
        found = self.first(ImplementationVersion)
        return "" if found is None else found.name

    @property
    def async_operations(self) -> AsyncOperationsWindow:
        """Window; 1 and 1 where none was sent (PS3.7 §D.3.3.3)."""
        return self.first(AsyncOperationsWindow) or AsyncOperationsWindow()

    @property
    def roles(self) -> dict[str, RoleSelection]:
        """Role selections by SOP Class UID."""
        selections = [item for item in self.items if isinstance(item, RoleSelection)]
        return {selection.sop_class_uid: selection for selection in reversed(selections)}

    @property
    def identity(self) -> UserIdentity | None:
        """Who asks, or None."""
        return self.first(UserIdentity)

    @property
    def identity_response(self) -> bytes | None:
        """What the acceptor answered to the identity, or None."""
        found = self.first(UserIdentityResponse)
        return None if found is None else found.response
