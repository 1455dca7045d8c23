"""Data elements as lines of text, in the form of odil: names padded, tag, VR, values.

    Patient's Name          0010,0010 PN ['Doe^Jane']
    Procedure Code Sequence 0008,1032 SQ (sequence, 2 items)
      Code Value            0008,0100 SH ['a']

What `find` writes of answers and `print` of files; both pad to their widest name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Line", "binary", "counted", "encoded", "sequence"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line; an empty one stands between the items of a sequence."""

    name: str
    """With its indent."""
    rest: str = ""


def encoded(line: Line, widest: int) -> bytes:
    """Return a line in UTF-8, with its end, its name padded to a width in characters."""
    text = f"{line.name:<{widest}} {line.rest}".rstrip() + "\n"
    return text.encode("utf-8", "replace")


def counted(count: int, noun: str) -> str:
    """Return `1 item`, `2 items`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def sequence(item_count: int) -> str:
    """Return what stands for a sequence."""
    return f"(sequence, {counted(item_count, 'item')})"


def binary(value_bytes: Sequence[int]) -> str:
    """Return what stands for binary values: one, or the fragments of encapsulated pixel data."""
    lengths = "+".join(map(str, value_bytes)) or "0"
    noun = "byte" if sum(value_bytes) == 1 else "bytes"
    return f"(binary, {counted(len(value_bytes), 'item')}, {lengths} {noun})"
