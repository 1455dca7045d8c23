"""Media types with parameters: read, write, and find the boundary (RFC 9110 §8.3.1, §5.6.6).

    media_type = parse_media_type('multipart/related; type="application/dicom"; boundary=b1')
    media_type.essence, media_type.parameter("TYPE")   # "multipart/related", "application/dicom"

Rule: reading is tolerant where real servers are odd and the meaning is still
one only: blanks around `;` and `=`, empty parameters, a value with `/` that
should have been quoted (`type=application/dicom`). It refuses where a guess
would be needed: no slash, an open quote, two different boundaries.
Each pattern is possessive or without alternatives, hence linear.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from asyncdicom.errors import ProtocolError, UsageError
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MediaType",
    "accept_value",
    "boundary_of",
    "format_media_type",
    "is_multipart",
    "multipart_related",
    "parse_media_type",
]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_ESSENCE = re.compile(
    r"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)/([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*+(?=;|\Z)"
)
# `;`, then perhaps a name, and perhaps `=` with a quoted or bare value. A bare
# value reaches to the next `;`, so that `type=application/dicom` is read whole.
_PARAMETER = re.compile(
    r";[ \t]*+([^;=\" \t]*+)[ \t]*+"
    r"(?:=[ \t]*+(?:\"((?:[^\"\\]|\\.)*+)\"[ \t]*+|([^;\"]*+)))?(?=;|\Z)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or media range."""

    type: str
    """In lower case, or `*`."""
    subtype: str
    """In lower case, or `*`."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Names in lower case with values as sent, unquoted, in order."""

    @property
    def essence(self) -> str:
        """Type and subtype without parameters."""
        return f"{self.type}/{self.subtype}"

    def parameter(self, name: str) -> str | None:
        """Return the first value of a parameter, whatever the case of its name, or None."""
        wanted = name.lower()
        return next((value for key, value in self.parameters if key == wanted), None)


# A server sends the same few values again and again; 32 of the longest are 2 MB.
@lru_cache(maxsize=32)
def parse_media_type(text: str) -> MediaType:
    """Parse a Content-Type value.

    Cost: linear in the length of the text.

    Raises:
        ProtocolError: If there is no type and subtype, a quote stays open, or
            a control character occurs.

    """
    essence = _ESSENCE.match(text)
    if essence is None or _CONTROL.search(text) is not None:
        raise ProtocolError("not a media type")
    parameters = []
    position = essence.end()
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ProtocolError("broken parameter in a media type")
        position = match.end()
        name, quoted, bare = match.groups()
        if name and quoted is not None:
            parameters.append((name.lower(), re.sub(r"\\(.)", r"\1", quoted)))
        elif name and bare is not None:
            parameters.append((name.lower(), bare.rstrip(" \t")))
    return MediaType(essence[1].lower(), essence[2].lower(), tuple(parameters))


def format_media_type(media_type: MediaType) -> str:
    """Write a media type; values that are no token are quoted.

    Raises:
        UsageError: If a name is no token or a value holds a control character.

    """
    pieces = [media_type.essence]
    for name, value in media_type.parameters:
        if _TOKEN.fullmatch(name) is None or _CONTROL.search(value) is not None:
            raise UsageError("a parameter that no media type can carry")
        pieces.append(f"{name}={_quoted_if_needed(value)}")
    return "; ".join(pieces)


def _quoted_if_needed(value: str) -> str:
    if _TOKEN.fullmatch(value) is not None:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def is_multipart(content_type: str | None) -> bool:
    """Tell whether a Content-Type value announces a multipart payload."""
    return content_type is not None and content_type.lstrip(" \t").lower().startswith("multipart/")


def boundary_of(content_type: str) -> bytes:
    """Return the boundary parameter (RFC 2046 §5.1.1).

    Raises:
        ProtocolError: If the value is no media type, or the boundary is
            missing, empty, not ASCII, or given twice with different values.

    """
    media_type = parse_media_type(content_type)
    boundaries = {value for name, value in media_type.parameters if name == "boundary"}
    if len(boundaries) > 1:
        raise ProtocolError("two different boundary parameters")
    # RFC 2046 §5.1.1: a boundary does not end with white space.
    boundary = boundaries.pop().rstrip(" \t") if boundaries else ""
    if not boundary:
        raise ProtocolError("multipart payload without a boundary parameter")
    if not boundary.isascii():
        raise ProtocolError("boundary parameter is not ASCII")
    return boundary.encode("ascii")


def multipart_related(type_: str, *, transfer_syntax: str | None = "*") -> MediaType:
    """Build the media type of a Retrieve Transaction (PS3.18 §8.7.3.5.1, §8.7.3.5.2).

    Args:
        type_: Media type of the parts, such as `application/dicom`.
        transfer_syntax: UID, or `*` for whatever the server has stored, which
            avoids transcoding; None leaves the parameter out, which asks for
            the default Transfer Syntax.

    """
    parameters: tuple[tuple[str, str], ...] = (("type", type_),)
    if transfer_syntax is not None:
        parameters += (("transfer-syntax", transfer_syntax),)
    return MediaType("multipart", "related", parameters)


def accept_value(alternatives: Iterable[tuple[MediaType, float]]) -> str:
    """Build an Accept value (RFC 9110 §12.5.1, §12.4.2).

    Args:
        alternatives: Media ranges with their weight, 0 to 1; a weight of 1 is left out.

    Raises:
        UsageError: If there is no alternative, or a weight is outside of 0 to 1.

    """
    pieces = []
    for media_type, weight in alternatives:
        if not 0 <= weight <= 1:
            raise UsageError("a weight is 0 to 1")
        text = format_media_type(media_type)
        # RFC 9110 §12.4.2: at most three digits after the point.
        shown = f"{weight:.3f}".rstrip("0").rstrip(".")
        pieces.append(text if shown == "1" else f"{text};q={shown}")
    if not pieces:
        raise UsageError("an Accept value needs an alternative")
    return ", ".join(pieces)
