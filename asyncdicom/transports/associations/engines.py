"""Which DIMSE engine to use; only the chosen one is imported.

transport = open_dimse_transport("native", settings)
try:
    ...
finally:
    await transport.aclose()
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from asyncdicom.errors import ConfigError

if TYPE_CHECKING:
    from asyncdicom.ports.dimse import DimseTransport
    from asyncdicom.transports.associations.acceptor import AssociationServer, ServerSettings
    from asyncdicom.transports.associations.services import Services
    from asyncdicom.transports.associations.settings import DimseSettings

__all__ = ["DIMSE_ENGINES", "dimse_server", "open_dimse_transport"]

DIMSE_ENGINES = {"native": "NativeTransport", "pynetdicom": "PynetdicomTransport"}
"""Engines, the default first, and the class in the module of that name."""

_SERVERS = {
    "native": ("acceptor", "AssociationServer"),
    "pynetdicom": ("pynetdicom_acceptor", "PynetdicomServer"),
}
"""Module and class of what accepts associations."""


def open_dimse_transport(name: str, settings: DimseSettings) -> DimseTransport:
    """Open a transport on an engine.

    Args:
        name: `native` or `pynetdicom`.
        settings: Peer, names, limits and trust.

    Raises:
        ConfigError: If there is no such engine, it is not installed, or certificates
            cannot be used.

    """
    _check(name)
    module = import_module(f"asyncdicom.transports.associations.{name}")
    return cast("DimseTransport", getattr(module, DIMSE_ENGINES[name])(settings))


def dimse_server(name: str, settings: ServerSettings, services: Services) -> AssociationServer:
    """Make an acceptor of associations on an engine; it listens when it is entered.

    Args:
        name: `native` or `pynetdicom`.
        settings: Address, limits and trust.
        services: What is done for peers.

    Raises:
        ConfigError: If there is no such engine, it is not installed, or certificates
            cannot be used.

    """
    _check(name)
    module, kind = _SERVERS[name]
    server = getattr(import_module(f"asyncdicom.transports.associations.{module}"), kind)
    return cast("AssociationServer", server(settings, services))


def _check(name: str) -> None:
    if name not in DIMSE_ENGINES:
        hint = f"known are: {', '.join(DIMSE_ENGINES)}"
        raise ConfigError(f"no DIMSE engine {name!r}", hint=hint)
    if name == "pynetdicom" and find_spec(name) is None:
        raise ConfigError("pynetdicom is not installed", hint="pip install pynetdicom")
