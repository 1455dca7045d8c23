"""What a response to C-GET or C-MOVE says, whichever engine received it (PS3.4 §C.4.3.1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ProtocolError
from asyncdicom.ports.dimse import SubOperations
from asyncdicom.protocol.dimse.identifiers import identifier_values
from asyncdicom.protocol.dimse.messages import CGetResponse, CMoveResponse

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import AcceptedContext
    from asyncdicom.protocol.dimse.messages import Message

__all__ = ["FAILED_SOP_INSTANCE_UID_LIST", "sub_operations"]

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
