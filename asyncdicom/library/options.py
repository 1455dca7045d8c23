"""Options of the library: the same names and meanings as on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from asyncdicom.errors import ConfigError
from asyncdicom.model import Resource

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "ConnectOptions",
    "DownloadOptions",
    "DumpOptions",
    "ObjectConnectOptions",
    "ObjectDownloadOptions",
    "ObjectListOptions",
    "ObjectVerifyOptions",
    "RetrieveOptions",
    "check_names",
    "connection_values",
    "dump_kinds",
]


class ObjectConnectOptions(TypedDict, total=False):
    """Further options of `connect_objects`."""

    endpoint_url: str
    """Endpoint of an object store, where its URL does not name one."""
    no_sign_request: bool
    """Ask object stores anonymously (public buckets)."""
    profile: str
    """Profile of the AWS configuration."""
    region: str
    """AWS region of the bucket."""
    addressing_style: Literal["auto", "path", "virtual"]
    """Where the name of the bucket goes: into the path or into the host."""
    request_payer: bool
    """Pay for the requests (requester-pays buckets)."""
    trust_etag: bool
    """Whether an ETag that looks like an MD5 is one; True by default."""
    http_engine: Literal["auto", "pyreqwest", "httpx", "aiohttp"]
    """HTTP library; "auto" by default."""
    connect_timeout: float
    """Seconds to connect, TLS included; 10 by default."""
    authorization: str
    """Authorization header, as it is sent."""
    user: str
    """NAME:PASSWORD of Basic authentication."""
    bearer: str
    """Bearer token."""
    bearer_command: str
    """Command that prints a bearer token; it is run again when the token is refused."""
    oauth2_token_url: str
    """OAuth2 token endpoint."""
    oauth2_client_id: str
    oauth2_client_secret: str
    oauth2_refresh_token: str
    oauth2_scope: str
    netrc: bool
    """Take the password from ~/.netrc (or $NETRC)."""
    headers: Mapping[str, str]
    """Further request fields."""
    cacert: str | os.PathLike[str]
    """PEM file with certificates to trust."""
    cert: str | os.PathLike[str]
    """PEM file with the client certificate."""
    key: str | os.PathLike[str]
    """PEM file with its key."""
    insecure: bool
    """Do not verify the server's certificate: only for tests."""
    proxy: str
    """http://, https:// or socks5:// URL."""
    rate: float
    """Requests per second, at most."""
    bandwidth: str | int
    """Bytes per second, at most: 10_000_000 or "10M"."""


class ConnectOptions(ObjectConnectOptions, total=False):
    """Further options of `connect`; those for object stores are for `cod+s3://` and the like."""

    http2: bool
    """Offer HTTP/2 over TLS; True by default."""
    h2c: bool
    """Speak HTTP/2 on plain http:// with prior knowledge."""
    connections: int
    """HTTP/2 connections to share the requests, 1 (default) to 64."""
    stream_window: int
    """HTTP/2 flow-control window per stream, in KiB, 64 to 65,536."""
    transfer_syntax: str
    """Transfer Syntax UID to ask for; "*" (default) is as stored."""
    calling_aet: str
    """Our own AE title (DIMSE)."""
    model: Literal["study", "patient", "patient-study", "worklist"]
    """Information model of queries (DIMSE); "study" by default."""
    max_associations: int
    """Associations at once (DIMSE), 4 by default."""
    max_pdu: int
    """Longest PDU that we take (DIMSE), 4,096 to 16,777,216 bytes; 131,072 by default."""
    dimse_engine: Literal["native", "pynetdicom"]
    """DIMSE implementation; "native" by default."""
    tls_profile: Literal["bcp195", "bcp195-modified"]
    """Versions and suites for dicoms://."""
    any_host_name: bool
    """Trust a certificate of dicoms:// whatever host it names."""
    move_aet: str
    """AE title of our receiver for `?retrieve=move`."""
    move_port: int
    """Port of our receiver; 11,112 by default."""
    move_host: str
    """Address that our receiver listens on; that on the way to the archive by default."""


class RetrieveOptions(TypedDict, total=False):
    """Further options of `Source.retrieve`."""

    granularity: Literal["auto", "study", "series", "instance"]
    """What one request asks for; "auto" (default) chooses from counts and sizes."""
    expect: Literal["auto", "search", "metadata"]
    """Who says what must arrive: QIDO-RS, the metadata, or the longer of both (default)."""
    prefetch_bytes: int
    """What may wait in memory for the consumer; 64 MiB by default."""


class AbortOptions(TypedDict, total=False):
    """When a job gives up."""

    abort: bool
    """Stop at the first failure."""
    max_errors: int
    """Stop after more failures than this."""
    max_error_rate: float
    """Stop when more than this share of the requests failed, 0 to 1."""


