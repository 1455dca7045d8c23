"""Paging through a search so that nothing is lost and nothing goes on for ever.

    paging = Paging(page_limit=1000)
    while (page := paging.next_page()) is not None:
        for answer in ask(page.offset, page.limit):
            if paging.admits(identity_of(answer)):
                yield answer
        paging.end_page(facts)
    paging.verdict()

PS3.18 §8.3.4.4 says how offset and limit work. Servers differ, so:
    1. A page shorter than its limit is not the end: servers cap pages without
       a word. A search ends well with an empty page, or when the keys name
       UIDs and all of them came.
    2. What came before is dropped. A page that brings nothing new although the
       offset moved says that the server counts in pages or ignores the offset.
       The first kind is understood with a limit as large as its pages and an
       offset that is a multiple of it. The second kind is asked from the start
       with larger limits; whatever that brings, the end cannot be seen, and
       the search is complete only if the server itself said how many there are.
    3. A page that repeats a part of earlier ones says that the list moved, or
       that it has no order, and then others were skipped. The list is read
       again until nothing new comes, at most `MAX_PASSES` times.
    4. `Warning: 299` or status 206 with the last page that brought something,
       or a total above what came, contradicts an empty page: not complete.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from asyncdicom.errors import UsageError

__all__ = ["DEFAULT_PAGE_LIMIT", "Page", "PageFacts", "Paging", "Verdict", "remaining_in"]

DEFAULT_PAGE_LIMIT = 1000
"""Answers asked for at once.

A study is 1 to 3 KB of JSON, so a page is 1 to 3 MB and one round trip is
shared by a thousand answers: more would gain nothing, and some services refuse it.
"""

REFUSED_PAGE_LIMIT = 100
"""What to ask for after the first page was refused: no service known allows less."""

MAX_PAGES = 1_000_000
"""A server that invents answers without end is left after this many pages."""

MAX_PASSES = 3
"""How often a list that moves is read."""

GROWTH = 10
MAX_GROWN_LIMIT = 1_000_000
"""Rule 2: page after page ten times larger, up to a million answers in one."""


@dataclass(frozen=True, slots=True)
class Page:
    """What to ask for next."""

    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What the head of an answer said about matches that it does not hold."""

    announces_more: bool = False
    """Whether a Warning or the status says that there are more."""
    total: int | None = None
    """How many there are in all, where the server says it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a search has proven."""

    answers: int
    """Different answers, at most the limit."""
    duplicates: int = 0
    """Answers that came again and were dropped."""
    pages: int = 0
    problem: str = ""
    """Why the list is not known to be complete, or an empty string."""
    limit_reached: bool = False
    """Whether the search stopped because the caller wanted no more."""

    @property
    def is_complete(self) -> bool:
        """Whether everything asked for was received, as far as a client can know."""
        return not self.problem


# PS3.18 §8.3.4.4.1 gives the sentence "There are {remaining} additional results
# that can be requested"; editions before 2019 "... exceeded the maximum ...
# Additional results can be requested". The other 299 of a search speaks of
# fuzzy matching (PS3.18 §8.3.4.2) and says nothing about more results.
_MORE = re.compile(r"additional|exceed|more|remain|maximum|limit|truncat", re.IGNORECASE)
_REMAINING = re.compile(r"\b(\d{1,9})\s+(?:additional|more|remaining|further)\b", re.IGNORECASE)


def remaining_in(warning: str) -> tuple[bool, int | None]:
    """Tell whether the text of a 299 warning announces more results, and how many."""
    count = _REMAINING.search(warning)
    if count is not None:
        return int(count[1]) > 0, int(count[1])
    return _MORE.search(warning) is not None, None


class _Mode(Enum):
    WALKING = auto()
    """The offset moves by what came."""
    ALIGNED = auto()
    """Rule 2: the limit is as large as the pages were."""
    ROUNDED = auto()
    """Rule 2: the offset is the next multiple of the limit."""
    GROWING = auto()
    """Rule 2: from the start, with larger limits."""
    CHECKING = auto()
    """Rule 3: the list is read again."""
    DONE = auto()


