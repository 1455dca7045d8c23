"""`get --zip`: an archive per study, whole under its name, and never poorer than before."""

from __future__ import annotations

import asyncio
import errno
import os
import zipfile
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from asyncdicom.errors import DiskFull, NameTaken, StorageError
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.jobs.zip_store import ZipStore
from asyncdicom.model import Resource, Target
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.system import System
from asyncdicom.storage.templates import parse_layout
from asyncdicom.storage.zip import ZipArchive
from tests.jobs.support import arrival_of, get, open_store
from tests.support.scripted import ScriptedAnswer, dicom_json
from tests.support.served import Served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncdicom.jobs.instance_store import InstanceStore
    from asyncdicom.model import Outcome
    from asyncdicom.storage.atomic import FileWriter
    from tests.jobs.support import Run

pytestmark = pytest.mark.anyio


async def zipped(served: Served, folder: Path, *targets: Target, is_iso_9660: bool = False) -> Run:
    async with open_store(folder, as_zip=True, is_iso_9660=is_iso_9660) as store:
        return await get(served, store, targets)


def content_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def named(files: dict[str, bytes], *uids: str) -> dict[str, bytes]:
    return {f"{uid}.dcm": files[uid] for uid in uids or files}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_complete_study_is_one_archive(tmp_path: Path) -> None:
    served = Served(series=2)
    run = await zipped(served, tmp_path)
    assert run.is_complete
    assert names_in(tmp_path) == [f"{served.study}.zip"]
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files)
    paths = {stored.path for stored in run.stored}
    assert paths == {f"{served.study}.zip/{uid}.dcm" for uid in served.instances}


async def test_an_incomplete_study_says_so_in_its_name(tmp_path: Path) -> None:
    served = Served()
    served.script(f"*/studies/{served.study}", ScriptedAnswer(500), for_good=True)
    served.script(f"*/instances/{served.instances[1]}", ScriptedAnswer(404), for_good=True)
    run = await zipped(served, tmp_path)
    assert not run.is_complete
    assert [f.target for f in run.failed] == [served.target(1)]
    name = f"{served.study}.incomplete.zip"
    assert names_in(tmp_path) == [name]
    expected = named(served.files, served.instances[0], served.instances[2])
    assert content_of(tmp_path / name) == expected
    assert {stored.path.split("/")[0] for stored in run.stored} == {name}


async def test_a_study_of_which_nothing_came_leaves_no_archive(tmp_path: Path) -> None:
    served = Served()
    served.script(f"/studies/{served.study}*", ScriptedAnswer(404), for_good=True)
    assert not (await zipped(served, tmp_path)).is_complete
    assert names_in(tmp_path) == []


async def test_a_study_is_incomplete_if_the_server_counts_more(tmp_path: Path) -> None:
    served = Served()
    counting = {
        "0020000D": {"vr": "UI", "Value": [served.study]},
        "00201208": {"vr": "IS", "Value": [4]},
    }
    served.script("/studies", dicom_json([counting]), for_good=True)
    assert not (await zipped(served, tmp_path)).is_complete
    assert names_in(tmp_path) == [f"{served.study}.incomplete.zip"]


async def test_an_archive_that_is_there_is_proven_and_kept(tmp_path: Path) -> None:
    served = Served()
    await zipped(served, tmp_path)
    before = (tmp_path / f"{served.study}.zip").stat().st_ino
    run = await zipped(served, tmp_path)
    assert (len(run.skipped), len(run.stored)) == (3, 0)
    assert served.retrieved() == ["study"]
    assert (tmp_path / f"{served.study}.zip").stat().st_ino == before


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def without_an_entry(path: Path) -> None:
    entries = content_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name in list(entries)[1:]:
            archive.writestr(name, entries[name])


def with_an_entry_cut(path: Path) -> None:
    entries = content_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content[:-10])


def encrypted(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2")
    content[at + 8] |= 1
    path.write_bytes(content)


def of_unknown_compression(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2")
    content[at + 10 : at + 12] = b"\x63\0"
    path.write_bytes(content)


def no_archive(path: Path) -> None:
    path.write_bytes(b"no archive")


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        cut,
        without_an_entry,
        with_an_entry_cut,
        encrypted,
        of_unknown_compression,
        no_archive,
    ],
)
async def test_a_damaged_archive_is_replaced_by_a_whole_one(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    served = Served()
    await zipped(served, tmp_path)
    damage(tmp_path / f"{served.study}.zip")
    run = await zipped(served, tmp_path)
    assert run.is_complete
    assert len(run.stored) == 3
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files)


async def test_series_of_a_study_share_its_archive(tmp_path: Path) -> None:
    served = Served(series=3, instances=2)
    run = await zipped(served, tmp_path, served.target(series=0), served.target(series=2))
    assert run.is_complete
    assert names_in(tmp_path) == [f"{served.study}.zip"]
    uids = [uid for uid in served.instances if served.series[1] not in uid]
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files, *uids)
    assert sorted(stored.target.sop_instance_uid or "" for stored in run.stored) == sorted(uids)


