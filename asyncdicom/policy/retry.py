"""Which failures are worth another try, and after what pause: one table, no I/O.

Rules:
    1. The first row whose class the failure is an instance of decides.
    2. Only failures that another try can mend are retried: the network, a
       server under load, bytes damaged on the way. A refusal stays a refusal.
    3. A pause the server asks for (Retry-After) holds for the whole source and
       is never cut short, but it is capped: an absurd one must not park a job
       for a year (`MAX_RETRY_AFTER_S`).
"""

from __future__ import annotations

from asyncdicom.errors import (
    AssociationRejected,
    AsyncDicomError,
    ContentError,
    DigestMismatch,
    Doubtful,
    FetchError,
    Incomplete,
    LimitExceeded,
    NotAcceptable,
    NotFound,
    NotNegotiated,
    ObjectChanged,
    OperationFailed,
    OriginError,
    ProtocolError,
    RedirectRefused,
    StorageError,
    Throttled,
    TlsRejected,
    TransportError,
    UidMismatch,
    Unauthorized,
)
from asyncdicom.records import dataclass

__all__ = ["MAX_RETRY_AFTER_S", "RetryPolicy", "is_worth_another_try", "requested_pause_s"]

MAX_RETRY_AFTER_S = 300.0
"""Five minutes: longer than any restart of a server, shorter than an operator's patience."""

# RFC 9110 §15 and RFC 8470 §5.2: statuses that speak of the moment, not of the request.
TRANSIENT_STATUS_CODES = frozenset({408, 425, 429, 500, 502, 503, 504, 507})

_TABLE: tuple[tuple[type[AsyncDicomError], bool], ...] = (
    (TlsRejected, False),
    (TransportError, True),
    (Throttled, True),
    (Unauthorized, False),
    (NotFound, False),
    (NotAcceptable, False),
    (NotNegotiated, False),
    (RedirectRefused, False),
    # Another version is whole in itself: it is begun anew.
    (ObjectChanged, True),
    (LimitExceeded, False),
    # Bytes that break their framing were damaged or cut on the way.
    (ProtocolError, True),
    (Incomplete, True),
    (UidMismatch, True),
    (Doubtful, True),
    (DigestMismatch, True),
    (ContentError, False),
    (StorageError, False),
)


def is_worth_another_try(error: AsyncDicomError) -> bool:
    """Tell whether another try may mend a failure."""
    if isinstance(error, AssociationRejected | OperationFailed):
        return error.is_transient
    for kind, verdict in _TABLE:
        if isinstance(error, kind):
            return verdict
    if isinstance(error, OriginError):
        return error.status_code in TRANSIENT_STATUS_CODES
    return isinstance(error, FetchError)


def requested_pause_s(error: BaseException | None) -> float:
    """Return the pause the server asked for, in seconds, 0 to `MAX_RETRY_AFTER_S`."""
    if isinstance(error, OriginError) and error.retry_after_s is not None:
        return min(max(error.retry_after_s, 0.0), MAX_RETRY_AFTER_S)
    return 0.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a task is tried again."""

    retries: int = 3
    """Further tries after the first, at least 0."""
    first_pause_s: float = 0.25
    """Upper end of the first pause; doubles with each try, drawn at random below it."""
    longest_pause_s: float = 30.0
    """Upper end of any pause that the server did not ask for."""

    @property
    def in_place(self) -> int:
        """Retries made at once; the last one waits for the end of the queue."""
        return max(self.retries - 1, 0)

    @property
    def deferred(self) -> int:
        """Retries made at the end of the queue: by then a busy server may have recovered."""
        return min(self.retries, 1)
