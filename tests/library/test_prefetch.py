"""A prefetch holds no more than its budget and one item, and never comes to a stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from anyio import wait_all_tasks_blocked

from asyncdicom.library.prefetch import Prefetch

if TYPE_CHECKING:
    from collections.abc import Coroutine

pytestmark = pytest.mark.anyio


async def is_blocked(waiting: Coroutine[Any, Any, object]) -> bool:
    """Tell whether something waits; it is dropped afterwards."""
    task = asyncio.create_task(waiting)
    await wait_all_tasks_blocked()
    blocked = not task.done()
    task.cancel()
    await asyncio.wait([task])
    return blocked


def full(budget_bytes: int = 10) -> Prefetch[str]:
    prefetch: Prefetch[str] = Prefetch(budget_bytes)
    prefetch.hold(budget_bytes)
    return prefetch


async def test_items_are_taken_in_the_order_they_were_put() -> None:
    prefetch: Prefetch[str] = Prefetch(10)
    prefetch.put("a", 0)
    prefetch.put("b", 0)
    prefetch.end()
    assert [await prefetch.take() for _ in range(3)] == ["a", "b", None]


async def test_nothing_is_received_beyond_the_budget() -> None:
    prefetch = full()
    prefetch.put("a", 10)
    assert await is_blocked(prefetch.until_room("worker"))


async def test_what_the_consumer_has_is_held_until_it_comes_back() -> None:
    prefetch = full()
    prefetch.put("a", 10)
    await prefetch.take()
    assert prefetch.held_bytes == 10
    assert await is_blocked(prefetch.until_room("worker"))
    prefetch.end()
    await prefetch.take()
    assert prefetch.held_bytes == 0
    assert not await is_blocked(prefetch.until_room("worker"))


async def test_one_worker_alone_may_go_beyond_while_the_consumer_waits_for_nothing() -> None:
    prefetch = full()
    consumer = asyncio.create_task(prefetch.take())
    await wait_all_tasks_blocked()
    assert not await is_blocked(prefetch.until_room("first"))
    assert await is_blocked(prefetch.until_room("second"))
    assert not await is_blocked(prefetch.until_room("first"))
    prefetch.leave("first")
    assert not await is_blocked(prefetch.until_room("second"))
    prefetch.end()
    await consumer


async def test_nobody_goes_beyond_while_an_item_waits_for_the_consumer() -> None:
    prefetch = full()
    consumer = asyncio.create_task(prefetch.take())
    await wait_all_tasks_blocked()
    prefetch.put("a", 10)
    await consumer
    assert await is_blocked(prefetch.until_room("worker"))


async def test_all_who_wait_go_on_when_there_is_room() -> None:
    prefetch = full()
    waiting = [asyncio.create_task(prefetch.until_room(name)) for name in "abc"]
    await wait_all_tasks_blocked()
    prefetch.release(1)
    await asyncio.gather(*waiting)


async def test_the_peak_is_remembered() -> None:
    prefetch = full()
    prefetch.release(10)
    assert (prefetch.held_bytes, prefetch.held_bytes_peak) == (0, 10)
