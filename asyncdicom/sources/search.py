"""Search a DICOMweb service, page by page, and know at the end whether the list is whole.

    found = search(source, query, limit=500)
    async for answer in found:          # one match, in the DICOM JSON Model
        ...
    found.verdict().is_complete

Which page comes next, and what a page proves, is decided in `policy/paging.py`.
A page that failed may be asked for again (`page()` repeats it); what it brought
before it failed does not come twice.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from asyncdicom.errors import (
    AsyncDicomError,
    FetchError,
    Incomplete,
    NotFound,
    OriginError,
    Throttled,
    TransportError,
    Unauthorized,
    UnexpectedContent,
)
from asyncdicom.model import SearchTarget
from asyncdicom.policy.paging import DEFAULT_PAGE_LIMIT, Page, PageFacts, Paging, remaining_in
from asyncdicom.protocol.dicom_json_stream import JsonArraySplitter
from asyncdicom.protocol.http_fields import field_values, warning_values
from asyncdicom.protocol.payload_events import NEED_DATA
from asyncdicom.protocol.qido_keys import Attribute, AttributePath, Level, Match
from asyncdicom.protocol.qido_rs import SearchQuery, path_of, respelled, url_of
from asyncdicom.protocol.urls import shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from asyncdicom.model import Target, Uid
    from asyncdicom.policy.paging import Verdict
    from asyncdicom.sources.dicomweb import DicomWebSource
    from asyncdicom.sources.transaction import Transaction

__all__ = ["Answer", "Search", "counted_instances", "search", "search_instances"]

Answer: TypeAlias = dict[str, Any]
"""One match in the DICOM JSON Model (PS3.18 Annex F)."""

MAX_NOTES = 5
MAX_NOTE_CHARACTERS = 200


class Search:
    """A search under way.

    Attributes:
        query: What is searched for.
        notes: What the server remarked, without repetition, at most `MAX_NOTES`.

    """

    def __init__(
        self, source: DicomWebSource, query: SearchQuery, begin: Callable[[], Paging]
    ) -> None:
        self.query = query
        self.notes: list[str] = []
        self._source = source
        self._begin = begin
        self._paging = begin()
        self._page = self._paging.next_page()

    def __str__(self) -> str:
        return f"search {path_of(self.query)}, page {self._paging.verdict().pages + 1}"

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to ask."""
        return self._page is None

    def verdict(self) -> Verdict:
        """Return what is proven so far; final once the search is over."""
        return self._paging.verdict()

    def fail(self, error: AsyncDicomError) -> None:
        """End the search: a page could not be had, and the list is not complete."""
        self._paging.fail(str(error))
        self._page = None

    async def __aiter__(self) -> AsyncGenerator[Answer]:
        """Yield the answers to the end; a failure is raised, nothing is tried again."""
        while not self.is_over:
            async with aclosing(self.page()) as answers:
                async for answer in answers:
                    yield answer

    async def page(self) -> AsyncGenerator[Answer]:
        """Yield what is new on the next page; after a failure, the same page again.

        Whoever leaves early closes the generator (`contextlib.aclosing`): the
        answer of the server is open until then.

        Raises:
            TransportError: If bytes do not flow.
            OriginError: If the server refuses the search.
            ContentError: If the answer is no list of data sets.
            ProtocolError: If it is damaged.

        """
        page = self._paging.next_page()
        if page is None:
            return
        try:
            async with aclosing(self._ask(page)) as answers:
                async for answer in answers:
                    if self._paging.admits(_identity(answer, self.query.level)):
                        yield answer
        except OriginError as error:
            self._refused(page, error)
        self._page = self._paging.next_page() or self._page_of_other_spelling()

    def _page_of_other_spelling(self) -> Page | None:
        """Begin again where nothing was found and the server may not have understood."""
        query = respelled(self.query)
        verdict = self._paging.verdict()
        if query is None or verdict.answers or verdict.problem:
            return None
        self.query, self._paging = query, self._begin()
        return self._paging.next_page()

    async def _ask(self, page: Page) -> AsyncGenerator[Answer]:
        query = self.query.page(offset=page.offset, limit=page.limit)
        url = url_of(self._source.root.url, query)
        received = 0
        async with self._source.ask(SearchTarget(path_of(query)), url) as transaction:
            # PS3.18 §8.3.4.4.1: no results are answered with 204.
            if transaction.response.status_code != 204:
                self._judge(transaction, page)
                async with aclosing(_answers_in(transaction)) as answers:
                    async for answer in answers:
                        received += 1
                        yield answer
            self._paging.end_page(self._facts(transaction, page, received))

    def _judge(self, transaction: Transaction, page: Page) -> None:
        status_code = transaction.response.status_code
        content_type = transaction.content_type or ""
        essence = content_type.partition(";")[0].strip().lower()
        found = f"{status_code} {essence}".rstrip()
        # A service that is not there is told apart from a study that is not: the
        # search for all studies exists on every DICOMweb service, and finding
        # none is no 404 (PS3.18 §8.3.4.4.1), though some say so in DICOM JSON.
        is_first = page.offset == 0 and self.query.study_instance_uid is None
        if status_code == 404 and is_first and essence != "application/dicom+json":
            raise self._not_a_root(found)
        if status_code != 206:
            transaction.judge()
        if essence and not essence.endswith(("/json", "+json")):
            raise self._not_a_root(found)

    def _not_a_root(self, found: str) -> UnexpectedContent:
        return UnexpectedContent(
            f"the answer to a search was {found} instead of DICOM JSON; "
            f"perhaps {shown(self._source.root.url)} is not the root of a DICOMweb service"
        )

    def _refused(self, page: Page, error: OriginError) -> None:
        """Go on after a status that says no, or raise it again."""
        if isinstance(error, Throttled | Unauthorized) or error.status_code >= 500:
            raise error
        if page.offset and isinstance(error, NotFound):
            # Beyond the last match some servers answer 404 instead of 204.
            self._paging.end_page()
        elif self._paging.is_remedy:
            self._paging.fail(str(error))
        elif not self._paging.shrink_page():
            raise error

    def _facts(self, transaction: Transaction, page: Page, received: int) -> PageFacts:
        headers = transaction.response.headers
        announces_more = transaction.response.status_code == 206
        total = None
        for warning in warning_values(field_values(headers, "warning")):
            says_more, remaining = remaining_in(warning.text)
            announces_more = announces_more or says_more
            if remaining is not None and received:
                total = page.offset + received + remaining
            if not says_more:
                self._note(warning.text)
        # Not in the Standard, but common (DICOMcloud, proxies): the number of all matches.
        for value in field_values(headers, "x-total-count"):
            total = int(value) if value.isdecimal() and len(value) < 10 else total
        return PageFacts(announces_more, total)

    def _note(self, text: str) -> None:
        note = "".join(c if c.isprintable() else " " for c in text)[:MAX_NOTE_CHARACTERS].strip()
        if note and note not in self.notes and len(self.notes) < MAX_NOTES:
            self.notes.append(note)


