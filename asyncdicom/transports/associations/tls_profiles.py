"""Security profiles of DICOM over TLS (PS3.15 Annex B): versions and cipher suites.

    rules = rules_of(TlsProfile.RFC8996)
    context.minimum_version, context.maximum_version = rules.minimum, rules.maximum
    context.set_ciphers(cipher_string(rules.suites))

Of TLS 1.3 we speak what OpenSSL does by default: AES-256-GCM, ChaCha20-Poly1305 and
AES-128-GCM. Each of the profiles allows these; Python cannot choose among them.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.cipher_suites import SECURITY_LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Rules", "TlsProfile", "cipher_string", "profile_named", "rules_of"]


class TlsProfile(Enum):
    """A profile; the value is what stands behind `--profile-` in DCMTK's long options."""

    RFC8996 = "8996"
    """BCP 195 RFC 8996 (PS3.15 §B.12): TLS 1.2 and 1.3, ECDHE with AES-GCM."""
    RFC8996_MODIFIED = "8996-mod"
    """Modified BCP 195 RFC 8996 (PS3.15 §B.13): also ChaCha20-Poly1305 and AES-CCM."""
    NON_DOWNGRADING = "bcp195-nd"
    """Non-downgrading BCP 195 (retired): TLS 1.2 and 1.3, (EC)DHE-RSA with AES-GCM."""
    EXTENDED = "bcp195-ex"
    """Extended BCP 195 (retired): TLS 1.2 only, also ECDHE-ECDSA."""
    BCP195 = "bcp195"
    """BCP 195 (retired); refused."""
    AES = "aes"
    """AES TLS Secure Transport Connection (retired); refused."""
    BASIC = "basic"
    """Basic TLS Secure Transport Connection, 3DES (retired); refused."""
    NULL = "null"
    """Authenticated, not encrypted (IHE ATNA, retired); refused."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a profile asks for."""

    suites: tuple[str, ...]
    """Of TLS 1.2, as OpenSSL names them, strongest first."""
    allows_more: bool = True
    """Whether a user may add suites."""
    allows_sha1: bool = True
    """Whether these may authenticate messages with SHA-1."""
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2


_ELLIPTIC: Final = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
_OF_RSA: Final = (
    "ECDHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES128-GCM-SHA256",
)
_RULES: Final[Mapping[TlsProfile, Rules]] = {
    TlsProfile.RFC8996: Rules(_ELLIPTIC, allows_sha1=False),
    TlsProfile.RFC8996_MODIFIED: Rules(
        (
            *_ELLIPTIC,
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-RSA-CHACHA20-POLY1305",
            "ECDHE-ECDSA-AES256-CCM",
            "ECDHE-ECDSA-AES128-CCM",
            "ECDHE-ECDSA-AES256-CCM8",
            "ECDHE-ECDSA-AES128-CCM8",
        ),
        allows_more=False,
    ),
    TlsProfile.NON_DOWNGRADING: Rules(_OF_RSA),
    TlsProfile.EXTENDED: Rules(
        tuple(dict.fromkeys((*_ELLIPTIC, *_OF_RSA))),
        allows_more=False,
        maximum=ssl.TLSVersion.TLSv1_2,
    ),
}

_INSTEAD: Final = (
    "use --profile-bcp195-nd; for peers that know nothing better than AES-CBC in TLS 1.2 add"
    " --cipher TLS_RSA_WITH_AES_128_CBC_SHA"
)
_REFUSED: Final[Mapping[TlsProfile, str]] = {
    TlsProfile.BCP195: "it lets peers talk it down to TLS 1.0, which RFC 8996 forbids",
    TlsProfile.AES: "it has no TLS 1.3, speaks TLS 1.0 and has no forward secrecy (RFC 8996)",
    TlsProfile.BASIC: "it is 3DES, which can be attacked (Sweet32) and OpenSSL has no more",
    TlsProfile.NULL: "it does not encrypt",
}


def rules_of(profile: TlsProfile) -> Rules:
    """Return what a profile asks for.

    Raises:
        ConfigError: If it is no longer safe, or OpenSSL has no longer what it needs.

    """
    if profile in _REFUSED:
        raise ConfigError(
            f"the TLS profile {profile.value} is retired and not offered: {_REFUSED[profile]}",
            hint=_INSTEAD,
        )
    return _RULES[profile]


def profile_named(name: str) -> TlsProfile:
    """Return the profile that `TlsSettings` names."""
    is_modified = name == "bcp195-modified"
    return TlsProfile.RFC8996_MODIFIED if is_modified else TlsProfile.RFC8996


def cipher_string(suites: Iterable[str]) -> str:
    """Return what `SSLContext.set_ciphers` takes."""
    return ":".join((SECURITY_LEVEL, *suites))
