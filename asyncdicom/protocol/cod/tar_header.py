"""One header block of a tar archive, and the records of an extended one (POSIX.1 pax).

Facts of the format: blocks of 512 bytes; a header says name, size and kind of what
follows, and a checksum of itself. What does not fit stands in an extended header in front
of it: records `LENGTH KEY=VALUE` (pax), or a long name alone (GNU).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BLOCK_BYTES", "TarHeader", "pax_records", "read_header", "why_unsafe"]

BLOCK_BYTES: Final = 512

_MAGIC: Final = (b"ustar\x00", b"ustar ")
"""POSIX, and GNU before POSIX; older archives have none, and are not written any more."""

_BLANK_CHECKSUM: Final = 8 * ord(" ")
_SIGN_BIT: Final = 0x80
_MAX_DIGITS: Final = 20
"""Of the length of a pax record; 2^64 has 20."""


@dataclass(frozen=True, slots=True)
class TarHeader:
    """What a header block says of its member."""

    name: str
    """As the archive has it; may be hostile."""
    byte_count: int
    kind: str
    """Type flag: `0` is a regular file."""


def read_header(block: bytes, offset: int) -> TarHeader:
    """Read a header block.

    Args:
        block: Its 512 bytes.
        offset: Where it stands, for errors.

    Raises:
        ProtocolError: If it is no header, or damaged.

    """
    # chksum: bytes 148 to 155, counted as blanks. Some writers added signed characters.
    rest = block[:148] + block[156:]
    wanted = _number(block[148:156], "checksum", offset)
    found = sum(rest) + _BLANK_CHECKSUM
    if found != wanted and found - 256 * sum(byte > 127 for byte in rest) != wanted:
        raise ProtocolError("a tar header does not match its checksum", offset=offset)
    # magic: bytes 257 to 262.
    magic = block[257:263]
    if magic not in _MAGIC:
        raise ProtocolError("a tar header is neither POSIX nor GNU", offset=offset)
    name = _text(block[:100])
    # prefix: bytes 345 to 499, of POSIX alone; GNU has times there.
    if magic == _MAGIC[0] and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    kind = chr(block[156])
    return TarHeader(name, _number(block[124:136], "size", offset), "0" if kind == "\0" else kind)


def _number(field: bytes, what: str, offset: int) -> int:
    """Read octal digits, or (GNU) a big-endian number behind a first bit that is set."""
    if field[0] & _SIGN_BIT:
        if field[0] != _SIGN_BIT:
            raise ProtocolError(f"{what} of a tar header is negative", offset=offset)
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise ProtocolError(f"{what} of a tar header is no number", offset=offset)
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def pax_records(block: bytes, offset: int) -> Iterator[tuple[str, bytes]]:
    """Yield key and value of the records of an extended header.

    Raises:
        ProtocolError: If they are damaged.

    """
    pos = 0
    while pos < len(block):
        # "%d %s=%s\n": the length counts the whole record, itself included.
        blank = block.find(b" ", pos, pos + _MAX_DIGITS + 1)
        digits = block[pos:blank] if blank > 0 else b""
        end = pos + int(digits) if digits.isdigit() else 0
        record = block[blank + 1 : end - 1]
        if end <= blank + 1 or block[end - 1 : end] != b"\n" or b"=" not in record:
            raise ProtocolError("an extended tar header is damaged", offset=offset + pos)
        key, _, value = record.partition(b"=")
        yield key.decode("utf-8", "surrogateescape"), value
        pos = end


def why_unsafe(name: str) -> str | None:
    """Return what is wrong with the name of a member, or None if it stays inside a folder."""
    if not name or not name.isprintable():
        return "its name is empty or cannot be printed"
    if name.startswith("/") or "\\" in name:
        return "its name is absolute, or has a backslash"
    if ".." in name.split("/"):
        return "its name leads out of the folder"
    return None
