"""What a payload came to: told by the parser, and by a reference that reads it in one go.

The reference shares no code with the parser: it sees the whole payload and works with regular
expressions over it, so it is simple, and too slow and too hungry for real payloads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.multipart import MultipartLimits, MultipartParser
from asyncdicom.protocol.payload_events import (
    PartBegan,
    PartData,
    PartEnded,
    PayloadEnded,
    PayloadParser,
    drain,
)
from tests.support.chunking import feedings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncdicom.model import Buffer, Header

__all__ = ["Part", "Verdict", "contents", "fed_each_way", "parse", "reference", "verdict_of"]


@dataclass(slots=True)
class Part:
    """A part, complete or not."""

    headers: tuple[Header, ...]
    offset: int
    content: bytes = b""


@dataclass(slots=True)
class Verdict:
    """Complete parts, the one that had begun, and the error, if any."""

    parts: list[Part] = field(default_factory=list)
    begun: Part | None = None
    """Its content is left out of comparison: how much of it is passed on is nobody's promise."""
    error: type[ProtocolError] | None = None
    error_offset: int | None = None
    is_whole: bool = False

    def facts(self) -> tuple[object, ...]:
        """Return what parser and reference must agree on."""
        begun = None if self.begun is None else (self.begun.headers, self.begun.offset)
        parts = [(p.headers, p.offset, p.content) for p in self.parts]
        return parts, begun, self.error, self.is_whole


def parse(
    chunks: Iterable[Buffer], boundary: bytes, limits: MultipartLimits | None = None
) -> Verdict:
    """Drive the parser over chunks."""
    try:
        parser = MultipartParser(boundary, limits=limits)
    except ProtocolError as error:
        return Verdict(error=type(error), error_offset=error.offset)
    return verdict_of(parser, chunks)


def verdict_of(parser: PayloadParser, chunks: Iterable[Buffer]) -> Verdict:
    """Drive any payload parser over chunks, and check the order of its events."""
    verdict = Verdict()
    pieces: list[bytes | memoryview] = []
    try:
        for event in _events(parser, chunks):
            assert not verdict.is_whole, "nothing follows the end of the payload"
            match event:
                case PartBegan(headers, offset):
                    assert verdict.begun is None, "parts do not overlap"
                    verdict.begun, pieces = Part(headers, offset), []
                case PartData(data):
                    assert len(data), "no empty data"
                    pieces.append(data)
                case PartEnded(byte_count):
                    assert verdict.begun is not None, "what ends has begun"
                    verdict.begun.content = b"".join(pieces)
                    assert byte_count == len(verdict.begun.content), "the count is true"
                    verdict.parts.append(verdict.begun)
                    verdict.begun, pieces = None, []
                case PayloadEnded(parts):
                    assert verdict.begun is None, "the last part ends before the payload"
                    assert parts == len(verdict.parts), "the count is true"
                    verdict.is_whole = True
    except ProtocolError as error:
        verdict.error, verdict.error_offset = type(error), error.offset
        if verdict.begun is not None:
            verdict.begun.content = b"".join(pieces)
    return verdict


def _events(
    parser: PayloadParser, chunks: Iterable[Buffer]
) -> Iterator[PartBegan | PartData | PartEnded | PayloadEnded]:
    for chunk in chunks:
        parser.receive_data(chunk)
        yield from drain(parser)
    parser.receive_eof()
    yield from drain(parser)


def fed_each_way(payload: bytes, boundary: bytes, limits: MultipartLimits | None = None) -> Verdict:
    """Feed a payload whole, bytewise and cut at every offset; return the verdict they share."""
    verdicts = [parse(chunks, boundary, limits) for chunks in feedings(payload)]
    first = verdicts[0]
    assert all(verdict.facts() == first.facts() for verdict in verdicts)
    assert {verdict.error_offset for verdict in verdicts} == {first.error_offset}
    return first


def contents(verdict: Verdict) -> list[bytes]:
    """Return the contents of a payload that must be whole."""
    assert verdict.error is None, verdict.error
    assert verdict.is_whole
    return [part.content for part in verdict.parts]


def reference(payload: bytes, boundary: bytes, limits: MultipartLimits | None = None) -> Verdict:
    """Judge a whole payload in one go."""
    verdict = Verdict()
    try:
        _Reference(payload, boundary, limits or MultipartLimits()).read(verdict)
    except ProtocolError as error:
        verdict.error = type(error)
    return verdict


