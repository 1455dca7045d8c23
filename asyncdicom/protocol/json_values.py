"""Find where a value of a JSON text ends (RFC 8259), however the text is cut.

    scan = ValueScan(at)                    # buffer[at] is `{`, `[` or `"`
    while (end := scan.end_in(buffer)) is None:
        buffer += more
    orjson.loads(buffer[at:end])

Rule: the end is where its own brackets and strings say; whether it is JSON is for whoever
parses it. The cost is linear, however the bytes are cut.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ValueScan"]

# Everything up to a bracket outside of strings, or to the end. Within an object its braces are
# enough, within an array its square brackets: others come in pairs between them.
# Before 3.11.5, Python does not go back to where a possessive repetition was when its last turn
# failed behind another repetition (gh-106052). So a string is taken that ends with the buffer,
# and `_STRING` tells whether there was one.
_IN_STRING: Final = rb'(?:[^"\\]++|\\.)*+'
_ANY_STRING: Final = rb'"' + _IN_STRING + rb'(?:"|\\?\Z)'
_OF_OBJECT: Final = re.compile(rb'(?:[^{}"]++|' + _ANY_STRING + rb")*+([{}])?", re.DOTALL)
_OF_ARRAY: Final = re.compile(rb'(?:[^\[\]"]++|' + _ANY_STRING + rb")*+([\[\]])?", re.DOTALL)
_REST_OF_STRING: Final = re.compile(_IN_STRING + rb'("?)', re.DOTALL)
_STRING: Final = re.compile(rb'"' + _IN_STRING + rb'("?)', re.DOTALL)
_Run: TypeAlias = "re.Match[bytes] | None"
_QUOTE: Final = ord('"')
_BRACKET: Final = ord("[")


class ValueScan:
    """Finds the end of a string, an object or an array, and remembers where it stopped.

    Attributes:
        at: Where it goes on; whoever lets go the beginning of the buffer moves it.

    """

    __slots__ = ("_brackets", "_depth", "_is_in_string", "at")

    def __init__(self, at: int) -> None:
        """Begin at the index of the first byte of a value."""
        self.at = at
        self._depth = 0
        self._is_in_string = False
        self._brackets: re.Pattern[bytes] | None = None

    def end_in(self, buffer: bytearray) -> int | None:
        """Return the index behind the value, or None if it is not there yet."""
        if self._brackets is None and not self._is_in_string:
            self._begin(buffer[self.at])
        if self._is_in_string:
            rest = _REST_OF_STRING.match(buffer, self.at)
            assert rest is not None, "the pattern matches nothing as well"
            self.at = rest.end()
            if not rest[1]:
                return None
            self._is_in_string = False
        return self.at if self._brackets is None else self._closed(buffer, self._brackets.match)

    def _begin(self, first: int) -> None:
        if first == _QUOTE:
            self._is_in_string = True
            self.at += 1
        else:
            self._brackets = _OF_ARRAY if first == _BRACKET else _OF_OBJECT

    def _closed(self, buffer: bytearray, match: Callable[[bytearray, int], _Run]) -> int | None:
        depth, at = self._depth, self.at
        while True:
            run = match(buffer, at)
            assert run is not None, "the pattern matches nothing as well"
            mark = run[1]
            if mark is None:
                self._depth = depth
                self._stop(buffer, at)
                return None
            at = run.end()
            depth += 1 if mark in b"{[" else -1
            if depth <= 0:
                return at

    def _stop(self, buffer: bytearray, at: int) -> None:
        """Remember where the buffer ends, whose rest has no bracket outside of strings."""
        self.at = len(buffer)
        for string in _STRING.finditer(buffer, at):
            if not string[1]:
                self.at, self._is_in_string = string.start() + 1, True
