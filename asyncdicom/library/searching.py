"""`Source.search`: the matches of a search, page after page, each tried again when it fails."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from asyncdicom.engine.scheduler import Scheduler, SchedulerSettings
from asyncdicom.errors import AsyncDicomError, Incomplete
from asyncdicom.jobs.find import Searching, dictionary
from asyncdicom.protocol.qido_keys import Level, parse_keys
from asyncdicom.protocol.qido_rs import search_query
from asyncdicom.sources.cod import CodSource
from asyncdicom.sources.dicomweb import DicomWebSource
from asyncdicom.sources.search import Answer, search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asyncdicom.engine.slot import Slot
    from asyncdicom.jobs.archives import Archive
    from asyncdicom.library.prefetch import Prefetch
    from asyncdicom.policy.paging import Verdict
    from asyncdicom.policy.retry import RetryPolicy
    from asyncdicom.protocol.qido_rs import SearchQuery

__all__ = ["ANSWERS_AHEAD", "Pages", "begun", "query_of", "words_of"]

ANSWERS_AHEAD = 1000
"""Answers that wait for the consumer: one page, about 2 MB."""


class Found(Searching, Protocol):
    """A search of any kind."""

    def verdict(self) -> Verdict:
        """Return what is proven so far; final once the search is over."""


def begun(
    archive: Archive, level: str, words: Iterable[str], limit: int | None
) -> Callable[[], Found]:
    """Return what begins a search.

    Args:
        archive: Where to search.
        level: "patient" (DIMSE), "study", "series" or "instance".
        words: `KEY=VALUE` and `KEY`.
        limit: Answers wanted at most, or None.

    Raises:
        ConfigError: If a key is unknown, a value cannot be matched, or nothing can be
            searched there.

    """
    source = archive.source
    if isinstance(source, CodSource):
        source.refuse_search()
    if isinstance(source, DicomWebSource):
        query = query_of(level, words)
        return lambda: search(source, query, limit=limit)
    # Imported here: who speaks HTTP does not pay for it.
    from asyncdicom.jobs import dimse_find  # noqa: PLC0415 -- lazy on purpose

    dimse, has_levels = source, bool(source.options.model.levels)
    _, wanted = dimse_find.query_of(words, level=level, has_levels=has_levels)
    return lambda: dimse_find.DimseSearch(dimse, wanted, limit=limit)


def words_of(keys: Mapping[str, Any], fields: Iterable[str]) -> list[str]:
    """Return keyword arguments as words of a command line."""
    return [*(f"{name}={value}" for name, value in keys.items()), *fields]


def query_of(level: str, words: Iterable[str]) -> SearchQuery:
    """Make a search of words; `all` among them includes everything.

    Raises:
        ConfigError: If a key is unknown, or a value cannot be matched.

    """
    words = list(words)
    everything = [word for word in words if word == "all"]
    keys = parse_keys([word for word in words if word != "all"], dictionary())
    return search_query(keys, level=Level(level), include_fields=everything)


class Pages:
    """Performs the pages of one search; driven by a scheduler with one worker."""

    def __init__(self, prefetch: Prefetch[Answer]) -> None:
        self._prefetch = prefetch
        self._answers = 0
        self._error: AsyncDicomError | None = None

    async def run(self, found: Found, retry: RetryPolicy, slot: Slot) -> None:
        """Hand over everything that matches.

        Raises:
            Incomplete: If the list is not known to be complete; what came was handed over.
            FetchError: If there is no list at all.

        """
        settings = SchedulerSettings(concurrency=1, retry=retry)
        await Scheduler(self, settings, slot=slot).run([found])
        if self._error is not None and not self._answers:
            raise self._error
        verdict = found.verdict()
        if not verdict.is_complete:
            raise Incomplete(
                verdict.problem, expected=None, received=self._answers
            ) from self._error

    async def perform(self, task: Found, attempt: int) -> Iterable[Found]:  # noqa: ARG002 -- Performer
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

    def give_up(self, task: Found, error: AsyncDicomError, attempts: int) -> Iterable[Found]:  # noqa: ARG002 -- Performer
        """Take note that the list ends here."""
        self._error = error
        task.fail(error)
        return ()
