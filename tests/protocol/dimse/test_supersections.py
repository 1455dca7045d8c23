"""The lines of configuration files: what they are, and what is told of those that are nothing."""

from __future__ import annotations

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.dimse.supersections import (
    Entry,
    Section,
    folded,
    read_supersections,
    shown,
)

KNOWN = ("Lists", "Profiles")

TEXT = """\
# a comment
[[Lists]]

[One]
Key1 = Value
#Key2 = not this
key 2=a = b
[[Profiles]]
[Two]
"""


def read(text: str) -> object:
    return read_supersections(text, KNOWN)


TREE = {
    "LISTS": {
        "ONE": Section(
            "One",
            4,
            {"KEY1": Entry("Key1", "Value", 5), "KEY2": Entry("key 2", "a = b", 7)},
        )
    },
    "PROFILES": {"TWO": Section("Two", 9)},
}


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(TEXT, id="as usual"),
        pytest.param(TEXT.replace("\n", "\r\n"), id="lines end as in Windows"),
        pytest.param(TEXT.replace("\n", "\r"), id="lines end as in old systems"),
        pytest.param("\ufeff" + TEXT, id="a byte order mark"),
        pytest.param(TEXT.replace("Key1", "  \tKey1"), id="an indented entry"),
        pytest.param(TEXT.replace("[[Lists]]", " [ [ l i s t s ] ] "), id="blanks in brackets"),
        pytest.param(TEXT.replace("= Value", "=\tValue  "), id="blanks around a value"),
        pytest.param(TEXT.removesuffix("\n"), id="no end of the last line"),
    ],
)
def test_a_file_is_read_with_its_lines(written: str) -> None:
    assert read(written) == TREE


def test_a_supersection_may_be_continued() -> None:
    tree = read_supersections("[[Lists]]\n[A]\n[[Profiles]]\n[[Lists]]\n[B]\n", KNOWN)
    assert set(tree["LISTS"]) == {"A", "B"}


def test_names_compare_without_case_and_blanks() -> None:
    assert folded(" De fa\tult ") == folded("DEFAULT")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        pytest.param(
            "[[Lists]]\n[A]\n  # x\n",
            "line 3: a comment has to begin in the first column",
            "move the #",
            id="an indented comment",
        ),
        pytest.param(
            "[[Nothing]]\n",
            "line 1: no supersection '[[NOTHING]]'",
            r"\[\[Lists\]\], \[\[Profiles\]\]",
            id="an unknown supersection",
        ),
        pytest.param("[[Lists]\n", "line 1: no supersection", "one of", id="a bracket is missing"),
        pytest.param("[A]\n", "line 1: section 'A' is in no super", "above it", id="no super"),
        pytest.param("[[Lists]]\n[]\n", "line 2: not a section: '[]'", "write", id="no name"),
        pytest.param("[[Lists]]\n[A\n", "line 2: not a section: '[A'", "write", id="no end"),
        pytest.param("[[Lists]]\n[A] x\n", "line 2: not a section", "write", id="text behind"),
        pytest.param("[[Lists]]\n[A[b]\n", "line 2: not a section", "write", id="brackets"),
        pytest.param(
            "[[Lists]]\n[A]\n[ a ]\n",
            "line 3: section 'a' was there in line 2",
            "another name",
            id="a section given twice",
        ),
        pytest.param(
            "[[Lists]]\nx = y\n", "line 2: 'x' is in no section", "above", id="no section"
        ),
        pytest.param("x = y\n", "line 1: 'x' is in no section", "above", id="nothing above"),
        pytest.param(
            "[[Lists]]\n[A]\n[[Profiles]]\nx = y\n",
            "line 4: 'x' is in no section",
            "above",
            id="a section ends with its supersection",
        ),
        pytest.param("[[Lists]]\n[A]\nx\n", "line 3: neither a section nor", "write", id="no ="),
        pytest.param(
            "[[Lists]]\n[A]\n= x\n", "line 3: neither a section nor", "write", id="no key"
        ),
        pytest.param(
            "[[Lists]]\n[A]\nx = 1\nX = 2\n",
            "line 4: 'X' was there in line 3",
            "number them",
            id="a key given twice",
        ),
    ],
)
def test_what_is_none_of_the_format_is_told_with_its_line(
    text: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert caught.value.message.startswith(message)
    assert caught.match(hint)


def test_text_is_shown_short_and_in_one_line() -> None:
    assert shown("a\\b") == "'a\\b'"
    assert shown("a\x1bb") == r"'a\x1bb'"
    assert len(shown("x" * 1000)) < 80
