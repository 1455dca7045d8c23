"""Bodies are as long as they say, lazy, and framed as RFC 2046 §5.1.1 demands."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP
from typing import TYPE_CHECKING

import pytest

from asyncdicom.mock.body import gather
from asyncdicom.mock.messages import (
    Content,
    Multipart,
    Part,
    Response,
    first_bytes,
    header_value,
    split_target,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = [
    Part((("Content-Type", "application/dicom"),), Content.of(b"one")),
    Part((("Content-Type", "application/dicom"), ("X-Two", "2")), Content.of(b"\r\n--b\n")),
]


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("eol", ["\r\n", "\n"], ids=["crlf", "lf"])
@pytest.mark.parametrize("around", [b"", b"ignore\r\n"], ids=["bare", "preamble and epilogue"])
def test_a_multipart_body_is_as_long_as_it_says(count: int, eol: str, around: bytes) -> None:
    body = Multipart(lambda: PARTS[:count], "b", eol=eol, preamble=around, epilogue=around)
    assert len(b"".join(body.buffers())) == body.byte_count()


def test_a_mime_parser_finds_the_parts_again() -> None:
    data = b"".join(Multipart(lambda: PARTS, "frontier").buffers())
    head = b"Content-Type: multipart/related; boundary=frontier\r\n\r\n"
    message = message_from_bytes(head + data, policy=HTTP)
    parts = list(message.iter_parts())
    assert [part.get_payload(decode=True) for part in parts] == [b"one", b"\r\n--b\n"]
    assert parts[1]["X-Two"] == "2"


def test_a_body_without_parts_is_a_close_delimiter() -> None:
    assert b"".join(Multipart(list, "b").buffers()) == b"--b--\r\n"


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6])
def test_first_bytes_are_exactly_as_many(count: int) -> None:
    assert b"".join(first_bytes([b"abc", b"def"], count)) == b"abcdef"[:count]


def test_first_bytes_asks_for_no_buffer_beyond_the_last_one_it_needs() -> None:
    def produce() -> Iterator[bytes]:
        yield b"abc"
        raise AssertionError("asked for more than it needs")

    assert b"".join(first_bytes(produce(), 3)) == b"abc"


@pytest.mark.parametrize("batch_bytes", [1, 2, 3, 5, 100])
def test_batches_are_full_but_for_the_last(batch_bytes: int) -> None:
    buffers = [b"abc", b"", b"d", b"efghij"]
    batches = [b"".join(batch) for batch in gather(buffers, batch_bytes)]
    assert b"".join(batches) == b"abcdefghij"
    assert all(len(batch) == batch_bytes for batch in batches[:-1])
    assert 0 < len(batches[-1]) <= batch_bytes


def test_fields_are_found_whatever_their_case() -> None:
    headers = (("Accept", "a"), ("ACCEPT", "b"))
    assert header_value(headers, "accept") == "a"
    assert header_value(headers, "absent") is None


def test_setting_a_field_drops_its_earlier_values() -> None:
    response = Response(200, (("Vary", "a"), ("X", "1"), ("vary", "b")))
    assert response.with_header("Vary", "c") == (("X", "1"), ("Vary", "c"))


def test_a_target_is_split_and_decoded() -> None:
    path, query = split_target("/studies?PatientName=A%5EB&limit=&x=1+2")
    assert path == "/studies"
    assert query == (("PatientName", "A^B"), ("limit", ""), ("x", "1 2"))
