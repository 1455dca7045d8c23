"""A payload is judged by its bytes: whole, as many parts as asked for, and of the target."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson
import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    Doubtful,
    Incomplete,
    NotFound,
    ProtocolError,
    Truncated,
    UidMismatch,
    UnexpectedContent,
)
from asyncdicom.jobs.payload import (
    PayloadCheck,
    expect_content,
    expect_frame_bytes,
    expect_whole_list,
)
from asyncdicom.model import Resource, Target, Uid
from tests.support.chunking import bytewise, whole
from tests.support.dicom import ct, uid

if TYPE_CHECKING:
    from collections.abc import Callable

STUDY, SERIES = Uid(uid("study", 1)), Uid(uid("series", 1))
UIDS = (STUDY, SERIES, Uid(uid("instance", 1)))
FRAME = Target(Resource.FRAME, *UIDS, 1)
INSTANCE = Target(Resource.INSTANCE, *UIDS)
METADATA = Target(Resource.METADATA, *UIDS)
SEARCH = Target(Resource.SEARCH, STUDY)
RELATED = 'multipart/related; type="application/octet-stream"; boundary=b'
JSON = "application/dicom+json"
DICOM = "application/dicom"


def wrapped(*contents: bytes, content_type: str = "application/octet-stream") -> bytes:
    parts = (
        b"--b\r\nContent-Type: %b\r\n\r\n%b\r\n" % (content_type.encode(), content)
        for content in contents
    )
    return b"".join(parts) + b"--b--\r\n"


def described(*elements: object) -> bytes:
    return orjson.dumps(elements)


ELEMENT = {
    "0020000D": {"vr": "UI", "Value": [STUDY]},
    "0020000E": {"vr": "UI", "Value": [SERIES]},
    "00080018": {"vr": "UI", "Value": [UIDS[2]]},
}


class Sink:
    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: object) -> None:
        self.content += bytes(data)  # type: ignore[call-overload]  # -- a buffer


@pytest.mark.parametrize("feed", [whole, bytewise], ids=["whole", "bytewise"])
def test_a_part_is_recorded_where_it_lies(feed: Callable[[bytes], list[bytes]]) -> None:
    payload, sink = wrapped(b"pixels"), Sink()
    check = PayloadCheck(FRAME, RELATED, sink=sink)
    for piece in feed(payload):
        check.receive_data(piece)
    (part,) = check.receive_eof()
    assert payload[part.offset : part.offset + part.length] == b"pixels"
    assert part.sha256 == hashlib.sha256(b"pixels").hexdigest()
    assert part.headers == (("Content-Type", "application/octet-stream"),)
    assert (check.is_multipart, bytes(sink.content)) == (True, b"pixels")


def judged(target: Target, content_type: str | None, payload: bytes) -> PayloadCheck:
    check = PayloadCheck(target, content_type)
    check.receive_data(payload)
    check.receive_eof()
    return check


@pytest.mark.parametrize(
    ("target", "content_type", "payload"),
    [
        pytest.param(FRAME, RELATED, wrapped(b"x"), id="a frame"),
        pytest.param(FRAME, "image/jpeg", b"x", id="a frame without wrapper"),
        pytest.param(INSTANCE, RELATED, wrapped(ct()), id="an instance"),
        pytest.param(INSTANCE, DICOM, ct(), id="an instance without wrapper"),
        pytest.param(INSTANCE, None, ct(), id="an instance of no declared type"),
        pytest.param(METADATA, JSON, described(ELEMENT), id="metadata"),
        pytest.param(METADATA, "application/json", described(ELEMENT), id="metadata as JSON"),
        pytest.param(SEARCH, JSON, b"[]", id="a search that found nothing"),
        pytest.param(
            Target(Resource.BULKDATA, *UIDS), "text/plain", b"words", id="bulkdata that is text"
        ),
    ],
)
def test_what_is_whole_and_as_asked_passes(
    target: Target, content_type: str | None, payload: bytes
) -> None:
    judged(target, content_type, payload)


@pytest.mark.parametrize(
    ("target", "content_type", "payload", "kind"),
    [
        pytest.param(FRAME, RELATED, b"", ProtocolError, id="nothing at all"),
        pytest.param(FRAME, RELATED, wrapped(b"x")[:-4], Truncated, id="an open multipart"),
        pytest.param(FRAME, RELATED, wrapped(b""), UnexpectedContent, id="an empty part"),
        pytest.param(FRAME, RELATED, wrapped(b"x", b"y"), UnexpectedContent, id="two frames"),
        pytest.param(FRAME, "image/jpeg", b"", UnexpectedContent, id="an empty frame"),
        pytest.param(FRAME, "text/html", b"<p>", UnexpectedContent, id="a page"),
        pytest.param(FRAME, JSON, b"[]", UnexpectedContent, id="metadata for a frame"),
        pytest.param(INSTANCE, RELATED, wrapped(ct()[:-9]), Truncated, id="a cut instance"),
        pytest.param(INSTANCE, DICOM, b"x" * 500, ProtocolError, id="no instance"),
        pytest.param(INSTANCE, DICOM, ct(number=2), UidMismatch, id="another instance"),
        pytest.param(METADATA, JSON, described(ELEMENT)[:-3], Truncated, id="cut metadata"),
        pytest.param(METADATA, JSON, b"1", ProtocolError, id="a number for an array"),
        pytest.param(METADATA, JSON, b"[]", NotFound, id="metadata of nothing"),
        pytest.param(METADATA, DICOM, ct(), UnexpectedContent, id="an instance for metadata"),
        pytest.param(
            METADATA,
            JSON,
            described(ELEMENT | {"00080018": {"vr": "UI", "Value": ["1.2"]}}),
            UidMismatch,
            id="metadata of another instance",
        ),
    ],
)
def test_what_is_not_is_refused(
    target: Target, content_type: str, payload: bytes, kind: type[AsyncDicomError]
) -> None:
    with pytest.raises(kind):
        judged(target, content_type, payload)


@pytest.mark.parametrize("feed", [whole, bytewise], ids=["whole", "bytewise"])
def test_elements_are_handed_over(feed: Callable[[bytes], list[bytes]]) -> None:
    elements: list[object] = []
    check = PayloadCheck(SEARCH, JSON, on_element=elements.append)
    for piece in feed(described(ELEMENT, {})):
        check.receive_data(piece)
    check.receive_eof()
    assert elements == [ELEMENT, {}]


@pytest.mark.parametrize("feed", [whole, bytewise], ids=["whole", "bytewise"])
@pytest.mark.parametrize("payload", [b"[1]", b"[{}", b"[{}] x", b"x"])
def test_what_is_no_list_of_objects_is_refused(
    feed: Callable[[bytes], list[bytes]], payload: bytes
) -> None:
    check = PayloadCheck(SEARCH, JSON)

    def read() -> None:
        for piece in feed(payload):
            check.receive_data(piece)
        check.receive_eof()

    with pytest.raises(ProtocolError):
        read()


NATIVE = (("Content-Type", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"),)
RLE = (("Content-Type", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5"),)


@pytest.mark.parametrize(
    ("headers", "received"),
    [
        pytest.param(NATIVE, 100, id="all of it"),
        pytest.param(NATIVE, 101, id="padded"),
        pytest.param(RLE, 9, id="compressed"),
        pytest.param((), 9, id="undeclared"),
        pytest.param((("Content-Type", "image/jp2"),), 9, id="an image"),
    ],
)
def test_frames_may_have_their_size(headers: tuple[tuple[str, str], ...], received: int) -> None:
    expect_frame_bytes(100, received, headers)


def test_a_native_frame_that_is_too_short_was_cut() -> None:
    with pytest.raises(Truncated, match="100 bytes came as 99"):
        expect_frame_bytes(100, 99, NATIVE)
    check = PayloadCheck(FRAME, RELATED, frame_bytes=100)
    kind = NATIVE[0][1]
    check.receive_data(wrapped(b"x" * 99, content_type=kind) + b"\r\n")
    with pytest.raises(Truncated):
        check.receive_eof()


@pytest.mark.parametrize("value", ['299 - "there are more"', '110 - "stale", 299 x "more"'])
def test_a_list_that_says_it_is_not_all_is_refused(value: str) -> None:
    with pytest.raises(Incomplete):
        expect_whole_list((("Warning", value),))
    expect_whole_list((("Warning", '110 - "stale"'), ("Content-Type", JSON)))


def test_an_opaque_payload_may_be_cut_where_nothing_shows_its_end() -> None:
    check = judged(FRAME, "image/jpeg", b"x")
    check.expect_own_end(may_be_opaque=True)
    with pytest.raises(Doubtful):
        check.expect_own_end(may_be_opaque=False)


def test_an_instance_shows_its_own_end() -> None:
    judged(INSTANCE, DICOM, ct()).expect_own_end(may_be_opaque=False)
    content = ct()
    odd = content[: content.rindex(b"\xe0\x7f\x10\x00")]
    with pytest.raises(Doubtful):
        judged(INSTANCE, DICOM, odd).expect_own_end(may_be_opaque=True)


@pytest.mark.parametrize("resource", [r for r in Resource if r is not Resource.BULKDATA])
def test_a_login_page_is_never_what_was_asked_for(resource: Resource) -> None:
    with pytest.raises(UnexpectedContent, match="text/html"):
        expect_content(resource, "Text/HTML; charset=utf-8")
