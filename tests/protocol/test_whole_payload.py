"""What is said of a payload in one piece is what the streaming parser says of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncdicom.errors import AsyncDicomError, ProtocolError
from asyncdicom.protocol.payload import payload_parser
from asyncdicom.protocol.payload_events import PartBegan, PartData, PartEnded, drain
from asyncdicom.protocol.whole_payload import only_part

TYPE = 'multipart/related; type="application/octet-stream"; boundary=b'
HEAD = b"--b\r\nContent-Type: application/octet-stream\r\n\r\n"

Part = tuple[tuple[tuple[str, str], ...], int, bytes]


def streamed(payload: bytes, content_type: str | None) -> list[Part]:
    """Return headers, offset and content of each part, or raise what is wrong."""
    parser = payload_parser(content_type)
    found: list[Part] = []
    content = b""
    parser.receive_data(payload)
    events = list(drain(parser))
    parser.receive_eof()
    events += drain(parser)
    for event in events:
        match event:
            case PartBegan(headers, offset):
                found.append((headers, offset, b""))
                content = b""
            case PartData(data):
                content += bytes(data)
            case PartEnded(byte_count):
                assert byte_count == len(content)
                found[-1] = (*found[-1][:2], content)
            case _:
                pass
    return found


USUAL = [
    pytest.param(HEAD + b"pixels\r\n--b--\r\n", TYPE, id="a line end behind the close delimiter"),
    pytest.param(HEAD + b"pixels\r\n--b--", TYPE, id="none"),
    pytest.param(HEAD + b"\r\n--b--\r\n", TYPE, id="an empty part"),
    pytest.param(HEAD + b"a--b\r\n--b--\r\n", TYPE, id="a boundary that begins no line"),
    pytest.param(HEAD + b"\n--b\r\n--b--\r\n", TYPE, id="a delimiter behind LF alone"),
    pytest.param(
        b"--b\r\nContent-Length: 3\r\nX: 1\r\n\r\nabc\r\n--b--\r\n",
        TYPE,
        id="a length that is true",
    ),
    pytest.param(b'[{"a": 1}]', "application/dicom+json", id="single-part"),
    pytest.param(b"", "application/dicom+json", id="single-part and empty"),
    pytest.param(b"bytes", None, id="no type"),
]

ODD = [
    pytest.param(b"greeting\r\n" + HEAD + b"p\r\n--b--\r\n", id="a preamble"),
    pytest.param(HEAD + b"p\r\n--b--\r\nmore", id="an epilogue"),
    pytest.param(HEAD + b"p\r\n--b-- \r\n", id="padding"),
    pytest.param((HEAD + b"p\r\n--b--\r\n").replace(b"\r\n", b"\n"), id="lines that end with LF"),
    pytest.param(b"--b\r\n\r\np\r\n--b--\r\n", id="no header"),
    pytest.param(
        HEAD + b"--b\r\nX: 1\r\n\r\n\r\n--b--\r\n", id="a delimiter that shares a line end"
    ),
    pytest.param(HEAD + b"p\r\n--bee\r\n--b--\r\n", id="a look-alike in the content"),
    pytest.param(HEAD + b"p\r\n--b\r\nX: 1\r\n\r\nq\r\n--b--\r\n", id="two parts"),
]

BROKEN = [
    pytest.param(b"", id="nothing"),
    pytest.param(HEAD + b"pixels", id="no close delimiter"),
    pytest.param(HEAD + b"pixels\r\n--b-", id="half of one"),
    pytest.param(HEAD + b"pixels\r\n--b", id="a delimiter that is cut"),
    pytest.param(HEAD[:-2], id="headers alone"),
    pytest.param(b"--b--\r\n", id="no part"),
    pytest.param(
        b"--b\r\nContent-Length: 4\r\n\r\nabc\r\n--b--\r\n", id="a length that is not true"
    ),
    pytest.param(b"--b\r\nno colon\r\n\r\nabc\r\n--b--\r\n", id="a header without colon"),
    pytest.param(b"--b\r\n--b: 1\r\n\r\nabc\r\n--b--\r\n", id="a delimiter among the headers"),
]


@pytest.mark.parametrize(("payload", "content_type"), USUAL)
def test_the_usual_payload_is_understood(payload: bytes, content_type: str | None) -> None:
    part = only_part(payload, content_type)
    assert part is not None
    found = (part.headers, part.offset, payload[part.offset : part.end])
    assert [found] == streamed(payload, content_type)


@pytest.mark.parametrize("payload", ODD)
def test_what_is_odd_is_left_to_the_streaming_parser(payload: bytes) -> None:
    assert only_part(payload, TYPE) is None
    assert streamed(payload, TYPE)


@pytest.mark.parametrize("payload", BROKEN)
def test_what_is_broken_is_left_to_the_streaming_parser(payload: bytes) -> None:
    assert only_part(payload, TYPE) is None
    with pytest.raises(ProtocolError):
        streamed(payload, TYPE)


@pytest.mark.parametrize("content_type", ["multipart/related", 'multipart/related; boundary=""'])
def test_a_multipart_type_without_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(ProtocolError):
        only_part(b"--b--", content_type)


CRUMBS = st.sampled_from(
    [
        b"--b",
        b"--",
        b"b",
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n\r\n",
        b"X: 1",
        b"Content-Length: 3",
        b" ",
        b"abc",
    ]
)


@settings(max_examples=2000, deadline=None)
@given(
    st.lists(CRUMBS, max_size=12).map(b"".join),
    st.sampled_from([b"", HEAD, b"--b\r\n", b"--b\r\nContent-Length: 3\r\n\r\n"]),
    st.sampled_from([b"", b"\r\n--b--\r\n", b"\r\n--b--"]),
)
def test_nothing_is_said_that_the_streaming_parser_would_not_say(
    middle: bytes, head: bytes, tail: bytes
) -> None:
    payload = head + middle + tail
    part = only_part(payload, TYPE)
    if part is None:
        return
    found = (part.headers, part.offset, payload[part.offset : part.end])
    try:
        assert [found] == streamed(payload, TYPE)
    except AsyncDicomError as error:
        pytest.fail(f"{payload!r} is refused: {error}")
