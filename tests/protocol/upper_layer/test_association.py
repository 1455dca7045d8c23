"""The association machine: every pair of state and event, and whole associations (PS3.8 §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import (
    AssociationAborted,
    AssociationRejected,
    ConnectionLost,
    FetchError,
    LimitExceeded,
    ProtocolError,
    UsageError,
)
from asyncdicom.protocol.upper_layer.association import (
    AssociationAccepted,
    AssociationEvent,
    AssociationMachine,
    AssociationReleased,
    AssociationRequested,
    PdvFragment,
    ReleaseRequested,
)
from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    decode,
    encode,
)
from asyncdicom.protocol.upper_layer.reader import PduLimits
from asyncdicom.protocol.upper_layer.table import State
from tests.protocol.upper_layer.samples import (
    ABORT_BYTES,
    DATA_BYTES,
    REJECT_BYTES,
    RELEASE_REQUEST_BYTES,
    RELEASE_RESPONSE_BYTES,
    acceptor,
    answer_to,
    associate,
    command,
    data_pdu,
    dataset,
    drained,
    fed,
    proposal,
    requestor,
    sent,
    verdict,
)
from tests.protocol.upper_layer.transitions import NEXT_STATES, cells
from tests.support.chunking import bytewise, cut, feedings, whole

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST = proposal()
ACCEPT = answer_to(REQUEST)
REJECTION = AssociateReject(1, 1, 7)
GARBAGE = b"GET / HTTP/1.1\r\n\r\n"


def received(data: bytes) -> Callable[[AssociationMachine], object]:
    return lambda machine: fed(machine, data)


def closed(machine: AssociationMachine) -> object:
    machine.receive_eof()
    return list(drained(machine))


EVENTS: dict[str, Callable[[AssociationMachine], object]] = {
    "Evt1": lambda machine: machine.request(REQUEST),
    "Evt2": lambda machine: machine.connected(),
    "Evt3": received(encode(ACCEPT)),
    "Evt4": received(REJECT_BYTES),
    "Evt5": lambda machine: machine.connected(),
    "Evt6": received(encode(REQUEST)),
    "Evt7": lambda machine: machine.accept(ACCEPT),
    "Evt8": lambda machine: machine.reject(REJECTION),
    "Evt9": lambda machine: machine.send_data(1, b"data", is_command=False, is_last=True),
    "Evt10": received(DATA_BYTES),
    "Evt11": lambda machine: machine.release(),
    "Evt12": received(RELEASE_REQUEST_BYTES),
    "Evt13": received(RELEASE_RESPONSE_BYTES),
    "Evt14": lambda machine: machine.respond_to_release(),
    "Evt15": lambda machine: machine.abort(),
    "Evt16": received(ABORT_BYTES),
    "Evt17": closed,
    "Evt18": lambda machine: machine.artim_expired(),
    "Evt19": received(GARBAGE),
}

TOLD: dict[str, type[FetchError | AssociationEvent] | None] = {
    "AE-3": AssociationAccepted,
    "AE-4": AssociationRejected,
    "AE-6": AssociationRequested,
    "DT-2": PdvFragment,
    "AR-2": ReleaseRequested,
    "AR-3": AssociationReleased,
    "AR-6": PdvFragment,
    "AR-8": ReleaseRequested,
    "AR-10": AssociationReleased,
    "AA-1": ProtocolError,
    "AA-3": AssociationAborted,
    "AA-4": ConnectionLost,
    "AA-8": ProtocolError,
}
"""What an action tells; AA-1 only where the peer is the cause."""

SENT: dict[str, bytes] = {
    "AE-2": encode(REQUEST),
    "AE-7": encode(ACCEPT),
    "AE-8": encode(REJECTION),
    "DT-1": data_pdu((1, 0b10, b"data")),
    "AR-1": RELEASE_REQUEST_BYTES,
    "AR-4": RELEASE_RESPONSE_BYTES,
    "AR-7": data_pdu((1, 0b10, b"data")),
    "AR-9": RELEASE_RESPONSE_BYTES,
    "AA-1": encode(Abort(0, 0)),
}
CLOSING = ("AE-4", "AR-3", "AA-2", "AA-3")
LOCAL = ("Evt1", "Evt2", "Evt5", "Evt7", "Evt8", "Evt9", "Evt11", "Evt14", "Evt15", "Evt18")
HARMLESS = ("Evt15", "Evt17", "Evt18")
"""What a shell may say at any time, whether or not the table has a cell for it."""

ACCEPTOR_ONLY = (State.STA2, State.STA3, State.STA10, State.STA12)
REQUESTOR_ONLY = (State.STA4, State.STA5, State.STA9, State.STA11)
REQUESTORS = [state for state in State if state not in ACCEPTOR_ONLY]
ACCEPTORS = [state for state in State if state not in REQUESTOR_ONLY]

ABORT_REASONS = {"Evt19": 1}
"""Reason of an A-ABORT by the provider: unrecognized PDU; else 2, unexpected PDU."""


def tell(machine: AssociationMachine, event: str) -> object:
    """Let an event happen; return the class of what is told, or of what is raised."""
    try:
        told = EVENTS[event](machine)
    except FetchError as error:
        return type(error)
    return type(told[0]) if isinstance(told, list) and told else None


def check_pair(machine: AssociationMachine, event: str, *, collides_at: State) -> None:
    before = machine.state
    action = cells()[event, before.name.capitalize()]
    if action is None:
        check_nothing_happens(machine, event)
        return
    told = tell(machine, event)
    expected = State[f"STA{NEXT_STATES[action]}"]
    assert machine.state is (collides_at if action == "AR-8" else expected)
    assert told is (None if action == "AA-1" and event in LOCAL else TOLD.get(action))
    provider_abort = encode(Abort(2, ABORT_REASONS.get(event, 2)))
    is_by_provider = action in ("AA-7", "AA-8")
    assert sent(machine) == (provider_abort if is_by_provider else SENT.get(action, b""))
    assert machine.artim_is_running == (machine.state in (State.STA2, State.STA13))
    assert machine.must_close == (action in CLOSING or event == "Evt17")


def check_nothing_happens(machine: AssociationMachine, event: str) -> None:
    before = machine.state
    if event in HARMLESS:
        EVENTS[event](machine)
    else:
        with pytest.raises(UsageError):
            EVENTS[event](machine)
    assert machine.state is before
    assert sent(machine) == b""


@pytest.mark.parametrize("event", [event for event in EVENTS if event != "Evt5"])
@pytest.mark.parametrize("state", REQUESTORS, ids=lambda state: state.name)
def test_a_requestor_does_what_the_table_says(state: State, event: str) -> None:
    check_pair(requestor(state), event, collides_at=State.STA9)


@pytest.mark.parametrize("event", [event for event in EVENTS if event not in ("Evt1", "Evt2")])
@pytest.mark.parametrize("state", ACCEPTORS, ids=lambda state: state.name)
def test_an_acceptor_does_what_the_table_says(state: State, event: str) -> None:
    check_pair(acceptor(state), event, collides_at=State.STA10)


def test_each_side_opens_in_its_own_way() -> None:
    with pytest.raises(UsageError):
        AssociationMachine.acceptor().request(REQUEST)
    with pytest.raises(UsageError):
        AssociationMachine.requestor().connected()


def test_a_machine_serves_one_association() -> None:
    machine = requestor(State.STA6)
    fed_and_ignored(machine, ABORT_BYTES)
    assert machine.state is State.STA1
    with pytest.raises(UsageError):
        machine.request(REQUEST)
    with pytest.raises(UsageError):
        machine.connected()


def fed_and_ignored(machine: AssociationMachine, data: bytes) -> None:
    with pytest.raises(FetchError):
        fed(machine, data)


def test_what_comes_when_all_is_over_is_not_looked_at() -> None:
    machine = requestor(State.STA5)
    with pytest.raises(AssociationRejected):
        fed(machine, REJECT_BYTES + GARBAGE)
    assert fed(machine, GARBAGE) == []
    assert sent(machine) == b""
    assert machine.must_close


# Whole associations, both sides ours.


def exchange(one: AssociationMachine, other: AssociationMachine) -> list[AssociationEvent]:
    """Carry bytes to and fro until nobody has any; return what was told."""
    told: list[AssociationEvent] = []
    moved = True
    while moved:
        moved = False
        for source, target in ((one, other), (other, one)):
            for data in source.data_to_send():
                target.receive_data(data)
                moved = True
            told += drained(target)
    return told


def pair(*, max_pdu_bytes: int = 16384) -> tuple[AssociationMachine, AssociationMachine]:
    client, server = AssociationMachine.requestor(), AssociationMachine.acceptor()
    client.request(REQUEST)
    client.connected()
    server.connected()
    assert exchange(client, server) == [AssociationRequested(REQUEST)]
    negotiated = server.accept(answer_to(REQUEST, max_pdu_bytes=max_pdu_bytes))
    assert exchange(client, server) == [AssociationAccepted(negotiated)]
    assert client.negotiated == server.negotiated == negotiated
    return client, server


def test_an_association_is_established_used_and_released() -> None:
    client, server = pair()
    client.send_data(3, b"request", is_command=True, is_last=True)
    assert exchange(client, server) == [command(3, b"request")]
    server.send_data(3, b"response", is_command=True, is_last=True)
    assert exchange(client, server) == [command(3, b"response")]
    client.release()
    assert exchange(client, server) == [ReleaseRequested()]
    assert server.may_respond_to_release
    server.respond_to_release()
    assert exchange(client, server) == [AssociationReleased()]
    assert (client.state, client.must_close) == (State.STA1, True)
    assert (server.state, server.artim_is_running) == (State.STA13, True)
    server.receive_eof()
    assert list(drained(server)) == []
    assert (server.state, server.must_close) == (State.STA1, True)
    assert not server.artim_is_running


def test_both_may_release_at_once() -> None:
    client, server = pair()
    client.release()
    server.release()
    told = exchange(client, server)
    assert told == [ReleaseRequested(is_collision=True)] * 2
    assert (client.state, server.state) == (State.STA9, State.STA10)
    assert (client.may_respond_to_release, server.may_respond_to_release) == (True, False)
    client.respond_to_release()
    assert exchange(client, server) == [AssociationReleased()]
    assert server.may_respond_to_release
    server.respond_to_release()
    assert exchange(client, server) == [AssociationReleased()]
    assert (client.state, server.state) == (State.STA1, State.STA13)


def test_data_still_come_while_a_release_is_awaited() -> None:
    client, server = pair()
    client.release()
    server.send_data(1, b"late", is_command=False, is_last=True)
    assert exchange(client, server) == [ReleaseRequested(), dataset(1, b"late")]
    server.send_data(1, b"later", is_command=False, is_last=True)
    assert exchange(client, server) == [dataset(1, b"later")]


def test_data_behind_the_answer_in_one_chunk_are_data() -> None:
    machine = requestor(State.STA5)
    accepted, fragment = fed(machine, encode(ACCEPT) + DATA_BYTES)
    assert isinstance(accepted, AssociationAccepted)
    assert fragment == command(1, b"command")


@pytest.mark.parametrize("max_pdu_bytes", [128, 129, 4096, 0])
def test_no_pdu_is_longer_than_the_peer_takes(max_pdu_bytes: int) -> None:
    client, server = pair(max_pdu_bytes=max_pdu_bytes)
    data = bytes(range(256)) * 600
    client.send_data(1, data, is_command=False, is_last=True)
    stream = sent(client)
    received_data, at, longest = b"", 0, 0
    while at < len(stream):
        length = int.from_bytes(stream[at + 2 : at + 6], "big")
        longest, at = max(longest, length), at + 6 + length
    assert longest <= (max_pdu_bytes or 128 * 1024)
    for event in fed(server, stream):
        assert isinstance(event, PdvFragment)
        received_data += event.data
    assert received_data == data


def test_what_we_announced_holds_for_the_peer() -> None:
    client, server = pair(max_pdu_bytes=4096)
    sent_by_peer = data_pdu((1, 0, bytes(4090)))
    assert len(fed(server, sent_by_peer)) == 1
    with pytest.raises(ProtocolError, match="4097 bytes, 4096 were announced"):
        fed(server, data_pdu((1, 0, bytes(4091))))
    assert decode(sent(server)) == Abort(2, 6)
    assert len(fed(client, data_pdu((1, 0, bytes(16378))))) == 1
    with pytest.raises(ProtocolError, match="16385 bytes, 16384 were announced"):
        fed(client, data_pdu((1, 0, bytes(16379))))


def test_data_travel_in_accepted_contexts_only() -> None:
    client, _ = pair()
    with pytest.raises(UsageError, match="context 5"):
        client.send_data(5, b"", is_command=True, is_last=True)
    with pytest.raises(ProtocolError, match="context 5"):
        fed(client, data_pdu((5, 3, b"x")))


# Refusals.


def test_a_request_is_refused_by_the_user() -> None:
    server = acceptor(State.STA3)
    server.reject(AssociateReject(2, 3, 2))
    assert decode(sent(server)) == AssociateReject(2, 3, 2)
    assert (server.state, server.artim_is_running) == (State.STA13, True)


@pytest.mark.parametrize("version", [0, 2, 0xFFFE])
def test_a_request_for_another_protocol_version_is_refused_by_the_provider(version: int) -> None:
    server = acceptor(State.STA2)
    data = bytearray(encode(REQUEST))
    data[6:8] = version.to_bytes(2, "big")
    with pytest.raises(ProtocolError, match=f"protocol {version:04X}, not version 1"):
        fed(server, bytes(data))
    assert decode(sent(server)) == AssociateReject(1, 2, 2)
    assert (server.state, server.artim_starts) == (State.STA13, 2)


def test_of_several_versions_one_is_enough() -> None:
    data = bytearray(encode(REQUEST))
    data[6:8] = b"\xff\xff"
    assert len(fed(acceptor(State.STA2), bytes(data))) == 1


def test_a_rejection_says_why() -> None:
    with pytest.raises(AssociationRejected, match="called AE title not recognized") as caught:
        fed(requestor(State.STA5), REJECT_BYTES)
    assert not caught.value.is_transient


def test_an_abort_says_why() -> None:
    with pytest.raises(AssociationAborted, match="invalid PDU parameter value") as caught:
        fed(requestor(State.STA6), ABORT_BYTES)
    assert caught.value.is_by_provider
    assert caught.value.abort_reason == 6


def test_an_answer_that_accepts_what_was_not_proposed_is_aborted() -> None:
    machine = requestor(State.STA5)
    other = answer_to(proposal())
    data = encode(other).replace(b"\x21\x00\x00\x19\x01", b"\x21\x00\x00\x19\x07")
    with pytest.raises(ProtocolError, match="presentation context 7"):
        fed(machine, data)
    assert decode(sent(machine)) == Abort(2, 6)
    assert machine.state is State.STA13
    assert machine.negotiated is None


def test_we_do_not_accept_what_was_not_proposed() -> None:
    server = acceptor(State.STA3)
    answer = decode(encode(ACCEPT).replace(b"\x21\x00\x00\x19\x01", b"\x21\x00\x00\x19\x07"))
    assert isinstance(answer, AssociateAccept)
    with pytest.raises(UsageError, match="presentation context 7"):
        server.accept(answer)
    assert server.state is State.STA3


def test_a_requestor_that_goes_away_cannot_be_accepted() -> None:
    server = acceptor(State.STA2)
    with pytest.raises(AssociationAborted):
        fed(server, encode(REQUEST) + ABORT_BYTES)
    assert server.state is State.STA1
    with pytest.raises(UsageError):
        server.accept(ACCEPT)


# Endings.


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        pytest.param(requestor(State.STA5), "awaiting A-ASSOCIATE-AC", id="before the answer"),
        pytest.param(requestor(State.STA6), "ready for data transfer", id="established"),
        pytest.param(requestor(State.STA7), "awaiting A-RELEASE-RP", id="being released"),
    ],
)
def test_an_early_end_is_a_lost_connection(machine: AssociationMachine, words: str) -> None:
    machine.receive_eof()
    with pytest.raises(ConnectionLost, match=words):
        machine.next_event()
    assert machine.must_close
    assert list(drained(machine)) == []


def test_what_came_before_the_end_is_told_first() -> None:
    machine = requestor(State.STA6)
    machine.receive_data(DATA_BYTES)
    machine.receive_eof()
    assert machine.next_event() == command(1, b"command")
    with pytest.raises(ConnectionLost):
        machine.next_event()


def test_no_data_follow_the_end() -> None:
    machine = requestor(State.STA6)
    machine.receive_eof()
    with pytest.raises(UsageError):
        machine.receive_data(b"x")


def test_a_peer_that_makes_no_sense_is_not_listened_to_any_more() -> None:
    machine = requestor(State.STA6)
    fed_and_ignored(machine, GARBAGE)
    assert len(sent(machine)) == 10
    assert fed(machine, GARBAGE * 1000 + RELEASE_REQUEST_BYTES) == []
    assert sent(machine) == b""
    machine.receive_eof()
    assert list(drained(machine)) == []
    assert machine.state is State.STA1


def test_a_peer_that_waits_for_nothing_is_closed_by_the_timer() -> None:
    machine = acceptor(State.STA2)
    machine.artim_expired()
    assert (machine.state, machine.must_close) == (State.STA1, True)


def test_each_abort_starts_the_timer_anew() -> None:
    machine = acceptor(State.STA2)
    assert machine.artim_starts == 1
    fed_and_ignored(machine, DATA_BYTES)
    assert machine.artim_starts == 2


def test_limits_are_those_of_the_shell() -> None:
    machine = AssociationMachine.acceptor(limits=PduLimits(max_associate_bytes=100))
    machine.connected()
    with pytest.raises(LimitExceeded):
        fed(machine, associate(0x01, bytes(33)))
    assert decode(sent(machine)) == Abort(0, 0)


# Cuts: the contract's D4 and D5, without sockets.

PDUS = [
    data_pdu((1, 3, b"command")),
    data_pdu((1, 0, b"three ")),
    data_pdu((1, 0, b"PDVs ")),
    data_pdu((1, 2, b"of data")),
]
MESSAGE = b"".join(PDUS)


def test_a_connection_that_breaks_at_any_byte_ends_no_data_set() -> None:
    for length in range(len(MESSAGE)):
        machine = requestor(State.STA6)
        lasts = [event for event in fed(machine, MESSAGE[:length]) if is_end_of_data(event)]
        machine.receive_eof()
        with pytest.raises(ConnectionLost):
            machine.next_event()
        assert lasts == []
    assert any(map(is_end_of_data, fed(requestor(State.STA6), MESSAGE)))


@pytest.mark.parametrize("pdus", range(4))
def test_an_abort_between_its_pdus_ends_no_data_set(pdus: int) -> None:
    machine = requestor(State.STA6)
    told = fed(machine, b"".join(PDUS[:pdus]))
    with pytest.raises(AssociationAborted):
        fed(machine, ABORT_BYTES)
    assert len(told) == pdus
    assert not any(map(is_end_of_data, told))


def is_end_of_data(event: object) -> bool:
    return isinstance(event, PdvFragment) and event.is_last and not event.is_command


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("04 00 00000000", id="length 0"),
        pytest.param("04 00 FFFFFFFF", id="length FFFFFFFF"),
        pytest.param("04 00 00004001", id="longer than announced"),
        pytest.param("FF 00 00000004 00000000", id="unknown type"),
        pytest.param("47 45 54 20 2F 20", id="HTTP"),
        pytest.param("04 00 0000000A FFFFFFFF 01 00 00000000", id="PDV beyond its PDU"),
    ],
)
def test_hostile_framing_is_answered_with_an_abort_at_its_header(hostile: str) -> None:
    data = DATA_BYTES + bytes.fromhex(hostile)
    verdicts = [verdict(requestor(State.STA6), chunks) for chunks in feedings(data)]
    assert verdicts == [verdicts[0]] * len(verdicts)
    told, error, state, must_close, to_send = verdicts[0]
    assert told == [(1, True, b"command")]
    assert error.startswith("ProtocolError")
    assert state is State.STA13
    assert not must_close
    assert isinstance(decode(to_send), Abort)


def test_a_whole_association_may_be_cut_anywhere() -> None:
    data = encode(ACCEPT) + MESSAGE + RELEASE_REQUEST_BYTES
    expected = verdict(requestor(State.STA5), whole(data))
    for chunks in feedings(data):
        assert verdict(requestor(State.STA5), chunks) == expected


STREAMS = st.lists(
    st.sampled_from(
        [
            *(encode(REQUEST), encode(ACCEPT), REJECT_BYTES, RELEASE_REQUEST_BYTES),
            *(RELEASE_RESPONSE_BYTES, ABORT_BYTES, DATA_BYTES, MESSAGE, GARBAGE[:3], b"\x04\0"),
        ]
    ),
    max_size=5,
).map(b"".join)


@given(STREAMS, st.data())
def test_no_cut_changes_what_becomes_of_a_requestor(data: bytes, draw: st.DataObject) -> None:
    places = draw.draw(st.lists(st.integers(0, len(data)), max_size=6))
    for state in (State.STA5, State.STA6, State.STA7, State.STA13):
        expected = verdict(requestor(state), whole(data))
        assert verdict(requestor(state), cut(data, places)) == expected
        assert verdict(requestor(state), bytewise(data)) == expected


@given(STREAMS, st.data())
def test_no_cut_changes_what_becomes_of_an_acceptor(data: bytes, draw: st.DataObject) -> None:
    places = draw.draw(st.lists(st.integers(0, len(data)), max_size=6))
    for state in (State.STA2, State.STA3, State.STA8, State.STA10):
        expected = verdict(acceptor(state), whole(data))
        assert verdict(acceptor(state), cut(data, places)) == expected
