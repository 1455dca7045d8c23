"""The page: self-contained, accessible, and blind to what a hostile server wrote."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from asyncdicom.cli.report_html import comparison_page, report_page
from asyncdicom.jobs.report import collect
from tests.support.dump_records import INSTANCE, STUDY, frame_record, write_record

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "</script></style><script>alert(1)</script><img src=x onerror='a'>\"&${title}\x1b[31m\u202e"
)
VOID = {"meta"}


class Page(HTMLParser):
    """Checks nesting, and notes elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.content: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.content.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    root = tmp_path / HOSTILE.replace("/", "")
    for number in range(20):
        record = frame_record(
            10 + number,
            20 + number,
            url=f"https://me:secret@host/{HOSTILE}?token=secret#secret",
            startedAt=f"2025-03-04T09:30:{number:02}Z",
            error={"reason": HOSTILE} if number % 2 else None,
            response_httpVersion=HOSTILE,
            multipart=[{"headers": {"content-type": HOSTILE}, "length": 10}],
        )
        write_record(root, f"{INSTANCE}/frames/{number}", record)
    transfer_syntax = HOSTILE.replace('"', "").replace("\x1b", "")
    content_type = f'image/jp2; transfer-syntax="{transfer_syntax}"'
    record = frame_record(multipart=[], response_headers={"content-type": content_type})
    write_record(root, f"{STUDY}/metadata", record)
    write_record(root, f"x{HOSTILE.replace('/', '')}", b"{")
    return root


@pytest.fixture(params=["report", "comparison"])
def page(request: pytest.FixtureRequest, hostile: Path) -> str:
    report = collect(hostile)
    return report_page(report) if request.param == "report" else comparison_page(report, report)


def test_hostile_texts_make_no_element_and_no_attribute(page: str) -> None:
    parsed = Page(page)
    tags = {name for name, _ in parsed.elements}
    assert not tags & {"script", "img", "b", "iframe", "object", "link", "a", "base", "form"}
    attributes = {name for _, found in parsed.elements for name in found}
    assert not {name for name in attributes if name.startswith("on")}
    assert len(parsed.all("style")) == len(parsed.all("title")[:1]) == 1


def test_hostile_texts_are_shown_as_text(hostile: Path) -> None:
    content = "".join(Page(report_page(collect(hostile))).content)
    assert "<script>alert(1)</script><img src=x onerror='a'>\"&${title}" in content


def test_no_control_or_direction_character_gets_through(page: str) -> None:
    assert all(character.isprintable() for character in page.replace("\n", ""))


def test_user_information_and_query_are_nowhere(page: str) -> None:
    assert "secret" not in page


def test_the_page_loads_and_runs_nothing(page: str) -> None:
    parsed = Page(page)
    names = {name for _, found in parsed.elements for name in found}
    assert not names & {"src", "href", "srcset", "action", "data", "style"}
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    policies = [meta for meta in parsed.all("meta") if "http-equiv" in meta]
    assert [meta["content"] for meta in policies] == [
        "default-src 'none'; style-src 'unsafe-inline'"
    ]


def test_both_colour_schemes_and_paper_are_provided_for(page: str) -> None:
    assert "@media screen and (prefers-color-scheme: dark)" in page
    assert "@media print" in page


def test_tables_name_their_columns_and_rows(page: str) -> None:
    parsed = Page(page)
    tables = len(parsed.all("table"))
    assert tables >= 2
    assert len(parsed.all("caption")) == tables
    assert all(cell.get("scope") or cell.get("class") == "text" for cell in parsed.all("th"))


def test_drawings_are_described_or_hidden_and_boxes_can_be_scrolled_by_keyboard(page: str) -> None:
    parsed = Page(page)
    for drawing in parsed.all("svg"):
        assert drawing.get("aria-hidden") == "true" or drawing.get("aria-labelledby")
    for box in (one for one in parsed.all("div") if one.get("class") == "scroll"):
        assert box.get("tabindex") == "0"
        assert box.get("aria-label")


def test_identifiers_are_unique(page: str) -> None:
    found = [one["id"] for _, one in Page(page).elements if "id" in one]
    assert len(found) == len(set(found)) > 0


def test_the_page_has_a_language_a_title_and_one_heading(page: str) -> None:
    parsed = Page(page)
    assert parsed.all("html") == [{"lang": "en"}]
    assert len(parsed.all("h1")) == 1
    assert len(parsed.all("main")) == 1
    assert "<title>Dump report</title>" in page or "<title>Comparison of two dumps</title>" in page


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_a_full_report_has_all_sections(hostile: Path) -> None:
    assert headings(report_page(collect(hostile))) == [
        "Latency by kind",
        "Over time",
        "Requests",
        "Latency",
        "Slowest requests",
        "Failures",
        "Multipart answers",
        "Content received",
        "Not counted",
    ]


def test_sections_without_content_are_left_out(tmp_path: Path) -> None:
    lost = frame_record(response=None, multipart=[], error={"reason": "connection-lost"})
    write_record(tmp_path, f"{INSTANCE}/frames/1", lost)
    assert headings(report_page(collect(tmp_path))) == ["Requests", "Latency", "Failures"]


def test_records_without_times_are_told_beside_the_plot(tmp_path: Path) -> None:
    write_record(tmp_path, f"{INSTANCE}/frames/1", frame_record(1000, 5000))
    write_record(tmp_path, f"{INSTANCE}/frames/2", frame_record(startedAt=None))
    assert "Left out: 1 record without times." in report_page(collect(tmp_path))


def test_a_comparison_of_runs_without_times_still_has_figures(tmp_path: Path) -> None:
    lost = frame_record(response=None, multipart=[], error={"reason": "connection-lost"})
    write_record(tmp_path, f"{INSTANCE}/frames/1", lost)
    assert headings(comparison_page(collect(tmp_path), collect(tmp_path))) == ["Figures"]


def test_a_hundred_thousand_seconds_fit_into_a_small_page(tmp_path: Path) -> None:
    for number in range(28):
        started = f"2025-03-{number + 1:02}T09:30:00Z"
        write_record(tmp_path, f"{INSTANCE}/frames/{number}", frame_record(startedAt=started))
    assert len(report_page(collect(tmp_path))) < 120_000
