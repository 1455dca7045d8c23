"""What careless servers, cut connections and attackers send; field notes B3 to B6, M1 to M6."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncdicom.errors import LimitExceeded, Truncated
from asyncdicom.protocol.multipart import (
    MultipartLimits,
    MultipartParser,
    PartEnded,
    PayloadEnded,
    drain,
)
from tests.fuzz.verdicts import contents, fed_each_way, parse, reference
from tests.support.chunking import cut, every_split

B = b"b1"
HEAD = b"Content-Type: application/dicom\r\n\r\n"
THREE_PARTS = (
    b"--b1\r\n" + HEAD + b"one\r\n--b1\r\n" + HEAD + b"two, longer\r\n"
    b"--b1\r\nContent-Type: application/dicom\r\nContent-Length: 5\r\n\r\nthree\r\n--b1--\r\n"
)

TINY = MultipartLimits(
    max_header_block_bytes=8,
    max_headers=2,
    max_parts=2,
    max_preamble_bytes=4,
    max_boundary_bytes=4,
    max_padding_bytes=2,
)


# What peers do today (field notes M1 to M6): each is silent partial success, or a crash.


def test_a_last_part_cut_short_is_truncated() -> None:  # M1, M4
    at = THREE_PARTS.index(b"three") + 2
    verdict = fed_each_way(THREE_PARTS[:at], B)
    assert verdict.error is Truncated
    assert [p.content for p in verdict.parts] == [b"one", b"two, longer"]


def test_a_part_never_sent_is_truncated_and_complete_ones_are_kept() -> None:  # M2, M3
    at = THREE_PARTS.index(b"two") + len(b"two, longer")
    verdict = fed_each_way(THREE_PARTS[:at] + b"\r\n--b1\r\n", B)
    assert verdict.error is Truncated
    assert [p.content for p in verdict.parts] == [b"one", b"two, longer"]


def test_a_leading_line_end_costs_no_part() -> None:  # M5
    assert len(contents(parse([b"\r\n" + THREE_PARTS], B))) == 3


def test_headers_and_content_may_share_a_chunk_or_not() -> None:  # M6
    for chunks in every_split(THREE_PARTS):
        assert contents(parse(chunks, B)) == [b"one", b"two, longer", b"three"]


def held_bytes(parser: MultipartParser) -> int:
    return len(parser._buffer) + sum(map(len, parser._chunks))


def test_a_long_epilogue_takes_no_memory() -> None:
    parser = MultipartParser(B)
    parser.receive_data(THREE_PARTS)
    list(drain(parser))
    for _ in range(100):
        parser.receive_data(bytes(64 * 1024))
        assert list(drain(parser)) == []
        assert held_bytes(parser) == 0
    parser.receive_eof()


def test_a_long_preamble_takes_no_memory() -> None:
    parser = MultipartParser(B, limits=replace(MultipartLimits(), max_preamble_bytes=10**12))
    for _ in range(100):
        parser.receive_data(b"\r\n--b" * 12_000)
        assert list(drain(parser)) == []
        assert held_bytes(parser) < 16
    parser.receive_data(b"\r\n" + THREE_PARTS)
    assert list(drain(parser))[-1] == PayloadEnded(3)


def test_an_endless_header_stops_at_its_limit() -> None:
    parser = MultipartParser(B)
    parser.receive_data(b"--b1\r\n")
    for _ in range(15):
        parser.receive_data(b"A: " + b"b" * 1021)
        assert list(drain(parser)) == []
        assert held_bytes(parser) <= 16 * 1024
    parser.receive_data(b"b" * 1024)
    with pytest.raises(LimitExceeded, match="header block too long"):
        list(drain(parser))


def test_a_million_part_headers_stop_at_64() -> None:
    parser = MultipartParser(B)
    parser.receive_data(b"--b1\r\n" + b"A:\r\n" * 65 + b"\r\n")
    with pytest.raises(LimitExceeded, match="more than 64 header lines"):
        list(drain(parser))


def test_many_tiny_parts_take_no_memory() -> None:
    parser = MultipartParser(B)
    ended = 0
    for _ in range(50):
        parser.receive_data(b"--b1\r\n\r\n\r\n" * 1000)
        ended += sum(isinstance(event, PartEnded) for event in drain(parser))
        assert held_bytes(parser) < 16
    assert ended == 49_999


CRUMBS = [b"\r\n", b"\r", b"\n", b"-", b"--", b"b", b"b1", b"--b1", b"--b1--", b" ", b"\t", b"x"]
CRUMBS += [b"\r\n--b1", b"\r\n--b1\r\n", b"\n--b1\n", b"A: b\r\n", b"\r\n\r\n", b"\n\n", b":"]
CRUMBS += [b"Content-Length: 2\r\n", b"\r\n--b1--", b"\r\n--b1--\r\n"]


@settings(max_examples=300, deadline=None)
@given(
    crumbs=st.lists(st.sampled_from(CRUMBS), max_size=14),
    start=st.sampled_from([b"", b"--b1\r\n", b"--b1\r\n\r\n", b"--b1\n\n", b"\r\n--b1\r\n\r\n"]),
    places=st.lists(st.integers(0, 60), max_size=5),
    limits=st.sampled_from([None, TINY]),
)
def test_parser_and_reference_agree(
    crumbs: list[bytes], start: bytes, places: list[int], limits: MultipartLimits | None
) -> None:
    payload = start + b"".join(crumbs)
    chunks = cut(payload, [place for place in places if place <= len(payload)])
    assert parse(chunks, B, limits).facts() == reference(payload, B, limits).facts()


@settings(max_examples=200, deadline=None)
@given(
    bodies=st.lists(st.lists(st.sampled_from(CRUMBS), max_size=8).map(b"".join), min_size=1),
    places=st.lists(st.integers(0, 200), max_size=5),
    line_end=st.sampled_from([b"\r\n", b"\n"]),
)
def test_any_body_cut_anywhere_comes_back(
    bodies: list[bytes], places: list[int], line_end: bytes
) -> None:
    boundary = b"not-in-the-crumbs"
    pieces = [line_end.join([b"--" + boundary, b"", body, b""]) for body in bodies]
    payload = b"".join(pieces) + b"--" + boundary + b"--"
    chunks = cut(payload, [place for place in places if place <= len(payload)])
    assert contents(parse(chunks, boundary)) == bodies
