"""Which media type and Transfer Syntax an answer gets (PS3.18 §8.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Offer", "Range", "choose", "parse_accept"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A media type that can be produced."""

    media_type: str
    is_multipart: bool
    """Whether it travels as a part of multipart/related."""


@dataclass(frozen=True, slots=True)
class Range:
    """One media range of an Accept field (RFC 9110 §12.5.1)."""

    media_type: str
    """Lower case, `*` allowed; of the parts, where it is multipart/related."""
    is_multipart: bool
    transfer_syntax: str | None
    """UID, `*`, or None where the parameter is absent."""
    quality: float

    def matches(self, offer: Offer) -> bool:
        """Tell whether the offer lies in the range."""
        if self.media_type == "*/*" and not self.is_multipart:
            return True
        if self.is_multipart is not offer.is_multipart:
            return False
        kind, _, subtype = self.media_type.partition("/")
        offered_kind, _, offered_subtype = offer.media_type.partition("/")
        return kind in {"*", offered_kind} and subtype in {"*", offered_subtype}


def parse_accept(field: str | None) -> list[Range]:
    """Read an Accept field; best range first. An absent field accepts anything."""
    texts = split_outside_quotes(field or "*/*", ",")
    ranges = [parse_range(text) for text in texts if text.strip()]
    return sorted((r for r in ranges if r.quality > 0), key=lambda r: -r.quality)


def parse_range(text: str) -> Range:
    """Read one media range with its parameters."""
    media_type, *rest = (piece.strip() for piece in split_outside_quotes(text, ";"))
    pairs = (piece.partition("=") for piece in rest)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    media_type = media_type.lower()
    is_multipart = media_type in {"multipart/related", "multipart/*"}
    return Range(
        media_type=parameters.get("type", "*/*").lower() if is_multipart else media_type,
        is_multipart=is_multipart,
        transfer_syntax=parameters.get("transfer-syntax"),
        quality=quality_of(parameters.get("q", "1")),
    )


def quality_of(text: str) -> float:
    """Read a weight (RFC 9110 §12.4.2); what is no number counts as 1."""
    try:
        return float(text)
    except ValueError:
        return 1.0


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split, but not inside of quoted strings."""
    pieces = [""]
    is_quoted = False
    for character in text:
        is_quoted ^= character == '"'
        if character == separator and not is_quoted:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def choose(ranges: Iterable[Range], offers: Iterable[Offer]) -> tuple[Offer, Range] | None:
    """Return the first offer that the best possible range accepts, or None for a 406."""
    candidates = list(offers)
    pairs = ((offer, wanted) for wanted in ranges for offer in candidates)
    return next((pair for pair in pairs if pair[1].matches(pair[0])), None)
