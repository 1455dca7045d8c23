"""TLS of the acceptor with real clients: `openssl s_client`, and DCMTK's echoscu and storescu."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.transports.associations.acceptor_tls import (
    AcceptorTls,
    PeerCertificate,
    Revocation,
)
from asyncdicom.transports.associations.settings import TlsSettings
from asyncdicom.transports.associations.tls import explain_client
from asyncdicom.transports.associations.tls_profiles import TlsProfile
from tests.support import dicom
from tests.support.certificates import Identity, Pki
from tests.support.openssl_client import Visit, visit
from tests.support.peers import require_peer
from tests.support.scripted_peer import dial
from tests.transports.associations.support import Archive, associated, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncdicom.transports.associations.acceptor import AssociationServer

pytestmark = [pytest.mark.anyio]

ON_ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""What OpenSSL alone decides."""

REQUIRE, VERIFY, IGNORE = PeerCertificate
MODERN, MODIFIED = TlsProfile.RFC8996, TlsProfile.RFC8996_MODIFIED
NON_DOWNGRADING, EXTENDED = TlsProfile.NON_DOWNGRADING, TlsProfile.EXTENDED


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def tls(pki: Pki) -> AcceptorTls:
    """Asks for no certificate."""
    return AcceptorTls(
        key_file=pki.server.key,
        cert_file=pki.server.cert,
        ca_files=(pki.ca,),
        peer_certificate=IGNORE,
    )


@dataclass
class Listening(Archive):
    """Hears why connections came to nothing."""

    reasons: list[str] = field(default_factory=list)

    def unserved(self, address: str, error: Exception, /) -> None:
        assert address.startswith("127.0.0.1:")
        self.reasons.append(explain_client(error))


@asynccontextmanager
async def secured(tls: AcceptorTls) -> AsyncIterator[tuple[AssociationServer, list[str]]]:
    services = Listening()
    async with serving(services, tls=tls) as server:
        yield server, services.reasons


async def seen_by_openssl(tls: AcceptorTls, *arguments: str) -> tuple[Visit, list[str]]:
    async with secured(tls) as (server, reasons):
        seen = await visit(server.port, *arguments)
        await until(lambda: server.statistics().connections == 0)
    return seen, reasons


async def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [name, *map(str, arguments)]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=15, check=False
    )


async def openssl(*arguments: object) -> None:
    done = await run("openssl", *arguments)
    assert done.returncode == 0, done.stderr


def as_client(identity: Identity | None) -> list[str]:
    if identity is None:
        return []
    chain = str(identity.cert)
    return ["-cert", chain, "-cert_chain", chain, "-key", str(identity.key)]


# A client that is as old as its version: else it would not even offer it.
OLD = ("-cipher", "ALL:@SECLEVEL=0")


@ON_ONE_LOOP
@pytest.mark.parametrize("profile", [MODERN, MODIFIED, NON_DOWNGRADING, EXTENDED])
@pytest.mark.parametrize(
    ("arguments", "version"),
    [
        pytest.param(("-tls1", *OLD), "", id="TLS 1.0"),
        pytest.param(("-tls1_1", *OLD), "", id="TLS 1.1"),
        pytest.param(("-tls1_2",), "TLSv1.2", id="TLS 1.2"),
        pytest.param(("-tls1_3",), "TLSv1.3", id="TLS 1.3"),
    ],
)
async def test_versions(
    profile: TlsProfile, arguments: tuple[str, ...], version: str, tls: AcceptorTls
) -> None:
    if profile is EXTENDED and version == "TLSv1.3":
        version = ""
    seen, reasons = await seen_by_openssl(replace(tls, profile=profile), *arguments)
    assert seen.version == version
    assert seen.is_associated == bool(version), seen.text
    assert reasons == ([] if version else ["it speaks no version of TLS that is still safe"])
    assert version or "alert protocol version" in seen.text


ECDHE_GCM, DHE_GCM = "ECDHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384"
CHACHA, RSA_CBC = "ECDHE-RSA-CHACHA20-POLY1305", "AES128-SHA"
OF_PROFILE = {
    MODERN: {ECDHE_GCM},
    MODIFIED: {ECDHE_GCM, CHACHA},
    NON_DOWNGRADING: {ECDHE_GCM, DHE_GCM},
    EXTENDED: {ECDHE_GCM, DHE_GCM},
}


@ON_ONE_LOOP
@pytest.mark.parametrize("profile", list(OF_PROFILE))
@pytest.mark.parametrize("cipher", [ECDHE_GCM, DHE_GCM, CHACHA, RSA_CBC])
async def test_suites(profile: TlsProfile, cipher: str, tls: AcceptorTls) -> None:
    arguments = ("-tls1_2", "-cipher", cipher)
    seen, reasons = await seen_by_openssl(replace(tls, profile=profile), *arguments)
    is_of_profile = cipher in OF_PROFILE[profile]
    assert seen.is_associated == is_of_profile, seen.text
    assert seen.cipher == (cipher if is_of_profile else "")
    assert reasons == ([] if is_of_profile else ["no cipher suite is common to both sides"])


