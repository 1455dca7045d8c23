"""Instances in memory: all of them, whole, within a budget, and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

import pytest

import asyncdicom
from asyncdicom.engine.slot import Slot
from asyncdicom.jobs.web_archive import WebArchive
from asyncdicom.library.background import Background, streamed
from asyncdicom.library.memory_store import MemoryStore
from asyncdicom.library.prefetch import Prefetch
from asyncdicom.library.retrieving import Retrieval
from asyncdicom.mock import MockServer, SyntheticArchive, SyntheticOptions
from asyncdicom.model import Resource, Target, parse_uid
from asyncdicom.wiring import open_source
from tests.library.support import (
    ARCHIVE,
    FILES,
    FIRST,
    INSTANCES,
    STUDY,
    UID,
    opened,
    own_tasks,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncdicom import Instance

pytestmark = pytest.mark.anyio


LARGE = SyntheticArchive(SyntheticOptions(studies=1, instances=24, rows=256))
INSTANCE_BYTES = LARGE.studies[0].all_series[0].instances[0].file_bytes()
CHUNK_BYTES = 64 * 1024
CONCURRENCY = 4


async def received(instances: AsyncIterator[Instance]) -> dict[str, bytes]:
    return {one.sop_instance_uid: one.data async for one in instances}


@pytest.mark.parametrize("granularity", ["auto", "study", "series", "instance"])
async def test_a_study_comes_as_the_server_holds_it(granularity: str) -> None:
    async with opened() as (source, _):
        stream = source.retrieve(study=UID, granularity=granularity)  # type: ignore[arg-type]  # -- parametrised
        assert await received(stream) == FILES


async def test_an_instance_knows_itself() -> None:
    async with opened() as (source, _):
        one = await anext(
            source.retrieve(
                study=UID, series=FIRST.series_instance_uid, instance=FIRST.sop_instance_uid
            )
        )
    assert one.study_instance_uid == UID
    assert one.series_instance_uid == FIRST.series_instance_uid
    assert one.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert one.transfer_syntax_uid == FIRST.transfer_syntax_uid
    assert one.sha256 == hashlib.sha256(one.data).hexdigest()
    assert one.remarks == ()
    assert one.dataset().SOPInstanceUID == FIRST.sop_instance_uid
    assert "data" not in repr(one)


async def test_a_series_comes_alone() -> None:
    wanted = {one.sop_instance_uid for one in STUDY.all_series[1].instances}
    async with opened() as (source, _):
        series = STUDY.all_series[1].series_instance_uid
        assert set(await received(source.retrieve(study=UID, series=series))) == wanted


async def test_streams_of_one_source_run_side_by_side() -> None:
    async with opened() as (source, _):
        both = await asyncio.gather(
            *(received(source.retrieve(study=s.study_instance_uid)) for s in ARCHIVE.studies)
        )
    assert [len(one) for one in both] == [INSTANCES, INSTANCES]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("cut:study:at=40000,times=1", id="cut"),
        pytest.param("reset:study:at=40000,times=1", id="reset"),
        pytest.param("truncate:study:at=40000,times=1", id="ended early"),
        pytest.param("missing-part:study:times=1", id="one part missing"),
        pytest.param("duplicate-part:study:times=1", id="one part twice"),
        pytest.param("503:study:times=1,retry-after=0", id="asked for patience"),
    ],
)
async def test_an_answer_that_breaks_is_completed(fault: str) -> None:
    async with opened(fault) as (source, server):
        assert await received(source.retrieve(study=UID, granularity="study")) == FILES
        assert server.statistics().faults == 1


async def test_what_arrived_before_a_cut_is_not_asked_for_again() -> None:
    study = LARGE.studies[0].study_instance_uid
    async with opened("cut:study:at=2000000,times=1", archive=LARGE) as (source, server):
        got = await received(source.retrieve(study=study, granularity="study"))
        assert len(got) == 24
        assert server.count(f"*/studies/{study}") == 1
        # What the engine had gathered when the connection broke is lost: half an instance.
        whole = 2_000_000 // INSTANCE_BYTES
        assert server.count("*/instances/*") <= 24 - whole + 1


async def test_what_is_missing_is_named_after_the_rest() -> None:
    missing = FIRST.sop_instance_uid
    async with opened(f"404:instance:path=*/{missing}") as (source, _):
        stream = source.retrieve(study=UID, granularity="instance")
        got = {(await anext(stream)).sop_instance_uid for _ in range(INSTANCES - 1)}
        with pytest.raises(asyncdicom.Incomplete, match=f"1 of 12 .*{missing}") as caught:
            await anext(stream)
    assert got == set(FILES) - {missing}
    assert (caught.value.expected, caught.value.received) == (INSTANCES, INSTANCES - 1)
    assert caught.value.missing == (missing,)
    assert isinstance(caught.value.__cause__, asyncdicom.NotFound)


async def test_a_study_that_is_not_there_is_not_found() -> None:
    async with opened() as (source, _):
        with pytest.raises(asyncdicom.NotFound):
            await received(source.retrieve(study="1.2.3"))


async def test_one_instance_that_fails_raises_why() -> None:
    async with opened("truncate:instance", retry=0) as (source, _):
        with pytest.raises(asyncdicom.Truncated):
            await received(
                source.retrieve(
                    study=UID, series=FIRST.series_instance_uid, instance=FIRST.sop_instance_uid
                )
            )


async def test_nobody_listens_is_unreachable() -> None:
    async with MockServer(ARCHIVE) as server:
        url = server.url
    async with asyncdicom.connect(url, retry=0) as source:
        with pytest.raises(asyncdicom.Unreachable):
            await received(source.retrieve(study=UID))


async def test_what_cannot_be_asked_for_is_refused_at_once() -> None:
    async with opened() as (source, server):
        with pytest.raises(asyncdicom.InvalidUid):
            source.retrieve(study="../etc")
        with pytest.raises(asyncdicom.ConfigError, match="needs its series"):
            source.retrieve(study=UID, instance="1.2.3")
        with pytest.raises(TypeError, match="'granularty'"):
            source.retrieve(study=UID, granularty="study")  # type: ignore[call-arg]  # -- that is the test
        assert server.statistics().requests == 0


@pytest.mark.parametrize("taken", [1, 5, INSTANCES])
async def test_leaving_early_leaves_nothing(taken: int) -> None:
    async with opened() as (source, server):
        before = own_tasks()
        async with aclosing(source.retrieve(study=UID, granularity="instance")) as stream:
            for _ in range(taken):
                await anext(stream)
        assert own_tasks() == before
        await until(lambda: server.statistics().in_flight == 0)


async def test_break_leaves_nothing() -> None:
    async with opened("drip:instance") as (source, _):
        async for _ in source.retrieve(study=UID, expect="metadata", granularity="study"):
            break


@pytest.mark.parametrize("taken", [0, 1, 5])
async def test_cancelling_the_consumer_cancels_the_requests(taken: int) -> None:
    got: list[Instance] = []

    async def consume() -> None:
        async for one in source.retrieve(study=UID, granularity="instance", prefetch_bytes=1):
            got.append(one)
            if len(got) >= taken:
                await asyncio.Event().wait()

    async with opened(*(["delay:instance:s=inf"] if taken == 0 else [])) as (source, server):
        task = asyncio.create_task(consume())
        await until(lambda: len(got) >= taken and server.count("*/instances/*") > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_stream_ends_with_its_source() -> None:
    async with MockServer(ARCHIVE, faults=["delay:study+series+instance:s=inf"]) as server:
        async with asyncdicom.connect(server.url) as source:
            stream = source.retrieve(study=UID)
            waiting = asyncio.create_task(anext(stream))
            await until(lambda: server.statistics().in_flight > 0)
        with pytest.raises(asyncdicom.UsageError, match="closed before"):
            await waiting
        with pytest.raises(asyncdicom.UsageError, match="is closed"):
            await anext(source.retrieve(study=UID))


def has_reached(prefetch: Prefetch[Instance], byte_count: int) -> bool:
    return prefetch.held_bytes >= byte_count


@pytest.mark.parametrize("granularity", ["series", "instance"])
@pytest.mark.parametrize(
    "budget_bytes",
    [
        pytest.param(1, id="less than one instance"),
        pytest.param(3 * INSTANCE_BYTES, id="three instances"),
    ],
)
async def test_a_slow_consumer_holds_the_server_back(granularity: str, budget_bytes: int) -> None:
    study = parse_uid(LARGE.studies[0].study_instance_uid)
    prefetch: Prefetch[Instance] = Prefetch(budget_bytes)
    options = {"granularity": granularity, "concurrency": CONCURRENCY}
    background, count = Background(), 0
    async with MockServer(LARGE) as server, open_source(server.url, options) as origin:
        retrieval = Retrieval(WebArchive(origin), Slot(), Target(Resource.STUDY, study), options)
        store = MemoryStore(prefetch)
        async for _ in streamed(background, prefetch, lambda: retrieval.run(store)):
            count += 1
            waiting = 24 - count
            enough = min(budget_bytes, waiting * INSTANCE_BYTES)
            await until(partial(has_reached, prefetch, enough))
        await background.aclose()
    assert count == 24
    assert prefetch.held_bytes == 0
    # Held: the budget, the rest of one instance, and what each request just received.
    assert prefetch.held_bytes_peak >= budget_bytes
    assert prefetch.held_bytes_peak <= budget_bytes + INSTANCE_BYTES + CONCURRENCY * CHUNK_BYTES


async def test_instances_larger_than_every_window_still_arrive() -> None:
    archive = SyntheticArchive(SyntheticOptions(studies=1, instances=20, rows=1024))
    study = archive.studies[0].study_instance_uid
    # 20 unread answers with windows of 1 MiB would fill the connection's 16 MiB.
    async with opened(archive=archive, h2c=True, concurrency=20, timeout=5, retry=0) as (source, _):
        stream = source.retrieve(study=study, granularity="instance", prefetch_bytes=1)
        assert len(await received(stream)) == 20
