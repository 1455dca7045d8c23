"""Cipher suites of TLS: what this OpenSSL has, by the names of the IANA that DCMTK uses.

    for suite in list_ciphers():
        print(suite.name, suite.version)

    find_suite("TLS_RSA_WITH_AES_128_CBC_SHA").openssl_name      # "AES128-SHA"

Rule: what does not encrypt, does not authenticate, or is known to be broken is not there;
who asks for it is told why.
"""

from __future__ import annotations

import difflib
import re
import ssl
from dataclasses import dataclass
from functools import cache
from typing import Final

from asyncdicom.errors import ConfigError

__all__ = ["SECURITY_LEVEL", "CipherSuite", "find_suite", "list_ciphers"]

SECURITY_LEVEL: Final = "@SECLEVEL=2"
"""112 bits: RSA and Diffie-Hellman of 2048 bits, no SHA-1 in certificates, TLS 1.2 or newer."""

_USABLE: Final = (
    f"{SECURITY_LEVEL}:ALL:!aNULL:!eNULL:!PSK:!SRP:!aDSS:!3DES:!RC4:!MD5:!IDEA:!SEED:!kGOST"
)
_CIPHER: Final = re.compile(
    r"(?P<exchange>ECDHE-ECDSA|ECDHE-RSA|ECDHE|DHE-RSA)?-?"
    r"(?P<cipher>AES|ARIA|CAMELLIA)(?P<bits>128|256)"
    r"(?:-(?P<mode>GCM|CCM8|CCM))?(?:-(?P<digest>SHA[0-9]*))?"
)
_POLY1305: Final = "CHACHA20-POLY1305"

# Words of names, and what is wrong with them.
_UNSAFE: Final = (
    ("NULL", "it does not encrypt"),
    ("anon", "it does not authenticate anybody"),
    ("ADH", "it does not authenticate anybody"),
    ("AECDH", "it does not authenticate anybody"),
    ("3DES", "blocks of 64 bits can be attacked (Sweet32)"),
    ("DES", "blocks of 64 bits can be attacked (Sweet32)"),
    ("RC4", "RC4 is broken (RFC 7465)"),
    ("MD5", "MD5 is broken"),
    ("EXPORT", "its keys are too short"),
    ("DSS", "DSA certificates are retired"),
    ("PSK", "it needs a key that both sides know before"),
    ("SRP", "it needs a password that both sides know"),
)
_ANY_TLS_1_2: Final = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"


@dataclass(frozen=True, slots=True)
class CipherSuite:
    """One suite."""

    name: str
    """As in the registry of the IANA."""
    openssl_name: str
    version: str
    """First version of TLS that we speak it in: `TLS 1.2` or `TLS 1.3`."""

    @property
    def weakness(self) -> str:
        """Why a younger suite would be better, or empty."""
        if self.version == "TLS 1.3":
            return ""
        if "_ECDHE_" not in self.name and "_DHE_" not in self.name:
            return "whoever learns the private key can read what was recorded before"
        return "CBC is no longer recommended (RFC 9325 §4.2)" if "_CBC_" in self.name else ""


@cache
def list_ciphers() -> tuple[CipherSuite, ...]:
    """Return what can be used, newest first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(_USABLE)
    found = (_suite(str(cipher["name"])) for cipher in context.get_ciphers())
    return tuple(suite for suite in found if suite is not None)


def _suite(openssl_name: str) -> CipherSuite | None:
    if openssl_name.startswith("TLS_"):
        return CipherSuite(openssl_name, openssl_name, "TLS 1.3")
    name = _iana_name(openssl_name)
    return None if name is None else CipherSuite(name, openssl_name, "TLS 1.2")


def _iana_name(openssl_name: str) -> str | None:
    """Return the IANA's name of a suite of TLS 1.2; None for one of a kind that is not known."""
    if openssl_name.endswith(_POLY1305):
        exchange = openssl_name.removesuffix(f"-{_POLY1305}").replace("-", "_")
        return f"TLS_{exchange}_WITH_CHACHA20_POLY1305_SHA256"
    parts = _CIPHER.fullmatch(openssl_name)
    if parts is None:
        return None
    exchange = (parts["exchange"] or "RSA").replace("-", "_")
    if exchange == "ECDHE":
        exchange = "ECDHE_RSA"
    mode = (parts["mode"] or "CBC").replace("CCM8", "CCM_8")
    digest = f"_{parts['digest']}" if parts["digest"] else ""
    return f"TLS_{exchange}_WITH_{parts['cipher']}_{parts['bits']}_{mode}{digest}"


def find_suite(name: str) -> CipherSuite:
    """Return a suite by either name.

    Raises:
        ConfigError: If there is none, or it is not safe.

    """
    suites = list_ciphers()
    for suite in suites:
        if name.upper() in (suite.name, suite.openssl_name):
            return suite
    words = re.split(r"[-_]", name)
    for word, reason in _UNSAFE:
        if word in words:
            raise ConfigError(
                f"cipher suite {name[:80]} is not offered: {reason}",
                hint=f"use {_ANY_TLS_1_2} or another of --list-ciphers",
            )
    close = difflib.get_close_matches(name[:80].upper(), [suite.name for suite in suites], n=1)
    raise ConfigError(
        f"this OpenSSL has no cipher suite {name[:80]!r}",
        hint=f"is it {close[0]}?" if close else "see --list-ciphers",
    )
