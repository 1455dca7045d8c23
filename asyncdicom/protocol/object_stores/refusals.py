"""What an object store means by a status and its error body, as errors of ours.

    raise refusal_of(Refusal(404, "NoSuchKey"), what="object")

S3 answers with XML (`<Error><Code>`), Google with the same or, from its JSON interface, with
JSON (`{"error": {"errors": [{"reason": ...}]}}`); answers to HEAD have no body at all.

Rule: only the code, a word out of a known alphabet, is shown; the message of the server may
repeat what it was sent.
"""

from __future__ import annotations

import re
from typing import Final

from asyncdicom.errors import (
    AsyncDicomError,
    NotFound,
    ObjectChanged,
    OriginError,
    RedirectRefused,
    Throttled,
    Unauthorized,
    UnexpectedContent,
)
from asyncdicom.records import dataclass

__all__ = ["MAX_ERROR_BYTES", "Refusal", "read_refusal", "refusal_of"]

MAX_ERROR_BYTES: Final = 16 * 1024
"""An error body is a few hundred bytes; what is behind this is not read."""

_CODE = re.compile(rb"<(?:\w+:)?Code>\s*([A-Za-z0-9._-]{1,64})\s*</")
_REGION = re.compile(rb"<(?:\w+:)?Region>\s*([a-z0-9-]{1,32})\s*</")
# It becomes part of a host name.
_REGION_NAME = re.compile(r"[a-z0-9-]{1,32}")
_REASON = re.compile(r"[A-Za-z0-9._-]{1,64}")

EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
"""The credentials were good once: new ones of the same kind will do."""

_THROTTLING: Final = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "BandwidthLimitExceeded",
        "rateLimitExceeded",
        "userRateLimitExceeded",
    }
)
_UNSIGNED: Final = frozenset({"UnsupportedAlgorithm", "MissingSecurityHeader"})
"""What rclone and others say, with status 400, to a request without a signature."""
_NOTHING_THERE: Final = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "notFound"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that says no."""

    status_code: int
    code: str = ""
    """As the store calls it, or empty where it says nothing."""
    region: str | None = None
    """Where it says that the bucket is."""
    retry_after_s: float | None = None

    @property
    def is_throttling(self) -> bool:
        """Whether the store asks for patience."""
        return self.code in _THROTTLING or self.status_code in (429, 503)

    @property
    def is_expiry(self) -> bool:
        """Whether the credentials have expired."""
        return self.code in EXPIRED


def read_refusal(
    status_code: int, body: bytes, *, region: str | None = None, retry_after_s: float | None = None
) -> Refusal:
    """Read an error body, XML or JSON, whole or cut; it never fails.

    Args:
        status_code: Of the answer.
        body: Its first bytes; empty for HEAD.
        region: Of the field `x-amz-bucket-region`, or None.
        retry_after_s: What Retry-After says, or None.

    """
    found = _CODE.search(body)
    code = found[1].decode("ascii") if found is not None else _reason_in_json(body)
    if region is None and (said := _REGION.search(body)) is not None:
        region = said[1].decode("ascii")
    if region is not None and _REGION_NAME.fullmatch(region) is None:
        region = None
    return Refusal(status_code, code, region, retry_after_s)


def _reason_in_json(body: bytes) -> str:
    if body.lstrip()[:1] != b"{":
        return ""
    import json  # noqa: PLC0415 -- 1 ms of a start; few requests are refused

    try:
        error = json.loads(body)["error"]
        reason = error["errors"][0]["reason"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else ""


def refusal_of(refusal: Refusal, *, what: str, is_anonymous: bool = False) -> AsyncDicomError:
    """Return the error that a refusal is.

    Args:
        refusal: The answer.
        what: What was asked for: `object` or `bucket`.
        is_anonymous: Whether it was asked for without credentials.

    """
    status_code = refusal.status_code
    told = f"{refusal.code}, {status_code}" if refusal.code else str(status_code)
    kind, words = _kind_of(refusal, what)
    if is_anonymous and refusal.code in _UNSIGNED:
        kind, status_code = Unauthorized, 403
    is_told = refusal.is_expiry or refusal.code in _TOLD
    if kind is Unauthorized and status_code in (401, 403) and not is_told:
        words, hint = _closed(what, is_anonymous=is_anonymous)
        told = f"{told}; {hint}"
    message = f"{words} ({told})"
    if not issubclass(kind, OriginError):
        return UnexpectedContent(message)
    return kind(message, status_code=status_code, retry_after_s=refusal.retry_after_s)


def _closed(what: str, *, is_anonymous: bool) -> tuple[str, str]:
    # S3 tells nobody who may not list a bucket whether an object is there.
    doubt = ", or it is not there" if what == "object" else ""
    if is_anonymous:
        hint = "leave out --no-sign-request, or give --profile or --bearer"
        return f"without credentials the {what} does not open{doubt}", hint
    hint = "give another --profile, --request-payer where its owner does not pay, or "
    hint += "--no-sign-request if it is public"
    return f"these credentials do not open the {what}{doubt}", hint


def _kind_of(refusal: Refusal, what: str) -> tuple[type[OriginError | UnexpectedContent], str]:
    code, status_code = refusal.code, refusal.status_code
    if code in _NOTHING_THERE or status_code in (404, 410):
        return NotFound, "there is no such bucket" if code == "NoSuchBucket" else f"no such {what}"
    if refusal.is_throttling:
        return Throttled, "the store asks to slow down"
    if code in _TOLD:
        return _TOLD[code]
    if refusal.is_expiry:
        return Unauthorized, "the credentials have expired"
    if status_code in (401, 403, 407):
        return Unauthorized, f"the {what} does not open"
    if status_code == 412:
        return ObjectChanged, "the object is another version than before"
    if 300 <= status_code < 400:
        return RedirectRefused, "the bucket is elsewhere, and the store does not say where"
    if status_code < 400:
        return UnexpectedContent, f"the answer is no {what}"
    return OriginError, "the store refused" if status_code < 500 else "the store failed"


_TOLD: Final[dict[str, tuple[type[OriginError], str]]] = {
    "InvalidObjectState": (OriginError, "the object is archived and has to be restored first"),
    "RequestTimeTooSkewed": (OriginError, "the clock of this machine differs from the store's"),
    "InvalidRange": (OriginError, "the object ends before the bytes that were asked for"),
    "InvalidAccessKeyId": (Unauthorized, "the store does not know the access key"),
    "SignatureDoesNotMatch": (Unauthorized, "the secret key does not belong to the access key"),
}
"""What is told otherwise than by the status."""
