"""Presentation contexts, as proposed and as answered (PS3.8 §9.3.2.2, §9.3.3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncdicom.errors import ProtocolError
from asyncdicom.protocol.upper_layer.items import write_item, write_text
from asyncdicom.protocol.upper_layer.user_information import RawItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.protocol.upper_layer.items import Item, ItemReader

__all__ = [
    "AnsweredContext",
    "ProposedContext",
    "read_answered",
    "read_proposed",
    "write_answered",
    "write_proposed",
]

_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_FIXED_BYTES = 4
"""Context ID, result (or reserved), and two reserved bytes, before the sub-items."""


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """Presentation context of a request (PS3.8 Table 9-13)."""

    context_id: int
    """Odd, 1 to 255."""
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    unknown: tuple[RawItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AnsweredContext:
    """Presentation context of an acceptance (PS3.8 Table 9-18)."""

    context_id: int
    """Odd, 1 to 255."""
    result: int
    """0 acceptance, 1 user rejection, 2 no reason, 3 abstract syntax, 4 transfer syntaxes."""
    transfer_syntax: str = ""
    """Says something only where the result is 0."""
    unknown: tuple[RawItem, ...] = ()


def write_proposed(context: ProposedContext) -> bytes:
    """Write a context of a request.

    Raises:
        ConfigError: If a field is longer than its length can say.

    """
    fixed = bytes((context.context_id, 0, 0, 0))
    abstract_syntax = _write_syntax(_ABSTRACT_SYNTAX, context.abstract_syntax)
    transfer_syntaxes = (_write_syntax(_TRANSFER_SYNTAX, uid) for uid in context.transfer_syntaxes)
    unknown = (write_item(item.item_type, item.data) for item in context.unknown)
    return write_item(0x20, fixed, abstract_syntax, *transfer_syntaxes, *unknown)


def write_answered(context: AnsweredContext) -> bytes:
    """Write a context of an acceptance.

    Raises:
        ConfigError: If a field is longer than its length can say.

    """
    fixed = bytes((context.context_id, 0, context.result, 0))
    # Peers refuse without a transfer syntax, though PS3.8 §9.3.3.2 wants one there too.
    syntax = context.transfer_syntax
    transfer_syntax = _write_syntax(_TRANSFER_SYNTAX, syntax) if syntax else b""
    unknown = (write_item(item.item_type, item.data) for item in context.unknown)
    return write_item(0x21, fixed, transfer_syntax, *unknown)


def _write_syntax(item_type: int, uid: str) -> bytes:
    return write_item(item_type, write_text(uid))


def read_proposed(reader: ItemReader, items: Sequence[Item]) -> tuple[ProposedContext, ...]:
    """Parse the contexts of a request.

    Raises:
        ProtocolError: If one is malformed, or IDs are even or come twice.

    """
    contexts = tuple(_read_proposed(reader, item) for item in items)
    _check_ids([context.context_id for context in contexts])
    return contexts


def read_answered(reader: ItemReader, items: Sequence[Item]) -> tuple[AnsweredContext, ...]:
    """Parse the contexts of an acceptance.

    Raises:
        ProtocolError: If one is malformed, or IDs are even or come twice.

    """
    contexts = tuple(_read_answered(reader, item) for item in items)
    _check_ids([context.context_id for context in contexts])
    return contexts


def _check_ids(ids: Sequence[int]) -> None:
    # PS3.8 §9.3.2.2: odd integers between 1 and 255; so there are at most 128.
    if len(set(ids)) != len(ids) or any(one % 2 == 0 for one in ids):
        raise ProtocolError("presentation context IDs are odd, and each comes once")


def _read_proposed(reader: ItemReader, item: Item) -> ProposedContext:
    abstract_syntaxes, others = _split(_read_sub_items(reader, item), _ABSTRACT_SYNTAX)
    transfer_syntaxes, unknown = _split(others, _TRANSFER_SYNTAX)
    abstract_syntax = _only(reader, abstract_syntaxes, item)
    return ProposedContext(
        context_id=reader.data[item.start],
        abstract_syntax=abstract_syntax,
        transfer_syntaxes=tuple(reader.text(one.start, one.end) for one in transfer_syntaxes),
        unknown=_raw(reader, unknown),
    )


def _read_answered(reader: ItemReader, item: Item) -> AnsweredContext:
    transfer_syntaxes, unknown = _split(_read_sub_items(reader, item), _TRANSFER_SYNTAX)
    transfer_syntax = _only(reader, transfer_syntaxes, item) if transfer_syntaxes else ""
    return AnsweredContext(
        context_id=reader.data[item.start],
        result=reader.data[item.start + 2],
        transfer_syntax=transfer_syntax,
        unknown=_raw(reader, unknown),
    )


def _read_sub_items(reader: ItemReader, item: Item) -> list[Item]:
    if item.end - item.start < _FIXED_BYTES:
        raise ProtocolError("a presentation context is cut", offset=item.start)
    return list(reader.items(item.start + _FIXED_BYTES, item.end))


def _split(items: Sequence[Item], item_type: int) -> tuple[list[Item], list[Item]]:
    """Split items into those of a type, and the others."""
    wanted = [item for item in items if item.item_type == item_type]
    return wanted, [item for item in items if item.item_type != item_type]


def _only(reader: ItemReader, items: Sequence[Item], context: Item) -> str:
    if len(items) != 1:
        raise ProtocolError(
            f"a context with {len(items)} syntaxes where one is to be", offset=context.start
        )
    return reader.text(items[0].start, items[0].end)


def _raw(reader: ItemReader, items: Sequence[Item]) -> tuple[RawItem, ...]:
    return tuple(RawItem(item.item_type, reader.data[item.start : item.end]) for item in items)