async def test_a_series_fetched_later_joins_the_archive(tmp_path: Path) -> None:
    served = Served(series=2, instances=2)
    await zipped(served, tmp_path, served.target(series=0))
    run = await zipped(served, tmp_path, served.target(series=1))
    assert run.is_complete
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files)


async def test_series_of_which_one_is_there_share_the_archive(tmp_path: Path) -> None:
    served = Served(series=2, instances=2)
    await zipped(served, tmp_path, served.target(series=0))
    run = await zipped(served, tmp_path, served.target(series=0), served.target(series=1))
    assert (len(run.skipped), len(run.stored)) == (2, 2)
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files)


async def test_a_name_that_both_archives_have_leaves_the_older_one(tmp_path: Path) -> None:
    served = Served(series=2, instances=1)
    await zipped(served, tmp_path, served.target(series=0), is_iso_9660=True)
    before = content_of(tmp_path / f"{served.study}.zip")
    run = await zipped(served, tmp_path, served.target(series=1), is_iso_9660=True)
    assert [type(failed.error) for failed in run.failed] == [NameTaken]
    assert list(before) == ["IM000001"]
    assert content_of(tmp_path / f"{served.study}.zip") == before


class FullWhenLinking(System):
    """A disk that has no room for another name."""

    def link(self, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    rename = rename_noreplace = link


async def test_a_commit_that_fails_loses_every_instance_of_the_archive(tmp_path: Path) -> None:
    served = Served()
    with OutputFolder.open(tmp_path, system=FullWhenLinking()) as folder:
        async with ZipStore(folder, Layout(parse_layout("flat"), names_in=folder.names)) as store:
            run = await get(served, store)
    assert {f.target.sop_instance_uid for f in run.failed} == set(served.instances)
    assert all(isinstance(f.error, DiskFull) for f in run.failed)
    assert run.stored == []
    assert not any(name.endswith(".zip") for name in names_in(tmp_path))


async def test_a_name_that_the_archive_refuses_costs_that_instance(tmp_path: Path) -> None:
    served = Served(instances=2)
    async with open_store(tmp_path, as_zip=True) as store:
        store._layout = _SameName()  # type: ignore[assignment]  # -- a layout that errs
        run = await get(served, store)
    (failed,) = run.failed
    assert isinstance(failed.error, NameTaken)
    assert names_in(tmp_path) == [f"{served.study}.incomplete.zip"]


class _SameName:
    def path_for(self, _: object) -> str:
        return "same.dcm"


async def test_an_archive_is_dropped_when_nobody_finishes_it(tmp_path: Path) -> None:
    served = Served()
    async with open_store(tmp_path, as_zip=True) as store:
        assert isinstance(store, ZipStore)
        store.finish = _nothing  # type: ignore[method-assign]  # -- as if the run had crashed
        served.script(f"*/studies/{served.study}", ScriptedAnswer(500), for_good=True)
        served.script(f"*/instances/{served.instances[1]}", ScriptedAnswer(404), for_good=True)
        await get(served, store)
    assert names_in(tmp_path) == []


async def _nothing() -> None:
    return None


async def test_an_archive_that_vanishes_while_it_is_carried_over_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(series=2, instances=1)
    await zipped(served, tmp_path, served.target(series=0))
    begin, begun = ZipStore.begin, 0

    def vanish(store: ZipStore) -> FileWriter:
        nonlocal begun
        begun += 1
        if begun == 2:  # the first one is for the instance that arrives
            (tmp_path / f"{served.study}.zip").unlink()
        return begin(store)

    monkeypatch.setattr(ZipStore, "begin", vanish)
    run = await zipped(served, tmp_path, served.target(series=1))
    assert [type(failed.error) for failed in run.failed] == [StorageError]
    assert names_in(tmp_path) == []


async def test_whole_instances_of_a_damaged_archive_are_carried_over(tmp_path: Path) -> None:
    served = Served(series=2, instances=3)
    await zipped(served, tmp_path, served.target(series=0))
    flipped(tmp_path / f"{served.study}.zip")
    assert (await zipped(served, tmp_path, served.target(series=1))).is_complete
    damaged = served.instances[1]
    left = [uid for uid in served.instances if uid != damaged]
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files, *left)


class Closed(System):
    """A kernel that refuses to open archives, after it did a few times."""

    def __init__(self, code: int, opened: int) -> None:
        self.code, self.opened = code, opened

    def open(self, path: Any, *arguments: Any, **options: Any) -> int:
        if path.endswith(".zip"):
            self.opened -= 1
            if self.opened < 0:
                raise OSError(self.code, os.strerror(self.code))
        return os.open(path, *arguments, **options)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("opened", [0, 1])
