"""Engines are chosen by name, and only the chosen one costs anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.transports.associations.acceptor import ServerSettings
from asyncdicom.transports.associations.engines import (
    DIMSE_ENGINES,
    dimse_server,
    open_dimse_transport,
)
from asyncdicom.transports.associations.services import Services
from tests.transports.associations.support import settings_for

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", DIMSE_ENGINES)
async def test_an_engine_knows_its_name(name: str) -> None:
    transport = open_dimse_transport(name, settings_for(104))
    assert transport.name == name
    assert transport.statistics().associations == 0
    await transport.aclose()


def test_the_native_engine_is_the_default() -> None:
    assert next(iter(DIMSE_ENGINES)) == "native"


def test_an_engine_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match="known are: native, pynetdicom"):
        open_dimse_transport("dcmtk", settings_for(104))
    with pytest.raises(ConfigError, match="known are: native, pynetdicom"):
        dimse_server("dcmtk", ServerSettings(port=0), Services())


@pytest.mark.parametrize(
    ("name", "kind"), [("native", "AssociationServer"), ("pynetdicom", "PynetdicomServer")]
)
async def test_each_engine_accepts_associations(name: str, kind: str) -> None:
    async with dimse_server(name, ServerSettings(port=0), Services()) as server:
        assert type(server).__name__ == kind
        assert server.port > 0


@pytest.mark.parametrize(
    ("engine", "is_imported"), [("native", False), ("pynetdicom", True)], ids=str
)
def test_pynetdicom_is_imported_by_its_engine_alone(engine: str, *, is_imported: bool) -> None:
    code = (
        "import sys, asyncio\n"
        "from asyncdicom.transports.associations.engines import open_dimse_transport\n"
        "from asyncdicom.transports.associations.settings import DimseSettings\n"
        "assert 'pynetdicom' not in sys.modules\n"
        f"open_dimse_transport({engine!r}, DimseSettings(host='here', called_ae='X'))\n"
        f"assert ('pynetdicom' in sys.modules) == {is_imported}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
