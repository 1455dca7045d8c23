"""One at a time for each key."""

from __future__ import annotations

import asyncio

import pytest

from asyncdicom.receiver.turns import Turns

pytestmark = pytest.mark.anyio


async def test_one_key_is_had_by_one_at_a_time_in_the_order_of_asking() -> None:
    turns = Turns()
    seen: list[str] = []

    async def take(name: str) -> None:
        async with turns.of("a"):
            seen.append(f"{name} in")
            await asyncio.sleep(0)
            seen.append(f"{name} out")

    await asyncio.gather(take("1"), take("2"), take("3"))
    assert seen == ["1 in", "1 out", "2 in", "2 out", "3 in", "3 out"]
    assert len(turns) == 0


async def test_other_keys_do_not_wait() -> None:
    turns = Turns()
    async with turns.of("a"), turns.of("b"):
        assert len(turns) == 2


@pytest.mark.parametrize("is_holder", [True, False], ids=["who has it", "who waits"])
async def test_who_is_cancelled_holds_up_nobody(is_holder: bool) -> None:  # noqa: FBT001 -- parametrised
    turns = Turns()
    gate = asyncio.Event()

    async def hold() -> None:
        async with turns.of("a"):
            await gate.wait()

    tasks = [asyncio.create_task(hold()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0 if is_holder else 1].cancel()
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in results].count(True) == 1
    assert len(turns) == 0
