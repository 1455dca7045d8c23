"""`verify`: what is whole, what is not, and what is not there at all."""

from __future__ import annotations

import errno
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import (
    DigestMismatch,
    Doubtful,
    Incomplete,
    NameTaken,
    NotFound,
    ProtocolError,
    Truncated,
    Unauthorized,
    Unreachable,
)
from asyncdicom.events import Remarked
from asyncdicom.jobs.expectation import Expectation
from asyncdicom.jobs.object_survey import Lister
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.jobs.verify import VerifyJob, VerifyOptions
from asyncdicom.jobs.verify_objects import ObjectVerifyJob
from asyncdicom.model import Target, Uid, parse_uid
from asyncdicom.policy.abort import AbortPolicy
from asyncdicom.storage.catalog import Catalog
from asyncdicom.storage.folder import OutputFolder
from asyncdicom.storage.system import SYSTEM, System
from tests.jobs.object_support import MemoryStore, fetch_objects, group_of, open_keeper
from tests.jobs.support import IMPATIENT, Run
from tests.support.dicom import ct, small_instances, uid

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.ports.objects import ObjectEntry

pytestmark = pytest.mark.anyio

FOUR_AT_ONCE = SchedulerSettings(concurrency=4)
STUDY = parse_uid(uid("study", 1))


class Archive:
    """A finder of one study."""

    def __init__(self, instances: int, *, counted: int | None = None) -> None:
        self.instances = instances
        self.counted = counted
        self.asked: list[Uid] = []

    async def expectation_of(self, target: Target) -> Expectation:
        """Return the instances."""
        self.asked.append(target.study_instance_uid)
        if target.study_instance_uid != STUDY:
            raise NotFound("no such study", status_code=404)
        found = Expectation(STUDY, self.counted)
        for number in range(1, self.instances + 1):
            found.expect(parse_uid(uid("instance", number)), parse_uid(uid("series", 1)))
        return found


async def verified(
    folder: Path, *, studies: tuple[Uid, ...] = (), system: System = SYSTEM, **options: Any
) -> tuple[Run, VerifyJob]:
    run = Run()
    tally = Tally([run])
    with OutputFolder.open_to_read(folder, system=system) as opened:
        job = VerifyJob(opened, tally, VerifyOptions(**options))
        scheduler = Scheduler(job, FOUR_AT_ONCE, observe=tally.tell)
        run.ended = await run_job(
            job, job.tasks(studies), scheduler=scheduler, tally=tally, finish=job.finish
        )
    return run, job


