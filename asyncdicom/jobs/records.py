"""The record beside each dumped file: what was asked, what came, how long it took.

The keys `url`, `request` and `response` are fixed: people have scripts for
them. Times are milliseconds with fractions; a repeated field becomes a list;
credentials are replaced.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from asyncdicom.protocol.http_fields import REDACTED, headers_for_record
from asyncdicom.protocol.urls import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.errors import AsyncDicomError
    from asyncdicom.jobs.payload import PartRecord
    from asyncdicom.sources.transaction import Transaction

__all__ = ["build_record", "part_to_json"]


def build_record(
    transaction: Transaction,
    parts: Sequence[PartRecord],
    *,
    attempts: int,
    waiting_s: float,
    error: AsyncDicomError | None = None,
) -> bytes:
    """Return a record as JSON.

    Args:
        transaction: The request and its answer.
        parts: Parts of the payload, in order.
        attempts: Tries made, this one included.
        waiting_s: Seconds from taking up the task to sending the request.
        error: Why the target failed for good, or None.

    """
    sent = transaction.request.headers
    if transaction.sends_credentials:
        sent = (*sent, ("authorization", REDACTED))
    is_multipart = transaction.has_answer and bool(parts) and bool(parts[0].offset)
    record: dict[str, Any] = {
        "url": transaction.request.url
        if "?" not in transaction.request.url
        else shown(transaction.request.url),
        "request": {"headers": _repeated_fields(sent)},
        "response": _response(transaction, waiting_s) if transaction.has_answer else None,
        "multipart": [part_to_json(part) for part in parts] if is_multipart else [],
        "sha256": parts[0].sha256 if parts and not is_multipart else None,
        "attempts": attempts,
        "startedAt": transaction.started_at,
        "error": None if error is None else {"reason": error.reason, "message": str(error)},
    }
    return orjson.dumps(record, option=orjson.OPT_INDENT_2)


def part_to_json(part: PartRecord) -> dict[str, Any]:
    """Return one entry of `multipart`."""
    return {
        "headers": _repeated_fields(part.headers),
        "offset": part.offset,
        "length": part.length,
        "sha256": part.sha256,
    }


# What we send, and what servers write into parts, is the same again and again.
_repeated_fields = lru_cache(maxsize=128)(headers_for_record)


def _response(transaction: Transaction, waiting_s: float) -> dict[str, Any]:
    response = transaction.response
    return {
        "headers": headers_for_record(response.headers),
        "statusCode": response.status_code,
        "httpVersion": response.http_version,
        "timeWaitingInMS": round(waiting_s * 1000, 3),
        "timeToFirstByteInMS": round(transaction.first_byte_s * 1000, 3),
        "timeToLastByteInMS": round(transaction.last_byte_s * 1000, 3),
        "bytesDownloaded": transaction.bytes_downloaded,
    }
