"""Large objects in parts: one version, one file, looked at in order."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom.engine.scheduler import SchedulerSettings
from asyncdicom.errors import (
    AsyncDicomError,
    ConnectionLost,
    DigestMismatch,
    ObjectChanged,
    ProtocolError,
    Throttled,
    Truncated,
)
from asyncdicom.jobs.object_job import ObjectOptions
from asyncdicom.jobs.object_ranges import Lanes
from asyncdicom.jobs.object_transfer import PartOptions
from asyncdicom.policy.retry import RetryPolicy
from tests.jobs.object_support import Cut, MemoryStore, fetch_objects, open_keeper
from tests.jobs.support import IMPATIENT, files_in
from tests.support.dicom import ct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncdicom.ports.objects import ObjectEntry
    from tests.jobs.object_support import MemoryAnswer
    from tests.jobs.support import Run

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
LARGE = ct(number=1, rows=1024, columns=2048)
"""4 MiB: four parts of one."""

PART_STARTS = [f"get a {first}" for first in ("0", "1114112", "2228224", "3342336")]


async def fetched(store: MemoryStore, folder: Path, *, at_once: int = 4, requests: int = 8) -> Run:
    parts = PartOptions(part_bytes=2 * MIB, at_once=at_once, requests=requests)
    async with open_keeper(folder, computes_sha256=True) as keeper:
        return await fetch_objects(store, keeper, options=ObjectOptions(parts=parts))


def starts_of(store: MemoryStore) -> list[str]:
    return [line.partition("-")[0] for line in store.asked if line.startswith("get")]


async def test_parts_make_one_file(tmp_path: Path) -> None:
    store = MemoryStore({"a": LARGE})
    run = await fetched(store, tmp_path)
    assert run.is_complete
    assert files_in(tmp_path) == {"a": LARGE}
    assert [s.sha256 for s in run.stored] == [hashlib.sha256(LARGE).hexdigest()]
    assert sorted(starts_of(store)) == sorted(PART_STARTS)
    assert store.counts()["head"] == 1


@pytest.mark.parametrize(
    ("options", "count"),
    [
        pytest.param({"at_once": 1}, 1, id="one part at once is no part"),
        pytest.param({"requests": 1}, 4, id="no request more than tasks may make"),
    ],
)
async def test_how_many_requests_are_made(
    tmp_path: Path, options: dict[str, int], count: int
) -> None:
    store = MemoryStore({"a": LARGE})
    run = await fetched(store, tmp_path, **options)
    assert run.is_complete
    assert files_in(tmp_path) == {"a": LARGE}
    assert len(starts_of(store)) == count


async def test_what_a_listing_promises_needs_no_further_question(tmp_path: Path) -> None:
    digest = hashlib.sha256(LARGE).digest()
    store = MemoryStore({"a": LARGE}, promised={"a": ("sha256", digest)})
    run = await fetched(store, tmp_path)
    assert run.is_complete
    assert store.counts()["head"] == 0


@pytest.mark.parametrize(
    "error", [pytest.param(None, id="a short body"), pytest.param(ConnectionLost("cut"), id="cut")]
)
async def test_a_part_that_breaks_continues(tmp_path: Path, error: AsyncDicomError | None) -> None:
    store = MemoryStore({"a": LARGE}, {"a": [Cut(100_000, error)]})
    run = await fetched(store, tmp_path)
    assert run.is_complete
    assert [s.attempts for s in run.stored] == [1]
    assert files_in(tmp_path) == {"a": LARGE}
    assert len(starts_of(store)) == 5


async def test_a_part_that_never_comes_fails_the_object(tmp_path: Path) -> None:
    store = MemoryStore({"a": LARGE}, {"a": [Cut(0)] * 100})
    run = await fetched(store, tmp_path)
    assert [type(f.error) for f in run.failed] == [Truncated]
    assert files_in(tmp_path) == {}


async def test_a_part_that_comes_byte_by_byte_is_left_for_a_while(tmp_path: Path) -> None:
    store = MemoryStore({"a": LARGE}, {"a": [Cut(1)] * 100})
    run = await fetched(store, tmp_path)
    assert run.is_complete
    assert run.retried == ["object s3://bucket/a: truncated"]


async def test_a_refused_part_is_tried_again(tmp_path: Path) -> None:
    store = MemoryStore({"a": LARGE}, {"a": [None, Throttled("slow down", status_code=503)]})
    run = await fetched(store, tmp_path)
    assert run.is_complete
    assert [s.attempts for s in run.stored] == [2]


async def test_a_server_that_ignores_ranges_is_asked_for_the_whole(tmp_path: Path) -> None:
    store = MemoryStore({"a": LARGE, "b": LARGE}, honours_ranges=False)
    run = await fetched(store, tmp_path)
    assert run.is_complete
    assert files_in(tmp_path) == {"a": LARGE, "b": LARGE}
    assert [line for line in store.asked if line.startswith("get b")] == ["get b"]


async def test_without_a_version_there_are_no_parts(tmp_path: Path) -> None:
    store = MemoryStore({"a": LARGE}, has_etags=False, has_times=False)
    run = await fetched(store, tmp_path)
    assert run.is_complete
    assert starts_of(store) == ["get a"]


async def test_a_damaged_part_is_never_stored(tmp_path: Path) -> None:
    store = MemoryStore({"a": LARGE}, promised={"a": ("md5", b"0" * 16)})
    run = await fetched(store, tmp_path)
    assert [type(f.error) for f in run.failed] == [DigestMismatch]
    assert files_in(tmp_path) == {}


async def test_a_walk_that_fails_ends_the_parts(tmp_path: Path) -> None:
    broken = LARGE[:1000] + b"\xff" * (len(LARGE) - 1000)
    store = MemoryStore({"a": broken})
    run = await fetched(store, tmp_path)
    assert [isinstance(f.error, ProtocolError) for f in run.failed] == [True]
    assert files_in(tmp_path) == {}


@dataclass
class ChangingStore(MemoryStore):
    """An object that is another one from the n-th answer on."""

    changes_at: int = 3
    later: bytes = b""
    _answers: int = field(default=0, init=False)

    def entry_of(self, key: str) -> ObjectEntry:
        """Count the answers."""
        self._answers += 1
        if self._answers == self.changes_at:
            self.objects = {key: self.later}
            if self.promised:
                self.promised = {key: ("sha256", hashlib.sha256(self.later).digest())}
        return super().entry_of(key)


@pytest.mark.parametrize("changes_at", [2, 3, 4, 5])
@pytest.mark.parametrize("has_etags", [True, False])
async def test_two_versions_never_make_one_file(
    tmp_path: Path, *, changes_at: int, has_etags: bool
) -> None:
    later = ct(number=2, rows=1024, columns=2048) + bytes(1000)
    store = ChangingStore({"a": LARGE}, has_etags=has_etags, changes_at=changes_at, later=later)
    run = await fetched(store, tmp_path)
    assert run.is_complete
    assert files_in(tmp_path) == {"a": later}
    assert [s.remarks for s in run.stored] == [("changed after it was listed",)]


@pytest.mark.parametrize("changes_at", [2, 3, 4, 5])
async def test_where_a_list_promises_digests_another_version_is_found_without_a_question(
    tmp_path: Path, changes_at: int
) -> None:
    later = ct(number=2, rows=1024, columns=2048) + bytes(1000)
    store = ChangingStore(
        {"a": LARGE},
        promised={"a": ("sha256", hashlib.sha256(LARGE).digest())},
        has_etags=False,
        changes_at=changes_at,
        later=later,
    )
    run = await fetched(store, tmp_path)
    assert run.retried == ["object s3://bucket/a: object-changed"]
    assert files_in(tmp_path) == {"a": later}


async def test_an_object_that_always_changes_fails(tmp_path: Path) -> None:
    faults: list[Cut | AsyncDicomError | None] = [
        ObjectChanged("again", status_code=412) for _ in range(50)
    ]
    run = await fetched(MemoryStore({"a": LARGE}, {"a": faults}), tmp_path)
    assert [type(f.error) for f in run.failed] == [ObjectChanged]


def test_lanes_are_no_more_than_there_are() -> None:
    lanes = Lanes(3)
    lanes.enter()
    assert [lanes.take(), lanes.take(), lanes.take()] == [True, True, False]
    lanes.leave()
    assert lanes.take()
    lanes.enter()
    lanes.leave()
    assert not lanes.take()


@dataclass
class Counting(MemoryStore):
    """Counts the requests at once for each object."""

    at_once: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def fetch(self, bucket: str, key: str, **how: Any) -> AsyncIterator[MemoryAnswer]:
        """Answer a GET."""
        async with super().fetch(bucket, key, **how) as answer:
            self.at_once[key] = max(self.at_once[key], self._under_way)
            yield answer


async def test_what_an_object_had_the_next_one_may_have(tmp_path: Path) -> None:
    store = Counting({"a": LARGE, "b": LARGE, "c": LARGE})
    await fetched(store, tmp_path, requests=4)
    assert store.at_once == {"a": 4, "b": 4, "c": 4}


async def test_many_large_objects_share_the_requests(tmp_path: Path) -> None:
    store = MemoryStore({str(number): LARGE for number in range(6)})
    parts = PartOptions(part_bytes=2 * MIB, at_once=4, requests=3)
    settings = SchedulerSettings(concurrency=3, retry=RetryPolicy(retries=0))
    async with open_keeper(tmp_path) as keeper:
        options = ObjectOptions(parts=parts)
        run = await fetch_objects(store, keeper, options=options, settings=settings)
    assert run.is_complete
    assert files_in(tmp_path) == store.objects
    assert store.most_at_once <= 3 + 3, "a HEAD beside each object"
    assert settings.concurrency != IMPATIENT.concurrency