def write_series(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(1, count + 1):
        (folder / f"{number}.dcm").write_bytes(ct(number=number))


def remarks_of(run: Run) -> list[str]:
    return sorted(str(event) for event in run.events if isinstance(event, Remarked))


async def test_whole_files_are_verified(tmp_path: Path) -> None:
    write_series(tmp_path, 3)
    write_series(tmp_path / "below", 2)
    run, _ = await verified(tmp_path, computes_sha256=True)
    assert run.is_complete
    assert len(run.skipped) == 5
    assert all(len(s.sha256) == 64 for s in run.skipped)
    assert {s.target.sop_instance_uid for s in run.skipped} == {
        uid("instance", number) for number in (1, 2, 3)
    }


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(ct(number=1)[:-7], ProtocolError, id="cut"),
        pytest.param(ct(number=1) + b"more", ProtocolError, id="bytes behind the end"),
        pytest.param(ct(number=1)[:-524], Doubtful, id="cut in front of its pixels"),
    ],
)
async def test_what_its_structure_shows_is_named(
    tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    write_series(tmp_path, 2)
    (tmp_path / "2.dcm").write_bytes(content)
    run, job = await verified(tmp_path)
    assert [str(f.target) for f in run.failed] == ["object file:///2.dcm"]
    assert isinstance(run.failed[0].error, error)
    assert job.doubtful == (error is Doubtful)
    assert run.ended is not None
    assert run.ended.corrupt == 1


class Forbidden(System):
    """A kernel that lets nobody into some folders, or look at what is in some others."""

    def open(self, path: Any, *arguments: Any, **options: Any) -> int:
        if path == "closed":
            raise OSError(errno.EACCES, "closed")
        return os.open(path, *arguments, **options)

    def stat(self, path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if path == "2.dcm":
            raise OSError(errno.EACCES, "closed")
        return SYSTEM.stat(path, *arguments, **options)


async def test_what_may_not_be_read_is_named_and_the_rest_is_verified(tmp_path: Path) -> None:
    for name in ("closed", "open"):
        write_series(tmp_path / name, 3)
    run, _ = await verified(tmp_path, system=Forbidden())
    assert [(str(f.target), f.error.reason) for f in run.failed] == [
        ("object file:///closed", "storage-error"),
        ("object file:///open/2.dcm", "storage-error"),
    ]
    assert [skipped.path for skipped in run.skipped] == ["open/1.dcm", "open/3.dcm"]


async def test_a_folder_that_is_too_deep_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, 1)
    deep = "/".join("d" * 64)
    (tmp_path / deep / "e").mkdir(parents=True)
    (tmp_path / deep / "e/1.dcm").write_bytes(ct(number=1)[:-7])
    run, _ = await verified(tmp_path)
    assert [str(f.error) for f in run.failed] == [
        f"a folder too deep to look for files in: {deep}/e"
    ]
    assert not run.is_complete


async def test_what_is_no_dicom_file_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"hello")
    run, job = await verified(tmp_path)
    assert (run.skipped, run.failed, job.unproven) == ([], [], 1)
    assert remarks_of(run) == ["notes.txt: no DICOM file"]


async def noted(folder: Path, catalog: Path, objects: dict[str, bytes]) -> None:
    """Fetch objects into a folder, and note them."""
    with Catalog.open(str(catalog)) as opened:
        async with open_keeper(folder, catalog=opened) as keeper:
            run = await fetch_objects(MemoryStore(objects), keeper)
            assert run.is_complete


async def test_each_flipped_bit_is_found_by_the_catalog(tmp_path: Path) -> None:
    out, catalog = tmp_path / "out", tmp_path / "catalog"
    objects = {f"{n:04}.dcm": content for n, content in enumerate(small_instances(1000))}
    await noted(out, catalog, objects)
    chosen = random.Random(5)
    for path in out.iterdir():
        content = bytearray(path.read_bytes())
        content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
        path.write_bytes(content)
    with Catalog.open(str(catalog)) as opened:
        run, _ = await verified(out, catalog=opened)
    assert len(run.failed) == 1000
    assert {type(f.error) for f in run.failed} == {DigestMismatch}
    assert {str(f.target) for f in run.failed} == {f"object s3://bucket/{key}" for key in objects}


async def test_what_the_catalog_names_has_to_be_there(tmp_path: Path) -> None:
    out, catalog = tmp_path / "out", tmp_path / "catalog"
    await noted(out, catalog, {"1.dcm": ct(number=1), "2.dcm": ct(number=2), "3": b"text"})
    (out / "1.dcm").unlink()
    (out / "3").write_bytes(b"textual")
    (out / "extra.dcm").write_bytes(ct(number=9))
    with Catalog.open(str(catalog)) as opened:
        run, job = await verified(out, catalog=opened)
    assert {str(f.target): str(f.error) for f in run.failed} == {
        "object s3://bucket/1.dcm": "the file is not there: 1.dcm",
        "object s3://bucket/3": "7 bytes, 4 were stored",
    }
    assert sorted(s.path for s in run.skipped) == ["2.dcm", "extra.dcm"]
    assert job.unlisted == 1
    assert remarks_of(run) == ["extra.dcm: not in the catalog"]


