"""What a DIMSE status means (PS3.7 Annex C; PS3.4 §B.2.3, §C.4.1 to §C.4.3).

    if is_pending(status): ...
    raise failure_of(0xA702, Operation.GET)

Rule: sentences here are ours. The comment of the peer is never part of them: it may
name a patient.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncdicom.errors import OperationFailed

__all__ = [
    "Category",
    "Operation",
    "Status",
    "category",
    "describe",
    "failure_of",
    "is_cancel",
    "is_failure",
    "is_pending",
    "is_success",
    "is_transient",
    "is_warning",
]


class Operation(StrEnum):
    """A DIMSE-C service (PS3.7 §9.1)."""

    ECHO = "C-ECHO"
    STORE = "C-STORE"
    FIND = "C-FIND"
    GET = "C-GET"
    MOVE = "C-MOVE"


class Category(Enum):
    """Class of a status (PS3.7 §C.1 to §C.5)."""

    SUCCESS = "success"
    PENDING = "pending"
    CANCEL = "cancel"
    WARNING = "warning"
    FAILURE = "failure"


class Status:
    """Statuses that we answer with or look for (PS3.7 Annex C, PS3.4 §B.2.3, §C.4)."""

    SUCCESS = 0x0000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    CLASS_INSTANCE_CONFLICT = 0x0119
    DUPLICATE_SOP_INSTANCE = 0x0111
    DUPLICATE_INVOCATION = 0x0210
    UNRECOGNIZED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    PROCESSING_FAILURE = 0x0110
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    UNABLE_TO_COUNT_MATCHES = 0xA701
    UNABLE_TO_PERFORM_SUB_OPERATIONS = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    SUB_OPERATIONS_WITH_FAILURES = 0xB000
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_WITHOUT_OPTIONAL_KEYS = 0xFF01


def category(status: int) -> Category:
    """Return the class of a status; one that no standard knows is a failure."""
    raise NotImplementedError


def is_success(status: int) -> bool:
    """Tell 0000."""
    return status == Status.SUCCESS


def is_pending(status: int) -> bool:
    """Tell FF00 and FF01: more responses follow."""
    return status in (Status.PENDING, Status.PENDING_WITHOUT_OPTIONAL_KEYS)


def is_cancel(status: int) -> bool:
    """Tell FE00: the operation ended because we asked for it."""
    return status == Status.CANCEL


def is_warning(status: int) -> bool:
    """Tell whether it was done, but not quite as asked for."""
    return category(status) is Category.WARNING


def is_failure(status: int) -> bool:
    """Tell whether it was not done."""
    return category(status) is Category.FAILURE


def is_transient(status: int) -> bool:
    """Tell whether the peer may manage it later: the A7xx family, out of resources."""
    raise NotImplementedError


def describe(status: int, operation: Operation) -> str:
    """Say what happened, in lower case, as in `out of resources: ...`; no status number."""
    raise NotImplementedError


def failure_of(status: int, operation: Operation) -> OperationFailed:
    """Make the error of a final status, for whoever raises it."""
    raise NotImplementedError
