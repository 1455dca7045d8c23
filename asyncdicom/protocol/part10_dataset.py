"""Walk a data set element by element without decoding it (PS3.5 §7, Annex A).

    walker = DataSetWalker(EXPLICIT, start=336, watch=watch_list(()), limits=Part10Limits())
    walker.receive_data(chunk, base=0)     # base: absolute offset of the chunk
    walker.receive_eof()                   # raises unless every length closed where it must
    walker.values[Tags.ROWS]

Strategy: the walker knows the absolute offset of the next header (`_at`). A value
that nobody asked for is skipped by adding its length to that number, whether or not
its bytes are there, so 4 GiB cost no memory and a chunk inside of pixel data costs
one comparison. Only a header or a wanted value that a chunk cut in two is kept
(`_pending`), together with the number of bytes it takes to go on, so that feeding
byte by byte stays linear.

Rule: the *fence* is where the innermost item or sequence of defined length ends; no
element passes it. Levels of undefined length inherit the fence around them.

Rule: refused is what leaves the structure undecidable, nothing else. Odd lengths,
elements out of order and unknown VRs in capital letters (32-bit length, PS3.5 §6.2)
pass. In implicit VR, a sequence of defined length cannot be told from any other
value, and is skipped as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.part10_vocabulary import (
    EXPLICIT,
    IMPLICIT,
    MARKERS_ONLY,
    MISPLACED,
    NO_VALUE,
    PRESENCE_ONLY,
    UNDEFINED_LENGTH,
    Tags,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from asyncdicom.model import Buffer
    from asyncdicom.protocol.part10_vocabulary import Encoding, Part10Limits, WatchList

    Step: TypeAlias = Callable[["DataSetWalker", Buffer, int], bool]

__all__ = ["DataSetWalker"]

_NO_FENCE: Final = 1 << 63


class DataSetWalker:
    """Proves that a data set is structurally whole, and notes a few of its values.

    Attributes:
        encoding: Of the top level.
        values: Bytes of the watched values, at most `max_value_bytes` of each.
        lengths: Length of each watched element that is only noted as present.
        fragment_count: Fragments of the encapsulated pixel data, without the basic
            offset table; None if it is not encapsulated.

    """

    def __init__(
        self, encoding: Encoding, *, start: int, watch: WatchList, limits: Part10Limits
    ) -> None:
        self.encoding = encoding
        self.values: dict[int, bytes] = {}
        self.lengths: dict[int, int] = {}
        self.fragment_count: int | None = None
        self._limits = limits
        self._received = start
        self._at = start
        self._first_at = start
        self._pending = bytearray()
        self._needed = 0
        self._need_until = 0
        self._stack: list[tuple[Step, Encoding, int, bool]] = []
        # Plain functions, not bound methods: those would tie the walker into a
        # cycle that only the garbage collector can undo.
        self._step: Step = _elements_step(encoding)
        self._encoding = encoding
        self._fence = _NO_FENCE
        self._is_defined = False
        self._watched_at_top = watch.of(encoding)
        self._watched = self._watched_at_top
        self._fragment_items = self._padding_at = 0
        self._is_counting = False

    def receive_data(self, data: Buffer, base: int) -> None:
        """Walk on.

        Args:
            data: Bytes that follow those received before; may begin before `start`.
            base: Absolute offset of the first of them.

        Raises:
            ProtocolError: If no continuation could make the data set whole.
            LimitExceeded: If sequences are nested too deeply.

        """
        self._received = end = base + len(data)
        if self._pending:
            self._walk_pending(data)
        if self._at < end:
            self._walk(data, base)

    @property
    def next_offset(self) -> int:
        """Of the next byte that is looked at; `receive_data(b"", base)` skips up to it."""
        return self._received if self._pending else self._at

    def receive_eof(self) -> None:
        """Confirm that the data set is whole.

        Raises:
            Truncated: If it ends inside of an element, an item or a sequence.

        """
        while self._stack and self._is_defined and self._fence == self._at:
            self._leave()
        if self._stack:
            raise Truncated("the data set ends inside of a sequence", offset=self._received)
        if self._at > self._received:
            raise Truncated("the data set ends inside of a value", offset=self._received)
        if self._pending and not self._is_zero_tail():
            raise Truncated("the data set ends inside of an element", offset=self._received)

    def _walk_pending(self, data: Buffer) -> None:
        """Complete the header or value that the last chunk cut, with as little as it takes."""
        used = 0
        while self._pending:
            taken = data[used : used + self._needed - len(self._pending)]
            used += len(taken)
            self._pending += taken
            if len(self._pending) < self._needed:
                return
            piece = bytes(self._pending)
            self._pending.clear()
            self._walk(piece, self._at)

    def _walk(self, data: Buffer, base: int) -> None:
        end = base + len(data)
        while self._at < end and not self._pending:
            if not self._step(self, data, base):
                start = self._at - base
                self._pending += data[start:]
                self._needed = self._need_until - start

    def _wait_for(self, until: int) -> bool:
        """Say that nothing can be done before the data reaches up to this index."""
        self._need_until = until
        return False

    def _enter(self, step: Step, encoding: Encoding, start: int, length: int) -> None:
        """Descend into an item, a sequence or fragments whose content begins at `start`."""
        if len(self._stack) >= 2 * self._limits.max_nesting:
            raise LimitExceeded(
                f"sequences are nested more than {self._limits.max_nesting} deep", offset=self._at
            )
        fence = self._fence
        is_defined = length != UNDEFINED_LENGTH
        if start > fence or (is_defined and start + length > fence):
            raise self._overrun()
        self._stack.append((self._step, self._encoding, fence, self._is_defined))
        self._step, self._encoding, self._is_defined = step, encoding, is_defined
        self._watched = MARKERS_ONLY.of(encoding)
        self._at = start
        if is_defined:
            self._fence = start + length

    def _leave(self) -> None:
        self._step, self._encoding, self._fence, self._is_defined = self._stack.pop()
        if not self._stack:
            self._watched = self._watched_at_top

    def _pause(self, pos: int, data: Buffer, base: int) -> bool:
        """End a run of headers: at the fence, at the end of the data, or inside of a header."""
        self._at = base + pos
        if self._at == self._fence:
            if not self._is_defined:
                raise self._refusal("a sequence or item is not closed inside of its enclosing one")
            self._leave()
            return True
        return pos >= len(data) or self._wait_for(pos + 8)

    def _overrun(self) -> ProtocolError:
        return self._refusal("a length passes the end of its item or sequence")

    def _refusal(self, message: str) -> ProtocolError:
        return ProtocolError(message, offset=self._at)

    def _explicit_elements(self, data: Buffer, base: int) -> bool:
        """Walk headers of tag, VR and 16-bit length (PS3.5 §7.1.2): the hot loop."""
        unpack, short_vrs = self._encoding.tag_vr_length, self._encoding.short_vrs
        watched, values = self._watched, self.values
        pos, fence = self._at - base, self._fence - base
        last = min(len(data) - 8, fence - 1)
        most, end = self._limits.max_value_bytes, len(data)
        while pos <= last:
            tag, vr, length = unpack(data, pos)
            after = pos + 8 + length
            if vr not in short_vrs or after > fence:
                self._at = base + pos
                return self._long_element(data, base, tag, vr)
            if tag in watched:
                kept = watched[tag]
                if kept in values or kept in NO_VALUE or length > most or after > end:
                    self._at = base + pos
                    if not self._keep(data, kept, pos + 8, after):
                        return False
                else:
                    values[kept] = bytes(data[pos + 8 : after])
            pos = after
        return self._pause(pos, data, base)

    def _implicit_elements(self, data: Buffer, base: int) -> bool:
        """Walk headers of tag and 32-bit length (PS3.5 §7.1.3)."""
        unpack, watched = self._encoding.tag_length, self._watched
        pos, fence = self._at - base, self._fence - base
        last = min(len(data) - 8, fence - 1)
        while pos <= last:
            tag, length = unpack(data, pos)
            after = pos + 8 + length
            if after > fence or tag in watched or length == UNDEFINED_LENGTH or not tag:
                self._at = base + pos
                if self._is_marker(tag):
                    return self._marker(data, pos, tag)
                return self._value(data, base, (tag, 0, length), pos + 8)
            pos = after
        return self._pause(pos, data, base)

    def _long_element(self, data: Buffer, base: int, tag: int, vr: int) -> bool:
        """Handle what is no plain element with a 16-bit length inside of its fence."""
        encoding = self._encoding
        pos = self._at - base
        if self._is_marker(tag):
            return self._marker(data, pos, tag)
        if vr in encoding.short_vrs:
            raise self._overrun()
        if not encoding.could_be_vr(vr):
            return self._fall_back_to_implicit()
        if pos + 12 > len(data):
            return self._wait_for(pos + 12)
        (length,) = encoding.length_32(data, pos + 8)
        return self._value(data, base, (tag, vr, length), pos + 12)

    def _value(self, data: Buffer, base: int, header: tuple[int, int, int], value: int) -> bool:
        """Skip a value with a 32-bit length, or descend into it.

        `header` is tag, VR (0 in implicit VR) and length; at `value` the chunk has the value.
        """
        tag, vr, length = header
        after = value + length
        is_open = length == UNDEFINED_LENGTH or vr == self._encoding.sq
        if not is_open and base + after > self._fence:
            raise self._overrun()
        watched = self._watched
        if tag in watched and not self._keep(data, watched[tag], value, after):
            return False
        if is_open:
            self._descend(header, base + value)
        else:
            self._at = base + after
        return True

    def _descend(self, header: tuple[int, int, int], start: int) -> None:
        """Enter a sequence or encapsulated pixel data (PS3.5 §7.5, §A.4)."""
        tag, vr, length = header
        encoding = self._encoding
        if length == UNDEFINED_LENGTH and (
            tag == encoding.pixel_data or vr in encoding.fragment_vrs
        ):
            self._is_counting = not self._stack and tag == encoding.pixel_data
            self._fragment_items = 0
            self._enter(DataSetWalker._fragments, encoding, start, length)
        elif vr == encoding.un:
            # PS3.5 §6.2.2 (CP-246): UN of undefined length is a sequence in
            # implicit VR little endian, whatever surrounds it.
            self._enter(DataSetWalker._items, IMPLICIT, start, length)
        elif encoding.is_explicit and vr != encoding.sq:
            raise self._refusal("a value of undefined length is no sequence")
        else:
            self._enter(DataSetWalker._items, encoding, start, length)

    def _keep(self, data: Buffer, tag: int, value: int, after: int) -> bool:
        """Note a watched element; False if more of its value must be there first."""
        if tag in self.values or tag in self.lengths:
            # PS3.5 §7.1: an element occurs at most once. Two answers to "which
            # instance is this" are none.
            raise self._refusal(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) occurs twice")
        if tag in MISPLACED:
            raise self._refusal(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) does not belong here")
        if tag in PRESENCE_ONLY:
            self.lengths[tag] = after - value
            return True
        until = min(after, value + self._limits.max_value_bytes)
        if until > len(data):
            return self._wait_for(until)
        self.values[tag] = bytes(data[value:until])
        return True

    def _fall_back_to_implicit(self) -> bool:
        """Read an item as implicit VR if its first element has no VR.

        Some writers copy items of implicit VR into explicit data sets, and some
        archives say explicit and send implicit. The first header leaves no other
        reading; later ones do not get the benefit of the doubt.
        """
        if self._at != self._first_at or self._encoding is not EXPLICIT:
            raise self._refusal("no VR stands where one belongs")
        self._encoding = IMPLICIT
        self._step = DataSetWalker._implicit_elements
        return True

    def _is_marker(self, tag: int) -> bool:
        """Tell an item delimitation, and the zeros that may follow the top level."""
        return tag == self._encoding.item_delimitation or (not tag and not self._stack)

    def _marker(self, data: Buffer, pos: int, tag: int) -> bool:
        (length,) = self._encoding.length_32(data, pos + 4)
        if length or (tag and (self._is_defined or not self._stack)):
            raise self._refusal("a delimiter or zeros stand in between")
        if not tag:
            self._step = DataSetWalker._padding
            self._padding_at = self._at
            return True
        if self._at + 8 > self._fence:
            raise self._overrun()
        self._at += 8
        self._leave()
        return True

    def _items(self, data: Buffer, base: int) -> bool:
        """Walk one header inside of a sequence (PS3.5 §7.5.1)."""
        encoding = self._encoding
        pos = self._at - base
        if self._at == self._fence or pos + 8 > len(data):
            return self._pause(pos, data, base)
        tag, length = encoding.tag_length(data, pos)
        if tag == encoding.item:
            self._first_at = self._at + 8
            self._enter(_elements_step(encoding), encoding, self._first_at, length)
            return True
        return self._end_sequence(tag, length)

    def _fragments(self, data: Buffer, base: int) -> bool:
        """Walk the basic offset table and the fragments (PS3.5 §A.4)."""
        encoding = self._encoding
        pos = self._at - base
        last = min(len(data) - 8, self._fence - 1 - base)
        while pos <= last:
            tag, length = encoding.tag_length(data, pos)
            self._at = base + pos
            if tag != encoding.item:
                if self._is_counting:
                    self.fragment_count = self._fragment_items - 1
                return self._end_sequence(tag, length)
            if length == UNDEFINED_LENGTH or self._at + 8 + length > self._fence:
                raise self._overrun()
            self._fragment_items += 1
            pos += 8 + length
        return self._pause(pos, data, base)

    def _end_sequence(self, tag: int, length: int) -> bool:
        is_end = tag == self._encoding.sequence_delimitation and not self._is_defined
        if not is_end or length or self._at + 8 > self._fence:
            raise self._refusal("a sequence holds something else than items")
        self._at += 8
        self._leave()
        return True

    def _padding(self, data: Buffer, base: int) -> bool:
        """Let zeros pass, up to the limit."""
        room = self._padding_at + self._limits.max_zero_padding_bytes - base
        rest = bytes(data[self._at - base : room])
        first_other = base + min(len(data), room) - len(rest.lstrip(b"\0"))
        if first_other < base + len(data):
            raise ProtocolError("other bytes follow the data set", offset=first_other)
        self._at = base + len(data)
        return True

    def _is_zero_tail(self) -> bool:
        """Tell whether fewer bytes than a header are left, all of them zeros.

        One zero could be half of a group number, such as that of waveforms or
        overlays, so a data set without pixel data might have been cut there. Two
        are group 0000, which no data set holds.
        """
        if self._stack or any(self._pending):
            return False
        return len(self._pending) > 1 or Tags.PIXEL_DATA in self.lengths


def _elements_step(encoding: Encoding) -> Step:
    if encoding.is_explicit:
        return DataSetWalker._explicit_elements  # noqa: SLF001 -- a step of the class below
    return DataSetWalker._implicit_elements  # noqa: SLF001 -- see above