@pytest.mark.parametrize("studies", [(), (STUDY,)])
async def test_what_an_archive_lists_has_to_be_there(
    tmp_path: Path, studies: tuple[Uid, ...]
) -> None:
    write_series(tmp_path, 3)
    (tmp_path / "2.dcm").write_bytes(ct(number=2)[:-7])
    archive = Archive(4)
    run, _ = await verified(tmp_path, studies=studies, finder=archive)
    assert archive.asked == [STUDY]
    missing = {f.target.sop_instance_uid: type(f.error) for f in run.failed}
    assert missing == {
        None: Truncated,
        uid("instance", 2): Incomplete,
        uid("instance", 4): Incomplete,
    }


async def test_studies_that_are_named_are_the_only_ones_looked_up(tmp_path: Path) -> None:
    write_series(tmp_path, 1)
    archive = Archive(1)
    await verified(tmp_path, studies=(parse_uid("9.9"),), finder=archive)
    assert archive.asked == ["9.9"]


async def test_the_catalog_says_which_instances_are_there(tmp_path: Path) -> None:
    out, catalog = tmp_path / "out", tmp_path / "catalog"
    await noted(out, catalog, {f"{n}": ct(number=n) for n in (1, 2)})
    with Catalog.open(str(catalog)) as opened:
        run, _ = await verified(out, catalog=opened, finder=Archive(2))
    assert run.is_complete
    assert run.planned == [(STUDY, 2)]


async def test_what_an_archive_counts_and_does_not_list_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, 2)
    run, _ = await verified(tmp_path, finder=Archive(2, counted=5))
    assert [str(f.error) for f in run.failed] == ["the server counts 5 instances but lists 2"]


async def test_a_study_that_the_archive_does_not_have_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, 1)
    other = parse_uid("1.2.3")
    run, _ = await verified(tmp_path, studies=(other,), finder=Archive(1))
    assert [(str(f.target), type(f.error)) for f in run.failed] == [("study 1.2.3", NotFound)]


class Refusing:
    """A finder that nobody can reach."""

    async def expectation_of(self, target: Target) -> Expectation:
        """Refuse."""
        raise Unreachable(f"nobody answers for {target}")


async def test_an_archive_that_does_not_answer_is_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path, 1)
    run, job = await verified(tmp_path, finder=Refusing())
    assert [type(f.error) for f in run.failed] == [Unreachable]
    assert job.was_refused
    _, job = await verified(tmp_path, finder=Archive(1))
    assert not job.was_refused


async def listed(
    store: MemoryStore,
    folder: Path,
    catalog: Path | None = None,
    *,
    settings: SchedulerSettings = IMPATIENT,
) -> tuple[Run, ObjectVerifyJob]:
    run = Run()
    tally = Tally([run])
    opened = None if catalog is None else Catalog.open(str(catalog))
    with OutputFolder.open_to_read(folder) as there:
        job = ObjectVerifyJob(Lister(store, tally), there, tally, opened)
        scheduler = Scheduler(job, settings, observe=tally.tell)
        tasks = job.tasks([group_of()])
        run.ended = await run_job(job, tasks, scheduler=scheduler, tally=tally, finish=job.finish)
    if opened is not None:
        opened.close()
    return run, job


@pytest.mark.parametrize("has_etags", [True, False])
async def test_what_a_store_lists_has_to_be_there(tmp_path: Path, *, has_etags: bool) -> None:
    objects = {f"{n}.dcm": ct(number=n) for n in range(1, 6)} | {"6.txt": b"text"}
    for key, content in objects.items():
        (tmp_path / key).write_bytes(content)
    (tmp_path / "1.dcm").unlink()
    (tmp_path / "2.dcm").write_bytes(ct(number=2) + b"x")
    flipped = bytearray(ct(number=3))
    flipped[-10] ^= 1
    (tmp_path / "3.dcm").write_bytes(flipped)
    (tmp_path / "extra").write_bytes(b"x")
    store = MemoryStore(objects, has_etags=has_etags)
    run, job = await listed(store, tmp_path)
    expected = {"object s3://bucket/1.dcm": Incomplete, "object s3://bucket/2.dcm": DigestMismatch}
    if has_etags:
        expected["object s3://bucket/3.dcm"] = DigestMismatch
    assert {str(f.target): type(f.error) for f in run.failed} == expected
    assert job.unproven == (0 if has_etags else 1)
    # Before a file is called damaged, the head of its object has to confirm the digest.
    heads = {"head": 2} if has_etags else {}
    assert (job.unlisted, store.counts()) == (1, {"list": 1, **heads})


