"""Identifiers of queries: what they ask, and what they answer (PS3.4 §C.2.2, PS3.5 §7.1).

    data = encode_identifier([Element((0x00080052,), "CS", b"STUDY")], EXPLICIT)
    identifier_values(answer.identifier, answer.transfer_syntax, [0x0020000D])

Rule: values are bytes and text of one byte per character here. Whoever shows a name
decodes it by the character set of its data set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from asyncdicom.model import Buffer

__all__ = ["Element", "encode_identifier", "identifier_values"]


class Element(NamedTuple):
    """A key of an identifier."""

    path: tuple[int, ...]
    """Its tag, behind those of the sequences around it (each with one item)."""
    vr: str
    value: bytes = b""
    """As in the data set, without padding; empty asks for the value."""


def identifier_values(data: Buffer, transfer_syntax: str, tags: Collection[int]) -> dict[int, str]:
    """Return the text values of some elements of the top level.

    Values are decoded byte by byte (ISO 8859-1), without the padding around them;
    those of several values hold backslashes. Elements that are absent are left out.

    Args:
        data: A whole data set, as in an answer to C-FIND.
        transfer_syntax: Its UID.
        tags: Elements of text: UI, IS, DS, CS, LO and the like.

    Raises:
        ProtocolError: If the data set breaks its standard.
        Truncated: If it ends too early.

    """
    raise NotImplementedError


def encode_identifier(elements: Iterable[Element], transfer_syntax: str) -> bytes:
    """Write an identifier, in the order of tags (PS3.5 §7.1).

    Raises:
        UsageError: If two elements have the same path, or one is a sequence and none.

    """
    raise NotImplementedError
