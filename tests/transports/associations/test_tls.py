"""Secure transport connections: who is trusted, who has to prove what, and which suites."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import trustme

from asyncdicom.errors import (
    ConfigError,
    ConnectionLost,
    ProtocolError,
    TlsRejected,
    Unreachable,
)
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT
from asyncdicom.transports.associations.acceptor_tls import acceptor_context
from asyncdicom.transports.associations.settings import TlsSettings
from asyncdicom.transports.associations.tls import explain, explain_client, requestor_context
from tests.support.scripted_peer import dial
from tests.transports.associations.support import (
    CT,
    STORING,
    Archive,
    associated,
    serving,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from asyncdicom.transports.associations.services import Operation

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Files:
    """An authority, and what it vouches for."""

    ca: Path
    server: Path
    elsewhere: Path
    client: Path

    @property
    def acceptor(self) -> TlsSettings:
        return TlsSettings(client_cert_file=self.server)

    @property
    def requestor(self) -> TlsSettings:
        return TlsSettings(ca_file=self.ca)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, host in (("server", "127.0.0.1"), ("elsewhere", "pacs.example"), ("client", "me")):
        ca.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(folder / name))
    return Files(*(folder / name for name in ("ca.pem", "server", "elsewhere", "client")))


async def test_a_trusted_peer_is_spoken_to_and_data_arrive_whole(files: Files) -> None:
    archive = Archive()
    dataset = bytes(range(256)) * 5000
    async with (
        serving(archive, tls=files.acceptor) as server,
        associated(server.port, STORING, tls=files.requestor) as association,
    ):
        assert association.settings.origin.startswith("dicoms://")
        assert await association.store(association.context_for(CT), "1.2", dataset) == 0
    assert archive.storage_handler.whole == {"1.2": dataset}


async def test_a_consumer_that_pauses_loses_nothing(files: Files) -> None:
    class Full(Archive):
        async def find(self, operation: Operation, /) -> AsyncGenerator[bytes]:
            for number in range(3000):
                yield b"%08d" % number * 1000

    async with (
        serving(Full(), tls=files.acceptor) as server,
        associated(server.port, tls=files.requestor) as association,
    ):
        found = association.find(association.context_for(STUDY_ROOT.find), b"ask")
        first = await anext(found)
        connection = association.wire.connection
        await until(lambda: not connection._is_reading)
        numbers = [int(one.identifier[:8]) async for one in found]
    assert int(first.identifier[:8]) == 0
    assert numbers == list(range(1, 3000))


async def test_an_unknown_authority_is_refused(files: Files) -> None:
    async with serving(Archive(), tls=files.acceptor) as server:
        with pytest.raises(TlsRejected, match="no trusted authority"):
            async with associated(server.port, tls=TlsSettings()):
                pytest.fail("nobody vouches for it")


async def test_any_certificate_passes_where_nothing_is_verified(files: Files) -> None:
    async with (
        serving(Archive(), tls=files.acceptor) as server,
        associated(server.port, tls=TlsSettings(verify=False)) as association,
    ):
        await association.echo()


async def test_a_certificate_of_another_host_is_refused(files: Files) -> None:
    tls = TlsSettings(client_cert_file=files.elsewhere)
    async with serving(Archive(), tls=tls) as server:
        with pytest.raises(TlsRejected, match="another host name"):
            async with associated(server.port, tls=files.requestor):
                pytest.fail("it is for another host")


async def test_a_certificate_of_another_host_passes_where_told(files: Files) -> None:
    tls = TlsSettings(client_cert_file=files.elsewhere)
    trusting = replace(files.requestor, check_host_name=False)
    async with (
        serving(Archive(), tls=tls) as server,
        associated(server.port, tls=trusting) as association,
    ):
        await association.echo()


async def test_without_names_the_authority_is_still_checked(files: Files) -> None:
    async with serving(Archive(), tls=files.acceptor) as server:
        with pytest.raises(TlsRejected):
            async with associated(server.port, tls=TlsSettings(check_host_name=False)):
                pytest.fail("nobody vouches for it")


async def test_a_client_certificate_is_asked_for_and_accepted(files: Files) -> None:
    asking = replace(files.acceptor, ca_file=files.ca)
    proving = replace(files.requestor, client_cert_file=files.client)
    async with (
        serving(Archive(), tls=asking) as server,
        associated(server.port, tls=proving) as association,
    ):
        await association.echo()


async def test_who_has_no_client_certificate_is_told_to_give_one(files: Files) -> None:
    asking = replace(files.acceptor, ca_file=files.ca)
    async with serving(Archive(), tls=asking) as server:
        with pytest.raises((TlsRejected, ConnectionLost)):
            async with associated(server.port, tls=files.requestor):
                pytest.fail("it proved nothing")
        assert server.statistics().accepted == 0


async def test_a_client_certificate_of_strangers_is_refused(files: Files, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger_certificate = trustme.CA().issue_cert("me")
    stranger_certificate.private_key_and_cert_chain_pem.write_to_path(str(stranger))
    asking = replace(files.acceptor, ca_file=files.ca)
    proving = replace(files.requestor, client_cert_file=stranger)
    async with serving(Archive(), tls=asking) as server:
        with pytest.raises((TlsRejected, ConnectionLost)):
            async with associated(server.port, tls=proving):
                pytest.fail("nobody vouches for it")


async def test_tls_to_a_plain_port_is_refused() -> None:
    async with serving(Archive()) as server:
        with pytest.raises(TlsRejected):
            async with associated(server.port, tls=TlsSettings(verify=False)):
                pytest.fail("it speaks no TLS")


async def test_nobody_listening_is_no_matter_of_trust() -> None:
    async with serving(Archive()) as server:
        port = server.port
    with pytest.raises(Unreachable) as caught:
        async with associated(port, tls=TlsSettings(verify=False)):
            pytest.fail("nobody was there")
    assert type(caught.value) is Unreachable


async def test_plain_to_a_tls_port_ends_at_once(files: Files) -> None:
    async with serving(Archive(), tls=files.acceptor) as server:
        with pytest.raises(ConnectionLost):
            async with associated(server.port):
                pytest.fail("it speaks TLS only")


async def test_a_handshake_that_never_ends_is_ended_by_artim(files: Files) -> None:
    async with serving(Archive(), tls=files.acceptor, artim_timeout_s=0.1) as server:
        async with dial(server.port) as peer:
            await peer.silence()
        await until(lambda: server.statistics().connections == 0)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("profile", ["bcp195", "bcp195-modified"])
def test_both_profiles_speak_both_versions(
    profile: str, version: ssl.TLSVersion, files: Files
) -> None:
    context = requestor_context(replace(files.requestor, profile=profile))
    assert context.minimum_version <= version <= ssl.TLSVersion.TLSv1_3
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


OF_TLS_1_2 = {
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
}


@pytest.mark.parametrize(
    ("profile", "more"),
    [
        pytest.param("bcp195", set(), id="BCP 195"),
        pytest.param(
            "bcp195-modified",
            {
                *("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
                *("ECDHE-ECDSA-AES256-CCM", "ECDHE-ECDSA-AES128-CCM"),
                *("ECDHE-ECDSA-AES256-CCM8", "ECDHE-ECDSA-AES128-CCM8"),
            },
            id="modified",
        ),
    ],
)
def test_a_profile_has_its_suites_and_no_others(profile: str, more: set[str], files: Files) -> None:
    for context in (
        requestor_context(replace(files.requestor, profile=profile)),
        acceptor_context(replace(files.acceptor, profile=profile)),
    ):
        names = {one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"}
        assert names >= OF_TLS_1_2
        assert names <= OF_TLS_1_2 | more


def test_an_acceptor_without_a_certificate_is_refused(files: Files) -> None:
    with pytest.raises(ConfigError, match="certificate"):
        acceptor_context(TlsSettings(ca_file=files.ca))


@pytest.mark.parametrize("field", ["ca_file", "client_cert_file"])
def test_a_file_that_is_none_is_a_matter_of_configuration(
    field: str, files: Files, tmp_path: Path
) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"no certificate")
    broken = {field: garbage}
    with pytest.raises(ConfigError):
        acceptor_context(replace(files.acceptor, **broken))  # type: ignore[arg-type]  # -- a path
    with pytest.raises(ConfigError):
        requestor_context(replace(files.requestor, **broken))  # type: ignore[arg-type]  # -- a path


def test_a_file_that_is_absent_is_a_matter_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        acceptor_context(TlsSettings(client_cert_file=tmp_path / "absent"))


def test_what_is_told_speaks_of_dicom() -> None:
    assert "dicom://" in explain(ssl.SSLError("wrong version number"))
    assert "http" not in explain(ssl.SSLError("wrong version number"))
    assert explain(ssl.SSLError("something else")) == "no TLS connection could be made"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ssl.SSLError(1, "[SSL: NO_SHARED_CIPHER] no shared cipher (_ssl.c:1006)"),
            "no cipher suite is common to both sides",
        ),
        (
            ssl.SSLError(1, "[SSL] tlsv1 alert unknown ca (_ssl.c:1006)"),
            "it does not trust our certificate",
        ),
        (ssl.SSLError(1, "something new"), "no TLS connection could be made"),
        (ConnectionResetError(), "it left during the TLS handshake"),
        (
            ConnectionAbortedError(),
            "it left during the TLS handshake, or did not finish it in time",
        ),
        (TimeoutError(), "it asked for no association in time"),
        (ProtocolError("a PDU of type 16", offset=0), "it speaks TLS, and this port does not"),
        (ProtocolError("a PDU of type 47", offset=0), "a PDU of type 47 at byte 0"),
    ],
)
def test_an_acceptor_is_told_what_its_client_did(error: Exception, told: str) -> None:
    assert explain_client(error).startswith(told)
