"""Cancelled at any await, the engine leaves no task and no socket behind, and aborts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT
from asyncdicom.transports.associations.native import NativeTransport
from tests.support.scripted_peer import open_peer
from tests.transports.associations.support import (
    CT,
    EVERYTHING,
    Archive,
    KeptSink,
    KeptStorage,
    associated,
    instance,
    serving,
    settings_for,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncdicom.ports.dimse import StoreRequest
    from asyncdicom.transports.associations.association import NativeAssociation
    from tests.support.scripted_peer import ScriptedPeer

pytestmark = pytest.mark.anyio


def open_sockets() -> int:
    """Count the sockets of this process."""
    count = 0
    for one in Path("/proc/self/fd").iterdir():
        try:
            count += str(one.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return count


async def find(association: NativeAssociation) -> None:
    context = association.context_for(STUDY_ROOT.find)
    async for _ in association.find(context, b"ask"):
        await asyncio.sleep(0)


async def get(association: NativeAssociation) -> None:
    context = association.context_for(STUDY_ROOT.get)
    async for _ in association.get(context, b"ask", KeptStorage()):
        await asyncio.sleep(0)


async def move(association: NativeAssociation) -> None:
    context = association.context_for(STUDY_ROOT.move)
    async for _ in association.move(context, b"ask", "THERE"):
        await asyncio.sleep(0)


async def echo(association: NativeAssociation) -> None:
    await association.echo()


async def store(association: NativeAssociation) -> None:
    await association.store(association.context_for(CT), "1.2", bytes(300_000))


async def whole_run(
    transport: NativeTransport, operate: Callable[[NativeAssociation], Awaitable[None]]
) -> None:
    async with transport.associate(EVERYTHING) as association:
        await operate(association)


async def step(task: asyncio.Task[None], steps: int) -> None:
    """Let the loop run some turns, or until the task is done."""
    for _ in range(steps):
        if task.done():
            return
        await asyncio.sleep(0)


@pytest.mark.parametrize("operate", [echo, find, get, move, store])
async def test_cancelling_at_any_turn_leaves_nothing(
    operate: Callable[[NativeAssociation], Awaitable[None]],
) -> None:
    archive = Archive(instances=[instance(number, 50_000) for number in range(3)])
    async with serving(archive) as server:
        sockets, tasks = open_sockets(), len(asyncio.all_tasks())
        completed = False
        for steps in (*range(40), *range(40, 400, 9), 100_000):
            transport = NativeTransport(settings_for(server.port))
            task = asyncio.create_task(whole_run(transport, operate))
            await step(task, steps)
            task.cancel()
            try:
                await task
                completed = True
            except asyncio.CancelledError:
                pass
            assert transport.statistics().in_flight == 0
            await until(lambda: server.statistics().connections == 0)
            await until(lambda: len(asyncio.all_tasks()) == tasks)
        assert completed, "the last run is cancelled when it is over"
        await until(lambda: open_sockets() == sockets)


async def silent(peer: ScriptedPeer) -> None:
    await peer.silence()


async def silent_after_associating(peer: ScriptedPeer) -> None:
    await peer.associate()
    await peer.silence()


async def deaf_after_associating(peer: ScriptedPeer) -> None:
    await peer.associate()
    await asyncio.Event().wait()


async def store_much(association: NativeAssociation) -> None:
    await association.store(association.context_for(CT), "1.2", bytes(64 * 1024 * 1024))


@pytest.mark.parametrize(
    ("script", "operate"),
    [
        pytest.param(silent, echo, id="while associating"),
        pytest.param(silent_after_associating, find, id="while an answer is due"),
        pytest.param(silent_after_associating, lambda _: asyncio.sleep(0), id="while releasing"),
        pytest.param(deaf_after_associating, store_much, id="while the peer takes nothing"),
    ],
)
async def test_cancelling_a_wait_ends_it_soon(
    script: Callable[[ScriptedPeer], Awaitable[None]],
    operate: Callable[[NativeAssociation], Awaitable[None]],
) -> None:
    async with open_peer(script) as port:
        transport = NativeTransport(settings_for(port))
        task = asyncio.create_task(whole_run(transport, operate))
        await asyncio.sleep(0.1)
        assert not task.done()
        task.cancel()
        async with asyncio.timeout(15):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert transport.statistics().in_flight == 0


class StuckSink(KeptSink):
    async def end(self) -> int:
        await asyncio.Event().wait()
        return 0


class StuckStorage(KeptStorage):
    def begin(self, request: StoreRequest, /) -> KeptSink:
        self.sinks.append(StuckSink(request))
        return self.sinks[-1]


async def test_cancelling_while_a_sink_ends_discards_it_and_answers_nothing() -> None:
    archive, storage = Archive(instances=[instance(1)]), StuckStorage()

    async def run(port: int) -> None:
        async with associated(port) as association:
            context = association.context_for(STUDY_ROOT.get)
            async for _ in association.get(context, b"ask", storage):
                pass

    async with serving(archive) as server:
        task = asyncio.create_task(run(server.port))
        await until(lambda: storage.sinks and storage.sinks[0].data)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: archive.endings)
    assert storage.sinks[0].is_discarded
    assert archive.statuses == []


async def test_cancelling_a_server_while_a_sink_ends_discards_it() -> None:
    archive = Archive(storage_handler=StuckStorage())
    async with serving(archive) as server, associated(server.port) as association:
        context = association.context_for(CT)
        task = asyncio.create_task(association.store(context, "1.2", b"data"))
        await until(lambda: archive.storage_handler.sinks)
        await asyncio.sleep(0.01)
        await server.__aexit__(None, None, None)
        with pytest.raises(Exception, match=r"abort|connection"):
            await task
    assert archive.storage_handler.sinks[0].is_discarded