def search(
    source: DicomWebSource,
    query: SearchQuery,
    *,
    limit: int | None = None,
    page_limit: int = DEFAULT_PAGE_LIMIT,
    expected: int | None = None,
) -> Search:
    """Search a service; iterate over what is returned.

    Args:
        source: Where to search.
        query: What for; its limit and offset are set page by page.
        limit: Answers wanted at most, at least 1; None for all.
        page_limit: Answers to ask for at once, at least 1.
        expected: How many there are, because the archive said so elsewhere.

    """
    begin = partial(
        Paging, limit=limit, page_limit=page_limit, at_most=query.at_most, expected=expected
    )
    return Search(source, query, begin)


async def search_instances(source: DicomWebSource, target: Target) -> AsyncGenerator[Answer]:
    """Yield the instances that the index of a server lists for a study or series.

    Raises:
        Incomplete: After the last one, if the list is not known to be complete.
        FetchError: As `Search.page`.

    """
    query = SearchQuery(
        Level.INSTANCE,
        # PS3.18 Table 10.6.3-5 lets a server leave the series out below a study.
        include_fields=("0020000E",) if target.series_instance_uid is None else (),
        study_instance_uid=target.study_instance_uid,
        series_instance_uid=target.series_instance_uid,
    )
    found = search(source, query)
    async with aclosing(found.__aiter__()) as answers:
        async for answer in answers:
            yield answer
    verdict = found.verdict()
    if not verdict.is_complete:
        raise Incomplete(verdict.problem, expected=None, received=verdict.answers)


