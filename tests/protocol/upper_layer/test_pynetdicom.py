"""pynetdicom and we read and write the same PDUs: what one encodes, the other decodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pynetdicom import pdu as theirs
from pynetdicom import pdu_items, pdu_primitives

from asyncdicom.protocol.upper_layer.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    Pdu,
    PdvFragment,
    ReleaseRequest,
    ReleaseResponse,
    decode,
    encode,
)
from asyncdicom.protocol.upper_layer.reader import NEED_DATA, PduReader
from asyncdicom.protocol.upper_layer.user_information import (
    AsyncOperationsWindow,
    CommonExtendedNegotiation,
    ExtendedNegotiation,
    ImplementationClass,
    ImplementationVersion,
    MaximumLength,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from tests.protocol.upper_layer.samples import (
    CT_STORAGE,
    EXPLICIT,
    VERIFICATION,
    answer_to,
    data_pdu,
    proposal,
)

USER = UserInformation(
    (
        MaximumLength(16384),
        ImplementationClass("1.2.3.4"),
        ImplementationVersion("VERSION"),
        AsyncOperationsWindow(3, 4),
        RoleSelection(CT_STORAGE, is_scu=False, is_scp=True),
        ExtendedNegotiation(VERIFICATION, b"\x01\x00"),
        CommonExtendedNegotiation(CT_STORAGE, "1.2.840.10008.4.2", (VERIFICATION, "1.2.3")),
        UserIdentity(2, b"user", b"passcode", wants_response=True),
    )
)
ANSWER_USER = UserInformation((*USER.items[:4], UserIdentityResponse(b"ticket")))

PDUS = [
    pytest.param(theirs.A_ASSOCIATE_RQ, proposal(is_scp=True), id="request"),
    pytest.param(theirs.A_ASSOCIATE_RQ, replace(proposal(), user=USER), id="everything asked"),
    pytest.param(theirs.A_ASSOCIATE_AC, answer_to(proposal()), id="acceptance"),
    pytest.param(
        theirs.A_ASSOCIATE_AC,
        replace(answer_to(proposal()), user=ANSWER_USER),
        id="everything answered",
    ),
    pytest.param(theirs.A_ASSOCIATE_RJ, AssociateReject(1, 1, 7), id="rejection"),
    pytest.param(theirs.A_RELEASE_RQ, ReleaseRequest(), id="release request"),
    pytest.param(theirs.A_RELEASE_RP, ReleaseResponse(), id="release response"),
    pytest.param(theirs.A_ABORT_RQ, Abort(2, 6), id="abort"),
]


@pytest.mark.parametrize(("kind", "pdu"), PDUS)
def test_what_we_write_pynetdicom_writes_again_in_the_same_bytes(
    kind: type[theirs.PDU], pdu: Pdu
) -> None:
    read = kind()
    read.decode(encode(pdu))
    assert read.encode() == encode(pdu)
    assert decode(read.encode()) == pdu


def test_pynetdicom_finds_what_we_asked_for() -> None:
    read = theirs.A_ASSOCIATE_RQ()
    read.decode(encode(replace(proposal(), user=USER)))
    primitive: Any = read.to_primitive()
    assert primitive.called_ae_title == "ARCHIVE"
    assert primitive.calling_ae_title == "CLIENT"
    assert [
        (context.context_id, context.abstract_syntax, context.transfer_syntax)
        for context in primitive.presentation_context_definition_list
    ] == [
        (context.context_id, context.abstract_syntax, list(context.transfer_syntaxes))
        for context in proposal().contexts
    ]
    told = {type(one): one for one in primitive.user_information}
    window = told[pdu_primitives.AsynchronousOperationsWindowNegotiation]
    assert (
        window.maximum_number_operations_invoked,
        window.maximum_number_operations_performed,
    ) == (3, 4)
    role = told[pdu_primitives.SCP_SCU_RoleSelectionNegotiation]
    assert (role.sop_class_uid, role.scu_role, role.scp_role) == (CT_STORAGE, False, True)
    identity = told[pdu_primitives.UserIdentityNegotiation]
    assert (identity.user_identity_type, identity.primary_field, identity.secondary_field) == (
        2,
        b"user",
        b"passcode",
    )


def made_by_pynetdicom() -> bytes:
    """Let pynetdicom write a request with its own items."""
    request = theirs.A_ASSOCIATE_RQ()
    request.called_ae_title, request.calling_ae_title = "ARCHIVE", "CLIENT"
    context = pdu_items.PresentationContextItemRQ()
    context.presentation_context_id = 7
    abstract, transfer = pdu_items.AbstractSyntaxSubItem(), pdu_items.TransferSyntaxSubItem()
    abstract.abstract_syntax_name, transfer.transfer_syntax_name = CT_STORAGE, EXPLICIT
    context.abstract_transfer_syntax_sub_items = [abstract, transfer]
    request.variable_items = [pdu_items.ApplicationContextItem(), context]
    return request.encode()


def test_what_pynetdicom_writes_we_read() -> None:
    pdu = decode(made_by_pynetdicom())
    assert isinstance(pdu, AssociateRequest)
    (context,) = pdu.contexts
    assert (context.context_id, context.abstract_syntax) == (7, CT_STORAGE)
    assert context.transfer_syntaxes == (EXPLICIT,)
    assert encode(pdu) == made_by_pynetdicom()


def test_an_answer_of_pynetdicom_that_refuses_is_read() -> None:
    answer = answer_to(proposal())
    refused = tuple(replace(context, result=3) for context in answer.contexts)
    read = theirs.A_ASSOCIATE_AC()
    read.decode(encode(replace(answer, contexts=refused)))
    again = decode(read.encode())
    assert isinstance(again, AssociateAccept)
    assert [context.result for context in again.contexts] == [3, 3]


def test_pynetdicom_reads_our_data_and_we_read_its() -> None:
    written = data_pdu((1, 0b01, b"comm"), (1, 0b11, b"and"), (3, 0b10, b"data"))
    read = theirs.P_DATA_TF()
    read.decode(written)
    assert read.encode() == written
    reader = PduReader()
    reader.receive_data(read.encode())
    told = []
    while (event := reader.next_event()) is not NEED_DATA:
        assert isinstance(event, PdvFragment)
        told.append((event.context_id, event.is_command, event.is_last, bytes(event.data)))
    assert told == [
        (1, True, False, b"comm"),
        (1, True, True, b"and"),
        (3, False, True, b"data"),
    ]
