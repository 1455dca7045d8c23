"""A search yields every match once, or says that the list is not whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import asyncdicom
from asyncdicom.engine.slot import Slot
from asyncdicom.library.background import Background, streamed
from asyncdicom.library.prefetch import Prefetch
from asyncdicom.library.searching import Pages, query_of
from asyncdicom.mock import MockServer, SyntheticArchive, SyntheticOptions
from asyncdicom.policy.retry import RetryPolicy
from asyncdicom.sources.search import search
from asyncdicom.wiring import open_source
from tests.library.support import ARCHIVE, STUDY, UID, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

MANY = SyntheticArchive(SyntheticOptions(studies=1, instances=2500, rows=4))


async def values(answers: AsyncIterator[dict[str, Any]], tag: str) -> list[str]:
    return [answer[tag]["Value"][0] async for answer in answers]


async def test_all_studies_are_listed() -> None:
    async with opened() as (source, _):
        found = await values(source.search(), "0020000D")
    assert found == [study.study_instance_uid for study in ARCHIVE.studies]


async def test_keys_and_level_narrow_the_search() -> None:
    async with opened() as (source, server):
        found = await values(source.search(level="series", StudyInstanceUID=UID), "0020000E")
        assert server.requests[0].path.endswith(f"/studies/{UID}/series")
    assert found == [series.series_instance_uid for series in STUDY.all_series]


async def test_further_attributes_are_asked_for() -> None:
    async with opened() as (source, server):
        await values(source.search(fields=["StudyDescription"]), "0020000D")
        assert ("includefield", "StudyDescription") in server.requests[0].query


async def test_no_more_than_the_limit_is_listed() -> None:
    async with opened() as (source, _):
        assert len(await values(source.search(limit=1), "0020000D")) == 1


async def test_pages_are_read_to_the_end() -> None:
    async with opened(archive=MANY) as (source, _):
        uid = MANY.studies[0].study_instance_uid
        found = await values(source.search(level="instance", StudyInstanceUID=uid), "00080018")
    assert len(set(found)) == len(found) == 2500


async def test_a_page_that_fails_is_asked_for_again() -> None:
    async with opened("503:search:times=1,retry-after=0") as (source, _):
        assert len(await values(source.search(), "0020000D")) == 2


async def test_a_list_that_is_not_whole_is_incomplete_after_the_last_answer() -> None:
    async with opened("500:search:after=1", archive=MANY, retry=0) as (source, _):
        uid = MANY.studies[0].study_instance_uid
        answers = source.search(level="instance", StudyInstanceUID=uid)
        got = [await anext(answers) for _ in range(1000)]
        with pytest.raises(asyncdicom.Incomplete) as caught:
            await anext(answers)
    assert caught.value.received == len(got)
    assert isinstance(caught.value.__cause__, asyncdicom.OriginError)


async def test_no_list_at_all_raises_why() -> None:
    async with opened("401:search") as (source, _):
        with pytest.raises(asyncdicom.Unauthorized):
            await anext(source.search())


async def test_an_unknown_key_is_refused_at_once() -> None:
    async with opened() as (source, _):
        with pytest.raises(asyncdicom.ConfigError, match="perhaps PatientID"):
            source.search(PatientId="1")


async def test_a_slow_consumer_holds_the_search_back() -> None:
    prefetch: Prefetch[dict[str, Any]] = Prefetch(10)
    uid = MANY.studies[0].study_instance_uid
    pages = Pages(prefetch)
    query = query_of("instance", [f"StudyInstanceUID={uid}"])
    async with MockServer(MANY) as server, open_source(server.url, {}) as origin:
        answers = streamed(
            Background(), prefetch, lambda: pages.run(search(origin, query), RetryPolicy(0), Slot())
        )
        assert len([answer async for answer in answers]) == 2500
    assert prefetch.held_bytes_peak == 10
