"""Signature Version 4 for requests to S3 that have no body.

    signer = SigV4("AKID...", "secret", token=None)
    fields = signer.signed("GET", url, headers, region="us-east-1", now_utc=now)

The same that botocore does (a test compares them), for a tenth of its time: botocore needs
130 us for a signature, a third of what a small object costs in all.

Rules:
* Only `host` and `x-amz-*` are signed: proxies, and Google, rewrite other fields.
* A name is signed with its slashes, however they travelled (`urls.escape_key`).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from datetime import datetime

    from asyncdicom.model import Header

__all__ = ["SigV4"]

_EMPTY_BODY: Final = sha256(b"").hexdigest()
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class SigV4:
    """Signs with one set of keys; the key that is derived for a day and a region is kept."""

    __slots__ = ("_access_key", "_derived", "_derived_for", "_secret_key", "_token")

    def __init__(self, access_key: str, secret_key: str, token: str | None = None) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._token = token
        self._derived_for = ("", "")
        self._derived = b""

    def __repr__(self) -> str:
        return "SigV4(<redacted>)"

    def signed(
        self, method: str, url: str, headers: tuple[Header, ...], *, region: str, now_utc: datetime
    ) -> tuple[Header, ...]:
        """Return the fields of a request and those that sign it.

        Args:
            method: `GET` or `HEAD`.
            url: As it is sent; its query is sorted.
            headers: With names in lower case.
            region: Where the bucket is.
            now_utc: The present, with time zone UTC.

        """
        time = now_utc.strftime("%Y%m%dT%H%M%SZ")
        parts = urlsplit(url)
        own = [pair for pair in headers if pair[0].startswith("x-amz-")]
        own += (("x-amz-content-sha256", _EMPTY_BODY), ("x-amz-date", time))
        if self._token:
            own.append(("x-amz-security-token", self._token))
        host = parts.netloc.removesuffix(_DEFAULT_PORTS[parts.scheme])
        fields = sorted([("host", host), *own])
        names = ";".join([name for name, _ in fields])
        lines = "".join([f"{name}:{' '.join(value.split())}\n" for name, value in fields])
        path = parts.path.replace("%2F", "/") or "/"
        request = f"{method}\n{path}\n{parts.query}\n{lines}\n{names}\n{_EMPTY_BODY}"
        scope = f"{time[:8]}/{region}/s3/aws4_request"
        digest = sha256(request.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{time}\n{scope}\n{digest}".encode()
        signature = hmac.digest(self._key(time[:8], region), text, "sha256").hex()
        credential = f"{_ALGORITHM} Credential={self._access_key}/{scope}"
        value = f"{credential}, SignedHeaders={names}, Signature={signature}"
        others = [pair for pair in headers if not pair[0].startswith("x-amz-")]
        return (*others, *own, ("authorization", value))

    def _key(self, date: str, region: str) -> bytes:
        if self._derived_for != (date, region):
            key = f"AWS4{self._secret_key}".encode()
            for word in (date, region, "s3", "aws4_request"):
                key = hmac.digest(key, word.encode(), "sha256")
            self._derived_for, self._derived = (date, region), key
        return self._derived
