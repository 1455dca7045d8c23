"""The job of `get` from an object store: what is listed, fetched, proven, and called missing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from asyncdicom.engine.scheduler import SchedulerSettings
from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    DiskFull,
    Incomplete,
    NotFound,
    ProtocolError,
    Throttled,
    Truncated,
    UidMismatch,
    UnexpectedContent,
)
from asyncdicom.jobs.object_job import ObjectOptions
from asyncdicom.model import Resource, Uid, parse_uid
from asyncdicom.policy.abort import AbortPolicy
from asyncdicom.policy.retry import RetryPolicy
from asyncdicom.storage.catalog import Catalog
from asyncdicom.storage.layout import Layout
from asyncdicom.storage.object_names import LayoutNaming
from asyncdicom.storage.templates import parse_layout
from tests.jobs.object_support import Cut, MemoryStore, fetch_objects, group_of, open_keeper
from tests.jobs.support import files_in
from tests.support.dicom import ct, uid

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

CONTENT = ct(number=1)


def series_of(count: int) -> dict[str, bytes]:
    return {f"s/{number}.dcm": ct(number=number) for number in range(1, count + 1)}


async def test_objects_become_files_named_by_their_keys(tmp_path: Path) -> None:
    store = MemoryStore({**series_of(3), "s/notes/a.txt": b"hello", "s/": b"", "t/1.dcm": CONTENT})
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, [group_of("s/")])
    assert run.is_complete
    assert files_in(tmp_path) == {
        "1.dcm": ct(number=1),
        "2.dcm": ct(number=2),
        "3.dcm": ct(number=3),
        "notes/a.txt": b"hello",
    }
    assert [(s.path, s.remarks) for s in run.stored if s.remarks] == [
        ("notes/a.txt", ("no DICOM file",))
    ]


async def test_pages_are_listed_while_objects_are_fetched(tmp_path: Path) -> None:
    store = MemoryStore({f"{number:04}": b"x" for number in range(700)}, page_objects=300)
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert len(run.stored) == 700
    listed = [index for index, line in enumerate(store.asked) if line.startswith("list")]
    assert [store.asked[index] for index in listed] == ["list", "list  0299", "list  0599"]
    assert listed == [0, 45, 346]


async def test_the_group_says_how_many_there_have_to_be(tmp_path: Path) -> None:
    store = MemoryStore(series_of(3))
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, [group_of("s/", expected_count=4)])
    assert len(run.stored) == 3
    (failed,) = run.failed
    assert failed.target.resource is Resource.LISTING
    assert isinstance(failed.error, Incomplete)
    assert (failed.error.expected, failed.error.received) == (4, 3)


@pytest.mark.parametrize("content", [bytes(len(CONTENT)), CONTENT.replace(b"DICM", b"DIDM")])
async def test_in_a_known_series_nothing_but_its_instances_is_whole(
    tmp_path: Path, content: bytes
) -> None:
    group = group_of("s/", series_instance_uid=Uid(uid("series", 1)), expected_count=1)
    store = MemoryStore({"s/1.dcm": content}, has_etags=False)
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, [group])
    assert [type(f.error) for f in run.failed] == [UidMismatch]
    assert files_in(tmp_path) == {}


async def test_what_the_store_proves_is_kept_in_a_known_series_too(tmp_path: Path) -> None:
    series = Uid(uid("series", 1))
    promised = {"s/1.txt": ("md5", hashlib.md5(b"text").digest())}
    store = MemoryStore({"s/1.txt": b"text"}, promised=promised)
    async with open_keeper(tmp_path) as keeper:
        groups = [
            group_of("s/", series_instance_uid=series),
            group_of("s/1.txt", sop_instance_uid=Uid(uid("instance", 1)), is_single=True),
        ]
        run = await fetch_objects(store, keeper, groups)
    assert [s.remarks for s in run.stored] == [("no DICOM file",)]
    # But it is no instance that somebody asked for.
    assert [type(f.error) for f in run.failed] == [UidMismatch]


async def test_the_group_says_how_many_bytes_there_have_to_be(tmp_path: Path) -> None:
    store = MemoryStore({"a": b"12345"})
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, [group_of(expected_count=1, expected_bytes=6)])
    assert [str(f.error) for f in run.failed] == ["6 bytes expected, 5 listed"]
    assert len(run.stored) == 1


async def test_an_empty_prefix_is_not_found(tmp_path: Path) -> None:
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(MemoryStore({"s/": b""}), keeper, [group_of("s/")])
    assert [type(f.error) for f in run.failed] == [NotFound]


async def test_one_object_is_fetched_by_its_key(tmp_path: Path) -> None:
    store = MemoryStore({"s/1.dcm": CONTENT, "s/1.dcm.old": b"other"})
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, [group_of("s/1.dcm", is_single=True)])
    assert run.is_complete
    assert files_in(tmp_path) == {"1.dcm": CONTENT}
    assert store.asked == ["head s/1.dcm", "get s/1.dcm"]


async def test_an_object_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(MemoryStore({}), keeper, [group_of("x", is_single=True)])
    (failed,) = run.failed
    assert failed.target.resource is Resource.OBJECT
    assert isinstance(failed.error, NotFound)


async def test_only_what_is_accepted_counts(tmp_path: Path) -> None:
    store = MemoryStore({"a.dcm": CONTENT, "b.txt": b"text"})
    options = ObjectOptions(accepts=lambda _, key: key.endswith(".dcm"))
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, [group_of(expected_count=1)], options=options)
    assert run.is_complete
    assert set(files_in(tmp_path)) == {"a.dcm"}


@pytest.mark.parametrize(
    ("has_etags", "has_times", "tries", "asked"),
    [
        pytest.param(True, False, 1, ["get a", "get a 700-"], id="from the byte it reached"),
        pytest.param(False, True, 1, ["get a", "get a 700-"], id="where a time names the version"),
        pytest.param(False, False, 2, ["get a", "get a"], id="anew where nothing does"),
    ],
)
@pytest.mark.parametrize(
    "error", [pytest.param(None, id="a short body"), pytest.param(ConnectionLost("cut"), id="cut")]
)
async def test_a_broken_body_continues(
    tmp_path: Path,
    *,
    has_etags: bool,
    has_times: bool,
    tries: int,
    asked: list[str],
    error: ConnectionLost | None,
) -> None:
    faults: dict[str, list[Cut | AsyncDicomError | None]] = {"a": [Cut(700, error)]}
    store = MemoryStore({"a": CONTENT}, faults, has_etags=has_etags, has_times=has_times)
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert run.is_complete
    assert files_in(tmp_path) == {"a": CONTENT}
    assert store.asked[1:] == asked
    assert [s.attempts for s in run.stored] == [tries]


async def test_a_server_that_ignores_ranges_sends_the_rest_too(tmp_path: Path) -> None:
    store = MemoryStore({"a": CONTENT}, {"a": [Cut(700)]}, honours_ranges=False)
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert run.is_complete
    assert files_in(tmp_path) == {"a": CONTENT}


async def test_a_body_that_always_breaks_fails(tmp_path: Path) -> None:
    store = MemoryStore({"a": CONTENT}, {"a": [Cut(1)] * 100})
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert [type(f.error) for f in run.failed] == [Truncated]
    assert store.counts()["get"] == 3 * 17
    assert files_in(tmp_path) == {}


async def test_a_refusal_is_tried_again(tmp_path: Path) -> None:
    store = MemoryStore({"a": CONTENT}, {"a": [Throttled("slow down", status_code=503)]})
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert run.is_complete
    assert run.retried == ["object s3://bucket/a: throttled"]


async def test_a_damaged_dicom_file_is_never_stored(tmp_path: Path) -> None:
    store = MemoryStore({"a": CONTENT[:-100]})
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert [isinstance(f.error, ProtocolError) for f in run.failed] == [True]
    assert files_in(tmp_path) == {}


async def test_a_dicom_file_of_another_series_is_refused(tmp_path: Path) -> None:
    store = MemoryStore({"a": ct(number=1, series=2)})
    group = group_of(series_instance_uid=parse_uid(uid("series", 1)))
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, [group])
    assert [type(f.error) for f in run.failed] == [UidMismatch]
    assert files_in(tmp_path) == {}


async def test_what_does_not_fit_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("jobs.object_job", "storage.room"):
        monkeypatch.setattr(f"asyncdicom.{place}.free_bytes", lambda _: 10)
    store = MemoryStore({"a": b"12345", "b": b"123456"})
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert [isinstance(f.error, DiskFull) for f in run.failed] == [True]
    assert run.failed[0].target.resource is Resource.LISTING
    assert store.counts() == {"list": 1}


async def test_what_is_there_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore({"a": b"12345", "b": b"123456"})
    async with open_keeper(tmp_path) as keeper:
        await fetch_objects(store, keeper)
    for place in ("jobs.object_job", "storage.room"):
        monkeypatch.setattr(f"asyncdicom.{place}.free_bytes", lambda _: 0)
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert len(run.skipped) == 2


async def test_what_is_there_takes_no_room_on_later_pages_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore({f"{number:04}": b"x" * 100 for number in range(700)}, page_objects=300)
    async with open_keeper(tmp_path) as keeper:
        await fetch_objects(store, keeper)
    for place in ("jobs.object_job", "storage.room"):
        monkeypatch.setattr(f"asyncdicom.{place}.free_bytes", lambda _: 10)
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper)
    assert run.failed == []
    assert len(run.skipped) == 700


async def test_what_the_catalog_knows_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(series_of(3))
    group = group_of(naming=LayoutNaming(Layout(parse_layout("flat"))))
    for _ in range(2):
        with Catalog.open(str(tmp_path / "catalog")) as catalog:
            async with open_keeper(tmp_path / "out", catalog=catalog) as keeper:
                run = await fetch_objects(store, keeper, [group])
        for place in ("jobs.object_job", "storage.room"):
            monkeypatch.setattr(f"asyncdicom.{place}.free_bytes", lambda _: 10)
    assert run.failed == []
    assert len(run.skipped) == 3


async def test_where_room_is_tight_a_link_in_the_way_costs_its_object_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {"a": b"x" * 100, "b": b"y"}
    (tmp_path / "a").symlink_to("elsewhere")
    # Too little at first; somebody makes room while it is looked what is there.
    monkeypatch.setattr("asyncdicom.jobs.object_job.free_bytes", lambda _: 10)
    monkeypatch.setattr("asyncdicom.storage.room.free_bytes", lambda _: 1000)
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(MemoryStore(objects), keeper)
    assert [str(f.target) for f in run.failed] == ["object s3://bucket/a"]
    assert [s.path for s in run.stored] == ["b"]


async def test_an_object_that_is_no_dicom_file_has_no_name_in_a_layout(tmp_path: Path) -> None:
    naming = LayoutNaming(Layout(parse_layout("flat")))
    store = MemoryStore({"a": b"text", "b": CONTENT})
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, [group_of(naming=naming)])
    assert [type(f.error) for f in run.failed] == [UnexpectedContent]
    assert list(files_in(tmp_path)) == [f"{uid('instance', 1)}.dcm"]


async def test_a_stopped_run_names_what_was_never_listed(tmp_path: Path) -> None:
    store = MemoryStore({f"{n:04}": b"x" for n in range(900)}, page_objects=500)
    store.faults = {"0001": [NotFound("gone", status_code=404)]}
    store.__post_init__()
    once = SchedulerSettings(
        concurrency=1, retry=RetryPolicy(retries=0), abort=AbortPolicy(max_errors=0)
    )
    async with open_keeper(tmp_path) as keeper:
        run = await fetch_objects(store, keeper, settings=once)
    named = {str(f.target) for f in run.failed}
    assert "listing s3://bucket/" in named
    assert len(run.stored) + len(run.failed) == 501