async def test_an_etag_that_is_no_digest_accuses_nobody(tmp_path: Path) -> None:
    objects = {"1.dcm": ct(number=1), "2.dcm": ct(number=2), "3.txt": b"text"}
    for key, content in objects.items():
        (tmp_path / key).write_bytes(content)
    (tmp_path / "2.dcm").write_bytes(ct(number=2)[:-10] + bytes(10) + b"x")
    run, job = await listed(MemoryStore(objects, is_encrypted=True), tmp_path)
    assert [s.path for s in run.skipped] == ["1.dcm"]
    assert [str(f.target) for f in run.failed] == ["object s3://bucket/2.dcm"]
    assert job.unproven == 1


async def test_the_catalog_proves_what_a_store_cannot(tmp_path: Path) -> None:
    out, catalog = tmp_path / "out", tmp_path / "catalog"
    objects = {"1.dcm": ct(number=1), "2": b"text"}
    store = MemoryStore(objects, has_etags=False)
    with Catalog.open(str(catalog)) as opened:
        async with open_keeper(out, catalog=opened) as keeper:
            await fetch_objects(store, keeper)
    (out / "2").write_bytes(b"test")
    run, _ = await listed(store, out, catalog)
    assert [s.path for s in run.skipped] == ["1.dcm"]
    assert [str(f.error) for f in run.failed] == ["not the bytes that were stored"]


async def test_without_a_list_nothing_is_called_unlisted(tmp_path: Path) -> None:
    write_series(tmp_path, 1)
    run, job = await listed(MemoryStore({}, {"list ": [NotFound("no", status_code=404)]}), tmp_path)
    assert [type(f.error) for f in run.failed] == [NotFound]
    assert job.unlisted == 0


class Closed(MemoryStore):
    """Lists its objects, and says nothing else of them."""

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        """Refuse."""
        raise Unauthorized(f"{bucket}/{key} does not open", status_code=403)


async def test_a_run_that_was_stopped_calls_nothing_unlisted(tmp_path: Path) -> None:
    objects = {f"{n}.dcm": ct(number=n) for n in range(1, 6)}
    for key, content in objects.items():
        (tmp_path / key).write_bytes(content[:-1] + b"x" if key == "1.dcm" else content)
    abort = SchedulerSettings(concurrency=1, abort=AbortPolicy(max_errors=0))
    run, job = await listed(Closed(objects), tmp_path, settings=abort)
    assert run.ended is not None
    assert run.ended.aborted
    assert job.unlisted == 0


async def test_a_file_proves_only_one_of_two_objects_that_share_its_name(tmp_path: Path) -> None:
    objects = {"x//1.dcm": ct(number=1), "x/_/1.dcm": ct(number=2)}
    assert len({len(content) for content in objects.values()}) == 1
    (tmp_path / "x" / "_").mkdir(parents=True)
    (tmp_path / "x" / "_" / "1.dcm").write_bytes(ct(number=1))
    run, _ = await listed(MemoryStore(objects, has_etags=False), tmp_path)
    assert [str(s.target) for s in run.skipped] == ["object s3://bucket/x//1.dcm"]
    failed = [(str(f.target), type(f.error)) for f in run.failed]
    assert failed == [("object s3://bucket/x/_/1.dcm", NameTaken)]


async def test_two_objects_of_the_same_bytes_may_share_a_file(tmp_path: Path) -> None:
    objects = {"x//1.dcm": ct(number=1), "x/_/1.dcm": ct(number=1)}
    (tmp_path / "x" / "_").mkdir(parents=True)
    (tmp_path / "x" / "_" / "1.dcm").write_bytes(ct(number=1))
    run, _ = await listed(MemoryStore(objects), tmp_path)
    assert (len(run.skipped), run.failed) == (2, [])
