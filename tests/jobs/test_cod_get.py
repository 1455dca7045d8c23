"""Getting from a Cloud-Optimized DICOM store: streams, spans, proofs, and what is named missing."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import ConnectionLost, NotFound, Throttled
from asyncdicom.events import Finished
from asyncdicom.jobs import cod_get
from asyncdicom.jobs.cod_archive import CodArchive
from asyncdicom.jobs.cod_get import CodFinder
from asyncdicom.jobs.get import GetOptions
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.model import Resource, Stored, Target, Uid
from asyncdicom.policy.granularity import Granularity
from asyncdicom.protocol.cod.places import metadata_key, series_prefix, tar_key
from asyncdicom.sources.cod import CodSource
from tests.jobs.support import IMPATIENT, Run, files_in, open_store
from tests.support.cod import ROOT, CodObjects, Fault, MemoryCodStore, SeriesMaker, hashed
from tests.support.dicom import ct, samples, small_instance, uid

if TYPE_CHECKING:
    from pathlib import Path

    from asyncdicom.jobs.instance_store import InstanceStore
    from asyncdicom.jobs.zip_store import ZipStore

pytestmark = pytest.mark.anyio


def small_instances(count: int, *, series: int = 1, first: int = 1) -> list[bytes]:
    return [small_instance(number, series=series) for number in range(first, first + count)]


LAYOUT = "{StudyInstanceUID}/{SeriesInstanceUID}/instances"
IN_ZIP = "{SeriesInstanceUID}/instances"
COUNT = 6


@pytest.fixture
def instances() -> list[bytes]:
    return small_instances(COUNT)


@pytest.fixture
def objects() -> CodObjects:
    return CodObjects()


@pytest.fixture
def series(objects: CodObjects, instances: list[bytes]) -> SeriesMaker:
    return objects.add_series(instances)


async def get(
    memory: MemoryCodStore,
    store: InstanceStore | ZipStore,
    *targets: Target,
    options: GetOptions | None = None,
) -> Run:
    run = Run()
    tally = Tally([run])
    job = CodArchive(CodSource(ROOT, memory)).get_job(store, tally, options or GetOptions())
    run.ended = await run_job(
        job,
        job.tasks(targets),
        scheduler=Scheduler(job, IMPATIENT, observe=tally.tell),
        tally=tally,
        finish=store.finish,
    )
    return run


def study_of(series: SeriesMaker) -> Target:
    return Target(Resource.STUDY, series.study)


def tar_of(series: SeriesMaker) -> str:
    return tar_key(ROOT, series.study, series.series)


def names_of(series: SeriesMaker, *, in_zip: bool = False) -> dict[str, bytes]:
    root = series.series if in_zip else f"{series.study}/{series.series}"
    return {f"{root}/instances/{series.uid_of(one)}.dcm": one for one in series.instances}


@pytest.mark.parametrize("version", ["2.0", "1.0", None])
@pytest.mark.parametrize("is_gzipped", [True, False])
async def test_a_study_comes_whole_in_one_stream_per_series(
    objects: CodObjects,
    instances: list[bytes],
    tmp_path: Path,
    version: str | None,
    is_gzipped: bool,  # noqa: FBT001 -- a column
) -> None:
    series = objects.add_series(instances, version=version, is_gzipped=is_gzipped)
    memory = MemoryCodStore(objects)
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(memory, store, study_of(series))
    assert run.is_complete
    assert files_in(tmp_path) == names_of(series)
    assert [line for line in memory.asked if ".tar" in line] == [f"get {series.series}.tar"]
    assert run.planned == [(series.study, COUNT)]


async def test_the_first_instance_is_stored_before_the_archive_has_ended(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    lost: list[Fault | None] = [
        Fault(ConnectionLost("reset"), 1536 + len(series.instances[0]) + 4096)
    ] * 9
    memory = MemoryCodStore(objects, faults={tar_of(series): lost})
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(memory, store, study_of(series))
    assert run.stored[0].target.sop_instance_uid == series.uid_of(series.instances[0])


async def test_a_stream_that_breaks_goes_on_where_it_broke(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    cut = Fault(ConnectionLost("reset"), 3 * 4096)
    memory = MemoryCodStore(objects, faults={tar_of(series): [cut]})
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(memory, store, study_of(series))
    assert run.is_complete
    assert files_in(tmp_path) == names_of(series)
    first, second = [line for line in memory.asked if ".tar" in line]
    assert second.startswith(f"{first} ")
    assert second.endswith("-")
    assert len(run.retried) == 1


async def test_a_stream_that_always_breaks_gives_way_to_spans(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    cuts: list[Fault | None] = [Fault(ConnectionLost("reset"), 100)] * 3
    memory = MemoryCodStore(objects, faults={tar_of(series): cuts})
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(memory, store, study_of(series))
    assert run.is_complete
    assert files_in(tmp_path) == names_of(series)
    assert len([line for line in memory.asked if ".tar" in line]) == 3 + COUNT


@pytest.mark.parametrize("honours_ranges", [True, False])
async def test_a_few_missing_instances_are_asked_for_by_their_spans(
    objects: CodObjects,
    series: SeriesMaker,
    tmp_path: Path,
    honours_ranges: bool,  # noqa: FBT001 -- a column
) -> None:
    last = series.instances[-1]
    memory = MemoryCodStore(objects, honours_ranges=honours_ranges)
    async with open_store(tmp_path, layout=LAYOUT) as store:
        await get(memory, store, study_of(series))
    expected = names_of(series)
    name = next(name for name, content in expected.items() if content == last)
    (tmp_path / name).unlink()
    memory.asked.clear()
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(memory, store, study_of(series))
    assert (len(run.skipped), len(run.stored)) == (COUNT - 1, 1)
    assert files_in(tmp_path) == expected
    start = objects[tar_of(series)].index(last)
    asked = [line for line in memory.asked if ".tar" in line]
    assert asked == [f"get {series.series}.tar {start}-{start + len(last) - 1}"]


async def test_a_second_run_fetches_no_archive(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    memory = MemoryCodStore(objects)
    for _ in range(2):
        memory.asked.clear()
        async with open_store(tmp_path, layout=LAYOUT) as store:
            run = await get(memory, store, study_of(series))
    assert len(run.skipped) == COUNT
    assert not [line for line in memory.asked if ".tar" in line]


async def test_a_file_with_other_bytes_is_fetched_again(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    memory = MemoryCodStore(objects)
    async with open_store(tmp_path, layout=LAYOUT) as store:
        await get(memory, store, study_of(series))
    name, content = next(iter(names_of(series).items()))
    # Structurally whole, of the same size and UID: only the checksum tells.
    (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(memory, store, study_of(series))
    assert (len(run.skipped), len(run.stored)) == (COUNT - 1, 1)
    assert files_in(tmp_path) == names_of(series)


@pytest.mark.parametrize("granularity", [Granularity.INSTANCE, Granularity.SERIES])
async def test_who_says_what_to_ask_for_gets_that(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path, granularity: Granularity
) -> None:
    memory = MemoryCodStore(objects)
    async with open_store(tmp_path) as store:
        run = await get(
            memory, store, study_of(series), options=GetOptions(granularity=granularity)
        )
    assert run.is_complete
    asked = [line for line in memory.asked if ".tar" in line]
    assert len(asked) == (COUNT if granularity is Granularity.INSTANCE else 1)


async def test_one_damaged_instance_costs_itself_alone_and_is_named(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    victim = series.instances[2]
    at = objects[tar_of(series)].index(victim) + len(victim) - 3
    archive = bytearray(objects[tar_of(series)])
    archive[at] ^= 1
    objects[tar_of(series)] = bytes(archive)
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects), store, study_of(series))
    assert [one.target.sop_instance_uid for one in run.failed] == [series.uid_of(victim)]
    assert run.failed[0].error.reason == "digest-mismatch"
    assert run.ended is not None
    assert (run.ended.stored, run.ended.corrupt) == (COUNT - 1, 1)
    assert len(files_in(tmp_path)) == COUNT - 1


def changed(uid: str, **fields: Any) -> Any:
    def change(document: dict[str, Any]) -> None:
        document["cod"]["instances"][uid].update(fields)

    return change


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"size": 700}, "digest-mismatch", id="another size"),
        pytest.param({"headers": {"start_byte": 1}}, "protocol-error", id="another place"),
        pytest.param({"crc32c": "AAAAAA=="}, "digest-mismatch", id="another checksum"),
        pytest.param({"version": "9.0"}, "content-error", id="an unknown version"),
        pytest.param({"uri": "gs://elsewhere/x"}, "content-error", id="a place elsewhere"),
        pytest.param({"headers": {"start_byte": 10**9}}, "truncated", id="behind the end"),
    ],
)
async def test_what_the_metadata_has_wrong_is_named_and_the_rest_comes(
    objects: CodObjects, instances: list[bytes], tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    wrong = uid("instance", 3)
    series = objects.add_series(instances, change=changed(wrong, **fields))
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(
            MemoryCodStore(objects),
            store,
            study_of(series),
            options=GetOptions(granularity=Granularity.INSTANCE),
        )
    assert [(one.target.sop_instance_uid, one.error.reason) for one in run.failed] == [
        (wrong, reason)
    ]
    assert len(files_in(tmp_path)) == COUNT - 1


async def test_the_size_of_a_wrong_place_does_not_matter_to_a_stream(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    series = objects.add_series(
        instances, change=changed(uid("instance", 3), headers={"start_byte": 1})
    )
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects), store, study_of(series))
    assert run.is_complete
    assert files_in(tmp_path) == names_of(series)


async def test_a_file_that_is_another_instance_is_refused(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    lie = changed(uid("instance", 3), instance_uid=uid("instance", 3), study_uid="2.999.1.7")
    series = objects.add_series(instances, change=lie)
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects), store, study_of(series))
    assert [one.error.reason for one in run.failed] == ["uid-mismatch"]


async def test_hashed_stores_name_files_by_their_keys_and_find_them_again(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    for version in ("2.0", "1.0"):
        series = objects.add_series(instances, is_hashed=True, version=version)
        memory = MemoryCodStore(objects)
        async with open_store(tmp_path / version, layout=LAYOUT) as store:
            run = await get(memory, store, study_of(series))
        assert run.is_complete
        assert files_in(tmp_path / version) == names_of(series)
        assert hashed(uid("instance", 1)) in next(iter(names_of(series)))
        async with open_store(tmp_path / version, layout=LAYOUT) as store:
            run = await get(memory, store, study_of(series))
        assert len(run.skipped) == COUNT


async def test_a_damaged_file_of_a_hashed_store_is_replaced(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    series = objects.add_series(instances, is_hashed=True)
    memory = MemoryCodStore(objects)
    async with open_store(tmp_path, layout=LAYOUT) as store:
        await get(memory, store, study_of(series))
    name, content = next(iter(names_of(series).items()))
    (tmp_path / name).write_bytes(content[:600])
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(memory, store, study_of(series))
    assert run.is_complete
    assert files_in(tmp_path) == names_of(series)


async def test_all_pages_of_the_list_are_read_and_folder_or_archive_make_a_series(
    objects: CodObjects, tmp_path: Path
) -> None:
    made = [
        objects.add_series(small_instances(2, series=number, first=10 * number))
        for number in range(1, 8)
    ]
    without_folder, without_archive = made[1], made[4]
    del objects[metadata_key(ROOT, without_folder.study, without_folder.series)]
    del objects[tar_of(without_archive)]
    objects[f"{series_prefix(ROOT, made[0].study)}notes.txt"] = b""
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects, page_length=3), store, study_of(made[0]))
    assert len(files_in(tmp_path)) == 2 * 5
    failed = {
        (one.target.series_instance_uid, one.target.sop_instance_uid, one.error.reason)
        for one in run.failed
    }
    assert failed == {
        (without_folder.series, None, "content-error"),
        *(
            (without_archive.series, without_archive.uid_of(one), "content-error")
            for one in without_archive.instances
        ),
    }


async def test_one_series_with_damaged_metadata_does_not_break_its_study(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    other = objects.add_series(small_instances(2, series=2, first=50))
    objects[metadata_key(ROOT, other.study, other.series)] = b"<html>"
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects), store, study_of(series))
    assert files_in(tmp_path) == names_of(series)
    assert [one.target for one in run.failed] == [
        Target(Resource.SERIES, other.study, other.series)
    ]


async def test_a_series_whose_metadata_says_nothing_of_instances_is_missing(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    series = objects.add_series(instances, change=lambda document: document.pop("cod"))
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects), store, study_of(series))
    assert [str(one.error) for one in run.failed] == ["the metadata says nothing of instances"]
    assert not run.is_complete


async def test_metadata_under_load_is_asked_for_again(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    busy = Fault(Throttled("slow down", status_code=503))
    faults: dict[str, list[Fault | None]] = {
        metadata_key(ROOT, series.study, series.series): [busy],
        series_prefix(ROOT, series.study): [busy],
    }
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects, faults=faults), store, study_of(series))
    assert run.is_complete
    assert len(run.retried) == 2


async def test_a_study_that_is_not_there_is_not_found(objects: CodObjects, tmp_path: Path) -> None:
    target = Target(Resource.STUDY, Uid("1.2.3"))
    async with open_store(tmp_path) as store:
        run = await get(MemoryCodStore(objects), store, target)
    assert [(one.target, type(one.error)) for one in run.failed] == [(target, NotFound)]


@pytest.mark.parametrize("level", ["series", "instance"])
async def test_series_and_instances_can_be_named(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path, level: str
) -> None:
    one = series.uid_of(series.instances[1]) if level == "instance" else None
    target = Target(Resource(level), series.study, series.series, one)
    memory = MemoryCodStore(objects)
    async with open_store(tmp_path) as store:
        run = await get(memory, store, target)
    assert run.is_complete
    assert len(run.stored) == (1 if one else COUNT)
    assert not [line for line in memory.asked if line.startswith("list")]


async def test_an_instance_that_is_not_listed_is_not_found(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    target = Target(Resource.INSTANCE, series.study, series.series, Uid("1.2.3"))
    missing = Target(Resource.SERIES, series.study, Uid("1.2.3"))
    async with open_store(tmp_path) as store:
        run = await get(MemoryCodStore(objects), store, target, missing)
    assert [(one.target, type(one.error)) for one in run.failed] == [
        (target, NotFound),
        (missing, NotFound),
    ]


async def test_an_instance_that_is_refused_is_told_when_it_is_named(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    wrong = Uid(uid("instance", 3))
    series = objects.add_series(instances, change=changed(wrong, version="9"))
    target = Target(Resource.INSTANCE, series.study, series.series, wrong)
    async with open_store(tmp_path) as store:
        run = await get(MemoryCodStore(objects), store, target)
    assert "unknown version" in str(run.failed[0].error)


async def test_a_key_that_is_no_uid_fails_with_its_series(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    def change(document: dict[str, Any]) -> None:
        entries = document["cod"]["instances"]
        entries["../evil"] = entries.pop(uid("instance", 3))

    series = objects.add_series(instances, change=change)
    async with open_store(tmp_path / "out", layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects), store, study_of(series))
    assert len(files_in(tmp_path)) == COUNT - 1
    assert [one.target for one in run.failed] == [
        Target(Resource.SERIES, series.study, series.series)
    ]


async def test_a_dry_run_counts_and_fetches_no_archive(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    memory = MemoryCodStore(objects)
    async with open_store(tmp_path) as store:
        run = await get(memory, store, study_of(series), options=GetOptions(dry_run=True))
    assert run.planned == [(series.study, COUNT)]
    assert not [line for line in memory.asked if ".tar" in line]


@pytest.mark.parametrize("is_hashed", [False, True])
async def test_a_zip_has_all_series_of_its_study_and_is_found_again(
    objects: CodObjects,
    instances: list[bytes],
    tmp_path: Path,
    is_hashed: bool,  # noqa: FBT001 -- a column
) -> None:
    one = objects.add_series(instances, is_hashed=is_hashed)
    two = objects.add_series(small_instances(2, series=2, first=50), is_hashed=is_hashed)
    memory = MemoryCodStore(objects)
    for fetched in (1, 0):
        memory.asked.clear()
        async with open_store(tmp_path, layout=IN_ZIP, as_zip=True) as store:
            run = await get(memory, store, study_of(one))
        assert run.is_complete
        assert bool([line for line in memory.asked if ".tar" in line]) is bool(fetched)
    assert list(files_in(tmp_path)) == [f"{one.study}.zip"]
    assert zipped(tmp_path / f"{one.study}.zip") == {
        **names_of(one, in_zip=True),
        **names_of(two, in_zip=True),
    }


def zipped(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


async def test_a_zip_of_a_study_with_an_unknown_series_is_not_called_whole(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    other = objects.add_series(small_instances(2, series=2, first=50))
    objects[metadata_key(ROOT, other.study, other.series)] = b"<html>"
    async with open_store(tmp_path, layout=IN_ZIP, as_zip=True) as store:
        await get(MemoryCodStore(objects), store, study_of(series))
    assert list(files_in(tmp_path)) == [f"{series.study}.incomplete.zip"]


async def test_a_series_that_is_completed_later_keeps_what_its_zip_has(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    one = objects.add_series(instances, is_hashed=True)
    two = objects.add_series(small_instances(2, series=2, first=50), is_hashed=True)
    for series in (one, two):
        target = Target(Resource.SERIES, series.study, series.series)
        async with open_store(tmp_path, layout=IN_ZIP, as_zip=True) as store:
            run = await get(MemoryCodStore(objects), store, target)
        assert run.is_complete
    assert zipped(tmp_path / f"{one.study}.zip") == {
        **names_of(one, in_zip=True),
        **names_of(two, in_zip=True),
    }


async def test_outcomes_are_told_under_the_names_of_the_store(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    series = objects.add_series(instances, is_hashed=True)
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects), store, study_of(series))
    told = [event.outcome for event in run.events if isinstance(event, Finished)]
    assert all(isinstance(one, Stored) for one in told)
    assert {one.target.study_instance_uid for one in told} == {series.study}


async def test_an_instance_that_lacks_something_is_kept_if_its_checksum_says_so(
    objects: CodObjects, tmp_path: Path
) -> None:
    odd = samples()["encapsulated document"].replace(b"B\x00\x12\x00LO", b"B\x00\x13\x00LO")
    for crc32c, requests in ((..., 1), (None, 2)):
        change = (lambda _: None) if crc32c is ... else changed(uid("instance", 1), crc32c=None)
        series = objects.add_series([odd], change=change)
        memory = MemoryCodStore(objects)
        async with open_store(tmp_path / str(requests), layout=LAYOUT) as store:
            run = await get(memory, store, study_of(series))
        assert run.is_complete
        assert run.stored[0].remarks
        assert len([line for line in memory.asked if ".tar" in line]) == requests


async def test_an_instance_that_two_series_have_is_named_once_and_comes_once(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    one = objects.add_series(instances)
    two = objects.add_series([small_instance(2, series=2), small_instance(50, series=2)])
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects), store, study_of(one))
    assert len(run.stored) == COUNT + 1
    ((target, reason),) = [(failed.target, failed.error.reason) for failed in run.failed]
    assert (target.sop_instance_uid, reason) == (uid("instance", 2), "content-error")
    assert target.series_instance_uid in (one.series, two.series)


async def test_metadata_are_read_once_for_many_instances_of_a_series(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    memory = MemoryCodStore(objects)
    targets = [
        Target(Resource.INSTANCE, series.study, series.series, series.uid_of(one))
        for one in series.instances
    ]
    async with open_store(tmp_path) as store:
        run = await get(memory, store, *targets)
    assert len(run.stored) == COUNT
    assert memory.asked.count("get metadata.json") == 1


async def test_what_was_read_is_forgotten_in_time(
    objects: CodObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cod_get, "MAX_REMEMBERED", 2)
    made = [objects.add_series([small_instance(number, series=number)]) for number in range(1, 4)]
    memory = MemoryCodStore(objects)
    finder = CodFinder(CodSource(ROOT, memory))
    for series in (made[0], made[1], made[0], made[2], made[1], made[0]):
        await finder.expectation_of(Target(Resource.SERIES, series.study, series.series))
    assert len(memory.asked) == 3 + 2


async def test_a_stream_goes_on_behind_a_server_that_knows_no_ranges(
    objects: CodObjects, tmp_path: Path
) -> None:
    series = objects.add_series([ct(number=number, rows=64, columns=64) for number in range(1, 5)])
    faults: dict[str, list[Fault | None]] = {
        tar_of(series): [Fault(ConnectionLost("reset"), 6 * 4096)]
    }
    memory = MemoryCodStore(objects, faults=faults, honours_ranges=False)
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(memory, store, study_of(series))
    assert run.is_complete
    assert files_in(tmp_path) == names_of(series)
    assert len([line for line in memory.asked if ".tar" in line]) == 2


async def test_an_archive_that_ends_early_is_told_although_no_connection_broke(
    objects: CodObjects, series: SeriesMaker, tmp_path: Path
) -> None:
    faults: dict[str, list[Fault | None]] = {tar_of(series): [Fault(None, 3 * 4096)]}
    async with open_store(tmp_path, layout=LAYOUT) as store:
        run = await get(MemoryCodStore(objects, faults=faults), store, study_of(series))
    assert run.is_complete
    assert [line.rpartition(" ")[2] for line in run.retried] == ["truncated"]


async def test_a_zip_of_a_study_with_a_refused_instance_is_not_called_whole(
    objects: CodObjects, instances: list[bytes], tmp_path: Path
) -> None:
    series = objects.add_series(instances, change=changed(uid("instance", 3), version="9"))
    async with open_store(tmp_path, layout=IN_ZIP, as_zip=True) as store:
        await get(MemoryCodStore(objects), store, study_of(series))
    assert list(files_in(tmp_path)) == [f"{series.study}.incomplete.zip"]


@pytest.mark.parametrize("is_hashed", [False, True])
async def test_a_zip_whose_series_was_written_anew_has_each_instance_once(
    objects: CodObjects,
    instances: list[bytes],
    tmp_path: Path,
    is_hashed: bool,  # noqa: FBT001 -- a column
) -> None:
    newer = [ct(number=number, rows=32) for number in range(1, COUNT + 1)]
    for contents in (instances, newer):
        series = objects.add_series(contents, is_hashed=is_hashed)
        async with open_store(tmp_path, layout=IN_ZIP, as_zip=True) as store:
            run = await get(MemoryCodStore(objects), store, study_of(series))
        assert run.is_complete
    with zipfile.ZipFile(tmp_path / f"{series.study}.zip") as archive:
        assert sorted(archive.namelist()) == sorted(names_of(series, in_zip=True))
    assert zipped(tmp_path / f"{series.study}.zip") == names_of(series, in_zip=True)
