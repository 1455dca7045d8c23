"""Small valid pictures without an image library: a mosaic that is drawn from a name.

What they show is no pixel data: it is as good for testing a client, works for
every Transfer Syntax, and tells two instances apart at a glance.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

__all__ = ["jpeg", "mosaic", "png"]

SIDE = 16
"""Tiles per row and per column; a tile is 8 by 8 pixels."""

DC_CODES = ("00", "010", "011", "100", "101", "110", "1110", "11110", "111110")
"""Code per category of a DC difference (ITU-T T.81 Table K.3, first nine)."""


def mosaic(name: str) -> bytes:
    """Choose the grey value of each tile, row by row."""
    return hashlib.shake_128(name.encode()).digest(SIDE * SIDE)


def jpeg(tiles: bytes) -> bytes:
    """Encode as a baseline JPEG whose blocks have nothing but a DC coefficient (ITU-T T.81)."""
    pixels = SIDE * 8
    quantization = b"\0" + b"\x08" * 64
    frame = struct.pack(">BHHB3B", 8, pixels, pixels, 1, 1, 0x11, 0)
    dc_table = b"\0" + bytes([0, 1, 5, 1, 1, 1] + [0] * 10) + bytes(range(9))
    # The only AC symbol is "end of block", in one bit.
    ac_table = b"\x10" + bytes([1] + [0] * 15) + b"\0"
    scan = bytes([1, 1, 0x00, 0, 63, 0])
    segments = [
        (0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        (0xDB, quantization),
        (0xC0, frame),
        (0xC4, dc_table),
        (0xC4, ac_table),
        (0xDA, scan),
    ]
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(s) + 2) + s for marker, s in segments)
    return b"\xff\xd8" + head + entropy_coded(tiles) + b"\xff\xd9"


def entropy_coded(tiles: bytes) -> bytes:
    """Huffman-code the DC differences (ITU-T T.81 §F.1.2.1)."""
    bits, previous = [], 0
    for tile in tiles:
        # With a quantizer of 8, a DC coefficient of n means a block of grey 128 + n.
        value = tile - 128
        bits.append(dc_bits(value - previous) + "0")
        previous = value
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = int(text, 2).to_bytes(len(text) // 8, "big")
    # ITU-T T.81 §F.1.2.3: a 0xFF in entropy-coded data is followed by a zero byte.
    return data.replace(b"\xff", b"\xff\0")


def dc_bits(difference: int) -> str:
    """Return the category code and the bits of a difference (ITU-T T.81 §F.1.2.1.1)."""
    category = abs(difference).bit_length()
    if category == 0:
        return DC_CODES[0]
    bits = difference if difference > 0 else difference + (1 << category) - 1
    return f"{DC_CODES[category]}{bits:0{category}b}"


def png(tiles: bytes) -> bytes:
    """Encode as an 8-bit greyscale PNG (ISO/IEC 15948)."""
    pixels = SIDE * 8
    rows = (tiles[at : at + SIDE] for at in range(0, len(tiles), SIDE))
    lines = (b"\0" + b"".join(bytes([tile]) * 8 for tile in row) for row in rows)
    raw = b"".join(line * 8 for line in lines)
    header = struct.pack(">LLBBBBB", pixels, pixels, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Encode one chunk with its length and checksum (ISO/IEC 15948 §5.3)."""
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