async def counted_instances(source: DicomWebSource, target: Target) -> int | None:
    """Return how many instances a server counts in a study or series, or None if it does not say.

    Raises:
        TransportError: If bytes do not flow.
        Throttled: If the server asks for patience.
        Unauthorized: If it wants other credentials.

    """
    query, counter = _count_query(target)
    try:
        answers = [answer async for answer in search(source, query, limit=2)]
    except (TransportError, Throttled, Unauthorized):
        raise
    except FetchError:
        return None
    # Two answers to one UID: the server ignores the key, and its count is of something else.
    return _number(answers[0], counter) if len(answers) == 1 else None


def _count_query(target: Target) -> tuple[SearchQuery, str]:
    study, series = target.study_instance_uid, target.series_instance_uid
    if series is None:
        # (0020,1208) *NumberOfStudyRelatedInstances*
        fields = ("00201208",)
        return SearchQuery(Level.STUDY, (_is("0020000D", study),), fields, at_most=1), fields[0]
    # (0020,1209) *NumberOfSeriesRelatedInstances*
    fields = ("00201209",)
    return SearchQuery(
        Level.SERIES,
        (_is("0020000E", series),),
        fields,
        study_instance_uid=study,
        at_most=1,
    ), fields[0]


def _is(tag: str, uid: Uid) -> Match:
    return Match(AttributePath(tag, (Attribute(tag, vr="UI"),)), uid)


def _number(answer: Answer, tag: str) -> int | None:
    text = _first_value(answer, tag)
    return int(text) if text.isdecimal() and len(text) < 10 else None


async def _answers_in(transaction: Transaction) -> AsyncGenerator[Answer]:
    """Yield the data sets of a payload, in memory bounded by one of them."""
    splitter = JsonArraySplitter()
    is_empty = True
    while data := await transaction.read():
        # 200 without content is how some servers say that there is nothing.
        is_empty = is_empty and not bytes(data).strip()
        if is_empty:
            continue
        splitter.receive_data(data)
        while (element := splitter.next_event()) is not NEED_DATA:
            yield _checked(element)
    if is_empty:
        return
    splitter.receive_eof()
    while (element := splitter.next_event()) is not NEED_DATA:
        yield _checked(element)


_TAG = re.compile(r"[0-9A-Fa-f]{8}")


def _checked(answer: Answer) -> Answer:
    """Return a data set; an object that tells of an error has other members than tags."""
    try:
        # More is read in depth than can be written again; whoever takes answers writes them.
        orjson.dumps(answer)
    except orjson.JSONEncodeError as error:
        raise UnexpectedContent("the answer to a search is nested too deeply") from error
    if any(_TAG.fullmatch(key) for key in answer) or not answer:
        return answer
    members = ", ".join(ascii(key[:30]) for key in list(answer)[:5])
    raise UnexpectedContent(f"the answer to a search is an object with {members}, no data set")


# (0020,000D) *StudyInstanceUID*, (0020,000E) *SeriesInstanceUID*, (0008,0018) *SOPInstanceUID*
_UID_TAGS = {
    Level.STUDY: ("0020000D",),
    Level.SERIES: ("0020000D", "0020000E"),
    Level.INSTANCE: ("0020000D", "0020000E", "00080018"),
}


def _identity(answer: Answer, level: Level) -> bytes:
    """Return a digest of what makes an answer unique.

    The UIDs of higher levels belong to it: archives hold one series in two
    studies, and both have to be listed. An answer without the UID of its level
    is its own identity.
    """
    tags = _UID_TAGS[level]
    if _first_value(answer, tags[-1]):
        words = "\\".join(_first_value(answer, tag) for tag in tags).encode()
    else:
        words = orjson.dumps(answer, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(words, digest_size=16).digest()


def _first_value(answer: Answer, tag: str) -> str:
    element = answer.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]).strip() if isinstance(values, list) and values else ""
