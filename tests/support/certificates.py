"""Authorities, certificates and revocation lists, made while the tests run.

    pki = Pki.make(folder)
    pki.server_key, pki.server_cert, pki.client, pki.crl ...

The client is vouched for by an intermediate authority; who connects sends both.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

__all__ = ["Identity", "Pki"]

DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key and the certificates to it, as PEM files."""

    key: Path
    cert: Path

    @classmethod
    def issue(
        cls,
        authority: trustme.CA,
        path: Path,
        name: str = "localhost",
        key_type: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> Identity:
        """Let an authority issue a certificate, and write it and its key next to `path`."""
        leaf = authority.issue_cert(name, "127.0.0.1", key_type=key_type)
        identity = cls(path.with_suffix(".key.pem"), path.with_suffix(".pem"))
        leaf.private_key_pem.write_to_path(str(identity.key))
        identity.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return identity


@dataclass(frozen=True, slots=True)
class Pki:
    """What a hospital has, and a stranger."""

    ca: Path
    """The root."""
    server: Identity
    """RSA, from the root."""
    elliptic_server: Identity
    client: Identity
    """From the intermediate authority."""
    revoked: Identity
    """The same, but its certificate is in `client_crl`."""
    stranger: Identity
    """From an authority that nobody trusts."""
    client_crl: Path
    """Of the intermediate authority."""
    root_crl: Path
    """Of the root: nothing is revoked."""
    root_crl_without_intermediate: Path
    """Of the root: the intermediate authority is revoked."""

    @classmethod
    def make(cls, folder: Path) -> Pki:
        """Make all of it in a folder."""
        root = trustme.CA(organization_name="Root")
        between = root.create_child_ca()
        root.cert_pem.write_to_path(str(folder / "ca.pem"))
        identities = {
            name: Identity.issue(authority, folder / name)
            for name, authority in (
                ("elliptic", root),
                ("client", between),
                ("revoked", between),
                ("stranger", trustme.CA(organization_name="Elsewhere")),
            )
        }
        revoked = x509.load_pem_x509_certificate(identities["revoked"].cert.read_bytes())
        intermediate = x509.load_pem_x509_certificate(between.cert_pem.bytes())
        return cls(
            ca=folder / "ca.pem",
            server=Identity.issue(root, folder / "server", key_type=trustme.KeyType.RSA),
            elliptic_server=identities["elliptic"],
            client=identities["client"],
            revoked=identities["revoked"],
            stranger=identities["stranger"],
            client_crl=revocation_list(between, folder / "client.crl.pem", revoked),
            root_crl=revocation_list(root, folder / "root.crl.pem"),
            root_crl_without_intermediate=revocation_list(
                root, folder / "without.crl.pem", intermediate
            ),
        )


def revocation_list(authority: trustme.CA, path: Path, *revoked: x509.Certificate) -> Path:
    """Write the list of an authority."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - DAY)
        .next_update(now + DAY)
    )
    for certificate in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(now - DAY)
            .build()
        )
    key: EllipticCurvePrivateKey = load_pem_private_key(  # type: ignore[assignment]  # -- ECDSA
        authority.private_key_pem.bytes(), None
    )
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return path
