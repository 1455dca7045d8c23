"""What payload parsers report, and the contract they share (PS3.18 §8.6.1.2).

Order: `PartBegan PartData* PartEnded`, once per part, then one `PayloadEnded`.
A consumer may commit a part on `PartEnded`, and call an answer whole on `PayloadEnded`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.model import Buffer, Header

__all__ = [
    "NEED_DATA",
    "Event",
    "NeedData",
    "PartBegan",
    "PartData",
    "PartEnded",
    "PayloadEnded",
    "PayloadParser",
    "drain",
]


class NeedData(Enum):
    """Type of `NEED_DATA`; an enum, so that `is not NEED_DATA` narrows."""

    NEED_DATA = "need data"


NEED_DATA: Final = NeedData.NEED_DATA
"""Nothing more can be said before more bytes arrive; at the end of the payload: ever."""


@dataclass(frozen=True, slots=True)
class PartBegan:
    """The header block of a part was read whole."""

    headers: tuple[Header, ...]
    """Names as received, in order."""
    offset: int
    """Payload offset of the first content byte."""


@dataclass(frozen=True, slots=True)
class PartData:
    """The next content bytes of the part; never empty."""

    data: bytes | memoryview
    """Valid as long as it is held. A view keeps its whole chunk in memory."""


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The whole delimiter line behind the part was read: the part is complete."""

    byte_count: int
    """Length of the content."""


@dataclass(frozen=True, slots=True)
class PayloadEnded:
    """The close delimiter was read: the payload is complete."""

    parts: int
    """At least 1 (RFC 2046 §5.1.1)."""


Event: TypeAlias = PartBegan | PartData | PartEnded | PayloadEnded


class PayloadParser(Protocol):
    """What all payload parsers have in common."""

    def receive_data(self, data: Buffer) -> None:
        """Store bytes; parse nothing."""

    def receive_eof(self) -> None:
        """Say that no byte will follow; then drain once more."""

    def next_event(self) -> Event | NeedData:
        """Return the next event, or `NEED_DATA`."""


def drain(parser: PayloadParser) -> Iterator[Event]:
    """Yield events until the parser needs data.

    Raises:
        ProtocolError: As `next_event` does.

    """
    while (event := parser.next_event()) is not NEED_DATA:
        yield event
