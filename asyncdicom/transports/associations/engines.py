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
    from asyncdicom.transports.associations.settings import DimseSettings

__all__ = ["DIMSE_ENGINES", "open_dimse_transport"]

DIMSE_ENGINES = {"native": "NativeTransport", "pynetdicom": "PynetdicomTransport"}
"""Engines, the default first, and the class in the module of that name."""


def open_dimse_transport(name: str, settings: DimseSettings) -> DimseTransport:
    """Open a transport on an engine.

    Args:
        name: `native` or `pynetdicom`.
        settings: Peer, names, limits and trust.

    Raises:
        ConfigError: If there is no such engine, it is not installed, or certificates
            cannot be used.

    """
    if name not in DIMSE_ENGINES:
        hint = f"known are: {', '.join(DIMSE_ENGINES)}"
        raise ConfigError(f"no DIMSE engine {name!r}", hint=hint)
    if name == "pynetdicom" and find_spec(name) is None:
        raise ConfigError("pynetdicom is not installed", hint="pip install pynetdicom")
    module = import_module(f"asyncdicom.transports.associations.{name}")
    return cast("DimseTransport", getattr(module, DIMSE_ENGINES[name])(settings))
