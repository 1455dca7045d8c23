"""Frames that look random, differ per instance, and cost no memory per instance.

Strategy: a few frame bodies are made once; a frame of an instance is one of them
with eight bytes replaced by a stamp that names study, series, instance and frame.
A frame travels as views on what is already in memory, so serving 512 KB costs
two small buffers.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncdicom.model import Buffer

__all__ = ["FrameBodies", "jpeg2000_bodies", "native_bodies", "rle_bodies"]

VARIANTS = 4
"""Distinct bodies; neighbours in a series differ in nearly every pixel."""

STAMP = struct.Struct("<4H")
"""Study, series, instance and frame numbers, modulo 65536."""


@dataclass(frozen=True, slots=True)
class FrameBodies:
    """Frame bodies to choose from.

    Attributes:
        bodies: All of one even length.
        stamp_offset: Where the stamp goes, in bytes from the start of a body.

    """

    bodies: tuple[memoryview, ...]
    stamp_offset: int

    @property
    def frame_bytes(self) -> int:
        """Length of each frame, in bytes."""
        return len(self.bodies[0])

    def frame(self, key: tuple[int, int, int, int]) -> tuple[Buffer, ...]:
        """Return the frame of (study, series, instance, frame) numbers."""
        body = self.bodies[sum(key) % len(self.bodies)]
        start, end = self.stamp_offset, self.stamp_offset + STAMP.size
        stamp = STAMP.pack(*(number & 0xFFFF for number in key))
        if start == 0:
            return (stamp[: len(body)], body[end:])
        return (body[:start], stamp, body[end:])


def native_bodies(frame_bytes: int, seed: int) -> FrameBodies:
    """Make uncompressed bodies: windows on one random buffer, so they share its memory."""
    even_bytes = frame_bytes + frame_bytes % 2
    noise = random.Random(seed).randbytes(even_bytes + 2 * VARIANTS)  # noqa: S311 -- pixels, not keys
    windows = (memoryview(noise)[2 * at : 2 * at + even_bytes] for at in range(VARIANTS))
    return FrameBodies(tuple(windows), stamp_offset=0)


def rle_bodies(frame_bytes: int, seed: int) -> FrameBodies:
    """Make RLE Lossless bodies of 16-bit pixels, from literal runs only (PS3.5 §G.3)."""
    frames = native_bodies(frame_bytes, seed).bodies
    bodies = tuple(memoryview(rle_frame(bytes(frame))) for frame in frames)
    # The first literal run follows the 64-byte RLE header and its length byte.
    return FrameBodies(bodies, stamp_offset=65)


def rle_frame(frame: bytes) -> bytes:
    """Encode a frame of 16-bit little endian pixels, most significant bytes first (PS3.5 §G.2)."""
    segments = [rle_segment(frame[1::2]), rle_segment(frame[0::2])]
    offsets = [64, 64 + len(segments[0])]
    # PS3.5 §G.5: the header is 16 UL values: the number of segments and 15 offsets.
    header = struct.pack("<16L", len(segments), *offsets, *[0] * 13)
    return header + b"".join(segments)


def rle_segment(plane: bytes) -> bytes:
    """Encode one byte plane, padded to even length (PS3.5 §G.3.1)."""
    runs = (plane[at : at + 128] for at in range(0, len(plane), 128))
    encoded = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return encoded + b"\0" * (len(encoded) % 2)


def jpeg2000_bodies(rows: int, columns: int, seed: int) -> FrameBodies:
    """Make bodies *labelled* JPEG 2000: true markers around noise, which nothing can decode."""
    # ISO/IEC 15444-1 Annex A: SOC, SIZ (one 16-bit component, one tile), a COM for the stamp.
    size = struct.pack(
        ">HHLLLLLLLLH3B", 41, 0, columns, rows, 0, 0, columns, rows, 0, 0, 1, 15, 1, 1
    )
    head = b"\xff\x4f" + b"\xff\x51" + size + b"\xff\x64" + struct.pack(">HH", 4 + STAMP.size, 0)
    noise_bytes = max(2, rows * columns * 2 // 3)
    noise = native_bodies(noise_bytes, seed).bodies
    bodies = []
    for part in noise:
        # A marker inside the noise would start with 0xFF: entropy-coded data holds none above 0x8F.
        body = head + bytes(STAMP.size) + bytes(part).replace(b"\xff", b"\x7f") + b"\xff\xd9"
        bodies.append(memoryview(body + b"\0" * (len(body) % 2)))
    return FrameBodies(tuple(bodies), stamp_offset=len(head))
