"""Whom a receiver lets in, and what it negotiates."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.protocol.dimse.association_profiles import AssociationProfile, Role
from asyncdicom.protocol.dimse.sop_classes import (
    BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STUDY_ROOT,
    VERIFICATION,
)
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal, Party, propose
from asyncdicom.protocol.upper_layer.pdu import AssociateAccept, AssociateReject, encode
from asyncdicom.protocol.upper_layer.user_information import ExtendedNegotiation
from asyncdicom.receiver.events import (
    AssociationBegan,
    AssociationEnded,
    AssociationRefused,
    ConnectionFailed,
)
from asyncdicom.receiver.settings import Admission
from tests.receiver.support import CT, MR, STORING, Sender, sending, serving, until
from tests.support.dicom import PRIVATE_SOP_CLASS, ct
from tests.support.scripted_peer import dial

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

JPEG = "1.2.840.10008.1.2.4.50"
PRIVATE_SYNTAX = "1.2.3.4.99"
STORAGE_OF_TOMORROW = "1.2.840.10008.5.1.4.1.1.9999"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"


async def negotiated(port: int, *contexts: ContextProposal) -> list[tuple[int, str]]:
    """Return result and transfer syntax of each context; an echo is always among them."""
    async with dial(port) as peer:
        answer = await peer.request(
            [*contexts, ContextProposal(VERIFICATION, (IMPLICIT_VR_LITTLE_ENDIAN,))]
        )
        assert isinstance(answer, AssociateAccept), answer
        assert answer.contexts[-1].result == 0
        return [(one.result, one.transfer_syntax) for one in answer.contexts[:-1]]


@pytest.mark.parametrize(
    ("uid", "syntaxes", "expected", "promiscuous"),
    [
        pytest.param(
            CT,
            (JPEG, EXPLICIT_VR_LITTLE_ENDIAN),
            (0, JPEG),
            (0, JPEG),
            id="what the peer names first",
        ),
        pytest.param(CT, (BIG_ENDIAN,), (0, BIG_ENDIAN), (0, BIG_ENDIAN), id="even big endian"),
        pytest.param(
            CT,
            (PRIVATE_SYNTAX, JPEG),
            (0, JPEG),
            (0, PRIVATE_SYNTAX),
            id="private transfer syntaxes",
        ),
        pytest.param(CT, (PRIVATE_SYNTAX,), (4, ""), (0, PRIVATE_SYNTAX), id="only a private one"),
        pytest.param(PRIVATE_SOP_CLASS, (JPEG,), (3, ""), (0, JPEG), id="private SOP classes"),
        pytest.param(STORAGE_OF_TOMORROW, (JPEG,), (3, ""), (0, JPEG), id="of a later edition"),
        pytest.param(STUDY_ROOT.find, (JPEG,), (3, ""), (3, ""), id="queries never"),
        pytest.param(STUDY_ROOT.move, (JPEG,), (3, ""), (3, ""), id="retrieval never"),
        pytest.param(STORAGE_COMMITMENT, (JPEG,), (3, ""), (3, ""), id="another service never"),
    ],
)
async def test_all_storage_is_taken_and_the_rest_only_where_wanted(
    tmp_path: Path,
    uid: str,
    syntaxes: tuple[str, ...],
    expected: tuple[int, str],
    promiscuous: tuple[int, str],
) -> None:
    for is_promiscuous, wanted in ((False, expected), (True, promiscuous)):
        async with serving(tmp_path, is_promiscuous=is_promiscuous) as served:
            ((result, syntax),) = await negotiated(served.port, ContextProposal(uid, syntaxes))
        assert result == wanted[0]
        if result == 0:
            assert syntax == wanted[1]


PROFILE = AssociationProfile(
    name="Default",
    transfer_syntaxes={
        CT: (EXPLICIT_VR_LITTLE_ENDIAN, JPEG),
        PRIVATE_SOP_CLASS: (JPEG,),
        STUDY_ROOT.find: (EXPLICIT_VR_LITTLE_ENDIAN,),
    },
)


@pytest.mark.parametrize(
    ("uid", "syntaxes", "expected"),
    [
        pytest.param(
            CT, (JPEG, EXPLICIT_VR_LITTLE_ENDIAN), (0, EXPLICIT_VR_LITTLE_ENDIAN), id="our order"
        ),
        pytest.param(CT, (BIG_ENDIAN,), (4, ""), id="no other transfer syntax"),
        pytest.param(MR, (EXPLICIT_VR_LITTLE_ENDIAN,), (3, ""), id="no other SOP class"),
        pytest.param(PRIVATE_SOP_CLASS, (JPEG,), (0, JPEG), id="a private one that it names"),
        pytest.param(STUDY_ROOT.find, (EXPLICIT_VR_LITTLE_ENDIAN,), (3, ""), id="no queries"),
    ],
)
async def test_a_profile_says_exactly_what_is_taken(
    tmp_path: Path, uid: str, syntaxes: tuple[str, ...], expected: tuple[int, str]
) -> None:
    async with serving(tmp_path, profile=PROFILE) as served:
        ((result, syntax),) = await negotiated(served.port, ContextProposal(uid, syntaxes))
    assert result == expected[0]
    if result == 0:
        assert syntax == expected[1]


async def test_a_promiscuous_profile_takes_the_others_as_they_come(tmp_path: Path) -> None:
    async with serving(tmp_path, profile=PROFILE, is_promiscuous=True) as served:
        ((result, syntax),) = await negotiated(served.port, ContextProposal(MR, (BIG_ENDIAN,)))
    assert (result, syntax) == (0, BIG_ENDIAN)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        pytest.param(None, None, id="a peer stores, nothing else"),
        pytest.param(PROFILE, None, id="no role in the profile"),
        pytest.param(replace(PROFILE, roles={CT: Role.BOTH}), (True, True), id="both"),
        pytest.param(replace(PROFILE, roles={CT: Role.SCU}), (True, False), id="SCU only"),
    ],
)
async def test_roles_are_granted_as_the_profile_says(
    tmp_path: Path, profile: AssociationProfile | None, expected: tuple[bool, bool]
) -> None:
    context = ContextProposal(CT, (EXPLICIT_VR_LITTLE_ENDIAN,), is_scu=True, is_scp=True)
    async with serving(tmp_path, profile=profile) as served, dial(served.port) as peer:
        answer = await peer.request([context])
    assert isinstance(answer, AssociateAccept)
    role = answer.user.roles.get(CT)
    assert (role and (role.is_scu, role.is_scp)) == expected


async def test_who_may_only_be_scp_has_nothing_to_store(tmp_path: Path) -> None:
    profile = replace(PROFILE, roles={CT: Role.SCP})
    context = ContextProposal(CT, (EXPLICIT_VR_LITTLE_ENDIAN,), is_scu=True, is_scp=True)
    async with serving(tmp_path, profile=profile) as served, dial(served.port) as peer:
        assert await peer.request([context]) == AssociateReject(1, 1, 1)


async def test_extended_negotiation_is_answered_as_the_profile_says(tmp_path: Path) -> None:
    profile = replace(PROFILE, extended_negotiation={CT: b"\2\0"})
    asked = ExtendedNegotiation(CT, b"\1")
    party = Party("STORE", "CT01", 16384, extra=(asked,))
    contexts = [ContextProposal(CT, (EXPLICIT_VR_LITTLE_ENDIAN,))]
    for chosen, expected in ((profile, ExtendedNegotiation(CT, b"\2\0")), (None, None)):
        async with serving(tmp_path, profile=chosen) as served, dial(served.port) as peer:
            await peer.send(encode(propose(contexts, party)))
            answer = await peer.pdu()
        assert isinstance(answer, AssociateAccept)
        assert answer.user.first(ExtendedNegotiation) == expected


NARROW = Admission(
    called_aes=frozenset({"STORE"}),
    calling_aes=frozenset({"CT01"}),
    networks=(ip_network("127.0.0.0/8"),),
)
WELCOME: dict[str, Any] = {"called_ae": "STORE", "calling_ae": "CT01"}


@pytest.mark.parametrize(
    ("admission", "changes", "expected"),
    [
        pytest.param(NARROW, {"called_ae": "OTHER"}, (1, 1, 7), id="called AE"),
        pytest.param(NARROW, {"calling_ae": "CT02"}, (1, 1, 3), id="calling AE"),
        pytest.param(Admission(networks=(ip_network("10.0.0.0/8"),)), {}, (1, 1, 1), id="network"),
        pytest.param(
            NARROW,
            {"contexts": (ContextProposal(STUDY_ROOT.find, (EXPLICIT_VR_LITTLE_ENDIAN,)),)},
            (1, 1, 1),
            id="nothing we take",
        ),
        pytest.param(
            NARROW,
            {"contexts": (ContextProposal(CT, (PRIVATE_SYNTAX,)),)},
            (1, 1, 1),
            id="no transfer syntax we take",
        ),
    ],
)
async def test_who_is_refused_is_told_why_and_so_are_we(
    tmp_path: Path,
    admission: Admission,
    changes: dict[str, Any],
    expected: tuple[int, int, int],
) -> None:
    asked: dict[str, Any] = {"contexts": STORING, **WELCOME, **changes}
    async with serving(tmp_path, admission=admission) as served, dial(served.port) as peer:
        answer = await peer.request(asked.pop("contexts"), **asked)
        assert answer == AssociateReject(*expected)
        (refused,) = await served.told.until(AssociationRefused)
    assert not refused.is_transient
    assert refused.caller.calling_ae == asked["calling_ae"]
    assert refused.caller.association == 0
    assert not served.told.of(AssociationBegan)
    assert not served.told.of(AssociationEnded)


async def test_who_is_expected_is_let_in(tmp_path: Path) -> None:
    async with serving(tmp_path, admission=NARROW) as served, dial(served.port) as peer:
        assert isinstance(await peer.request(STORING, **WELCOME), AssociateAccept)
        assert await Sender(peer).store(ct()) == 0


async def test_one_association_too_many_is_told_to_come_again_at_once(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, server={"max_associations": 2}) as served,
        sending(served.port) as first,
        sending(served.port),
    ):
        began_s = asyncio.get_running_loop().time()
        async with dial(served.port) as peer:
            assert await peer.request(STORING) == AssociateReject(2, 3, 2)
        assert asyncio.get_running_loop().time() - began_s < 10
        assert await first.store(ct()) == 0
        await first.release()
        await served.told.until(AssociationEnded)
        async with sending(served.port) as again:
            assert await again.echo() == 0
    (refused,) = served.told.of(AssociationRefused)
    assert refused.is_transient
    assert served.receiver.statistics().rejected == 1


async def test_one_peer_does_not_take_the_places_of_all(tmp_path: Path) -> None:
    admission = Admission(max_associations_per_peer=1)
    async with serving(tmp_path, admission=admission) as served:
        async with sending(served.port) as first, dial(served.port) as second:
            assert await second.request(STORING) == AssociateReject(2, 3, 2)
            assert await first.echo() == 0
            await first.release()
        await until(lambda: served.receiver.statistics().associations == 0)
        async with sending(served.port) as again:
            assert await again.echo() == 0


async def test_places_are_given_back_however_associations_end(tmp_path: Path) -> None:
    admission = Admission(max_associations_per_peer=1)
    async with serving(tmp_path, admission=admission) as served:
        for number in range(1, 21):
            async with sending(served.port) as sender:
                if number % 2:
                    sender.peer.reset()
                else:
                    await sender.release()
            await served.told.until(AssociationEnded, number)
        statistics = served.receiver.statistics()
    assert (statistics.accepted, statistics.rejected, statistics.aborted) == (20, 0, 10)
    assert [one.caller.association for one in served.told.of(AssociationEnded)] == [*range(1, 21)]


@pytest.mark.parametrize("engine", ["native", "pynetdicom"])
@pytest.mark.parametrize(
    ("sent", "is_silent"),
    [
        pytest.param(b"", True, id="a probe"),
        pytest.param(bytes.fromhex("1603010200010001fc0303"), False, id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", False, id="HTTP"),
    ],
)
async def test_a_connection_that_comes_to_nothing_is_told(
    sent: bytes, *, is_silent: bool, engine: str, tmp_path: Path
) -> None:
    async with serving(tmp_path, engine=engine) as served, dial(served.port) as peer:
        await peer.send(sent)
        peer.writer.write_eof()
        (failed,) = await served.told.until(ConnectionFailed)
    assert failed.address.startswith("127.0.0.1:")
    assert failed.is_silent == is_silent
    assert failed.reason
    assert served.told.of(AssociationBegan) == []


async def test_another_protocol_version_is_refused_aloud(tmp_path: Path) -> None:
    request = bytearray(encode(propose(STORING, Party("STORE", "CT01", 16384))))
    request[6:8] = b"\x00\x02"
    async with serving(tmp_path) as served, dial(served.port) as peer:
        await peer.send(bytes(request))
        # PS3.8 Table 9-21: permanent, by the service provider (ACSE), protocol version.
        assert await peer.pdu() == AssociateReject(1, 2, 2)
        await peer.silence()
        (failed,) = await served.told.until(ConnectionFailed)
    assert (failed.reason, failed.is_silent) == ("it speaks protocol 0002, not version 1", False)


@pytest.mark.parametrize("engine", ["native", "pynetdicom"])
async def test_a_connection_too_many_is_told(tmp_path: Path, engine: str) -> None:
    server = {"max_connections": 1}
    async with serving(tmp_path, engine=engine, server=server) as served, dial(served.port):
        await until(lambda: served.receiver.statistics().connections == 1)
        async with dial(served.port) as other:
            await other.silence()
        (failed,) = await served.told.until(ConnectionFailed)
    assert (failed.reason, failed.is_silent) == (
        "there are as many connections as there may be",
        True,
    )
