"""The JSON interface of Google Cloud Storage."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import AsyncDicomError, LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.object_stores import gcs_listing as module
from asyncdicom.protocol.object_stores.gcs_listing import (
    GcsListingParser,
    gcs_entry,
    parse_resource,
)
from asyncdicom.protocol.object_stores.values import ListingPage, ObjectDigest, ObjectEntry
from tests.support.chunking import feedings

if TYPE_CHECKING:
    from collections.abc import Iterable

MD5, CRC32C = bytes(range(16)), bytes(range(4))
ITEM: dict[str, Any] = {
    "name": "a/é",
    "size": "7",
    "generation": "1700000000000001",
    "updated": "2023-01-02T03:04:05.678Z",
    "md5Hash": base64.b64encode(MD5).decode(),
    "crc32c": base64.b64encode(CRC32C).decode(),
}
ENTRY = ObjectEntry(
    "a/é",
    7,
    "1700000000000001",
    "2023-01-02T03:04:05.678Z",
    (ObjectDigest("crc32c", CRC32C), ObjectDigest("md5", MD5)),
)


def read(pieces: Iterable[bytes]) -> ListingPage:
    parser = GcsListingParser()
    for piece in pieces:
        parser.receive_data(piece)
    return parser.receive_eof()


def verdict(pieces: Iterable[bytes]) -> ListingPage | type[AsyncDicomError]:
    try:
        return read(pieces)
    except AsyncDicomError as error:
        return type(error)


def listing(**fields: Any) -> bytes:
    return json.dumps({"kind": "storage#objects"} | fields, ensure_ascii=False).encode()


def test_a_page_is_read_wherever_it_is_cut() -> None:
    data = listing(items=[ITEM], prefixes=["a/b/"], nextPageToken="t")
    for pieces in feedings(data):
        assert read(pieces) == ListingPage((ENTRY,), ("a/b/",), "t")


@pytest.mark.parametrize("data", [listing(), listing(nextPageToken="")])
def test_a_list_may_be_empty(data: bytes) -> None:
    assert read([data, b"\n"]) == ListingPage(())


def test_a_list_that_is_cut_is_never_a_list() -> None:
    data = listing(items=[ITEM, {"name": "{}", "size": "1"}], nextPageToken="t")
    for length in range(len(data)):
        found = verdict([data[:length]])
        assert isinstance(found, type)
        assert issubclass(found, ProtocolError)


@pytest.mark.parametrize("rest", [b"", b"{", b'{"items": [', b'{"a": "}'])
def test_what_does_not_end_as_an_object_was_cut(rest: bytes) -> None:
    assert verdict([rest]) in (Truncated, ProtocolError)
    assert verdict([b'{"items": [']) is Truncated


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"null",
        b"{]}",
        b'{"items": "x"}',
        b'{"items": [1]}',
        b'{"prefixes": [1]}',
        b'{"nextPageToken": 1}',
        b'{"kind": "storage#object"}',
        # An answer of something on the way would end a list of many pages, as if it were whole.
        b"{}",
        b'{"status": "ok"}',
        b'{"a": "\xff"}',
        b"<html></html>}",
    ],
)
def test_what_is_no_listing_is_refused(data: bytes) -> None:
    for pieces in feedings(data):
        assert verdict(pieces) is ProtocolError


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": None},
        {"name": 1},
        {"size": None},
        {"size": "-1"},
        {"size": "1.5"},
        {"size": True},
        {"size": "9" * 19},
    ],
)
def test_an_object_has_a_name_and_a_size(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        gcs_entry(ITEM | change)


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({"md5Hash": "AAAA"}, 1),
        ({"md5Hash": "%%"}, 1),
        ({"md5Hash": 5}, 1),
        ({"md5Hash": None, "crc32c": None}, 0),
        ({}, 2),
    ],
)
def test_a_digest_that_cannot_be_one_is_none(change: dict[str, object], count: int) -> None:
    assert len(gcs_entry(ITEM | change).digests) == count


def test_numbers_may_be_numbers() -> None:
    assert gcs_entry({"name": "a", "size": 7, "generation": 5}) == ObjectEntry("a", 7, "5")


def test_a_listing_larger_than_any_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = listing(items=[ITEM, ITEM])
    monkeypatch.setattr(module, "MAX_ENTRIES", 1)
    assert verdict([data]) is LimitExceeded
    monkeypatch.setattr(module, "MAX_LISTING_BYTES", 100)
    for pieces in feedings(data):
        assert verdict(pieces) is LimitExceeded


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "name", "size", "prefixes", "nextPageToken", "kind"]),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON)
def test_any_json_is_a_page_or_an_error_of_ours(value: object) -> None:
    assert verdict([json.dumps(value).encode()]) is not None


def test_a_message_holds_no_names() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_resource(b'{"name": "PATIENT",}', what="metadata")
    assert "PATIENT" not in str(caught.value)
