"""Who may associate, and how the others are refused: the table is the policy."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from asyncdicom.policy.admission import Admission, Candidate, Verdict, admit

STRICT = Admission(
    called_aes=frozenset({"STORE", "ARCHIVE"}),
    calling_aes=frozenset({"CT01"}),
    networks=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
    max_associations_per_peer=2,
)
WELCOME = Candidate("STORE", "CT01", "10.1.2.3", associations=1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, Verdict.ADMITTED, id="welcome"),
        pytest.param({"called_ae": "ARCHIVE"}, Verdict.ADMITTED, id="another name of ours"),
        pytest.param({"called_ae": " STORE  "}, Verdict.ADMITTED, id="padded called AE"),
        pytest.param({"calling_ae": "CT01 "}, Verdict.ADMITTED, id="padded calling AE"),
        pytest.param({"called_ae": "store"}, Verdict.CALLED_AE_UNKNOWN, id="case counts"),
        pytest.param({"called_ae": ""}, Verdict.CALLED_AE_UNKNOWN, id="empty called AE"),
        pytest.param({"calling_ae": "CT02"}, Verdict.CALLING_AE_UNKNOWN, id="stranger"),
        pytest.param({"host": "10.2.0.1"}, Verdict.NETWORK_NOT_ALLOWED, id="other network"),
        pytest.param({"host": "fd00::1"}, Verdict.ADMITTED, id="IPv6"),
        pytest.param({"host": "fe80::1%eth0"}, Verdict.NETWORK_NOT_ALLOWED, id="link-local"),
        pytest.param({"host": "::ffff:10.1.9.9"}, Verdict.ADMITTED, id="IPv4 in IPv6"),
        pytest.param({"host": "unknown"}, Verdict.NETWORK_NOT_ALLOWED, id="no address"),
        pytest.param({"associations": 2}, Verdict.TOO_MANY_OF_PEER, id="one too many"),
        pytest.param({"has_context": False}, Verdict.NO_CONTEXT, id="nothing we take"),
        pytest.param({"is_late": True}, Verdict.ENDING, id="too late"),
        pytest.param(
            {"host": "10.2.0.1", "called_ae": "X", "calling_ae": "Y"},
            Verdict.NETWORK_NOT_ALLOWED,
            id="the network is judged first",
        ),
        pytest.param(
            {"called_ae": "X", "is_late": True, "associations": 9},
            Verdict.CALLED_AE_UNKNOWN,
            id="what is permanent comes before what may pass",
        ),
        pytest.param(
            {"has_context": False, "associations": 2}, Verdict.NO_CONTEXT, id="contexts, too"
        ),
    ],
)
def test_the_first_objection_decides(changes: dict[str, Any], expected: Verdict) -> None:
    assert admit(replace(WELCOME, **changes), STRICT) is expected


def test_without_rules_anybody_may_come() -> None:
    assert admit(Candidate("", "", "unknown", associations=999), Admission()) is Verdict.ADMITTED


@pytest.mark.parametrize(
    ("verdict", "rejection"),
    [
        pytest.param(Verdict.NETWORK_NOT_ALLOWED, (1, 1, 1), id="network: no reason given"),
        pytest.param(Verdict.CALLED_AE_UNKNOWN, (1, 1, 7), id="called AE not recognized"),
        pytest.param(Verdict.CALLING_AE_UNKNOWN, (1, 1, 3), id="calling AE not recognized"),
        pytest.param(Verdict.NO_CONTEXT, (1, 1, 1), id="contexts: no reason given"),
        pytest.param(Verdict.ENDING, (2, 3, 1), id="ending: temporary congestion"),
        pytest.param(Verdict.TOO_MANY_OF_PEER, (2, 3, 2), id="local limit exceeded"),
    ],
)
def test_each_objection_has_its_code_of_the_standard(
    verdict: Verdict, rejection: tuple[int, int, int]
) -> None:
    assert verdict.rejection == rejection
    assert verdict.is_transient == (rejection[0] == 2)
    assert verdict.reason
