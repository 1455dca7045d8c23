"""What the numbers of refusals and aborts mean, in the Standard's words (PS3.8 §9.3.4, §9.3.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncdicom.errors import AssociationAborted, AssociationRejected

if TYPE_CHECKING:
    from asyncdicom.protocol.upper_layer.pdu import Abort, AssociateReject

__all__ = [
    "INVALID_PARAMETER",
    "RESULTS",
    "UNEXPECTED_PDU",
    "UNRECOGNIZED_PDU",
    "aborted",
    "describe_reject",
    "rejected",
]

RESULTS: Final = {
    0: "acceptance",
    1: "user rejection",
    2: "no reason (provider rejection)",
    3: "abstract syntax not supported (provider rejection)",
    4: "transfer syntaxes not supported (provider rejection)",
}
"""Results of presentation contexts (PS3.8 Table 9-18)."""

_SOURCES: Final = {
    1: "service user",
    2: "service provider (ACSE related function)",
    3: "service provider (presentation related function)",
}
_REJECT_REASONS: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""By source and reason (PS3.8 Table 9-21)."""

_TRANSIENT = 2

UNRECOGNIZED_PDU: Final = 1
UNEXPECTED_PDU: Final = 2
INVALID_PARAMETER: Final = 6
_ABORT_REASONS: Final = {
    0: "reason not specified",
    UNRECOGNIZED_PDU: "unrecognized PDU",
    UNEXPECTED_PDU: "unexpected PDU",
    4: "unrecognized PDU parameter",
    5: "unexpected PDU parameter",
    INVALID_PARAMETER: "invalid PDU parameter value",
}
"""Of the service provider (PS3.8 Table 9-26)."""

_PROVIDER = 2


def describe_reject(pdu: AssociateReject) -> str:
    """Return why, as in `called AE title not recognized`."""
    unknown = f"reason {pdu.reason} of source {pdu.source}"
    return _REJECT_REASONS.get((pdu.source, pdu.reason), unknown)


def rejected(pdu: AssociateReject) -> AssociationRejected:
    """Make the error of an A-ASSOCIATE-RJ."""
    is_transient = pdu.result == _TRANSIENT
    how = "for now" if is_transient else "for good"
    source = _SOURCES.get(pdu.source, "peer")
    return AssociationRejected(
        f"association rejected {how} by the {source}: {describe_reject(pdu)}",
        is_transient=is_transient,
    )


def aborted(pdu: Abort) -> AssociationAborted:
    """Make the error of an A-ABORT."""
    is_by_provider = pdu.source == _PROVIDER
    if is_by_provider:
        reason = _ABORT_REASONS.get(pdu.reason, f"reason {pdu.reason}")
        message = f"association aborted by the service provider: {reason}"
    else:
        message = "association aborted by the service user"
    return AssociationAborted(message, is_by_provider=is_by_provider, abort_reason=pdu.reason)
