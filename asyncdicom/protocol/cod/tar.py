"""Take the members out of a tar archive as its bytes come (POSIX.1 pax, ustar; GNU names).

    parser = TarParser()
    for chunk in chunks:
        parser.receive_data(chunk)
        while (event := parser.next_event()) is not NEED_DATA:
            match event:
                case MemberBegan(name, byte_count): ...
                case MemberData(data): ...
                case MemberEnded(): ...
                case MemberSkipped(name, why): ...
    parser.receive_eof()

Strategy: only headers are collected; content is handed on as it came, without a copy.

Rule: `MemberEnded` comes behind the last byte of a member and its padding. The archive is
whole when both blocks of zeros at its end were read; a cut anywhere before is `Truncated`.

Rule: regular files alone are members. Links, devices, sparse files and names that lead
elsewhere are told and skipped, so that one hostile member costs only itself.

Memory: one extended header, within `TarLimits`. Cost: linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.cod.tar_header import (
    BLOCK_BYTES,
    TarHeader,
    pax_records,
    read_header,
    why_unsafe,
)
from asyncdicom.protocol.payload_events import NEED_DATA, NeedData

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = [
    "MemberBegan",
    "MemberData",
    "MemberEnded",
    "MemberSkipped",
    "TarEvent",
    "TarLimits",
    "TarParser",
]


@dataclass(frozen=True, slots=True)
class TarLimits:
    """What an archive may hold before it is refused."""

    max_extended_bytes: int = 1024 * 1024
    """Of one extended header. Writers of series need 40 bytes; names may have 4,096."""
    max_member_bytes: int = 1 << 40
    """A terabyte: the largest whole-slide images have some gigabytes."""


@dataclass(frozen=True, slots=True)
class MemberBegan:
    """The headers of a regular file were read."""

    name: str
    byte_count: int
    offset: int
    """Of its first byte, in the archive."""


@dataclass(frozen=True, slots=True)
class MemberData:
    """The next bytes of the member; never empty."""

    data: memoryview
    """Valid as long as it is held; keeps its chunk in memory."""


@dataclass(frozen=True, slots=True)
class MemberEnded:
    """The member is whole, its padding included."""


@dataclass(frozen=True, slots=True)
class MemberSkipped:
    """Something that is no regular file, or has a name that nothing can be stored under."""

    name: str
    """Fit to be printed."""
    why: str


TarEvent: TypeAlias = MemberBegan | MemberData | MemberEnded | MemberSkipped


class _State(Enum):
    HEADER = auto()
    EXTENDED = auto()
    CONTENT = auto()
    PADDING = auto()
    END = auto()


_REGULAR: Final = frozenset("07")
"""`7` is a contiguous file, which is a regular one where that means nothing."""
_WITHOUT_CONTENT: Final = {
    "1": "a link",
    "2": "a link",
    "3": "a device",
    "4": "a device",
    "5": "a folder",
    "6": "a pipe",
}
_EXTENDED: Final = frozenset("xgLK")
_ZEROS: Final = bytes(BLOCK_BYTES)
_SPARSE: Final = "a sparse file"


class TarParser:
    """Parses one archive, pushed in chunks of any size."""

    def __init__(self, limits: TarLimits | None = None) -> None:
        self._limits = limits or TarLimits()
        self._state = _State.HEADER
        self._failure: ProtocolError | None = None
        self._chunk = memoryview(b"")
        self._offset = 0
        """Of the first byte of the chunk that was not used yet."""
        self._block = bytearray()
        self._block_bytes = BLOCK_BYTES
        self._zero_blocks = 0
        # Of the extended headers in front of the next member.
        self._kind = ""
        self._size = 0
        self._path: str | None = None
        self._pax_size: int | None = None
        self._is_sparse = False
        # Of the member under way.
        self._left = 0
        self._padding = 0
        self._is_wanted = False
        self._began: MemberBegan | None = None

    @classmethod
    def within(cls, name: str, byte_count: int, limits: TarLimits | None = None) -> Self:
        """Return a parser for an archive from the first byte of a member on.

        Args:
            name: Of the member, whose headers nobody reads.
            byte_count: Of the member.
            limits: What is refused.

        """
        parser = cls(limits)
        parser._state = _State.CONTENT
        parser._left, parser._padding = byte_count, _padding_of(byte_count)
        parser._is_wanted = True
        parser._began = MemberBegan(name, byte_count, 0)
        return parser

    def receive_data(self, data: Buffer) -> None:
        """Store bytes; what was stored before has to be used up (`next_event`)."""
        view = memoryview(data).cast("B")
        self._chunk = memoryview(bytes(self._chunk) + bytes(view)) if len(self._chunk) else view

    def next_event(self) -> TarEvent | NeedData:
        """Return the next event, or `NEED_DATA`.

        Raises:
            ProtocolError: If this is no tar archive. From then on each call raises it again.
            LimitExceeded: If a limit was met.

        """
        if self._failure is not None:
            raise self._failure
        if self._began is not None:
            began, self._began = self._began, None
            return began
        try:
            return self._advance()
        except ProtocolError as error:
            self._failure = error
            raise

    def receive_eof(self) -> None:
        """Confirm that the end of the archive was read.

        Raises:
            Truncated: If it was not.
            ProtocolError: If the archive is broken.

        """
        if self._failure is not None:
            raise self._failure
        if self._state is not _State.END:
            self._failure = Truncated("the tar archive ends early", offset=self._offset)
            raise self._failure

    def _advance(self) -> TarEvent | NeedData:
        while True:
            match self._state:
                case _State.CONTENT if self._left:
                    if not len(self._chunk):
                        return NEED_DATA
                    piece = self._take(self._left)
                    self._left -= len(piece)
                    if self._is_wanted:
                        return MemberData(piece)
                case _State.CONTENT:
                    self._state = _State.PADDING
                case _State.PADDING:
                    self._padding -= len(self._take(self._padding))
                    if self._padding:
                        return NEED_DATA
                    self._state = _State.HEADER
                    if self._is_wanted:
                        return MemberEnded()
                case _State.END:
                    # What follows is padding up to the block of a tape.
                    self._take(len(self._chunk))
                    return NEED_DATA
                case _:
                    if not self._collect():
                        return NEED_DATA
                    event = self._collected()
                    if event is not None:
                        return event

    def _take(self, at_most: int) -> memoryview:
        piece = self._chunk[:at_most]
        self._chunk = self._chunk[at_most:]
        self._offset += len(piece)
        return piece

    def _collect(self) -> bool:
        """Tell whether the block that is needed now is there."""
        self._block += self._take(self._block_bytes - len(self._block))
        return len(self._block) == self._block_bytes

    def _collected(self) -> TarEvent | None:
        block, start = bytes(self._block), self._offset - self._block_bytes
        self._block = bytearray()
        self._block_bytes = BLOCK_BYTES
        if self._state is _State.EXTENDED:
            self._state = _State.HEADER
            self._read_extended(block[: self._size], start)
            return None
        if block == _ZEROS:
            self._end_block(start)
            return None
        self._zero_blocks = 0
        header = read_header(block, start)
        if header.kind in _EXTENDED:
            self._begin_extended(header, start)
            return None
        return self._begin_member(header, start)

    def _end_block(self, start: int) -> None:
        if self._path is not None or self._pax_size is not None:
            raise ProtocolError("a tar member is missing behind its extended header", offset=start)
        self._zero_blocks += 1
        if self._zero_blocks == 2:
            self._state = _State.END

    def _begin_extended(self, header: TarHeader, start: int) -> None:
        if header.byte_count > self._limits.max_extended_bytes:
            most = self._limits.max_extended_bytes
            raise LimitExceeded(f"an extended tar header exceeds {most} bytes", offset=start)
        self._kind, self._size = header.kind, header.byte_count
        self._block_bytes = header.byte_count + _padding_of(header.byte_count)
        if self._block_bytes:
            self._state = _State.EXTENDED
        else:
            self._block_bytes = BLOCK_BYTES

    def _read_extended(self, content: bytes, start: int) -> None:
        if self._kind == "L":
            self._path = content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        if self._kind in "LK":
            return
        for key, value in pax_records(content, start):
            is_vital = key in ("path", "size") or key.startswith("GNU.sparse.")
            if is_vital and self._kind == "g":
                raise ProtocolError(f"{key} is said of all tar members at once", offset=start)
            if key == "path":
                self._path = value.decode("utf-8", "surrogateescape")
            elif key == "size":
                # 2^64 has 20 digits.
                if not value.isdigit() or len(value) > 20:
                    raise ProtocolError("size of an extended tar header is none", offset=start)
                self._pax_size = int(value)
            elif is_vital:
                self._is_sparse = True

    def _begin_member(self, header: TarHeader, start: int) -> TarEvent:
        name = header.name if self._path is None else self._path
        byte_count = header.byte_count if self._pax_size is None else self._pax_size
        is_sparse = self._is_sparse or header.kind == "S"
        self._path = self._pax_size = None
        self._is_sparse = False
        why = _SPARSE if is_sparse else _WITHOUT_CONTENT.get(header.kind)
        if header.kind in _WITHOUT_CONTENT and byte_count:
            # Readers differ in whether content follows: whatever comes next may be either.
            raise ProtocolError(f"{why} in a tar archive claims to have content", offset=start)
        if header.kind == "S":
            raise ProtocolError("an old sparse file in a tar archive", offset=start)
        if byte_count > self._limits.max_member_bytes:
            most = self._limits.max_member_bytes
            raise LimitExceeded(f"a tar member exceeds {most} bytes", offset=start)
        if why is None and header.kind not in _REGULAR:
            why = f"of the unknown kind {header.kind!a}"
        why = why or why_unsafe(name)
        self._state = _State.CONTENT
        self._left, self._padding = byte_count, _padding_of(byte_count)
        self._is_wanted = why is None
        if why is not None:
            return MemberSkipped(ascii(name)[1:-1], why)
        return MemberBegan(name, byte_count, self._offset)


def _padding_of(byte_count: int) -> int:
    return -byte_count % BLOCK_BYTES
