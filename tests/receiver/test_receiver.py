"""The receiver as a whole: what is stored, what is told, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.upper_layer.pdu import AssociateReject
from asyncdicom.receiver.events import (
    AssociationBegan,
    AssociationEnded,
    HookFailed,
    InstanceStored,
    Listening,
    ReceiverEnded,
    StudyCompleted,
)
from asyncdicom.receiver.receiver import Receiver
from asyncdicom.receiver.settings import HookSettings, ReceiverSettings
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.transports.associations.acceptor import ServerSettings
from tests.receiver.support import (
    STORING,
    Told,
    data_set_of,
    rules,
    sending,
    serving,
    sha256,
    until,
)
from tests.support.dicom import ct, data_set_offset, mr, uid
from tests.support.scripted_peer import dial

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.receiver.events import ReceiverEvent
    from asyncdicom.storage.templates import Instance

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("durability", list(Durability))
async def test_what_is_stored_is_in_place_when_it_is_answered(
    tmp_path: Path, durability: Durability
) -> None:
    file = ct(number=7)
    async with serving(tmp_path, durability=durability) as served:
        async with sending(served.port, calling_ae="CT01") as sender:
            assert await sender.store(file) == 0
            (path, content) = next(iter(served.files().items()))
            assert path == f"{uid('instance', 7)}.dcm"
            assert data_set_of(content) == data_set_of(file)
            await sender.release()
        (ended,) = await served.told.until(AssociationEnded)
    (stored,) = served.told.of(InstanceStored)
    assert stored.path == path
    assert stored.sha256 == sha256(content)
    assert stored.byte_count == len(content)
    assert stored.study_instance_uid == uid("study", 1)
    assert stored.caller.calling_ae == "CT01"
    assert (ended.stored, ended.refused, ended.failure) == (1, 0, None)
    assert ended.byte_count == len(file) - data_set_offset(file)
    kinds = [type(event) for event in served.told.events]
    assert kinds[:2] == [Listening, AssociationBegan]
    assert kinds[-1] is ReceiverEnded


async def test_many_instances_come_over_many_associations(tmp_path: Path) -> None:
    async def send(first: int) -> None:
        async with sending(served.port) as sender:
            for number in range(first, first + 5):
                assert await sender.store(ct(number=number)) == 0
            assert await sender.echo() == 0
            await sender.release()

    async with serving(tmp_path, durability=Durability.BATCH) as served:
        await asyncio.gather(*(send(first) for first in range(1, 41, 5)))
        await served.told.until(AssociationEnded, 8)
        statistics = served.receiver.statistics()
        assert len(served.files()) == 40
    assert statistics.stored == 40
    assert statistics.echoes == 8
    assert statistics.accepted == 8
    assert statistics.associations == 0
    assert 1 < statistics.associations_peak <= 8
    assert statistics.in_flight == 0
    assert statistics.in_flight_peak >= 1


async def test_the_bytes_of_several_classes_are_kept_as_they_came(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, sending(served.port) as sender:
        files = [ct(number=1), mr(number=2)]
        assert [await sender.store(file) for file in files] == [0, 0]
        kept = {data_set_of(content) for content in served.files().values()}
        assert kept == set(map(data_set_of, files))


async def test_many_senders_are_served_alike(tmp_path: Path) -> None:
    file = ct(number=1)
    enough = asyncio.Event()
    counts = [0] * 20

    async def keep_storing(number: int) -> None:
        async with sending(served.port) as sender:
            while not enough.is_set():
                assert await sender.store(file) == 0
                counts[number] += 1
                if sum(counts) >= 400:
                    enough.set()

    storing = rules(naming=Numbered())
    async with serving(tmp_path, durability=Durability.BATCH, storing=storing) as served:
        await asyncio.gather(*map(keep_storing, range(len(counts))))
        assert len(served.files()) == sum(counts) == served.receiver.statistics().stored
    assert min(counts) >= max(counts) / 2


class Numbered:
    """Names everything in the order in which it comes."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def path_for(self, instance: Instance, /) -> str:
        return f"{next(self._numbers)}/{instance.sop_instance_uid}"


