"""Secure transport connections of an acceptor (PS3.15 Annex B): what `+tls` of dcmrecv sets.

    key, certificate, authority = Path("key.pem"), Path("cert.pem"), Path("ca.pem")
    tls = AcceptorTls(key_file=key, cert_file=certificate, ca_files=(authority,))
    server = AssociationServer(ServerSettings(tls=tls), services)

Rules:
    1. What cannot be used is an error before anything listens: dcmrecv would only warn of
       an authority that it cannot read, and then refuse the clients of that authority.
    2. Only the authorities that are named vouch for clients; those of the system do not.
    3. No profile speaks anything older than TLS 1.2, whatever peers ask for (RFC 8996).
    4. A session is not resumed: each association proves itself anew, as with DCMTK.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.acceptor_credentials import (
    load_authorities,
    load_dh_parameters,
    load_folder,
    load_identity,
    load_revoked,
)
from asyncdicom.transports.associations.cipher_suites import find_suite
from asyncdicom.transports.associations.settings import TlsSettings
from asyncdicom.transports.associations.tls_alerts import AlertingContext
from asyncdicom.transports.associations.tls_profiles import (
    TlsProfile,
    cipher_string,
    profile_named,
    rules_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncdicom.transports.associations.cipher_suites import CipherSuite

__all__ = [
    "RANDOM_SEED_NOTE",
    "AcceptorTls",
    "PeerCertificate",
    "Revocation",
    "acceptor_context",
]

RANDOM_SEED_NOTE: Final = (
    "--seed, --write-seed and --write-seed-file are accepted and have no effect: "
    "OpenSSL seeds itself from the system"
)
"""What to tell users of these options."""

APPLICATION_PROTOCOL: Final = "dicom"
"""In the registry of the IANA for ALPN (RFC 7301); clients that offer none are welcome."""


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
    """Proof, trust and profile of an acceptor. Files may be PEM or DER: which is noticed.

    Nothing is read or checked before `acceptor_context`.
    """

    key_file: Path
    """Private key; may be encrypted."""
    cert_file: Path
    """Our certificate, and in PEM those of the authorities between it and a root."""
    password: str | Callable[[], str] | None = field(default=None, repr=False)
    """Of the private key, at most 1024 bytes. A function is called only if the key is
    encrypted, and once for each context that is made; it may block, and raise."""
    ca_files: tuple[Path, ...] = ()
    """Authorities that vouch for clients."""
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
    """Diffie-Hellman parameters of 2048 bits or more; None uses ffdhe3072 (RFC 7919)."""
    expected_sni: str | None = None
    """Host name that clients have to ask for (RFC 6066 §3); others are refused."""
    peer_certificate: PeerCertificate = PeerCertificate.REQUIRE

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know about `suites` that are allowed all the same.

        Raises:
            ConfigError: If there is no such suite.

        """
        found = map(find_suite, self.suites)
        return tuple(f"{suite.name}: {suite.weakness}" for suite in found if suite.weakness)


def acceptor_context(settings: AcceptorTls | TlsSettings) -> ssl.SSLContext:
    """Build the context of an acceptor.

    Raises:
        ConfigError: If a file cannot be read or used, the password is wrong, or what is
            asked for is not safe or not possible.

    """
    if isinstance(settings, TlsSettings):
        settings = _of_both_sides(settings)
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.set_alpn_protocols([APPLICATION_PROTOCOL])
    _set_profile(context, settings)
    load_identity(context, settings)
    _trust(context, settings)
    if settings.expected_sni is not None:
        _expect(context, settings.expected_sni)
    return context


def _of_both_sides(settings: TlsSettings) -> AcceptorTls:
    """Return what settings that serve requestors and acceptors ask of an acceptor."""
    if settings.client_cert_file is None:
        raise ConfigError("an acceptor needs a certificate for TLS", hint="give --cert and --key")
    verifies = settings.ca_file is not None and settings.verify
    return AcceptorTls(
        key_file=settings.client_key_file or settings.client_cert_file,
        cert_file=settings.client_cert_file,
        ca_files=() if settings.ca_file is None else (settings.ca_file,),
        profile=profile_named(settings.profile),
        peer_certificate=PeerCertificate.REQUIRE if verifies else PeerCertificate.IGNORE,
    )


def _set_profile(context: ssl.SSLContext, settings: AcceptorTls) -> None:
    rules = rules_of(settings.profile)
    more = [find_suite(name) for name in settings.suites]
    if more and not rules.allows_more:
        raise ConfigError(
            f"the TLS profile {settings.profile.value} allows no other cipher suites",
            hint="take --cipher out, or choose --profile-8996 or --profile-bcp195-nd",
        )
    for suite in more:
        _check_added(suite, settings.profile, allows_sha1=rules.allows_sha1)
    added = [suite.openssl_name for suite in more if suite.version == "TLS 1.2"]
    context.minimum_version, context.maximum_version = rules.minimum, rules.maximum
    context.set_ciphers(cipher_string(dict.fromkeys((*rules.suites, *added))))
    load_dh_parameters(context, settings.dh_file)


def _check_added(suite: CipherSuite, profile: TlsProfile, *, allows_sha1: bool) -> None:
    if suite.name.endswith("_SHA") and not allows_sha1:
        raise ConfigError(
            f"the TLS profile {profile.value} forbids {suite.name}: SHA-1",
            hint="use --profile-bcp195-nd for peers that know nothing better",
        )


_MODES: Final = {
    PeerCertificate.REQUIRE: ssl.CERT_REQUIRED,
    PeerCertificate.VERIFY: ssl.CERT_OPTIONAL,
    PeerCertificate.IGNORE: ssl.CERT_NONE,
}


def _trust(context: ssl.SSLContext, settings: AcceptorTls) -> None:
    """Load authorities and revocation lists, and say who is let in."""
    for path in settings.ca_files:
        load_authorities(context, path)
    for folder in settings.ca_folders:
        load_folder(context, folder)
    for path in settings.crl_files:
        load_revoked(context, path)
    context.verify_mode = _MODES[settings.peer_certificate]
    is_required = settings.peer_certificate is PeerCertificate.REQUIRE
    if is_required and not (settings.ca_files or settings.ca_folders):
        raise ConfigError(
            "nobody could connect: clients have to prove themselves, and no authority is trusted",
            hint="give --add-cert-file or --add-cert-dir, or let anybody in by --ignore-peer-cert",
        )
    _look_up_revoked(context, settings)


def _look_up_revoked(context: ssl.SSLContext, settings: AcceptorTls) -> None:
    if settings.revocation is Revocation.NONE and not settings.crl_files:
        return
    if not context.cert_store_stats()["crl"]:
        # OpenSSL would refuse each client, since it finds no list of its authority.
        raise ConfigError(
            "there is no certificate revocation list to look into", hint="give --add-crl-file"
        )
    # VERIFY_CRL_CHECK_CHAIN includes the bit of VERIFY_CRL_CHECK_LEAF.
    is_chain = settings.revocation is Revocation.CHAIN
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN if is_chain else ssl.VERIFY_CRL_CHECK_LEAF


def _expect(context: ssl.SSLContext, expected: str) -> None:
    if not expected:
        raise ConfigError("an empty host name cannot be expected", hint="give it a name")

    def check(_object: ssl.SSLObject, asked: str | None, _context: ssl.SSLContext) -> int | None:
        if asked is not None and asked.casefold() == expected.casefold():
            return None
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = check