@ON_ONE_LOOP
@pytest.mark.parametrize(
    ("profile", "cipher"),
    [
        (MODERN, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (MODIFIED, "ECDHE-ECDSA-AES256-CCM8"),
        (EXTENDED, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ],
)
async def test_suites_of_elliptic_certificates(
    profile: TlsProfile, cipher: str, tls: AcceptorTls, pki: Pki
) -> None:
    elliptic = pki.elliptic_server
    changed = replace(tls, key_file=elliptic.key, cert_file=elliptic.cert, profile=profile)
    seen, _ = await seen_by_openssl(changed, "-tls1_2", "-cipher", cipher)
    assert (seen.is_associated, seen.cipher) == (True, cipher), seen.text


async def test_an_added_suite_is_spoken(tls: AcceptorTls) -> None:
    changed = replace(tls, profile=NON_DOWNGRADING, suites=("TLS_RSA_WITH_AES_128_CBC_SHA",))
    seen, _ = await seen_by_openssl(changed, "-tls1_2", "-cipher", RSA_CBC)
    assert (seen.is_associated, seen.cipher) == (True, RSA_CBC), seen.text


@ON_ONE_LOOP
@pytest.mark.parametrize("cipher", ["NULL-SHA", "ADH-AES128-SHA", "AES128-SHA"])
async def test_a_weak_suite_is_not_spoken(cipher: str, tls: AcceptorTls) -> None:
    arguments = ("-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    seen, reasons = await seen_by_openssl(tls, *arguments)
    assert (seen.is_associated, reasons) == (False, ["no cipher suite is common to both sides"])


async def test_our_own_order_of_suites_counts(tls: AcceptorTls) -> None:
    theirs = ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384")
    seen, _ = await seen_by_openssl(tls, *theirs)
    assert seen.cipher == ECDHE_GCM


async def test_own_diffie_hellman_parameters_are_used(tls: AcceptorTls, tmp_path: Path) -> None:
    path = tmp_path / "dh.pem"
    kind = ("-algorithm", "DH", "-pkeyopt", "group:ffdhe2048")
    await openssl("genpkey", "-genparam", *kind, "-out", path)
    arguments = ("-tls1_2", "-cipher", DHE_GCM)
    for changed, bits in (
        (replace(tls, profile=NON_DOWNGRADING, dh_file=path), 2048),
        (replace(tls, profile=NON_DOWNGRADING), 3072),
    ):
        seen, _ = await seen_by_openssl(changed, *arguments)
        assert f"DH, {bits} bits" in seen.text


NONE_GIVEN = "it has no certificate, and one is required"
UNKNOWN = "its certificate is not trusted (unable to get local issuer certificate)"
REVOKED = "its certificate is not trusted (certificate revoked)"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize(
    ("who", "mode", "reason"),
    [
        ("good", REQUIRE, ""),
        ("good", VERIFY, ""),
        ("good", IGNORE, ""),
        ("stranger", REQUIRE, UNKNOWN),
        ("stranger", VERIFY, UNKNOWN),
        ("stranger", IGNORE, ""),
        ("nobody", REQUIRE, NONE_GIVEN),
        ("nobody", VERIFY, ""),
        ("nobody", IGNORE, ""),
        ("revoked", REQUIRE, REVOKED),
        ("revoked", VERIFY, REVOKED),
        ("revoked", IGNORE, ""),
    ],
)
async def test_certificates_of_clients(
    who: str, mode: PeerCertificate, reason: str, *, version: str, tls: AcceptorTls, pki: Pki
) -> None:
    identities = {"good": pki.client, "stranger": pki.stranger, "revoked": pki.revoked}
    changed = replace(tls, peer_certificate=mode, crl_files=(pki.client_crl,))
    seen, reasons = await seen_by_openssl(changed, version, *as_client(identities.get(who)))
    assert seen.is_associated == (not reason), seen.text
    assert reasons == ([reason] if reason else [])
    assert not reason or "alert" in seen.text


@ON_ONE_LOOP
@pytest.mark.parametrize(
    ("revocation", "root_list", "reason"),
    [
        pytest.param(Revocation.LEAF, None, "", id="only the client's"),
        pytest.param(Revocation.CHAIN, "good", "", id="nobody is revoked"),
        pytest.param(Revocation.CHAIN, "without", REVOKED, id="its authority is revoked"),
        pytest.param(Revocation.LEAF, "without", "", id="which nobody asked for"),
        pytest.param(
            Revocation.CHAIN,
            None,
            "its certificate is not trusted (unable to get certificate CRL)",
            id="a list is missing",
        ),
    ],
)
async def test_revocation_of_the_chain(
    revocation: Revocation, root_list: str | None, reason: str, tls: AcceptorTls, pki: Pki
) -> None:
    lists = {"good": pki.root_crl, "without": pki.root_crl_without_intermediate}
    root_lists = () if root_list is None else (lists[root_list],)
    changed = replace(
        tls,
        peer_certificate=REQUIRE,
        revocation=revocation,
        crl_files=(pki.client_crl, *root_lists),
    )
    seen, reasons = await seen_by_openssl(changed, *as_client(pki.client))
    assert seen.is_associated == (not reason), seen.text
    assert reasons == ([reason] if reason else [])


@ON_ONE_LOOP
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(("ec", "-pkeyopt", "ec_paramgen_curve:secp224r1"), id="P-224"),
        pytest.param(("rsa:1024",), id="RSA of 1024 bits"),
    ],
)
async def test_weak_certificates_of_clients_are_refused(
    kind: tuple[str, ...], tls: AcceptorTls, pki: Pki, tmp_path: Path
) -> None:
    key, cert = tmp_path / "weak.key", tmp_path / "weak.pem"
    await openssl(
        *("req", "-x509", "-newkey", *kind, "-nodes", "-subj", "/CN=weak"),
        *("-keyout", key, "-out", cert),
    )
    changed = replace(
        tls, peer_certificate=REQUIRE, ca_files=(cert,), profile=TlsProfile.RFC8996_MODIFIED
    )
    arguments = ("-tls1_2", "-cipher", "ALL:@SECLEVEL=0", "-cert", str(cert), "-key", str(key))
    seen, reasons = await seen_by_openssl(changed, *arguments)
    assert not seen.is_associated
    assert len(reasons) == 1


@pytest.mark.parametrize(
    ("arguments", "is_served"),
    [
        pytest.param(("-servername", "archive.example"), True, id="the expected name"),
        pytest.param(("-servername", "ARCHIVE.example"), True, id="in other letters"),
        pytest.param(("-servername", "other.example"), False, id="another name"),
        pytest.param(("-noservername",), False, id="no name"),
    ],
)
async def test_a_host_name_may_be_expected(
    arguments: tuple[str, ...], tls: AcceptorTls, *, is_served: bool
) -> None:
    changed = replace(tls, expected_sni="archive.example")
    seen, reasons = await seen_by_openssl(changed, *arguments)
    assert seen.is_associated == is_served, seen.text
    assert reasons == ([] if is_served else ["it asks for another host name than is expected"])
    assert is_served or "unrecognized name" in seen.text


async def test_any_host_name_is_served_unless_told(tls: AcceptorTls) -> None:
    seen, _ = await seen_by_openssl(tls, "-servername", "whatever.example")
    assert seen.is_associated


@ON_ONE_LOOP
@pytest.mark.parametrize("offered", ["dicom", "http/1.1,dicom", "h2"])
async def test_application_protocols(offered: str, tls: AcceptorTls) -> None:
    seen, _ = await seen_by_openssl(tls, "-alpn", offered)
    assert seen.is_associated, seen.text


async def test_encrypted_der_files_serve_as_well(
    tls: AcceptorTls, pki: Pki, tmp_path: Path
) -> None:
    key, cert, ca = (tmp_path / name for name in ("key.der", "cert.der", "ca.der"))
    der = ("-outform", "DER", "-out")
    await openssl("pkcs8", "-topk8", "-in", pki.server.key, "-passout", "pass:x", *der, key)
    await openssl("x509", "-in", pki.server.cert, *der, cert)
    await openssl("x509", "-in", pki.ca, *der, ca)
    changed = replace(
        tls,
        key_file=key,
        cert_file=cert,
        ca_files=(ca,),
        password=lambda: "x",
        peer_certificate=REQUIRE,
    )
    seen, _ = await seen_by_openssl(changed, *as_client(pki.client))
    assert seen.is_associated, seen.text


async def test_dicom_without_tls_ends_without_noise(tls: AcceptorTls) -> None:
    async with secured(tls) as (server, reasons):
        async with dial(server.port) as peer:
            await peer.send(b"\x01\x00\x00\x00\x00\x04\x00\x01\x00\x00")
            assert await peer.reader.read() == b""
        await until(lambda: server.statistics().connections == 0)
    assert reasons == ["it does not speak TLS"]


@pytest.mark.parametrize("arguments", [("-tls1_2",), ("-tls1_3",)])
async def test_tls_to_a_plain_port_ends_at_once(arguments: tuple[str, ...]) -> None:
    services = Listening()
    async with serving(services) as server:
        seen = await visit(server.port, *arguments)
        await until(lambda: server.statistics().connections == 0)
    assert not seen.is_associated
    assert services.reasons == ["it speaks TLS, and this port does not"]


@pytest.mark.parametrize(
    "begun", [b"", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03"], ids=["nothing", "a hello", "a header"]
)
async def test_a_handshake_that_stalls_holds_up_nobody(begun: bytes, tls: AcceptorTls) -> None:
    services = Listening()
    async with serving(services, tls=tls, artim_timeout_s=1) as server:
        async with dial(server.port) as stalled:
            await stalled.send(begun)
            assert (await visit(server.port)).is_associated
            await stalled.silence()
        await until(lambda: server.statistics().connections == 0)
    assert services.reasons == ["it left during the TLS handshake, or did not finish it in time"]


async def test_hundreds_of_stalled_handshakes_are_all_ended(tls: AcceptorTls) -> None:
    async with serving(Listening(), tls=tls, artim_timeout_s=2) as server:
        writers = []
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"\x16\x03\x01")
            writers.append(writer)
        assert (await visit(server.port)).is_associated
        await until(lambda: server.statistics().connections == 0)
        for writer in writers:
            writer.transport.abort()


@pytest.fixture
def dcmtk() -> None:
    require_peer("dcmtk")


def proof(identity: Identity) -> list[Any]:
    """Make a client of DCMTK prove itself; it sends its own certificate and no other."""
    return ["+tls", identity.key, identity.cert]


@pytest.mark.peer("dcmtk")
@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize(
    ("who", "mode", "is_served"),
    [
        ("direct", REQUIRE, True),
        ("direct", VERIFY, True),
        ("stranger", REQUIRE, False),
        ("stranger", VERIFY, False),
        ("stranger", IGNORE, True),
        ("nobody", REQUIRE, False),
        ("nobody", VERIFY, True),
        ("nobody", IGNORE, True),
    ],
)
async def test_certificates_of_dcmtk(
    who: str, mode: PeerCertificate, tls: AcceptorTls, pki: Pki, *, is_served: bool
) -> None:
    identities = {"direct": pki.elliptic_server, "stranger": pki.stranger}
    proofs = proof(identities[who]) if who in identities else ["+tla"]
    async with secured(replace(tls, peer_certificate=mode)) as (server, reasons):
        done = await run("echoscu", *proofs, "+cf", pki.ca, "127.0.0.1", server.port)
        await until(lambda: server.statistics().connections == 0)
    assert (done.returncode == 0) == is_served, done.stderr
    assert (not reasons) == is_served


@pytest.mark.peer("dcmtk")
@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize(
    ("options", "changes", "is_served"),
    [
        pytest.param(["+py"], {}, True, id="non-downgrading to RFC 8996"),
        pytest.param(["+px"], {}, True, id="BCP 195 to RFC 8996"),
        pytest.param(["+pz"], {}, True, id="extended to RFC 8996"),
        pytest.param(["+pz"], {"profile": EXTENDED}, True, id="extended to extended"),
        pytest.param(["+py"], {"profile": NON_DOWNGRADING}, True, id="non-downgrading to itself"),
        pytest.param(["+py"], {"profile": MODIFIED}, True, id="non-downgrading to modified"),
        pytest.param(["+pa"], {}, False, id="AES"),
        pytest.param(["+pn"], {}, False, id="not encrypted"),
        pytest.param(
            ["+pa"],
            {"profile": NON_DOWNGRADING, "suites": ("TLS_RSA_WITH_AES_128_CBC_SHA",)},
            True,
            id="AES with its suite added",
        ),
    ],
)
async def test_profiles_of_dcmtk(
    options: list[str],
    changes: dict[str, Any],
    *,
    is_served: bool,
    tls: AcceptorTls,
    pki: Pki,
    tmp_path: Path,
) -> None:
    path = tmp_path / "instance.dcm"
    path.write_bytes(content := dicom.ct(number=1))
    services = Listening()
    async with serving(services, tls=replace(tls, **changes)) as server:
        trust = ("+tla", *options, "+cf", pki.ca)
        done = await run("storescu", *trust, "127.0.0.1", server.port, path)
    assert (done.returncode == 0) == is_served, done.stderr
    stored = list(services.storage_handler.whole.values())
    data_set = content[dicom.data_set_offset(content) :]
    assert stored == ([data_set] if is_served else [])


async def test_our_own_client_stores_through_every_profile(tls: AcceptorTls, pki: Pki) -> None:
    ours = TlsSettings(
        ca_file=pki.ca, client_cert_file=pki.client.cert, client_key_file=pki.client.key
    )
    for profile in OF_PROFILE:
        changed = replace(tls, profile=profile, peer_certificate=REQUIRE)
        async with (
            serving(Listening(), tls=changed) as server,
            associated(server.port, tls=ours) as association,
        ):
            await association.echo()
