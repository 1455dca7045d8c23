"""The small pictures are valid: an independent decoder finds the grey values again."""

from __future__ import annotations

import struct
import zlib

from asyncdicom.mock.images import jpeg, mosaic, png

TILES = mosaic("a name")
EXTREMES = bytes([0, 255] * 128)


def test_another_name_draws_another_mosaic() -> None:
    assert mosaic("a name") != mosaic("another")


def test_png_holds_the_tiles() -> None:
    data = png(TILES)
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack_from(">L", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">L", data, at + 8 + length)[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + length
    assert chunks[b"IHDR"][:8] == struct.pack(">LL", 128, 128)
    lines = zlib.decompress(chunks[b"IDAT"])
    assert bytes(lines[129 * 8 * (i // 16) + 1 + 8 * (i % 16)] for i in range(256)) == TILES


def test_jpeg_holds_the_tiles() -> None:
    assert decode_dc(jpeg(TILES)) == list(TILES)


def test_jpeg_holds_the_largest_differences() -> None:
    assert decode_dc(jpeg(EXTREMES)) == list(EXTREMES)


def decode_dc(data: bytes) -> list[int]:
    """Decode the blocks' mean grey values with the tables of the file (ITU-T T.81 Annex F)."""
    assert data[:2] == b"\xff\xd8"
    assert data[-2:] == b"\xff\xd9"
    tables: dict[int, dict[str, int]] = {}
    quantizer, at = 0, 2
    while True:
        marker, length = struct.unpack_from(">HH", data, at)
        segment = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xFFDB:
            quantizer = segment[1]
        if marker == 0xFFC4:
            tables[segment[0]] = huffman(segment)
        if marker == 0xFFDA:
            break
    bits = "".join(f"{byte:08b}" for byte in data[at:-2].replace(b"\xff\0", b"\xff"))
    values, previous, position = [], 0, 0
    for _ in range(256):
        category, position = symbol(tables[0x00], bits, position)
        text = bits[position : position + category]
        position += category
        if category:
            number = int(text, 2)
            previous += number if text[0] == "1" else number - (1 << category) + 1
        end_of_block, position = symbol(tables[0x10], bits, position)
        assert end_of_block == 0
        values.append(previous * quantizer // 8 + 128)
    assert set(bits[position:]) <= {"1"}
    return values


def huffman(segment: bytes) -> dict[str, int]:
    """Generate the codes of a table (ITU-T T.81 Annex C)."""
    codes, code, symbols = {}, 0, iter(segment[17:])
    for length, count in enumerate(segment[1:17], 1):
        for _ in range(count):
            codes[f"{code:0{length}b}"] = next(symbols)
            code += 1
        code <<= 1
    return codes


def symbol(table: dict[str, int], bits: str, position: int) -> tuple[int, int]:
    """Read one code."""
    end = position + 1
    while bits[position:end] not in table:
        end += 1
        assert end - position <= 16, "no code is longer"
    return table[bits[position:end]], end
