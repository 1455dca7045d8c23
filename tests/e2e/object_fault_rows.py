"""What each fault of a bucket has to lead to: for objects, lists, and parts of large objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

__all__ = ["LISTS", "PARTS", "ROWS", "ListRow", "PartRow", "Row"]

NOWHERE = "http://127.0.0.1:1/dicom/x.dcm"


@dataclass(frozen=True, slots=True)
class Row:
    """What a fault of an object has to lead to."""

    fault: str
    reasons: frozenset[str] = frozenset()
    """Reasons with which the victim may be reported; none if the fault is harmless."""
    is_mended: bool = True
    """Whether a second try brings the victim: the fault speaks of the moment."""

    def of(self, kinds: str, *options: str) -> str:
        """Spell the fault for some kinds of requests."""
        name, _, own = self.fault.partition(":")
        told = ",".join(filter(None, (*options, own)))
        return f"{name}:{kinds}:{told}" if told else f"{name}:{kinds}"


@dataclass(frozen=True, slots=True)
class PartRow(Row):
    """What a fault of the parts of a large object has to lead to."""


@dataclass(frozen=True, slots=True)
class ListRow(Row):
    """What a fault of lists has to lead to."""

    code: int = 1


def row(fault: str, *reasons: str, name: str, **settings: Any) -> Any:
    return pytest.param(Row(fault, frozenset(reasons), **settings), id=name)


def list_row(fault: str, *reasons: str, name: str, **settings: Any) -> Any:
    return pytest.param(ListRow(fault, frozenset(reasons), **settings), id=name)


def part_row(fault: str, *reasons: str, name: str, **settings: Any) -> Any:
    return pytest.param(PartRow(fault, frozenset(reasons), **settings), id=name)


LOST = ("connection-lost",)
OTHER = ("object-changed", "truncated", "protocol-error", "unexpected-content")
"""Not what was listed: a server that answers so may mean any of these."""
REFUSED = {"is_mended": False}

ROWS = [
    row("truncate", "truncated", name="ends early, and says so"),
    row("truncate:at=0", "truncated", name="ends before anything"),
    row("cut", *LOST, name="connection closed in the middle"),
    row("cut:at=head", *LOST, name="connection closed before the head"),
    row("reset", *LOST, name="TCP reset in the middle"),
    row("stall:at=0", "stalled", name="silence behind the head"),
    row("stall:at=head", "stalled", name="silence before the head"),
    row("delay:s=0.1", name="a head that is late but comes"),
    row("delay:s=inf", "stalled", name="a head that never comes"),
    row("drip:rate=20000", name="a slow body"),
    row("drip", "stalled", name="a body that trickles"),
    row("length", *LOST, *OTHER, name="Content-Length above the body"),
    row("length:by=-10", *LOST, *OTHER, name="Content-Length below the body"),
    row("corrupt", "digest-mismatch", name="a flipped bit breaks the structure"),
    row("corrupt:at=-1", "digest-mismatch", name="a flipped bit in the pixels"),
    row("endless-header", "protocol-error", "limit-exceeded", *LOST, name="a head without end"),
    row("gzip-bomb:size=2e7", *OTHER, name="a gzip bomb"),
    row("html-200", *OTHER, name="a login page with status 200"),
    row("empty", *OTHER, name="200 without content"),
    row("error-200", *OTHER, name="200 with an error in the body"),
    row("redirect", "redirect-refused", **REFUSED, name="a redirect in a circle"),
    row(f"redirect:to={NOWHERE}", "redirect-refused", **REFUSED, name="a redirect to nowhere"),
    row("wrong-etag", "object-changed", name="another ETag"),
    row("no-etag", name="no ETag"),
    row("wrong-checksum", "digest-mismatch", name="another checksum"),
    row("changed", "object-changed", name="another version behind an old head"),
    row("204", "unexpected-content", **REFUSED, name="204"),
    row("206", "protocol-error", name="206 without asking"),
    row("400", "origin-error", **REFUSED, name="400"),
    row("400:as=ExpiredToken", "unauthorized", **REFUSED, name="an expired token"),
    row("401", "unauthorized", **REFUSED, name="401"),
    row("403", "unauthorized", **REFUSED, name="403"),
    row("404", "not-found", **REFUSED, name="listed, but not there"),
    row("412", "object-changed", name="412 without a condition"),
    row("416", "origin-error", **REFUSED, name="416 without a range"),
    row("429", "throttled", name="429"),
    row("500", "origin-error", name="500"),
    row("503", "throttled", name="503 SlowDown"),
    row("503:retry-after=0", "throttled", name="503 with Retry-After"),
]

BROKEN = ("truncated", "protocol-error", *LOST)
LISTS = [
    list_row("truncate", *BROKEN, name="a list that is cut, and says so"),
    list_row("truncate:at=0", *BROKEN, name="a list of nothing"),
    list_row("cut", *LOST, code=5, name="connection closed within the list"),
    list_row("reset:at=head", *LOST, code=5, name="TCP reset before the list"),
    list_row("stall", "stalled", code=5, name="silence within the list"),
    list_row("delay:s=inf", "stalled", code=5, name="no list ever"),
    list_row("length:by=-10", *BROKEN, name="Content-Length below the list"),
    list_row("html-200", *BROKEN, name="a login page instead of the list"),
    list_row("error-200", *BROKEN, name="an error with status 200"),
    list_row("empty", *BROKEN, name="200 without a list"),
    list_row("corrupt:at=100", *BROKEN, name="a flipped bit in the list"),
    list_row("gzip-bomb:size=2e7", "limit-exceeded", *BROKEN, name="a bomb"),
    list_row("endless-page", "limit-exceeded", **REFUSED, name="a page without end"),
    list_row("missing-token", "protocol-error", name="more, but not how"),
    list_row("redirect", "redirect-refused", **REFUSED, name="a bucket that is elsewhere"),
    list_row("204", "unexpected-content", **REFUSED, code=5, name="204 for a list"),
    list_row("403", "unauthorized", **REFUSED, code=5, name="403 for a list"),
    list_row("404", "not-found", **REFUSED, code=4, name="no such bucket"),
    list_row("500", "origin-error", name="500 for a list"),
    list_row("503:retry-after=0", "throttled", name="503 for a list"),
    list_row("wrong-size", name="sizes that are too large"),
    list_row("wrong-size:by=-1", name="sizes that are too small"),
    list_row("wrong-etag", name="ETags of something else"),
    list_row("no-etag", name="no ETags"),
    list_row("duplicate-key", name="keys that are listed twice"),
]

PARTS = [
    part_row("range-200", name="a part with status 200"),
    part_row("wrong-range", "protocol-error", name="bytes of another place than named"),
    part_row("other-range", "protocol-error", name="another part than asked for"),
    part_row("changed", "object-changed", name="another version than listed"),
    part_row("changed:after=2", "object-changed", name="another version from the third part on"),
    part_row("wrong-etag:after=2", "object-changed", name="another ETag from the third part on"),
    part_row("no-etag", name="no ETag"),
    part_row("416", "origin-error", **REFUSED, name="416 for a part"),
    part_row("404:after=2", "not-found", **REFUSED, name="deleted while it comes"),
    part_row("412:after=2", "object-changed", name="412 from the third part on"),
    part_row("503:after=1", "throttled", name="503 for parts"),
    part_row("truncate:at=1000", *OTHER, name="a part that ends early, and says so"),
    part_row("length:by=-10", *LOST, *OTHER, name="a part with too short a Content-Length"),
    part_row("cut:at=0", *LOST, name="parts that break before a byte"),
    part_row("reset:at=0", *LOST, name="parts that are reset"),
    part_row("stall:at=0", "stalled", name="silence within parts"),
    part_row("corrupt:at=500", "digest-mismatch", name="flipped bits in parts"),
    part_row("empty", *OTHER, name="200 without content for a part"),
    part_row("html-200", *OTHER, name="a login page for a part"),
]
