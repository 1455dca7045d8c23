"""Where the frames of an instance are, so that each can be fetched by its span (PS3.5 §8, §A.4).

    place = pixel_place(head, byte_count)           # from the first bytes of the file
    if place is NEED_DATA: ...                      # from more of them
    spans = native_spans(place)                     # uncompressed
    spans = table_spans(entry, place)               # encapsulated, if the metadata has a table
    spans = fragment_spans(file, place)             # encapsulated, from the whole file

Facts of the format: the metadata of multi-frame instances has a `CustomOffsetTable`. For
encapsulated pixel data it is exact. For uncompressed pixel data the writer adds the length
of an item header that is not there, so that each frame is 8 bytes off: those places are made
from the header of the file alone, and the table is not looked at.

Rule: a span of the table is believed when the item in front of it has its length
(`check_item`).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from asyncdicom.errors import ContentError, LimitExceeded, ProtocolError, UnexpectedContent
from asyncdicom.protocol.data_elements import (
    ElementFound,
    ElementReader,
    FragmentsFound,
    SourceBytes,
)
from asyncdicom.protocol.part10_vocabulary import (
    EXPLICIT,
    UNDEFINED_LENGTH,
    Tags,
    encoding_of,
    is_deflated,
)
from asyncdicom.protocol.payload_events import NEED_DATA, NeedData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncdicom.protocol.part10_vocabulary import Encoding

__all__ = [
    "ITEM_HEADER_BYTES",
    "PixelPlace",
    "Span",
    "check_item",
    "fragment_spans",
    "native_spans",
    "pixel_place",
    "table_spans",
]

ITEM_HEADER_BYTES: Final = 8
"""Tag (FFFE,E000) and length (PS3.5 §7.5)."""

MAX_FRAMES: Final = 1_000_000
"""Of one instance; whole slides have up to some hundred thousand."""

_META_START: Final = 132
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_BEFORE_PIXEL_DATA: Final = 0x7FE0000F
_NUMBERS: Final = frozenset({Tags.SAMPLES_PER_PIXEL, Tags.ROWS, Tags.COLUMNS, Tags.BITS_ALLOCATED})
_WANTED: Final = _NUMBERS | {
    Tags.NUMBER_OF_FRAMES,
    Tags.PHOTOMETRIC_INTERPRETATION,
    # No element: whatever comes behind it ends the search.
    _BEFORE_PIXEL_DATA,
}
_ITEM: Final = Struct("<HHI").unpack
_UINT32: Final = Struct("<I").iter_unpack


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file."""

    first_byte: int
    byte_count: int


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """Where the pixel data of an instance are, and what its header says of them."""

    element_offset: int
    """Of the element, header included."""
    value_offset: int
    byte_count: int | None
    """Of the value; None if it is encapsulated."""
    encoding: Encoding
    number_of_frames: int
    frame_bits: int
    """Of one uncompressed frame."""


class _NeedsMore(Exception):
    """The head ends before what is looked for."""


class _Head:
    """The first bytes of a file as a source; implements `data_elements.Source`."""

    def __init__(self, content: bytes, byte_count: int) -> None:
        self._content = content
        self.byte_count = byte_count

    def read(self, offset: int, byte_count: int) -> bytes:
        end = min(offset + byte_count, self.byte_count)
        # A block that is looked at together may end early; a header of 12 bytes may not.
        if min(end, offset + 12) > len(self._content):
            raise _NeedsMore
        found = self._content[offset:end]
        # Zeros up to the end of the file end the data set; those up to the end of the head do not.
        if len(found) < end - offset and not found.strip(b"\0"):
            raise _NeedsMore
        return found


def pixel_place(head: bytes, byte_count: int) -> PixelPlace | NeedData | None:
    """Find the pixel data of an instance in the first bytes of its file.

    Args:
        head: As many of its first bytes as are there.
        byte_count: Size of the file.

    Returns:
        Its place, None if there is none, or `NEED_DATA` if the head ends before it.

    Raises:
        ProtocolError: If this is no DICOM file, or broken.
        UnexpectedContent: If the data set is deflated, or has no frames that can be told apart.

    """
    try:
        return _found(_Head(head, byte_count))
    except _NeedsMore:
        return NEED_DATA


