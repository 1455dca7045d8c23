"""The context of an acceptor: which settings contradict, which are refused, which become what."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.acceptor_tls import (
    RANDOM_SEED_NOTE,
    AcceptorTls,
    PeerCertificate,
    Revocation,
    acceptor_context,
)
from asyncdicom.transports.associations.tls_profiles import TlsProfile
from tests.support.certificates import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def tls(pki: Pki) -> AcceptorTls:
    return AcceptorTls(key_file=pki.server.key, cert_file=pki.server.cert, ca_files=(pki.ca,))


def suites_of(context: ssl.SSLContext) -> set[str]:
    return {str(one["name"]) for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"}


def test_as_it_is_a_client_has_to_prove_itself_by_the_newest_profile(tls: AcceptorTls) -> None:
    context = acceptor_context(tls)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.maximum_version is ssl.TLSVersion.TLSv1_3
    assert context.security_level == 2
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_CHAIN == 0
    assert suites_of(context) == {
        *("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
        *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    }


def test_only_the_authorities_that_are_named_are_trusted(tls: AcceptorTls) -> None:
    assert acceptor_context(tls).cert_store_stats()["x509"] == 1


def test_our_own_order_of_suites_counts_and_nothing_is_resumed(tls: AcceptorTls) -> None:
    context = acceptor_context(tls)
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_TICKET
    assert context.num_tickets == 0


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (PeerCertificate.REQUIRE, ssl.CERT_REQUIRED),
        (PeerCertificate.VERIFY, ssl.CERT_OPTIONAL),
        (PeerCertificate.IGNORE, ssl.CERT_NONE),
    ],
)
def test_clients_are_asked_as_told(
    mode: PeerCertificate, expected: ssl.VerifyMode, tls: AcceptorTls
) -> None:
    assert acceptor_context(replace(tls, peer_certificate=mode)).verify_mode is expected


LEAF, CHAIN = ssl.VERIFY_CRL_CHECK_LEAF, ssl.VERIFY_CRL_CHECK_CHAIN


@pytest.mark.parametrize(
    ("revocation", "is_given", "flags"),
    [
        pytest.param(Revocation.NONE, False, 0, id="nothing"),
        pytest.param(Revocation.NONE, True, LEAF, id="a list alone"),
        pytest.param(Revocation.LEAF, True, LEAF, id="leaf"),
        pytest.param(Revocation.CHAIN, True, CHAIN, id="chain"),
    ],
)
def test_lists_are_looked_into_as_told(
    revocation: Revocation, flags: int, tls: AcceptorTls, pki: Pki, *, is_given: bool
) -> None:
    lists = (pki.root_crl,) if is_given else ()
    context = acceptor_context(replace(tls, crl_files=lists, revocation=revocation))
    assert context.verify_flags & CHAIN == flags


def test_a_list_may_lie_in_a_folder(tls: AcceptorTls, pki: Pki, tmp_path: Path) -> None:
    for path in (pki.ca, pki.root_crl):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = replace(tls, ca_files=(), ca_folders=(tmp_path,), revocation=Revocation.LEAF)
    assert acceptor_context(changed).verify_flags & CHAIN == LEAF


def test_suites_may_be_added_and_come_last(tls: AcceptorTls) -> None:
    more = ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES256-GCM-SHA384", "TLS_AES_128_GCM_SHA256")
    changed = replace(tls, profile=TlsProfile.NON_DOWNGRADING, suites=more)
    names = [one["name"] for one in acceptor_context(changed).get_ciphers()]
    assert names[-2:] == ["AES128-SHA", "AES256-GCM-SHA384"]
    weakness = "whoever learns the private key can read what was recorded before"
    assert changed.warnings == (
        f"TLS_RSA_WITH_AES_128_CBC_SHA: {weakness}",
        f"TLS_RSA_WITH_AES_256_GCM_SHA384: {weakness}",
    )


def test_there_is_nothing_to_warn_of_by_default(tls: AcceptorTls) -> None:
    assert tls.warnings == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"profile": TlsProfile.NULL}, "profile null is retired and not offered", id="retired"
        ),
        pytest.param({"suites": ("NULL-SHA",)}, "it does not encrypt", id="unsafe suite"),
        pytest.param({"suites": ("FOO",)}, "no cipher suite 'FOO'", id="unknown suite"),
        pytest.param(
            {"suites": ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",)},
            "profile 8996 forbids TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: SHA-1",
            id="SHA-1 in the newest profile",
        ),
        pytest.param(
            {"profile": TlsProfile.RFC8996_MODIFIED, "suites": ("AES128-GCM-SHA256",)},
            "8996-mod allows no other cipher suites",
            id="more suites in the modified profile",
        ),
        pytest.param(
            {"profile": TlsProfile.EXTENDED, "suites": ("AES128-GCM-SHA256",)},
            "bcp195-ex allows no other cipher suites",
            id="more suites in the extended profile",
        ),
        pytest.param({"ca_files": ()}, "nobody could connect", id="no authority"),
        pytest.param(
            {"revocation": Revocation.CHAIN}, "no certificate revocation list", id="no list"
        ),
        pytest.param({"expected_sni": ""}, "an empty host name", id="no host name"),
        pytest.param({"ca_files": (Path("absent"),)}, "cannot read absent", id="no such authority"),
        pytest.param({"ca_folders": (Path("absent"),)}, "the folder absent", id="no such folder"),
        pytest.param({"crl_files": (Path("absent"),)}, "cannot read absent", id="no such list"),
        pytest.param({"dh_file": Path("absent")}, "cannot read absent", id="no such parameters"),
        pytest.param({"key_file": Path("absent")}, "cannot read absent", id="no such key"),
        pytest.param({"cert_file": Path("absent")}, "cannot read absent", id="no such proof"),
    ],
)
def test_what_cannot_be_is_told_before_anybody_connects(
    changes: dict[str, Any], message: str, tls: AcceptorTls
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        acceptor_context(replace(tls, **changes))
    assert caught.value.hint or "cannot read" in message or "folder" in message


@pytest.mark.parametrize("mode", [PeerCertificate.VERIFY, PeerCertificate.IGNORE])
def test_without_authorities_anybody_may_come_without_a_certificate(
    mode: PeerCertificate, tls: AcceptorTls
) -> None:
    acceptor_context(replace(tls, ca_files=(), peer_certificate=mode))


def test_options_of_random_seeds_are_explained() -> None:
    assert "no effect" in RANDOM_SEED_NOTE
