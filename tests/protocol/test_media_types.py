from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncdicom.errors import ProtocolError, UsageError
from asyncdicom.protocol.media_types import (
    MediaType,
    accept_value,
    boundary_of,
    format_media_type,
    is_multipart,
    multipart_related,
    parse_media_type,
)


@pytest.mark.parametrize(
    ("text", "essence", "parameters"),
    [
        pytest.param("application/dicom", "application/dicom", [], id="plain"),
        pytest.param(" Application/DICOM+JSON\t", "application/dicom+json", [], id="case, blanks"),
        pytest.param("*/*;q=0.1", "*/*", [("q", "0.1")], id="media range"),
        pytest.param(
            'multipart/related; type="application/dicom"; boundary="a b"',
            "multipart/related",
            [("type", "application/dicom"), ("boundary", "a b")],
            id="quoted",
        ),
        pytest.param(
            "multipart/related;type=application/dicom;boundary=b1;start=<a@b>",
            "multipart/related",
            [("type", "application/dicom"), ("boundary", "b1"), ("start", "<a@b>")],
            id="values that should have been quoted",
        ),
        pytest.param(
            "a/b ;  C = d ;; e; =f ; g=h ;",
            "a/b",
            [("c", "d"), ("g", "h")],
            id="odd blanks and empty parameters",
        ),
        pytest.param("a/b;c=d=e", "a/b", [("c", "d=e")], id="equals sign in a value"),
        pytest.param("a/b;c=", "a/b", [("c", "")], id="empty value"),
        pytest.param('a/b;c="" ; d=""', "a/b", [("c", ""), ("d", "")], id="empty quotes"),
        pytest.param(r'a/b;c="\"\\;d\e"', "a/b", [("c", '"\\;de')], id="escapes"),
        pytest.param("a/b;c=1;C=2", "a/b", [("c", "1"), ("c", "2")], id="repeated"),
        pytest.param("a/b;c=d e", "a/b", [("c", "d e")], id="blank in a bare value"),
    ],
)
def test_media_types_are_read(text: str, essence: str, parameters: list[tuple[str, str]]) -> None:
    media_type = parse_media_type(text)
    assert media_type.essence == essence
    assert media_type.parameters == tuple(parameters)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("text", id="no slash"),
        pytest.param("/b", id="no type"),
        pytest.param("a/", id="no subtype"),
        pytest.param("a/b c", id="blank inside"),
        pytest.param("a/b, c/d", id="two"),
        pytest.param('a/b;c="d', id="open quote"),
        pytest.param('a/b;c="d\\"', id="escaped end"),
        pytest.param('a/b;c="d"e', id="text behind a quote"),
        pytest.param('a/b;c=d"e"', id="quote inside of a value"),
        pytest.param("a/b;c d=e", id="blank in a name"),
        pytest.param("a/b;c=d\r\n", id="line end"),
        pytest.param('a/b;c="\0"', id="NUL"),
    ],
)
def test_what_would_need_a_guess_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_media_type(text)
    assert caught.value.offset is None


def test_a_parameter_is_found_whatever_its_case_and_the_first_counts() -> None:
    media_type = parse_media_type("a/b;Type=x;type=y")
    assert media_type.parameter("TYPE") == "x"
    assert media_type.parameter("other") is None


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        pytest.param("multipart/related; boundary=b1", b"b1", id="bare"),
        pytest.param('Multipart/Related; BOUNDARY="b1"', b"b1", id="quoted, odd case"),
        pytest.param('multipart/related; boundary="a b "', b"a b", id="blank at the end"),
        pytest.param("multipart/related; boundary=b1; boundary=b1", b"b1", id="twice the same"),
        pytest.param("multipart/related;boundary=uuid:a=b/c", b"uuid:a=b/c", id="odd characters"),
        pytest.param(
            "multipart/related;type=application/dicom;boundary=x", b"x", id="type without quotes"
        ),
    ],
)
def test_a_boundary_is_found(content_type: str, expected: bytes) -> None:
    assert boundary_of(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("multipart/related", id="missing"),
        pytest.param("multipart/related; boundary", id="no value"),
        pytest.param("multipart/related; boundary=", id="empty"),
        pytest.param('multipart/related; boundary=" "', id="blank"),
        pytest.param("multipart/related; boundary=a; boundary=b", id="two different"),
        pytest.param("multipart/related; boundary=ä", id="not ASCII"),
        pytest.param("nonsense; boundary=a", id="no media type"),
    ],
)
def test_a_doubtful_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(ProtocolError):
        boundary_of(content_type)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        pytest.param(None, False, id="absent"),
        pytest.param("", False, id="empty"),
        pytest.param("application/dicom", False, id="single"),
        pytest.param("x-multipart/related", False, id="other type"),
        pytest.param("multipart", False, id="no slash"),
        pytest.param(" MultiPart/Mixed", True, id="odd case"),
    ],
)
def test_multipart_is_told_by_the_type(content_type: str | None, expected: bool) -> None:  # noqa: FBT001 -- a column of the table
    assert is_multipart(content_type) is expected