async def test_a_port_that_is_taken_is_the_users_matter(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        with pytest.raises(ConfigError, match="cannot listen"):
            async with serving(tmp_path, server={"port": served.port}):
                pytest.fail("the port is taken")


async def test_a_stopped_receiver_lets_associations_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        ended = asyncio.create_task(served.receiver.serve())
        async with sending(served.port) as sender:
            *head, last = sender.pdus(ct(number=1, rows=128, columns=128))
            await sender.peer.send(*head)
            await until(lambda: served.receiver.statistics().in_flight == 1)
            served.receiver.stop("terminated", grace_s=8)
            await sender.peer.send(last)
            assert await sender.answer() == 0
            with pytest.raises(ConnectionRefusedError):
                async with sending(served.port):
                    pytest.fail("nobody listens any more")
            assert not ended.done()
            await sender.release()
        await ended
    (sentence,) = served.told.of(ReceiverEnded)
    assert (sentence.stored, sentence.aborted) == (1, 0)
    assert str(sentence).endswith("stopped: terminated")


@pytest.mark.parametrize("hurries", [False, True], ids=["the grace is over", "stopped again"])
async def test_who_does_not_end_in_time_is_aborted(tmp_path: Path, hurries: bool) -> None:  # noqa: FBT001 -- parametrised
    async with serving(tmp_path) as served, sending(served.port) as sender:
        pdus = sender.pdus(ct(number=1, rows=128, columns=128))
        await sender.peer.send(*pdus[:-1])
        await until(lambda: served.receiver.statistics().in_flight == 1)
        served.receiver.stop("terminated", grace_s=60 if hurries else 0.01)
        if hurries:
            served.receiver.stop("terminated", grace_s=0)
        await asyncio.gather(served.receiver.serve(), sender.peer.aborted())
    (broken,) = served.told.of(AssociationEnded)
    assert broken.failure == "the receiver ended before it"
    assert served.files() == {}
    assert served.receiver.statistics().in_flight == 0


@pytest.mark.parametrize("hurries", [False, True], ids=["the grace is over", "stopped again"])
async def test_hooks_that_last_are_ended_like_all_else(tmp_path: Path, hurries: bool) -> None:  # noqa: FBT001 -- parametrised
    hooks = HookSettings(on_object="sleep 600", timeout_s=600)
    async with serving(tmp_path, hooks=hooks) as served:
        async with sending(served.port) as sender:
            assert await sender.store(ct(number=1)) == 0
            await until(lambda: served.receiver.statistics().hooks_running == 1)
            await sender.release()
        served.receiver.stop("terminated", grace_s=600 if hurries else 0.01)
        await served.receiver.serve()
        if hurries:
            # While the receiver is left, which waits for its hooks.
            loop = asyncio.get_running_loop()
            loop.call_later(0.05, lambda: served.receiver.stop("terminated", grace_s=0))
    (failed,) = served.told.of(HookFailed)
    assert failed.reason == "was killed: the receiver ended"


async def test_who_asks_while_the_receiver_ends_may_come_again_later(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, dial(served.port) as late:
        await until(lambda: served.receiver.statistics().connections == 1)
        draining = asyncio.create_task(served.receiver.drain(grace_s=8))
        await asyncio.sleep(0)
        assert await late.request(STORING) == AssociateReject(2, 3, 1)
        late.close()
        await draining


class Broken:
    """A naming with a bug."""

    def path_for(self, instance: Instance, /) -> str:
        raise KeyError(instance.sop_instance_uid)


async def test_a_bug_ends_its_association_alone(tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with serving(tmp_path, storing=rules(naming=Broken())) as served:
        async with sending(served.port) as good:
            async with sending(served.port) as bad:
                await bad.send(ct(number=1))
                await bad.peer.aborted()
            assert await good.echo() == 0
        (ended, *_) = await served.told.until(AssociationEnded)
        assert served.files() == {}
    assert ended.failure == "a bug: KeyError"
    assert isinstance(reported[0]["exception"], KeyError)


async def test_a_listener_that_fails_costs_nobody_anything(tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    told = Told()

    def fail(event: ReceiverEvent) -> None:
        assert not isinstance(event, AssociationBegan)

    settings = ReceiverSettings(
        server=ServerSettings(port=0),
        storing=rules(),
        hooks=HookSettings(on_object=f"touch {tmp_path}/hooked"),
    )
    with OutputFolder.open(tmp_path) as folder:
        async with Receiver(settings, folder, [fail, told]) as receiver:
            async with sending(receiver.port) as sender:
                assert await sender.store(ct(number=1)) == 0
                await sender.release()
            await told.until(AssociationEnded)
    assert len(told.of(InstanceStored)) == 1
    assert not told.of(AssociationBegan)
    assert [type(one["exception"]) for one in reported] == [AssertionError]
    assert (tmp_path / "hooked").exists()


@pytest.mark.parametrize("kind", [StudyCompleted, HookFailed])
async def test_an_observer_that_fails_at_the_end_costs_nobody_the_end(
    tmp_path: Path, kind: type[ReceiverEvent]
) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    told = Told()

    def fail(event: ReceiverEvent) -> None:
        assert not isinstance(event, kind)

    settings = ReceiverSettings(
        server=ServerSettings(port=0), storing=rules(), hooks=HookSettings(on_study="false")
    )
    with OutputFolder.open(tmp_path) as folder:
        async with (
            Receiver(settings, folder, [fail, told]) as receiver,
            sending(receiver.port) as sender,
        ):
            assert await sender.store(ct(number=1)) == 0
    assert [type(one["exception"]) for one in reported] == [AssertionError]
    assert len(told.of(ReceiverEnded)) == 1


@pytest.mark.parametrize("kind", [Listening, AssociationEnded, ReceiverEnded])
async def test_whenever_an_observer_fails_nothing_stays_open(
    tmp_path: Path, kind: type[ReceiverEvent]
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    def fail(event: ReceiverEvent) -> None:
        assert not isinstance(event, kind)

    async def receive_one(folder: OutputFolder) -> None:
        settings = ReceiverSettings(server=ServerSettings(port=0), storing=rules())
        receiver = Receiver(settings, folder, [fail])
        async with receiver, sending(receiver.port) as sender:
            assert await sender.store(ct(number=1)) == 0

    with OutputFolder.open(tmp_path, durability=Durability.BATCH) as folder:
        # What is told last has nobody else to be reported to.
        with pytest.raises(AssertionError) if kind is ReceiverEnded else nullcontext():
            await receive_one(folder)
        names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("commit", "sync"))]


async def test_counters_may_be_asked_for_by_who_is_told(tmp_path: Path) -> None:
    counted: list[int] = []

    def count(event: ReceiverEvent) -> None:
        if isinstance(event, InstanceStored):
            counted.append(receiver.statistics().stored)

    settings = ReceiverSettings(server=ServerSettings(port=0), storing=rules())
    with OutputFolder.open(tmp_path) as folder:
        async with (
            Receiver(settings, folder, [count]) as receiver,
            sending(receiver.port) as sender,
        ):
            for number in (1, 2):
                assert await sender.store(ct(number=number)) == 0
    assert counted == [1, 2]
