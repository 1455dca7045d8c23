"""How associations end when the receiver is to end: soon, and with every object that was begun."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from asyncdicom.protocol.upper_layer.pdu import Abort
from asyncdicom.receiver import draining
from asyncdicom.receiver.events import AssociationEnded, ConnectionFailed, ReceiverEnded
from tests.receiver.support import sending, serving, until
from tests.support.dicom import ct
from tests.support.processes import accepts_connections
from tests.support.scripted_peer import dial

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

BOTH_ENGINES = pytest.mark.parametrize("engine", ["native", "pynetdicom"])
LARGE = ct(number=1, rows=128, columns=128)


@pytest.fixture(autouse=True)
def no_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "QUIET_S", 0.1)


@BOTH_ENGINES
async def test_who_has_nothing_under_way_is_aborted_soon(tmp_path: Path, engine: str) -> None:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(tmp_path, engine=engine))
        idle = await stack.enter_async_context(sending(served.port))
        used = await stack.enter_async_context(sending(served.port))
        await stack.enter_async_context(dial(served.port))
        assert await used.store(ct(number=1)) == 0
        served.receiver.stop("terminated", grace_s=60)
        ended, *aborts = await asyncio.gather(
            served.receiver.serve(), idle.peer.pdu(), used.peer.pdu()
        )
        assert ended is None
        # PS3.8 Table 9-26: source 0 is the service user.
        assert [type(one) for one in aborts] == [Abort, Abort]
        assert {one.source for one in aborts if isinstance(one, Abort)} == {0}
    failures = [one.failure for one in served.told.of(AssociationEnded)]
    assert failures == ["the receiver ended before it"] * 2


@BOTH_ENGINES
async def test_what_was_begun_may_end_and_nothing_else_begins(tmp_path: Path, engine: str) -> None:
    async with (
        serving(tmp_path, engine=engine) as served,
        sending(served.port) as slow,
        sending(served.port) as quick,
    ):
        *head, last = slow.pdus(LARGE)
        await slow.peer.send(*head)
        await until(lambda: served.receiver.statistics().in_flight == 1)
        assert await quick.store(ct(number=2)) == 0
        served.receiver.stop("terminated", grace_s=60)
        ending = asyncio.create_task(served.receiver.serve())
        await until(lambda: not accepts_connections(served.port))
        await quick.send(ct(number=3))
        await quick.peer.aborted()
        await asyncio.sleep(3 * draining.QUIET_S)
        assert not ending.done()
        await slow.peer.send(last)
        assert await slow.answer() == 0
        await slow.release()
        await ending
        assert len(served.files()) == 2
    (sentence,) = served.told.of(ReceiverEnded)
    assert (sentence.stored, sentence.refused, sentence.aborted) == (2, 0, 1)
    failures = [one.failure for one in served.told.of(AssociationEnded)]
    assert failures == ["the receiver ends, and takes no further object", None]


async def test_a_slow_handshake_is_not_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, dial(served.port) as silent:
        await until(lambda: served.receiver.statistics().connections == 1)
        served.receiver.stop("terminated", grace_s=60)
        await served.receiver.serve()
        await silent.silence()
    assert not served.told.of(ConnectionFailed)
