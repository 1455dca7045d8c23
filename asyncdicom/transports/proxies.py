"""Which proxy a request goes through: `--proxy`, or the environment as curl reads it.

Rule: `http_proxy` counts in lower case only, since a CGI program would take the
request field `Proxy:` for `HTTP_PROXY`; the other names count in both cases,
lower case first. `NO_PROXY` also holds against `--proxy`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.urls import is_host
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ProxyRules", "read_proxy_rules"]

SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """Proxies by scheme of the target, and the hosts that are reached directly."""

    http: str | None = field(default=None, repr=False)
    https: str | None = field(default=None, repr=False)
    bypass: tuple[str, ...] = ()
    """Entries of NO_PROXY in lower case: `*`, host or suffix, address or network, optional port."""

    @property
    def is_empty(self) -> bool:
        """Whether every request goes directly."""
        return self.http is None and self.https is None

    def choose(self, url: str) -> str | None:
        """Return the URL of the proxy for a request, or None to go directly."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        if proxy is None:
            return None
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return None if any(_matches(entry, host, port) for entry in self.bypass) else proxy


def read_proxy_rules(proxy: str | None, environment: Mapping[str, str]) -> ProxyRules:
    """Read the proxies to use.

    Args:
        proxy: URL a user asked for, or None to ask the environment.
        environment: Usually `os.environ`.

    Raises:
        ConfigError: If a URL has no host or a scheme that is not spoken here.

    """
    bypass = _either(environment, "no_proxy") or ""
    if proxy is None:
        for_all = _either(environment, "all_proxy")
        http = environment.get("http_proxy") or for_all
        https = _either(environment, "https_proxy") or for_all
    else:
        http = https = proxy
    return ProxyRules(
        http=_checked(http),
        https=_checked(https),
        bypass=tuple(entry.strip().lower() for entry in bypass.split(",") if entry.strip()),
    )


def _either(environment: Mapping[str, str], name: str) -> str | None:
    return environment.get(name) or environment.get(name.upper()) or None


def _checked(proxy: str | None) -> str | None:
    if not proxy:
        return None
    # curl takes a proxy without a scheme for an HTTP proxy.
    url = proxy if "://" in proxy else f"http://{proxy}"
    hint = "expected http://, https://, socks5:// or socks5h://host:port"
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in SCHEMES and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError("not the URL of a proxy", hint=hint)
    return url


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    network = _network(entry)
    if network is not None:
        return _is_in(host, network)
    name, colon, wanted_port = entry.rpartition(":")
    if colon and wanted_port.isdigit():
        entry = name
        if port != int(wanted_port):
            return False
    suffix = entry.lstrip("*").strip(".").strip("[]")
    return host == suffix or host.endswith(f".{suffix}")


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def _is_in(host: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False
