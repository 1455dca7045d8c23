"""Which client takes the next request, and when one is given up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import Stalled
from asyncdicom.ports.http import HttpRequest
from asyncdicom.transports.engines import open_transport
from asyncdicom.transports.lanes import Lanes
from tests.support.origin import Answer, Gate, Wait
from tests.support.origin_h2 import Data, Head
from tests.transports.conftest import HTTP2, Authority, Wire, wires
from tests.transports.contract import fetch

if TYPE_CHECKING:
    from asyncdicom.ports.http import HttpTransport
    from tests.support.origin import Origin

pytestmark = pytest.mark.anyio


class Clients:
    """Numbered clients, and which of them were closed."""

    def __init__(self) -> None:
        self.count = 0
        self.closed: list[str] = []

    def open(self, proxy: str | None) -> str:
        self.count += 1
        return f"{proxy or 'direct'} {self.count}"

    async def close(self, client: str) -> None:
        self.closed.append(client)


def lanes_of(count: int) -> tuple[Lanes[str], Clients]:
    clients = Clients()
    return Lanes(count, clients.open, clients.close), clients


def test_the_least_loaded_lane_is_taken() -> None:
    lanes, _clients = lanes_of(3)
    taken = [lanes.take(None) for _ in range(6)]
    assert [lane.client for lane in taken] == [f"direct {n}" for n in (1, 2, 3, 1, 2, 3)]
    lanes.give_back(taken[1])
    lanes.give_back(taken[4])
    assert lanes.take(None).client == "direct 2"


def test_no_lane_is_opened_while_one_is_free() -> None:
    lanes, clients = lanes_of(3)
    for _ in range(5):
        lanes.give_back(lanes.take(None))
    assert clients.count == 1


def test_each_proxy_has_lanes_of_its_own() -> None:
    lanes, _clients = lanes_of(1)
    assert [lanes.take(proxy).client for proxy in (None, "p", None, "p")] == [
        "direct 1",
        "p 2",
        "direct 1",
        "p 2",
    ]


async def test_a_retired_lane_is_closed_with_its_last_request() -> None:
    lanes, clients = lanes_of(1)
    first, second = lanes.take(None), lanes.take(None)
    lanes.retire(first)
    lanes.retire(first)
    assert lanes.take(None).client == "direct 2"
    lanes.give_back(first)
    await asyncio.sleep(0)
    assert clients.closed == []
    lanes.give_back(second)
    await asyncio.sleep(0)
    assert clients.closed == ["direct 1"]


async def test_closing_closes_each_client_once() -> None:
    lanes, clients = lanes_of(2)
    one, _other = lanes.take(None), lanes.take(None)
    lanes.retire(one)
    await lanes.aclose()
    lanes.give_back(one)
    await lanes.aclose()
    assert sorted(clients.closed) == ["direct 1", "direct 2"]


async def test_a_retired_lane_without_requests_is_closed_at_once() -> None:
    lanes, clients = lanes_of(1)
    lane = lanes.take(None)
    lanes.give_back(lane)
    lanes.retire(lane)
    await asyncio.sleep(0)
    assert clients.closed == ["direct 1"]


@wires(HTTP2)
async def test_as_many_connections_as_asked_for(
    wire: Wire, authority: Authority, origin: Origin
) -> None:
    gate = asyncio.Event()
    url = origin.serve("/a", Gate(gate), Answer())
    transport = open_transport(wire.engine, replace(wire.settings(authority), connections=3))
    tasks = [asyncio.create_task(fetch(transport, url)) for _ in range(9)]
    await origin.until(lambda: len(origin.requests) == 9)
    assert origin.connections == 3
    gate.set()
    await asyncio.gather(*tasks)
    await transport.aclose()


@wires(HTTP2)
async def test_after_a_stall_the_next_request_gets_a_fresh_connection(
    quick_transport: HttpTransport, origin: Origin
) -> None:
    transport = quick_transport
    with pytest.raises(Stalled):
        await fetch(transport, origin.serve("/a", Head(), Data(b"x" * 2000), Wait()))
    await fetch(transport, origin.serve("/b", Answer()))
    assert origin.connections == 2


@wires(HTTP2)
async def test_streams_left_early_do_not_use_up_the_connection_window(
    transport: HttpTransport, origin: Origin
) -> None:
    url = origin.serve("/a", Head(), Data(b"x" * 60_000), Wait())
    for _ in range(20):
        async with transport.request(HttpRequest(url)) as response:
            await response.read()
    await fetch(transport, origin.serve("/b", Answer(200, (), b"b" * 60_000)))
    await origin.until(lambda: origin.departures == 20)
