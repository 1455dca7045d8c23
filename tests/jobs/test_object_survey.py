"""Groups are listed and counted, and nothing of them is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncdicom.engine.scheduler import Scheduler
from asyncdicom.errors import NotFound, ProtocolError, Unauthorized
from asyncdicom.events import Listed
from asyncdicom.jobs.object_survey import Lister, ObjectSurvey
from asyncdicom.jobs.run import run_job
from asyncdicom.jobs.tally import Tally
from asyncdicom.ports.objects import ListingPage
from tests.jobs.object_support import MemoryStore, group_of
from tests.jobs.support import IMPATIENT, Run

if TYPE_CHECKING:
    from asyncdicom.jobs.object_groups import ObjectGroup

pytestmark = pytest.mark.anyio


async def surveyed(store: MemoryStore, *groups: ObjectGroup) -> tuple[Run, Tally]:
    run = Run()
    tally = Tally([run])
    survey = ObjectSurvey(Lister(store, tally), tally)
    scheduler = Scheduler(survey, IMPATIENT, observe=tally.tell)
    tasks = survey.tasks(groups)
    run.ended = await run_job(survey, tasks, scheduler=scheduler, tally=tally)
    return run, tally


async def test_objects_are_counted() -> None:
    objects = {f"a/{n:03}": b"xy" for n in range(25)} | {"b/1": b"xyz", "b/": b""}
    store = MemoryStore(objects, page_objects=10)
    run, tally = await surveyed(
        store, group_of("a/"), group_of("b/"), group_of("b/1", is_single=True)
    )
    listed = {e.target.url: (e.objects, e.byte_count) for e in run.events if isinstance(e, Listed)}
    assert listed == {
        "s3://bucket/a/": (25, 50),
        "s3://bucket/b/": (1, 3),
        "s3://bucket/b/1": (1, 3),
    }
    assert (tally.expected, tally.expected_bytes) == (27, 56)
    assert store.counts() == {"list": 4, "head": 1}


async def test_a_pattern_chooses() -> None:
    store = MemoryStore({"a/1.dcm": b"x", "a/b/2.dcm": b"x", "a/3.txt": b"x"})
    _, tally = await surveyed(store, group_of("a/", pattern="a/*.dcm"))
    assert tally.expected == 2


async def test_what_cannot_be_listed_is_named() -> None:
    store = MemoryStore({}, {"list a/": [Unauthorized("closed", status_code=403)]})
    run, _ = await surveyed(store, group_of("a/"), group_of("b/"))
    assert [(f.target.url, type(f.error)) for f in run.failed] == [  # type: ignore[union-attr]  # -- listings have a URL
        ("s3://bucket/a/", Unauthorized),
        ("s3://bucket/b/", NotFound),
    ]


async def test_a_size_that_an_index_has_rounded_may_be_off() -> None:
    store = MemoryStore({"a": b"12345"})
    run, _ = await surveyed(
        store,
        group_of(expected_count=1, expected_bytes=7, rounded_by_bytes=2),
        group_of(expected_count=1, expected_bytes=8, rounded_by_bytes=2),
    )
    assert [str(f.error) for f in run.failed] == ["8 bytes expected, 5 listed"]


class Circling(MemoryStore):
    """Leads from the first page to a second, and back."""

    async def page(
        self, bucket: str, prefix: str, *, delimiter: str = "", continuation: str | None = None
    ) -> ListingPage:
        found = await super().page(bucket, prefix, delimiter=delimiter)
        return ListingPage(found.entries, (), "second" if continuation != "second" else "first")


async def test_pages_that_go_round_are_no_list() -> None:
    store = Circling({"a": b"x"})
    run, _ = await surveyed(store, group_of())
    assert [type(f.error) for f in run.failed] == [ProtocolError]
    assert len(store.asked) <= 6


class Repeating(MemoryStore):
    """Its pages are what a test says."""

    pages: tuple[str, ...] = ()

    async def page(
        self, bucket: str, prefix: str, *, delimiter: str = "", continuation: str | None = None
    ) -> ListingPage:
        """Return the page of that number."""
        number = int(continuation or 0)
        entries = tuple(map(self.entry_of, self.pages[number]))
        return ListingPage(entries, (), str(number + 1) if number + 1 < len(self.pages) else None)


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        pytest.param(("ab", "bc", "cd"), [], id="of the page before"),
        pytest.param(("ab", "ab", "ab", "cd"), [], id="a page that comes again and again"),
        pytest.param(("ab", "c", "a"), ["4 objects expected, 3 listed"], id="of an earlier page"),
        pytest.param(("ab", "bc", "bc"), ["4 objects expected, 3 listed"], id="twice"),
    ],
)
async def test_what_is_listed_twice_stands_in_for_nothing_that_is_missing(
    pages: tuple[str, ...], told: list[str]
) -> None:
    store = Repeating(dict.fromkeys("abcd", b"x"))
    store.pages = pages
    run, _ = await surveyed(store, group_of(expected_count=4))
    assert [str(f.error) for f in run.failed] == told
