"""How servers page, and what a search may believe of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from asyncdicom.errors import UsageError
from asyncdicom.policy import paging as policy
from asyncdicom.policy.paging import Page, PageFacts, Paging, Verdict, remaining_in

OFFSET_IGNORED = "ignores the offset"

Server = Callable[[Page], Sequence[int]]


@dataclass
class Walk:
    """A search driven to its end against a server of one line."""

    asked: list[Page] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    verdict: Verdict = field(default_factory=lambda: Verdict(0))


def walk(
    server: Server,
    paging: Paging,
    facts: Callable[[Page, Sequence[int]], PageFacts] = lambda page, items: PageFacts(),
) -> Walk:
    done = Walk()
    while (page := paging.next_page()) is not None:
        assert len(done.asked) < 100, "the search goes on for ever"
        done.asked.append(page)
        items = server(page)
        done.answers += [item for item in items if paging.admits(item.to_bytes(16))]
        paging.end_page(facts(page, items))
    done.verdict = paging.verdict()
    return done


def conforming(count: int, *, cap: int = 10**9) -> Server:
    """PS3.18 §8.3.4.4.1, with the maximum number of results per answer."""
    return lambda page: range(count)[page.offset :][: min(page.limit, cap)]


def ignoring_offset(count: int, *, cap: int = 10**9) -> Server:
    return lambda page: range(count)[: min(page.limit, cap)]


def without_paging(count: int) -> Server:
    return lambda page: range(count)


def counting_in_pages(count: int, *, cap: int) -> Server:
    """Rounds the offset down to whole pages of the limit that was asked for."""

    def answer(page: Page) -> Sequence[int]:
        start = page.offset // page.limit * page.limit
        return range(count)[start:][: min(page.limit, cap)]

    return answer


def overlapping(count: int) -> Server:
    """Repeats the last answer of the page before, as a list does that grows at its head."""
    return lambda page: range(count)[max(0, page.offset - 1) :][: page.limit]


@pytest.mark.parametrize(
    ("server", "page_limit", "count", "problem", "asked"),
    [
        pytest.param(conforming(0), 10, 0, "", 1, id="nothing matches"),
        pytest.param(conforming(3), 10, 3, "", 2, id="a short page is not the end"),
        pytest.param(conforming(20), 10, 20, "", 3, id="the last page is full"),
        pytest.param(conforming(25), 10, 25, "", 4, id="the last page is short"),
        pytest.param(conforming(25, cap=7), 10, 25, "", 5, id="pages are capped without a word"),
        pytest.param(conforming(25, cap=1), 10, 25, "", 26, id="one answer a time"),
        pytest.param(
            ignoring_offset(25), 10, 25, OFFSET_IGNORED, 3, id="offset ignored, limit obeyed"
        ),
        pytest.param(
            ignoring_offset(250),
            10,
            250,
            OFFSET_IGNORED,
            4,
            id="offset ignored, the limit grows until all came",
        ),
        pytest.param(
            ignoring_offset(25, cap=10),
            10,
            10,
            OFFSET_IGNORED,
            3,
            id="offset ignored and capped at the limit",
        ),
        pytest.param(
            ignoring_offset(25, cap=7),
            10,
            7,
            OFFSET_IGNORED,
            3,
            id="offset ignored and capped below the limit",
        ),
        pytest.param(
            without_paging(25), 10, 25, OFFSET_IGNORED, 2, id="neither limit nor offset known"
        ),
        pytest.param(
            counting_in_pages(25, cap=7), 10, 25, "", 7, id="the offset counts in pages, capped"
        ),
        pytest.param(
            counting_in_pages(25, cap=10), 10, 25, "", 5, id="the offset counts in full pages"
        ),
        pytest.param(counting_in_pages(3, cap=10), 10, 3, "", 3, id="there is one short page"),
        pytest.param(overlapping(25), 10, 25, "", 8, id="pages overlap: the list is checked"),
    ],
)
def test_every_answer_that_can_be_had_comes_once(
    server: Server, page_limit: int, count: int, problem: str, asked: int
) -> None:
    done = walk(server, Paging(page_limit=page_limit))

    assert done.answers == list(range(count))
    assert problem in done.verdict.problem
    assert done.verdict.is_complete == (not problem)
    assert (done.verdict.answers, len(done.asked)) == (count, asked)
    assert done.verdict.pages == asked


@pytest.mark.parametrize(
    ("server", "limit", "count", "problem"),
    [
        pytest.param(conforming(25), 5, 5, "", id="less than a page"),
        pytest.param(conforming(25), 10, 10, "", id="exactly a page"),
        pytest.param(conforming(25, cap=4), 9, 9, "", id="of capped pages"),
        pytest.param(without_paging(25), 9, 9, "", id="of a server that sends too many"),
        pytest.param(ignoring_offset(25), 15, 15, "", id="of a server that ignores the offset"),
        pytest.param(
            ignoring_offset(25, cap=10), 15, 10, OFFSET_IGNORED, id="which cannot be reached"
        ),
        pytest.param(overlapping(25), 15, 15, "", id="of pages that overlap"),
    ],
)
def test_a_limit_is_never_exceeded(server: Server, limit: int, count: int, problem: str) -> None:
    done = walk(server, Paging(limit=limit, page_limit=10))

    assert done.answers == list(range(count))
    assert problem in done.verdict.problem
    assert done.verdict.limit_reached == (not problem)
    assert all(page.limit <= limit for page in done.asked)


def test_no_limit_reached_when_fewer_match() -> None:
    verdict = walk(conforming(3), Paging(limit=5)).verdict
    assert (verdict.answers, verdict.limit_reached, verdict.is_complete) == (3, False, True)


def test_a_named_uid_needs_no_second_page() -> None:
    done = walk(ignoring_offset(1), Paging(at_most=1))
    assert (len(done.asked), done.verdict.is_complete) == (1, True)


def test_fewer_than_the_named_uids_is_no_problem() -> None:
    assert walk(conforming(1), Paging(at_most=2)).verdict.is_complete


def announcing_always(page: Page, items: Sequence[int]) -> PageFacts:
    return PageFacts(announces_more=bool(items))


def announcing_truly(count: int) -> Callable[[Page, Sequence[int]], PageFacts]:
    return lambda page, items: PageFacts(
        announces_more=page.offset + len(items) < count,
        total=count,
    )


@pytest.mark.parametrize(
    ("server", "facts", "problem"),
    [
        pytest.param(
            conforming(25, cap=7), announcing_truly(25), "", id="announced and then delivered"
        ),
        pytest.param(
            conforming(20),
            announcing_always,
            "says that there are more",
            id="announced to the last and not delivered",
        ),
        pytest.param(
            conforming(20),
            announcing_truly(25),
            "counts 25 and sent 20",
            id="a total that is not reached",
        ),
        pytest.param(
            ignoring_offset(25, cap=10),
            announcing_truly(10),
            "",
            id="offset ignored, and the total proves that nothing is beyond",
        ),
        pytest.param(
            ignoring_offset(25, cap=10),
            announcing_truly(25),
            OFFSET_IGNORED,
            id="offset ignored, and the total says that more is beyond",
        ),
    ],
)
def test_what_the_server_says_of_more_is_held_against_what_it_sends(
    server: Server, facts: Callable[[Page, Sequence[int]], PageFacts], problem: str
) -> None:
    verdict = walk(server, Paging(page_limit=10), facts).verdict
    assert problem in verdict.problem
    assert verdict.is_complete == (not problem)


def test_a_total_does_not_spare_the_last_question() -> None:
    per_page = walk(
        conforming(25), Paging(page_limit=10), lambda page, items: PageFacts(total=len(items))
    )
    assert per_page.answers == list(range(25))


@pytest.mark.parametrize(
    ("count", "problem"), [(3, ""), (4, "counts 4 and sent 3")], ids=["all came", "one is missing"]
)
def test_a_count_known_elsewhere_is_held_against_the_list(count: int, problem: str) -> None:
    assert walk(conforming(3), Paging(expected=count)).verdict.problem.endswith(problem)


def test_a_list_that_moves_once_is_read_again() -> None:
    pages = iter([[0, 1, 2], [2, 3, 4], [], [9, 0, 1], [2, 3, 4], [], [9, 0, 1], [2, 3, 4], []])
    done = walk(lambda page: next(pages), Paging(page_limit=3))

    assert done.answers == [0, 1, 2, 3, 4, 9]
    assert done.verdict.is_complete
    assert done.verdict.duplicates == 1
    assert [page.offset for page in done.asked] == [0, 3, 6] * 3


def test_a_list_that_never_rests_is_not_complete() -> None:
    fresh = iter(range(100, 1000))

    def server(page: Page) -> Sequence[int]:
        return [0, 1, next(fresh)] if page.offset < 9 else []

    done = walk(server, Paging(page_limit=3))
    assert "kept moving" in done.verdict.problem
    assert [page.offset for page in done.asked] == [0, 3, 6, 9] * policy.MAX_PASSES


def test_a_second_reading_that_finds_no_end_is_left() -> None:
    pages = iter([[0, 1], [1, 2], []])
    done = walk(lambda page: next(pages, [0, 1]), Paging(page_limit=2))
    assert "kept moving" in done.verdict.problem
    assert len(done.asked) == 3 + 8


def test_a_study_listed_twice_on_one_page_is_no_sign_of_moving() -> None:
    done = walk(lambda page: [0, 0, 1][page.offset :], Paging(page_limit=3))
    assert (done.answers, done.verdict.duplicates, len(done.asked)) == ([0, 1], 1, 2)


def test_what_a_rounded_offset_jumped_over_is_fetched() -> None:
    pages = iter([[0, 1, 2, 3], [4, 5], [4, 5], [8], [], [0, 1, 2, 3], [4, 5, 6, 7], [8], []])
    done = walk(lambda page: next(pages, []), Paging(page_limit=4))
    assert [page.offset for page in done.asked] == [0, 4, 6, 8, 9, 0, 4, 8, 9, 0]
    assert done.answers == [0, 1, 2, 3, 4, 5, 8, 6, 7]


def test_a_retried_page_loses_and_repeats_nothing() -> None:
    paging = Paging(page_limit=3)
    first = paging.next_page()
    broken = [paging.admits(bytes([item])) for item in (0, 1)]
    again = paging.next_page()
    whole = [paging.admits(bytes([item])) for item in (0, 1, 2)]
    paging.end_page()

    assert first == again
    assert (broken, whole) == ([True, True], [False, False, True])
    assert paging.next_page() == Page(3, 3)
    paging.end_page()
    assert paging.next_page() is None
    assert paging.verdict() == Verdict(3, duplicates=2, pages=2)


def test_a_page_that_failed_for_good_ends_the_search() -> None:
    paging = Paging()
    paging.next_page()
    paging.fail("no answer")
    assert paging.next_page() is None
    assert paging.verdict().problem == "no answer"


def test_a_refused_remedy_leaves_the_first_finding() -> None:
    paging = Paging(page_limit=10)
    for _ in range(2):
        paging.next_page()
        for item in range(10):
            paging.admits(bytes([item]))
        paging.end_page()
    assert paging.next_page() == Page(0, 100)
    paging.fail("the server refused the request (400)")
    assert OFFSET_IGNORED in paging.verdict().problem


def test_an_empty_answer_to_a_larger_limit_proves_nothing() -> None:
    server = lambda page: range(10) if page.limit == 10 else []  # noqa: E731 -- a server in a line
    assert OFFSET_IGNORED in walk(server, Paging(page_limit=10)).verdict.problem


def test_limits_do_not_grow_for_ever() -> None:
    done = walk(lambda page: range(min(page.limit, 1)), Paging(page_limit=1))
    assert [page.limit for page in done.asked] == [1, 1, 10]


def test_a_first_page_that_is_refused_is_asked_for_in_smaller_pages() -> None:
    paging = Paging(page_limit=1000)
    assert not paging.shrink_page()
    paging.next_page()
    assert paging.shrink_page()
    assert paging.next_page() == Page(0, 100)
    assert not paging.shrink_page()


def test_a_later_page_is_not_made_smaller() -> None:
    paging = Paging(page_limit=1000)
    paging.next_page()
    paging.admits(b"1")
    paging.end_page()
    paging.next_page()
    assert not paging.shrink_page()


def test_an_endless_server_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "MAX_PAGES", 5)
    done = walk(lambda page: range(page.offset, page.offset + 2), Paging(page_limit=2))
    assert len(done.asked) == 5
    assert "stopped after 5 pages" in done.verdict.problem


def test_growth_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "MAX_GROWN_LIMIT", 40)
    done = walk(ignoring_offset(1000), Paging(page_limit=2))
    assert [page.limit for page in done.asked] == [2, 2, 20, 40]
    assert OFFSET_IGNORED in done.verdict.problem


def test_a_page_cannot_end_before_it_began() -> None:
    with pytest.raises(UsageError):
        Paging().end_page()


def test_answers_are_counted_on_the_way() -> None:
    paging = Paging()
    paging.next_page()
    paging.admits(b"1")
    assert paging.answers == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "There are 12 additional results that can be requested",
            (True, 12),
            id="the sentence of PS3.18 §8.3.4.4",
        ),
        pytest.param(
            "There are 0 additional results that can be requested", (False, 0), id="none are left"
        ),
        pytest.param(
            "The number of results exceeded the maximum supported by the server. "
            "Additional results can be requested.",
            (True, None),
            id="the sentence before 2019",
        ),
        pytest.param(
            "The fuzzymatching parameter is not supported. Only literal matching has been "
            "performed.",
            (False, None),
            id="fuzzy matching speaks of something else",
        ),
    ],
)
def test_a_warning_is_understood(text: str, expected: tuple[bool, int | None]) -> None:
    assert remaining_in(text) == expected
