"""A get by C-MOVE to a receiver of our own, and a move elsewhere."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import NotFound, OperationFailed
from asyncdicom.jobs.dimse_archive import DimseArchive
from asyncdicom.jobs.dimse_move import MoveJob, MoveReceiver
from asyncdicom.jobs.get import GetOptions
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.ports.dimse import StoreRequest
from asyncdicom.protocol.dimse.sop_classes import ALL_TRANSFER_SYNTAXES, PATIENT_ROOT
from asyncdicom.transports.associations.acceptor import ServerSettings
from tests.jobs.dimse_support import STUDY, source_of, study_of
from tests.jobs.support import IMPATIENT, Run, files_in, open_store
from tests.support.scripted_dimse import Fault, ScriptedPeer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncdicom.jobs.dimse_move import Moved

pytestmark = pytest.mark.anyio

WHOLE = Target(Resource.STUDY, STUDY)


@asynccontextmanager
async def receiving(peer: ScriptedPeer) -> AsyncIterator[MoveReceiver]:
    """Open a receiver that the peer sends to, past the wires."""
    receiver = MoveReceiver("ME", ServerSettings(port=0), ALL_TRANSFER_SYNTAXES)
    peer.receiver = receiver
    try:
        yield receiver
    finally:
        await receiver.aclose()


async def moved_to_us(peer: ScriptedPeer, folder: Path, **options: Any) -> Run:
    run = Run()
    tally = Tally([run])
    source = source_of(peer)
    async with receiving(peer) as receiver, open_store(folder) as store:
        archive = DimseArchive(source, receiver)
        await archive.prepare()
        assert receiver.port
        job = archive.get_job(store, tally, GetOptions(**options))
        scheduler = Scheduler(job, IMPATIENT, observe=tally.tell)
        run.ended = await run_job(job, job.tasks([WHOLE]), scheduler=scheduler, tally=tally)
    assert receiver.port == 0
    await source.aclose()
    return run


async def test_what_is_moved_to_us_is_stored_and_proven(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3, 2))
    run = await moved_to_us(peer, tmp_path, concurrency=4)
    assert run.is_complete
    assert set(files_in(tmp_path)) == {f"{held.uid}.dcm" for held in peer.held}
    assert [what for what in peer.asked if "move" in what] == ["move SERIES"] * 2


async def test_an_archive_is_heard_of_by_what_it_moves_to_us(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3))
    await moved_to_us(peer, tmp_path, concurrency=1)
    assert peer.elsewhere is not None
    assert peer.elsewhere() == sum(len(held.data_set) for held in peer.held)


async def test_counters_of_a_move_that_lie_are_not_believed(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(10))
    peer.faults = [Fault(sends=7, lies=True)]
    run = await moved_to_us(peer, tmp_path, concurrency=1)
    assert run.is_complete
    moves = [what for what in peer.asked if "move" in what]
    assert moves[0] == "move STUDY"
    assert len(run.stored) == 10
    assert sum(len(statuses) for statuses in peer.statuses.values()) == 10


async def test_what_never_comes_is_named(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(10))
    peer.faults = [Fault(sends=7, lies=True), *[Fault(sends=0, lies=True)] * 20]
    run = await moved_to_us(peer, tmp_path, concurrency=1)
    assert [f.target.sop_instance_uid for f in run.failed] == [held.uid for held in peer.held[7:]]


async def test_nobody_stores_here_who_was_not_asked() -> None:
    async with receiving(ScriptedPeer()) as receiver:
        sink = receiver.begin(StoreRequest("1.2", "1.3", "1.2.840.10008.1.2", 1))
        sink.write(b"anything")
        assert await sink.end() == 0x0124
        sink.discard()


# Elsewhere


async def moved(peer: ScriptedPeer, *targets: Target, **options: Any) -> list[Moved]:
    told: list[Moved] = []
    source = source_of(peer, **options)
    job = MoveJob(source, "THERE", told.append)
    await Scheduler(job, IMPATIENT).run(targets or [WHOLE])
    await source.aclose()
    assert told == job.moved
    return told


async def test_what_the_archive_counts_is_reported() -> None:
    peer = ScriptedPeer(study_of(3))
    async with receiving(peer):
        peer.faults = [Fault(lies=True)]
        (one,) = await moved(peer)
    assert (one.completed, one.failed, one.error, one.is_complete) == (3, 0, None, True)
    assert one.to_json()["study"] == STUDY


async def test_a_model_that_begins_with_patients_is_told_whose_study_it_is() -> None:
    """PS3.4 §C.4.1.2.1: an identifier names the unique keys of all levels above."""
    peer = ScriptedPeer(study_of(1))
    peer.faults = [Fault(lies=True)]
    (one,) = await moved(peer, model=PATIENT_ROOT)
    assert one.is_complete
    assert peer.asked == ["find STUDY", "move STUDY"]
    assert peer.identifiers[-1].PatientID == peer.held[0].dataset.PatientID


async def test_sub_operations_that_fail_are_named() -> None:
    peer = ScriptedPeer(study_of(3))
    bad = peer.held[1].uid
    (one,) = await moved(peer)
    assert (one.completed, one.error is None) == (0, False)
    peer.faults = [Fault(lies=True, skips=frozenset({bad})), Fault(skips=frozenset({bad}))]
    (one,) = await moved(peer)
    assert one.is_complete
    (one,) = await moved(peer)
    assert not one.is_complete
    assert isinstance(one.error, OperationFailed)


async def test_what_moved_nothing_is_not_complete() -> None:
    """Archives answer a study that they do not hold with success, and counts of 0 (dcmqrscp)."""
    peer = ScriptedPeer(study_of(2))
    peer.faults = [Fault(lies=True)]
    unknown = Target(Resource.STUDY, Uid("1.2.3.4"))
    whole, nothing = await moved(peer, WHOLE, unknown)
    assert whole.is_complete
    assert (nothing.target, nothing.is_complete) == (unknown, False)
    assert isinstance(nothing.error, NotFound)


async def test_an_archive_out_of_resources_is_asked_again() -> None:
    peer = ScriptedPeer(study_of(2))
    peer.faults = [Fault(sends=0, status=0xA701), Fault(lies=True)]
    (one,) = await moved(peer)
    assert one.is_complete
    assert len([what for what in peer.asked if "move" in what]) == 2
