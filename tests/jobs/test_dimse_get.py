"""A get over DIMSE: what is asked for, what counts as arrived, and what is called missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import (
    AssociationAborted,
    AssociationRejected,
    ConnectionLost,
    DiskFull,
    NotFound,
    OperationFailed,
    ProtocolError,
    UidMismatch,
    UsageError,
)
from asyncdicom.jobs import dimse_receiving
from asyncdicom.jobs.dimse_archive import DimseArchive
from asyncdicom.jobs.get import GetOptions
from asyncdicom.jobs.instance_store import InstanceStore
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.granularity import Granularity
from asyncdicom.protocol.dimse.sop_classes import PATIENT_ROOT
from asyncdicom.storage.atomic import FileWriter
from tests.jobs.dimse_support import STUDY, get_dimse, instances, series, source_of, study_of
from tests.jobs.support import IMPATIENT, Run, files_in, open_store
from tests.support.dicom import samples, uid
from tests.support.scripted_dimse import Fault, ScriptedPeer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

FOUR = SchedulerSettings(concurrency=4, retry=IMPATIENT.retry)


def assert_all_there(run: Run, peer: ScriptedPeer, folder: Path) -> None:
    """Check that each file is a header of ours and the very bytes that were sent."""
    assert run.failed == []
    assert run.is_complete
    found = files_in(folder)
    for name, data_set in instances(peer).items():
        content = found.pop(f"{name}.dcm")
        assert content[144 + int.from_bytes(content[140:144], "little") :] == data_set
    assert found == {}
    assert len(run.stored) == len(peer.held)


def each_kind() -> list[bytes]:
    """Return one instance of each kind, of one study, with UIDs of their own."""
    kinds = [content for name, content in samples().items() if "deflate" not in name.lower()]
    first = uid("instance", 1).encode()
    found = [
        content.replace(first, uid("instance", number).encode())
        for number, content in enumerate(kinds, 1)
    ]
    study = STUDY.encode()
    return [content for content in found if study in content]


def gets(peer: ScriptedPeer) -> list[str]:
    return [what for what in peer.asked if not what.startswith("find")]


@pytest.mark.parametrize(
    ("counts", "options", "asked"),
    [
        pytest.param((3,), {"concurrency": 1}, ["get STUDY"], id="a study on one association"),
        pytest.param((3, 2), {"concurrency": 4}, ["get SERIES"] * 2, id="series on several"),
        pytest.param((3, 1), {"concurrency": 4}, ["get SERIES", "get IMAGE"], id="one of one"),
        pytest.param(
            (2, 2), {"granularity": Granularity.SERIES}, ["get SERIES"] * 2, id="series as told"
        ),
        pytest.param(
            (2, 1), {"granularity": Granularity.INSTANCE}, ["get IMAGE"] * 3, id="instances"
        ),
        pytest.param(
            (2, 2),
            {"granularity": Granularity.STUDY, "concurrency": 4},
            ["get STUDY"],
            id="the study as told",
        ),
    ],
)
async def test_what_is_asked_for(
    tmp_path: Path, counts: tuple[int, ...], options: dict[str, Any], asked: list[str]
) -> None:
    peer = ScriptedPeer(study_of(*counts))
    run = await get_dimse(peer, tmp_path, **options)
    assert_all_there(run, peer, tmp_path)
    assert gets(peer) == asked


async def test_what_each_kind_of_instance_holds_is_stored_as_it_was_sent(tmp_path: Path) -> None:
    peer = ScriptedPeer(each_kind())
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)
    assert len({held.transfer_syntax for held in peer.held}) > 4
    assert len({held.dataset.SOPClassUID for held in peer.held}) > 4


async def test_the_file_meta_says_what_the_command_said(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(1))
    await get_dimse(peer, tmp_path)
    meta = dcmread(tmp_path / f"{peer.held[0].uid}.dcm").file_meta
    assert meta.MediaStorageSOPInstanceUID == peer.held[0].uid
    assert meta.TransferSyntaxUID == peer.held[0].transfer_syntax
    assert str(meta.ImplementationVersionName).startswith("ASYNCDICOM")


async def test_each_transfer_syntax_has_a_context_of_its_own(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(2))
    await get_dimse(peer, tmp_path)
    (contexts,) = [c for c in peer.established if any(one.is_scp for one in c)]
    storage = [one for one in contexts if one.is_scp]
    assert len(contexts) <= 128
    assert {len(one.transfer_syntaxes) for one in storage} == {1}
    assert len({one.transfer_syntaxes for one in storage}) == len(storage) > 10


async def test_another_transfer_syntax_is_the_only_one_asked_for(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(1))
    source = source_of(peer, transfer_syntaxes=(JPEG2000Lossless,))
    run = await get_dimse(peer, tmp_path, source=source)
    storage = [one for contexts in peer.established for one in contexts if one.is_scp]
    assert {one.transfer_syntaxes for one in storage} == {(JPEG2000Lossless,)}
    assert not run.is_complete


@pytest.mark.parametrize(
    "tells",
    [pytest.param(True, id="as the archive says"), pytest.param(False, id="it says nothing")],
)
async def test_sop_classes_are_learnt_or_guessed(
    tmp_path: Path,
    tells: bool,  # noqa: FBT001 -- a column
) -> None:
    peer = ScriptedPeer(study_of(2, 2))
    peer.tells_classes = peer.tells_counts = tells
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)


async def test_what_is_there_is_not_asked_for_again(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3))
    await get_dimse(peer, tmp_path)
    (tmp_path / f"{peer.held[1].uid}.dcm").unlink()
    peer.asked.clear()
    run = await get_dimse(peer, tmp_path)
    assert gets(peer) == ["get IMAGE"]
    assert (len(run.skipped), len(run.stored)) == (2, 1)


async def test_series_and_instances_can_be_asked_for(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(2, 2))
    instance = Target(Resource.INSTANCE, STUDY, Uid(uid("series", 2)), Uid(uid("instance", 201)))
    run = await get_dimse(peer, tmp_path, [series(1), instance])
    assert run.is_complete
    assert gets(peer) == ["get SERIES", "get IMAGE"]
    assert len(run.stored) == 3


async def test_a_dry_run_fetches_nothing(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3))
    run = await get_dimse(peer, tmp_path, dry_run=True)
    assert run.planned == [(STUDY, 3)]
    assert gets(peer) == []


async def test_unique_keys_of_the_levels_above_are_named(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(1, 1))
    source = source_of(peer, model=PATIENT_ROOT)
    run = await get_dimse(peer, tmp_path, source=source, granularity=Granularity.INSTANCE)
    assert_all_there(run, peer, tmp_path)
    for keys in peer.identifiers:
        if keys.QueryRetrieveLevel == "IMAGE" and keys.get("SOPInstanceUID"):
            assert keys.PatientID == "P-0042"
            assert keys.StudyInstanceUID == STUDY
            assert keys.SeriesInstanceUID


# What is not believed


async def test_counters_that_lie_are_not_believed(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(10))
    peer.faults = [Fault(sends=7, lies=True)]
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)
    assert gets(peer) == ["get STUDY", "get SERIES"] or gets(peer)[1:] == ["get IMAGE"] * 3


async def test_what_never_comes_is_named_whatever_the_counters_say(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(10))
    peer.faults = [Fault(sends=7, lies=True), *[Fault(sends=0, lies=True)] * 20]
    run = await get_dimse(peer, tmp_path)
    assert not run.is_complete
    assert [f.target.sop_instance_uid for f in run.failed] == [held.uid for held in peer.held[7:]]
    assert {f.error.reason for f in run.failed} == {"incomplete"}


async def test_what_an_archive_cannot_send_does_not_keep_the_rest(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(4, 4))
    bad = peer.held[2].uid
    peer.faults = [Fault(skips=frozenset({bad}))] * 200
    run = await get_dimse(peer, tmp_path)
    (failed,) = run.failed
    assert failed.target.sop_instance_uid == bad
    assert isinstance(failed.error, OperationFailed)
    assert "1 sub-operation failed" in str(failed.error)
    assert len(run.stored) == 7


async def test_a_get_that_ends_early_is_completed_level_by_level(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(4, 4))
    peer.faults = [Fault(sends=0, status=0xC000), Fault(sends=1, status=0xC000)]
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)
    assert gets(peer)[:2] == ["get STUDY", "get SERIES"]
    assert Counter(gets(peer)) == {"get STUDY": 1, "get SERIES": 2, "get IMAGE": 3}


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        pytest.param("cut", 0xC000, ProtocolError, id="cut, but the last fragment is flagged"),
        pytest.param("other", 0xA900, UidMismatch, id="another instance than the command says"),
        pytest.param("name", 0xC000, ProtocolError, id="a command without a UID"),
    ],
)
async def test_what_is_damaged_is_refused_and_asked_for_again(
    tmp_path: Path, fault: str, status: int, error: type[Exception]
) -> None:
    peer = ScriptedPeer(study_of(3))
    first, second, _ = peer.held
    faults = {
        "cut": Fault(replaces={first.uid: first.data_set[:-7]}),
        "other": Fault(replaces={first.uid: second.data_set}),
        "name": Fault(renames={first.uid: "../../x"}),
    }
    peer.faults = [faults[fault]]
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)
    assert peer.statuses[faults[fault].renames.get(first.uid, first.uid)][0] == status
    # Whatever goes wrong each time, one is named and the others are there.
    other = tmp_path / "again"
    other.mkdir()
    peer.faults = [replace(faults[fault]) for _ in range(20)]
    run = await get_dimse(peer, other)
    (failed,) = run.failed
    assert failed.target.sop_instance_uid == first.uid
    assert isinstance(failed.error, error)
    assert len(run.stored) == 2


@pytest.mark.parametrize(
    "hostile",
    ["../../x", "/etc/x", "1.2\0.3", "1" * 10_000, "\uff11.\uff12", ".", "..", "", "1.2/3", "A.B"],
)
async def test_no_uid_of_a_command_leaves_the_folder(tmp_path: Path, hostile: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    peer = ScriptedPeer(study_of(1))
    peer.faults = [Fault(renames={peer.held[0].uid: hostile})] * 20
    run = await get_dimse(peer, folder)
    assert not run.is_complete
    assert files_in(tmp_path) == {}


async def test_a_broken_association_costs_only_what_had_not_come(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(5))
    peer.faults = [Fault(sends=3, ends_with=AssociationAborted("the peer aborted"))]
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)
    assert run.retried == [f"study {STUDY}: association-aborted"]
    assert peer.aborted == 1


async def test_a_lost_connection_is_tried_again_and_then_named(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(2))
    peer.faults = [Fault(sends=0, ends_with=ConnectionLost("reset"))] * 20
    run = await get_dimse(peer, tmp_path)
    assert len(run.failed) == 2
    assert {f.attempts for f in run.failed} == {3}


@pytest.mark.parametrize("status", [0xA701, 0xA702])
async def test_an_archive_out_of_resources_is_asked_again(tmp_path: Path, status: int) -> None:
    peer = ScriptedPeer(study_of(2))
    peer.faults = [Fault(sends=0, status=status)]
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)
    assert gets(peer) == ["get STUDY"] * 2


async def test_a_transient_rejection_is_waited_out(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(2))
    peer.refusals = [AssociationRejected("busy", is_transient=True)]
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)


async def test_a_permanent_rejection_is_not_tried_again(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(2))
    peer.refusals = [AssociationRejected("who are you")] * 9
    run = await get_dimse(peer, tmp_path)
    (failed,) = run.failed
    assert failed.attempts == 1
    assert len(peer.refusals) == 8


async def test_nothing_listed_is_not_found(tmp_path: Path) -> None:
    run = await get_dimse(ScriptedPeer(study_of(1)), tmp_path, [Target(Resource.STUDY, Uid("1.9"))])
    (failed,) = run.failed
    assert isinstance(failed.error, NotFound)


def limited_to(writes: int) -> Callable[[FileWriter, Any], None]:
    """Return a `FileWriter.write` that finds the disk full after so many calls."""
    true_write, calls = FileWriter.write, count(1)

    def write(writer: FileWriter, data: Any) -> None:
        if next(calls) > writes:
            raise DiskFull("no space left on device", path=writer.path)
        true_write(writer, data)

    return write


async def test_a_full_disk_is_said_to_the_archive_and_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = ScriptedPeer(study_of(20))

    monkeypatch.setattr(FileWriter, "write", limited_to(5))
    run = await get_dimse(peer, tmp_path)
    assert run.ended is not None
    assert "no space" in (run.ended.aborted or "")
    refused = [uid for uid, statuses in peer.statuses.items() if 0xA700 in statuses]
    assert refused
    assert set(files_in(tmp_path)) == {f"{s.target.sop_instance_uid}.dcm" for s in run.stored}


@pytest.mark.parametrize("count", [1, 5])
async def test_files_that_were_begun_ahead_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    begun: list[FileWriter] = []
    true_begin = InstanceStore.begin

    def begin(store: InstanceStore) -> FileWriter:
        begun.append(true_begin(store))
        return begun[-1]

    monkeypatch.setattr(InstanceStore, "begin", begin)
    peer = ScriptedPeer(study_of(count))
    run = await get_dimse(peer, tmp_path)
    assert_all_there(run, peer, tmp_path)
    # One more than there were instances, at most: after the last one nobody knows it was.
    assert count <= len(begun) <= count + 1
    for writer in begun:
        with pytest.raises(UsageError):
            writer.fileno()


async def test_no_more_associations_than_allowed(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(*[2] * 12))
    source = source_of(peer, max_associations=3)
    run = await get_dimse(peer, tmp_path, settings=FOUR, source=source)
    assert_all_there(run, peer, tmp_path)
    assert peer.open_peak <= 3


async def test_an_association_is_used_again_for_the_same_contexts(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(*[2] * 6))
    run = await get_dimse(peer, tmp_path, granularity=Granularity.INSTANCE)
    assert_all_there(run, peer, tmp_path)
    assert len(peer.established) == 2


@pytest.mark.parametrize("patience_s", [5.0, 0.0], ids=["in order", "out of patience"])
async def test_who_is_stopped_cancels_the_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    monkeypatch.setattr(dimse_receiving, "CANCEL_S", patience_s)
    peer = ScriptedPeer(study_of(50))
    source, tally = source_of(peer), Tally([run := Run()])
    async with open_store(tmp_path) as store:
        job = DimseArchive(source).get_job(store, tally, GetOptions(concurrency=1))
        scheduler = Scheduler(job, IMPATIENT, observe=tally.tell)
        peer.on_store = lambda: scheduler.stop("enough", grace_s=0)
        tasks = job.tasks([Target(Resource.STUDY, STUDY)])
        ended = await run_job(job, tasks, scheduler=scheduler, tally=tally)
    await source.aclose()
    assert ended.aborted == "enough"
    assert len(run.stored) + len(run.failed) == 50
    assert set(files_in(tmp_path)) == {f"{s.target.sop_instance_uid}.dcm" for s in run.stored}
    assert peer.open_now == 0
    if patience_s:
        assert (peer.cancelled, peer.aborted) == (1, 0)
        assert len(run.stored) < 50
