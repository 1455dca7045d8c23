"""Messages come whole or not at all, wherever they are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.dimse.assembler import (
    DataFragment,
    MessageAssembler,
    MessageBegan,
    MessageEnded,
    MessageEvent,
)
from asyncdicom.protocol.dimse.command_set import MAX_COMMAND_SET_BYTES
from asyncdicom.protocol.dimse.messages import CEchoRequest, CStoreRequest
from asyncdicom.protocol.upper_layer.pdu import PdvFragment
from tests.protocol.dimse.samples import CT, MESSAGES
from tests.support.chunking import cut, feedings

if TYPE_CHECKING:
    from collections.abc import Iterable

STORE = CStoreRequest(1, CT, "2.999.1")
ECHO = CEchoRequest(2)
DATA = b"data set"


def command(data: bytes, *, is_last: bool = True, context_id: int = 1) -> PdvFragment:
    return PdvFragment(context_id, is_command=True, is_last=is_last, data=memoryview(data))


def data_set(data: bytes, *, is_last: bool = True, context_id: int = 1) -> PdvFragment:
    return PdvFragment(context_id, is_command=False, is_last=is_last, data=memoryview(data))


def fragments(pieces: list[bytes], *, is_command: bool) -> list[PdvFragment]:
    *others, last = pieces
    make = command if is_command else data_set
    return [*(make(piece, is_last=False) for piece in others), make(last)]


def received(pieces: Iterable[PdvFragment]) -> list[MessageEvent]:
    """Return the events, with the data of each message in one piece."""
    assembler = MessageAssembler()
    events: list[MessageEvent] = []
    for fragment in pieces:
        for event in assembler.receive(fragment):
            if isinstance(event, DataFragment):
                assert len(event.data), "no empty data"
                if isinstance(events[-1], DataFragment):
                    events[-1] = DataFragment(bytes(events[-1].data) + bytes(event.data))
                    continue
            events.append(event)
    assert assembler.is_idle
    assembler.receive_eof()
    return events


WITH_DATA = [MessageBegan(1, STORE), DataFragment(DATA), MessageEnded()]


def test_a_message_without_data_ends_with_its_command() -> None:
    assert received([command(ECHO.encode())]) == [MessageBegan(1, ECHO), MessageEnded()]


def test_a_command_comes_whole_wherever_it_is_cut() -> None:
    for pieces in feedings(STORE.encode()):
        fed = [*fragments(pieces, is_command=True), data_set(DATA)]
        assert received(fed) == WITH_DATA


def test_data_come_wherever_they_are_cut() -> None:
    for pieces in feedings(DATA):
        fed = [command(STORE.encode()), *fragments(pieces, is_command=False)]
        assert received(fed) == WITH_DATA


def test_data_are_not_copied() -> None:
    assembler = MessageAssembler()
    assembler.receive(command(STORE.encode()))
    fragment = data_set(DATA, is_last=False)
    (event,) = assembler.receive(fragment)
    assert isinstance(event, DataFragment)
    assert event.data is fragment.data


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"", DATA], id="in front"),
        pytest.param([DATA, b""], id="behind"),
        pytest.param([b"", b"data", b"", b"", b" set", b""], id="in between"),
    ],
)
def test_empty_fragments_say_nothing(pieces: list[bytes]) -> None:
    fed = [command(STORE.encode()), *fragments(pieces, is_command=False)]
    assert received(fed) == WITH_DATA
    first, *rest = [command(b"", is_last=False), command(STORE.encode()), data_set(DATA)]
    assert received([first, *rest]) == WITH_DATA


def test_an_empty_data_set_ends() -> None:
    fed = [command(STORE.encode()), data_set(b"")]
    assert received(fed) == [MessageBegan(1, STORE), MessageEnded()]


def test_messages_follow_each_other_in_any_contexts() -> None:
    fed = [
        command(STORE.encode()),
        data_set(DATA),
        command(ECHO.encode(), context_id=255),
        command(STORE.encode()),
        data_set(DATA),
    ]
    assert received(fed) == [*WITH_DATA, MessageBegan(255, ECHO), MessageEnded(), *WITH_DATA]


HALF = STORE.encode()[:20]
BEGUN = command(STORE.encode())


@pytest.mark.parametrize(
    ("fed", "message"),
    [
        pytest.param([data_set(DATA)], "without a command", id="data first"),
        pytest.param(
            [command(HALF, is_last=False), data_set(DATA)],
            "before the end of its command set",
            id="data inside of a command",
        ),
        pytest.param(
            [BEGUN, BEGUN], "where the data set of a C-STORE-RQ is due", id="two commands"
        ),
        pytest.param(
            [BEGUN, data_set(DATA, is_last=False), BEGUN],
            "where the data set of a C-STORE-RQ is due",
            id="a command inside of data",
        ),
        pytest.param(
            [BEGUN, data_set(DATA, context_id=3)],
            "presentation context 3 inside of a message of 1",
            id="data in another context",
        ),
        pytest.param(
            [command(HALF, is_last=False), command(HALF, context_id=3)],
            "presentation context 3 inside of a message of 1",
            id="a command in two contexts",
        ),
        pytest.param(
            [command(ECHO.encode()), data_set(DATA)], "without a command", id="data of an echo"
        ),
        pytest.param(
            [BEGUN, data_set(DATA), data_set(DATA)], "without a command", id="data behind"
        ),
        pytest.param([command(HALF)], "ends inside of an element", id="half a command"),
        pytest.param([command(b"")], r"without \(0000,0100\)", id="an empty command"),
    ],
)
def test_what_does_not_belong_is_refused_by_name(fed: list[PdvFragment], message: str) -> None:
    assembler = MessageAssembler()
    *before, last = fed
    for fragment in before:
        assembler.receive(fragment)
    with pytest.raises(ProtocolError, match=message):
        assembler.receive(last)
    with pytest.raises(UsageError):
        assembler.receive(command(ECHO.encode()))
    assembler.receive_eof()


@pytest.mark.parametrize("fragment_bytes", [1, 1000, MAX_COMMAND_SET_BYTES + 1])
def test_no_more_of_a_command_is_held_than_anybody_needs(fragment_bytes: int) -> None:
    assembler = MessageAssembler()
    fragment = command(bytes(fragment_bytes), is_last=False)
    count = MAX_COMMAND_SET_BYTES // fragment_bytes
    for _ in range(count):
        assembler.receive(fragment)
    with pytest.raises(LimitExceeded):
        assembler.receive(fragment)


def test_a_command_of_one_fragment_is_bounded_too() -> None:
    with pytest.raises(LimitExceeded):
        MessageAssembler().receive(command(bytes(MAX_COMMAND_SET_BYTES + 1)))


@pytest.mark.parametrize(
    ("fed", "message"),
    [
        pytest.param([command(HALF, is_last=False)], "inside of a command set", id="command"),
        pytest.param([command(b"", is_last=False)], "inside of a command set", id="empty command"),
        pytest.param([BEGUN], "data set of a C-STORE-RQ", id="data set announced, none came"),
        pytest.param(
            [BEGUN, data_set(DATA, is_last=False)], "data set of a C-STORE-RQ", id="data set cut"
        ),
    ],
)
def test_an_end_inside_of_a_message_is_told(fed: list[PdvFragment], message: str) -> None:
    assembler = MessageAssembler()
    for fragment in fed:
        assembler.receive(fragment)
    assert not assembler.is_idle
    with pytest.raises(Truncated, match=message):
        assembler.receive_eof()


@given(st.data())
def test_a_dialogue_cut_anywhere_comes_back(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(MESSAGES)), max_size=4))
    fed: list[PdvFragment] = []
    expected: list[MessageEvent] = []
    for name in names:
        message = MESSAGES[name]
        encoded = message.encode()
        places = data.draw(st.lists(st.integers(0, len(encoded)), max_size=5))
        fed += fragments(cut(encoded, places), is_command=True)
        expected.append(MessageBegan(1, message))
        if message.has_data_set:
            content = data.draw(st.binary(max_size=20))
            places = data.draw(st.lists(st.integers(0, len(content)), max_size=3))
            fed += fragments(cut(content, places), is_command=False)
            expected += [DataFragment(content)] if content else []
        expected.append(MessageEnded())
    assert received(fed) == expected
