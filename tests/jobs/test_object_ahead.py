"""Pages that are asked for ahead come once, and what failed is asked for again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import NotFound
from asyncdicom.jobs.object_ahead import MAX_PAGES, ListedAhead
from tests.jobs.object_support import MemoryStore

if TYPE_CHECKING:
    from asyncdicom.ports.objects import ListingPage

pytestmark = pytest.mark.anyio

OBJECTS = {"a/1": b"x", "a/2": b"xy", "b/1": b"z"}


async def test_a_page_is_asked_for_once() -> None:
    store = MemoryStore(OBJECTS)
    async with ListedAhead(store) as ahead:
        ahead.begin([("bucket", "a/"), ("bucket", "b/"), ("bucket", "a/")], at_once=2)
        found = [entry.key for entry in (await ahead.page("bucket", "a/")).entries]
        assert found == ["a/1", "a/2"]
        assert await ahead.page("bucket", "b/") == await store.page("bucket", "b/")
    assert sorted(store.asked) == ["list a/", "list b/", "list b/"]


async def test_what_goes_on_or_was_not_foreseen_is_asked_of_the_store() -> None:
    store = MemoryStore(OBJECTS, page_objects=1)
    async with ListedAhead(store) as ahead:
        ahead.begin([("bucket", "a/")], at_once=1)
        first = await ahead.page("bucket", "a/")
        second = await ahead.page("bucket", "a/", continuation=first.continuation)
        again = await ahead.page("bucket", "a/")
        async with ahead.fetch("bucket", "b/1") as answer:
            content = bytes(await answer.read())
        head = await ahead.entry("bucket", "a/2")
    keys = [entry.key for page in (first, second, again) for entry in page.entries]
    assert keys == ["a/1", "a/2", "a/1"]
    assert (content, head.byte_count, ahead.scheme) == (b"z", 2, "s3")


async def test_what_failed_ahead_is_asked_for_again() -> None:
    gone = NotFound("gone", status_code=404)
    store = MemoryStore(OBJECTS, {"list a/": [gone, None, gone]})
    async with ListedAhead(store) as ahead:
        ahead.begin([("bucket", "a/")], at_once=1)
        assert len((await ahead.page("bucket", "a/")).entries) == 2
        with pytest.raises(NotFound):
            await ahead.page("bucket", "a/")


class Slow(MemoryStore):
    """Answers no list until it is let go."""

    async def page(
        self, bucket: str, prefix: str, *, delimiter: str = "", continuation: str | None = None
    ) -> ListingPage:
        self.asked.append(prefix)
        await asyncio.Event().wait()
        return await super().page(bucket, prefix, delimiter=delimiter, continuation=continuation)


async def test_few_are_under_way_and_none_when_all_is_over() -> None:
    store = Slow(OBJECTS)
    before = len(asyncio.all_tasks())
    async with ListedAhead(store) as ahead:
        ahead.begin((("bucket", f"{n}/") for n in range(2 * MAX_PAGES)), at_once=3)
        assert len(asyncio.all_tasks()) == before + MAX_PAGES
        for _ in range(10):
            await asyncio.sleep(0)
        assert store.asked == ["0/", "1/", "2/"]
    assert len(asyncio.all_tasks()) == before
