"""What can go wrong, first split by who can act.

* `AsyncDicomError`: everything a caller may want to handle
    * `ConfigError`: the user can act (an option, a URL, a path)
        * `InvalidUid`
    * `FetchError`: the other side, or the way there
        * `TransportError`: bytes did not flow
            * `Unreachable`: no connection was made (name, route, refused, time-out)
                * `TlsRejected`: no trust was established
            * `AssociationRejected`: the peer refuses the association (A-ASSOCIATE-RJ)
            * `ConnectionLost`: the connection or stream ended before its answer did
                * `AssociationAborted`: the peer sent A-ABORT
            * `Stalled`: bytes stopped flowing, or trickled
        * `OriginError`: an answer whose status says no
            * `Throttled`: 429 or 503
            * `Unauthorized`: 401, 403 or 407
            * `NotFound`: 404 or 410
            * `NotAcceptable`: 406 or 415
            * `RedirectRefused`: a redirect that must not be followed
            * `ObjectChanged`: 412, the object is another version than before
        * `OperationFailed`: a DIMSE operation ended with a status that says no
        * `NotNegotiated`: the peer accepted no presentation context for it
        * `ProtocolError`: bytes that break their standard
            * `Truncated`: the bytes ended before their framing said so
            * `LimitExceeded`: a bound of ours, so that memory stays bounded
        * `ContentError`: whole, but not what was asked for
            * `UidMismatch`
            * `UnexpectedContent`: another media type, an empty answer
            * `DigestMismatch`: the bytes are not those of the digest promised
            * `Doubtful`: structurally whole, but something that should be there is not
            * `Incomplete`: fewer instances than expected, or status 206
    * `StorageError`: this machine
        * `DiskFull`
        * `NameTaken`: the final name exists
        * `UnsafeName`: a name that would leave the output folder
    * `RunAborted`: policy ended the run
* `UsageError` (a `RuntimeError`): the program is wrong, not the world

Rule: exceptions hold facts; `__str__` makes one line in lower case without a period.
`policy/retry.py` alone decides about another try. No payload, credentials or patient data here.
"""

from __future__ import annotations

__all__ = [
    "AssociationAborted",
    "AssociationRejected",
    "AsyncDicomError",
    "ConfigError",
    "ConnectionLost",
    "ContentError",
    "DigestMismatch",
    "DiskFull",
    "Doubtful",
    "FetchError",
    "Incomplete",
    "InvalidUid",
    "LimitExceeded",
    "NameTaken",
    "NotAcceptable",
    "NotFound",
    "NotNegotiated",
    "ObjectChanged",
    "OperationFailed",
    "OriginError",
    "ProtocolError",
    "RedirectRefused",
    "RunAborted",
    "Stalled",
    "StorageError",
    "Throttled",
    "TlsRejected",
    "TransportError",
    "Truncated",
    "UidMismatch",
    "Unauthorized",
    "UnexpectedContent",
    "Unreachable",
    "UnsafeName",
    "UsageError",
]

MAX_SHOWN_CHARACTERS = 512
"""Of a path in a message, fit for one line of any terminal; one name alone may have 255 bytes."""


class AsyncDicomError(Exception):
    """Base of everything a caller may want to handle.

    Attributes:
        message: What happened, in one line.

    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    @property
    def reason(self) -> str:
        """Kebab-case name of the failure, stable for reports and scripts."""
        name = type(self).__name__
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


class UsageError(RuntimeError):
    """The program is wrong, not the world: an object was driven against its rules."""


class ConfigError(AsyncDicomError):
    """An option, a URL or a path that the user has to mend.

    Attributes:
        hint: What to do next, or an empty string.

    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class InvalidUid(ConfigError):
    """Text that is not a UID (PS3.5 §9.1)."""


class FetchError(AsyncDicomError):
    """The other side, or the way there."""


class TransportError(FetchError):
    """Bytes did not flow.

    Attributes:
        origin: `scheme://host:port` that was spoken to; never holds credentials.
    """

    def __init__(self, message: str, *, origin: str = "") -> None:
        super().__init__(message)
        self.origin = origin

    def __str__(self) -> str:
        return f"{self.message} ({self.origin})" if self.origin else self.message


class Unreachable(TransportError):
    """No connection was made: name, route, refused, or time-out while connecting."""


class TlsRejected(Unreachable):
    """No trust was established: certificate, host name, protocol version."""


class ConnectionLost(TransportError):
    """The connection or stream ended before its answer did (reset, GOAWAY, early end)."""

    in_body = False
    """Whether the head of an answer had come."""


class AssociationAborted(ConnectionLost):
    """The peer sent A-ABORT (PS3.8 §9.3.8).

    Attributes:
        is_by_provider: Whether its upper layer did, not its application.
        abort_reason: Reason/Diag. field, 0 to 255.

    """

    def __init__(
        self, message: str, *, origin: str = "", is_by_provider: bool = False, abort_reason: int = 0
    ) -> None:
        super().__init__(message, origin=origin)
        self.is_by_provider = is_by_provider
        self.abort_reason = abort_reason


