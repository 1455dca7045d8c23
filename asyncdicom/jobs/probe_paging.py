"""Whether a service pages as PS3.18 §8.3.4.4 says: six small pages, and what they show.

    await probe_paging(asker, report)

Strategy: one longer page is the list to compare with; the small ones must be pieces of
it. `policy/paging.py` copes with all that is told apart here; what is learnt is how
many requests that takes, and whether the end of a list can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asyncdicom.jobs.probe import UNKNOWN
from asyncdicom.policy.paging import remaining_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncdicom.jobs.probe import ProbeReport
    from asyncdicom.jobs.probe_asking import Asker, Exchange

__all__ = ["LONG_PAGE", "SeenPage", "probe_paging"]

LONG_PAGE: Final = 200
"""Answers of the longest page that is asked for: half a megabyte at most."""
SMALL_PAGE: Final = 2
FAR_OFFSET: Final = 100_000_000

TOPIC: Final = "paging"
_STUDY_INSTANCE_UID: Final = "0020000D"


@dataclass(frozen=True, slots=True)
class SeenPage:
    """A page and the studies on it."""

    exchange: Exchange
    offset: int
    limit: int
    uids: tuple[str, ...] | None
    """Study Instance UIDs in order, or None where it is no list."""

    @property
    def announces_more(self) -> bool:
        """Whether the server says that there are more (PS3.18 §8.3.4.4.1)."""
        told = any(remaining_in(text)[0] for text in self.exchange.warnings)
        return told or self.exchange.status_code == 206

    def __str__(self) -> str:
        if self.uids is None:
            return str(self.exchange)
        count = len(self.uids)
        return f"GET {self.exchange.asked}: {count} {'study' if count == 1 else 'studies'}"


async def probe_paging(asker: Asker, report: ProbeReport) -> SeenPage:
    """Ask for pages of all studies, and note what they show; return the longest."""
    long = await page(asker, 0, LONG_PAGE)
    if long.uids is None:
        report.add(TOPIC, "longest-page", None, odd=f"{long}, though limit={SMALL_PAGE} works")
        long = await page(asker, 0, 5 * SMALL_PAGE)
    elif long.uids:
        await _judge_length(asker, report, long)
    if long.uids:
        await _judge_limit(asker, report, long.uids)
        await _judge_offset(asker, report, long.uids)
        await _judge_end(asker, report)
    return long


async def page(asker: Asker, offset: int, limit: int) -> SeenPage:
    """Ask for a page of all studies."""
    path = f"/studies?limit={limit}" + (f"&offset={offset}" if offset else "")
    exchange = await asker.ask(path)
    answers = exchange.answers()
    return SeenPage(exchange, offset, limit, None if answers is None else uids_of(answers))


def uids_of(answers: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Return the Study Instance UIDs, empty where an answer has none."""
    return tuple(text_of(answer, _STUDY_INSTANCE_UID) for answer in answers)


def text_of(answer: dict[str, Any], tag: str) -> str:
    """Return the first value of an attribute as text, empty where there is none."""
    element = answer.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""


async def _judge_length(asker: Asker, report: ProbeReport, long: SeenPage) -> None:
    """Look behind the longest page: is it all there is, or was it capped?"""
    assert long.uids is not None, "judged where there is a list"
    count = len(long.uids)
    if count > long.limit:
        report.add(TOPIC, "longest-page", count, odd=f"limit is ignored: {long}")
        return
    if count == long.limit:
        report.add(TOPIC, "longest-page", count, "the longest that was asked for")
        return
    behind = await page(asker, count, 1)
    if not behind.uids or behind.uids[0] in long.uids:
        report.add(TOPIC, "longest-page", count, "all there is")
        return
    how = "announced" if long.announces_more else "without a word"
    report.add(TOPIC, "cap", count, odd=f"{long}, {how}, and {behind} that is not among them")
    report.profile.setdefault("find", {})["page-size"] = count


async def _judge_limit(asker: Asker, report: ProbeReport, known: tuple[str, ...]) -> None:
    """Ask for fewer than there are, twice."""
    limit = min(5 * SMALL_PAGE, max(1, len(known) - 1))
    one, other = await page(asker, 0, limit), await page(asker, 0, limit)
    count = -1 if one.uids is None else len(one.uids)
    if len(known) <= limit and count == len(known):
        report.add(TOPIC, "limit", UNKNOWN, "too few studies to tell")
    elif count == limit:
        report.add(TOPIC, "limit", "honoured", str(one))
    else:
        value = "ignored" if count > limit else "short pages"
        report.add(TOPIC, "limit", value, odd=f"{one}, and there are {len(known)} at least")
    announced = one.announces_more and len(known) > limit
    told = f"Warning: {one.exchange.warnings[0]}" if one.exchange.warnings else str(one)
    report.add(TOPIC, "says-when-there-is-more", announced, told)
    total = one.exchange.header("x-total-count")
    if total:
        report.add(TOPIC, "x-total-count", total)
    _judge_order(report, one, other, known)


def _judge_order(
    report: ProbeReport, one: SeenPage, other: SeenPage, known: tuple[str, ...]
) -> None:
    if len(known) == 1:
        report.add(TOPIC, "order", UNKNOWN, "one study only")
    elif one.uids == other.uids and (one.uids or ()) == known[: len(one.uids or ())]:
        report.add(TOPIC, "order", "stable", "the same page three times")
    else:
        report.add(TOPIC, "order", "changes", odd=f"{one}, in another order than before")


async def _judge_offset(asker: Asker, report: ProbeReport, known: tuple[str, ...]) -> None:
    """Find out where a page begins that was asked for with an offset."""
    # With both large enough, skipping answers, pages or nothing end at different studies.
    offset, limit = (3, SMALL_PAGE) if len(known) > 3 * SMALL_PAGE else (1, 1)
    if len(known) <= offset:
        report.add(TOPIC, "offset", UNKNOWN, "too few studies to tell")
        return
    seen = await page(asker, offset, limit)
    first = seen.uids[0] if seen.uids else ""
    at = known.index(first) if first in known else None
    if at == offset:
        report.add(TOPIC, "offset", "honoured", str(seen))
    elif at is None:
        report.add(TOPIC, "offset", UNKNOWN, odd=f"{seen}, none that was expected there")
    else:
        value = {0: "ignored", offset * limit: "counts pages"}.get(at, "repeats answers")
        where = f"the first one is number {at} of the list (from 0)"
        report.add(TOPIC, "offset", value, odd=f"{seen}; {where}")


async def _judge_end(asker: Asker, report: ProbeReport) -> None:
    """Ask behind the end of the list."""
    seen = await page(asker, FAR_OFFSET, 1)
    if seen.uids == ():
        report.add(TOPIC, "behind-the-end", str(seen.exchange.status_code), str(seen))
    else:
        status = str(seen.exchange.status_code) if seen.uids is None else "answers"
        report.add(TOPIC, "behind-the-end", status, odd=str(seen))
