"""Nothing a stranger wrote becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.cli.markup import Markup, element, joined, text

HOSTILE = '</script><img src=x onerror="alert(1)">&amp;\'"`'


class Seen(HTMLParser):
    """Notes tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.content = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.content += data


@given(st.text() | st.just(HOSTILE))
def test_a_text_comes_back_as_text_only(value: str) -> None:
    seen = Seen(element("td", value, title=value))
    assert seen.tags == ["td"]
    assert [name for name, _ in seen.attributes] == ["title"]
    if value.isprintable():
        assert seen.content == value
        assert seen.attributes == [("title", value)]


def test_markup_is_kept_and_text_beside_it_escaped() -> None:
    assert element("p", element("b", "1 < 2"), " & ") == "<p><b>1 &lt; 2</b> &amp; </p>"
    assert joined("<", Markup("<br/>")) == "&lt;<br/>"
    assert text(Markup("<br/>")) == "<br/>"


def test_slices_and_sums_of_markup_are_text_again() -> None:
    assert element("p", Markup("<b>") + "x") == "<p>&lt;b&gt;x</p>"


@pytest.mark.parametrize(
    ("value", "written"),
    [(1, "1"), (10.0, "10"), (0, "0"), (1.25, "1.2"), (100.06, "100.1")],
)
def test_numbers_are_written_in_tenths(value: float, written: str) -> None:
    assert element("rect", x=value) == f'<rect x="{written}"/>'


def test_attributes_are_spelled_as_html_spells_them() -> None:
    made = element("div", class_="a", aria_label="b", id=None)
    assert made == '<div class="a" aria-label="b"></div>'


def test_attribute_names_are_never_taken_from_outside() -> None:
    with pytest.raises(AssertionError, match="our own code"):
        element("p", **{"onclick=alert(1) x": "y"})
