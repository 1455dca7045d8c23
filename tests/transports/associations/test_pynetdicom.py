"""What is the pynetdicom engine's own: threads that end, silence, and bounds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import ConnectionLost
from asyncdicom.protocol.dimse.messages import CFindResponse, CGetResponse, CStoreRequest
from asyncdicom.protocol.dimse.sop_classes import STUDY_ROOT
from asyncdicom.transports.associations import pynetdicom as engine
from asyncdicom.transports.associations.pynetdicom import PynetdicomTransport
from tests.support.scripted_peer import ScriptedPeer, message_pdus, open_peer
from tests.transports.associations.support import (
    CT,
    EVERYTHING,
    KeptSink,
    KeptStorage,
    settings_for,
    until,
)

if TYPE_CHECKING:
    from asyncdicom.model import Buffer
    from asyncdicom.ports.dimse import StoreRequest
    from tests.transports.associations.conftest import Archive

pytestmark = pytest.mark.anyio

FIND, GET, STORE = 3, 5, 9
"""Context IDs of the proposal."""


async def test_who_asks_for_more_associations_than_there_are_threads_waits(
    pynetdicom_archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MAX_ASSOCIATIONS", 2)
    transport = PynetdicomTransport(settings_for(pynetdicom_archive.port))

    async def echo() -> None:
        async with transport.associate(EVERYTHING) as association:
            await association.echo()

    await asyncio.gather(*(echo() for _ in range(6)))
    statistics = transport.statistics()
    assert (statistics.associations, statistics.in_flight_peak) == (6, 2)
    await transport.aclose()


async def test_data_sets_come_in_slices_and_sinks_run_in_the_loop() -> None:
    dataset = bytes(range(256)) * 10_000
    threads: set[int] = set()
    sizes: list[int] = []

    class Watching(KeptStorage):
        def begin(self, request: StoreRequest, /) -> KeptSink:
            sink = super().begin(request)
            write = sink.write

            def watched(*fragments: Buffer) -> None:
                threads.add(threading.get_ident())
                sizes.extend(map(len, fragments))
                write(*fragments)

            sink.write = watched  # type: ignore[method-assign]  # -- a sink of our own
            return sink

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await peer.send(*message_pdus(STORE, CStoreRequest(1, CT, "1.2"), dataset))
        await peer.message()
        await peer.send(*message_pdus(GET, CGetResponse(1, 0)))
        await peer.release()

    storage = Watching()
    async with open_peer(script) as port:
        transport = PynetdicomTransport(settings_for(port))
        async with transport.associate(EVERYTHING) as association:
            context = association.context_for(STUDY_ROOT.get)
            assert [one.status async for one in association.get(context, b"ask", storage)] == [0]
        await transport.aclose()
    assert storage.whole == {"1.2": dataset}
    assert threads == {threading.get_ident()}
    assert max(sizes) <= 1024 * 1024
    assert len(sizes) == 3


async def test_pynetdicom_says_nothing_unless_it_is_asked_to(
    pynetdicom_archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    transport = PynetdicomTransport(settings_for(pynetdicom_archive.port))
    async with transport.associate(EVERYTHING) as association:
        await association.echo()
    await transport.aclose()
    assert [one for one in caplog.records if one.name.startswith("pynetdicom")] == []


async def test_an_error_leaves_no_thread_behind() -> None:
    """Those of pynetdicom are told to end, whatever they wait for."""

    async def script(peer: ScriptedPeer) -> None:
        await peer.associate()
        await peer.message()
        await peer.send(*message_pdus(FIND, CFindResponse(1, 0xFF00, has_data_set=True), b"x"))
        await peer.send(b"\4\0\0\0\1\0half")
        await peer.silence()

    before = set(threading.enumerate())
    async with open_peer(script) as port:
        transport = PynetdicomTransport(settings_for(port))

        async def find() -> None:
            async with transport.associate(EVERYTHING) as association:
                answers = association.find(association.context_for(STUDY_ROOT.find), b"ask")
                await anext(answers)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await find()
        await transport.aclose()
    ours = {one for one in threading.enumerate() if not one.name.startswith("asyncio_")} - before
    await until(lambda: not any(thread.is_alive() for thread in ours))


async def test_no_descriptor_is_left_open(pynetdicom_archive: Archive) -> None:
    async def refuses(peer: ScriptedPeer) -> None:
        await peer.pdu()
        peer.reset()

    async def echo(port: int) -> None:
        transport = PynetdicomTransport(settings_for(port))
        try:
            async with transport.associate(EVERYTHING) as association:
                await association.echo()
        finally:
            await transport.aclose()

    await echo(pynetdicom_archive.port)
    before = descriptors()
    async with open_peer(refuses) as port:
        for _ in range(5):
            with pytest.raises(ConnectionLost):
                await echo(port)
            await echo(pynetdicom_archive.port)
    await until(lambda: descriptors() <= before)


def descriptors() -> int:
    """Count sockets and pipes; the loop may open files of its own."""
    count = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            count += str(one.readlink()).startswith(("socket:", "pipe:"))
    return count


async def test_an_association_that_waits_costs_next_to_nothing(
    pynetdicom_archive: Archive,
) -> None:
    transport = PynetdicomTransport(settings_for(pynetdicom_archive.port))
    async with transport.associate(EVERYTHING) as association:
        await association.echo()
        before_s = time.process_time()
        await asyncio.sleep(0.5)
        used_s = time.process_time() - before_s
        await association.echo()
    await transport.aclose()
    assert used_s < 0.2


LEAVES_IT_OPEN = """
import asyncio, sys
from asyncdicom.transports.associations.pynetdicom import PynetdicomTransport
from asyncdicom.transports.associations.settings import DimseSettings
from tests.transports.associations.support import EVERYTHING

settings = DimseSettings(host="127.0.0.1", port=int(sys.argv[1]), called_ae="ARCHIVE")
loop = asyncio.new_event_loop()

async def main():
    manager = PynetdicomTransport(settings).associate(EVERYTHING)
    association = await manager.__aenter__()
    await association.echo()
    return manager

left_open = loop.run_until_complete(main())
"""


def test_a_program_ends_though_it_left_an_association_open(pynetdicom_archive: Archive) -> None:
    words: list[Any] = [sys.executable, "-W", "ignore", "-c", LEAVES_IT_OPEN]
    subprocess.run([*words, str(pynetdicom_archive.port)], check=True, timeout=15)
