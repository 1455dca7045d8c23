"""Security profiles of DICOM over TLS (PS3.15 Annex B): versions and cipher suites."""

from __future__ import annotations

from enum import Enum

__all__ = ["TlsProfile"]


class TlsProfile(Enum):
    """A profile; the value is what stands behind `--profile-` in DCMTK's long options."""

    RFC8996 = "8996"
    """BCP 195 RFC 8996 (PS3.15 §B.12): TLS 1.2 and 1.3, ECDHE with AES-GCM."""
    RFC8996_MODIFIED = "8996-mod"
    """Modified BCP 195 RFC 8996 (PS3.15 §B.13): also ChaCha20, AES-CCM and Camellia-GCM."""
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
