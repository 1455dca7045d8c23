"""Engines, the versions they speak, and certificates, for the contract of the transports."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.settings import TransportSettings
from tests.support.origin import Origin, open_origin
from tests.support.origin_h2 import H2Speaker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncdicom.ports.http import HttpTransport

QUICK = TransportSettings(
    connect_timeout_s=2,
    idle_timeout_s=0.2,
    min_bytes_per_s=1000,
    min_rate_window_s=0.2,
)
"""Limits of seconds and minutes, scaled to tenths of a second; for what is to stall."""

PATIENT = TransportSettings(connect_timeout_s=30, idle_timeout_s=12, min_rate_window_s=12)
"""Limits that a busy machine does not meet. Engines may gather what the least throughput brings
in the idle time: 48 KiB."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the tests, and files that it wrote."""

    ca: trustme.CA
    ca_file: Path

    def server_context(self, *names: str, client_ca: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("127.0.0.1", "localhost"))).configure_cert(context)
        if client_ca is not None:
            client_ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True)
class Wire:
    """An engine and the version it is to speak."""

    engine: str
    version: str
    """One of `http1`, `h2c` and `h2` (over TLS)."""

    def settings(
        self, authority: Authority, base: TransportSettings = PATIENT
    ) -> TransportSettings:
        return replace(
            base,
            http2=self.version != "http1",
            h2c=self.version == "h2c",
            ca_file=authority.ca_file,
        )

    @asynccontextmanager
    async def origin(self, authority: Authority) -> AsyncIterator[Origin]:
        context = None
        if self.version == "h2":
            context = authority.server_context()
            context.set_alpn_protocols(["h2"])
        speaker = None if self.version == "http1" else H2Speaker
        async with open_origin(tls=context, h2=speaker) as origin:
            yield origin


ENGINES = ("pyreqwest", "httpx", "aiohttp")
HTTP1 = tuple(Wire(engine, "http1") for engine in ENGINES)
HTTP2 = tuple(Wire(engine, "h2c") for engine in ENGINES if engine != "aiohttp")
HTTP2_TLS = tuple(Wire(engine, "h2") for engine in ENGINES if engine != "aiohttp")


def wires(*found: tuple[Wire, ...]) -> Any:
    """Parametrise a test by wire."""
    cases = [
        pytest.param(wire, id=f"{wire.engine}-{wire.version}") for row in found for wire in row
    ]
    return pytest.mark.parametrize("wire", cases)


one_loop = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")]
)
"""For large tables: what the loop has to do with them is tested by the smaller ones."""


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    ca_file = tmp_path_factory.mktemp("authority") / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    return Authority(ca, ca_file)


@pytest.fixture
async def origin(wire: Wire, authority: Authority) -> AsyncIterator[Origin]:
    async with wire.origin(authority) as found:
        yield found


@pytest.fixture
async def transport(wire: Wire, authority: Authority) -> AsyncIterator[HttpTransport]:
    opened = open_transport(wire.engine, wire.settings(authority))
    yield opened
    await opened.aclose()


@pytest.fixture
async def quick_transport(wire: Wire, authority: Authority) -> AsyncIterator[HttpTransport]:
    opened = open_transport(wire.engine, wire.settings(authority, QUICK))
    yield opened
    await opened.aclose()


class Quick:
    """Base of test classes whose transport has little patience."""

    @pytest.fixture
    def transport(self, quick_transport: HttpTransport) -> HttpTransport:
        return quick_transport
