"""Put an object store together from the URL and the options of a command."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncdicom.connecting import byte_count, header_of, transport_settings
from asyncdicom.protocol.object_stores.endpoints import (
    DEFAULT_REGION,
    GOOGLE,
    AddressingStyle,
    Endpoint,
    endpoint_in,
    region_in,
)
from asyncdicom.protocol.object_stores.urls import parse_object_url
from asyncdicom.sources.object_store import S3Store, StoreOptions
from asyncdicom.transports.engines import open_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncdicom.ports.objects import ObjectStore

__all__ = ["open_object_store"]


@asynccontextmanager
async def open_object_store(text: str, options: Mapping[str, Any]) -> AsyncIterator[ObjectStore]:
    """Open the object store that a URL names; one store serves all of its buckets.

    Args:
        text: `s3://...` or `gs://...`; only its scheme and bucket matter here.
        options: Values of the connection options, and of those for object stores:
            `endpoint_url`, `no_sign_request`, `profile`, `region`, `addressing_style`,
            `request_payer`.

    Raises:
        ConfigError: If the URL, the endpoint, a certificate, a proxy or a credential is not usable.

    """
    url = parse_object_url(text)
    endpoint = endpoint_of(url.scheme, options, os.environ)
    # Objects are many and bodies large: connections of their own that are used again and
    # again are faster than streams that share one.
    settings = replace(transport_settings(options), http2=False, h2c=False)
    transport = open_transport(options.get("http_engine") or "auto", settings)
    bandwidth = options.get("bandwidth")
    try:
        yield S3Store(
            transport,
            endpoint,
            options=StoreOptions(
                scheme=url.scheme,
                pays=bool(options.get("request_payer")),
                further_headers=tuple(map(header_of, options.get("header", ()))),
                bytes_per_s=None if bandwidth is None else byte_count(bandwidth),
            ),
        )
    finally:
        await transport.aclose()


def endpoint_of(
    scheme: str, options: Mapping[str, Any], environment: Mapping[str, str]
) -> Endpoint:
    """Return where a store answers.

    Raises:
        ConfigError: If the endpoint that somebody named is no URL of one.

    """
    style = AddressingStyle(options.get("addressing_style") or "auto")
    region = options.get("region") or region_in(environment) or DEFAULT_REGION
    named = options.get("endpoint_url") or (endpoint_in(environment) if scheme == "s3" else None)
    if named is None and scheme == "gs":
        named = GOOGLE
    if named is None:
        return Endpoint.of_aws(region, style)
    return Endpoint.parse(named, region=region, style=style)
