"""Two ways to read what a `PduReader` holds; what they tell, joined, is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncdicom.protocol.upper_layer.pdu import PdvFragment
from asyncdicom.protocol.upper_layer.reader import NEED_DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncdicom.protocol.upper_layer.pdu import Pdu
    from asyncdicom.protocol.upper_layer.reader import PduReader

__all__ = ["drained", "drained_at_once"]


def drained(reader: PduReader) -> Iterator[Pdu | PdvFragment]:
    while (event := reader.next_event()) is not NEED_DATA:
        yield event


def drained_at_once(reader: PduReader) -> Iterator[Pdu | PdvFragment]:
    """Read whole messages and all data of a chunk at once, where that is possible."""
    while True:
        if (message := reader.whole_message()) is not None:
            reader.pass_message()
            context_id, command, dataset = message
            yield PdvFragment(context_id, True, True, command)
            if dataset is not None:
                yield PdvFragment(context_id, False, True, dataset)
        elif taken := [*_data_of(reader, 1), *_data_of(reader, 3)]:
            yield from taken
        elif (event := reader.next_event()) is not NEED_DATA:
            yield event
        else:
            assert reader.is_drained
            return


def _data_of(reader: PduReader, context_id: int) -> Iterator[PdvFragment]:
    pieces, has_ended = reader.take_data(context_id)
    for piece in pieces:
        yield PdvFragment(context_id, False, False, piece)
    if has_ended:
        yield PdvFragment(context_id, False, True, memoryview(b""))
