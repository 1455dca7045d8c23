"""Command sets that are shaped like one before, parsed by comparison (PS3.7 §6.3.1).

    reader = CommandReader()
    reader.parse(data)              # as messages.parse_command, for each of an association

Strategy: an archive that sends a thousand instances sends a thousand C-STORE-RQ that differ
in message ID and SOP Instance UID, and as many C-GET-RSP that differ in four counters. The
first one is parsed, and its bytes are noted with holes where those values are. Of the next
one of the same length everything but the holes is compared, in one call; if it is the same,
so is what it means but for the values in the holes. A twentieth of the time of `parse_command`.

Rule: what is not byte by byte like one before is parsed as if it were the first.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from asyncdicom.protocol.dimse.command_set import Element, value_spans
from asyncdicom.protocol.dimse.messages import (
    CFindResponse,
    CGetResponse,
    CMoveResponse,
    CStoreRequest,
    parse_command,
)
from asyncdicom.protocol.dimse.statuses import is_pending

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.model import Buffer
    from asyncdicom.protocol.dimse.messages import Message

__all__ = ["CommandReader"]

MAX_SHAPES: Final = 64
"""Lengths of which the last shape is kept: UIDs of a series differ by a few characters."""
MAX_SHAPE_BYTES: Final = 1024
"""Of a command set worth remembering: only lists of UIDs make longer ones."""

_COUNTERS: Final = (
    Element.REMAINING_SUB_OPERATIONS,
    Element.COMPLETED_SUB_OPERATIONS,
    Element.FAILED_SUB_OPERATIONS,
    Element.WARNING_SUB_OPERATIONS,
)


class _Shape:
    """One command set with holes.

    Args:
        raw: The command set.
        holes: Where values start and end, in order.
        build: Makes the message from the values in the holes.
        is_progress: Whether it only says how far a C-GET has come.

    """

    __slots__ = ("_build", "_literals", "_unpack", "is_progress")

    def __init__(
        self,
        raw: bytes,
        holes: list[tuple[int, int]],
        build: Callable[..., Message],
        *,
        is_progress: bool = False,
    ) -> None:
        layout, at = ["<"], 0
        for start, end in holes:
            # Two bytes are a number (US); one UID has at least three, or is padded to four.
            layout.append(f"{start - at}s" + ("H" if end - start == 2 else f"{end - start}s"))
            at = end
        layout.append(f"{len(raw) - at}s")
        self._unpack = Struct("".join(layout)).unpack
        self._literals = self._unpack(raw)[::2]
        self._build = build
        self.is_progress = is_progress

    def fits(self, raw: bytes) -> bool:
        """Tell whether a command set of this length has this shape."""
        return self._unpack(raw)[::2] == self._literals

    def read(self, raw: bytes) -> Message | None:
        """Return the message, or None if the command set has another shape."""
        values = self._unpack(raw)
        return self._build(*values[1::2]) if values[::2] == self._literals else None


class CommandReader:
    """Parses the command sets of one direction of an association."""

    def __init__(self) -> None:
        self._shapes: dict[int, _Shape] = {}

    def parse(self, data: Buffer) -> Message:
        """Parse a command set.

        Raises:
            ProtocolError, LimitExceeded: As `parse_command`.

        """
        shape = self._shapes.get(len(data))
        if shape is not None:
            message = shape.read(bytes(data))
            if message is not None:
                return message
        message = parse_command(data)
        self._note(bytes(data), message)
        return message

    def is_progress(self, data: Buffer) -> bool:
        """Tell whether it is as one before, which said how far a C-GET has come, and no more."""
        shape = self._shapes.get(len(data))
        return shape is not None and shape.is_progress and shape.fits(bytes(data))

    def _note(self, raw: bytes, message: Message) -> None:
        """Keep the shape of a message of which many may follow."""
        if len(raw) > MAX_SHAPE_BYTES:
            return
        shape = _shape_of(raw, message)
        if shape is not None:
            self._shapes[len(raw)] = shape
            if len(self._shapes) > MAX_SHAPES:
                del self._shapes[next(iter(self._shapes))]


def _shape_of(raw: bytes, message: Message) -> _Shape | None:
    match message:
        case CStoreRequest():
            return _shape_of_store(raw, message)
        case CGetResponse() | CMoveResponse() if not message.failed_sop_instance_uids:
            return _shape_of_progress(raw, message)
        case CFindResponse():
            # Where it says nothing new, it is the same message.
            return _Shape(raw, [], lambda: message)
    return None


def _shape_of_store(raw: bytes, message: CStoreRequest) -> _Shape | None:
    spans = value_spans(raw)
    holes = [spans[Element.MESSAGE_ID], spans.get(Element.AFFECTED_SOP_INSTANCE_UID, (0, 0))]
    # Elements out of their order, or a UID of no or two bytes, are not worth a shape.
    if holes[1][1] - holes[1][0] < 3 or holes != sorted(holes):
        return None
    sop_class_uid, rest = message.sop_class_uid, _rest_of(message)

    def build(message_id: int, uid: bytes) -> CStoreRequest:
        # As `messages` reads a UID: padding is dropped, anything else stays as it came.
        text = uid.rstrip(b"\0 ").decode("latin-1")
        return CStoreRequest(message_id, sop_class_uid, text, *rest)

    return _Shape(raw, holes, build)


def _rest_of(message: CStoreRequest) -> tuple[int, str, int | None, bool]:
    return (
        message.priority,
        message.move_originator,
        message.move_message_id,
        message.has_data_set,
    )


def _shape_of_progress(raw: bytes, message: CGetResponse | CMoveResponse) -> _Shape | None:
    spans = value_spans(raw)
    there = [tag for tag in _COUNTERS if tag in spans]
    holes = [spans[tag] for tag in there]
    if holes != sorted(holes) or any(end - start != 2 for start, end in holes):
        return None
    places = [there.index(tag) if tag in there else None for tag in _COUNTERS]
    kind = type(message)

    def build(*values: int) -> CGetResponse | CMoveResponse:
        counters = [None if place is None else values[place] for place in places]
        return kind(
            message.responds_to,
            message.status,
            message.sop_class_uid,
            *counters,
            has_data_set=message.has_data_set,
            details=message.details,
        )

    is_progress = isinstance(message, CGetResponse) and is_pending(message.status)
    return _Shape(raw, holes, build, is_progress=is_progress and not message.has_data_set)