class FileOptions(AbortOptions, total=False):
    """How files of instances are named and kept."""

    extension: str
    """Of flat and tree; ".dcm" by default."""
    iso_9660: bool
    """Names of at most 8 characters, files IM000001 and up."""
    durability: Literal["none", "batch", "full"]
    """When to call a file safe: written, synced in groups (default), synced one by one."""


class DownloadOptions(FileOptions, total=False):
    """Further options of `Source.download`."""

    granularity: Literal["auto", "study", "series", "instance"]
    """As for `retrieve`."""
    expect: Literal["auto", "search", "metadata"]
    """As for `retrieve`."""


class ObjectListOptions(TypedDict, total=False):
    """Options of `ObjectSource.list`: `*` is any text, slashes too, and `?` one character."""

    include: Sequence[str]
    """Only objects whose key below the prefix matches one of these patterns."""
    exclude: Sequence[str]
    """No objects whose key below the prefix matches one of these patterns."""


class ObjectVerifyOptions(ObjectListOptions, AbortOptions, total=False):
    """Options of `ObjectSource.verify`."""

    catalog: str | os.PathLike[str]
    """What `download` noted of the files; without it, they have to be named by keys."""
    report: str | os.PathLike[str]
    """File for one JSON line per object; `asyncdicom get --retry-failed` reads it."""


class ObjectDownloadOptions(ObjectListOptions, FileOptions, total=False):
    """Further options of `ObjectSource.download`."""

    catalog: str | os.PathLike[str]
    """Where to note what is stored (JSON lines); what is noted is not fetched or read again."""
    report: str | os.PathLike[str]
    """File for one JSON line per object; `asyncdicom get --retry-failed` reads it."""
    sha256: bool
    """Compute `Stored.sha256`, empty without; a report or a catalog asks for it, too."""
    part_size: str | int
    """Larger objects come in parts of about this size: 16_000_000 (default) or "16M"."""
    parts: int
    """Parts of one object at once, 1 to 64; 4 by default."""


class DumpOptions(AbortOptions, total=False):
    """Further options of `Source.dump`."""

    strip: bool
    """Write the content of parts beside, as .bin."""
    pretty: bool
    """Write indented JSON beside metadata, as .pretty.json."""
    overwrite: bool
    """Fetch again what is there and verified."""
    durability: Literal["none", "batch", "full"]
    """Whether files outlive a loss of power; "none" by default."""


KINDS = {
    "metadata": Resource.METADATA,
    "frames": Resource.FRAME,
    "instances": Resource.INSTANCE,
    "bulkdata": Resource.BULKDATA,
    "rendered": Resource.RENDERED,
    "thumbnail": Resource.THUMBNAIL,
    "search": Resource.SEARCH,
}
"""What can be dumped, as `--only` names it."""

CONNECTION_WINDOW_KIB = 16 * 1024
"""Of the transports: what all streams of a connection may have sent unread."""


def check_names(function: str, options: Mapping[str, Any], known: type) -> None:
    """Refuse options that do not exist, as Python refuses unknown keyword arguments.

    Raises:
        TypeError: If one is unknown.

    """
    for name in options:
        if name not in known.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def connection_values(
    options: Mapping[str, Any], *, concurrency: int, retry: int, timeout: float = 30.0
) -> dict[str, Any]:
    """Return options of `connect`, and of what is like it, as `wiring` wants them.

    Raises:
        ConfigError: If a number is out of its bounds.

    """
    if concurrency < 1 or retry < 0:
        raise ConfigError("concurrency must be at least 1, and retry at least 0")
    values: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    values |= {"concurrency": concurrency, "retry": retry, "timeout": timeout}
    if "trust_etag" in values:
        values["trusts_etag"] = values.pop("trust_etag")
    values["header"] = [f"{name}: {value}" for name, value in values.pop("headers", {}).items()]
    if "bandwidth" in values:
        values["bandwidth"] = str(values["bandwidth"])
    # A slow consumer leaves answers unread. If those alone filled the window of
    # the connection, the one answer that it waits for could not arrive (measured:
    # 32 at once, 8 MiB each: all stalled). Half of it is left for other streams.
    fair_kib = max(64, CONNECTION_WINDOW_KIB // (2 * concurrency))
    values.setdefault("stream_window", min(1024, fair_kib))
    return values


def dump_kinds(names: Iterable[str]) -> frozenset[Resource]:
    """Return what to dump.

    Raises:
        ConfigError: If a name is unknown.

    """
    wanted = list(names)
    for name in wanted:
        if name not in KINDS:
            raise ConfigError(f"unknown kind: {name!r}", hint=f"known are {', '.join(KINDS)}")
    return frozenset(KINDS[name] for name in wanted)
