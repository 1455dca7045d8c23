r"""Split a JSON array of objects into its elements as the bytes come (RFC 8259, PS3.18 §F.2).

    splitter = JsonArraySplitter()
    for chunk in chunks:
        splitter.receive_data(chunk)
        while (element := splitter.next_event()) is not NEED_DATA:
            ...
    splitter.receive_eof()
    while (element := splitter.next_event()) is not NEED_DATA:     # the last ones
        ...

Strategy: guess where an element ends, and let the JSON parser judge. An object is never
the beginning of another one, so a slice that parses as one object *is* the element. Two
guesses are cheap: the text that stood between the last two elements, up to and with
the first key (`},\n {"00080005"`), and the end of what has arrived, if it looks like
the end of the array. Only if they fail, a scan that knows strings finds the brace, at
a fifth of the speed.

Rule: the cost is linear whatever the bytes are. A guess looks no further than twice the
size of the last element, is made once per element and way, and the scan remembers
where it stopped.

Rule: because of the guesses an element may be handed over some bytes late, but never
later than `receive_eof`. Errors name the offset of the element, never its content.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

import orjson

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.json_values import ValueScan
from asyncdicom.protocol.payload_events import NEED_DATA, NeedData
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = ["JsonArraySplitter", "JsonLimits"]


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """What an array may hold before it is refused."""

    max_element_bytes: int = 64 * 1024 * 1024
    """Metadata of one instance. A CT has 20 KB; an enhanced multi-frame object of 10,000
    frames 30 MB."""


class _State(Enum):
    BEGIN = auto()
    FIRST = auto()
    """Behind `[`."""
    NEXT = auto()
    """Behind a comma."""
    BETWEEN = auto()
    """Behind an element."""
    END = auto()


_BLANKS: Final = re.compile(rb"[ \t\r\n]*")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_WHOLE_MARK: Final = (0, 3)
_FIRST_KEY: Final = re.compile(rb'\{[ \t\r\n]*"[^"\\]{1,64}"')
_LOOKS_LIKE_END: Final = re.compile(rb"\}[ \t\r\n]*\][ \t\r\n]*\Z")
_LOOKS_LIKE_END_OF_OBJECT: Final = re.compile(rb"\}[ \t\r\n]*\Z")
_TAIL_BYTES: Final = 128
"""How far from the end an ending is looked for; longer blanks only cost time."""
_USUAL_BYTES: Final = 16 * 1024
_MANY_BYTES: Final = 16 * 1024
"""Parsed in one go: a handful of instances; as objects of Python, small ones take 30 times that."""
_OPEN_BRACE: Final = ord("{")


class JsonArraySplitter:
    """Hands over the elements of one JSON array; one object instead of an array is taken as well.

    Memory: the largest element, and the chunk it ends in.
    """

    def __init__(self, limits: JsonLimits | None = None) -> None:
        self._limits = limits or JsonLimits()
        self._state = _State.BEGIN
        self._is_array = True
        self._mark_bytes = 0
        self._is_final = False
        self._failure: ProtocolError | None = None
        self._last: deque[dict[str, Any]] = deque()
        self._buffer = bytearray()
        self._base = 0
        self._pos = 0
        # About the guess: what separates elements, where the last one ended, and
        # how much of the current one was searched in vain.
        self._separator = b""
        self._ended_at: int | None = None
        self._last_bytes = _USUAL_BYTES
        self._searched = 0
        self._may_take_many = True
        self._scan: ValueScan | None = None

    def receive_data(self, data: Buffer) -> None:
        """Store bytes; what has been handed over before is let go."""
        if self._pos:
            del self._buffer[: self._pos]
            self._base += self._pos
            if self._scan is not None:
                self._scan.at -= self._pos
            self._pos = 0
            self._ended_at = None
        self._buffer += data

    def next_event(self) -> dict[str, Any] | NeedData:
        """Return the next element, or `NEED_DATA`.

        Raises:
            ProtocolError: If this is no JSON array of objects. From then on each
                call raises it again.
            LimitExceeded: If an element is too large.

        """
        if self._last:
            return self._last.popleft()
        if self._failure is not None:
            raise self._failure
        try:
            return self._advance()
        except ProtocolError as error:
            self._failure = error
            raise

    def receive_eof(self) -> None:
        """Confirm that the array was closed; elements may be left for `next_event`.

        Raises:
            Truncated: If the array was not closed.
            ProtocolError: If this is no JSON array of objects.

        """
        if self._failure is not None:
            raise self._failure
        self._is_final = True
        try:
            while (element := self._advance()) is not NEED_DATA:
                self._last.append(element)
            if self._state is not _State.END:
                end = self._base + len(self._buffer)
                raise Truncated("the JSON array is not closed", offset=end)
        except ProtocolError as error:
            self._failure = error
            raise

    def _advance(self) -> dict[str, Any] | NeedData:
        while (char := self._next_char()) is not None:
            if char == _OPEN_BRACE and self._may_begin():
                return self._element()
            self._structure(char)
        return NEED_DATA

    def _next_char(self) -> int | None:
        """Skip blanks and return the byte behind them, if it is there."""
        blanks = _BLANKS.match(self._buffer, self._pos)
        assert blanks is not None, "the pattern matches nothing as well"
        self._pos = blanks.end()
        return self._buffer[self._pos] if self._pos < len(self._buffer) else None

    def _may_begin(self) -> bool:
        if self._state is _State.BEGIN and self._mark_bytes in _WHOLE_MARK:
            self._is_array = False
            self._state = _State.NEXT
        return self._state in (_State.FIRST, _State.NEXT)

    def _structure(self, char: int) -> None:
        """Step over a bracket, a comma or a byte order mark between the elements."""
        match self._state, chr(char):
            case _State.BEGIN, "[" if self._mark_bytes in _WHOLE_MARK:
                self._state = _State.FIRST
            case (_State.FIRST, "]") | (_State.BETWEEN, "]"):
                self._state = _State.END
            case _State.BETWEEN, ",":
                self._state = _State.NEXT
            case _State.BEGIN, _ if self._is_byte_order_mark():
                self._mark_bytes += 1
            case _State.BEGIN, _:
                raise self._refusal("this is no JSON array")
            case _State.END, _:
                raise self._refusal("other bytes follow the JSON array")
            case _State.BETWEEN, _:
                raise self._refusal("a comma or the end of the JSON array is missing")
            case _:
                raise self._refusal("an element of the JSON array is no object")
        self._pos += 1

    def _is_byte_order_mark(self) -> bool:
        # RFC 8259 §8.1: a parser may ignore it rather than call it an error. Byte
        # by byte, as it may be cut.
        at = self._base + self._pos
        return at == self._mark_bytes < 3 and self._buffer[self._pos] == _BYTE_ORDER_MARK[at]

    def _refusal(self, message: str) -> ProtocolError:
        return ProtocolError(message, offset=self._base + self._pos)

    def _element(self) -> dict[str, Any] | NeedData:
        element = None
        if self._scan is None:
            element = self._take_many() or self._guess()
        if element is None and self._scan is not None:
            element = self._find()
        return NEED_DATA if element is None else element

    def _take_many(self) -> dict[str, Any] | None:
        """Parse all elements up to a separator far ahead in one go; return the first of them.

        Half the cost of one after the other. Whatever is odd among them is left to the
        other ways, which know where it is; once it was, this way is not tried again.
        """
        if not self._separator or not self._may_take_many or self._is_final:
            return None
        start = self._pos
        # Within this span, no element can be longer than one may be.
        span = min(_MANY_BYTES, self._limits.max_element_bytes)
        last = self._buffer.rfind(self._separator, start, start + span)
        if last < 0:
            return None
        try:
            elements = orjson.loads(b"".join((b"[", self._buffer[start : last + 1], b"]")))
        except orjson.JSONDecodeError:
            elements = [None]
        if not all(isinstance(element, dict) for element in elements):
            self._may_take_many = False
            return None
        self._state = _State.BETWEEN
        self._pos = self._ended_at = last + 1
        self._searched = 0
        self._last.extend(elements)
        first: dict[str, Any] = self._last.popleft()
        return first

    def _guess(self) -> dict[str, Any] | None:
        """Try the cheap ways; once they are exhausted, begin to scan."""
        buffer, start = self._buffer, self._pos
        self._learn(start)
        horizon = start + 2 * self._last_bytes + 1024
        end = None
        if self._separator:
            at = buffer.find(self._separator, start + self._searched, horizon)
            end = None if at < 0 else at + 1
        if end is None and len(buffer) <= horizon:
            end = self._end_of_tail()
            self._searched = max(0, len(buffer) - start - len(self._separator))
        most = start + self._limits.max_element_bytes
        element = None if end is None or end > most else self._parse(end)
        is_exhausted = end is not None or self._is_final or len(buffer) > min(horizon, most)
        if element is None and is_exhausted:
            self._scan = ValueScan(start)
        return element

    def _learn(self, start: int) -> None:
        """Note the text from the end of the last element through the first key of this one."""
        if self._separator or self._ended_at is None:
            return
        key = _FIRST_KEY.match(self._buffer, start)
        if key is not None and start - self._ended_at < 1024:
            self._separator = b"}" + self._buffer[self._ended_at : key.end()]

    def _end_of_tail(self) -> int | None:
        pattern = _LOOKS_LIKE_END if self._is_array else _LOOKS_LIKE_END_OF_OBJECT
        tail = max(self._pos, len(self._buffer) - _TAIL_BYTES)
        ending = pattern.search(self._buffer, tail)
        return None if ending is None else ending.start() + 1

    def _find(self) -> dict[str, Any] | None:
        """Scan for the end of the element."""
        assert self._scan is not None, "only called while scanning"
        end = self._scan.end_in(self._buffer)
        if (end or len(self._buffer)) - self._pos > self._limits.max_element_bytes:
            raise LimitExceeded(
                f"an element of the JSON array exceeds {self._limits.max_element_bytes} bytes",
                offset=self._base + self._pos,
            )
        if end is None:
            return None
        element = self._parse(end)
        if element is None:
            raise self._refusal("an element of the JSON array is damaged")
        # What separated elements before did not do so here.
        self._separator = b""
        return element

    def _parse(self, end: int) -> dict[str, Any] | None:
        """Take the object up to `end`, if there is one."""
        size = end - self._pos
        try:
            with memoryview(self._buffer)[self._pos : end] as text:
                element = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        self._state = _State.BETWEEN if self._is_array else _State.END
        self._pos = self._ended_at = end
        self._last_bytes = size
        self._searched = 0
        self._scan = None
        assert isinstance(element, dict), "the text begins with a brace"
        return element
