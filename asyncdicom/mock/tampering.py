"""Changes to the content of answers: other UIDs, flipped bytes, parts that are missing or short."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from asyncdicom.mock.messages import Content, Multipart, Part, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncdicom.model import Buffer

__all__ = ["Endless", "change_content", "change_parts", "flip", "gzip_bomb", "other_uid"]

# (0002,0003) is always Explicit VR; (0008,0018) has a 32-bit length where the VR is implicit.
SOP_INSTANCE_UID = re.compile(
    rb"(?:\x02\x00\x03\x00UI..|\x08\x00\x18\x00(?:UI..|.\x00\x00\x00))[0-9.]*([0-9])", re.DOTALL
)

PIXEL_DATA_LENGTH = re.compile(rb"\xe0\x7f\x10\x00(?:O[BW]\x00\x00)?(....)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Endless:
    """A body that never ends."""

    start: bytes
    forever: bytes

    def byte_count(self) -> int:
        """Length in bytes; a lie, as there is none."""
        return 0

    def buffers(self) -> Iterator[Buffer]:
        """Produce bytes for ever."""
        yield self.start
        while True:
            yield self.forever


def change_parts(response: Response, change: Callable[[list[Part]], Sequence[Part]]) -> Response:
    """Change the list of parts of a multipart answer; others stay as they are."""
    body = response.body
    if not isinstance(body, Multipart):
        return response
    return replace(response, body=replace(body, parts=lambda: change(list(body.parts()))))


def change_content(response: Response, number: int, change: Callable[[bytes], bytes]) -> Response:
    """Change the bytes of one part, from 1, or of an answer that has no parts.

    The length may change in parts only.
    """
    body = response.body
    if isinstance(body, Content):
        return replace(response, body=changed(body, change))

    def change_one(parts: list[Part]) -> list[Part]:
        at = min(number, len(parts)) - 1
        parts[at] = replace(parts[at], content=changed(parts[at].content, change))
        return parts

    return change_parts(response, change_one)


def changed(content: Content, change: Callable[[bytes], bytes]) -> Content:
    """Change content while it is produced; its length has to stay."""
    return Content(content.length, lambda: (change(b"".join(content.produce())),))


def other_uid(data: bytes) -> bytes:
    """Give an instance, or the first of a DICOM JSON answer, another SOP Instance UID."""
    if data[:1] == b"[":
        return other_uid_in_json(data)
    changed_data = bytearray(data)
    for match in SOP_INSTANCE_UID.finditer(data[: 64 * 1024]):
        changed_data[match.start(1)] = ord(next_digit(chr(data[match.start(1)])))
    return bytes(changed_data)


def other_uid_in_json(data: bytes) -> bytes:
    """Change (0008,0018) of the first data set."""
    datasets = orjson.loads(data)
    for dataset in datasets[:1]:
        values = dataset.get("00080018", {}).get("Value", [])
        values[:1] = [uid[:-1] + next_digit(uid[-1]) for uid in values[:1]]
    return orjson.dumps(datasets)


def next_digit(digit: str) -> str:
    """Return another digit that is not zero."""
    return str(int(digit) % 9 + 1)


def flip(data: bytes, at: int | None) -> bytes:
    """Flip the highest bit of one byte.

    Args:
        data: A Part 10 file, or anything else.
        at: Which byte; negative from the end; None for the length of Pixel Data, and
            without one for the group length of the File Meta Information.

    """
    changed_data = bytearray(data)
    if at is None:
        pixel_data = PIXEL_DATA_LENGTH.search(data)
        # 140: (0002,0000) is at 132, its value after eight bytes (PS3.10 §7.1).
        at = pixel_data.end(1) - 1 if pixel_data else min(140, len(data) - 1)
    if -len(data) <= at < len(data):
        changed_data[at] ^= 0x80
    return bytes(changed_data)


def gzip_bomb(size_bytes: int) -> bytes:
    """Compress zeros, about a thousand to one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1024 * 1024)
    blocks = [packer.compress(block) for _ in range(max(1, size_bytes // len(block)))]
    return b"".join([*blocks, packer.flush()])
