"""URLs of objects as people write them, and the paths and queries that are sent.

    parse_object_url("s3://idc-open-data/uuid/*")  # ObjectUrl("s3", "idc-open-data", "uuid/*")
    escape_key("a b/../c")                         # "a%20b%2F..%2Fc"

Rule: a key is any text up to 1,024 bytes, and no path: `?`, `#`, `//` and `..` are
letters of its name. HTTP libraries see that otherwise and take `.` and `..` out of
paths (RFC 3986 §5.2.4); a slash beside them is therefore sent as `%2F`, which means
the same to a store and is no slash to a library.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from asyncdicom.errors import ConfigError, UnexpectedContent
from asyncdicom.records import dataclass

__all__ = [
    "SCHEMES",
    "ObjectUrl",
    "check_bucket",
    "escape_key",
    "is_object_url",
    "parse_object_url",
    "query_of",
]

SCHEMES = ("s3", "gs")

MAX_KEY_BYTES = 1024
"""Of S3 and of Google Cloud Storage, in UTF-8."""

# S3: 3 to 63 of lower-case letters, digits, dots and hyphens, and before 2018 also upper
# case and underscores, up to 255; Google: up to 222. Each store knows the rest best.
_BUCKET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")

# RFC 3986 §2.3; also all that a signature leaves as it is.
_UNRESERVED = "-._~"

_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")
_DOT_SEGMENT = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")


@dataclass(frozen=True, slots=True)
class ObjectUrl:
    """What `s3://bucket/key` or `gs://bucket/key` says."""

    scheme: str
    bucket: str
    key: str
    """Key, prefix or pattern, as written; empty for the whole bucket."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


def is_object_url(text: str) -> bool:
    """Tell whether a URL names objects of an object store."""
    scheme, colon, _ = text.strip().partition("://")
    return bool(colon) and scheme.lower() in SCHEMES


def parse_object_url(text: str) -> ObjectUrl:
    """Read the URL of a bucket, prefix, object or pattern.

    Raises:
        ConfigError: If it is none, or the name of its bucket cannot be one.

    """
    example = "expected s3://bucket/prefix or gs://bucket/prefix"
    scheme, colon, rest = text.strip().partition("://")
    if not colon or scheme.lower() not in SCHEMES:
        raise ConfigError("not a URL of an object store", hint=example)
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise ConfigError("the URL names no bucket", hint=example)
    check_bucket(bucket)
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise ConfigError(f"a key has at most {MAX_KEY_BYTES} bytes")
    return ObjectUrl(scheme.lower(), bucket, key)


def check_bucket(bucket: str) -> None:
    """Refuse what no bucket is called.

    Raises:
        ConfigError: If it has other characters than letters, digits, `.`, `_` and `-`.

    """
    if _BUCKET.fullmatch(bucket) is None or ".." in bucket:
        told = bucket if bucket.isprintable() else ascii(bucket)
        raise ConfigError(
            f"not the name of a bucket: {told[:64]!r}",
            hint="a bucket is called with letters, digits, dots and hyphens",
        )


def escape_key(key: str) -> str:
    """Return a key as it stands in a path.

    Raises:
        UnexpectedContent: If it is `.` or `..`, or no text that UTF-8 can hold.

    """
    if _PLAIN.fullmatch(key) is not None and "/." not in key and key[:1] != ".":
        return key  # as nearly all are
    try:
        escaped = quote(key, safe="/" + _UNRESERVED)
    except UnicodeEncodeError as error:
        raise UnexpectedContent("the name of an object is no text") from error
    if "." in key and _DOT_SEGMENT.search(key) is not None:
        if key in (".", ".."):
            raise UnexpectedContent(f"an object named {key!r} cannot be asked for by HTTP")
        return escaped.replace("/", "%2F")
    return escaped


def query_of(values: dict[str, str]) -> str:
    """Return a query in the order and spelling that a signature needs: sorted, blanks as `%20`."""
    pairs = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in values.items()
    )
    return "&".join([f"{name}={value}" for name, value in pairs])
