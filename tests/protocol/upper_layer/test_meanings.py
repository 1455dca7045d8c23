"""Refusals and aborts in the Standard's words (PS3.8 Tables 9-21 and 9-26)."""

from __future__ import annotations

import pytest

from asyncdicom.protocol.upper_layer.meanings import RESULTS, aborted, describe_reject, rejected
from asyncdicom.protocol.upper_layer.pdu import Abort, AssociateReject

ACSE = "service provider (ACSE related function)"
PRESENTATION = "service provider (presentation related function)"


@pytest.mark.parametrize(
    ("pdu", "how", "who", "why"),
    [
        ((1, 1, 1), "for good", "service user", "no reason given"),
        ((1, 1, 2), "for good", "service user", "application context name not supported"),
        ((1, 1, 3), "for good", "service user", "calling AE title not recognized"),
        ((1, 1, 7), "for good", "service user", "called AE title not recognized"),
        ((1, 2, 1), "for good", ACSE, "no reason given"),
        ((1, 2, 2), "for good", ACSE, "protocol version not supported"),
        ((2, 3, 1), "for now", PRESENTATION, "temporary congestion"),
        ((2, 3, 2), "for now", PRESENTATION, "local limit exceeded"),
        ((1, 1, 9), "for good", "service user", "reason 9 of source 1"),
        ((0, 77, 1), "for good", "peer", "reason 1 of source 77"),
    ],
)
def test_a_refusal_says_who_why_and_for_how_long(
    pdu: tuple[int, int, int], how: str, who: str, why: str
) -> None:
    error = rejected(AssociateReject(*pdu))
    assert str(error) == f"association rejected {how} by the {who}: {why}"
    assert error.is_transient == (pdu[0] == 2)


def test_a_reason_alone_is_fit_for_a_counter() -> None:
    assert describe_reject(AssociateReject(2, 3, 2)) == "local limit exceeded"


@pytest.mark.parametrize(
    ("pdu", "text", "is_by_provider"),
    [
        (Abort(0, 0), "by the service user", False),
        (Abort(0, 6), "by the service user", False),
        (Abort(1, 2), "by the service user", False),
        (Abort(2, 0), "by the service provider: reason not specified", True),
        (Abort(2, 1), "by the service provider: unrecognized PDU", True),
        (Abort(2, 2), "by the service provider: unexpected PDU", True),
        (Abort(2, 4), "by the service provider: unrecognized PDU parameter", True),
        (Abort(2, 5), "by the service provider: unexpected PDU parameter", True),
        (Abort(2, 6), "by the service provider: invalid PDU parameter value", True),
        (Abort(2, 3), "by the service provider: reason 3", True),
    ],
)
def test_an_abort_says_who_and_why(*, pdu: Abort, text: str, is_by_provider: bool) -> None:
    error = aborted(pdu)
    assert str(error) == f"association aborted {text}"
    assert error.is_by_provider == is_by_provider
    assert error.abort_reason == pdu.reason


def test_each_result_of_a_context_has_words() -> None:
    assert sorted(RESULTS) == [0, 1, 2, 3, 4]
