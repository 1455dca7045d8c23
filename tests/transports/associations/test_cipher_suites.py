"""Cipher suites: their two names, beside the program openssl, and why some are not offered."""

from __future__ import annotations

import shutil
import ssl
import subprocess

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.cipher_suites import (
    SECURITY_LEVEL,
    CipherSuite,
    _suite,
    find_suite,
    list_ciphers,
)


def names_of_openssl() -> dict[str, str]:
    """Return the IANA's names by OpenSSL's, as the program tells them."""
    program = shutil.which("openssl")
    assert program is not None, "openssl is not installed"
    command = [program, "ciphers", "-stdname", "ALL:@SECLEVEL=0"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    return {line.split()[2]: line.split()[0] for line in text.splitlines()}


def test_names_are_those_that_openssl_tells() -> None:
    known = names_of_openssl()
    ours = {suite.openssl_name: suite.name for suite in list_ciphers()}
    common = ours.keys() & known.keys()
    assert len(common) >= 40
    assert {name: ours[name] for name in common} == {name: known[name] for name in common}


def test_each_listed_suite_can_be_used() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listed = [suite for suite in list_ciphers() if suite.version == "TLS 1.2"]
    assert len(listed) >= 40
    for suite in listed:
        context.set_ciphers(f"{SECURITY_LEVEL}:{suite.openssl_name}")
        assert suite.openssl_name in {cipher["name"] for cipher in context.get_ciphers()}


def test_a_suite_of_a_kind_that_is_not_known_is_left_out() -> None:
    assert _suite("GOST2012-KUZNYECHIK-KUZNYECHIKOMAC") is None


@pytest.mark.parametrize("word", ["NULL", "anon", "PSK", "SRP", "DSS", "3DES", "RC4", "MD5"])
def test_nothing_unsafe_is_listed(word: str) -> None:
    assert [suite for suite in list_ciphers() if word in suite.name] == []


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        (
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            CipherSuite("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", "TLS 1.2"),
        ),
        ("AES128-SHA", CipherSuite("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", "TLS 1.2")),
        (
            "tls_aes_128_gcm_sha256",
            CipherSuite("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", "TLS 1.3"),
        ),
    ],
)
def test_a_suite_has_two_names(name: str, suite: CipherSuite) -> None:
    assert find_suite(name) == suite


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TLS_RSA_WITH_NULL_SHA", "is not offered: it does not encrypt"),
        ("TLS_DH_anon_WITH_AES_128_CBC_SHA", "it does not authenticate anybody"),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", r"blocks of 64 bits can be attacked \(Sweet32\)"),
        ("DES-CBC3-SHA", "blocks of 64 bits"),
        ("TLS_DHE_DSS_WITH_AES_128_GCM_SHA256", "DSA certificates are retired"),
        ("TLS_RSA_WITH_RC4_128_SHA", "RC4 is broken"),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA385", "is it TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384?"),
        ("x" * 500, "no cipher suite 'x{80}'; see --list-ciphers"),
        ("", "no cipher suite ''; see --list-ciphers"),
    ],
)
def test_what_is_not_offered_is_told_with_its_reason(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_suite(name)


@pytest.mark.parametrize(
    ("name", "weakness"),
    [
        ("TLS_AES_128_GCM_SHA256", ""),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ""),
        ("TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", "CBC is no longer recommended"),
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", "whoever learns the private key"),
    ],
)
def test_weaknesses_are_told(name: str, weakness: str) -> None:
    assert find_suite(name).weakness.startswith(weakness)
    assert bool(find_suite(name).weakness) == bool(weakness)
