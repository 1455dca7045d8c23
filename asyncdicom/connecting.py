"""The way to a server as the options of a command say it: limits, trust, fields, rates, tries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncdicom.engine.scheduler import SchedulerSettings
from asyncdicom.errors import ConfigError
from asyncdicom.policy.abort import AbortPolicy
from asyncdicom.policy.retry import RetryPolicy
from asyncdicom.protocol.http_fields import is_field_name
from asyncdicom.transports.settings import TransportSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncdicom.model import Header

__all__ = ["byte_count", "header_of", "scheduler_settings", "transport_settings"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def transport_settings(options: Mapping[str, Any]) -> TransportSettings:
    """Return the settings of a transport.

    Raises:
        ConfigError: If they contradict each other, or the bandwidth is no size.

    """
    return TransportSettings(
        http2=options.get("http2", True),
        h2c=options.get("h2c", False),
        connections=options.get("connections", 1),
        connect_timeout_s=options.get("connect_timeout", 10.0),
        idle_timeout_s=options.get("timeout", 30.0),
        # Who has less patience with silence has less with a trickle, too.
        min_rate_window_s=2 * options.get("timeout", 30.0),
        stream_window_bytes=options.get("stream_window", 1024) * 1024,
        ca_file=_path(options.get("cacert")),
        client_cert_file=_path(options.get("cert")),
        client_key_file=_path(options.get("key")),
        verify=not options.get("insecure", False),
        proxy=options.get("proxy"),
        consumer_pause_s=_turn_s(options),
    )


def _turn_s(options: Mapping[str, Any]) -> float:
    """Return how long a bandwidth lets one request wait for the pieces of all others."""
    bandwidth = options.get("bandwidth")
    if bandwidth is None:
        return 0.0
    # No engine hands over more at once than a stream's window has.
    piece_bytes: int = options.get("stream_window", 1024) * 1024
    return float(options.get("concurrency", 8) * piece_bytes / byte_count(bandwidth))


def header_of(text: str) -> Header:
    """Read a request field as `--header` takes it.

    Raises:
        ConfigError: If it is none, or has more than one line.

    """
    name, colon, value = text.partition(":")
    if not (colon and is_field_name(name.strip()) and text.isprintable()):
        raise ConfigError("--header wants 'NAME: VALUE' in one line")
    return name.strip(), value.strip()


def scheduler_settings(options: Mapping[str, Any]) -> SchedulerSettings:
    """Return how a run is driven."""
    max_errors = 0 if options.get("abort") else options.get("max_errors")
    return SchedulerSettings(
        concurrency=options.get("concurrency", 8),
        retry=RetryPolicy(retries=options.get("retry", 3)),
        abort=AbortPolicy(max_errors=max_errors, max_error_rate=options.get("max_error_rate")),
    )


def byte_count(text: str) -> int:
    """Read a size such as `500k`, `10M` or `1.5G` (powers of ten).

    Raises:
        ConfigError: If it is not one.

    """
    digits = text.strip().rstrip("bB").strip()
    unit = digits[-1:].lower() if digits[-1:].isalpha() else ""
    try:
        count = int(float(digits.removesuffix(digits[-1:]) if unit else digits) * _UNITS[unit])
    # OverflowError: as many digits as make it infinite.
    except (ValueError, KeyError, OverflowError) as error:
        raise ConfigError(f"not a size: {text!r}", hint="write 500k, 10M or 1.5G") from error
    if count <= 0:
        raise ConfigError(f"a size must be above 0: {text!r}")
    return count


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
