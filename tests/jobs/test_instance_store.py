"""Instances in a folder: named, committed, found again, and never one in place of another."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import DiskFull, NameTaken, StorageError
from asyncdicom.jobs import instance_store as module
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.jobs.instance_store import InstanceStore
from asyncdicom.storage.atomic import Durability
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.system import System
from asyncdicom.storage.templates import parse_layout
from tests.jobs.support import arrival_of, files_in, get, open_store
from tests.support.served import Served

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.model import Outcome

pytestmark = pytest.mark.anyio

WAYS = [Durability.NONE, Durability.BATCH]


def expected_of(served: Served) -> Expectation:
    study = Expectation(served.study)
    for number, uid in enumerate(served.instances):
        series = served.target(number).series_instance_uid
        assert series is not None
        study.expect(uid, series)
    return study


async def settled(store: InstanceStore, served: Served, *uids: str) -> list[Outcome]:
    outcomes: list[Outcome] = []
    await settle_all(store, served, expected_of(served), outcomes, *uids)
    return outcomes


async def settle_all(
    store: InstanceStore, served: Served, study: Expectation, outcomes: list[Outcome], *uids: str
) -> None:
    async with store.batch(served.target()) as batch:
        for uid in uids or served.instances:
            await batch.settle(study, arrival_of(store, served.files[uid]), 1, outcomes.append)


@pytest.mark.parametrize("durability", WAYS)
async def test_an_instance_is_on_disk_when_it_is_recorded(
    tmp_path: Path, durability: Durability
) -> None:
    served = Served(instances=5)
    async with open_store(tmp_path, durability=durability) as store:
        assert isinstance(store, InstanceStore)
        outcomes = await settled(store, served)
        assert len(outcomes) == 5
        assert set(files_in(tmp_path)) == {f"{uid}.dcm" for uid in served.instances}


@pytest.mark.parametrize("durability", WAYS)
async def test_an_instance_that_comes_twice_is_recorded_once(
    tmp_path: Path, durability: Durability
) -> None:
    served = Served(instances=1)
    async with open_store(tmp_path, durability=durability) as store:
        assert isinstance(store, InstanceStore)
        assert len(await settled(store, served, *served.instances * 3)) == 1


async def test_commits_under_way_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_COMMITS", 2)
    served = Served(instances=9)
    async with open_store(tmp_path, durability=Durability.BATCH) as store:
        assert isinstance(store, InstanceStore)
        study = expected_of(served)
        async with store.batch(served.target()) as batch:
            for uid in served.instances:
                arrival = arrival_of(store, served.files[uid])
                await batch.settle(study, arrival, 1, lambda _: None)
                assert len(batch._commits) <= 2
        assert len(study.settled) == 9


async def test_a_file_that_holds_another_instance_is_not_replaced(tmp_path: Path) -> None:
    served = Served(instances=2)
    name = f"{served.instances[0]}.dcm"
    (tmp_path / name).write_bytes(served.files[served.instances[1]])
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        with pytest.raises(NameTaken, match="another instance has the name"):
            await settled(store, served)
    assert files_in(tmp_path)[name] == served.files[served.instances[1]]


async def test_a_file_that_cannot_be_read_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another instance."""
    served = Served(instances=1)
    path = tmp_path / f"{served.instances[0]}.dcm"
    path.write_bytes(served.files[served.instances[0]][:900])
    before = path.read_bytes()

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(System, "pread", broken)
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        with pytest.raises(StorageError, match="input/output error"):
            await settled(store, served)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no DICOM", "the beginning"])
async def test_a_file_that_holds_no_instance_or_part_of_this_one_is_replaced(
    tmp_path: Path, content: bytes | str
) -> None:
    served = Served(instances=1)
    whole = served.files[served.instances[0]]
    path = tmp_path / f"{served.instances[0]}.dcm"
    path.write_bytes(content if isinstance(content, bytes) else whole[:900])
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        await settled(store, served)
    assert path.read_bytes() == whole


class Full(System):
    """A disk without room for another name, once it is so."""

    is_full = False
    links = 0

    def link(self, *args: object, **options: object) -> None:
        self.links += self.is_full
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().link(*args, **options)  # type: ignore[arg-type]  # -- handed on as they came


