"""What a DIMSE status means (PS3.7 Annex C; PS3.4 §B.2.3, §C.4.1 to §C.4.3).

    if is_pending(status): ...
    raise failure_of(0xA702, Operation.GET)

Rule: sentences here are ours. The comment of the peer is never part of them: it may
name a patient.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import OperationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    SUCCESS: Final = 0x0000
    PROCESSING_FAILURE: Final = 0x0110
    DUPLICATE_SOP_INSTANCE: Final = 0x0111
    INVALID_SOP_INSTANCE: Final = 0x0117
    CLASS_INSTANCE_CONFLICT: Final = 0x0119
    SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
    NOT_AUTHORIZED: Final = 0x0124
    DUPLICATE_INVOCATION: Final = 0x0210
    UNRECOGNIZED_OPERATION: Final = 0x0211
    MISTYPED_ARGUMENT: Final = 0x0212
    RESOURCE_LIMITATION: Final = 0x0213
    OUT_OF_RESOURCES: Final = 0xA700
    UNABLE_TO_COUNT_MATCHES: Final = 0xA701
    UNABLE_TO_PERFORM_SUB_OPERATIONS: Final = 0xA702
    MOVE_DESTINATION_UNKNOWN: Final = 0xA801
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
    SUB_OPERATIONS_WITH_FAILURES: Final = 0xB000
    MATCHES_LIMITED: Final = 0xB001
    CANNOT_UNDERSTAND: Final = 0xC000
    CANCEL: Final = 0xFE00
    PENDING: Final = 0xFF00
    PENDING_WITHOUT_OPTIONAL_KEYS: Final = 0xFF01


_PLAIN: Final[Mapping[int, str]] = {
    Status.SUCCESS: "done",
    Status.CANCEL: "ended because it was cancelled",
    Status.PENDING: "going on",
    Status.PENDING_WITHOUT_OPTIONAL_KEYS: "going on, though not every optional key is supported",
    0x0001: "done, but an optional attribute that was asked for is not supported",
    0x0105: "no such attribute",
    0x0106: "an attribute has an invalid value",
    0x0107: "done, but some attributes are not known to the peer",
    0x0110: "the peer failed while it worked on it",
    0x0111: "the peer holds an instance of this UID already",
    0x0112: "no such instance",
    0x0113: "no such event",
    0x0114: "no such argument",
    0x0115: "an argument has an invalid value",
    0x0116: "done, but the value of an attribute is out of range",
    0x0117: "the UID of the instance breaks the rules for UIDs",
    0x0118: "no such SOP class",
    0x0119: "the instance is not of this SOP class",
    0x0120: "an attribute is missing",
    0x0121: "the value of an attribute is missing",
    0x0122: "the peer does not support this SOP class",
    0x0123: "no such action",
    0x0124: "the peer does not authorize it",
    0x0210: "the message ID is in use already",
    0x0211: "the peer does not know this operation",
    0x0212: "the peer takes no such argument",
    0x0213: "out of resources: a limit of the peer was met",
}
"""PS3.7 Annex C: what each operation may end with."""

_OUT_OF_RESOURCES = "out of resources: the peer cannot take or do more now"
_CANNOT_PROCESS = "the peer cannot process it"

_RETRIEVE: Final[Mapping[int, str]] = {
    0xA701: "out of resources: the peer could not count the matches",
    0xA702: "out of resources: the peer could not perform the sub-operations",
    0xA801: "the peer does not know the move destination",
    0xA900: "the identifier does not fit the SOP class",
    0xAA00: "none of the frames that were asked for was found",
    0xAA01: "the peer cannot make a new object of this SOP class",
    0xAA02: "the peer cannot extract frames",
    0xAA03: "the instance has no time to ask for frames by",
    0xAA04: "the request for frames is invalid",
    0xB000: "ended, but one or more sub-operations failed",
}

_OF_OPERATION: Final[Mapping[Operation, Mapping[int, str]]] = {
    Operation.ECHO: {},
    Operation.STORE: {
        0xB000: "stored, but some values were coerced",
        0xB006: "stored, but some elements were discarded",
        0xB007: "stored, but the data set does not fit its SOP class",
    },
    Operation.FIND: {
        0xA900: "the identifier does not fit the SOP class",
        0xB001: "ended at a limit of the peer, though there may be more matches",
    },
    Operation.GET: _RETRIEVE,
    Operation.MOVE: _RETRIEVE,
}
"""PS3.4 Tables B.2-1, C.4-1, C.4-2 and C.4-3: what means something else per service."""

_OF_FAMILY: Final[Mapping[Operation, Mapping[int, str]]] = {
    Operation.ECHO: {},
    Operation.STORE: {
        0xA7: _OUT_OF_RESOURCES,
        0xA9: "the data set does not fit its SOP class",
        0xC: "the peer cannot understand the data set",
    },
    Operation.FIND: {0xA7: _OUT_OF_RESOURCES, 0xC: _CANNOT_PROCESS},
    Operation.GET: {0xA7: _OUT_OF_RESOURCES, 0xC: _CANNOT_PROCESS},
    Operation.MOVE: {0xA7: _OUT_OF_RESOURCES, 0xC: _CANNOT_PROCESS},
}
"""The same tables, where they leave the last digits to the peer: A7xx, A9xx, Cxxx."""

# PS3.7 Annex C: 0001 and Bxxx, and of the general ones 0107 and 0116.
_GENERAL_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})


def category(status: int) -> Category:
    """Return the class of a status; one that no standard knows is a failure."""
    if is_success(status):
        return Category.SUCCESS
    if is_pending(status):
        return Category.PENDING
    if is_cancel(status):
        return Category.CANCEL
    if status in _GENERAL_WARNINGS or status >> 12 == 0xB:
        return Category.WARNING
    return Category.FAILURE


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
    """Tell whether the peer may manage it later: it is out of resources (A7xx, 0213)."""
    return status >> 8 == 0xA7 or status == Status.RESOURCE_LIMITATION


def describe(status: int, operation: Operation) -> str:
    """Say what happened, in lower case, without the number of the status."""
    families = _OF_FAMILY[operation]
    told = (
        _OF_OPERATION[operation].get(status)
        or families.get(status >> 8)
        or families.get(status >> 12)
        or _PLAIN.get(status)
    )
    return told or f"a {category(status).value} that the standard does not name"


def failure_of(status: int, operation: Operation) -> OperationFailed:
    """Make the error of a final status, for whoever raises it."""
    return OperationFailed(
        f"{operation}: {describe(status, operation)}",
        status=status,
        is_transient=is_transient(status),
    )