class _Reference:
    def __init__(self, payload: bytes, boundary: bytes, limits: MultipartLimits) -> None:
        boundary = boundary.rstrip(b" \t")
        if not boundary or {*b"\r\n"} & {*boundary}:
            raise ProtocolError("boundary")
        if len(boundary) > limits.max_boundary_bytes:
            raise LimitExceeded("boundary")
        self.payload, self.limits = payload, limits
        self.dash = b"--" + boundary
        # The last alternative is a close delimiter that the payload ends with.
        self.tail = re.escape(self.dash) + rb"(--)?([ \t]*)(\r?\n|\r?\Z)?"

    def read(self, verdict: Verdict) -> None:
        first = self._first_delimiter()
        if first[1]:
            raise ProtocolError("no part")
        at = first.end()
        line_end = b"\r\n" if self.payload[:at].endswith(b"\r\n") else b"\n"
        is_closed = False
        while not is_closed:
            if len(verdict.parts) >= self.limits.max_parts:
                raise LimitExceeded("parts")
            content_at, headers = self._headers(at)
            verdict.begun = Part(headers, content_at)
            search_at = content_at
            if self.payload[:content_at].endswith(line_end):
                search_at -= len(line_end)
            delimiter = self._next(re.escape(line_end) + self.tail, search_at)
            if delimiter is None:
                raise Truncated("cut")
            content = self.payload[content_at : max(delimiter.start(), content_at)]
            announced = {
                int(v) for name, value in headers if _is_length(name) for v in value.split(",")
            }
            if announced and announced != {len(content)}:
                raise ProtocolError("length")
            verdict.begun.content = content
            verdict.parts.append(verdict.begun)
            verdict.begun = None
            at, is_closed = delimiter.end(), delimiter[1] is not None
        verdict.is_whole = True

    def _first_delimiter(self) -> re.Match[bytes]:
        limit = self.limits.max_preamble_bytes
        found = self._next(rb"(?:\A|(?<=\n))" + self.tail, 0, last_start=limit)
        if found is not None:
            if found.start() > limit:
                raise LimitExceeded("preamble")
            return found
        # No delimiter so far: the earliest place where one may still begin.
        line_at = self.payload.rfind(b"\n") + 1
        last_line = self.payload[line_at:]
        may_grow = re.fullmatch(re.escape(self.dash) + rb"(-|(--)?[ \t]*\r?)", last_line)
        is_open = self.dash.startswith(last_line) or may_grow
        earliest = line_at if is_open else len(self.payload) + 1
        raise (LimitExceeded if earliest > limit else Truncated)("no delimiter")

    def _next(
        self, pattern: bytes, at: int, last_start: int | None = None
    ) -> re.Match[bytes] | None:
        for match in re.compile(pattern).finditer(self.payload, at):
            if last_start is not None and match.start() > last_start:
                raise LimitExceeded("preamble")
            if len(match[2]) > self.limits.max_padding_bytes:
                raise LimitExceeded("padding")
            if match[3] is None:
                continue
            if match[3].endswith(b"\n") or match[1]:
                return match
        return None

    def _headers(self, at: int) -> tuple[int, tuple[Header, ...]]:
        room = self.limits.max_header_block_bytes
        empty = re.compile(rb"\n\r?\n").search(self.payload, at - 1)
        if empty is None or empty.end() - at > room:
            enough = empty is not None or len(self.payload) - at >= room
            raise (LimitExceeded if enough else Truncated)("headers")
        lines = self.payload[at : empty.end()].decode("latin-1").split("\n")[:-2]
        if any(line.startswith(self.dash.decode("latin-1")) for line in lines):
            raise ProtocolError("delimiter in headers")
        if len(lines) > self.limits.max_headers:
            raise LimitExceeded("headers")
        return empty.end(), _fields([line.removesuffix("\r") for line in lines])


def _fields(lines: list[str]) -> tuple[Header, ...]:
    unfolded: list[list[str]] = []
    for line in lines:
        if re.search("[\r\0]", line) or (line[:1] in (" ", "\t") and not unfolded):
            raise ProtocolError("line")
        if line[:1] in (" ", "\t"):
            unfolded[-1].append(line.strip(" \t"))
        else:
            unfolded.append([line])
    fields = []
    for first, *folds in unfolded:
        match = re.fullmatch(r"([\w!#$%&'*+.^`|~-]+)[ \t]*:[ \t]*(.*)", first, re.ASCII | re.DOTALL)
        if match is None:
            raise ProtocolError("line")
        value = match[2].rstrip(" \t")
        for fold in folds:
            value = f"{value} {fold}".strip(" ")
        fields.append((match[1], value))
    if (
        len({_length(v) for name, value in fields if _is_length(name) for v in value.split(",")})
        > 1
    ):
        raise ProtocolError("length")
    return tuple(fields)


def _is_length(name: str) -> bool:
    return name.lower() == "content-length"


def _length(text: str) -> int:
    if re.fullmatch("0*[0-9]{1,18}", text.strip(" \t")) is None:
        raise ProtocolError("length")
    return int(text)