TOKENS = st.text("ab1!#$%&'*+-.^_`|~", min_size=1, max_size=6)
VALUES = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), include_characters="\t"), max_size=9
)


@example(type_="a", subtype="b", parameters=[("c", 'd"\\"e\\'), ("f", ""), ("g", " ;")])
@given(type_=TOKENS, subtype=TOKENS, parameters=st.lists(st.tuples(TOKENS, VALUES), max_size=4))
def test_reading_what_was_written_gives_it_back(
    type_: str, subtype: str, parameters: list[tuple[str, str]]
) -> None:
    media_type = MediaType(type_, subtype, tuple(parameters))
    assert parse_media_type(format_media_type(media_type)) == media_type


@pytest.mark.parametrize(
    "parameter",
    [
        pytest.param(("a b", "c"), id="blank in the name"),
        pytest.param(("", "c"), id="no name"),
        pytest.param(("a", "b\r\nX: y"), id="line end in the value"),
    ],
)
def test_a_parameter_that_cannot_be_written_is_misuse(parameter: tuple[str, str]) -> None:
    with pytest.raises(UsageError):
        format_media_type(MediaType("a", "b", (parameter,)))


def test_accept_asks_for_what_is_stored() -> None:
    assert accept_value([(multipart_related("application/dicom"), 1)]) == (
        'multipart/related; type="application/dicom"; transfer-syntax=*'
    )


def test_accept_lists_alternatives_with_weights() -> None:
    alternatives = [
        (multipart_related("application/octet-stream", transfer_syntax=None), 1.0),
        (MediaType("application", "dicom"), 0.75),
        (MediaType("a", "b"), 0.0004),
        (MediaType("*", "*"), 0.1),
    ]
    assert accept_value(alternatives) == (
        'multipart/related; type="application/octet-stream", application/dicom;q=0.75, '
        "a/b;q=0, */*;q=0.1"
    )


@pytest.mark.parametrize(
    "alternatives",
    [
        pytest.param([], id="none"),
        pytest.param([(MediaType("a", "b"), 1.1)], id="weight above 1"),
        pytest.param([(MediaType("a", "b"), -0.1)], id="weight below 0"),
    ],
)
def test_accept_without_sense_is_misuse(alternatives: list[tuple[MediaType, float]]) -> None:
    with pytest.raises(UsageError):
        accept_value(alternatives)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a/b" + ";" * 100_000, id="semicolons"),
        pytest.param("a/b" + " " * 100_000 + "x", id="blanks"),
        pytest.param("a/b;" + " " * 100_000 + '"', id="blanks before a quote"),
        pytest.param("a/b;c" + " " * 100_000 + "d", id="blanks in a name"),
        pytest.param('a/b;c="' + '\\"' * 50_000, id="escaped quotes"),
        pytest.param("a/b;c=" + " " * 100_000 + '"', id="blanks in a value"),
        pytest.param("a/b;c=" + "d" * 100_000 + '"', id="long value"),
        pytest.param("a" * 100_000, id="long type"),
    ],
)
def test_hostile_media_types_take_linear_time(text: str) -> None:
    began = time.thread_time()
    with suppress(ProtocolError):
        parse_media_type(text)
    assert time.thread_time() - began < 1.0
