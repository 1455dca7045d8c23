"""Every case is fed whole, bytewise and cut at every offset; the verdict must be the same."""

from __future__ import annotations

import pytest

from asyncdicom.errors import LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.multipart import (
    COPY_BELOW_BYTES,
    NEED_DATA,
    MultipartLimits,
    MultipartParser,
    PartBegan,
    PartData,
    PartEnded,
    PayloadEnded,
    drain,
)
from tests.fuzz.verdicts import contents, fed_each_way, parse, reference
from tests.support.chunking import bytewise

B = b"b1"
HEAD = b"Content-Type: application/dicom\r\n\r\n"
THREE_PARTS = (
    b"--b1\r\n" + HEAD + b"one\r\n--b1\r\n" + HEAD + b"two, longer\r\n"
    b"--b1\r\nContent-Type: application/dicom\r\nContent-Length: 5\r\n\r\nthree\r\n--b1--\r\n"
)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(THREE_PARTS, [b"one", b"two, longer", b"three"], id="three parts"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1--\r\n", [b"x"], id="part without headers"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1--", [b"x"], id="close delimiter ends the payload"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1--\r", [b"x"], id="a lone CR ends the payload"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1-- \t", [b"x"], id="padding ends the payload"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1-- \t\r\n", [b"x"], id="padded close delimiter"),
        pytest.param(b"--b1 \t\r\n\r\nx\r\n--b1--", [b"x"], id="padded first delimiter"),
        pytest.param(
            b"--b1\r\n\r\nx\r\n--b1  \r\n\r\ny\r\n--b1--", [b"x", b"y"], id="padded delimiter"
        ),
        pytest.param(b"\r\n" + THREE_PARTS, [b"one", b"two, longer", b"three"], id="leading CRLF"),
        pytest.param(b"\n--b1\r\n\r\nx\r\n--b1--", [b"x"], id="leading LF"),
        pytest.param(b"hello\r\n--b1\r\n\r\nx\r\n--b1--", [b"x"], id="preamble"),
        pytest.param(b"--b1x\r\n--b1\r\n\r\nx\r\n--b1--", [b"x"], id="look-alike in preamble"),
        pytest.param(b"a--b1\r\n--b1\r\n\r\nx\r\n--b1--", [b"x"], id="boundary within a line"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1--\r\nbye\r\n--b1\r\n", [b"x"], id="epilogue"),
        pytest.param(b"--b1\r\n\r\n\r\n--b1--", [b""], id="empty part"),
        pytest.param(b"--b1\r\n\r\n--b1--", [b""], id="empty part shares the line end"),
        pytest.param(b"--b1\r\nA: b\r\n\r\n--b1--", [b""], id="headers alone share the line end"),
        pytest.param(b"--b1\n\n--b1--", [b""], id="LF empty part shares the line end"),
        pytest.param(b"--b1\nA: b\n\nx\n--b1\n\ny\n--b1--\n", [b"x", b"y"], id="LF only"),
        pytest.param(b"--b1\n\nx\r\n--b1--\n", [b"x\r"], id="LF only keeps a CR"),
        pytest.param(b"--b1\r\n\r\nx\n\r\n--b1--", [b"x\n"], id="CRLF keeps a final LF"),
        pytest.param(b"--b1\r\n\r\nx\r\r\n--b1--", [b"x\r"], id="CRLF keeps a final CR"),
        pytest.param(b"--b1\r\n\r\nx\r\n\r\n--b1--", [b"x\r\n"], id="CRLF keeps a final CRLF"),
        pytest.param(b"--b1\r\n\nx\r\n--b1--", [b"x"], id="LF empty line in a CRLF payload"),
        pytest.param(b"--b1\r\n\n--b1--\r\n--b1--", [b"--b1--"], id="LF empty line shares no CRLF"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1--\n", [b"x"], id="LF behind the close delimiter"),
        pytest.param(b"--b1\r\n\r\nx\n--b1\r\ny\r\n--b1--", [b"x\n--b1\r\ny"], id="lone LF before"),
        pytest.param(b"--b1\r\n\r\nx--b1--\r\n--b1--", [b"x--b1--"], id="not at a line start"),
        pytest.param(
            b"--b1\r\n\r\n\r\n--b1x\r\n\r\n--b1--", [b"\r\n--b1x\r\n"], id="prefix of a line"
        ),
        pytest.param(
            b"--b1\r\n\r\n\r\n--b1-\r\n\r\n--b1--", [b"\r\n--b1-\r\n"], id="one dash is no close"
        ),
        pytest.param(
            b"--b1\r\n\r\n\r\n--b1---\r\n--b1--", [b"\r\n--b1---"], id="three dashes are no close"
        ),
        pytest.param(
            b"--b1\r\n\r\n\r\n--b1 --\r\n--b1--", [b"\r\n--b1 --"], id="dashes behind padding"
        ),
        pytest.param(
            b"--b1\r\n\r\n\r\n--b1 -\r\n--b1--", [b"\r\n--b1 -"], id="one dash behind padding"
        ),
        pytest.param(
            b"--b1\r\n\r\n\r\n--b1---", None, id="close and a dash at the end are no close"
        ),
        pytest.param(
            b"--b1\r\n\r\n\r\n--b1\rx\r\n--b1--", [b"\r\n--b1\rx"], id="CR without LF behind"
        ),
        pytest.param(
            b"--b1\r\n\r\n\r\n--b1--x\r\n--b1--", [b"\r\n--b1--x"], id="close with a letter"
        ),
        pytest.param(b"--b1\r\n\r\n\r\n\r\n--b\r\n--b1--", [b"\r\n\r\n--b"], id="begun boundary"),
        pytest.param(
            b"--b1\r\nContent-Type: multipart/mixed; boundary=b2\r\n\r\n"
            b"--b2\r\n\r\ny\r\n--b2--\r\n--b1--",
            [b"--b2\r\n\r\ny\r\n--b2--"],
            id="nested multipart is content",
        ),
        pytest.param(
            b"--b1\r\nContent-Length: 2\r\n\r\n\r\n\r\n--b1--", [b"\r\n"], id="length of CRLF"
        ),
        pytest.param(b"--b1\r\nContent-Length: 0\r\n\r\n--b1--", [b""], id="length 0, shared"),
        pytest.param(
            b"--b1\r\ncontent-length: 1\r\ncontent-length: 1, 01\r\n\r\nx\r\n--b1--",
            [b"x"],
            id="equal lengths",
        ),
        pytest.param(
            b"--b1\r\nContent-Length: 1\r\n\r\nx\r\n--b1\r\n\r\nyy\r\n--b1--",
            [b"x", b"yy"],
            id="a length holds for its own part only",
        ),
    ],
)
def test_a_payload_gives_its_parts_however_it_is_cut(
    payload: bytes, expected: list[bytes] | None
) -> None:
    verdict = fed_each_way(payload, B)
    if expected is None:
        assert verdict.error is Truncated
    else:
        assert contents(verdict) == expected
    assert verdict.facts() == reference(payload, B).facts()


@pytest.mark.parametrize(
    ("payload", "error", "offset"),
    [
        pytest.param(b"", Truncated, 0, id="empty payload"),
        pytest.param(b"no boundary here\r\n", Truncated, 18, id="wrong boundary"),
        pytest.param(b"--b2\r\n\r\nx\r\n--b2--\r\n", Truncated, 19, id="other boundary"),
        pytest.param(b"--b1\r\n\r\nx\n--b1--\n", Truncated, 17, id="server changes its line ends"),
        pytest.param(b"--b1", Truncated, 4, id="cut in the first delimiter"),
        pytest.param(b"--b1\r\n", Truncated, 6, id="cut behind the first delimiter"),
        pytest.param(b"--b1\n--b1--", Truncated, 11, id="close delimiter among headers"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1", Truncated, 15, id="cut before the dashes"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1-", Truncated, 16, id="cut between the dashes"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1\r\n", Truncated, 17, id="next part never sent"),
        pytest.param(b"--b1--\r\n", ProtocolError, 0, id="zero parts"),
        pytest.param(b"--b1--", ProtocolError, 0, id="zero parts, end of payload"),
        pytest.param(b"\r\n--b1--\r\n", ProtocolError, 2, id="zero parts behind a line end"),
        pytest.param(b"--b1\r\nnonsense\r\n\r\nx", ProtocolError, 6, id="header without colon"),
        pytest.param(b"--b1\r\nA: b\r\n: c\r\n\r\nx", ProtocolError, 12, id="header without name"),
        pytest.param(b"--b1\r\n A: b\r\n\r\nx", ProtocolError, 6, id="folded first line"),
        pytest.param(b"--b1\r\nA: b\rc\r\n\r\nx", ProtocolError, 6, id="CR in a header"),
        pytest.param(b"--b1\r\nA: \0\r\n\r\nx", ProtocolError, 6, id="NUL in a header"),
        pytest.param(
            b"--b1\r\nA: b\r\n--b1\r\nC: d\r\n\r\nx", ProtocolError, 6, id="delimiter in headers"
        ),
        pytest.param(
            b"--b1\r\nContent-Length: 2\r\n\r\nx\r\n--b1--", ProtocolError, 27, id="length too big"
        ),
        pytest.param(
            b"--b1\r\nContent-Length: 0\r\n\r\nx\r\n--b1--", ProtocolError, 27, id="too small"
        ),
        pytest.param(b"--b1\r\nContent-Length: -1\r\n\r\n", ProtocolError, 6, id="negative length"),
        pytest.param(
            b"--b1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            ProtocolError,
            6,
            id="two lengths",
        ),
    ],
)
def test_a_broken_payload_is_refused_however_it_is_cut(
    payload: bytes, error: type[ProtocolError], offset: int
) -> None:
    verdict = fed_each_way(payload, B)
    assert (verdict.error, verdict.error_offset) == (error, offset)
    assert not verdict.is_whole
    assert verdict.facts() == reference(payload, B).facts()


@pytest.mark.parametrize(
    "boundary",
    [
        pytest.param(b"x" * 70, id="70 characters"),
        pytest.param(b"x" * 128, id="128 characters"),
        pytest.param(b"-", id="a dash"),
        pytest.param(b"--", id="two dashes"),
        pytest.param(b"--b--", id="dashes around"),
        pytest.param(b"a b", id="a blank inside"),
        pytest.param(b"'()+_,-./:=?", id="every special character"),
        pytest.param(b"uuid:1.2", id="a colon"),
        pytest.param(b"[a]{2}$^|\\", id="regular expression"),
    ],
)
def test_any_boundary_delimits(boundary: bytes) -> None:
    payload = THREE_PARTS.replace(b"--b1", b"--" + boundary)
    assert contents(parse(bytewise(payload), boundary)) == [b"one", b"two, longer", b"three"]
    assert contents(parse([payload], boundary)) == [b"one", b"two, longer", b"three"]


def test_white_space_behind_a_boundary_is_not_part_of_it() -> None:
    assert contents(parse([THREE_PARTS], b"b1 \t")) == [b"one", b"two, longer", b"three"]


@pytest.mark.parametrize(
    ("boundary", "error"),
    [
        pytest.param(b"", ProtocolError, id="empty"),
        pytest.param(b" ", ProtocolError, id="blank"),
        pytest.param(b"a\rb", ProtocolError, id="CR"),
        pytest.param(b"a\nb", ProtocolError, id="LF"),
        pytest.param(b"x" * 129, LimitExceeded, id="129 characters"),
    ],
)
def test_a_useless_boundary_is_refused(boundary: bytes, error: type[ProtocolError]) -> None:
    with pytest.raises(error) as caught:
        MultipartParser(boundary)
    assert type(caught.value) is error


def test_headers_are_reported_as_received_and_folded_lines_joined() -> None:
    block = b"content-TYPE:application/dicom;\r\n\t transfer-syntax=1.2 \r\nX-Odd : \xe4 \n\r\n"
    verdict = fed_each_way(b"--b1\r\n" + block + b"x\r\n--b1--", B)
    expected = (("content-TYPE", "application/dicom; transfer-syntax=1.2"), ("X-Odd", "ä"))
    assert verdict.parts[0].headers == expected


def test_offset_is_that_of_the_first_content_byte() -> None:
    verdict = fed_each_way(b"preamble\r\n" + THREE_PARTS, B)
    for part in verdict.parts:
        payload = b"preamble\r\n" + THREE_PARTS
        assert payload[part.offset :].startswith(part.content + b"\r\n--b1")


def test_events_come_in_order() -> None:
    parser = MultipartParser(B)
    parser.receive_data(b"--b1\r\nA: b\r\n\r\nx\r\n--b1--\r\n")
    assert list(drain(parser)) == [
        PartBegan((("A", "b"),), 14),
        PartData(b"x"),
        PartEnded(1),
        PayloadEnded(1),
    ]


def test_no_part_ends_at_a_doubtful_delimiter() -> None:
    parser = MultipartParser(B)
    for piece in (b"--b1\r\n\r\nx", b"\r\n--b1", b"--", b" ", b"\r"):
        parser.receive_data(piece)
        assert not any(isinstance(event, PartEnded) for event in drain(parser))
    parser.receive_data(b"\n")
    assert list(drain(parser)) == [PartEnded(1), PayloadEnded(1)]


def test_content_is_passed_on_before_its_part_ends() -> None:
    parser = MultipartParser(B)
    parser.receive_data(b"--b1\r\n\r\nabc\r\n--")
    assert list(drain(parser)) == [PartBegan((), 8), PartData(b"abc")]
    parser.receive_data(b"x")
    assert list(drain(parser)) == [PartData(b"\r\n--x")]


def test_chunks_may_be_fed_before_any_event_is_asked_for() -> None:
    parser = MultipartParser(B)
    for piece in bytewise(THREE_PARTS):
        parser.receive_data(piece)
    events = list(drain(parser))
    parser.receive_eof()
    assert events[-1] == PayloadEnded(3)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken_and_may_be_reused(kind: type[bytes | bytearray | memoryview]) -> None:
    parser = MultipartParser(B)
    payload = bytearray(b"--b1\r\n\r\nabc\r\n--b1--\r\n")
    parser.receive_data(kind(payload))
    if kind is not bytes:
        payload[:] = bytes(len(payload))
    assert list(drain(parser))[1] == PartData(b"abc")


def test_long_content_is_not_copied() -> None:
    parser = MultipartParser(B)
    parser.receive_data(b"--b1\r\n\r\nx")
    list(drain(parser))
    chunk = bytes(COPY_BELOW_BYTES)
    parser.receive_data(chunk)
    event = parser.next_event()
    assert isinstance(event, PartData)
    assert event.data is chunk
    parser.receive_data(tail := chunk + b"\r\n--b1--\r\n")
    event = parser.next_event()
    assert isinstance(event, PartData)
    assert isinstance(event.data, memoryview)
    assert event.data.obj is tail
    assert len(event.data) == COPY_BELOW_BYTES


def test_truncation_at_every_offset_is_detected() -> None:
    whole_at = THREE_PARTS.index(b"--b1--") + len(b"--b1--")
    for length in range(len(THREE_PARTS) + 1):
        cut_off = THREE_PARTS[:length]
        for chunks in ([cut_off], bytewise(cut_off)):
            verdict = parse(chunks, B)
            assert verdict.is_whole is (length >= whole_at), length
            assert verdict.error is (None if length >= whole_at else Truncated), length


def test_truncation_names_the_bytes_received_and_no_content() -> None:
    verdict = parse([b"--b1\r\n\r\nsecret name"], B)
    assert verdict.error_offset == 19
    parser = MultipartParser(B)
    parser.receive_data(b"--b1\r\n\r\nsecret name")
    list(drain(parser))
    with pytest.raises(Truncated, match=r"before the close delimiter was read whole at byte 19$"):
        parser.receive_eof()


def test_truncation_before_any_delimiter_says_so() -> None:
    with pytest.raises(Truncated, match=r"before the first part was read whole at byte 0$"):
        MultipartParser(B).receive_eof()


TINY = MultipartLimits(
    max_header_block_bytes=8,
    max_headers=2,
    max_parts=2,
    max_preamble_bytes=4,
    max_boundary_bytes=4,
    max_padding_bytes=2,
)


@pytest.mark.parametrize(
    ("payload", "offset"),
    [
        pytest.param(b"--b1\r\nA: bc\r\n\r\nx\r\n--b1--", 6, id="header block of 9 bytes"),
        pytest.param(b"--b1\r\nA: bcdefghijk", 6, id="endless header"),
        pytest.param(b"--b1\n:\n:\n:\n\nx", 5, id="three header lines"),
        pytest.param(b"--b1\r\n\r\n\r\n--b1\r\n\r\n\r\n--b1\r\n", 26, id="third part"),
        pytest.param(b"abc\r\n--b1\r\n\r\nx\r\n--b1--", 4, id="preamble of 5 bytes"),
        pytest.param(b"abcdefgh", 4, id="endless preamble"),
        pytest.param(b"--b1x\r\n--b1\r\n", 4, id="preamble of look-alikes"),
        pytest.param(b"--b1   \r\n\r\nx\r\n--b1--", 4, id="three blanks behind the first"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1--   ", 15, id="three blanks behind the close"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1   y\r\n--b1--", 15, id="three blanks in a look-alike"),
    ],
)
def test_limits_do_not_depend_on_the_cut(payload: bytes, offset: int) -> None:
    verdict = fed_each_way(payload, B, TINY)
    assert (verdict.error, verdict.error_offset) == (LimitExceeded, offset)
    assert verdict.facts() == reference(payload, B, TINY).facts()


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"--b1\r\nA: b\r\n\r\nx\r\n--b1--", id="header block of 8 bytes"),
        pytest.param(b"--b1\nA:\nB:\n\nx\n--b1--", id="two header lines"),
        pytest.param(b"--b1\r\n\r\n\r\n--b1\r\n\r\n\r\n--b1--\r\n", id="two parts"),
        pytest.param(b"ab\r\n--b1\r\n\r\nx\r\n--b1--", id="preamble of 4 bytes"),
        pytest.param(b"--b1  \r\n\r\nx\r\n--b1--  \r\n", id="two blanks"),
        pytest.param(b"--b1\r\n\r\nx\r\n--b1--\r\n" + b"bye" * 9, id="an epilogue has no limit"),
    ],
)
def test_what_just_meets_a_limit_passes(payload: bytes) -> None:
    verdict = fed_each_way(payload, B, TINY)
    assert verdict.error is None
    assert verdict.facts() == reference(payload, B, TINY).facts()


