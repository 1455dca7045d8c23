"""Which HTTP engine to use; only the chosen library is imported.

transport = open_transport("auto", TransportSettings())
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
    from collections.abc import Callable

    from asyncdicom.ports.http import HttpTransport
    from asyncdicom.transports.settings import TransportSettings

__all__ = ["ENGINES", "import_engine", "open_transport"]

ENGINES = {
    "pyreqwest": "PyreqwestTransport",
    "httpx": "HttpxTransport",
    "aiohttp": "AiohttpTransport",
}
"""Engines in the order in which `auto` takes them, and the class in the module of that name."""


def open_transport(name: str, settings: TransportSettings) -> HttpTransport:
    """Open a transport on an engine.

    Args:
        name: `pyreqwest`, `httpx`, `aiohttp`, or `auto` for the first that is installed.
        settings: Versions, limits, trust and proxy.

    Raises:
        ConfigError: If there is no such engine, it is not installed or cannot speak
            what was asked for, or a certificate or proxy cannot be used.

    """
    return import_engine(name)(settings)


def import_engine(name: str) -> Callable[[TransportSettings], HttpTransport]:
    """Import an engine, and return what makes a transport of it.

    Raises:
        ConfigError: If there is no such engine, or it is not installed.

    """
    if name == "auto":
        name = next((engine for engine in ENGINES if find_spec(engine)), "pyreqwest")
    if name not in ENGINES:
        raise ConfigError(f"no HTTP engine {name!r}", hint=f"known are: auto, {', '.join(ENGINES)}")
    if find_spec(name) is None:
        raise ConfigError(f"the HTTP engine {name} is not installed", hint=f"pip install {name}")
    module = import_module(f"asyncdicom.transports.{name}")
    return cast("Callable[[TransportSettings], HttpTransport]", getattr(module, ENGINES[name]))
