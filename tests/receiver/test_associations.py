"""The open associations: numbers, hosts, and what is forgotten."""

from __future__ import annotations

import pytest

from asyncdicom.protocol.upper_layer.pdu import AssociateRequest
from asyncdicom.receiver.associations import OpenAssociations, caller_of, host_of
from asyncdicom.receiver.events import AssociationEnded
from asyncdicom.transports.associations.services import Requestor


def requestor(address: str) -> Requestor:
    return Requestor(address, AssociateRequest("STORE ", " CT01", ()))


@pytest.mark.parametrize(
    ("address", "host"),
    [
        pytest.param("10.1.2.3:4711", "10.1.2.3", id="IPv4"),
        pytest.param("[::1]:4711", "::1", id="IPv6"),
        pytest.param("[fe80::1%eth0]:4711", "fe80::1%eth0", id="link-local"),
        pytest.param("unknown", "unknown", id="gone already"),
    ],
)
def test_a_host_is_the_address_without_its_port(address: str, host: str) -> None:
    assert host_of(requestor(address)) == host


def test_associations_are_numbered_found_and_forgotten() -> None:
    opened = OpenAssociations()
    peers = [requestor(f"10.1.2.3:{port}") for port in (1, 2)]
    first, second = (opened.begin(peer, 10.0) for peer in peers)
    assert (first.caller.association, second.caller.association) == (1, 2)
    assert opened.of(peers[1]) is second
    assert opened.numbered(1) is first
    assert opened.count_of("10.1.2.3") == len(opened) == 2
    assert opened.end(peers[0]) is first
    assert opened.numbered(1) is None
    assert opened.count_of("10.1.2.3") == len(opened) == 1
    opened.end(peers[1])
    assert opened.count_of("10.1.2.3") == len(opened) == 0
    assert opened.begin(peers[0], 11.0).caller.association == 3


def test_two_from_one_port_are_two() -> None:
    opened = OpenAssociations()
    peers = [requestor("10.1.2.3:1"), requestor("10.1.2.3:1")]
    first, second = (opened.begin(peer, 10.0) for peer in peers)
    assert opened.of(peers[0]) is first
    assert opened.end(peers[0]) is first
    assert opened.of(peers[1]) is second
    assert opened.end(peers[1]) is second
    assert opened.count_of("10.1.2.3") == len(opened) == 0


def test_those_that_end_soon_and_those_that_come_late_take_nothing_new() -> None:
    opened = OpenAssociations()
    first = opened.begin(requestor("10.1.2.3:1"), 10.0)
    first.in_flight = 1
    opened.end_soon()
    late = opened.begin(requestor("10.1.2.3:2"), 10.0)
    assert first.is_ending
    assert late.is_ending
    assert opened.quiet() == {2}


def test_an_association_tells_its_end() -> None:
    opened = OpenAssociations()
    peer = requestor("10.1.2.3:1")
    association = opened.begin(peer, 10.0)
    association.stored, association.refused, association.byte_count = 3, 1, 500
    assert association.ended(12.5, "cut") == AssociationEnded(
        caller_of(peer, 1), 3, 1, 500, 2.5, "cut"
    )
    assert association.caller.calling_ae == "CT01"
    assert association.caller.called_ae == "STORE"
