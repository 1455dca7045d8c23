"""Where things are in a Cloud-Optimized DICOM store, and how a person names one.

    PREFIX/studies/STUDY/series/SERIES.tar              the instances, whole files
    PREFIX/studies/STUDY/series/SERIES/metadata.json    where in it each of them is

A store is named by a URL. With an HTTP host it is the form that its readers document:
`/dicomweb` goes behind the prefix, and stands alone where there is none. With `s3` and `gs`
it is the path that its writers are given, as it is.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from asyncdicom.errors import ConfigError
from asyncdicom.model import Uid, is_uid
from asyncdicom.protocol.urls import scheme_of
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = [
    "CodRoot",
    "instance_of_member",
    "is_cod",
    "is_place_of",
    "member_of",
    "metadata_key",
    "parse_cod_root",
    "series_of_folder",
    "series_of_tar",
    "series_prefix",
    "tar_key",
]

_SCHEMES: Final = {"cod+http": "http", "cod+https": "https", "cod+s3": "s3", "cod+gs": "gs"}
_EXAMPLE: Final = (
    "expected cod+https://host/bucket/prefix?token=TOKEN, cod+s3://bucket/prefix or cod+gs://..."
)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}")
"""Names of buckets have up to 63 characters, with dots (GCS) up to 222."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 §2.1: b64token."""
_CONVENTION: Final = "dicomweb"
_MEMBER: Final = re.compile(r"(?:\./)?instances/([0-9.]+)\.dcm")


@dataclass(frozen=True, slots=True)
class CodRoot:
    """A store: bucket, prefix, and what opens it."""

    bucket: str
    prefix: str = ""
    """Without slashes at its ends; may be empty."""
    scheme: str = "gs"
    """`gs` (also behind an HTTP host, which speaks the JSON API of GCS) or `s3`."""
    endpoint_url: str | None = None
    """`http(s)://host[:port]` of the API, or None for that of the scheme."""
    token: str | None = field(default=None, repr=False)
    """Bearer token, or None."""

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise ConfigError("the store names no bucket that can exist", hint=_EXAMPLE)
        if {"", ".", ".."} & set(self.prefix.split("/") if self.prefix else ()):
            raise ConfigError("the prefix of the store has an empty or dotted part")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ConfigError("the token of the store is none", hint="it is a bearer token")

    @property
    def url(self) -> str:
        """What names the store to people; never holds the token."""
        place = f"{self.bucket}/{self.prefix}".rstrip("/")
        if self.endpoint_url is not None:
            return f"cod+{self.endpoint_url}/{place}"
        return f"cod+{self.scheme}://{place}"

    @property
    def objects_url(self) -> str:
        """`gs://bucket` or `s3://bucket`: what the objects are reached by."""
        return f"{self.scheme}://{self.bucket}"


def is_cod(text: str) -> bool:
    """Tell whether a URL names a Cloud-Optimized DICOM store."""
    return scheme_of(text) in _SCHEMES


def parse_cod_root(text: str) -> CodRoot:
    """Read a store as a user writes it.

    Args:
        text: `cod+http(s)://host[:port]/bucket[/prefix][?token=TOKEN&...]`,
            `cod+s3://bucket[/prefix]` or `cod+gs://bucket[/prefix]`.

    Raises:
        ConfigError: If it is none of them; never shows the token.

    """
    try:
        parts = urlsplit(text.strip())
        scheme = _SCHEMES[parts.scheme]
        port = parts.port
    except (ValueError, KeyError) as error:
        raise ConfigError("not a URL of a store", hint=_EXAMPLE) from error
    if not parts.hostname or "@" in parts.netloc or parts.fragment or port == 0:
        raise ConfigError("the URL of the store names no place", hint=_EXAMPLE)
    path = unquote(parts.path).strip("/")
    token = _token_of(parts.query)
    if scheme in ("s3", "gs"):
        if token is not None:
            raise ConfigError("a token goes with cod+https:// alone", hint=_EXAMPLE)
        return CodRoot(parts.netloc, path, scheme)
    bucket, _, prefix = path.partition("/")
    return CodRoot(
        bucket, _with_convention(prefix), endpoint_url=_endpoint(scheme, parts), token=token
    )


def _endpoint(scheme: str, parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if parts.port is None else f"{scheme}://{host}:{parts.port}"


def _token_of(query: str) -> str | None:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "token":
            # A plus sign is one of the characters of tokens; blanks are not.
            return unquote(value)
    return None


def _with_convention(prefix: str) -> str:
    parts = prefix.split("/") if prefix else []
    # Who has written it out means the same place.
    return "/".join(parts if parts[-1:] == [_CONVENTION] else [*parts, _CONVENTION])


def series_prefix(root: CodRoot, study: Uid) -> str:
    """Return what the keys of all series of a study begin with."""
    base = f"{root.prefix}/" if root.prefix else ""
    return f"{base}studies/{study}/series/"


def tar_key(root: CodRoot, study: Uid, series: Uid) -> str:
    """Return the key of the archive of a series."""
    return f"{series_prefix(root, study)}{series}.tar"


def metadata_key(root: CodRoot, study: Uid, series: Uid) -> str:
    """Return the key of what says where its instances are."""
    return f"{series_prefix(root, study)}{series}/metadata.json"


def series_of_folder(prefix: str, common_prefix: str) -> Uid | None:
    """Return the series that a common prefix of a listing is the folder of, or None."""
    return _uid_or_none(common_prefix.removeprefix(prefix).removesuffix("/"))


def series_of_tar(prefix: str, key: str) -> Uid | None:
    """Return the series that an object is the archive of, or None."""
    return (
        _uid_or_none(key.removeprefix(prefix).removesuffix(".tar")) if key[-4:] == ".tar" else None
    )


def member_of(instance: Uid) -> str:
    """Return the name of an instance within its archive."""
    return f"instances/{instance}.dcm"


def instance_of_member(name: str) -> Uid | None:
    """Return the instance that a member of an archive is, or None."""
    match = _MEMBER.fullmatch(name)
    return None if match is None else _uid_or_none(match[1])


def is_place_of(uri: str, study: Uid, series: Uid, instance: Uid) -> bool:
    """Tell whether a URI of the metadata means this instance in the archive of its series.

    Bucket and prefix may differ: stores are copied as a whole. Nobody follows the URI.
    """
    place = f"studies/{study}/series/{series}.tar://{member_of(instance)}"
    return uri == place or uri.endswith(f"/{place}")


def _uid_or_none(text: str) -> Uid | None:
    return Uid(text) if is_uid(text) else None
