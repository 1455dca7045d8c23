"""What the head of an answer says: which bytes, of how many, and in which coding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import ProtocolError, UnexpectedContent
from asyncdicom.protocol.object_stores.heads import (
    byte_range_of,
    coded_on_the_way,
    entry_of_head,
    fields_of,
    place_of,
)
from asyncdicom.protocol.object_stores.values import ByteSpan, ObjectDigest, ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_fields_are_found_in_any_case_and_repeated_ones_joined() -> None:
    headers = (("ETag", "a"), ("x-goog-hash", "crc32c=A"), ("X-Goog-Hash", "md5=B"))
    assert fields_of(headers) == {"etag": "a", "x-goog-hash": "crc32c=A, md5=B"}
    assert fields_of((("etag", "a"), ("range", "B"))) == {"etag": "a", "range": "B"}
    assert fields_of((("a", "1"), ("a", "2"))) == {"a": "1, 2"}


@pytest.mark.parametrize(
    ("span", "value"),
    [(ByteSpan(0, 9), "bytes=0-9"), (ByteSpan(5), "bytes=5-"), (ByteSpan(7, 7), "bytes=7-7")],
)
def test_a_span_is_asked_for(span: ByteSpan, value: str) -> None:
    assert byte_range_of(span) == value


def place(
    status_code: int, span: ByteSpan | None, length: str | None, said: str | None = None
) -> tuple[int, int]:
    fields = {"content-length": length, "content-range": said}
    return place_of(status_code, {k: v for k, v in fields.items() if v is not None}, span)


@pytest.mark.parametrize(
    ("status_code", "span", "length", "said", "expected"),
    [
        pytest.param(200, None, "100", None, (0, 100), id="all of it"),
        pytest.param(200, None, "0", None, (0, 0), id="an empty object"),
        pytest.param(206, ByteSpan(10, 19), "10", "bytes 10-19/100", (10, 100), id="a span"),
        pytest.param(206, ByteSpan(10), "90", "bytes 10-99/100", (10, 100), id="to the end"),
        pytest.param(206, ByteSpan(90, 200), "10", "bytes 90-99/100", (90, 100), id="cut short"),
        pytest.param(206, ByteSpan(0, 9), None, "bytes 0-9/100", (0, 100), id="without a length"),
        pytest.param(200, ByteSpan(10, 19), "10", "bytes 10-19/100", (10, 100), id="as rclone"),
        pytest.param(200, ByteSpan(10, 19), "100", None, (0, 100), id="ranges ignored"),
    ],
)
def test_an_answer_has_its_place(
    status_code: int,
    span: ByteSpan | None,
    length: str | None,
    said: str | None,
    expected: tuple[int, int],
) -> None:
    assert place(status_code, span, length, said) == expected


@pytest.mark.parametrize(
    ("status_code", "span", "length", "said"),
    [
        pytest.param(206, ByteSpan(10, 19), "10", None, id="a part of unknown place"),
        pytest.param(206, None, "10", "bytes 0-9/100", id="a part that nobody asked for"),
        pytest.param(200, None, "10", "bytes 0-9/100", id="the same with status 200"),
        pytest.param(206, ByteSpan(10, 19), "10", "bytes 0-9/100", id="another part"),
        pytest.param(206, ByteSpan(10, 19), "9", "bytes 10-18/100", id="a shorter part"),
        pytest.param(206, ByteSpan(10, 19), "90", "bytes 10-99/100", id="a longer part"),
        pytest.param(206, ByteSpan(10), "10", "bytes 10-19/100", id="not to the end"),
        pytest.param(206, ByteSpan(10, 19), "10", "bytes 10-19/*", id="of unknown size"),
        pytest.param(206, ByteSpan(10, 19), "10", "bytes */100", id="no part at all"),
        pytest.param(206, ByteSpan(10, 19), "10", "items 10-19/100", id="not bytes"),
        pytest.param(206, ByteSpan(10, 19), "11", "bytes 10-19/100", id="a length of its own"),
        pytest.param(200, None, None, None, id="no size"),
        pytest.param(200, None, "1e3", None, id="no number"),
        pytest.param(200, None, "-1", None, id="below 0"),
    ],
)
def test_other_bytes_than_asked_for_are_refused(
    status_code: int, span: ByteSpan | None, length: str | None, said: str | None
) -> None:
    with pytest.raises(ProtocolError):
        place(status_code, span, length, said)


@given(st.integers(1, 500), st.data())
def test_what_was_asked_for_and_answered_is_taken(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.none() | st.integers(first, 2 * size))
    end = size - 1 if last is None else min(last, size - 1)
    said = f"bytes {first}-{end}/{size}"
    assert place(206, ByteSpan(first, last), str(end - first + 1), said) == (first, size)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 12), st.integers(0, 9))
def test_no_other_answer_is(first: int, last: int, size: int, asked: int) -> None:
    try:
        place(206, ByteSpan(asked, asked + 2), None, f"bytes {first}-{last}/{size}")
    except ProtocolError:
        return
    assert (first, last) == (asked, min(asked + 2, size - 1))


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        ({}, None),
        ({"content-encoding": "gzip"}, None),
        ({"x-goog-stored-content-encoding": "identity"}, None),
        ({"x-goog-stored-content-encoding": "gzip", "content-encoding": "gzip"}, None),
        ({"x-goog-stored-content-encoding": "identity", "content-encoding": "gzip"}, "gzip"),
    ],
)
def test_only_what_was_put_on_for_the_way_is_taken_off(
    fields: Mapping[str, str], coding: str | None
) -> None:
    assert coded_on_the_way(fields) == coding


@pytest.mark.parametrize("sent", [{}, {"content-encoding": "br"}])
def test_what_was_stored_compressed_must_not_come_inflated(sent: Mapping[str, str]) -> None:
    with pytest.raises(UnexpectedContent):
        coded_on_the_way({"x-goog-stored-content-encoding": "gzip", **sent})


def test_the_size_is_that_of_what_is_stored() -> None:
    fields = {"content-length": "9", "x-goog-stored-content-length": "100"}
    assert place_of(200, fields, None) == (0, 100)
    with pytest.raises(ProtocolError):
        place_of(200, {"x-goog-stored-content-length": "many"}, None)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [('"ab"', "ab"), ("ab", "ab"), ('W/"ab"', None), ('""', None), ("", None), (None, None)],
)
def test_an_etag_is_kept_without_its_quotes_unless_it_is_weak(
    sent: str | None, kept: str | None
) -> None:
    assert entry_of_head("k", 1, {} if sent is None else {"etag": sent}).etag == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Tue, 01 Dec 2026 01:45:47 GMT", "2026-12-01T01:45:47Z"),
        ("Mon, 02 Jan 2023 03:04:05 GMT", "2023-01-02T03:04:05Z"),
        ("Mon, 02 Xan 2023 03:04:05 GMT", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_dates_are_as_in_lists(sent: str | None, kept: str | None) -> None:
    fields = {} if sent is None else {"last-modified": sent}
    assert entry_of_head("k", 1, fields).modified_at == kept


def test_an_entry_keeps_what_was_promised() -> None:
    digests = (ObjectDigest("md5", bytes(16)),)
    assert entry_of_head("k", 5, {}, digests) == ObjectEntry("k", 5, digests=digests)
