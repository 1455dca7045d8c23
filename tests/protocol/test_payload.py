from __future__ import annotations

import pytest

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.multipart import MultipartLimits, MultipartParser
from asyncdicom.protocol.payload import SinglePartParser, payload_parser
from asyncdicom.protocol.payload_events import (
    NEED_DATA,
    PartBegan,
    PartData,
    PartEnded,
    PayloadEnded,
    drain,
)
from tests.fuzz.verdicts import verdict_of
from tests.support.chunking import feedings

DICOM = (("content-type", "application/dicom"),)


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("application/dicom", id="single part"),
        pytest.param("garbage", id="no media type"),
        pytest.param("application/json; boundary=b", id="boundary of a single part"),
    ],
)
def test_what_is_not_multipart_is_one_part(content_type: str) -> None:
    parser = payload_parser(content_type)
    assert isinstance(parser, SinglePartParser)
    assert parser.next_event() == PartBegan((("content-type", content_type),), 0)


def test_without_a_content_type_there_is_one_part_without_headers() -> None:
    assert payload_parser(None).next_event() == PartBegan((), 0)


def test_multipart_is_split() -> None:
    payload = b"--b1\r\n\r\nabc\r\n--b1\r\n\r\n\r\n--b1--\r\n"
    for chunks in feedings(payload):
        parser = payload_parser('Multipart/Related; type="application/dicom"; boundary="b1"')
        assert isinstance(parser, MultipartParser)
        verdict = verdict_of(parser, chunks)
        assert [part.content for part in verdict.parts] == [b"abc", b""]
        assert verdict.is_whole


def test_multipart_that_is_cut_is_truncated() -> None:
    parser = payload_parser("multipart/related; boundary=b1")
    assert verdict_of(parser, [b"--b1\r\n\r\nabc\r\n--b1"]).error is Truncated


@pytest.mark.parametrize("content_type", ["multipart/related", "multipart/related; boundary="])
def test_multipart_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(ProtocolError, match="without a boundary"):
        payload_parser(content_type)


def test_limits_reach_the_parser() -> None:
    limits = MultipartLimits(max_boundary_bytes=1)
    payload_parser("multipart/mixed; boundary=b", limits=limits)
    with pytest.raises(LimitExceeded):
        payload_parser("multipart/mixed; boundary=b1", limits=limits)


def test_a_single_part_comes_back_however_it_is_cut() -> None:
    payload = b"--b1\r\n\r\nabc"
    for chunks in feedings(payload):
        verdict = verdict_of(SinglePartParser(DICOM), chunks)
        assert [(p.headers, p.offset, p.content) for p in verdict.parts] == [(DICOM, 0, payload)]
        assert verdict.is_whole


def test_a_single_part_ends_only_at_the_end() -> None:
    parser = SinglePartParser()
    parser.receive_data(b"ab")
    parser.receive_data(b"")
    parser.receive_data(b"c")
    assert list(drain(parser)) == [PartBegan((), 0), PartData(b"ab"), PartData(b"c")]
    assert parser.next_event() is NEED_DATA
    parser.receive_eof()
    assert list(drain(parser)) == [PartEnded(3), PayloadEnded(1)]
    assert parser.next_event() is NEED_DATA


def test_an_empty_single_part_is_an_empty_part() -> None:
    parser = SinglePartParser()
    parser.receive_eof()
    assert list(drain(parser)) == [PartBegan((), 0), PartEnded(0), PayloadEnded(1)]


def test_data_stored_before_the_end_is_not_lost() -> None:
    parser = SinglePartParser()
    parser.receive_data(b"abc")
    parser.receive_eof()
    assert list(drain(parser))[1:] == [PartData(b"abc"), PartEnded(3), PayloadEnded(1)]


def test_a_buffer_may_be_reused() -> None:
    parser = SinglePartParser()
    buffer = bytearray(b"abc")
    parser.receive_data(memoryview(buffer))
    buffer[:] = b"xyz"
    assert list(drain(parser))[1] == PartData(b"abc")


def test_data_behind_the_end_is_misuse() -> None:
    parser = SinglePartParser()
    parser.receive_eof()
    with pytest.raises(UsageError):
        parser.receive_data(b"x")
