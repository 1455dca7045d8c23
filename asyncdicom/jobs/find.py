"""The job behind `find`: page after page, each tried again when it fails, handed to a writer.

    found = search(source, query)
    job = FindJob(found, writer.write)
    await job.run(Scheduler(job, settings))
    found.verdict()

A page is one task of the scheduler, and so is a C-FIND; the next page is what follows from
it. So retries, pauses the server asks for and signals work as in every other job.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from asyncdicom.errors import AsyncDicomError, RunAborted
from asyncdicom.protocol.qido_keys import Attribute, Dictionary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from asyncdicom.engine.scheduler import Scheduler
    from asyncdicom.protocol.qido_keys import Match
    from asyncdicom.sources.search import Answer

__all__ = ["FindJob", "Searching", "dictionary"]


class _Query(Protocol):
    @property
    def matches(self) -> Sequence[Match]:
        """Keys to match."""


class Searching(Protocol):
    """A search under way, with QIDO-RS (`sources.search`) or C-FIND (`dimse_find`)."""

    @property
    def query(self) -> _Query:
        """What is searched for."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to ask."""

    def page(self) -> AsyncGenerator[Answer]:
        """Yield what is new on the next page; after a failure, the same page again."""

    def fail(self, error: AsyncDicomError) -> None:
        """End the search: the list is not complete."""


class FindJob:
    """Performs the pages of one search, one after the other.

    Attributes:
        written: Answers handed to the writer.
        unasked: Per attribute, how many answers have another value than was asked for.
        error: Why the search could not be brought to its end, or None.

    """

    def __init__(self, search: Searching, write: Callable[[Answer], None]) -> None:
        self.written = 0
        self.unasked: dict[str, int] = {}
        self.error: AsyncDicomError | None = None
        self._search = search
        self._write = write
        self._exact = [match for match in search.query.matches if _is_exact(match)]

    async def run(self, scheduler: Scheduler[Searching]) -> None:
        """Search to the end, or until the scheduler is stopped.

        Raises:
            OSError: If the writer could not write (`BrokenPipeError` when its reader has gone).

        """
        try:
            await scheduler.run([self._search])
        except RunAborted as error:
            self.give_up(self._search, error, 0)
        except BaseExceptionGroup as group:
            # Errors of a task group come in groups; here is one worker only.
            failed_writes, others = group.split(OSError)
            if failed_writes is None or others is not None:
                raise
            raise _first(failed_writes) from None

    async def perform(self, task: Searching, attempt: int) -> Iterable[Searching]:  # noqa: ARG002 -- Performer
        """Fetch one page and write what is new on it.

        Raises:
            FetchError: If the page could not be had; it is asked for again.

        """
        async with aclosing(task.page()) as answers:
            async for answer in answers:
                self._note_unasked(answer)
                self._write(answer)
                self.written += 1
        return () if task.is_over else (task,)

    def give_up(
        self,
        task: Searching,
        error: AsyncDicomError,
        attempts: int,  # noqa: ARG002 -- Performer
    ) -> Iterable[Searching]:
        """Take note that a page could not be had: the list ends here, and is not complete."""
        self.error = error
        task.fail(error)
        return ()

    def _note_unasked(self, answer: Answer) -> None:
        for match in self._exact:
            values = _texts(answer.get(match.path.last.tag))
            wanted = [value.casefold() for value in match.value.split(",")]
            if values and not any(value.casefold() in wanted for value in values):
                self.unasked[match.path.name] = self.unasked.get(match.path.name, 0) + 1


def _first(group: BaseExceptionGroup[OSError]) -> OSError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


# Unique and identifying keys: a server that ignores one of these answers with
# the data of other people. Servers differ about case (PS3.4 §C.2.2.2.1), so
# that is not compared.
_IDENTIFYING_TAGS = frozenset({"00100020", "00080050", "0020000D", "0020000E", "00080018"})


def _is_exact(match: Match) -> bool:
    path = match.path
    is_plain = not set(match.value) & set("*?\\")
    return len(path.steps) == 1 and path.last.tag in _IDENTIFYING_TAGS and is_plain


def _texts(element: Any) -> list[str]:
    values = element.get("Value") if isinstance(element, dict) else None
    return [str(value).strip() for value in values] if isinstance(values, list) else []


def dictionary() -> Dictionary:
    """Return the data dictionary of pydicom (PS3.6 §6), loaded when it is used."""
    return Dictionary(_find_attribute, _keywords)


def _find_attribute(text: str) -> Attribute | None:
    if not text:
        return None  # pydicom has attributes without a keyword
    # Imported here: a search without keys does not pay the quarter of a second.
    from pydicom import datadict  # noqa: PLC0415 -- lazy on purpose

    tag = datadict.tag_for_keyword(text)
    if tag is None:
        tag = int(text, 16) if len(text) == 8 and text.isalnum() and _is_hex(text) else None
    if tag is None or not datadict.dictionary_has_tag(tag):
        return None
    return Attribute(
        f"{tag:08X}", datadict.dictionary_keyword(tag), datadict.dictionary_VR(tag)[:2]
    )


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)


def _keywords() -> list[str]:
    from pydicom.datadict import keyword_dict  # noqa: PLC0415 -- as above

    return list(keyword_dict)
