"""Put an object store together from the URL and the options of a command."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from asyncdicom.connecting import byte_count, header_of, transport_settings
from asyncdicom.errors import ConfigError
from asyncdicom.protocol.object_stores.endpoints import (
    DEFAULT_REGION,
    GOOGLE,
    AddressingStyle,
    Endpoint,
    ProfileSettings,
    endpoint_in,
    region_in,
)
from asyncdicom.protocol.object_stores.globs import Selection
from asyncdicom.protocol.object_stores.urls import parse_object_url
from asyncdicom.protocol.urls import Root
from asyncdicom.records import dataclass
from asyncdicom.sources.object_requests import StoreOptions, StoreWay
from asyncdicom.storage.object_names import folder_of_prefix
from asyncdicom.transports.engines import open_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from asyncdicom.jobs.object_groups import ObjectGroup
    from asyncdicom.jobs.object_job import ObjectOptions
    from asyncdicom.ports.http import HttpTransport
    from asyncdicom.ports.objects import ObjectStore
    from asyncdicom.ports.signing import RequestSigner
    from asyncdicom.transports.aws_credentials import AwsAccount

__all__ = ["object_filter", "object_options_of", "open_object_store"]

_AUTHORIZATIONS = ("authorization", "user", "bearer", "bearer_command", "oauth2_token_url", "netrc")

PART_SIZE = "16M"
"""Larger objects come in parts of about this size."""

PARTS = 4
"""Parts of one object at once."""

GOOGLE_REGION = "auto"
"""What Google's S3 interface wants signatures to be for."""


