"""The queue is lazy, depth first, and knows when nothing more can come."""

from __future__ import annotations

import asyncio

import pytest

from asyncdicom.engine.work import WorkQueue

pytestmark = pytest.mark.anyio


def drained(queue: WorkQueue[str]) -> list[tuple[str, int]]:
    """Take everything, one task at a time, each finished before the next."""
    found = []
    while (taken := queue.take_nowait()) is not None:
        found.append(taken)
        queue.done()
    return found


async def test_tasks_come_in_their_order() -> None:
    assert drained(WorkQueue(["a", "b"])) == [("a", 0), ("b", 0)]


async def test_what_was_added_comes_first() -> None:
    queue = WorkQueue(["a", "b"])
    assert queue.take_nowait() == ("a", 0)
    queue.add(["a1", "a2"])
    queue.add(["a11"])
    queue.done()
    assert [task for task, _ in drained(queue)] == ["a11", "a1", "a2", "b"]


async def test_deferred_tasks_come_when_all_others_are_settled() -> None:
    queue = WorkQueue(["a", "b"])
    assert queue.take_nowait() == ("a", 0)
    queue.defer("a", 3)
    queue.done()
    assert queue.take_nowait() == ("b", 0)
    assert queue.take_nowait() is None, "b may bring more"
    queue.add(["b1"])
    queue.done()
    assert drained(queue) == [("b1", 0), ("a", 3)]


async def test_deferred_tasks_are_shared_once_they_have_begun() -> None:
    queue: WorkQueue[str] = WorkQueue([])
    queue.defer("a", 3)
    queue.defer("b", 2)
    assert queue.take_nowait() == ("a", 3)
    assert queue.take_nowait() == ("b", 2)


async def test_who_waits_gets_what_another_one_brings() -> None:
    queue = WorkQueue(["a"])
    assert await queue.take() == ("a", 0)
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add(["a1"])
    assert await waiting == ("a1", 0)


async def test_who_waits_is_told_when_nothing_more_can_come() -> None:
    queue = WorkQueue(["a"])
    await queue.take()
    waiting = [asyncio.create_task(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.done()
    assert await asyncio.gather(*waiting) == [None, None, None]


async def test_a_closed_queue_gives_out_nothing_more() -> None:
    queue = WorkQueue(["a", "b"])
    await queue.take()
    queue.defer("a", 1)
    waiting = asyncio.create_task(queue.take())
    queue.close()
    assert await waiting is None
    assert queue.take_nowait() is None


async def test_what_was_never_begun_can_be_named_once() -> None:
    queue = WorkQueue(["a", "b", "c"])
    await queue.take()
    queue.add(["a1"])
    queue.defer("z", 2)
    queue.close()
    assert list(queue.drain()) == ["a1", "b", "c", "z"]
    assert list(queue.drain()) == []