def _found(head: _Head) -> PixelPlace | None:
    meta = head.read(_META_START - 4, 16)
    if not meta.startswith(b"DICM"):
        raise ProtocolError('no "DICM" behind the preamble: not a DICOM file', offset=128)
    # PS3.10 §7.1: (0002,0000) UL comes first, and says how long the rest of the group is.
    start = _META_START + 12 + int.from_bytes(meta[12:16], "little")
    reader = ElementReader(head, EXPLICIT, vr_of=_unknown, wanted=frozenset({_TRANSFER_SYNTAX_UID}))
    syntax = b"".join(_value(head, one) for one in _elements(reader, _META_START + 12))
    transfer_syntax_uid = syntax.strip(b"\0 ").decode("latin-1")
    if is_deflated(transfer_syntax_uid):
        raise UnexpectedContent("the data set is deflated: its frames cannot be fetched alone")
    encoding = encoding_of(transfer_syntax_uid)
    reader = ElementReader(head, encoding, vr_of=_unknown, wanted=_WANTED)
    values = {one.tag: _value(head, one) for one in _elements(reader, start)}
    return _place(head, reader.offset, encoding, values)


def _elements(reader: ElementReader, start: int) -> list[ElementFound]:
    return [event for event in reader.events(start) if isinstance(event, ElementFound)]


def _unknown(tag: int) -> str:  # noqa: ARG001 -- nothing depends on it
    return "UN"


def _value(head: _Head, element: ElementFound) -> bytes:
    if element.byte_count > 1024:
        raise ProtocolError("a short value is too long", offset=element.offset)
    value = head.read(element.offset, element.byte_count)
    if len(value) < element.byte_count:
        raise _NeedsMore
    return value


def _place(
    head: _Head, offset: int, encoding: Encoding, values: Mapping[int, bytes]
) -> PixelPlace | None:
    if offset + 8 > head.byte_count:
        return None
    order = "big" if encoding.is_big_endian else "little"
    element = head.read(offset, 12)
    group, number = (int.from_bytes(element[at : at + 2], order) for at in (0, 2))  # type: ignore[arg-type]  # -- one of two
    if group << 16 | number != Tags.PIXEL_DATA:
        return None
    header_bytes = 12 if encoding.is_explicit else 8
    length = int.from_bytes(element[header_bytes - 4 : header_bytes], order)  # type: ignore[arg-type]  # -- as above
    numbers = {tag: int.from_bytes(values.get(tag, b"")[:2], order) for tag in _NUMBERS}  # type: ignore[arg-type]  # -- as above
    bits = numbers[Tags.ROWS] * numbers[Tags.COLUMNS] * numbers[Tags.BITS_ALLOCATED]
    bits *= numbers[Tags.SAMPLES_PER_PIXEL] or 1
    # PS3.3 §C.7.6.3.1.2: both colours are sampled at every second column.
    if b"422" in values.get(Tags.PHOTOMETRIC_INTERPRETATION, b""):
        bits = bits * 2 // 3
    return PixelPlace(
        offset,
        offset + header_bytes,
        None if length == UNDEFINED_LENGTH else length,
        encoding,
        _number_of_frames(values.get(Tags.NUMBER_OF_FRAMES, b"")),
        bits,
    )


def _number_of_frames(value: bytes) -> int:
    text = value.strip(b" \0") or b"1"
    if not text.isdigit() or len(text) > 12:
        raise ProtocolError("NumberOfFrames is no number")
    if int(text) > MAX_FRAMES:
        raise LimitExceeded(f"more than {MAX_FRAMES} frames")
    return max(1, int(text))


