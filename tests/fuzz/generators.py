"""Hostile input by the crumb: delimiters and fields, broken at the places that matter."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from asyncdicom.protocol.multipart import MultipartLimits
from tests.support.chunking import cut

if TYPE_CHECKING:
    import random

__all__ = ["FieldCase", "MultipartCase", "case_from_json", "case_to_json", "random_case"]

BOUNDARIES = (b"B", b"b-", b"--", b"a b", b"x:y", b"=_b1", b"0123456789" * 7)
LIMITS = (
    *(None,) * 7,
    MultipartLimits(max_header_block_bytes=12, max_headers=2, max_parts=2),
    MultipartLimits(max_preamble_bytes=5, max_padding_bytes=1, max_header_block_bytes=31),
    MultipartLimits(max_preamble_bytes=0, max_padding_bytes=0, max_parts=1, max_boundary_bytes=4),
)
FIELD_CRUMBS = (
    *("multipart/related", "application/dicom", "a/b", "type", "boundary", "charset", "bytes"),
    *(";", "; ", "=", '"', '\\"', "\\", ",", ", ", " ", "\t", "/", "*", "-", ":", "_", "+"),
    *("0", "7", "10", "299", "299 - ", "Warning: ", "1.5", "9" * 20, "\u0663", "ä", "\0", "\r\n"),
    *("Sat, ", "Saturday, ", "Sat ", "21 Nov 2026 ", "21-Nov-26 ", "Nov 21 ", "12:00:30 ", "GMT"),
    *("Content-Length", "content-length: 5", "Authorization", "x", "\n", " \t", "text"),
)


@dataclass(frozen=True, slots=True)
class MultipartCase:
    """A payload, how it is cut, and under which limits it is read."""

    boundary: bytes
    payload: bytes
    places: tuple[int, ...] = ()
    limits: MultipartLimits | None = None

    def chunks(self) -> list[bytes]:
        return cut(self.payload, self.places)


@dataclass(frozen=True, slots=True)
class FieldCase:
    """Text that stands where a field value is expected."""

    text: str


def random_case(source: random.Random) -> MultipartCase | FieldCase:
    """Make a case: three payloads to one field value."""
    if source.random() < 0.25:
        return FieldCase("".join(source.choices(FIELD_CRUMBS, k=source.randint(0, 9))))
    boundary = source.choice(BOUNDARIES)
    payload = _random_payload(source, boundary)
    places = tuple(source.randint(0, len(payload)) for _ in range(source.randint(0, 3)))
    return MultipartCase(boundary, payload, places, source.choice(LIMITS))


def _random_payload(source: random.Random, boundary: bytes) -> bytes:
    if source.random() < 0.5:
        start = source.choice((b"", b"\r\n", b"p\r\n")) + b"--" + boundary
        line_end = source.choice((b"\r\n", b"\r\n", b"\n"))
        crumbs = source.choices(_crumbs(boundary), k=source.randint(0, 14))
        return b"".join((start, line_end, *crumbs))
    return _damaged(source, _sound_payload(source, boundary), boundary)


def _sound_payload(source: random.Random, boundary: bytes) -> bytes:
    line_end = source.choice((b"\r\n", b"\r\n", b"\n"))
    pieces = [source.choice((b"", b"", line_end, b"preamble" + line_end))]
    for _ in range(source.randint(1, 4)):
        body = b"".join(source.choices(_crumbs(boundary), k=source.randint(0, 4)))
        headers = [b"Content-Type: a/b" + line_end] * source.randint(0, 2)
        if source.random() < 0.3:
            announced = len(body) + source.choice((0, 0, 0, 1, -1))
            headers.append(b"Content-Length: %d" % announced + line_end)
        pieces += [b"--", boundary, line_end, *headers, line_end, body, line_end]
    return b"".join(
        [*pieces, b"--", boundary, source.choice((b"--", b"--\r\n", b"-- \n", b"--\rx"))]
    )


def _damaged(source: random.Random, payload: bytes, boundary: bytes) -> bytes:
    kind = source.randrange(6)
    at = source.randint(0, len(payload))
    if kind == 0:
        return payload[:at]
    if kind == 1:
        return payload[:at] + source.choice(_crumbs(boundary)) + payload[at:]
    if kind == 2:
        return payload[:at] + payload[at + source.randint(1, 4) :]
    return payload


def _crumbs(boundary: bytes) -> tuple[bytes, ...]:
    found = _CRUMBS.get(boundary)
    if found is None:
        dash = b"--" + boundary
        found = _CRUMBS[boundary] = (
            *(b"\r\n", b"\n", b"\r", b"-", b"--", b" ", b"\t", b"x", b"\0", b":", boundary, dash),
            *(dash[:-1], b"\r\n" + dash, b"\r\n" + dash + b"\r\n", b"\r\n" + dash + b"--"),
            *(b"\n" + dash + b"\n", b"\n" + dash + b"--\n", b"\r\n" + dash + b"--\r\n"),
            *(b"\r\n" + dash + b" \t\r\n", b"\r\n" + dash + b"--x", b"\r\n" + dash + b"x\r\n"),
            *(b"\r\n\r\n", b"\n\n", b"H: v\r\n", b"H: v\r\n\r\n", b"h:\n", b" fold\r\n"),
            *(b"Content-Length: 2\r\n", b"content-length:0\r\n\r\n", b"Content-Length: x\r\n"),
        )
    return found


_CRUMBS: dict[bytes, tuple[bytes, ...]] = {}


def case_to_json(case: MultipartCase | FieldCase, why: str) -> str:
    """Write a case for the corpus."""
    content: dict[str, Any] = {"why": why}
    if isinstance(case, FieldCase):
        content["text"] = case.text
    else:
        content["boundary"] = case.boundary.decode("latin-1")
        content["payload"] = base64.b64encode(case.payload).decode("ascii")
        content["places"] = case.places
        content["limits"] = None if case.limits is None else asdict(case.limits)
    return json.dumps(content, indent=1) + "\n"


def case_from_json(text: str) -> MultipartCase | FieldCase:
    """Read a case of the corpus."""
    content = json.loads(text)
    if "text" in content:
        return FieldCase(content["text"])
    return MultipartCase(
        boundary=content["boundary"].encode("latin-1"),
        payload=base64.b64decode(content["payload"]),
        places=tuple(content["places"]),
        limits=None if content["limits"] is None else MultipartLimits(**content["limits"]),
    )
