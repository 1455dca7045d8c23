"""A receiver inside of a program."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

import asyncdicom
from asyncdicom import (
    AssociationEnded,
    ConfigError,
    InstanceDuplicated,
    InstanceRefused,
    InstanceStored,
    LimitExceeded,
    Listening,
    ReceiverEnded,
    StudyCompleted,
)
from asyncdicom.library import receiving
from asyncdicom.protocol.upper_layer.negotiation import ContextProposal
from asyncdicom.protocol.upper_layer.pdu import AssociateAccept, AssociateReject
from tests.receiver.support import (
    CT,
    MR,
    STORING,
    SYNTAXES,
    Sender,
    data_set_of,
    files_below,
    sending,
    sha256,
    until,
)
from tests.receiver.test_profiles import CONTENT as CT_ALONE
from tests.support.dicom import ct, uid
from tests.support.documents import blocks_of
from tests.support.processes import accepts_connections, free_port
from tests.support.scripted_peer import dial

if TYPE_CHECKING:
    from asyncdicom import ReceiverEvent, Receiving

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[2] / "README.md"


async def store(receiver: Receiving, *numbers: int) -> list[int]:
    """Store some instances over one association."""
    async with sending(receiver.port) as sender:
        statuses = [await sender.store(ct(number=number)) for number in numbers]
        await sender.release()
    return statuses


async def test_what_comes_is_stored_and_told(tmp_path: Path) -> None:
    told: list[ReceiverEvent] = []
    options: dict[str, Any] = {"layout": "{PatientID}", "study_idle": 0.05}
    folder = tmp_path / "in"
    async with asyncdicom.receive(folder, port=0, on_event=told.append, **options) as receiver:
        assert await store(receiver, 1, 2) == [0, 0]
        await until(lambda: any(isinstance(one, StudyCompleted) for one in told))
        assert receiver.statistics().stored == 2
        await receiver.stop()
    assert isinstance(told[0], Listening)
    assert isinstance(told[-1], ReceiverEnded)
    paths = [f"P-0042/{uid('instance', number)}.dcm" for number in (1, 2)]
    assert [one.path for one in told if isinstance(one, InstanceStored)] == paths
    assert [data_set_of(one) for one in files_below(folder).values()] == [
        data_set_of(ct(number=number)) for number in (1, 2)
    ]


async def test_events_are_read_up_to_the_end(tmp_path: Path) -> None:
    seen: list[str] = []
    async with asyncdicom.receive(tmp_path, port=0) as receiver:
        events = aiter(receiver)
        first = anext(events)
        sending_all = store(receiver, 1, 2, 3)
        statuses, began = await together(sending_all, first)
        assert statuses == [0, 0, 0]
        seen.append(type(began).__name__)
        await receiver.stop(grace=8)
        seen += [type(event).__name__ async for event in events]
    assert seen == ["AssociationBegan", *["InstanceStored"] * 3, "AssociationEnded"]


async def together(one: Any, other: Any) -> tuple[Any, Any]:
    """Wait for two things at once; the second begins first."""
    second = asyncio.ensure_future(other)
    await asyncio.sleep(0)
    return await one, await second


async def test_leaving_the_block_ends_the_iteration(tmp_path: Path) -> None:
    async with asyncdicom.receive(tmp_path, port=0) as receiver:
        pass
    assert [event async for event in receiver] == []


async def test_a_reader_that_is_too_slow_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "MAX_WAITING_EVENTS", 2)
    async with asyncdicom.receive(tmp_path, port=0) as receiver:
        events = aiter(receiver)
        await together(store(receiver, 1, 2, 3, 4), anext(events))
        with pytest.raises(LimitExceeded, match="2 events"):
            async for _ in events:
                pass
        async with aclosing(aiter(receiver)) as again:  # type: ignore[type-var]  # -- a generator
            _, event = await together(store(receiver, 5), anext(again))
            assert type(event).__name__ == "AssociationBegan"


@pytest.mark.parametrize(
    ("options", "names", "expected"),
    [
        pytest.param({"aetitle": "STORE"}, {"called_ae": "X"}, (1, 1, 7), id="called AE"),
        pytest.param(
            {"allow_calling_aet": ["CT01"]}, {"calling_ae": "X"}, (1, 1, 3), id="calling AE"
        ),
        pytest.param({"allow_from": ["10.0.0.0/8"]}, {}, (1, 1, 1), id="network"),
        pytest.param({"allow_from": "10.0.0.0/8"}, {}, (1, 1, 1), id="network by itself"),
        pytest.param(
            {"allow_calling_aet": "CT01"}, {"calling_ae": "C"}, (1, 1, 3), id="a part of its name"
        ),
        pytest.param({"max_associations_per_peer": 0}, {}, (2, 3, 2), id="per peer"),
        pytest.param({"max_associations": 0}, {}, (2, 3, 2), id="limit"),
    ],
)
async def test_options_say_who_may_come(
    tmp_path: Path,
    options: dict[str, Any],
    names: dict[str, Any],
    expected: tuple[int, int, int],
) -> None:
    async with (
        asyncdicom.receive(tmp_path, port=0, **options) as receiver,
        dial(receiver.port) as peer,
    ):
        assert await peer.request(STORING, **names) == AssociateReject(*expected)


async def test_options_say_what_is_kept(tmp_path: Path) -> None:
    told: list[ReceiverEvent] = []
    options: dict[str, Any] = {"duplicates": "skip", "extension": "", "durability": "full"}
    async with asyncdicom.receive(tmp_path, port=0, on_event=told.append, **options) as receiver:
        assert await store(receiver, 1, 1) == [0, 0]
    assert files_below(tmp_path).keys() == {uid("instance", 1)}
    assert [type(one) for one in told if isinstance(one, InstanceDuplicated)]
    async with asyncdicom.receive(tmp_path, port=0, on_event=told.append, min_free=2**62) as full:
        assert await store(full, 2) == [0xA700]
    assert [one.status for one in told if isinstance(one, InstanceRefused)] == [0xA700]
    assert len([one for one in told if isinstance(one, AssociationEnded)]) == 2


async def test_a_profile_says_what_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "storescp.cfg"
    file.write_text(CT_ALONE)
    proposed = [ContextProposal(CT, SYNTAXES), ContextProposal(MR, SYNTAXES)]
    async with (
        asyncdicom.receive(tmp_path / "in", port=0, config_file=(file, "CT alone")) as receiver,
        dial(receiver.port) as peer,
        dial(receiver.port) as other,
    ):
        answer = await peer.request(proposed)
        assert isinstance(answer, AssociateAccept)
        assert [one.result for one in answer.contexts] == [0, 3]
        assert isinstance(await other.request(proposed[1:]), AssociateReject)


@dataclass(frozen=True)
class Trust:
    """Files of ours, and what clients say hello with."""

    files: dict[str, Any]
    known: ssl.SSLContext
    """With a certificate of the authority."""
    stranger: ssl.SSLContext
    """Without any."""


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    authority = trustme.CA()
    files = {"cert": tmp_path / "cert.pem", "cacert": tmp_path / "ca.pem"}
    ours = authority.issue_cert("127.0.0.1")
    ours.private_key_and_cert_chain_pem.write_to_path(str(files["cert"]))
    authority.cert_pem.write_to_path(str(files["cacert"]))
    contexts = [ssl.create_default_context(), ssl.create_default_context()]
    for context in contexts:
        authority.configure_trust(context)
    authority.issue_cert("modality").configure_cert(contexts[0])
    return Trust(files, *contexts)


async def echoed(receiver: Receiving, tls: ssl.SSLContext) -> int:
    """C-ECHO over TLS."""
    async with dial(receiver.port, tls=tls) as peer:
        await peer.request(STORING)
        return await Sender(peer).echo()


async def test_over_tls_clients_have_to_prove_who_they_are(tmp_path: Path, trust: Trust) -> None:
    async with asyncdicom.receive(tmp_path / "in", port=0, **trust.files) as receiver:
        assert await echoed(receiver, trust.known) == 0
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await echoed(receiver, trust.stranger)
    assert receiver.statistics().accepted == 1


async def test_over_tls_without_authorities_anybody_may_come(tmp_path: Path, trust: Trust) -> None:
    cert = trust.files["cert"]
    async with asyncdicom.receive(tmp_path / "in", port=0, cert=cert, key=cert) as receiver:
        assert await echoed(receiver, trust.known) == 0
        assert await echoed(receiver, trust.stranger) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"duplicates": "both"}, "known: overwrite, skip, keep-both", id="duplicates"),
        pytest.param({"allow_from": ["10.0.0"]}, "allow_from", id="network"),
        pytest.param({"aetitle": "x" * 17}, "AE title", id="AE title"),
        pytest.param({"on_object": "run {what}"}, "unknown placeholder", id="hook"),
        pytest.param({"layout": "{"}, "layout", id="layout"),
        pytest.param({"layout": "{PatientId}"}, "unknown variable", id="variable"),
        pytest.param({"durability": "most"}, "known: none, batch, full", id="durability"),
        pytest.param({"max_pdu": 2**33}, "max_pdu: .* 4096 to 16777216", id="PDU too long"),
        pytest.param({"max_pdu": 0}, "max_pdu", id="PDU of no length"),
        pytest.param({"min_free": "2G"}, "min_free: no number: '2G'", id="size"),
        pytest.param({"min_free": -1}, "min_free: .* 0 or more", id="size below 0"),
        pytest.param({"timeout": 0}, "timeout", id="no time"),
        pytest.param({"study_idle": float("nan")}, "study_idle", id="no time at all"),
        pytest.param({"max_associations": -1}, "max_associations", id="count below 0"),
        pytest.param({"config_file": ("/no/such", "x")}, "cannot read", id="no profile"),
        pytest.param({"config_file": "storescp.cfg"}, "Default", id="profile without a name"),
        pytest.param({"key": "key.pem"}, "give cert", id="key without certificate"),
        pytest.param({"cert": "/no/such"}, "cannot read", id="no certificate"),
        pytest.param({"host": "192.0.2.1"}, "cannot listen", id="address"),
    ],
)
async def test_what_is_not_usable_is_told_on_entering(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        async with asyncdicom.receive(tmp_path, port=0, **options):
            pytest.fail("that is not usable")


def test_an_option_that_does_not_exist_is_refused_as_python_does(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'port_'"):
        asyncdicom.receive(tmp_path, port_=1)  # type: ignore[call-arg]  # -- that is the test


async def test_the_example_of_the_readme_stores_and_ends_with_its_study(tmp_path: Path) -> None:
    (block,) = blocks_of(README, mark="receiver")
    port = free_port()
    script = tmp_path / "example.py"
    script.write_text(block.text.replace("port=11112", f"port={port}"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(script)), cwd=tmp_path, stdout=subprocess.PIPE
    )
    await until(lambda: accepts_connections(port))
    async with sending(port) as sender:
        assert await sender.store(ct(number=1)) == 0
        await sender.release()
    printed, _ = await process.communicate()
    ((path, content),) = files_below(tmp_path / "incoming").items()
    assert printed.decode() == f"{path} {sha256(content)}\n"
    assert process.returncode == 0