@pytest.mark.parametrize("durability", WAYS)
async def test_what_could_not_be_kept_is_not_settled(
    tmp_path: Path, durability: Durability
) -> None:
    served, system = Served(instances=2), Full()
    study = expected_of(served)
    outcomes: list[Outcome] = []
    with OutputFolder.open(tmp_path, durability=durability, system=system) as folder:
        layout = Layout(parse_layout("flat"), names_in=folder.names)
        async with InstanceStore(folder, layout) as store:
            system.is_full = True
            with pytest.raises(DiskFull):
                await settle_all(store, served, study, outcomes)
            system.is_full = False
    assert (study.settled, outcomes) == (set(), [])


async def test_a_commit_that_failed_is_told_while_others_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_COMMITS", 1)
    served = Served(instances=3)
    (tmp_path / f"{served.instances[0]}.dcm").mkdir()
    async with open_store(tmp_path, durability=Durability.BATCH) as store:
        assert isinstance(store, InstanceStore)
        with pytest.raises(NameTaken):
            await settled(store, served)
    # Nothing is left of those that waited, and nobody forgot to await them.
    gc.collect()
    assert all(name.endswith(".dcm") for name in files_in(tmp_path))


async def break_after_one(
    store: InstanceStore, served: Served, study: Expectation, outcomes: list[Outcome]
) -> None:
    async with store.batch(served.target()) as batch:
        arrival = arrival_of(store, served.files[served.instances[0]])
        await batch.settle(study, arrival, 1, outcomes.append)
        raise ZeroDivisionError


async def test_an_answer_that_breaks_keeps_what_came_whole(tmp_path: Path) -> None:
    served = Served(instances=2)
    outcomes: list[Outcome] = []
    async with open_store(tmp_path, durability=Durability.BATCH) as store:
        assert isinstance(store, InstanceStore)
        with pytest.raises(ZeroDivisionError):
            await break_after_one(store, served, expected_of(served), outcomes)
    assert len(outcomes) == 1
    assert set(files_in(tmp_path)) == {f"{served.instances[0]}.dcm"}


async def test_what_is_there_is_found_wherever_it_lies(tmp_path: Path) -> None:
    served = Served(instances=2)
    below = tmp_path / "some/where"
    below.mkdir(parents=True)
    (below / "x").write_bytes(served.files[served.instances[1]])
    async with open_store(tmp_path) as store:
        run = await get(served, store)
    assert [skipped.path for skipped in run.skipped] == ["some/where/x"]
    assert [s.target.sop_instance_uid for s in run.stored] == [served.instances[0]]


async def test_what_is_there_but_damaged_is_fetched_again(tmp_path: Path) -> None:
    served = Served(instances=1)
    whole = served.files[served.instances[0]]
    (tmp_path / f"{served.instances[0]}.dcm").write_bytes(whole[:-1])
    async with open_store(tmp_path) as store:
        run = await get(served, store)
    assert (len(run.skipped), len(run.stored)) == (0, 1)
    assert files_in(tmp_path) == {f"{served.instances[0]}.dcm": whole}


async def test_who_looked_through_the_folder_replaces_what_was_damaged(tmp_path: Path) -> None:
    served = Served(instances=3)
    path = tmp_path / f"{served.instances[0]}.dcm"
    path.write_bytes(served.files[served.instances[0]][:900])
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        assert await store.already_there(expected_of(served), served.target()) == []
        assert len(await settled(store, served)) == 3
        # And what it stored itself, as any other copy of the instance.
        assert len(await settled(store, served)) == 3
    assert files_in(tmp_path) == {f"{uid}.dcm": served.files[uid] for uid in served.instances}


async def test_instances_come_on_trust_only_where_none_were(tmp_path: Path) -> None:
    served = Served(instances=2)
    (tmp_path / "notes.txt").write_text("not DICOM")
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        assert await store.takes_on_trust()
        await settled(store, served)
        assert await store.takes_on_trust(), "what this run stored, its studies know"
    async with open_store(tmp_path) as store:
        assert not await store.takes_on_trust()


@pytest.mark.parametrize("is_same", [True, False])
async def test_what_appeared_since_the_folder_was_looked_through_is_not_replaced(
    tmp_path: Path,
    is_same: bool,  # noqa: FBT001 -- a parameter
) -> None:
    served = Served(instances=1)
    whole = served.files[served.instances[0]]
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        await store.already_there(expected_of(served), served.target())
        path = tmp_path / f"{served.instances[0]}.dcm"
        path.write_bytes(whole if is_same else whole[:-2])
        if is_same:
            assert len(await settled(store, served)) == 1
        else:
            with pytest.raises(NameTaken):
                await settled(store, served)
    assert path.read_bytes() == (whole if is_same else whole[:-2])