async def test_an_archive_that_cannot_be_read_is_not_replaced(
    tmp_path: Path, code: int, opened: int
) -> None:
    served = Served(series=2, instances=1)
    await zipped(served, tmp_path, served.target(series=0))
    with OutputFolder.open(tmp_path, system=Closed(code, opened)) as folder:
        async with ZipStore(folder, Layout(parse_layout("flat"), names_in=folder.names)) as store:
            run = await get(served, store, [served.target(series=1)])
    assert ([type(failed.error) for failed in run.failed], run.stored) == ([StorageError], [])
    before = named(served.files, served.instances[0])
    assert content_of(tmp_path / f"{served.study}.zip") == before


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("other", [0, 1])
async def test_runs_side_by_side_lose_nothing_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, other: int, is_there: bool
) -> None:
    served = Served(series=3, instances=1)
    if is_there:
        await zipped(served, tmp_path, served.target(series=2))
    finish = ZipArchive.finish

    async def finish_behind_another_run(archive: ZipArchive) -> FileWriter:
        monkeypatch.setattr(ZipArchive, "finish", finish)
        assert (await zipped(served, tmp_path, served.target(series=other))).is_complete
        return await finish(archive)

    monkeypatch.setattr(ZipArchive, "finish", finish_behind_another_run)
    run = await zipped(served, tmp_path, served.target(series=0))
    uids = [served.instances[other], *(served.instances[2:] if is_there else ())]
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files, *uids)
    told = [type(failed.error) for failed in run.failed], len(run.stored)
    assert told == (([], 1) if other == 0 else ([NameTaken], 0))
    assert (await zipped(served, tmp_path, served.target(series=0))).is_complete


async def test_instances_of_an_archive_whose_end_is_cancelled_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(instances=1)
    study = Expectation(served.study)
    study.expect(served.instances[0], served.series[0])
    outcomes: list[Outcome] = []
    begun = asyncio.Event()

    async def carry_for_long(*_: object) -> None:
        begun.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(ZipStore, "_carry_over", carry_for_long)
    async with open_store(tmp_path, as_zip=True) as store:
        (content,) = served.files.values()
        ending = asyncio.create_task(settle(store, study, content, outcomes))
        await begun.wait()
        ending.cancel()
        await asyncio.wait([ending])
        await store.finish()
    assert (ending.cancelled(), study.settled, outcomes) == (True, set(), [])
    assert names_in(tmp_path) == []


async def test_an_instance_that_two_answers_bring_is_one_entry(tmp_path: Path) -> None:
    served = Served(instances=2)
    study = Expectation(served.study)
    for uid in served.instances:
        study.expect(uid, served.series[0])
    outcomes: list[Outcome] = []
    async with open_store(tmp_path, as_zip=True) as store:
        for uid in [served.instances[0], served.instances[0], served.instances[1]]:
            arrival = arrival_of(store, served.files[uid])
            async with store.batch(served.target()) as batch:
                await batch.settle(study, arrival, 1, outcomes.append)
    assert len(outcomes) == 2
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files)


async def settle(
    store: InstanceStore | ZipStore, study: Expectation, content: bytes, outcomes: list[Outcome]
) -> None:
    async with store.batch(Target(Resource.STUDY, study.study_instance_uid)) as batch:
        await batch.settle(study, arrival_of(store, content), 1, outcomes.append)


async def test_answers_side_by_side_fill_one_archive(tmp_path: Path) -> None:
    served = Served(instances=20)
    study = Expectation(served.study)
    for uid in served.instances:
        study.expect(uid, served.series[0])
    outcomes: list[Outcome] = []
    async with open_store(tmp_path, as_zip=True) as store, asyncio.TaskGroup() as group:
        for content in served.files.values():
            group.create_task(settle(store, study, content, outcomes))
    assert len(outcomes) == 20
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files)


async def test_an_entry_that_is_written_while_the_archive_begins_anew_is_missing(
    tmp_path: Path,
) -> None:
    served = Served(instances=2)
    study = Expectation(served.study)
    for uid in served.instances:
        study.expect(uid, served.series[0])
    outcomes: list[Outcome] = []
    async with open_store(tmp_path, as_zip=True) as store:
        settling = asyncio.create_task(
            settle(store, study, served.files[served.instances[0]], outcomes)
        )
        while not study.settled:
            await anyio.lowlevel.checkpoint()
        await store.withdraw(study, served.instances[0])
        await settling
        assert (study.settled, outcomes) == (set(), [])
        for content in served.files.values():
            await settle(store, study, content, outcomes)
    assert len(outcomes) == 2
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files)


async def test_an_instance_beyond_the_list_joins_the_complete_archive(tmp_path: Path) -> None:
    served = Served(instances=2)
    study = Expectation(served.study)
    study.expect(served.instances[0], served.series[0])
    outcomes: list[Outcome] = []
    async with open_store(tmp_path, as_zip=True) as store:
        for content in served.files.values():
            await settle(store, study, content, outcomes)
        await store.finish()
    assert names_in(tmp_path) == [f"{served.study}.zip"]
    assert content_of(tmp_path / f"{served.study}.zip") == named(served.files)