class Paging:
    """State of one search.

    Args:
        limit: Answers wanted at most, at least 1; None for all.
        page_limit: Answers to ask for at once, at least 1.
        at_most: How many there can be, because the keys name UIDs.
        expected: How many there are, because the archive said so elsewhere.

    """

    def __init__(
        self,
        *,
        limit: int | None = None,
        page_limit: int = DEFAULT_PAGE_LIMIT,
        at_most: int | None = None,
        expected: int | None = None,
    ) -> None:
        self._limit = limit
        self._page_limit = page_limit
        self._at_most = at_most
        self._total = expected
        self._mode = _Mode.WALKING
        self._offset = 0
        self._page: Page | None = None
        self._seen: set[bytes] = set()
        self._in_page: set[bytes] = set()
        self._received = self._repeated = self._crossed = 0
        self._largest = self._crossed_in_pass = self._pages_of_pass = 0
        self._fresh_in_pass = self._passes = 0
        self._announced = False
        self._duplicates = self._pages = 0
        self._problem = ""
        self._limit_reached = False

    @property
    def answers(self) -> int:
        """Different answers so far."""
        return len(self._seen)

    @property
    def is_remedy(self) -> bool:
        """Whether the page asked for is an experiment of rule 2, which may be refused."""
        return self._mode in (_Mode.ALIGNED, _Mode.ROUNDED, _Mode.GROWING)

    def verdict(self) -> Verdict:
        """Return what is proven so far."""
        return Verdict(
            self.answers, self._duplicates, self._pages, self._problem, self._limit_reached
        )

    def next_page(self) -> Page | None:
        """Return what to ask for, or None when the search is over.

        Asking again without `end_page` repeats the page: that is how a failed
        request is retried. What it brought before it failed stays admitted.
        """
        if self._mode is _Mode.DONE:
            return None
        self._received = self._repeated = self._crossed = 0
        if self._page is None:
            self._in_page = set()
            self._page = Page(self._offset, self._wanted())
        return self._page

    def _wanted(self) -> int:
        if self._limit is None or self._mode is _Mode.CHECKING:
            return self._page_limit
        from_start = self._mode is _Mode.GROWING
        return min(self._page_limit, self._limit - (0 if from_start else self.answers))

    def admits(self, identity: bytes) -> bool:
        """Take notice of an answer; False if it is to be dropped.

        Args:
            identity: Digest of what makes the answer unique, of constant length.

        Cost: about 100 bytes of memory per different answer.

        """
        self._received += 1
        if identity in self._seen:
            self._repeated += 1
            self._crossed += identity not in self._in_page
            return False
        if self._limit is not None and self.answers >= self._limit:
            return False
        self._seen.add(identity)
        self._in_page.add(identity)
        return True

    def end_page(self, facts: PageFacts | None = None) -> None:
        """Decide what comes next, after a page was read to its end.

        Raises:
            UsageError: If there is no page to end.

        """
        page, self._page = self._page, None
        if page is None:
            raise UsageError("next_page() comes before end_page()")
        facts = facts or PageFacts()
        self._pages += 1
        self._pages_of_pass += 1
        self._fresh_in_pass += len(self._in_page)
        if self._mode is _Mode.WALKING:
            self._duplicates += self._repeated
            self._crossed_in_pass += self._crossed if self._in_page else 0
        if facts.total is not None:
            self._total = facts.total
        if self._is_enough():
            self._finish()
        elif self._received == 0:
            self._end_of_list()
        else:
            self._announced = facts.announces_more
            self._go_on(page)

    def fail(self, problem: str) -> None:
        """End the search because a page could not be had."""
        self._finish(_OFFSET_IGNORED if self.is_remedy else problem)

    def shrink_page(self) -> bool:
        """Ask for smaller pages, after the very first was refused; False if that is no use."""
        if self._pages or self._page is None or self._page.limit <= REFUSED_PAGE_LIMIT:
            return False
        self._page_limit, self._page = REFUSED_PAGE_LIMIT, None
        return True

    def _is_enough(self) -> bool:
        if self._limit is not None and self.answers >= self._limit:
            self._limit_reached = True
            return True
        return self._at_most is not None and self.answers >= self._at_most

    def _go_on(self, page: Page) -> None:
        if self._mode is _Mode.GROWING:
            self._grow(page)
        elif self._in_page or self._mode is _Mode.CHECKING:
            # The offset counts what the server has sent, not what was new: it
            # skips matches as it sees them.
            self._walk_on(page.offset + self._received)
        else:
            self._try_otherwise(page)

    def _try_otherwise(self, page: Page) -> None:
        """Choose the next question after a page without news (rule 2)."""
        beyond = page.offset % self._page_limit
        if self._largest > self._page_limit:
            self._end_unseen()
        elif self._mode is _Mode.WALKING and self._largest < self._page_limit:
            self._mode, self._page_limit = _Mode.ALIGNED, self._largest
        elif self._mode is _Mode.WALKING and beyond:
            self._mode, self._offset = _Mode.ROUNDED, page.offset - beyond + self._page_limit
        elif self._mode is _Mode.ALIGNED:
            self._end_unseen()
        else:
            self._grow(page)

    def _walk_on(self, offset: int) -> None:
        self._offset = offset
        self._largest = max(self._largest, self._received)
        if self._mode is _Mode.ROUNDED:
            # What lies between was jumped over: the list has to be read again.
            self._crossed_in_pass += 1
        if self._mode in (_Mode.ALIGNED, _Mode.ROUNDED):
            self._mode = _Mode.WALKING
        pages_of_first_pass = self._pages - self._pages_of_pass
        if self._pages >= MAX_PAGES:
            self._finish(f"stopped after {MAX_PAGES} pages, and there was no end")
        elif self._mode is _Mode.CHECKING and self._pages_of_pass > 2 * pages_of_first_pass + 1:
            self._finish(_LIST_MOVES)

    def _grow(self, page: Page) -> None:
        is_full = self._mode is not _Mode.GROWING or (
            bool(self._in_page) and self._received >= page.limit
        )
        if not is_full or self._page_limit >= MAX_GROWN_LIMIT:
            self._end_unseen()
            return
        self._mode, self._offset = _Mode.GROWING, 0
        self._page_limit = min(self._page_limit * GROWTH, MAX_GROWN_LIMIT)

    def _end_unseen(self) -> None:
        is_counted = self._total is not None and self.answers >= self._total
        self._finish("" if is_counted else _OFFSET_IGNORED)

    def _end_of_list(self) -> None:
        if self._mode is _Mode.GROWING:
            self._end_unseen()
        elif self._crossed_in_pass or (self._mode is _Mode.CHECKING and self._fresh_in_pass):
            self._read_again()
        elif self._total is not None and self._total > self.answers:
            self._finish(f"the server counts {self._total} and sent {self.answers}")
        elif self._announced:
            self._finish("the server says that there are more, and does not send them")
        else:
            self._finish()

    def _read_again(self) -> None:
        self._passes += 1
        if self._passes >= MAX_PASSES:
            self._finish(_LIST_MOVES)
            return
        self._mode, self._offset = _Mode.CHECKING, 0
        self._crossed_in_pass = self._fresh_in_pass = self._pages_of_pass = 0

    def _finish(self, problem: str = "") -> None:
        self._mode = _Mode.DONE
        self._problem = problem


_OFFSET_IGNORED = (
    "the server ignores the offset, so there may be more that cannot be seen; narrow the search"
)
_LIST_MOVES = "the list kept moving while it was read, so some may have been skipped"
