"""A payload that came in one piece and has one part: the usual small answer (PS3.18 §8.6.1.2).

    part = only_part(payload, content_type)
    if part is None: ...                    # let the streaming parser judge
    content = payload[part.offset : part.end]

Strategy: most answers to a dump are one frame, or the metadata of one instance, and come in
one read. Judging them whole costs a fifth of what events cost. Only the exact shape that
servers write is understood; whatever is odd in the slightest is left to the streaming parser.

Rule: what is said here, the streaming parser would say as well (tested with crumbs of
delimiters); so there is one verdict, whatever the network cuts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.http_fields import content_length, field_values, parse_field_lines
from asyncdicom.protocol.media_types import boundary_of, is_multipart
from asyncdicom.protocol.multipart import MultipartLimits

if TYPE_CHECKING:
    from asyncdicom.model import Header

__all__ = ["OnlyPart", "only_part"]

_LIMITS = MultipartLimits()


class OnlyPart(NamedTuple):
    """Where the content of the part is."""

    headers: tuple[Header, ...]
    offset: int
    """Of the first content byte in the payload."""
    end: int
    """Behind the last one."""


class _Shape(NamedTuple):
    """What a payload of a multipart type begins and ends with."""

    delimiter_line: bytes
    delimiter: bytes
    close_lines: tuple[bytes, bytes]


def only_part(payload: bytes, content_type: str | None) -> OnlyPart | None:
    """Return the part of a whole payload, or None if that takes a closer look.

    Args:
        payload: All of it.
        content_type: Of the answer, or None without one.

    Raises:
        ProtocolError: If the type is multipart and names no usable boundary.

    """
    if content_type is None or not is_multipart(content_type):
        headers = () if content_type is None else (("content-type", content_type),)
        return OnlyPart(headers, 0, len(payload))
    shape = _shape_of(content_type)
    if not payload.startswith(shape.delimiter_line):
        return None
    start = len(shape.delimiter_line)
    header_end = payload.find(b"\r\n\r\n", start, start + _LIMITS.max_header_block_bytes) + 4
    if header_end < 4:
        return None
    # The first delimiter behind the headers has to be the close delimiter, at the very end.
    end = payload.find(shape.delimiter, header_end - 2)
    if end < header_end or payload[end:] not in shape.close_lines:
        return None
    parsed = _headers_of(payload[start:header_end], shape.delimiter)
    if parsed is None or parsed[1] not in (None, end - header_end):
        return None
    return OnlyPart(parsed[0], header_end, end)


@lru_cache(maxsize=16)
def _shape_of(content_type: str) -> _Shape:
    dash_boundary = b"--" + boundary_of(content_type)
    delimiter = b"\r\n" + dash_boundary
    close = delimiter + b"--"
    return _Shape(dash_boundary + b"\r\n", delimiter, (close, close + b"\r\n"))


# Most parts of a run have one of a few header blocks, or differ in their length alone.
@lru_cache(maxsize=256)
def _headers_of(block: bytes, delimiter: bytes) -> tuple[tuple[Header, ...], int | None] | None:
    """Return the fields of a header block and the length they announce; None if it is odd."""
    if delimiter in b"\r\n" + block:
        return None
    try:
        headers = parse_field_lines(block, max_headers=_LIMITS.max_headers, offset=0)
        return headers, content_length(field_values(headers, "content-length"))
    except ProtocolError:
        return None