@asynccontextmanager
async def open_object_store(text: str, options: Mapping[str, Any]) -> AsyncIterator[ObjectStore]:
    """Open the object store that a URL names; one store serves all of its buckets.

    Who we are: what the options for an Authorization field say (`--bearer`, OAuth2, ...); else
    nobody with `--no-sign-request`; else, at S3, what Amazon's tools would find; else, at
    Google, nobody, unless a profile holds an HMAC key for it.

    Args:
        text: `s3://...` or `gs://...`; only its scheme and bucket matter here.
        options: Values of the connection options, and of those for object stores:
            `endpoint_url`, `no_sign_request`, `profile`, `region`, `addressing_style` and
            `request_payer`. For code that knows its store: `gcs_json` (True or False) chooses the
            interface of a `gs://` URL, which else is JSON with an Authorization field only;
            `trusts_etag=False` takes no ETag for an MD5.

    Raises:
        ConfigError: If the URL, the endpoint, a certificate, a proxy or a credential is not usable.
        Unreachable: If a service that gives credentials could not be reached.

    """
    url = parse_object_url(text)
    plan = await _plan_of(url.scheme, options)
    # Objects are many and bodies large: connections of their own that are used again and
    # again are faster than streams that share one.
    settings = replace(transport_settings(options), http2=False, h2c=False)
    transport = open_transport(options.get("http_engine") or "auto", settings)
    try:
        yield await _store(plan, options, transport)
    finally:
        await transport.aclose()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was decided before anything is opened."""

    scheme: str
    endpoint: Endpoint
    account: AwsAccount | None
    """Whose keys sign, or None."""
    has_authorization: bool
    is_json: bool


async def _plan_of(scheme: str, options: Mapping[str, Any]) -> _Plan:
    has_authorization = any(options.get(name) for name in _AUTHORIZATIONS)
    is_anonymous = bool(options.get("no_sign_request"))
    if is_anonymous and has_authorization:
        raise ConfigError("--no-sign-request contradicts the credentials given")
    if scheme == "gs" and options.get("request_payer"):
        raise ConfigError(
            "Google wants to know which project pays",
            hint="give --header 'x-goog-user-project: PROJECT' instead of --request-payer",
        )
    account = None
    if options.get("profile") or (scheme == "s3" and not (is_anonymous or has_authorization)):
        account = _account(options.get("profile"))
    profile = None if account is None else account.settings()
    is_json = scheme == "gs" and options.get("gcs_json", has_authorization)
    endpoint = endpoint_of(scheme, options, os.environ, profile)
    if is_json:
        endpoint = _json_endpoint(endpoint)
    signs = not (is_anonymous or has_authorization)
    return _Plan(scheme, endpoint, account if signs else None, has_authorization, is_json)


def _account(profile: str | None) -> AwsAccount:
    if find_spec("aiobotocore") is None:
        raise ConfigError(
            "credentials of Amazon need a library that is not installed",
            hint="pip install 'asyncdicom[s3]', or read public buckets with --no-sign-request",
        )
    # Imported here: it costs 0.4 s, and anonymous access needs none of it.
    from asyncdicom.transports.aws_credentials import AwsAccount  # noqa: PLC0415 -- lazy on purpose

    return AwsAccount(profile)


def _json_endpoint(endpoint: Endpoint) -> Endpoint:
    from asyncdicom.sources.gcs_store import JSON_PATH  # noqa: PLC0415 -- for those who need it

    return replace(endpoint, url=endpoint.url + JSON_PATH, style=AddressingStyle.PATH)


async def _store(plan: _Plan, options: Mapping[str, Any], transport: HttpTransport) -> ObjectStore:
    bandwidth = options.get("bandwidth")
    way = StoreWay(
        transport,
        plan.endpoint,
        signer=await _signer(plan, options, transport),
        bytes_per_s=None if bandwidth is None else byte_count(bandwidth),
    )
    asked = StoreOptions(
        scheme=plan.scheme,
        pays=bool(options.get("request_payer")),
        further_headers=tuple(map(header_of, options.get("header", ()))),
        trusts_etag=options.get("trusts_etag", True),
    )
    if plan.is_json:
        from asyncdicom.sources.gcs_store import GcsStore  # noqa: PLC0415 -- as above

        return GcsStore(way, asked)
    from asyncdicom.sources.object_store import S3Store  # noqa: PLC0415 -- as above

    return S3Store(way, asked)


async def _signer(
    plan: _Plan, options: Mapping[str, Any], transport: HttpTransport
) -> RequestSigner | None:
    if plan.has_authorization:
        # Imported here: anonymous runs need none of it.
        from asyncdicom.authentication import credentials_of  # noqa: PLC0415 -- lazy on purpose
        from asyncdicom.transports.authorization_signing import (  # noqa: PLC0415 -- as above
            AuthorizationSigner,
        )

        credentials = credentials_of(Root(plan.endpoint.url), options, transport)
        return None if credentials is None else AuthorizationSigner(credentials)
    return None if plan.account is None else await plan.account.signer()


def endpoint_of(
    scheme: str,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
    profile: ProfileSettings | None = None,
) -> Endpoint:
    """Return where a store answers: options before environment before profile.

    Raises:
        ConfigError: If the endpoint that somebody named is no URL of one.

    """
    from_profile = profile or ProfileSettings()
    style = options.get("addressing_style")
    if style in (None, "auto"):
        style = from_profile.addressing_style
    region = options.get("region") or region_in(environment) or from_profile.region
    named = options.get("endpoint_url")
    if named is None and scheme == "s3":
        named = endpoint_in(environment)
    if named is None:
        named = from_profile.endpoint_url
    if named is None and scheme == "gs":
        named = GOOGLE
    if named is None:
        return Endpoint.of_aws(region or DEFAULT_REGION, _style(style))
    endpoint = Endpoint.parse(named, region=region or DEFAULT_REGION, style=_style(style))
    is_google = endpoint.is_google and not options.get("region")
    return replace(endpoint, region=GOOGLE_REGION) if is_google else endpoint


def _style(text: str | None) -> AddressingStyle:
    try:
        return AddressingStyle(text or "auto")
    except ValueError as error:
        known = ", ".join(AddressingStyle)
        raise ConfigError(f"no addressing style {text!r}", hint=f"known are: {known}") from error


def object_options_of(options: Mapping[str, Any]) -> ObjectOptions:
    """Return how objects are fetched, and which of them.

    Args:
        options: `concurrency`, and values of `part_size`, `parts`, `include` and `exclude`.

    Raises:
        ConfigError: If a size is none.

    """
    # Imported here: who only lists needs neither.
    from asyncdicom.jobs.object_job import ObjectOptions  # noqa: PLC0415 -- lazy on purpose
    from asyncdicom.jobs.object_transfer import PartOptions  # noqa: PLC0415 -- as above

    parts = PartOptions(
        part_bytes=byte_count(options.get("part_size", PART_SIZE)),
        at_once=options.get("parts", PARTS),
        requests=options["concurrency"],
    )
    return ObjectOptions(accepts=object_filter(options), parts=parts)


def object_filter(options: Mapping[str, Any]) -> Callable[[ObjectGroup, str], bool]:
    """Return what tells whether an object is wanted: by what its key has below the prefix.

    Args:
        options: Values of `include` and `exclude`.

    """
    include, exclude = options.get("include", ()), options.get("exclude", ())
    selection = Selection(include=include, exclude=exclude)
    has_filter = bool(include or exclude)

    def accepts(group: ObjectGroup, key: str) -> bool:
        if not has_filter:
            return True
        # A single object is its own prefix: its name is what is left to match.
        prefix = folder_of_prefix(group.prefix) if group.is_single else group.prefix
        return selection.matches(key.removeprefix(prefix))

    return accepts
