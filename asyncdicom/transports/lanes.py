"""Clients of an engine, and which of them takes the next request.

A *lane* is one client of the engine's library. HTTP/2 puts all requests of a
client on one connection, so `--connections N` means N lanes, and the one with
the fewest requests under way is taken. Requests through different proxies
never share a lane.

A lane whose connection is in doubt is *retired*: it finishes what it carries,
new requests get a fresh one. Without that, every retry after a connection died
silently would be sent down the same dead connection.
"""

from __future__ import annotations

import asyncio
from dataclasses import field
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncdicom.policy.cancellations import Cancellations
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Lane", "Lanes"]

ClientT = TypeVar("ClientT")


@dataclass(slots=True, eq=False)
class Lane(Generic[ClientT]):
    """One client and its load."""

    client: ClientT
    proxy: str | None
    in_flight: int = 0
    is_http2: bool = False
    """Whether the last answer came over HTTP/2, so that requests share a connection."""
    cancellations: Cancellations = field(default_factory=Cancellations)
    is_retired: bool = False
    is_closed: bool = False


class Lanes(Generic[ClientT]):
    """The lanes of one transport.

    Args:
        count: Lanes per proxy, at least 1.
        open_client: Makes a client that goes through a proxy, or directly.
        close_client: Closes one.

    """

    def __init__(
        self,
        count: int,
        open_client: Callable[[str | None], ClientT],
        close_client: Callable[[ClientT], Awaitable[None]],
    ) -> None:
        self._count = count
        self._open_client = open_client
        self._close_client = close_client
        self._lanes: dict[str | None, list[Lane[ClientT]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def take(self, proxy: str | None) -> Lane[ClientT]:
        """Return the lane for the next request, and count it there."""
        lanes = self._lanes.setdefault(proxy, [])
        lane = lanes[0] if lanes and self._count == 1 else self._least_loaded(lanes, proxy)
        lane.in_flight += 1
        return lane

    def give_back(self, lane: Lane[ClientT]) -> None:
        """Note that a request has left its lane; a retired one is closed with its last."""
        lane.in_flight -= 1
        if lane.is_retired and lane.in_flight == 0:
            self._close_soon(lane)

    def retire(self, lane: Lane[ClientT]) -> None:
        """Give no more requests to a lane."""
        if not lane.is_retired:
            lane.is_retired = True
            self._lanes[lane.proxy].remove(lane)
            if lane.in_flight == 0:
                self._close_soon(lane)

    async def aclose(self) -> None:
        """Close all clients, those with requests under way too, and wait for it."""
        for lanes in self._lanes.values():
            for lane in lanes:
                lane.is_retired = True
                self._close_soon(lane)
        self._lanes.clear()
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _least_loaded(self, lanes: list[Lane[ClientT]], proxy: str | None) -> Lane[ClientT]:
        idlest = min(lanes, key=lambda lane: lane.in_flight, default=None)
        if idlest is None or (idlest.in_flight and len(lanes) < self._count):
            idlest = Lane(self._open_client(proxy), proxy)
            lanes.append(idlest)
        return idlest

    def _close_soon(self, lane: Lane[ClientT]) -> None:
        if lane.is_closed:
            return
        lane.is_closed = True
        # A task of its own, so that a cancelled worker cannot leave a client half closed.
        task = asyncio.ensure_future(self._closed(lane.client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _closed(self, client: ClientT) -> None:
        await self._close_client(client)
