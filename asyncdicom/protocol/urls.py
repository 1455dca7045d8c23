"""URLs as DICOMweb and RFC 3986 use them: origins, roots, references, and what may be shown.

DIMSE has no URLs of its own; ours put the AE title where others have the user.

An *origin* is scheme, host and port (RFC 6454 §4). Credentials belong to one
origin; everything that decides whether they may travel compares origins here.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urljoin, urlsplit, urlunsplit

from asyncdicom.errors import ConfigError
from asyncdicom.records import dataclass

__all__ = [
    "DimseRoot",
    "Root",
    "is_dimse",
    "is_host",
    "origin_of",
    "parse_dimse_root",
    "parse_root",
    "resolve",
    "same_origin",
    "scheme_of",
    "shown",
]

_DEFAULT_PORTS = {"http": 80, "https": 443}

# WHATWG URL §3.1 gives the code points that no host can have.
_NOT_IN_HOSTS = re.compile(r"[\x00-\x20#%/<>?@\[\\\]^|\x7f\ud800-\udfff]")
# Bytes of a command line that are not of the encoding it is read in (PEP 383).
_NO_TEXT = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Root:
    """Root of a DICOMweb service (PS3.18 §8.2), and what its URL said besides."""

    url: str
    """Without user information, query, fragment and trailing slash."""
    username: str | None = None
    password: str | None = None

    @property
    def origin(self) -> str:
        """`scheme://host:port`."""
        return origin_of(self.url)

    def __repr__(self) -> str:
        return f"Root({self.url!r})"


def parse_root(text: str) -> Root:
    """Read the root of a DICOMweb service as a user writes it.

    Args:
        text: `http(s)://[user:password@]host[:port]/path`; a trailing `/studies`
            is taken off, as other tools ask for it.

    Raises:
        ConfigError: If the scheme is not http or https, or host or port are not usable.

    """
    example = "expected http://host[:port]/dicom-web or https://..."
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"not a URL: {error}", hint=example) from error
    if _NO_TEXT.search(text):
        raise ConfigError("the URL is not text in UTF-8", hint=example)
    if parts.scheme not in _DEFAULT_PORTS:
        scheme = parts.scheme or "no scheme"
        raise ConfigError(f"not a DICOMweb URL ({scheme})", hint=example)
    if not parts.hostname:
        raise ConfigError("the URL names no host", hint=example)
    if not is_host(parts.hostname):
        raise ConfigError("the URL has characters that no host can have", hint=example)
    if port == 0:
        raise ConfigError("port 0 cannot be connected to", hint=example)
    path = parts.path.rstrip("/").removesuffix("/studies").rstrip("/")
    url = urlunsplit((parts.scheme, _host_and_port(parts), path, "", ""))
    return Root(url, parts.username, parts.password)


# The ports that IANA has registered for DICOM, plain and over TLS (PS3.8 §9.1.1).
_DIMSE_PORTS = {"dicom": 104, "dicoms": 2762}


@dataclass(frozen=True, slots=True)
class DimseRoot:
    """A DIMSE application entity, and what its URL said besides."""

    host: str
    """Name or address; IPv6 without brackets."""
    port: int
    called_ae: str
    """AE title, not validated yet."""
    calling_ae: str | None = None
    """Our own AE title, or None if the URL does not say."""
    is_tls: bool = False
    retrieves_by_move: bool = False
    """C-MOVE to a receiver of our own instead of C-GET."""

    @property
    def url(self) -> str:
        """Without what it said besides."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "dicoms" if self.is_tls else "dicom"
        return f"{scheme}://{quote(self.called_ae)}@{host}:{self.port}"


def scheme_of(text: str) -> str:
    """Return the scheme of a URL in lower case; empty if it has none or is no URL."""
    try:
        return urlsplit(text.strip()).scheme
    except ValueError:
        return ""


def is_dimse(text: str) -> bool:
    """Tell whether a URL names a DIMSE application entity."""
    return scheme_of(text) in _DIMSE_PORTS


def is_host(text: str) -> bool:
    """Tell whether a name or an address, without brackets, has no character that hosts have not."""
    return bool(text) and (":" in text or _NOT_IN_HOSTS.search(text) is None)


def parse_dimse_root(text: str) -> DimseRoot:
    """Read a DIMSE source as a user writes it.

    Args:
        text: `dicom(s)://CALLED@host[:port][?calling=AET&retrieve=get|move]`; the
            ports are 104 and, over TLS, 2762 unless given.

    Raises:
        ConfigError: If it is no such URL, or names no called AE title.

    """
    example = "expected dicom://CALLED_AE@host:port[?calling=AET&retrieve=get|move]"
    try:
        parts = urlsplit(text.strip())
        port = parts.port or _DIMSE_PORTS[parts.scheme]
        asked = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except (ValueError, KeyError) as error:
        raise ConfigError(f"not a URL of a DIMSE source: {error}", hint=example) from error
    if not parts.hostname:
        raise ConfigError("the URL names no host", hint=example)
    if not parts.username or parts.password is not None:
        raise ConfigError("the URL names no called AE title", hint=example)
    how = asked.pop("retrieve", "get")
    calling = asked.pop("calling", None)
    if asked or how not in ("get", "move") or parts.path.strip("/") or parts.fragment:
        wrong = next(iter(asked), None) or (f"retrieve={how}" if how not in ("get", "move") else "")
        told = f": {wrong[:40]!r}" if wrong else ""
        raise ConfigError(f"the URL asks for something unknown{told}", hint=example)
    return DimseRoot(
        parts.hostname,
        port,
        unquote(parts.username),
        calling,
        is_tls=parts.scheme == "dicoms",
        retrieves_by_move=how == "move",
    )


def origin_of(url: str) -> str:
    """Return `scheme://host:port` of an absolute URL; the default port is written out."""
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def same_origin(one: str, other: str) -> bool:
    """Tell whether two absolute URLs share scheme, host and port."""
    return origin_of(one) == origin_of(other)


def resolve(base: str, reference: str) -> str:
    """Resolve a reference (RFC 3986 §5), for instance a BulkDataURI, against a URL.

    Raises:
        ValueError: If the result is not http or https, or cannot be parsed.

    """
    url = urljoin(base, reference.strip())
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"a {parts.scheme or 'relative'} reference cannot be fetched")
    return urlunsplit((parts.scheme, _host_and_port(parts), parts.path, parts.query, ""))


def shown(url: str) -> str:
    """Return a URL fit for messages: without user information, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, _host_and_port(parts), parts.path, "", ""))


def _host_and_port(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"
