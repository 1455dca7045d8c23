r"""Multipart payloads, parsed as they arrive (PS3.18 §8.6.1.2.1, RFC 2046 §5.1.1).

    parser = MultipartParser(boundary_of(content_type))
    for chunk in chunks:
        parser.receive_data(chunk)
        for event in drain(parser):
            handle(event)
    parser.receive_eof()               # raises Truncated unless the payload is whole
    for event in drain(parser):        # the last part may end only here
        handle(event)

Strategy: one pass with `bytes.find`. Held back between two chunks is only what
may still turn out to be a delimiter or a header block; content is passed on at once.

Rule (delimiter): the boundary counts at the beginning of a line only, and only
if nothing but `--`, transport padding and a line end follow. Anything else is
content, so a look-alike in pixel data, or a nested boundary that continues ours,
splits nothing (RFC 2046 §5.1.1 would let the beginning of a line suffice).

Rule (line ends): the first delimiter line of a payload says whether its lines
end with CRLF or with LF. In a CRLF payload the CRLF before a delimiter belongs
to the delimiter, and a lone LF there is content: a part that ends in "\n" keeps
it. In an LF payload only the LF belongs to the delimiter, and a CR before it is
content. So no content byte is ever lost; a server that changes its mind half-way
ends in `Truncated`. Behind a delimiter and in headers both line ends are understood.

Rule (shared line end): right behind a header block, the empty line may serve as
the line end before the next delimiter (RFC 2046 §5.1.1: a part may be headers alone).

Rule (close delimiter): `--boundary--` is believed when its line ends, or when
the payload does. What follows is the epilogue, ignored whatever its length.

Rule (Content-Length of a part): it is compared with the real length when the part
ends, and never used to skip ahead: a delimiter inside of the announced length
would be accepted or refused depending on who is believed.

Rule (cuts): events and verdict, limits included, do not depend on where the
network cuts the payload; only the number of `PartData` events does.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.http_fields import (
    content_length,
    field_values,
    parse_field_lines,
)
from asyncdicom.protocol.payload_events import (
    NEED_DATA,
    Event,
    NeedData,
    PartBegan,
    PartData,
    PartEnded,
    PayloadEnded,
    drain,
)
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.model import Buffer, Header

__all__ = [
    "NEED_DATA",
    "Event",
    "MultipartLimits",
    "MultipartParser",
    "NeedData",
    "PartBegan",
    "PartData",
    "PartEnded",
    "PayloadEnded",
    "drain",
]

COPY_BELOW_BYTES = 8 * 1024
"""Shorter spans are copied: as fast as a view, and they do not keep their chunk in memory."""


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """Bounds of what a payload may make us hold or count; beyond them is `LimitExceeded`."""

    max_header_block_bytes: int = 16 * 1024
    """Header block of a part with its empty line, in bytes: what h11 and Node.js allow for the
    head of a whole message."""
    max_headers: int = 64
    """Header lines of a part, folded ones included: WADO-RS needs Content-Type and
    Content-Location, the rest is generosity."""
    max_parts: int = 1_000_000
    """Parts of a payload: three times the frames of the largest slide images reported."""
    max_preamble_bytes: int = 64 * 1024
    """Bytes before the first delimiter: room for any greeting; more means that the boundary
    parameter does not belong to this payload."""
    max_boundary_bytes: int = 128
    """RFC 2046 §5.1.1 allows 70; somewhat more does no harm, as the cost of holding it is small."""
    max_padding_bytes: int = 256
    """Blanks behind a boundary (RFC 2046 §5.1.1), held until the line ends: enough for a gateway
    that fills lines up to 80 or 132 columns."""


class _Line(Enum):
    """What a line that begins with the boundary turned out to be."""

    DELIMITER = "delimiter"
    CLOSE = "close delimiter"
    CONTENT = "look-alike"
    UNDECIDED = "cut by the network"


# Behind the boundary: perhaps `--`, transport padding, perhaps the line end.
# Possessive, so that it always matches and never goes back.
_TAIL = re.compile(rb"(--)?+([ \t]*+)(\r?\n)?+")
_EMPTY_LINE = re.compile(rb"\n\r?\n")


class MultipartParser:
    """Turn the bytes of one multipart payload into events.

    Cost: O(n) in the length of the payload; holds one chunk or one header
    block, beside the chunks that `next_event` was not asked for yet.
    """

    def __init__(self, boundary: bytes, *, limits: MultipartLimits | None = None) -> None:
        """Prepare for one payload.

        Args:
            boundary: Value of the parameter, unquoted, without the two dashes.
            limits: Bounds; None for the defaults.

        Raises:
            ProtocolError: If the boundary is empty or holds a line end.
            LimitExceeded: If it is too long.

        """
        self._limits = limits or MultipartLimits()
        self._dash_boundary = b"--" + self._checked(boundary)
        # Searched is the dash-boundary behind a line end. The preamble is no
        # content, so LF suffices there; then the first delimiter line decides.
        self._line_end = b"\n"
        self._needle = b"\n" + self._dash_boundary
        self._chunks: deque[bytes] = deque()
        # An imagined line end before the payload lets a delimiter stand at offset 0.
        self._buffer = b"\n"
        self._buffer_offset = -1
        self._position = 0  # first byte that was not passed on
        self._scan = 0  # where to search on; before `_position` at a shared line end
        self._after_line = 0  # first byte behind the delimiter line
        self._is_closing = False
        self._is_drained = True
        self._is_eof = False
        self._parts = 0
        self._content_offset = 0
        # Most parts of a payload have the same header block: it is parsed once.
        self._known_block = b"\n"
        self._known_headers: tuple[Header, ...] = ()
        self._announced_bytes: int | None = None
        # Plain functions: bound methods would tie parser and chunk into a cycle.
        self._state: _State = MultipartParser._read_preamble

    def _checked(self, boundary: bytes) -> bytes:
        # RFC 2046 §5.1.1: white space at the end was added by a gateway.
        stripped = boundary.rstrip(b" \t")
        if not stripped or b"\r" in stripped or b"\n" in stripped:
            raise ProtocolError("a boundary that cannot delimit anything")
        if len(stripped) > self._limits.max_boundary_bytes:
            raise LimitExceeded(f"boundary of {len(stripped)} bytes")
        return stripped

    def receive_data(self, data: Buffer) -> None:
        """Store the next bytes of the payload; parse nothing.

        Args:
            data: Bytes, of any length. `bytes` are used as they are; other
                buffers are copied, so the caller may reuse them.

        Raises:
            UsageError: After `receive_eof` or an error.

        """
        if self._is_eof or self._state is MultipartParser._refuse:
            raise UsageError("data behind the end or an error")
        self._is_drained = False
        self._chunks.append(bytes(data))

    def receive_eof(self) -> None:
        """Say that no byte will follow; then drain once more, as the last part may end only now.

        Raises:
            Truncated: Unless the close delimiter was read whole; `offset` is
                the number of bytes received.
            UsageError: If events were not drained, or after an error.

        """
        if not self._is_drained or self._state is MultipartParser._refuse:
            raise UsageError("events are drained before the end is told, and none follow an error")
        self._is_eof = True
        if self._state is MultipartParser._read_epilogue or self._holds_close_delimiter():
            return
        what = "the close delimiter" if self._parts else "the first part"
        self._state = MultipartParser._refuse
        received = self._buffer_offset + len(self._buffer)
        raise Truncated(f"payload ended before {what} was read whole", offset=received)

    def _holds_close_delimiter(self) -> bool:
        # A header block may begin with the same bytes, but is no place for a delimiter.
        return (
            self._state is not MultipartParser._read_headers
            and self._buffer.startswith(self._needle)
            and self._judge(0)[0] is _Line.CLOSE
        )

    def next_event(self) -> Event | NeedData:
        """Parse on to the next event.

        Returns:
            The event, or `NEED_DATA`.

        Raises:
            ProtocolError: If the payload breaks its standard; the parser is unusable then.
            LimitExceeded: If it goes beyond a limit.
            UsageError: After an error.

        """
        try:
            while (event := self._state(self)) is None:
                pass
        except ProtocolError:
            self._state = MultipartParser._refuse
            raise
        self._is_drained = event is NEED_DATA
        return event

    def _read_preamble(self) -> Event | NeedData | None:
        found = self._buffer.find(self._needle, self._scan)
        start = found if found >= 0 else self._held_back_from()
        if self._buffer_offset + start + 1 > self._limits.max_preamble_bytes:
            # The same offset wherever the network cuts.
            offset = self._limits.max_preamble_bytes
            raise LimitExceeded("no delimiter at the beginning of the payload", offset=offset)
        line, after = self._judge(found) if found >= 0 else (_Line.UNDECIDED, 0)
        if line is _Line.UNDECIDED:
            return self._need_data(keep_from=start)
        if line is _Line.CONTENT:
            self._scan = found + len(self._needle)
            return None
        if line is _Line.CLOSE:
            # RFC 2046 §5.1.1: the body must contain one or more body parts.
            offset = self._buffer_offset + found + 1
            raise ProtocolError("multipart payload without a part", offset=offset)
        if self._buffer.endswith(b"\r\n", 0, after):
            self._line_end = b"\r\n"
            self._needle = b"\r\n" + self._dash_boundary
        self._position = after
        self._state = MultipartParser._read_headers
        return None

    def _read_headers(self) -> Event | NeedData | None:
        buffer, start = self._buffer, self._position
        offset = self._buffer_offset + start
        if self._parts >= self._limits.max_parts:
            raise LimitExceeded(f"more than {self._limits.max_parts} parts", offset=offset)
        if buffer.startswith(self._known_block, start):
            end = start + len(self._known_block)
        else:
            # The line end of the delimiter is searched too, for a block without headers.
            stop = start + self._limits.max_header_block_bytes
            empty_line = _EMPTY_LINE.search(buffer, start - 1, stop)
            if empty_line is None:
                if len(buffer) >= stop:
                    raise LimitExceeded("header block too long", offset=offset)
                return self._need_data(keep_from=start - 1)
            end = empty_line.end()
            self._learn_headers(buffer[start:end], offset)
        return self._begin_content(end)

    def _learn_headers(self, block: bytes, offset: int) -> None:
        if b"\n" + self._dash_boundary in b"\n" + block:
            raise ProtocolError("delimiter inside of a header block", offset=offset)
        headers = parse_field_lines(block, max_headers=self._limits.max_headers, offset=offset)
        lengths = field_values(headers, "content-length")
        self._announced_bytes = content_length(lengths, offset=offset)
        self._known_block, self._known_headers = block, headers

    def _begin_content(self, start: int) -> PartBegan:
        self._parts += 1
        self._position = start
        shares_line_end = self._buffer.endswith(self._line_end, 0, start)
        self._scan = start - len(self._line_end) if shares_line_end else start
        self._content_offset = self._buffer_offset + start
        self._state = MultipartParser._read_content
        return PartBegan(self._known_headers, self._content_offset)

    def _read_content(self) -> Event | NeedData | None:
        found = self._buffer.find(self._needle, self._scan)
        if found < 0:
            held_from = self._held_back_from()
            return self._pass_on(held_from) or self._need_data(keep_from=held_from)
        line, after = self._judge(found)
        if line is _Line.CONTENT:
            self._scan = found + len(self._needle)
            return None
        if line is _Line.UNDECIDED:
            return self._pass_on(found) or self._need_data(keep_from=found)
        self._is_closing = line is _Line.CLOSE
        self._after_line = after
        self._state = MultipartParser._end_part
        return self._pass_on(found)

    def _pass_on(self, end: int) -> PartData | None:
        """Make an event of the content up to an index, if there is any."""
        start = self._position
        if end <= start:
            return None
        buffer = self._buffer
        self._position = self._scan = end
        if end - start < COPY_BELOW_BYTES or end - start == len(buffer):
            return PartData(buffer[start:end])
        return PartData(memoryview(buffer)[start:end])

    def _end_part(self) -> PartEnded:
        byte_count = self._buffer_offset + self._position - self._content_offset
        announced = self._announced_bytes
        if announced is not None and announced != byte_count:
            message = f"part of {byte_count} bytes was announced with {announced}"
            raise ProtocolError(message, offset=self._content_offset)
        self._position = self._after_line
        if self._is_closing:
            self._state = MultipartParser._end_payload
        else:
            self._state = MultipartParser._read_headers
        return PartEnded(byte_count)

    def _end_payload(self) -> PayloadEnded:
        self._buffer = b""
        self._state = MultipartParser._read_epilogue
        return PayloadEnded(self._parts)

    def _read_epilogue(self) -> NeedData:
        self._chunks.clear()
        return NEED_DATA

    def _refuse(self) -> NeedData:
        raise UsageError("nothing follows an error")

    def _judge(self, found: int) -> tuple[_Line, int]:
        """Tell what the line with the boundary is, and where the next one begins."""
        buffer, at = self._buffer, found + len(self._needle)
        if buffer.startswith(b"\r\n", at):
            return _Line.DELIMITER, at + 2
        tail = _TAIL.match(buffer, at)
        assert tail is not None, "each group may be empty"
        dashes, padding, line_end = tail.groups()
        if len(padding) > self._limits.max_padding_bytes:
            raise LimitExceeded("transport padding too long", offset=self._buffer_offset + at)
        if line_end:
            return (_Line.CLOSE if dashes else _Line.DELIMITER), tail.end()
        rest = buffer[tail.end() : tail.end() + 2]
        if rest not in (b"", b"\r") and (rest != b"-" or dashes or padding):
            return _Line.CONTENT, at
        return (_Line.CLOSE if dashes and self._is_eof else _Line.UNDECIDED), at

    def _held_back_from(self) -> int:
        """Return where a delimiter may begin that the end of the buffer cuts, or that end."""
        buffer, needle = self._buffer, self._needle
        # The first byte of the needle occurs in it once only.
        first = buffer.rfind(needle[:1], max(self._scan, len(buffer) - len(needle)))
        return first if first >= 0 and needle.startswith(buffer[first:]) else len(buffer)

    def _need_data(self, *, keep_from: int) -> NeedData | None:
        """Drop what was passed on and take the next chunk; None if there was one."""
        rest = self._buffer[keep_from:]
        self._buffer_offset += keep_from
        self._position = max(self._position - keep_from, 0)
        self._scan = 0
        if not self._chunks:
            self._buffer = rest
            return NEED_DATA
        chunk = self._chunks.popleft()
        self._buffer = rest + chunk if rest else chunk
        return None


_State: TypeAlias = "Callable[[MultipartParser], Event | NeedData | None]"
