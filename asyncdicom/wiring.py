"""Put the parts together: from the URL and the options of a command to a source.

With what is beside it (`dimse_wiring`, `object_wiring`, `output_wiring`), it is all that knows
both what the command line offers and which classes stand behind it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncdicom.connecting import (
    byte_count,
    header_of,
    scheduler_settings,
    transport_settings,
)
from asyncdicom.errors import ConfigError
from asyncdicom.protocol.cod.places import is_cod, parse_cod_root
from asyncdicom.protocol.urls import Root, is_dimse, parse_dimse_root, parse_root, scheme_of
from asyncdicom.sources.dicomweb import DicomWebSource, SourceOptions
from asyncdicom.transports.engines import import_engine, open_transport
from asyncdicom.transports.redirects import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncdicom.jobs.archives import Archive
    from asyncdicom.jobs.cod_archive import CodArchive
    from asyncdicom.ports.http import HttpTransport
    from asyncdicom.protocol.cod.places import CodRoot
    from asyncdicom.transports.credentials import Credentials

__all__ = [
    "byte_count",
    "check_root",
    "open_archive",
    "open_cod_archive",
    "open_source",
    "prepare_source",
    "scheduler_settings",
    "transport_settings",
]

_OTHER_SOURCES = {
    "s3": ("an object store", "get and verify work with it"),
    "gs": ("an object store", "get and verify work with it"),
    "idc": ("the Imaging Data Commons", "asyncdicom idc get ID fetches from it"),
}
"""What else a URL may name, and who works with it."""

_CREDENTIAL_OPTIONS = frozenset(
    {"authorization", "user", "bearer", "bearer_command", "oauth2_token_url", "netrc"}
)


@asynccontextmanager
async def open_source(text: str, options: Mapping[str, Any]) -> AsyncIterator[DicomWebSource]:
    """Open a source by its URL.

    Args:
        text: URL as the user wrote it.
        options: Values of the connection options (`cli.options.connection_options`).

    Raises:
        ConfigError: If the URL, a certificate, a proxy or a credential is not usable.

    """
    root = root_of(text)
    bandwidth = options.get("bandwidth")
    settings = transport_settings(options)
    further_headers = tuple(map(header_of, options.get("header", ())))
    transport = open_transport(options.get("http_engine") or "auto", settings)
    try:
        credentials = _credentials_of(root, options, transport)
        yield DicomWebSource(
            root,
            Session(
                transport,
                root.url,
                credentials,
                has_client_certificate=settings.has_client_certificate,
            ),
            SourceOptions(
                transfer_syntax=options.get("transfer_syntax") or "*",
                further_headers=further_headers,
                sends_credentials=credentials is not None,
                bytes_per_s=None if bandwidth is None else byte_count(bandwidth),
            ),
        )
    finally:
        await transport.aclose()


def prepare_source(text: str, options: Mapping[str, Any]) -> None:
    """Refuse a URL that names no DICOMweb source, and import what opening it will need.

    For processes that are about to be forked: what is imported now, none of them imports.

    Raises:
        ConfigError: If the URL or a setting is not usable.

    """
    root_of(text)
    transport_settings(options)
    import_engine(options.get("http_engine") or "auto")


def _credentials_of(
    root: Root, options: Mapping[str, Any], transport: HttpTransport
) -> Credentials | None:
    if root.username is None and not _has_credentials(options):
        return None
    # Imported here: anonymous runs need none of it.
    from asyncdicom.authentication import credentials_of  # noqa: PLC0415 -- lazy on purpose

    return credentials_of(root, options, transport)


def _has_credentials(options: Mapping[str, Any]) -> bool:
    """Tell whether credentials are given; empty ones are, too, and are refused where they are read.

    An unset variable of a script must not make a run anonymous.
    """
    return any(options.get(name) not in {None, False} for name in _CREDENTIAL_OPTIONS)


def root_of(text: str) -> Root:
    """Return the root of a DICOMweb source.

    Raises:
        ConfigError: If it is no URL, or names another kind of source.

    """
    scheme = scheme_of(text)
    if is_dimse(text):
        raise ConfigError(
            f"this needs DICOMweb, and {scheme}: is DIMSE",
            hint="get, find, move and echo work with DIMSE",
        )
    if is_cod(text):
        raise ConfigError(
            f"this needs DICOMweb, and {scheme}: is a Cloud-Optimized DICOM store",
            hint="get and cod work with it",
        )
    if scheme in _OTHER_SOURCES:
        what, hint = _OTHER_SOURCES[scheme]
        raise ConfigError(f"this needs DICOMweb, and {scheme}: is {what}", hint=hint)
    return parse_root(text)


def check_root(text: str) -> None:
    """Refuse what names no source.

    Raises:
        ConfigError: If it is no URL, or names a kind of source that is not known.

    """
    if is_dimse(text):
        parse_dimse_root(text)
    elif is_cod(text):
        parse_cod_root(text)
    else:
        root_of(text)


@asynccontextmanager
async def open_archive(text: str, options: Mapping[str, Any]) -> AsyncIterator[Archive]:
    """Open a source of any kind by its URL, for jobs that work with all of them.

    Args:
        text: URL as the user wrote it.
        options: Values of the connection options, and of those for DIMSE.

    Raises:
        ConfigError: If the URL, a certificate, a proxy, an AE title or a credential
            is not usable.

    """
    # Imported here: what speaks HTTP does not pay for DIMSE, nor the other way round.
    if is_dimse(text):
        from asyncdicom.dimse_wiring import open_dimse_archive  # noqa: PLC0415 -- lazy on purpose

        async with open_dimse_archive(text, options) as archive:
            yield archive
        return
    if is_cod(text):
        async with open_cod_archive(parse_cod_root(text), options) as store:
            yield store
        return
    from asyncdicom.jobs.web_archive import WebArchive  # noqa: PLC0415 -- lazy on purpose

    async with open_source(text, options) as source:
        yield WebArchive(source)


@asynccontextmanager
async def open_cod_archive(root: CodRoot, options: Mapping[str, Any]) -> AsyncIterator[CodArchive]:
    """Open a Cloud-Optimized DICOM store.

    Args:
        root: Where it is; its token counts as `--bearer`.
        options: Values of the connection options, and of those for object stores.

    Raises:
        ConfigError: If an endpoint, a certificate, a proxy or a credential is not usable.

    """
    # Imported here: who speaks DICOMweb or DIMSE does not pay for object stores.
    from asyncdicom.jobs.cod_archive import CodArchive  # noqa: PLC0415 -- lazy on purpose
    from asyncdicom.object_wiring import open_object_store  # noqa: PLC0415 -- as above
    from asyncdicom.sources.cod import CodSource  # noqa: PLC0415 -- as above

    if root.token is not None:
        if _has_credentials(options):
            raise ConfigError("the URL has a token, and the options other credentials")
        options = {**options, "bearer": root.token}
    if root.endpoint_url is not None:
        options = {**options, "endpoint_url": root.endpoint_url, "gcs_json": True}
    async with open_object_store(root.objects_url, options) as store:
        yield CodArchive(CodSource(root, store))