async def test_what_is_safe_is_recorded_a_turn_later_and_at_the_end_at_once(tmp_path: Path) -> None:
    served = Served(instances=2)
    outcomes: list[Outcome] = []
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        study = expected_of(served)
        one, other = (arrival_of(store, served.files[uid]) for uid in served.instances)
        async with store.batch(served.target()) as batch:
            await batch.settle(study, one, 1, outcomes.append)
            assert (len(files_in(tmp_path)), len(study.settled), outcomes) == (1, 1, [])
            await asyncio.sleep(0)
            assert len(outcomes) == 1
            await batch.settle(study, other, 1, outcomes.append)
        assert len(outcomes) == 2


async def settle_without_waiting(
    store: InstanceStore, served: Served, study: Expectation, outcomes: list[Outcome]
) -> None:
    async with store.batch(served.target()) as batch:
        for uid in served.instances:
            settle = batch.settle_nowait
            assert settle is not None
            settle(study, arrival_of(store, served.files[uid]), 1, outcomes.append)
            await asyncio.sleep(0)


async def test_what_need_not_wait_has_its_name_a_turn_later_and_is_told_of_then(
    tmp_path: Path,
) -> None:
    served = Served(instances=2)
    outcomes: list[Outcome] = []
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        study = expected_of(served)
        async with store.batch(served.target()) as batch:
            settle = batch.settle_nowait
            assert settle is not None
            settle(study, arrival_of(store, served.files[served.instances[0]]), 1, outcomes.append)
            assert (files_in(tmp_path), len(study.settled), outcomes) == ({}, 1, [])
            await asyncio.sleep(0)
            assert (len(files_in(tmp_path)), len(outcomes)) == (1, 1)
            settle(study, arrival_of(store, served.files[served.instances[1]]), 1, outcomes.append)
        assert (len(files_in(tmp_path)), len(outcomes)) == (2, 2)


async def test_one_that_cannot_have_its_name_later_is_told_and_costs_no_other(
    tmp_path: Path,
) -> None:
    served = Served(instances=3)
    study = expected_of(served)
    outcomes: list[Outcome] = []
    taken = tmp_path / f"{served.instances[1]}.dcm"
    taken.write_bytes(served.files[served.instances[0]])
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)
        with pytest.raises(NameTaken):
            await settle_without_waiting(store, served, study, outcomes)
    assert (len(outcomes), len(study.settled)) == (2, 2)
    assert taken.read_bytes() == served.files[served.instances[0]]


async def test_a_full_disk_that_is_noticed_later_ends_the_answer(tmp_path: Path) -> None:
    served, system = Served(instances=3), Full()
    study = expected_of(served)
    outcomes: list[Outcome] = []
    with OutputFolder.open(tmp_path, durability=Durability.NONE, system=system) as folder:
        layout = Layout(parse_layout("flat"), names_in=folder.names)
        async with InstanceStore(folder, layout) as store:
            system.is_full = True
            with pytest.raises(DiskFull):
                await settle_without_waiting(store, served, study, outcomes)
    # The second one was refused, as nothing else could be kept.
    assert system.links == 1
    assert (study.settled, outcomes) == (set(), [])


async def test_who_cannot_record_ends_the_answer(tmp_path: Path) -> None:
    def record(_: Outcome) -> None:
        raise OSError(errno.ENOSPC, "no room for the report")

    served = Served(instances=2)
    async with open_store(tmp_path) as store:
        assert isinstance(store, InstanceStore)

        async def settle(*uids: str, study: Expectation) -> None:
            async with store.batch(served.target()) as batch:
                for uid in uids:
                    await batch.settle(study, arrival_of(store, served.files[uid]), 1, record)
                    await asyncio.sleep(0)

        study = expected_of(served)
        with pytest.raises(OSError, match="no room for the report"):
            await settle(*served.instances, study=study)
        # The second one was not begun any more; nor is what was the last one forgotten.
        assert len(files_in(tmp_path)) == 1
        with pytest.raises(OSError, match="no room for the report"):
            await settle(served.instances[1], study=study)
