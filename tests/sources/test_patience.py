"""A pause that a server asked for."""

from __future__ import annotations

import asyncio

import pytest

from asyncdicom.sources.patience import Patience

pytestmark = pytest.mark.anyio


async def test_a_pause_is_only_made_longer() -> None:
    patience = Patience()
    patience.extend(50.0)
    resume_at_s = patience.resume_at_s
    patience.extend(1.0)
    assert patience.resume_at_s == resume_at_s
    assert resume_at_s > asyncio.get_running_loop().time() + 40


@pytest.mark.parametrize("pause_s", [0.0, -5.0])
async def test_no_pause_is_none(pause_s: float) -> None:
    patience = Patience()
    patience.extend(pause_s)
    assert patience.resume_at_s == 0.0
    await patience.until_over()


async def test_what_is_added_meanwhile_is_waited_for() -> None:
    patience = Patience()
    patience.extend(0.02)
    waiting = asyncio.create_task(patience.until_over())
    await asyncio.sleep(0)
    patience.extend(0.1)
    await waiting
    assert asyncio.get_running_loop().time() >= patience.resume_at_s
