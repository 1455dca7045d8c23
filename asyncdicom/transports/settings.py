"""What a user can set about the way to a server; the same for every engine."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from asyncdicom._version import __version__
from asyncdicom.errors import ConfigError
from asyncdicom.policy.throughput import StallLimits
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TransportSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """Protocol versions, limits, trust and proxy of a transport.

    Raises:
        ConfigError: If values contradict each other or are out of bounds.

    """

    http2: bool = True
    """Offer HTTP/2 over TLS by ALPN (RFC 9113 §3.2)."""
    h2c: bool = False
    """Speak HTTP/2 over plain http:// with prior knowledge (RFC 9113 §3.3)."""
    connections: int = 1
    """HTTP/2 connections per origin, at least 1. HTTP/1.1 opens one per request under way."""
    connect_timeout_s: float = 10.0
    """Name, route, TCP and TLS together, in seconds."""
    idle_timeout_s: float = 30.0
    """Longest wait for the head or for the next bytes, in seconds."""
    min_bytes_per_s: float = 4096.0
    """Least mean throughput of one body; 0 allows any.

    4 KiB/s is below what 32 requests share on a line of 1 Mbit/s, far above a
    trickle that is meant to keep us waiting.
    """
    min_rate_window_s: float = 60.0
    """Waiting time over which that throughput is averaged, in seconds."""
    stream_window_bytes: int = 1024 * 1024
    """HTTP/2 flow-control window of a stream; the usual 64 KiB halves large bodies."""
    connection_window_bytes: int = 16 * 1024 * 1024
    """HTTP/2 flow-control window of a connection."""
    read_bytes: int = 128 * 1024
    """Bytes an engine may gather before it hands them over, at least 1.

    Measured with 512 KiB bodies: 64 KiB is 1.7 times as fast as single frames. The
    transport alone gains nothing by more, but `dump` does, a fifth: each piece is
    parsed, digested and written.
    """
    consumer_pause_s: float = 0.0
    """Longest time between two reads of a body that is meant, in seconds: a bandwidth makes
    readers wait for their turn."""
    max_head_bytes: int = 64 * 1024
    """Largest sum of names and values of response fields."""
    ca_file: Path | None = None
    """PEM bundle of authorities to trust besides those of the system."""
    client_cert_file: Path | None = None
    """PEM certificate chain we prove ourselves with."""
    client_key_file: Path | None = None
    """PEM key to it, unencrypted; None if it is in the same file."""
    verify: bool = True
    """False accepts any certificate: only for tests."""
    proxy: str | None = field(default=None, repr=False)
    """http://, https://, socks5:// or socks5h:// URL; None asks the environment as curl does."""
    user_agent: str = f"asyncdicom/{__version__}"

    def __post_init__(self) -> None:
        for name in ("connections", "read_bytes", "max_head_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1")
        for name in ("connect_timeout_s", "idle_timeout_s", "min_rate_window_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0 s")
        if not self.min_bytes_per_s >= 0:
            raise ConfigError("min_bytes_per_s must be at least 0")
        if self.client_key_file is not None and self.client_cert_file is None:
            raise ConfigError("a client key needs its certificate", hint="give --cert as well")

    @property
    def has_client_certificate(self) -> bool:
        """Whether we prove ourselves with a certificate."""
        return self.client_cert_file is not None

    @property
    def stall_limits(self) -> StallLimits:
        """What counts as a stall."""
        return StallLimits(
            head_s=self.idle_timeout_s,
            idle_s=self.idle_timeout_s,
            min_bytes_per_s=self.min_bytes_per_s,
            window_s=self.min_rate_window_s,
        )
