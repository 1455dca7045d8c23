"""Read the elements of a data set one by one, from what can be read at an offset (PS3.5 §7).

    reader = ElementReader(source, encoding_of(transfer_syntax_uid), vr_of=vr_of)
    for event in reader.events(start):
        match event:
            case ElementFound(tag=tag, vr=vr, offset=offset, byte_count=n): ...
            case SequenceBegan() | ItemBegan() | SequenceEnded() | FragmentsFound(): ...

Strategy: only headers are read; a value is a place, and whoever wants it reads it
from the source. So pixel data of any size costs nothing, and a caller that has what
it wants leaves the loop. `part10_dataset` proves structure while bytes arrive; this
reads what is at rest, in order to show it or to copy some of it.

Rule: what is certain is handed out before what is broken is raised, so that a damaged
file can be shown up to where it is damaged.

Memory: the lengths of the fragments of one element, within `MAX_FRAGMENTS`; nothing else grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.part10_vocabulary import (
    EXPLICIT,
    IMPLICIT,
    UNDEFINED_LENGTH,
    Part10Limits,
    Tags,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncdicom.protocol.part10_vocabulary import Encoding

__all__ = [
    "SHORT_VRS",
    "ElementFound",
    "ElementReader",
    "Event",
    "FragmentsFound",
    "ItemBegan",
    "SequenceBegan",
    "SequenceEnded",
    "Source",
    "SourceBytes",
]

SHORT_VRS: Final = frozenset(
    [
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS"),
        *("LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    ]
)
"""PS3.5 Table 7.1-2: a 16-bit length follows the VR. All others have 32 bits, also those
that are still to come (PS3.5 §6.2)."""

MAX_FRAGMENTS: Final = 1_000_000
"""Of one element, so that their lengths stay below 40 MB. Whole slides have up to some
hundred thousand."""

_DEFAULT_LIMITS: Final = Part10Limits()
_NO_FENCE: Final = 1 << 63
_HURRIED_BYTES: Final = 1024
"""Looked at together: some forty elements without a long value."""


class Source(Protocol):
    """Bytes at rest."""

    @property
    def byte_count(self) -> int:
        """Count of all bytes."""

    def read(self, offset: int, byte_count: int) -> bytes:
        """Return the bytes from an offset on; fewer only where they end."""


class SourceBytes:
    """A source in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def byte_count(self) -> int:
        """Count of all bytes."""
        return len(self._content)

    def read(self, offset: int, byte_count: int) -> bytes:
        """Return the bytes from an offset on; fewer only where they end."""
        return self._content[offset : offset + byte_count]


class ElementFound(NamedTuple):
    """An element with a value of defined length."""

    depth: int
    """Sequences around it."""
    tag: int
    vr: str
    """Two letters; UN where nobody knows."""
    offset: int
    """Of the value."""
    byte_count: int
    """Of the value."""
    encoding: Encoding
    """Of the value; items may differ from what surrounds them."""


class SequenceBegan(NamedTuple):
    """The items of a sequence follow."""

    depth: int
    tag: int


class ItemBegan(NamedTuple):
    """The elements of an item follow, at the depth of its sequence plus one."""

    depth: int
    """Of the sequence."""
    offset: int
    """Of the item's own tag (FFFE,E000): what a DICOMDIR points at (PS3.3 §F.3.2.2)."""


class SequenceEnded(NamedTuple):
    """All items of a sequence were handed out."""

    depth: int
    tag: int
    item_count: int


@dataclass(frozen=True, slots=True)
class FragmentsFound:
    """Encapsulated pixel data (PS3.5 §A.4)."""

    depth: int
    tag: int
    vr: str
    offset: int
    """Of the basic offset table's item."""
    byte_count: int
    """From there to the end of the sequence delimitation item."""
    fragment_bytes: tuple[int, ...]
    """Lengths; the first is that of the basic offset table."""


Event: TypeAlias = ElementFound | SequenceBegan | ItemBegan | SequenceEnded | FragmentsFound


class _Header(NamedTuple):
    tag: int
    vr: str
    value: int
    """Offset of the value."""
    byte_count: int


class _Level(NamedTuple):
    """Where elements are read: a data set or an item."""

    depth: int
    end: int
    """No element passes it."""
    is_open: bool
    """Whether an item delimitation ends it."""


