"""`Source.search`: the matches of a search, page after page, each tried again when it fails."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import AsyncDicomError, Incomplete
from asyncdicom.jobs.find import dictionary
from asyncdicom.protocol.qido_keys import Level, parse_keys
from asyncdicom.protocol.qido_rs import search_query
from asyncdicom.sources.search import Answer, Search, search

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncdicom.engine.slot import Slot
    from asyncdicom.library.prefetch import Prefetch
    from asyncdicom.policy.retry import RetryPolicy
    from asyncdicom.protocol.qido_rs import SearchQuery
    from asyncdicom.sources.dicomweb import DicomWebSource

__all__ = ["ANSWERS_AHEAD", "Pages", "query_of"]

ANSWERS_AHEAD = 1000
"""Answers that wait for the consumer: one page, about 2 MB."""


def query_of(level: str, keys: Mapping[str, Any], fields: Iterable[str]) -> SearchQuery:
    """Make a search of keyword arguments.

    Args:
        level: "study", "series" or "instance".
        keys: Value by keyword, tag or path.
        fields: Further attributes to return, or "all".

    Raises:
        ConfigError: If a key is unknown, or a value cannot be matched.

    """
    everything = [name for name in fields if name == "all"]
    words = [f"{name}={value}" for name, value in keys.items()]
    words += [name for name in fields if name != "all"]
    return search_query(
        parse_keys(words, dictionary()), level=Level(level), include_fields=everything
    )


class Pages:
    """Performs the pages of one search; driven by a scheduler with one worker."""

    def __init__(
        self, prefetch: Prefetch[Answer], query: SearchQuery, *, limit: int | None = None
    ) -> None:
        self._prefetch = prefetch
        self._query = query
        self._limit = limit
        self._answers = 0
        self._error: AsyncDicomError | None = None

    async def run(self, source: DicomWebSource, retry: RetryPolicy, slot: Slot) -> None:
        """Hand over everything that matches.

        Raises:
            Incomplete: If the list is not known to be complete; what came was handed over.
            FetchError: If there is no list at all.

        """
        found = search(source, self._query, limit=self._limit)
        settings = SchedulerSettings(concurrency=1, retry=retry)
        await Scheduler(self, settings, slot=slot).run([found])
        if self._error is not None and not self._answers:
            raise self._error
        verdict = found.verdict()
        if not verdict.is_complete:
            raise Incomplete(
                verdict.problem, expected=None, received=self._answers
            ) from self._error

    async def perform(self, task: Search, attempt: int) -> Iterable[Search]:  # noqa: ARG002 -- Performer
        """Hand over what is new on one page.

        Raises:
            FetchError: If the page could not be had; it is asked for again.

        """
        async with aclosing(task.page()) as answers:
            async for answer in answers:
                await self._prefetch.until_room(self)
                self._prefetch.hold(1)
                self._prefetch.put(answer, 1)
                self._answers += 1
        return () if task.is_over else (task,)

    def give_up(self, task: Search, error: AsyncDicomError, attempts: int) -> Iterable[Search]:  # noqa: ARG002 -- Performer
        """Take note that the list ends here."""
        self._error = error
        task.fail(error)
        return ()
