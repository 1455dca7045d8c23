"""Patterns over keys."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.protocol.object_stores.globs import (
    Selection,
    has_wildcard,
    literal_prefix,
    matcher,
)


@pytest.mark.parametrize(
    ("pattern", "key", "is_match"),
    [
        ("*", "", True),
        ("*", "a/b", True),
        ("a/*", "a/b/c.dcm", True),
        ("a/*", "a/", True),
        ("a/*", "b/a/", False),
        ("a/*.dcm", "a/b/c.dcm", True),
        ("a/*.dcm", "a/b/c.dcm.txt", False),
        ("a/?.dcm", "a/b.dcm", True),
        ("a/?.dcm", "a/bb.dcm", False),
        ("a?b", "a/b", True),
        ("a?b", "a\nb", True),
        ("a*b", "a\nb", True),
        ("a.b", "axb", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("a", "a", True),
        ("a", "ab", False),
        ("**/x", "a/b/x", True),
        ("*a*b*", "xxaxxbxx", True),
        ("*a*b*", "xxbxxaxx", False),
        ("a*a", "a", False),
        ("*.dcm", ".dcm", True),
    ],
)
def test_a_pattern_matches_whole_keys(pattern: str, key: str, is_match: bool) -> None:  # noqa: FBT001 -- a column of a table
    assert matcher(pattern)(key) is is_match


@given(st.text("ab*?.", max_size=8), st.text("ab.", max_size=8))
def test_it_is_what_the_plain_expression_says(pattern: str, key: str) -> None:
    plain = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    assert matcher(pattern)(key) is (re.fullmatch(plain, key, re.DOTALL) is not None)


def test_a_hostile_pattern_takes_no_time() -> None:
    matches = matcher("*a" * 40 + "*b")
    began_s = time.thread_time()
    assert not matches("a" * 1024)
    assert time.thread_time() - began_s < 0.5


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [("a/b*c?", "a/b"), ("*", ""), ("a/b", "a/b"), ("?", ""), ("", "")],
)
def test_what_has_to_be_listed(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix
    assert has_wildcard(pattern) is (prefix != pattern)


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=6))
def test_nothing_that_matches_is_left_out_of_the_list(pattern: str, key: str) -> None:
    assert not matcher(pattern)(key) or key.startswith(literal_prefix(pattern))


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        (Selection(), ["a.dcm", "b.txt", "x/c.dcm"]),
        (Selection("*.dcm"), ["a.dcm", "x/c.dcm"]),
        (Selection(include=("*.txt", "a*")), ["a.dcm", "b.txt"]),
        (Selection(exclude=("x/*",)), ["a.dcm", "b.txt"]),
        (Selection("*.dcm", include=("*",), exclude=("a*", "z*")), ["x/c.dcm"]),
    ],
)
def test_lists_say_what_is_wanted(selection: Selection, keys: list[str]) -> None:
    assert [key for key in ("a.dcm", "b.txt", "x/c.dcm") if selection.matches(key)] == keys
