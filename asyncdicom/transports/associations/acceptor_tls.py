"""Secure transport connections of an acceptor (PS3.15 Annex B): what `+tls` of dcmrecv sets.

tls = AcceptorTls(key_file=Path("key.pem"), cert_file=Path("cert.pem"), ca_files=(Path("ca"),))
server = AssociationServer(ServerSettings(tls=tls), services)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from asyncdicom.transports.associations.tls_profiles import TlsProfile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["RANDOM_SEED_NOTE", "AcceptorTls", "PeerCertificate", "Revocation"]

RANDOM_SEED_NOTE = (
    "--seed, --write-seed and --write-seed-file are accepted and have no effect: "
    "OpenSSL seeds itself from the system"
)
"""What to tell users of these options."""


class PeerCertificate(Enum):
    """What is asked of clients."""

    REQUIRE = "require"
    """A certificate that a trusted authority vouches for."""
    VERIFY = "verify"
    """The same, if the client has any."""
    IGNORE = "ignore"
    """Nothing: certificates of clients are not looked at."""


class Revocation(Enum):
    """Which certificates of a client are looked up in revocation lists (RFC 5280 §5)."""

    NONE = "none"
    LEAF = "leaf"
    """That of the client."""
    CHAIN = "chain"
    """That, and those of all authorities up to the root; each needs a list of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptorTls:
    """Proof, trust and profile of an acceptor. Files may be PEM or DER: which is noticed."""

    key_file: Path
    """Private key; may be encrypted."""
    cert_file: Path
    """Our certificate, and in PEM those of the authorities between it and a root."""
    password: str | Callable[[], str] | None = field(default=None, repr=False)
    """Of the private key. A function is called when the key is encrypted, and once."""
    ca_files: tuple[Path, ...] = ()
    """Authorities that vouch for clients; nobody else does, those of the system neither."""
    ca_folders: tuple[Path, ...] = ()
    """Folders of such files, with any names; revocation lists in them count, too."""
    crl_files: tuple[Path, ...] = ()
    """Certificate revocation lists."""
    revocation: Revocation = Revocation.NONE
    """With `crl_files` at least `LEAF`."""
    profile: TlsProfile = TlsProfile.RFC8996
    suites: tuple[str, ...] = ()
    """Cipher suites of TLS 1.2 besides those of the profile, as IANA or OpenSSL name them."""
    dh_file: Path | None = None
    """Diffie-Hellman parameters; None uses the group ffdhe3072 (RFC 7919)."""
    expected_sni: str | None = None
    """Host name that clients have to ask for (RFC 6066 §3); others are refused."""
    peer_certificate: PeerCertificate = PeerCertificate.REQUIRE
