"""What a response to C-GET or C-MOVE says, whichever engine received it (PS3.4 §C.4.3.1.3).

Rule: of a C-MOVE most is done on another association. An archive says how far it is between
two instances, if at all, and one may take minutes; where we see it come, it is no silence.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ProtocolError
from asyncdicom.ports.dimse import SubOperations
from asyncdicom.protocol.dimse.identifiers import identifier_values
from asyncdicom.protocol.dimse.messages import CGetResponse, CMoveResponse
from asyncdicom.transports.associations.connection import LOOKS_PER_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import AcceptedContext
    from asyncdicom.protocol.dimse.messages import Message

__all__ = ["FAILED_SOP_INSTANCE_UID_LIST", "heeding", "sub_operations"]

FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058


def sub_operations(response: Message, dataset: Buffer, context: AcceptedContext) -> SubOperations:
    """Read a response.

    Args:
        response: Its command.
        dataset: Its data set, or nothing.
        context: Where it came.

    """
    assert isinstance(response, CGetResponse | CMoveResponse), "others have no sub-operations"
    return SubOperations(
        response.status,
        response.remaining,
        response.completed,
        response.failed,
        response.warning,
        # DCMTK and Orthanc write the list behind the command set.
        _failed_uids(dataset, context.transfer_syntax) or response.failed_sop_instance_uids,
        response.details.error_comment,
    )


def _failed_uids(dataset: Buffer, transfer_syntax: str) -> tuple[str, ...]:
    """Read the Failed SOP Instance UID List; a garbled one tells nothing."""
    if not dataset:
        return ()
    tag = FAILED_SOP_INSTANCE_UID_LIST
    try:
        text = identifier_values(dataset, transfer_syntax, (tag,)).get(tag, "")
    except ProtocolError:
        return ()
    return tuple(uid for one in text.split("\\") if (uid := one.strip(" \0")))


@contextmanager
def heeding(
    elsewhere: Callable[[], int] | None, hear: Callable[[], object], *, patience_s: float
) -> Iterator[None]:
    """Hear of a peer while the block runs and a count changes of what it does elsewhere.

    Args:
        elsewhere: Returns the count; None if nobody sees it.
        hear: Takes note that the peer was heard of.
        patience_s: Longest silence, in seconds.

    """
    if elsewhere is None:
        yield
        return
    loop, known = asyncio.get_running_loop(), elsewhere()
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal known, timer
        if (count := elsewhere()) != known:
            known = count
            hear()
        timer = loop.call_later(patience_s / LOOKS_PER_PATIENCE, look)

    timer = loop.call_later(patience_s / LOOKS_PER_PATIENCE, look)
    try:
        yield
    finally:
        timer.cancel()
