"""What a user can set about the way to a DIMSE peer; the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.upper_layer.pdu import check_ae_title

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DimseSettings", "TlsSettings", "UserIdentity"]

MIN_PDU_BYTES = 4096
"""Less is legal, but a header of ours for each handful of bytes helps nobody."""
MAX_PDU_BYTES = 16 * 1024 * 1024
"""More gains nothing, and a PDU is one thing that cannot be interrupted."""

TIMES = ("connect_timeout_s", "acse_timeout_s", "idle_timeout_s")

TLS_PROFILES = ("bcp195", "bcp195-modified")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Trust, proof and profile of a secure transport connection (PS3.15 Annex B).

    Raises:
        ConfigError: If values contradict each other.

    """

    profile: str = "bcp195"
    """`bcp195` (BCP 195 RFC 8996, PS3.15 §B.12) or `bcp195-modified` (PS3.15 §B.13)."""
    ca_file: Path | None = None
    """PEM bundle of authorities to trust besides those of the system; for an acceptor,
    authorities whose clients are trusted, and then a client certificate is required."""
    client_cert_file: Path | None = None
    """PEM certificate chain we prove ourselves with; an acceptor needs one."""
    client_key_file: Path | None = None
    """PEM key to it, unencrypted; None if it is in the same file."""
    verify: bool = True
    """False accepts any certificate: only for tests."""
    check_host_name: bool = True
    """False trusts a certificate of any name: many archives have one that names no host."""

    def __post_init__(self) -> None:
        if self.profile not in TLS_PROFILES:
            raise ConfigError(
                f"unknown TLS profile: {self.profile[:40]!r}", hint=f"one of {TLS_PROFILES}"
            )
        if self.client_key_file is not None and self.client_cert_file is None:
            raise ConfigError("a client key needs its certificate", hint="give --cert as well")


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Who asks (PS3.7 §D.3.3.7); never part of a message or a log."""

    username: str = field(repr=False)
    passcode: str | None = field(default=None, repr=False)
    """None sends the name alone. Without TLS it travels in the clear."""

    def __post_init__(self) -> None:
        if not self.username:
            raise ConfigError("a user identity needs a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class DimseSettings:
    """Peer, names, limits and trust of a DIMSE transport.

    Raises:
        ConfigError: If a value is out of bounds.

    """

    host: str
    """Name or address, IPv6 without brackets."""
    port: int = 11112
    """1 to 65535."""
    called_ae: str
    """AE title of the peer, 1 to 16 characters."""
    calling_ae: str = "ASYNCDICOM"
    """Our own AE title."""
    max_pdu_bytes: int = 128 * 1024
    """Longest variable field of a P-DATA-TF that we take (PS3.8 §D.1), 4 KiB to 16 MiB.

    Also the longest that we send, where the peer allows any.
    """
    connect_timeout_s: float = 10.0
    """Name, route, TCP and TLS together, in seconds."""
    acse_timeout_s: float = 30.0
    """Longest wait for the answer to A-ASSOCIATE-RQ or A-RELEASE-RQ, in seconds; ARTIM."""
    idle_timeout_s: float = 60.0
    """Longest silence while an answer is due, in seconds.

    An archive that fetches from tape before its first answer needs more.
    """
    min_bytes_per_s: float = 1024.0
    """Least mean throughput within a message; 0 allows any.

    A trickle is meant to keep us waiting. Between messages an archive may think as long
    as `idle_timeout_s` allows.
    """
    min_rate_window_s: float = 60.0
    """Waiting time over which that throughput is averaged, in seconds."""
    tls: TlsSettings | None = None
    """None speaks plain TCP."""
    identity: UserIdentity | None = None

    def __post_init__(self) -> None:
        check_ae_title(self.called_ae, "called")
        check_ae_title(self.calling_ae, "calling")
        if not self.host:
            raise ConfigError("a DIMSE peer needs a host")
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"not a port: {self.port}", hint="1 to 65535")
        if not MIN_PDU_BYTES <= self.max_pdu_bytes <= MAX_PDU_BYTES:
            raise ConfigError("max_pdu_bytes must be 4096 to 16777216")
        if not self.min_bytes_per_s >= 0:
            raise ConfigError("min_bytes_per_s must be at least 0")
        for name in (*TIMES, "min_rate_window_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0 s")

    @property
    def origin(self) -> str:
        """`dicom://host:port` or `dicoms://host:port`, without names of anybody."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'dicom' if self.tls is None else 'dicoms'}://{host}:{self.port}"