def native_spans(place: PixelPlace) -> list[Span]:
    """Return where uncompressed frames are, one behind the other (PS3.5 §8.1).

    Raises:
        UnexpectedContent: If frames do not begin at bytes, or the value has another length.

    """
    assert place.byte_count is not None, "encapsulated frames are found otherwise"
    frames = place.number_of_frames
    if place.frame_bits % 8 and frames > 1:
        raise UnexpectedContent("frames of single bits do not begin at bytes")
    frame_bytes = -(-place.frame_bits // 8)
    # PS3.5 §7.1.1: a value has an even length.
    if place.byte_count not in (frame_bytes * frames, frame_bytes * frames + 1):
        raise UnexpectedContent(
            f"{frames} frames of {frame_bytes} bytes are not {place.byte_count} bytes"
        )
    return [Span(place.value_offset + n * frame_bytes, frame_bytes) for n in range(frames)]


def table_spans(entry: Mapping[str, Any], place: PixelPlace) -> list[Span] | None:
    """Return what the metadata says of encapsulated frames, or None if it says nothing usable.

    Args:
        entry: Of the instance in the metadata.
        place: Of its pixel data.

    """
    tables = entry.get("offset_tables")
    if not isinstance(tables, dict):
        return None
    offsets, lengths = tables.get("CustomOffsetTable"), tables.get("CustomOffsetTableLengths")
    if not isinstance(offsets, list) or not isinstance(lengths, list):
        return None
    if not len(offsets) == len(lengths) == place.number_of_frames:
        return None
    if not all(isinstance(number, int) for number in (*offsets, *lengths)):
        return None
    spans = [Span(*pair) for pair in zip(offsets, lengths, strict=True)]
    end = place.value_offset + ITEM_HEADER_BYTES
    for span in spans:
        if span.byte_count < 1 or span.first_byte < end + ITEM_HEADER_BYTES:
            return None
        end = span.first_byte + span.byte_count
    return spans


def check_item(header: bytes, span: Span) -> None:
    """Compare the item in front of a frame with what the table says.

    Args:
        header: The 8 bytes in front of the span.
        span: Of the frame.

    Raises:
        ContentError: If no item of that length begins there.

    """
    group, element, length = _ITEM(header)
    if (group << 16 | element, length) != (Tags.ITEM, span.byte_count):
        raise ContentError("the offset table of the metadata does not fit the file")


def fragment_spans(content: bytes, place: PixelPlace) -> list[list[Span]]:
    """Return the fragments of each encapsulated frame (PS3.5 §A.4), from the whole file.

    Raises:
        ProtocolError: If the fragments are broken.
        UnexpectedContent: If nobody says which fragments are of which frame.

    """
    reader = ElementReader(
        SourceBytes(content),
        place.encoding,
        vr_of=_unknown,
        wanted=frozenset({Tags.PIXEL_DATA}),
    )
    found = [one for one in reader.events(place.element_offset) if isinstance(one, FragmentsFound)]
    assert found, "the place is that of encapsulated pixel data"
    (fragments,) = found
    spans, pos = [], fragments.offset
    for length in fragments.fragment_bytes:
        spans.append(Span(pos + ITEM_HEADER_BYTES, length))
        pos += ITEM_HEADER_BYTES + length
    if len(spans) < 2:
        raise ProtocolError("the pixel data hold no fragment", offset=place.element_offset)
    table, *spans = spans
    if place.number_of_frames == 1:
        return [spans]
    if len(spans) == place.number_of_frames:
        return [[span] for span in spans]
    offsets = content[table.first_byte :][: table.byte_count - table.byte_count % 4]
    return _by_basic_table([offset for (offset,) in _UINT32(offsets)], spans, place)


def _by_basic_table(
    offsets: Sequence[int], spans: Sequence[Span], place: PixelPlace
) -> list[list[Span]]:
    """Sort fragments by the basic offset table: where the first item of each frame begins."""
    if len(offsets) != place.number_of_frames:
        raise UnexpectedContent("nobody says which fragments are of which frame")
    base = spans[0].first_byte - ITEM_HEADER_BYTES
    begins = {offset: number for number, offset in enumerate(offsets)}
    frames: list[list[Span]] = []
    for span in spans:
        if span.first_byte - ITEM_HEADER_BYTES - base in begins:
            frames.append([])
        if not frames:
            raise UnexpectedContent("the basic offset table does not fit the fragments")
        frames[-1].append(span)
    if len(frames) != place.number_of_frames:
        raise UnexpectedContent("the basic offset table does not fit the fragments")
    return frames
