"""A study that is asked for while it is listed: it comes on trust, and is proven by its list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import (
    AssociationRejected,
    ConnectionLost,
    DiskFull,
    Incomplete,
    NameTaken,
    NotFound,
    OperationFailed,
    RunAborted,
)
from asyncdicom.events import Withdrawn
from asyncdicom.jobs.dimse_archive import DimseArchive
from asyncdicom.jobs.get import GetOptions
from asyncdicom.jobs.instance_store import InstanceStore
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.granularity import Granularity
from asyncdicom.storage.atomic import FileWriter
from tests.jobs.dimse_support import STUDY, get_dimse, instances, series, source_of, study_of
from tests.jobs.support import IMPATIENT, ONCE, Run, files_in, open_store
from tests.support.scripted_dimse import Fault, ScriptedPeer, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.jobs.intake import Arrival

pytestmark = pytest.mark.anyio

LISTED_FIRST = ["find STUDY", "find SERIES", "find IMAGE"]


class HeldBack:
    """A peer whose list comes after all instances of its first C-GET."""

    def __init__(self, *counts: int, **settings: Any) -> None:
        self.peer = ScriptedPeer(study_of(*counts, **settings))
        self.peer.before_find = self._before
        self._has_come = asyncio.Event()
        self.left = len(self.peer.held)
        self.peer.on_store = self._note

    async def _before(self, level: str) -> None:
        if level != "STUDY":
            await self._has_come.wait()

    def _note(self) -> None:
        self.left -= 1
        if self.left <= 0:
            self._has_come.set()


def gets(peer: ScriptedPeer) -> list[str]:
    return [what for what in peer.asked if not what.startswith("find")]


def assert_stored(
    run: Run, folder: Path, peer: ScriptedPeer, but: frozenset[str] = frozenset()
) -> None:
    """Check that what the archive holds is on disk, but for some of it, and nothing else."""
    wanted = {f"{uid}.dcm": data for uid, data in instances(peer).items() if uid not in but}
    found = files_in(folder)
    assert found.keys() == wanted.keys()
    assert all(found[name].endswith(data) for name, data in wanted.items())


async def test_a_study_comes_before_its_list(tmp_path: Path) -> None:
    held_back = HeldBack(3, 2)
    run = await get_dimse(held_back.peer, tmp_path)
    assert_stored(run, tmp_path, held_back.peer)
    assert run.is_complete
    assert run.planned == [(STUDY, 5)]
    assert gets(held_back.peer) == ["get STUDY"]
    assert held_back.peer.open_peak == 2


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"concurrency": 4}, id="several series at once"),
        pytest.param({"granularity": Granularity.SERIES}, id="series by series"),
        pytest.param({"granularity": Granularity.INSTANCE}, id="instance by instance"),
    ],
)
async def test_what_is_not_asked_for_whole_is_listed_first(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    peer = ScriptedPeer(study_of(2))
    run = await get_dimse(peer, tmp_path, source=source_of(peer, max_associations=8), **options)
    assert_stored(run, tmp_path, peer)
    assert peer.asked[:3] == LISTED_FIRST


async def test_a_study_as_told_comes_before_its_list_whatever_the_concurrency(
    tmp_path: Path,
) -> None:
    peer = HeldBack(2, 2).peer
    source = source_of(peer, max_associations=8)
    run = await get_dimse(
        peer, tmp_path, source=source, granularity=Granularity.STUDY, concurrency=4
    )
    assert_stored(run, tmp_path, peer)


@pytest.mark.parametrize("what", ["tells_classes", "tells_counts"])
async def test_who_does_not_say_what_a_study_holds_lists_it_first(
    tmp_path: Path, what: str
) -> None:
    peer = ScriptedPeer(study_of(3))
    setattr(peer, what, False)
    run = await get_dimse(peer, tmp_path)
    assert_stored(run, tmp_path, peer)
    assert peer.asked[:3] == LISTED_FIRST


async def test_no_more_comes_on_trust_than_the_archive_counts(tmp_path: Path) -> None:
    """Its list names one, and it counts one, but it sends five."""
    held_back = HeldBack(5)
    peer = held_back.peer
    strays = frozenset(list(instances(peer))[1:])
    peer.unlisted = strays
    peer.faults = [Fault(), *[Fault(skips=strays)] * 200]
    run = await get_dimse(peer, tmp_path)
    assert sum(isinstance(event, Withdrawn) for event in run.events) <= 1
    assert_stored(run, tmp_path, peer, but=strays)
    assert run.ended is not None
    assert (run.ended.stored, run.ended.missing) == (1, 0)


async def test_without_an_association_to_spare_it_is_listed_first(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3))
    run = await get_dimse(peer, tmp_path, source=source_of(peer, max_associations=1))
    assert_stored(run, tmp_path, peer)
    assert peer.asked == [*LISTED_FIRST, "get STUDY"]
    assert peer.open_peak == 1


@pytest.mark.parametrize("is_transient", [True, False], ids=["for now", "it does not say"])
async def test_who_has_one_association_only_lists_before_or_after(
    tmp_path: Path,
    is_transient: bool,  # noqa: FBT001 -- a column
) -> None:
    peer = ScriptedPeer(study_of(3, 3))
    peer.refusals = [None, AssociationRejected("busy", is_transient=is_transient)]
    run = await get_dimse(peer, tmp_path)
    assert_stored(run, tmp_path, peer)
    assert run.is_complete
    assert peer.open_peak == 1
    assert gets(peer) == ["get STUDY"]


async def test_who_never_gives_a_second_association_is_named(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3))
    never = AssociationRejected("never")
    peer.refusals = [None, never, never, *[None, never, never] * 9]
    run = await get_dimse(peer, tmp_path)
    assert {type(one.error) for one in run.failed} == {AssociationRejected}
    assert {one.target.sop_instance_uid for one in run.failed} == set(instances(peer))


async def test_what_is_there_is_not_asked_for_on_trust(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3))
    await get_dimse(peer, tmp_path)
    (tmp_path / f"{peer.held[1].uid}.dcm").unlink()
    peer.asked.clear()
    run = await get_dimse(peer, tmp_path)
    assert peer.asked == [*LISTED_FIRST, "get IMAGE"]
    assert (len(run.skipped), len(run.stored)) == (2, 1)


async def test_other_files_in_the_folder_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM")
    held_back = HeldBack(2)
    run = await get_dimse(held_back.peer, tmp_path)
    assert run.is_complete
    assert (tmp_path / "notes.txt").read_text() == "not DICOM"


async def test_the_entries_of_an_archive_are_listed_first(tmp_path: Path) -> None:
    peer, tally = ScriptedPeer(study_of(2)), Tally([run := Run()])
    source = source_of(peer)
    async with open_store(tmp_path, as_zip=True) as store:
        job = DimseArchive(source).get_job(store, tally, GetOptions(concurrency=1))
        tasks = job.tasks([Target(Resource.STUDY, STUDY)])
        await run_job(job, tasks, scheduler=Scheduler(job, IMPATIENT), tally=tally)
    await source.aclose()
    assert peer.asked[:3] == LISTED_FIRST
    assert len(run.stored) == 2


async def test_a_dry_run_asks_for_nothing(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3))
    run = await get_dimse(peer, tmp_path, dry_run=True)
    assert peer.asked == LISTED_FIRST
    assert run.planned == [(STUDY, 3)]


async def test_the_same_study_twice_comes_once(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(2, 2))
    study = Target(Resource.STUDY, STUDY)
    run = await get_dimse(peer, tmp_path, [study, series(1), study])
    assert_stored(run, tmp_path, peer)
    assert gets(peer) == ["get STUDY"]
    assert run.is_complete


# What the list does not name


async def test_what_no_list_names_is_taken_back_and_asked_for_alone(tmp_path: Path) -> None:
    held_back = HeldBack(4)
    peer = held_back.peer
    peer.unlisted = frozenset({peer.held[2].uid})
    run = await get_dimse(peer, tmp_path)
    assert_stored(run, tmp_path, peer)
    assert gets(peer) == ["get STUDY", "get IMAGE"]
    (withdrawn,) = [event for event in run.events if isinstance(event, Withdrawn)]
    assert withdrawn.target.sop_instance_uid == peer.held[2].uid
    assert run.ended is not None
    assert run.ended.stored == 4


async def test_what_cannot_be_had_alone_does_not_stay(tmp_path: Path) -> None:
    held_back = HeldBack(4)
    peer = held_back.peer
    stray = frozenset({peer.held[2].uid})
    peer.unlisted = stray
    peer.faults = [Fault(), *[Fault(skips=stray)] * 10]
    run = await get_dimse(peer, tmp_path)
    assert_stored(run, tmp_path, peer, but=stray)
    assert run.ended is not None
    assert (run.ended.stored, run.ended.missing) == (3, 0)


async def test_what_comes_under_a_wrong_uid_is_found_missing(tmp_path: Path) -> None:
    """The second instance comes with the UID of nobody, in command and data set alike."""
    held_back = HeldBack(3)
    peer = held_back.peer
    right = peer.held[1].uid
    wrong = right[:-1] + ("1" if right[-1] != "1" else "2")
    wrong += "9" * (len(right) - len(wrong))
    data = peer.held[1].data_set.replace(right.encode(), wrong.encode())
    peer.faults = [Fault(replaces={right: data}, renames={right: wrong})]
    run = await get_dimse(peer, tmp_path)
    assert_stored(run, tmp_path, peer)
    assert run.is_complete
    assert sorted(gets(peer)) == ["get IMAGE", "get IMAGE", "get STUDY"]


@pytest.mark.parametrize("most", [4, 1], ids=["on trust", "listed first"])
async def test_who_was_asked_for_alone_and_never_answered_for_is_named(
    tmp_path: Path, most: int
) -> None:
    """No list names it, but only an answer could say that it is not of the study."""
    held_back = HeldBack(4)
    peer = held_back.peer
    if most == 1:
        peer.before_find = None
    stray = peer.held[2].uid
    peer.unlisted = frozenset({stray})
    peer.faults = [Fault(), *[Fault(sends=0, ends_with=ConnectionLost("gone"))] * 10]
    run = await get_dimse(peer, tmp_path, source=source_of(peer, max_associations=most))
    (failed,) = run.failed
    assert failed.target.sop_instance_uid == stray
    assert_stored(run, tmp_path, peer, but=frozenset({stray}))


async def test_strays_are_taken_back_though_another_one_cannot_have_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_back = HeldBack(4)
    peer = held_back.peer
    first, stray = peer.held[0].uid, peer.held[2].uid
    peer.unlisted = frozenset({stray})
    peer.faults = [Fault(), *[Fault(skips=frozenset({stray}))] * 200]
    commit = InstanceStore.commit_nowait

    def taken(self: InstanceStore, arrival: Arrival[FileWriter]) -> str:
        if arrival.facts.sop_instance_uid == first:
            raise NameTaken("another instance has the name", path=first)
        return commit(self, arrival)

    monkeypatch.setattr(InstanceStore, "commit_nowait", taken)
    run = await get_dimse(peer, tmp_path)
    assert {one.target.sop_instance_uid for one in run.failed} == {first}
    assert_stored(run, tmp_path, peer, but=frozenset({first, stray}))


async def test_equal_studies_at_once_are_one(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(5, 5))
    peer.unlisted = frozenset({peer.held[2].uid})

    async def later(_level: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    peer.before_find = later
    four = SchedulerSettings(concurrency=4, retry=IMPATIENT.retry)
    run = await get_dimse(
        peer,
        tmp_path,
        [Target(Resource.STUDY, STUDY)] * 3,
        settings=four,
        source=source_of(peer, max_associations=8),
        granularity=Granularity.STUDY,
    )
    assert_stored(run, tmp_path, peer)
    assert run.ended is not None
    assert run.ended.stored == 10


# What goes wrong


@pytest.mark.parametrize("most", [4, 1], ids=["on trust", "listed first"])
@pytest.mark.parametrize("status", [0xC000, 0xA702])
async def test_what_is_counted_and_not_listed_is_named_once_whatever_became_of_the_rest(
    tmp_path: Path, status: int, most: int
) -> None:
    peer = ScriptedPeer(study_of(3))
    peer.counts_more = 2
    peer.faults = [Fault(sends=0, status=status)]
    run = await get_dimse(peer, tmp_path, source=source_of(peer, max_associations=most))
    (failed,) = run.failed
    assert isinstance(failed.error, Incomplete)
    assert failed.target == Target(Resource.STUDY, STUDY)
    assert not run.is_complete
    assert run.planned == [(STUDY, 3)]
    assert_stored(run, tmp_path, peer)


async def test_a_study_that_is_asked_for_again_is_planned_once(tmp_path: Path) -> None:
    peer = ScriptedPeer(study_of(3))
    peer.faults = [Fault(sends=0, ends_with=ConnectionLost("gone"))]
    run = await get_dimse(peer, tmp_path)
    assert run.planned == [(STUDY, 3)]
    assert peer.asked.count("find STUDY") == 1
    assert_stored(run, tmp_path, peer)


@pytest.mark.parametrize("sends", [0, 2], ids=["nothing came", "some came"])
async def test_what_did_not_come_is_asked_for_again(tmp_path: Path, sends: int) -> None:
    peer = ScriptedPeer(study_of(3, 2))
    peer.faults = [Fault(sends=sends, ends_with=ConnectionLost("gone"))]
    run = await get_dimse(peer, tmp_path)
    assert_stored(run, tmp_path, peer)
    assert run.is_complete
    assert gets(peer)[0] == "get STUDY"
    assert gets(peer).count("get STUDY") == (1 if sends else 2)


async def test_what_an_archive_cannot_send_is_named(tmp_path: Path) -> None:
    held_back = HeldBack(3)
    peer, bad = held_back.peer, held_back.peer.held[1].uid
    held_back.left -= 1
    peer.faults = [Fault(skips=frozenset({bad}))] * 200
    run = await get_dimse(peer, tmp_path)
    (failed,) = run.failed
    assert failed.target.sop_instance_uid == bad
    assert isinstance(failed.error, OperationFailed)
    assert_stored(run, tmp_path, peer, but=frozenset({bad}))


async def test_a_list_that_breaks_is_asked_for_again_but_what_came_is_not(tmp_path: Path) -> None:
    held_back = HeldBack(4)
    peer = held_back.peer
    peer.find_faults = [None, None, ConnectionLost("gone")]
    run = await get_dimse(peer, tmp_path)
    assert_stored(run, tmp_path, peer)
    assert run.is_complete
    assert gets(peer) == ["get STUDY"]
    assert peer.asked.count("find STUDY") == 2


async def test_strays_of_a_list_that_broke_are_found_by_the_next_one(tmp_path: Path) -> None:
    held_back = HeldBack(4)
    peer = held_back.peer
    peer.unlisted = frozenset({peer.held[0].uid})
    peer.find_faults = [None, ConnectionLost("gone")]
    run = await get_dimse(peer, tmp_path)
    # The stray, and who came when as many had come as the archive counts.
    assert gets(peer) == ["get STUDY", "get IMAGE", "get IMAGE"]
    assert sum(isinstance(event, Withdrawn) for event in run.events) == 1
    assert_stored(run, tmp_path, peer)


async def test_without_a_list_nothing_is_complete(tmp_path: Path) -> None:
    held_back = HeldBack(3)
    peer = held_back.peer
    peer.find_faults = [None, *[refuse(0xC000)] * 10]
    run = await get_dimse(peer, tmp_path)
    (failed,) = run.failed
    assert failed.target == Target(Resource.STUDY, STUDY)
    assert isinstance(failed.error, OperationFailed)
    assert not run.is_complete
    assert_stored(run, tmp_path, peer)


async def test_a_list_of_nothing_is_no_success(tmp_path: Path) -> None:
    held_back = HeldBack(2)
    peer = held_back.peer

    async def before(level: str) -> None:
        if level == "SERIES":
            peer.unlisted = frozenset(instances(peer))

    peer.before_find = before
    run = await get_dimse(peer, tmp_path)
    (failed,) = run.failed
    assert isinstance(failed.error, NotFound)
    assert not run.is_complete


async def test_a_full_disk_names_each_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = ScriptedPeer(study_of(5))

    def full(self: FileWriter, *_buffers: object) -> None:
        raise DiskFull("no space left", path=self.path)

    monkeypatch.setattr(FileWriter, "write_many", full)
    monkeypatch.setattr(FileWriter, "write", full)
    run = await get_dimse(peer, tmp_path, settings=ONCE)
    assert {one.target.sop_instance_uid for one in run.failed} == set(instances(peer))
    assert {type(one.error) for one in run.failed} == {DiskFull}
    assert files_in(tmp_path) == {}


async def test_who_is_stopped_before_the_list_names_the_study(tmp_path: Path) -> None:
    held_back = HeldBack(20)
    peer = held_back.peer
    source, tally = source_of(peer), Tally([run := Run()])
    async with open_store(tmp_path) as store:
        job = DimseArchive(source).get_job(store, tally, GetOptions(concurrency=1))
        scheduler = Scheduler(job, IMPATIENT, observe=tally.tell)

        def stop_soon() -> None:
            held_back.left -= 1
            if held_back.left == 10:
                scheduler.stop("enough", grace_s=0)

        peer.on_store = stop_soon
        tasks = job.tasks([Target(Resource.STUDY, STUDY)])
        ended = await run_job(job, tasks, scheduler=scheduler, tally=tally)
    await source.aclose()
    assert ended.aborted == "enough"
    (failed,) = run.failed
    assert failed.target == Target(Resource.STUDY, STUDY)
    assert isinstance(failed.error, RunAborted)
    assert 0 < len(run.stored) < 20
    assert set(files_in(tmp_path)) == {f"{one.target.sop_instance_uid}.dcm" for one in run.stored}
    assert peer.open_now == 0
    assert Uid(STUDY) in {one.target.study_instance_uid for one in run.stored}
