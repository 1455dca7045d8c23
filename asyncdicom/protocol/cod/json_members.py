"""Hand over the members of nested JSON objects as the bytes come (RFC 8259).

    reader = JsonMembers(opened={("cod",), ("cod", "instances")})
    for chunk in chunks:
        reader.receive_data(chunk)
        while (member := reader.next_event()) is not NEED_DATA:
            member.path                     # ("cod", "instances", "1.2.3")
            orjson.loads(member.value)
    reader.receive_eof()

Metadata of a series has a megabyte, or a gigabyte; what is wanted of each instance has
a hundred bytes. So the document is never held as a whole: objects named in `opened` are
stepped into, the value of any other member is handed over as text.

Rule: the text of a value ends where brackets and strings say so; whether it is JSON is
for whoever parses it. The cost is linear, however the bytes are cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import orjson

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.json_values import ValueScan
from asyncdicom.protocol.payload_events import NEED_DATA, NeedData

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = ["JsonMember", "JsonMembers", "MemberLimits"]


@dataclass(frozen=True, slots=True)
class MemberLimits:
    """What a document may hold before it is refused."""

    max_value_bytes: int = 64 * 1024 * 1024
    """Of one member. Instances have 3 KB, enhanced multi-frame ones up to 30 MB."""
    max_key_bytes: int = 1024
    """Keys are UIDs and names of fields."""


@dataclass(frozen=True, slots=True)
class JsonMember:
    """A member of an object that was stepped into."""

    path: tuple[str, ...]
    value: bytes
    """As written."""
    offset: int
    """Of the value, in the document."""


class _State(Enum):
    BEGIN = auto()
    FIRST_KEY = auto()
    """Behind `{`."""
    KEY = auto()
    """Behind a comma."""
    COLON = auto()
    VALUE = auto()
    BETWEEN = auto()
    """Behind a value."""
    END = auto()


_BLANKS: Final = re.compile(rb"[ \t\r\n]*")
_SCALAR: Final = re.compile(rb"[^ \t\r\n,}\]]*")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class JsonMembers:
    """Reads one document that is an object.

    Attributes:
        entered: Paths of the objects that were stepped into, so far.

    """

    def __init__(
        self, opened: frozenset[tuple[str, ...]], limits: MemberLimits | None = None
    ) -> None:
        """Prepare.

        Args:
            opened: Paths of the objects to step into, below the outermost.
            limits: What is refused so that memory stays bounded.

        """
        self.entered: set[tuple[str, ...]] = set()
        self._opened = opened
        self._limits = limits or MemberLimits()
        self._state = _State.BEGIN
        self._failure: ProtocolError | None = None
        self._path: list[str] = []
        self._key = ""
        self._buffer = bytearray()
        self._pos = 0
        self._base = 0
        self._scan: ValueScan | None = None

    def receive_data(self, data: Buffer) -> None:
        """Store bytes; what has been handed over before is let go."""
        if self._pos:
            del self._buffer[: self._pos]
            self._base += self._pos
            if self._scan is not None:
                self._scan.at -= self._pos
            self._pos = 0
        self._buffer += data

    def next_event(self) -> JsonMember | NeedData:
        """Return the next member, or `NEED_DATA`.

        Raises:
            ProtocolError: If this is no JSON object. From then on each call raises it again.
            LimitExceeded: If a value or a key is too long.

        """
        if self._failure is not None:
            raise self._failure
        try:
            return self._advance()
        except ProtocolError as error:
            self._failure = error
            raise

    def receive_eof(self) -> None:
        """Confirm that the outermost object was closed.

        Raises:
            Truncated: If it was not.
            ProtocolError: If this is no JSON object.

        """
        if self._failure is not None:
            raise self._failure
        if self._state is not _State.END:
            end = self._base + len(self._buffer)
            self._failure = Truncated("the JSON object is not closed", offset=end)
            raise self._failure

    def _advance(self) -> JsonMember | NeedData:
        while (char := self._next_char()) is not None:
            match self._state, char:
                case ((_State.FIRST_KEY | _State.KEY), '"'):
                    key = self._value(self._limits.max_key_bytes)
                    if key is None:
                        return NEED_DATA
                    self._key = self._parsed_key(key)
                    self._state = _State.COLON
                case _State.VALUE, "{" if (*self._path, self._key) in self._opened:
                    self._pos += 1
                    self._path.append(self._key)
                    self.entered.add(tuple(self._path))
                    self._state = _State.FIRST_KEY
                case _State.VALUE, _:
                    offset = self._base + self._pos
                    value = self._value(self._limits.max_value_bytes)
                    if value is None:
                        return NEED_DATA
                    self._state = _State.BETWEEN
                    return JsonMember((*self._path, self._key), value, offset)
                case _:
                    self._structure(char)
        return NEED_DATA

    def _next_char(self) -> str | None:
        """Skip blanks and return the character behind them, if it is there."""
        blanks = _BLANKS.match(self._buffer, self._pos)
        assert blanks is not None, "the pattern matches nothing as well"
        self._pos = blanks.end()
        return chr(self._buffer[self._pos]) if self._pos < len(self._buffer) else None

    def _structure(self, char: str) -> None:
        """Step over what stands between keys and values."""
        match self._state, char:
            case _State.BEGIN, "{":
                self._state = _State.FIRST_KEY
            case _State.BEGIN, _ if self._is_byte_order_mark():
                pass
            case _State.COLON, ":":
                self._state = _State.VALUE
            case _State.BETWEEN, ",":
                self._state = _State.KEY
            case ((_State.FIRST_KEY | _State.BETWEEN), "}"):
                self._state = _State.BETWEEN if self._path else _State.END
                if self._path:
                    self._path.pop()
            case _State.BEGIN, _:
                raise self._refusal("this is no JSON object")
            case _State.END, _:
                raise self._refusal("other bytes follow the JSON object")
            case _:
                raise self._refusal("the JSON object is damaged")
        self._pos += 1

    def _is_byte_order_mark(self) -> bool:
        # RFC 8259 §8.1: a parser may ignore it rather than call it an error.
        at = self._base + self._pos
        return at < 3 and self._buffer[self._pos] == _BYTE_ORDER_MARK[at]

    def _value(self, most_bytes: int) -> bytes | None:
        """Take a value, if all of it is there."""
        end = self._end_of_value()
        if (end or len(self._buffer)) - self._pos > most_bytes:
            raise LimitExceeded(
                f"a part of the JSON object exceeds {most_bytes} bytes",
                offset=self._base + self._pos,
            )
        if end is None:
            return None
        value = bytes(self._buffer[self._pos : end])
        self._pos, self._scan = end, None
        return value

    def _end_of_value(self) -> int | None:
        if self._buffer[self._pos] in b'{["':
            if self._scan is None:
                self._scan = ValueScan(self._pos)
            return self._scan.end_in(self._buffer)
        scalar = _SCALAR.match(self._buffer, self._pos)
        assert scalar is not None, "the pattern matches nothing as well"
        if scalar.end() == self._pos:
            raise self._refusal("a value of the JSON object is missing")
        return scalar.end() if scalar.end() < len(self._buffer) else None

    def _parsed_key(self, text: bytes) -> str:
        try:
            key = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise self._refusal("a key of the JSON object is damaged") from error
        assert isinstance(key, str), "the text begins with a quotation mark"
        return key

    def _refusal(self, message: str) -> ProtocolError:
        return ProtocolError(message, offset=self._base + self._pos)
