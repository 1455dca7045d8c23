"""An archive on loopback, and the question whether anything is left behind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncdicom
from asyncdicom.mock import MockServer, SyntheticArchive, SyntheticOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

INSTANCES = 12
ARCHIVE = SyntheticArchive(SyntheticOptions(studies=2, series=2, instances=INSTANCES // 2, rows=64))
STUDY = ARCHIVE.studies[0]
UID = STUDY.study_instance_uid
FIRST = STUDY.all_series[0].instances[0]
FILES = {
    one.sop_instance_uid: b"".join(map(bytes, one.file()))
    for series in STUDY.all_series
    for one in series.instances
}
"""What the first study holds, by SOP Instance UID."""


@asynccontextmanager
async def opened(
    *faults: str, archive: SyntheticArchive = ARCHIVE, **options: Any
) -> AsyncIterator[tuple[asyncdicom.Source, MockServer]]:
    """Serve an archive and connect to it; afterwards, no task may be left."""
    before, own_before = asyncio.all_tasks(), own_tasks()
    async with MockServer(archive, faults=faults) as server:
        async with asyncdicom.connect(server.url, **options) as source:
            yield source, server
        assert own_tasks() == own_before
    assert asyncio.all_tasks() == before


def own_tasks() -> set[asyncio.Task[Any]]:
    """Return all tasks but those that serve."""
    return {task for task in asyncio.all_tasks() if not _is_of_the_mock(task)}


async def turns(count: int = 500) -> None:
    """Give everybody else many turns of the loop, to do what they should not."""
    for _ in range(count):
        await asyncio.sleep(0)


def _is_of_the_mock(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "/asyncdicom/mock/" in code.co_filename


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds, for at most 10 s."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- it waits for the far side, which has no events
            await asyncio.sleep(0)
