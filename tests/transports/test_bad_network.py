"""On any network an engine returns the whole body or an error of ours, never anything else."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import FetchError
from asyncdicom.transports.engines import open_transport
from tests.support.faultproxy import FaultProxy, Toxics, open_fault_proxy
from tests.support.origin import Answer
from tests.transports.conftest import HTTP1, HTTP2_TLS, Authority, Wire, one_loop, wires
from tests.transports.contract import fetch

if TYPE_CHECKING:
    from asyncdicom.ports.http import HttpTransport

pytestmark = pytest.mark.anyio

BODY = bytes(range(256)) * 60
REQUESTS = 12

NETWORKS = [
    pytest.param(Toxics(slice_bytes=3000, latency_s=0.0005), True, id="crumbs"),
    pytest.param(Toxics(bytes_per_s=2_000_000, close_delay_s=0.05), True, id="slow"),
    pytest.param(Toxics(reset_share=0.5, slice_bytes=2000), False, id="resets"),
    pytest.param(Toxics(limit_share=0.5, slice_bytes=2000), False, id="early ends"),
    pytest.param(Toxics(silence_share=0.3), False, id="silences"),
    pytest.param(
        Toxics(reset_share=0.2, limit_share=0.2, silence_share=0.1, slice_bytes=900),
        False,
        id="everything",
    ),
]


async def try_all(transport: HttpTransport, url: str) -> list[object]:
    found: list[object] = []
    for _ in range(REQUESTS // 4):
        four = (fetch(transport, url) for _ in range(4))
        found += await asyncio.gather(*four, return_exceptions=True)
    return found


@one_loop
@wires(HTTP1, HTTP2_TLS)
@pytest.mark.parametrize(("toxics", "is_harmless"), NETWORKS)
@pytest.mark.parametrize("seed", [1])
async def test_a_body_is_whole_or_an_error(
    wire: Wire, authority: Authority, toxics: Toxics, seed: int, *, is_harmless: bool
) -> None:
    async with (
        wire.origin(authority) as origin,
        open_fault_proxy(origin.port, toxics, seed=seed) as proxy,
    ):
        # On a good network a busy machine must not look like a stall.
        settings = replace(
            wire.settings(authority),
            idle_timeout_s=10 if is_harmless else 0.3,
            min_bytes_per_s=100,
            min_rate_window_s=10,
        )
        transport = open_transport(wire.engine, settings)
        path = origin.serve("/a", Answer(200, (), BODY))
        found = await try_all(transport, path.replace(str(origin.port), str(proxy.port)))
        await transport.aclose()
    assert len(found) == REQUESTS
    for one in found:
        assert isinstance(one, FetchError) or getattr(one, "body", None) == BODY
    if is_harmless:
        assert not any(isinstance(one, FetchError) for one in found)
    assert transport.statistics().in_flight == 0


def test_the_same_seed_is_the_same_network() -> None:
    toxics = Toxics(reset_share=0.3, limit_share=0.3)
    one, other = (FaultProxy(toxics, random.Random(7)) for _ in range(2))
    assert [one.draw() for _ in range(50)] == [other.draw() for _ in range(50)]
    assert {fate.kind for fate in one.fates} == {"reset", "limit", "none"}
