"""Trust: what is refused, what may be accepted, and what a person is told to do."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from asyncdicom.errors import ConfigError, ConnectionLost, TlsRejected, Unreachable
from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.tls import explain_tls_failure, identity_pem, tls_context
from tests.support.origin import Answer, Send, Wait, open_origin
from tests.transports.conftest import ENGINES, PATIENT, Authority
from tests.transports.contract import Fetched, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.transports.settings import TransportSettings
    from tests.support.origin import Origin

pytestmark = pytest.mark.anyio

engines = pytest.mark.parametrize("engine", ENGINES)


async def get(engine: str, origin: Origin, settings: TransportSettings) -> Fetched:
    transport = open_transport(engine, settings)
    try:
        return await fetch(transport, origin.url("/a"))
    finally:
        await transport.aclose()


def expired_context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    ca.issue_cert("127.0.0.1", not_after=yesterday).configure_cert(context)
    return context


@engines
async def test_a_trusted_server_is_spoken_to(engine: str, authority: Authority) -> None:
    async with open_origin(tls=authority.server_context()) as origin:
        origin.serve("/a", Answer(200, (), b"a"))
        settings = replace(PATIENT, ca_file=authority.ca_file)
        assert (await get(engine, origin, settings)).body == b"a"


@engines
async def test_every_authority_of_a_bundle_is_trusted(
    engine: str, authority: Authority, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(trustme.CA().cert_pem.bytes() + authority.ca_file.read_bytes())
    async with open_origin(tls=authority.server_context()) as origin:
        origin.serve("/a", Answer(200, (), b"a"))
        assert (await get(engine, origin, replace(PATIENT, ca_file=bundle))).body == b"a"


@engines
async def test_an_unknown_authority_is_refused_and_the_way_out_told(
    engine: str, authority: Authority
) -> None:
    async with open_origin(tls=authority.server_context()) as origin:
        with pytest.raises(TlsRejected, match="--cacert"):
            await get(engine, origin, PATIENT)
        assert origin.requests == []


@engines
async def test_another_host_name_is_refused(engine: str, authority: Authority) -> None:
    async with open_origin(tls=authority.server_context("elsewhere.example")) as origin:
        with pytest.raises(TlsRejected, match="another host name"):
            await get(engine, origin, replace(PATIENT, ca_file=authority.ca_file))


@engines
async def test_an_expired_certificate_is_refused(engine: str, authority: Authority) -> None:
    async with open_origin(tls=expired_context(authority.ca)) as origin:
        with pytest.raises(TlsRejected, match="expired"):
            await get(engine, origin, replace(PATIENT, ca_file=authority.ca_file))


@engines
@pytest.mark.parametrize("fault", ["unknown", "name", "expired"])
async def test_insecure_accepts_anything(engine: str, authority: Authority, fault: str) -> None:
    contexts = {
        "unknown": foreign_context(),
        "name": authority.server_context("elsewhere.example"),
        "expired": expired_context(authority.ca),
    }
    async with open_origin(tls=contexts[fault]) as origin:
        origin.serve("/a", Answer(200, (), b"a"))
        assert (await get(engine, origin, replace(PATIENT, verify=False))).body == b"a"


def foreign_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@engines
async def test_tls_to_a_plain_port_says_so(engine: str) -> None:
    async with open_origin(first_steps=(Send(b"HTTP/1.1 400 no\r\n\r\n"), Wait())) as origin:
        origin.scheme = "https"
        with pytest.raises(TlsRejected, match="http:// instead"):
            await get(engine, origin, PATIENT)


@engines
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_shown(
    engine: str, version: ssl.TLSVersion, authority: Authority, tmp_path: Path
) -> None:
    clients = trustme.CA()
    issued = clients.issue_cert("me@example.org")
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key_file))
    context = authority.server_context(client_ca=clients)
    context.maximum_version = version
    async with open_origin(tls=context) as origin:
        origin.serve("/a", Answer(200, (), b"a"))
        settings = replace(PATIENT, ca_file=authority.ca_file)
        with_key = replace(settings, client_cert_file=cert_file, client_key_file=key_file)
        assert (await get(engine, origin, with_key)).body == b"a"
        # The server of asyncio does not always wait until its alert has been read.
        with pytest.raises((TlsRejected, Unreachable, ConnectionLost)):
            await get(engine, origin, settings)
        assert len(origin.requests) == 1


@engines
async def test_a_handshake_that_never_ends_is_unreachable(engine: str) -> None:
    async with open_origin(first_steps=(Wait(),)) as origin:
        origin.scheme = "https"
        with pytest.raises(Unreachable, match="connect timeout"):
            await get(engine, origin, replace(PATIENT, connect_timeout_s=0.2, idle_timeout_s=2))


class TestFiles:
    def test_a_missing_file_is_a_configuration_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot read"):
            tls_context(replace(PATIENT, ca_file=tmp_path / "none.pem"))

    @pytest.mark.parametrize("engine", ENGINES)
    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"garbage", id="not PEM"),
            pytest.param(b"\x30\x82\x01\x0a", id="DER"),
            pytest.param(
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", id="nonsense"
            ),
        ],
    )
    async def test_a_bundle_that_is_none_is_a_configuration_error(
        self, engine: str, content: bytes, tmp_path: Path
    ) -> None:
        path = tmp_path / "ca.pem"
        path.write_bytes(content)
        with pytest.raises(ConfigError):
            open_transport(engine, replace(PATIENT, ca_file=path))

    def test_a_key_must_be_there(self, authority: Authority) -> None:
        with pytest.raises(ConfigError, match="--key"):
            identity_pem(replace(PATIENT, client_cert_file=authority.ca_file))

    def test_an_encrypted_key_is_refused_instead_of_asked_for(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        key_file = tmp_path / "key.pem"
        key_file.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
        settings = replace(PATIENT, client_cert_file=authority.ca_file, client_key_file=key_file)
        with pytest.raises(ConfigError, match="encrypted"):
            identity_pem(settings)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        pytest.param("invalid peer certificate: UnknownIssuer", "--cacert", id="rustls issuer"),
        pytest.param("invalid peer certificate: Expired", "expired", id="rustls expired"),
        pytest.param("received fatal alert: CertificateRequired", "--cert", id="rustls client"),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate",
            "--cacert",
            id="openssl self-signed",
        ),
        pytest.param("[SSL: WRONG_VERSION_NUMBER] wrong version number", "http://", id="no TLS"),
        pytest.param("[SSL] unknown error", "TLS", id="anything else about TLS"),
    ],
)
def test_tls_failures_say_what_to_do(text: str, fragment: str) -> None:
    assert fragment in (explain_tls_failure(text) or "")


def test_other_failures_are_not_taken_for_tls() -> None:
    assert explain_tls_failure("connection refused") is None