class ElementReader:
    """Reads one data set; after an error it has nothing more to say."""

    def __init__(
        self,
        source: Source,
        encoding: Encoding,
        *,
        vr_of: Callable[[int], str],
        wanted: frozenset[int] | None = None,
        limits: Part10Limits = _DEFAULT_LIMITS,
    ) -> None:
        """Prepare.

        Args:
            source: Where the data set is.
            encoding: Of the data set.
            vr_of: The VR of a tag, as implicit VR needs it; UN where nobody knows.
            wanted: Tags of the top level that are handed out, with all that is in them;
                the reader ends behind the last one. None for the whole data set.
            limits: What is refused so that memory and time stay bounded.

        """
        self._source = source
        self._encoding = encoding
        self._vr_of = vr_of
        self._wanted = wanted
        self._last = max(wanted) if wanted else 0
        self._limits = limits
        self._at = 0

    @property
    def offset(self) -> int:
        """Where the reader stands: once it has ended, at the element behind the last one wanted."""
        return self._at

    def events(self, start: int) -> Iterator[Event]:
        """Read from an offset to the end of the source.

        Returns:
            What is found, in the order of the data set; a header is read when it is asked for.

        Raises:
            Truncated: If the source ends inside of an element, an item or a sequence.
            ProtocolError: If the structure is undecidable.
            LimitExceeded: If sequences are nested too deeply.

        """
        self._at = start
        return self._elements(_Level(0, _NO_FENCE, is_open=False), self._encoding)

    def _elements(self, level: _Level, encoding: Encoding) -> Iterator[Event]:
        source, first = self._source, self._at
        wanted = None if level.depth else self._wanted
        while self._at < level.end:
            if wanted is not None and encoding.is_explicit:
                self._hurry_past(wanted, encoding)
            head = source.read(self._at, 12)
            if not level.depth and not head[:4].strip(b"\0") and self._is_end():
                return
            header = self._header(head, encoding)
            if header.vr == "" and self._at == first and encoding is EXPLICIT:
                # Some writers copy items of implicit VR into explicit data sets.
                encoding = IMPLICIT
                header = self._header(head, encoding)
            if header.tag == Tags.ITEM_DELIMITATION and level.is_open:
                self._at = header.value
                return
            if header.vr == "":
                raise ProtocolError("no VR stands where one belongs", offset=self._at)
            if wanted is not None and header.tag not in wanted:
                if header.tag > self._last:
                    return
                self._pass_by(header, level, encoding)
            elif header.vr == "SQ" or header.byte_count == UNDEFINED_LENGTH:
                yield from self._inside(header, level, encoding)
            else:
                yield self._value(header, level, encoding)
            if wanted is not None and header.tag == self._last:
                return
        if level.is_open:
            raise self._overrun()

    def _header(self, head: bytes, encoding: Encoding) -> _Header:
        """Read tag, VR and length (PS3.5 §7.1.2, §7.1.3); the VR is empty where none stands."""
        at = self._at
        if len(head) < 8:
            raise self._truncated()
        group, element, vr_bytes, byte_count = _EXPLICIT[encoding.is_big_endian](head)
        tag = group << 16 | element
        if not encoding.is_explicit or group == 0xFFFE:
            (byte_count,) = _LENGTH[encoding.is_big_endian](head, 4)
            return _Header(tag, "" if group == 0xFFFE else self._vr_of(tag), at + 8, byte_count)
        vr = _SHORT_VRS.get(vr_bytes)
        if vr is not None:
            return _Header(tag, vr, at + 8, byte_count)
        if not (vr_bytes.isalpha() and vr_bytes.isupper()):
            return _Header(tag, "", at + 8, 0)
        if len(head) < 12:
            raise self._truncated()
        # PS3.5 §6.2: a VR to come has a 32-bit length.
        (byte_count,) = _LENGTH[encoding.is_big_endian](head, 8)
        return _Header(tag, vr_bytes.decode("ascii"), at + 12, byte_count)

    def _hurry_past(self, wanted: frozenset[int], encoding: Encoding) -> None:
        """Pass by what nobody wants and has a short header: the hot loop of `collect`."""
        unpack, last = _EXPLICIT[encoding.is_big_endian], self._last
        block = self._source.read(self._at, _HURRIED_BYTES)
        pos, last_pos = 0, len(block) - 8
        while pos <= last_pos:
            group, element, vr, byte_count = unpack(block, pos)
            tag = group << 16 | element
            if tag in wanted or tag > last or vr not in _SHORT_VRS:
                break
            pos += 8 + byte_count
        self._skip_to(self._at + pos)

    def _pass_by(self, header: _Header, level: _Level, encoding: Encoding) -> None:
        if header.byte_count != UNDEFINED_LENGTH:
            self._skip_to(header.value + header.byte_count)
            return
        for _ in self._inside(header, level, encoding):
            continue

    def _value(self, header: _Header, level: _Level, encoding: Encoding) -> ElementFound:
        tag, vr, start, byte_count = header
        if start + byte_count > level.end:
            raise self._overrun()
        self._skip_to(start + byte_count)
        return ElementFound(level.depth, tag, vr, start, byte_count, encoding)

    def _inside(self, header: _Header, level: _Level, encoding: Encoding) -> Iterator[Event]:
        """Enter a sequence or encapsulated pixel data."""
        is_open = header.byte_count == UNDEFINED_LENGTH
        if not is_open and header.value + header.byte_count > level.end:
            raise self._overrun()
        if is_open and (header.tag == Tags.PIXEL_DATA or header.vr in ("OB", "OW")):
            yield self._fragments(header, level, encoding)
        else:
            # PS3.5 §6.2.2: UN of undefined length is a sequence in implicit VR.
            inner = IMPLICIT if header.vr == "UN" else encoding
            yield from self._items(header, level, inner)

    def _items(self, header: _Header, level: _Level, encoding: Encoding) -> Iterator[Event]:
        """Read the items of a sequence (PS3.5 §7.5)."""
        if level.depth >= self._limits.max_nesting:
            raise LimitExceeded(
                f"sequences are nested more than {self._limits.max_nesting} deep", offset=self._at
            )
        is_open = header.byte_count == UNDEFINED_LENGTH
        end = level.end if is_open else header.value + header.byte_count
        self._at, count = header.value, 0
        yield SequenceBegan(level.depth, header.tag)
        while self._at < end:
            tag, _, value, byte_count = self._header(self._source.read(self._at, 12), encoding)
            if tag == Tags.SEQUENCE_DELIMITATION and is_open:
                self._at = value
                break
            if tag != Tags.ITEM:
                raise ProtocolError("a sequence holds something else than items", offset=self._at)
            yield ItemBegan(level.depth, self._at)
            is_open_item = byte_count == UNDEFINED_LENGTH
            item_end = end if is_open_item else value + byte_count
            item = _Level(level.depth + 1, item_end, is_open_item)
            if item_end > end:
                raise self._overrun()
            self._at, count = value, count + 1
            yield from self._elements(item, encoding)
        else:
            if is_open:
                raise self._overrun()
        yield SequenceEnded(level.depth, header.tag, count)

    def _fragments(self, header: _Header, level: _Level, encoding: Encoding) -> FragmentsFound:
        """Measure the fragments of encapsulated pixel data (PS3.5 §A.4)."""
        self._at = header.value
        lengths: list[int] = []
        while True:
            tag, _, value, byte_count = self._header(self._source.read(self._at, 12), encoding)
            if tag == Tags.SEQUENCE_DELIMITATION:
                break
            if tag != Tags.ITEM or byte_count == UNDEFINED_LENGTH:
                raise ProtocolError("fragments are interrupted", offset=self._at)
            if value + byte_count > level.end:
                raise self._overrun()
            if len(lengths) == MAX_FRAGMENTS:
                raise LimitExceeded(f"more than {MAX_FRAGMENTS} fragments", offset=self._at)
            self._skip_to(value + byte_count)
            lengths.append(byte_count)
        self._at = value
        vr = header.vr if header.vr in ("OB", "OW") else "OB"
        span = value - header.value
        return FragmentsFound(level.depth, header.tag, vr, header.value, span, tuple(lengths))

    def _is_end(self) -> bool:
        """Tell whether nothing but zeros is left, as writers leave that fill sectors."""
        limit = self._limits.max_zero_padding_bytes
        rest = self._source.read(self._at, limit + 1)
        return len(rest) <= limit and not rest.strip(b"\0")

    def _skip_to(self, end: int) -> None:
        # Of sequences and items this is not asked: what they hold can be shown up to there.
        if end > self._source.byte_count:
            raise Truncated("the file ends inside of a value", offset=self._source.byte_count)
        self._at = end

    def _overrun(self) -> ProtocolError:
        return ProtocolError("a length passes the end of its item or sequence", offset=self._at)

    def _truncated(self) -> Truncated:
        return Truncated("the file ends inside of a data set", offset=self._source.byte_count)


_SHORT_VRS: Final = {vr.encode(): vr for vr in SHORT_VRS}
# Indexed by `is_big_endian`.
_EXPLICIT: Final = (Struct("<HH2sH").unpack_from, Struct(">HH2sH").unpack_from)
_LENGTH: Final = (Struct("<I").unpack_from, Struct(">I").unpack_from)