class AssociationRejected(TransportError):
    """The peer refuses the association (A-ASSOCIATE-RJ, PS3.8 §9.3.4).

    Attributes:
        is_transient: Whether it may accept later: it is busy, not unwilling.

    """

    def __init__(self, message: str, *, origin: str = "", is_transient: bool = False) -> None:
        super().__init__(message, origin=origin)
        self.is_transient = is_transient


class Stalled(TransportError):
    """Bytes stopped flowing, or trickled below the minimum throughput."""


class OriginError(FetchError):
    """An answer whose status says no.

    Attributes:
        status_code: HTTP status.
        retry_after_s: Pause the server asked for, in seconds, or None.

    """

    def __init__(
        self, message: str, *, status_code: int, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.retry_after_s = retry_after_s


class Throttled(OriginError):
    """The server asks for patience: 429 Too Many Requests or 503 Service Unavailable."""


class Unauthorized(OriginError):
    """The server wants other credentials: 401, 403 or 407."""


class NotFound(OriginError):
    """The target does not exist (any more): 404 or 410."""


class NotAcceptable(OriginError):
    """The server cannot answer in a media type we accept: 406 or 415."""


class RedirectRefused(OriginError):
    """A redirect that must not be followed: loop, too many hops, or https to http."""


class ObjectChanged(OriginError):
    """412: the object is another version than the one that was begun with."""


class OperationFailed(FetchError):
    """A DIMSE operation ended with a status that says no (PS3.7 Annex C).

    Attributes:
        status: As sent, 0 to FFFF.
        is_transient: Whether the peer may manage it later (out of resources).

    """

    def __init__(self, message: str, *, status: int, is_transient: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_transient = is_transient

    def __str__(self) -> str:
        return f"{self.message} (status {self.status:04X})"


class NotNegotiated(FetchError):
    """The peer accepted no presentation context for what is needed (PS3.8 §7.1.1.14).

    Attributes:
        abstract_syntaxes: SOP Class UIDs that were refused.

    """

    def __init__(self, message: str, *, abstract_syntaxes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.abstract_syntaxes = abstract_syntaxes


class ProtocolError(FetchError):
    """Bytes that break their standard.

    Attributes:
        offset: Where, in bytes from the start of the payload, or None.

    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset

    def __str__(self) -> str:
        return self.message if self.offset is None else f"{self.message} at byte {self.offset}"


class Truncated(ProtocolError):
    """The bytes ended before their framing said so."""


class LimitExceeded(ProtocolError):
    """A bound of ours was met, so that memory stays bounded."""


class ContentError(FetchError):
    """Whole, but not what was asked for."""


class UidMismatch(ContentError):
    """The SOP Instance UID received is not the one asked for.

    Attributes:
        expected: UID asked for.
        received: UID found in the file.

    """

    def __init__(self, *, expected: str, received: str) -> None:
        super().__init__(f"asked for instance {expected}, received {received}")
        self.expected = expected
        self.received = received


class DigestMismatch(ContentError):
    """The bytes are not those that the store, an index or a record promised."""


class UnexpectedContent(ContentError):
    """Another media type than asked for, or an answer without content."""


class Doubtful(ContentError):
    """Structurally whole, but something that should be there is not: cut, or held just so."""


class Incomplete(ContentError):
    """Fewer instances than expected, or status 206 (PS3.18 §10.4).

    Attributes:
        expected: Count that was expected, or None where nobody said.
        received: Count that arrived whole.
        missing: SOP Instance UIDs of what did not, as far as they are known.

    """

    def __init__(
        self, message: str, *, expected: int | None, received: int, missing: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.expected = expected
        self.received = received
        self.missing = missing


class StorageError(AsyncDicomError):
    """This machine could not keep what was received.

    Attributes:
        path: The file or folder concerned.
        hint: What to do next, or an empty string.

    """

    def __init__(self, message: str, *, path: str, hint: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        limit = MAX_SHOWN_CHARACTERS
        kept = self.path if len(self.path) <= limit else f"{self.path[: limit - 3]}..."
        shown = kept if kept.isprintable() else kept.encode("unicode_escape").decode("ascii")
        return f"{self.message}: {shown}; {self.hint}" if self.hint else f"{self.message}: {shown}"


class DiskFull(StorageError):
    """No space, no inodes or no quota left."""


class NameTaken(StorageError):
    """The final name exists, and what it holds is not to be replaced.

    Attributes:
        existing_byte_count: Size of what stands there, or None if it is not a file.
        is_identical: Whether what stands there has the very bytes that were to be stored.

    """

    def __init__(
        self,
        message: str,
        *,
        path: str,
        existing_byte_count: int | None = None,
        is_identical: bool = False,
    ) -> None:
        super().__init__(message, path=path)
        self.existing_byte_count = existing_byte_count
        self.is_identical = is_identical


class UnsafeName(StorageError):
    """A name that would leave the output folder, or that no file system can hold."""


class RunAborted(AsyncDicomError):
    """Policy ended the run before everything was tried."""
