"""Where a bucket answers: endpoint, region, and whether its name is in the host or the path.

    endpoint = Endpoint.of_aws("eu-central-1")
    endpoint.url_of("bucket")        # "https://bucket.s3.eu-central-1.amazonaws.com"

Rule: an endpoint that somebody named is used with the bucket in the path, as servers other
than Amazon's want it; Amazon itself gets the bucket in the host, but for names with
a dot, which its certificate does not cover.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from asyncdicom.errors import ConfigError
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_REGION",
    "GOOGLE",
    "AddressingStyle",
    "Endpoint",
    "ProfileSettings",
    "endpoint_in",
    "region_in",
]

DEFAULT_REGION: Final = "us-east-1"
"""Where S3 answers for all regions, and what other servers call themselves."""

GOOGLE: Final = "https://storage.googleapis.com"

_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")

# The one for S3 alone goes before the general one, as in Amazon's own tools; the last is
# of s5cmd, whose users have it in their environment.
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL")
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


class AddressingStyle(StrEnum):
    """Where the name of the bucket goes."""

    AUTO = "auto"
    PATH = "path"
    """`https://endpoint/bucket/key`."""
    VIRTUAL = "virtual"
    """`https://bucket.endpoint/key`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A service with its buckets."""

    url: str
    """Without a slash at its end, user information, query or fragment."""
    region: str = DEFAULT_REGION
    style: AddressingStyle = AddressingStyle.AUTO

    @classmethod
    def of_aws(cls, region: str, style: AddressingStyle = AddressingStyle.AUTO) -> Self:
        """Return the endpoint of a region of Amazon's."""
        china = ".cn" if region.startswith("cn-") else ""
        return cls(f"https://s3.{region}.amazonaws.com{china}", region, style)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        region: str = DEFAULT_REGION,
        style: AddressingStyle = AddressingStyle.AUTO,
    ) -> Self:
        """Read the URL of an endpoint as a user writes it.

        Raises:
            ConfigError: If it is no http or https URL of a host, or holds credentials.

        """
        example = "expected http(s)://host[:port]"
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"not the URL of an endpoint: {error}", hint=example) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("not the URL of an endpoint", hint=example)
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigError("an endpoint has no user, query or fragment", hint=example)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        where = host if port is None else f"{host}:{port}"
        return cls(f"{parts.scheme}://{where}{parts.path.rstrip('/')}", region, style)

    @property
    def is_amazon(self) -> bool:
        """Whether regions have endpoints of their own, known by their names."""
        return (urlsplit(self.url).hostname or "").endswith(_AMAZON)

    @property
    def is_google(self) -> bool:
        """Whether it is Google's own service."""
        return self.url == GOOGLE

    def url_of(self, bucket: str) -> str:
        """Return where the keys of a bucket begin, without the slash before them."""
        parts = urlsplit(self.url)
        if not self._is_virtual(bucket, parts.scheme):
            return f"{self.url}/{bucket}"
        return f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}"

    def _is_virtual(self, bucket: str, scheme: str) -> bool:
        if self.style is not AddressingStyle.AUTO:
            return self.style is AddressingStyle.VIRTUAL
        fits = bucket == bucket.lower() and "_" not in bucket and len(bucket) <= 63
        return self.is_amazon and fits and not ("." in bucket and scheme == "https")

    def in_region(self, region: str) -> Endpoint:
        """Return the endpoint of another region; one that is not Amazon's keeps its host."""
        if not self.is_amazon:
            return replace(self, region=region)
        return Endpoint.of_aws(region, self.style)


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """What a profile says besides who we are; None where it says nothing."""

    region: str | None = None
    endpoint_url: str | None = None
    addressing_style: str | None = None


def endpoint_in(environment: Mapping[str, str]) -> str | None:
    """Return the endpoint that an environment names, or None."""
    return next((value for name in _ENDPOINT_VARIABLES if (value := environment.get(name))), None)


def region_in(environment: Mapping[str, str]) -> str | None:
    """Return the region that an environment names, or None."""
    return next((value for name in _REGION_VARIABLES if (value := environment.get(name))), None)
