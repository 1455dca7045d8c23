"""From options to a DIMSE source; imported when a URL asks for one."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncdicom.errors import ConfigError, Unreachable
from asyncdicom.jobs.dimse_archive import DimseArchive
from asyncdicom.model import parse_uid
from asyncdicom.protocol.dimse.sop_classes import (
    ALL_TRANSFER_SYNTAXES,
    MODALITY_WORKLIST,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
)
from asyncdicom.protocol.urls import DimseRoot, parse_dimse_root
from asyncdicom.sources.dimse import DimseOptions, DimseSource
from asyncdicom.transports.associations.engines import open_dimse_transport
from asyncdicom.transports.associations.settings import DimseSettings, TlsSettings, UserIdentity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncdicom.jobs.dimse_move import MoveReceiver

__all__ = [
    "MODELS",
    "associations_at_once",
    "dimse_settings",
    "open_dimse_archive",
    "open_dimse_source",
]

MODELS = {
    "study": STUDY_ROOT,
    "patient": PATIENT_ROOT,
    "patient-study": PATIENT_STUDY_ONLY,
    "worklist": MODALITY_WORKLIST,
}
"""Information models, as `--model` names them."""

MOVE_PORT = 11112
"""Where our receiver listens; registered for DICOM, and above what needs privileges."""

MAX_ASSOCIATIONS = 4
"""At once, unless told otherwise: an archive has 10 to 100 for everybody."""


@asynccontextmanager
async def open_dimse_archive(text: str, options: Mapping[str, Any]) -> AsyncIterator[DimseArchive]:
    """Open a DIMSE source for jobs, with a receiver where instances shall come by C-MOVE.

    Raises:
        ConfigError: As `open_dimse_source`.

    """
    async with open_dimse_source(text, options) as source:
        if not source.root.retrieves_by_move:
            yield DimseArchive(source)
            return
        receiver = await _receiver_for(source, options)
        try:
            yield DimseArchive(source, receiver)
        finally:
            await receiver.aclose()


async def _receiver_for(source: DimseSource, options: Mapping[str, Any]) -> MoveReceiver:
    # Imported here: a C-GET needs no server.
    from asyncdicom.jobs.dimse_move import MoveReceiver  # noqa: PLC0415 -- lazy on purpose
    from asyncdicom.transports.associations.acceptor import (  # noqa: PLC0415 -- as above
        ServerSettings,
    )

    settings = dimse_settings(source.root, options)
    tls = settings.tls
    if tls is not None and tls.client_cert_file is None:
        raise ConfigError(
            "what is moved over dicoms:// needs a certificate of ours", hint="give --cert and --key"
        )
    host = options.get("move_host") or await _own_address(source.root)
    return MoveReceiver(
        options.get("move_aet") or settings.calling_ae,
        ServerSettings(
            host=host,
            port=options.get("move_port", MOVE_PORT),
            max_pdu_bytes=settings.max_pdu_bytes,
            idle_timeout_s=settings.idle_timeout_s,
            tls=tls,
        ),
        source.options.transfer_syntaxes,
    )


async def _own_address(root: DimseRoot) -> str:
    """Return the address that this machine has on the way to the archive; nothing is sent."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(root.host, root.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise Unreachable(f"no way to the archive: {error.strerror or error}") from error


@asynccontextmanager
async def open_dimse_source(text: str, options: Mapping[str, Any]) -> AsyncIterator[DimseSource]:
    """Open a DIMSE source by its URL; nothing is sent yet.

    Args:
        text: URL as the user wrote it.
        options: Values of the connection options, and of those for DIMSE.

    Raises:
        ConfigError: If the URL, an AE title, a certificate or a model is not usable.

    """
    root = parse_dimse_root(text)
    chosen = _dimse_options(options)
    engine = options.get("dimse_engine") or "native"
    transport = open_dimse_transport(engine, dimse_settings(root, options))
    source = DimseSource(root, transport, chosen)
    try:
        yield source
    finally:
        try:
            await source.aclose()
        finally:
            await transport.aclose()


def _dimse_options(options: Mapping[str, Any]) -> DimseOptions:
    name = options.get("model") or "study"
    if name not in MODELS:
        raise ConfigError(f"no model {name!r}", hint=f"known are {', '.join(MODELS)}")
    wanted = options.get("transfer_syntax") or "*"
    syntaxes = ALL_TRANSFER_SYNTAXES if wanted == "*" else (parse_uid(wanted),)
    return DimseOptions(MODELS[name], syntaxes, associations_at_once(options))


def associations_at_once(options: Mapping[str, Any]) -> int:
    """Return how many associations a run may have: four, unless it is told otherwise.

    Who asks for one operation at a time has a second one, to list what comes.
    """
    given: int | None = options.get("max_associations")
    concurrency = options.get("concurrency", MAX_ASSOCIATIONS)
    return given or max(2, min(concurrency, MAX_ASSOCIATIONS))


def dimse_settings(root: DimseRoot, options: Mapping[str, Any]) -> DimseSettings:
    """Return the settings of a DIMSE transport.

    Raises:
        ConfigError: If one of them is not usable.

    """
    tls = TlsSettings(
        profile=options.get("tls_profile") or "bcp195",
        ca_file=_path(options.get("cacert")),
        client_cert_file=_path(options.get("cert")),
        client_key_file=_path(options.get("key")),
        verify=not options.get("insecure", False),
        check_host_name=not options.get("any_host_name", False),
    )
    return DimseSettings(
        host=root.host,
        port=root.port,
        called_ae=root.called_ae,
        calling_ae=options.get("calling_aet") or root.calling_ae or "ASYNCDICOM",
        max_pdu_bytes=options.get("max_pdu", 128 * 1024),
        connect_timeout_s=options.get("connect_timeout", 10.0),
        acse_timeout_s=options.get("timeout", 30.0),
        idle_timeout_s=options.get("timeout", 30.0),
        tls=tls if root.is_tls else None,
        identity=_identity(options.get("user")),
    )


def _identity(user: str | None) -> UserIdentity | None:
    """Return who we say that we are (PS3.7 §D.3.3.7), by NAME or NAME:PASSCODE.

    Raises:
        ConfigError: If there is no name: an unset variable must not make a run anonymous.

    """
    if user is None:
        return None
    name, colon, passcode = user.partition(":")
    if not name:
        raise ConfigError("--user names nobody", hint="give NAME or NAME:PASSCODE")
    return UserIdentity(name, passcode if colon else None)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