def test_boundary_limit_counts_what_is_used() -> None:
    MultipartParser(b"four  ", limits=TINY)
    with pytest.raises(LimitExceeded, match="boundary of 5 bytes"):
        MultipartParser(b"fiver", limits=TINY)


def test_driving_against_the_rules_is_a_usage_error() -> None:
    undrained = MultipartParser(B)
    undrained.receive_data(THREE_PARTS)
    with pytest.raises(UsageError, match="drained"):
        undrained.receive_eof()
    undrained.next_event()
    with pytest.raises(UsageError, match="drained"):
        undrained.receive_eof()
    list(drain(undrained))
    undrained.receive_eof()
    with pytest.raises(UsageError, match="behind the end"):
        undrained.receive_data(b"x")


@pytest.mark.parametrize("kind", ["refused", "truncated"])
def test_a_parser_is_unusable_after_an_error(kind: str) -> None:
    parser = MultipartParser(B)
    parser.receive_data(b"--b1--\r\n" if kind == "refused" else b"--b1\r\n")
    with pytest.raises(ProtocolError):  # noqa: PT012 -- one of the two raises, by kind
        list(drain(parser))
        parser.receive_eof()
    with pytest.raises(UsageError):
        parser.next_event()
    with pytest.raises(UsageError):
        parser.receive_data(b"x")
    with pytest.raises(UsageError):
        parser.receive_eof()


def test_nothing_follows_the_end() -> None:
    parser = MultipartParser(B)
    parser.receive_data(THREE_PARTS)
    list(drain(parser))
    parser.receive_eof()
    assert parser.next_event() is NEED_DATA
