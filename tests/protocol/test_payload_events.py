from __future__ import annotations

from asyncdicom.protocol.payload_events import (
    NEED_DATA,
    Event,
    NeedData,
    PartBegan,
    PartData,
    PartEnded,
    PayloadEnded,
    PayloadParser,
    drain,
)


class Scripted:
    """A parser that says what it was told to say."""

    def __init__(self, *events: Event | NeedData) -> None:
        self._events = list(events)

    def receive_data(self, data: object) -> None:
        raise AssertionError("draining feeds nothing")

    def receive_eof(self) -> None:
        raise AssertionError("draining ends nothing")

    def next_event(self) -> Event | NeedData:
        return self._events.pop(0)


def test_draining_stops_where_data_is_needed() -> None:
    parser: PayloadParser = Scripted(PartBegan((), 0), PartData(b"x"), NEED_DATA, PartEnded(1))
    assert list(drain(parser)) == [PartBegan((), 0), PartData(b"x")]
    assert parser.next_event() == PartEnded(1)


def test_the_end_of_a_part_is_not_the_end_of_the_payload() -> None:
    part: Event = PartEnded(3)
    payload: Event = PayloadEnded(3)
    assert part != payload
