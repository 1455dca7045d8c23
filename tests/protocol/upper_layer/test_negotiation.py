"""What is proposed, what is answered, and what both come to (PS3.8 §7.1.1, PS3.7 Annex D)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from asyncdicom.errors import ConfigError, ProtocolError
from asyncdicom.protocol.dimse.file_meta import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from asyncdicom.protocol.upper_layer.negotiation import (
    ContextProposal,
    NegotiatedContext,
    Party,
    accept,
    negotiate,
    propose,
)
from asyncdicom.protocol.upper_layer.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    ProposedContext,
)
from asyncdicom.protocol.upper_layer.user_information import (
    AsyncOperationsWindow,
    ExtendedNegotiation,
    MaximumLength,
    RoleSelection,
    UserIdentity,
    UserIdentityResponse,
    UserInformation,
)
from tests.protocol.upper_layer.samples import (
    CT_STORAGE,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    answer_to,
    answered_contexts,
    proposal,
    proposed_contexts,
)

PARTY = Party("ARCHIVE", "CLIENT", 16384)
ECHO = ContextProposal(VERIFICATION, (IMPLICIT,))
SCP = RoleSelection(CT_STORAGE, is_scu=False, is_scp=True)


def with_answer(results: list[AnsweredContext], *items: RoleSelection) -> AssociateAccept:
    return AssociateAccept("ARCHIVE", "CLIENT", tuple(results), UserInformation(items))


def test_contexts_get_odd_ids_in_their_order() -> None:
    request = propose([ECHO, ContextProposal(CT_STORAGE, (EXPLICIT, IMPLICIT))], PARTY)
    assert request.contexts == (
        ProposedContext(1, VERIFICATION, (IMPLICIT,)),
        ProposedContext(3, CT_STORAGE, (EXPLICIT, IMPLICIT)),
    )


def test_128_contexts_fit_and_not_one_more() -> None:
    ids = [context.context_id for context in propose([ECHO] * 128, PARTY).contexts]
    assert ids == list(range(1, 256, 2))
    for count in (0, 129):
        with pytest.raises(ConfigError, match=f"{count} presentation contexts"):
            propose([ECHO] * count, PARTY)


def test_we_say_who_we_are_and_what_we_take() -> None:
    user = propose([ECHO], PARTY).user
    assert user.max_pdu_bytes == 16384
    assert user.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert user.implementation_version == IMPLEMENTATION_VERSION_NAME
    assert user.first(AsyncOperationsWindow) == AsyncOperationsWindow(1, 1)
    assert user.identity is None
    assert user.roles == {}


def test_what_else_is_said_is_said() -> None:
    extended = ExtendedNegotiation(CT_STORAGE, b"\1")
    identity = UserIdentity.of_user("me", "secret")
    party = replace(PARTY, identity=identity, extra=(extended,))
    user = propose([ECHO], party).user
    assert user.items[-2:] == (extended, identity)


@pytest.mark.parametrize("title", ["", "A" * 17, "A\\B"])
def test_an_invalid_title_is_told_before_anything_is_sent(title: str) -> None:
    with pytest.raises(ConfigError):
        propose([ECHO], replace(PARTY, calling_ae=title))
    with pytest.raises(ConfigError):
        propose([ECHO], replace(PARTY, called_ae=title))


@pytest.mark.parametrize(
    ("contexts", "expected"),
    [
        pytest.param([ContextProposal(CT_STORAGE, (IMPLICIT,))], None, id="SCU is the default"),
        pytest.param(
            [ContextProposal(CT_STORAGE, (IMPLICIT,), is_scu=False, is_scp=True)], SCP, id="SCP"
        ),
        pytest.param(
            [ContextProposal(CT_STORAGE, (IMPLICIT,), is_scp=True)],
            RoleSelection(CT_STORAGE, is_scu=True, is_scp=True),
            id="both",
        ),
        pytest.param(
            [
                ContextProposal(CT_STORAGE, (IMPLICIT,), is_scu=False, is_scp=True),
                ContextProposal(CT_STORAGE, (EXPLICIT,)),
            ],
            RoleSelection(CT_STORAGE, is_scu=True, is_scp=True),
            id="once for all contexts of a SOP class",
        ),
    ],
)
def test_roles_are_negotiated_where_they_are_not_the_default(
    contexts: list[ContextProposal], expected: RoleSelection | None
) -> None:
    roles = propose([ECHO, *contexts], PARTY).user.roles
    assert roles == ({} if expected is None else {CT_STORAGE: expected})


@pytest.mark.parametrize(
    ("granted", "answered"),
    [
        pytest.param(SCP, {CT_STORAGE: SCP}, id="less than was proposed"),
        pytest.param(None, {}, id="not answered"),
    ],
)
def test_an_acceptor_may_grant_less_than_was_proposed(
    granted: RoleSelection | None, answered: dict[str, RoleSelection]
) -> None:
    results = [AnsweredContext(1, 0, IMPLICIT), AnsweredContext(3, 0, EXPLICIT)]
    asked: list[RoleSelection] = []

    def grant(role: RoleSelection) -> RoleSelection | None:
        asked.append(role)
        return granted

    answer = accept(proposal(is_scp=True), results, max_pdu_bytes=0, grant=grant)
    assert asked == [RoleSelection(CT_STORAGE, is_scu=True, is_scp=True)]
    assert answer.user.roles == answered


def test_an_answer_repeats_titles_and_roles_and_allows_one_operation() -> None:
    request = proposal(is_scp=True)
    both = RoleSelection(CT_STORAGE, is_scu=True, is_scp=True)
    answer = answer_to(request, max_pdu_bytes=4096)
    assert (answer.called_ae, answer.calling_ae) == ("ARCHIVE", "CLIENT")
    assert answer.user.roles == {CT_STORAGE: both}
    assert answer.user.max_pdu_bytes == 4096
    assert answer.user.first(AsyncOperationsWindow) == AsyncOperationsWindow(1, 1)


def test_an_answer_says_nothing_about_what_was_not_asked() -> None:
    request = replace(proposal(), user=UserInformation((MaximumLength(0),)))
    answer = answer_to(request)
    assert answer.user.first(AsyncOperationsWindow) is None
    assert answer.user.roles == {}


def test_no_role_is_accepted_for_a_refused_class() -> None:
    results = [AnsweredContext(1, 0, IMPLICIT), AnsweredContext(3, 3)]
    answer = accept(proposal(is_scp=True), results, max_pdu_bytes=0)
    assert answer.user.roles == {}


def test_an_answer_may_respond_to_an_identity() -> None:
    response = UserIdentityResponse(b"ticket")
    answer = accept(proposal(), [], max_pdu_bytes=0, extra=[response])
    assert answer.user.identity_response == b"ticket"


def test_a_refused_context_is_information() -> None:
    request = proposal()
    negotiated = negotiate(request, with_answer([AnsweredContext(1, 3), AnsweredContext(3, 4)]))
    assert negotiated.contexts == (
        NegotiatedContext(1, VERIFICATION, 3),
        NegotiatedContext(3, CT_STORAGE, 4),
    )
    assert negotiated.accepted == ()


def test_a_context_that_nobody_answered_is_refused_for_no_reason() -> None:
    negotiated = negotiate(proposal(), with_answer([AnsweredContext(3, 0, IMPLICIT)]))
    assert [context.result for context in negotiated.contexts] == [2, 0]
    assert [context.context_id for context in negotiated.accepted] == [3]


def test_the_transfer_syntax_of_a_refused_context_says_nothing() -> None:
    negotiated = negotiate(proposal(), with_answer([AnsweredContext(1, 1, "9.9.9")]))
    assert negotiated.contexts[0].transfer_syntax == ""


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(AnsweredContext(5, 0, IMPLICIT), id="context nobody proposed"),
        pytest.param(AnsweredContext(5, 3), id="context nobody proposed, refused"),
        pytest.param(AnsweredContext(1, 0, EXPLICIT), id="transfer syntax of another context"),
        pytest.param(AnsweredContext(1, 0), id="no transfer syntax"),
    ],
)
def test_nothing_is_accepted_that_was_not_proposed(result: AnsweredContext) -> None:
    with pytest.raises(ProtocolError):
        negotiate(proposal(), with_answer([result]))


@pytest.mark.parametrize("asked", [None, (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("allowed", [None, (True, False), (False, True), (True, True)])
def test_a_role_holds_if_both_sides_say_so(
    asked: tuple[bool, bool] | None, allowed: tuple[bool, bool] | None
) -> None:
    def selection(roles: tuple[bool, bool] | None) -> UserInformation:
        if roles is None:
            return UserInformation()
        return UserInformation((RoleSelection(CT_STORAGE, is_scu=roles[0], is_scp=roles[1]),))

    request = replace(proposal(), user=selection(asked))
    answer = AssociateAccept("A", "B", (AnsweredContext(3, 0, IMPLICIT),), selection(allowed))
    (context,) = negotiate(request, answer).accepted
    expected = (True, False)
    if asked is not None and allowed is not None:
        expected = (asked[0] and allowed[0], asked[1] and allowed[1])
    assert (context.is_scu, context.is_scp) == expected


@pytest.mark.parametrize(
    ("asked", "answered", "expected"),
    [
        pytest.param(None, None, (1, 1), id="nobody says a word"),
        pytest.param((5, 6), None, (1, 1), id="the peer does not answer"),
        pytest.param((5, 6), (3, 9), (3, 6), id="the smaller of both"),
        pytest.param((0, 0), (3, 0), (3, 0), id="0 is no limit"),
        pytest.param((1, 1), (0, 7), (1, 1), id="the peer offers more than was asked"),
    ],
)
def test_no_more_operations_than_both_sides_allow(
    asked: tuple[int, int] | None, answered: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    def window(sizes: tuple[int, int] | None) -> UserInformation:
        return UserInformation(() if sizes is None else (AsyncOperationsWindow(*sizes),))

    negotiated = negotiate(
        replace(proposal(), user=window(asked)), replace(with_answer([]), user=window(answered))
    )
    assert negotiated.async_operations == AsyncOperationsWindow(*expected)


@given(proposed_contexts, answered_contexts)
def test_whatever_is_accepted_was_proposed(
    proposed: tuple[ProposedContext, ...], answered: tuple[AnsweredContext, ...]
) -> None:
    request = AssociateRequest("A", "B", proposed)
    try:
        negotiated = negotiate(request, AssociateAccept("A", "B", answered))
    except ProtocolError:
        return
    offers = {
        (context.context_id, context.abstract_syntax, uid)
        for context in proposed
        for uid in context.transfer_syntaxes
    }
    accepted = {(c.context_id, c.abstract_syntax, c.transfer_syntax) for c in negotiated.accepted}
    assert accepted <= offers
    assert len(negotiated.contexts) == len(proposed)
