"""The end of a JSON value, however the text is cut and whatever follows it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.protocol.json_values import ValueScan
from tests.support.chunking import cut

TRICKY = ['"', "\\", '\\"', "{", "}", "[", "]", "\\\\", "é", "\x00", '"}', "]["]
TEXTS = st.lists(st.sampled_from([*TRICKY, "a", "1,"]), max_size=6).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)  # any nesting
    ),
    max_leaves=20,
)
SCANNED = (
    TEXTS | st.lists(VALUES, max_size=5) | st.dictionaries(TEXTS, VALUES, max_size=5)
)  # what does not begin with a bracket or a quotation mark is for the caller


def end_of(pieces: list[bytes], at: int = 0) -> int | None:
    """Return what a scan finds in a buffer that grows; what it found once, it says no more."""
    buffer, scan = bytearray(), ValueScan(at)
    for piece in pieces:
        buffer += piece
        if len(buffer) > at and (end := scan.end_in(buffer)) is not None:
            return end
    return None


@given(
    value=SCANNED,
    indent=st.none() | st.just(1),
    rest=st.sampled_from([b"", b",", b"}", b"]", b'"', b"\\", b" {", b'"\\']),
    places=st.lists(st.integers(0, 400), max_size=8),
)
def test_a_value_ends_where_it_ends(
    value: Any, indent: int | None, rest: bytes, places: list[int]
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    whole = b"#" + text + rest
    pieces = list(cut(whole, [min(place, len(whole)) for place in places]))
    assert end_of(pieces, at=1) == 1 + len(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'"a\\"b"', id="a string"),
        pytest.param(b'"\\\\"', id="a string that ends with a backslash"),
        pytest.param(b'{"}":"\\"}"}', id="an object"),
        pytest.param(b'{"a":[{"b":"]"}]}', id="an array in an object"),
        pytest.param(b'[["["],"]",{"a":"]"}]', id="an array"),
        pytest.param(b"[]", id="an empty array"),
        pytest.param(b"{}", id="an empty object"),
    ],
)
def test_a_value_that_is_not_there_has_no_end(text: bytes) -> None:
    for end in range(1, len(text)):
        assert end_of([text[:end]]) is None
    assert end_of([bytes([byte]) for byte in text]) == len(text)
    assert end_of([text + text]) == len(text)


def test_a_scan_moves_with_the_buffer() -> None:
    buffer, scan = bytearray(b'....{"a":"'), ValueScan(4)
    assert scan.end_in(buffer) is None
    del buffer[:4]
    scan.at -= 4
    buffer += b'}"}'
    assert scan.end_in(buffer) == len(buffer)


@pytest.mark.parametrize("text", [b"{[}", b"[{]", b'{"a":[}'])
def test_brackets_of_the_other_kind_are_for_the_parser(text: bytes) -> None:
    assert end_of([text + b"..."]) == len(text)
