"""What a C-STORE that failed is answered with (PS3.4 §B.2.3, PS3.7 §9.1.1.1.9).

    answer_to(DiskFull(...))        # A700

Rule: `A7xx` says that the sender may try again, later or elsewhere; the others, that it
would be in vain. So whatever is wrong on this machine is A700, a bad name included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.errors import (
    InvalidUid,
    NotNegotiated,
    StorageError,
    UidMismatch,
    UnexpectedContent,
)
from asyncdicom.protocol.dimse.statuses import Status

if TYPE_CHECKING:
    from asyncdicom.errors import AsyncDicomError

__all__ = ["answer_to"]


def answer_to(error: AsyncDicomError) -> int:
    """Return the status for an instance that was not stored."""
    match error:
        case StorageError():
            return Status.OUT_OF_RESOURCES
        case UidMismatch() | UnexpectedContent():
            # Another instance, or another SOP class, than the command says.
            return Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
        case InvalidUid():
            return Status.INVALID_SOP_INSTANCE
        case NotNegotiated():
            return Status.SOP_CLASS_NOT_SUPPORTED
        case _:
            # Broken or cut bytes, or content that is none.
            return Status.CANNOT_UNDERSTAND
