"""What a URL of a store means, and that it is said how that was decided."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli.object_options import is_object_source
from asyncdicom.engine.scheduler import Performer, Scheduler, SchedulerSettings
from asyncdicom.errors import Throttled, Unauthorized
from asyncdicom.jobs.object_groups import ObjectGroup
from asyncdicom.jobs.object_roots import ObjectRoot, find_root, group_of
from asyncdicom.model import ObjectTarget, Resource
from asyncdicom.policy.retry import RetryPolicy
from asyncdicom.protocol.object_stores.urls import parse_object_url
from asyncdicom.storage.object_names import KeyNaming
from tests.jobs.object_support import MemoryStore

if TYPE_CHECKING:
    from asyncdicom.ports.objects import ObjectEntry
    from asyncdicom.protocol.object_stores.urls import ObjectUrl

pytestmark = pytest.mark.anyio

URL = parse_object_url("s3://bucket/a")


def tries(count: int, question: Performer[ObjectUrl]) -> Scheduler[ObjectUrl]:
    retry = RetryPolicy(retries=count - 1, first_pause_s=0.001)
    return Scheduler(question, SchedulerSettings(concurrency=1, retry=retry))


once = partial(tries, 1)


@pytest.mark.parametrize(
    ("url", "root", "asked"),
    [
        pytest.param("s3://bucket", ObjectRoot("bucket", ""), [], id="a bucket"),
        pytest.param("s3://bucket/a/", ObjectRoot("bucket", "a/"), [], id="a folder"),
        pytest.param(
            "s3://bucket/a/1.dcm",
            ObjectRoot("bucket", "a/1.dcm", is_single=True),
            ["head a/1.dcm"],
            id="an object",
        ),
        pytest.param("s3://bucket/a", ObjectRoot("bucket", "a/"), ["head a"], id="no object"),
        pytest.param(
            "s3://bucket/a/*.dcm", ObjectRoot("bucket", "a/", "a/*.dcm"), [], id="a pattern"
        ),
    ],
)
async def test_what_a_url_means(url: str, root: ObjectRoot, asked: list[str]) -> None:
    store, told = MemoryStore({"a/1.dcm": b"x"}), list[str]()
    assert await find_root(store, parse_object_url(url), schedule=once, tell=told.append) == root
    assert store.asked == asked
    is_folder = "s3://bucket/a is no object: everything below s3://bucket/a/ is meant"
    assert told == ([is_folder] if asked == ["head a"] else [])


async def test_a_store_that_tells_strangers_nothing_is_asked_for_a_list() -> None:
    class Closed(MemoryStore):
        async def entry(self, bucket: str, key: str) -> ObjectEntry:
            raise Unauthorized(f"{bucket}/{key} does not open", status_code=403)

    root = await find_root(Closed({}), parse_object_url("s3://bucket/a"), schedule=once)
    assert root == ObjectRoot("bucket", "a/")


class Busy(MemoryStore):
    """Answers when it was asked often enough."""

    def __init__(self, refusals: int) -> None:
        super().__init__({"a": b"x"})
        self.refusals = refusals

    async def entry(self, bucket: str, key: str) -> ObjectEntry:
        if self.refusals:
            self.refusals -= 1
            raise Throttled("slow down", status_code=503, retry_after_s=None)
        return await super().entry(bucket, key)


async def test_a_busy_store_is_asked_again() -> None:
    root = await find_root(Busy(2), URL, schedule=partial(tries, 3))
    assert root == ObjectRoot("bucket", "a", is_single=True)


async def test_a_store_that_stays_busy_says_so() -> None:
    with pytest.raises(Throttled):
        await find_root(Busy(9), URL, schedule=partial(tries, 2))


NAMING = KeyNaming("a/")


@pytest.mark.parametrize(
    ("target", "group"),
    [
        pytest.param(
            ObjectTarget("s3", "bucket", "a/", Resource.LISTING),
            ObjectGroup("bucket", "a/", NAMING, pattern="a/*.dcm"),
            id="the list of the root is of what its pattern matches",
        ),
        pytest.param(
            ObjectTarget("s3", "bucket", "b/", Resource.LISTING),
            ObjectGroup("bucket", "b/", NAMING),
            id="another list",
        ),
        pytest.param(
            ObjectTarget("s3", "bucket", "a/", Resource.OBJECT),
            ObjectGroup("bucket", "a/", NAMING, is_single=True),
            id="an object",
        ),
    ],
)
def test_what_failed_is_a_group(target: ObjectTarget, group: ObjectGroup) -> None:
    root = ObjectRoot("bucket", "a/", "a/*.dcm")
    assert group_of(target, NAMING, root) == group


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("s3://b/k", True),
        ("GS://b", True),
        ("http://s3/", False),
        ("s3", False),
        ("http://[", False),
    ],
)
def test_which_sources_are_object_stores(source: str, *, is_one: bool) -> None:
    assert is_object_source(source) == is_one
