"""PDUs written by hand after the Standard's tables, made at random, and machines in any state."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from asyncdicom.errors import FetchError
from asyncdicom.protocol.upper_layer.association import (
    NEED_DATA,
    AssociationEvent,
    AssociationMachine,
    PdvFragment,
)
from asyncdicom.protocol.upper_layer.negotiation import (
    ContextProposal,
    Party,
    accept,
    propose,
)
from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AnsweredContext,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    Pdu,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)
from asyncdicom.protocol.upper_layer.table import State
from asyncdicom.protocol.upper_layer.user_information import (
    AsyncOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ImplementationClass,
    ImplementationVersion,
    MaximumLength,
    RawItem,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
    UserItem,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VERIFICATION = "1.2.840.10008.1.1"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def data_pdu(*pdvs: tuple[int, int, bytes]) -> bytes:
    """Write a P-DATA-TF from (context ID, message control header, data) (PS3.8 Table 9-22)."""
    items = b"".join(
        (len(data) + 2).to_bytes(4, "big") + bytes((context_id, control)) + data
        for context_id, control, data in pdvs
    )
    return b"\x04\x00" + len(items).to_bytes(4, "big") + items


def item(item_type: int, value: bytes) -> bytes:
    """Write an item (PS3.8 §9.3.1)."""
    return bytes((item_type, 0)) + len(value).to_bytes(2, "big") + value


def sized(value: bytes) -> bytes:
    """Write a value behind its length in two bytes."""
    return len(value).to_bytes(2, "big") + value


def associate(pdu_type: int, items: bytes, *, called: bytes = b"ARCHIVE") -> bytes:
    """Write an A-ASSOCIATE-RQ or -AC around its items (PS3.8 Tables 9-11 and 9-17)."""
    value = b"\x00\x01\x00\x00" + called.ljust(16) + b"CLIENT".ljust(16) + bytes(32) + items
    return bytes((pdu_type, 0)) + len(value).to_bytes(4, "big") + value


APPLICATION_ITEM = item(0x10, b"1.2.840.10008.3.1.1.1")
PROPOSED_ITEM = item(
    0x20, b"\x01\x00\x00\x00" + item(0x30, VERIFICATION.encode()) + item(0x40, IMPLICIT.encode())
)
ANSWERED_ITEM = item(0x21, b"\x01\x00\x00\x00" + item(0x40, IMPLICIT.encode()))
USER_ITEM = item(0x50, item(0x51, b"\x00\x00\x40\x00") + item(0x52, b"1.2.3.4"))

REQUEST_BYTES = associate(0x01, APPLICATION_ITEM + PROPOSED_ITEM + USER_ITEM)
ACCEPT_BYTES = associate(0x02, APPLICATION_ITEM + ANSWERED_ITEM + USER_ITEM)
REJECT_BYTES = bytes.fromhex("03 00 00000004 00 01 01 07")
RELEASE_REQUEST_BYTES = bytes.fromhex("05 00 00000004 00000000")
RELEASE_RESPONSE_BYTES = bytes.fromhex("06 00 00000004 00000000")
ABORT_BYTES = bytes.fromhex("07 00 00000004 00 00 02 06")
DATA_BYTES = data_pdu((1, 0b11, b"command"))

BASICS = UserInformation((MaximumLength(16384), ImplementationClass("1.2.3.4")))
REQUEST = AssociateRequest(
    "ARCHIVE", "CLIENT", (ProposedContext(1, VERIFICATION, (IMPLICIT,)),), BASICS
)
ACCEPT = AssociateAccept("ARCHIVE", "CLIENT", (AnsweredContext(1, 0, IMPLICIT),), BASICS)

uids = st.text("0123456789.", min_size=1, max_size=64)
names = st.text(st.characters(max_codepoint=0xFF), max_size=16).map(lambda text: text.strip(" \0"))
flags = st.booleans()
shorts = st.integers(0, 0xFFFF)
octets = st.integers(0, 0xFF)
blobs = st.binary(max_size=40)


def raw_item(known: Iterable[int]) -> st.SearchStrategy[RawItem]:
    types = octets.filter(lambda one: one not in frozenset(known))
    return st.builds(RawItem, types, blobs)


def raw_items(known: Iterable[int]) -> st.SearchStrategy[tuple[RawItem, ...]]:
    return st.lists(raw_item(known), max_size=2).map(tuple)


user_items: st.SearchStrategy[UserItem] = st.one_of(
    st.builds(MaximumLength, st.just(0) | st.integers(128, 0xFFFFFFFF)),
    st.builds(ImplementationClass, uids),
    st.builds(ImplementationVersion, names),
    st.builds(AsyncOperationsWindow, shorts, shorts),
    st.builds(RoleSelection, uids, is_scu=flags, is_scp=flags),
    st.builds(ExtendedNegotiation, uids, blobs),
    st.builds(
        CommonExtendedNegotiation,
        uids,
        uids,
        st.lists(uids, max_size=3).map(tuple),
        reserved=blobs,
        version=octets,
    ),
    st.builds(UserIdentity, octets, blobs, blobs, wants_response=flags),
    st.builds(UserIdentityResponse, blobs),
    raw_item(range(0x51, 0x5A)),
)
user_informations = st.builds(UserInformation, st.lists(user_items, max_size=6).map(tuple))
odd_ids = st.integers(0, 127).map(lambda index: 2 * index + 1)

proposed_contexts = st.lists(
    st.builds(
        ProposedContext,
        odd_ids,
        uids,
        st.lists(uids, max_size=3).map(tuple),
        raw_items((0x30, 0x40)),
    ),
    max_size=4,
    unique_by=lambda context: context.context_id,
).map(tuple)
answered_contexts = st.lists(
    st.builds(AnsweredContext, odd_ids, octets, st.just("") | uids, raw_items((0x40,))),
    max_size=4,
    unique_by=lambda context: context.context_id,
).map(tuple)

pdus: st.SearchStrategy[Pdu] = st.one_of(
    st.builds(
        AssociateRequest,
        names,
        names,
        proposed_contexts,
        user_informations,
        st.just("") | uids,
        shorts,
        raw_items((0x10, 0x20, 0x50)),
    ),
    st.builds(
        AssociateAccept,
        names,
        names,
        answered_contexts,
        user_informations,
        st.just("") | uids,
        shorts,
        raw_items((0x10, 0x21, 0x50)),
    ),
    st.builds(AssociateReject, octets, octets, octets),
    st.just(ReleaseRequest()),
    st.just(ReleaseResponse()),
    st.builds(Abort, octets, octets),
)


def proposal(*, max_pdu_bytes: int = 16384, is_scp: bool = False) -> AssociateRequest:
    """Return a request of two contexts, with the IDs 1 and 3."""
    contexts = [
        ContextProposal(VERIFICATION, (IMPLICIT,)),
        ContextProposal(CT_STORAGE, (EXPLICIT, IMPLICIT), is_scp=is_scp),
    ]
    return propose(contexts, Party("ARCHIVE", "CLIENT", max_pdu_bytes))


def answer_to(request: AssociateRequest, *, max_pdu_bytes: int = 16384) -> AssociateAccept:
    """Accept each context with the transfer syntax proposed first."""
    results = [
        AnsweredContext(context.context_id, 0, context.transfer_syntaxes[0])
        for context in request.contexts
    ]
    return accept(request, results, max_pdu_bytes=max_pdu_bytes)


def drained(machine: AssociationMachine) -> Iterator[AssociationEvent]:
    """Yield the events up to `NEED_DATA`."""
    while (event := machine.next_event()) is not NEED_DATA:
        yield event


def fed(machine: AssociationMachine, data: bytes) -> list[AssociationEvent]:
    """Feed bytes of the peer, and return what they mean."""
    machine.receive_data(data)
    return list(drained(machine))


def sent(machine: AssociationMachine) -> bytes:
    """Return what is to be sent, joined."""
    return b"".join(machine.data_to_send())


def requestor(state: State) -> AssociationMachine:
    """Return a requestor in a state that it can be in."""
    machine = AssociationMachine.requestor()
    if state is State.STA1:
        return machine
    request = proposal()
    machine.request(request)
    if state is not State.STA4:
        machine.connected()
    if state not in (State.STA4, State.STA5):
        fed(machine, encode(answer_to(request)))
        _release(machine, state)
    sent(machine)
    assert machine.state is state
    return machine


def acceptor(state: State) -> AssociationMachine:
    """Return an acceptor in a state that it can be in."""
    machine = AssociationMachine.acceptor()
    if state is State.STA1:
        return machine
    machine.connected()
    if state is not State.STA2:
        request = proposal()
        fed(machine, encode(request))
        if state is not State.STA3:
            machine.accept(answer_to(request))
            _release(machine, state)
    sent(machine)
    assert machine.state is state
    return machine


_RELEASES = {
    State.STA6: "",
    State.STA7: "release",
    State.STA8: "asked",
    State.STA9: "release asked",
    State.STA10: "release asked",
    State.STA11: "release asked respond",
    State.STA12: "release asked responded",
    State.STA13: "abort",
}


def _release(machine: AssociationMachine, state: State) -> None:
    for step in _RELEASES[state].split():
        if step == "release":
            machine.release()
        elif step == "asked":
            fed(machine, RELEASE_REQUEST_BYTES)
        elif step == "respond":
            machine.respond_to_release()
        elif step == "responded":
            fed(machine, RELEASE_RESPONSE_BYTES)
        else:
            machine.abort()


def command(context_id: int, data: bytes) -> PdvFragment:
    """Return a whole command as it is told."""
    return PdvFragment(context_id, is_command=True, is_last=True, data=memoryview(data))


def dataset(context_id: int, data: bytes) -> PdvFragment:
    """Return a whole data set as it is told."""
    return PdvFragment(context_id, is_command=False, is_last=True, data=memoryview(data))


class Verdict(NamedTuple):
    """All that must not depend on where the network cuts."""

    told: list[object]
    error: str
    state: State
    must_close: bool
    sent: bytes


def verdict(machine: AssociationMachine, chunks: Iterable[bytes]) -> Verdict:
    """Feed chunks and the end, and return what they came to.

    Fragments are joined as far as the last one that is marked; how much of an open one
    was passed on is nobody's promise.
    """
    told: list[object] = []
    joined = b""
    error = ""
    try:
        for chunk in chunks:
            machine.receive_data(chunk)
            for event in drained(machine):
                if not isinstance(event, PdvFragment):
                    told.append(event)
                    continue
                joined += event.data
                if event.is_last:
                    told.append((event.context_id, event.is_command, joined))
                    joined = b""
        machine.receive_eof()
        told += drained(machine)
    except FetchError as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Verdict(told, error, machine.state, machine.must_close, sent(machine))
