"""Bytes in memory are counted as long as they are held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.library.memory_store import MemoryStore
from asyncdicom.library.prefetch import Prefetch

if TYPE_CHECKING:
    from asyncdicom import Instance

pytestmark = pytest.mark.anyio


async def test_what_is_written_is_held_until_it_is_discarded() -> None:
    prefetch: Prefetch[Instance] = Prefetch(100)
    writer = MemoryStore(prefetch).begin()
    writer.write(b"DICM")
    writer.write(memoryview(b"pixels"))
    assert prefetch.held_bytes == 10
    writer.discard()
    writer.discard()
    assert prefetch.held_bytes == 0


async def test_what_is_taken_stays_held() -> None:
    prefetch: Prefetch[Instance] = Prefetch(100)
    writer = MemoryStore(prefetch).begin()
    writer.write(b"DICM")
    assert writer.take() == b"DICM"
    writer.discard()
    assert prefetch.held_bytes == 4
