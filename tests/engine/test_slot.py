"""A pause holds for the whole source, and is only ever made longer."""

from __future__ import annotations

import asyncio

import pytest

from asyncdicom.engine.slot import Slot

pytestmark = pytest.mark.anyio

RESOLUTION_S = 0.002
"""uvloop's clock counts milliseconds, and stands still within one turn of the loop."""


async def test_a_slot_is_open_at_first() -> None:
    slot = Slot()
    assert slot.is_open
    await slot.until_open()


async def test_tasks_are_counted() -> None:
    slot = Slot()
    slot.enter_nowait()
    slot.enter_nowait()
    slot.leave_nowait()
    statistics = slot.statistics()
    assert (statistics.in_flight, statistics.in_flight_peak) == (1, 2)


async def test_everybody_waits_for_the_end_of_a_pause() -> None:
    slot, loop = Slot(), asyncio.get_running_loop()
    begun_s = loop.time()
    slot.pause(0.05)
    was_open = slot.is_open
    await asyncio.gather(*(slot.until_open() for _ in range(3)))
    assert loop.time() - begun_s >= 0.05 - RESOLUTION_S
    assert (was_open, slot.is_open) == (False, True)
    assert slot.statistics().paused_s == 0.05


async def test_a_pause_is_never_made_shorter() -> None:
    slot, loop = Slot(), asyncio.get_running_loop()
    begun_s = loop.time()
    slot.pause(0.06)
    slot.pause(0.01)
    await slot.until_open()
    assert loop.time() - begun_s >= 0.06 - RESOLUTION_S
    assert slot.statistics().pauses == 1


async def test_a_pause_that_grows_while_one_waits_is_kept() -> None:
    slot, loop = Slot(), asyncio.get_running_loop()
    begun_s = loop.time()
    slot.pause(0.03)
    waiting = asyncio.create_task(slot.until_open())
    await asyncio.sleep(0)
    slot.pause(0.08)
    await waiting
    assert loop.time() - begun_s >= 0.08 - RESOLUTION_S
    assert slot.statistics().pauses == 2


async def test_tasks_are_begun_at_the_pace_that_is_set() -> None:
    slot, loop = Slot(tasks_per_s=100), asyncio.get_running_loop()
    assert not slot.is_open
    begun_s = loop.time()
    # A quarter of a second may be had at once: 25 of 45 tasks.
    for _ in range(45):
        await slot.until_open()
    assert 0.15 <= loop.time() - begun_s < 15


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_pause_does_not_heap_up_the_turns_behind_it(*, is_late: bool) -> None:
    slot, loop = Slot(tasks_per_s=50), asyncio.get_running_loop()
    begun_s: list[float] = []

    async def begin() -> None:
        await slot.until_open()
        begun_s.append(loop.time())

    if not is_late:
        slot.pause(0.5)
    tasks = [asyncio.create_task(begin()) for _ in range(40)]
    await asyncio.sleep(0)
    if is_late:
        slot.pause(0.5)
    await asyncio.gather(*tasks)
    behind_s = begun_s[-25:]
    # A quarter of a second may be had at once: 12 of 25 tasks.
    assert behind_s[-1] - behind_s[0] >= 0.2
