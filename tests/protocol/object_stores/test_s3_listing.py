"""A list is whole or an error, wherever the network cuts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import AsyncDicomError, LimitExceeded, ProtocolError, Truncated
from asyncdicom.protocol.object_stores import s3_listing as module
from asyncdicom.protocol.object_stores.s3_listing import S3ListingParser
from asyncdicom.protocol.object_stores.values import ListingPage, ObjectEntry
from tests.protocol.object_stores.listings import s3_listing
from tests.support.chunking import cut, feedings

if TYPE_CHECKING:
    from collections.abc import Iterable


def read(pieces: Iterable[bytes]) -> ListingPage:
    parser = S3ListingParser()
    for piece in pieces:
        parser.receive_data(piece)
    return parser.receive_eof()


def verdict(pieces: Iterable[bytes]) -> ListingPage | type[AsyncDicomError]:
    try:
        return read(pieces)
    except AsyncDicomError as error:
        return type(error)


def listing(inside: str, *, head: str = "", root: str = "ListBucketResult") -> bytes:
    return f"<?xml version='1.0'?>{head}<{root}>{inside}</{root}>".encode()


WHOLE = "<IsTruncated>false</IsTruncated>"


def test_a_page_is_read_wherever_it_is_cut() -> None:
    keys = ["a/1.dcm", "a/b c+d%é.dcm"]
    expected = ListingPage(
        (
            ObjectEntry("a/1.dcm", 7, f"{7:032x}", "2023-01-02T03:04:05.000Z"),
            ObjectEntry("a/b c+d%é.dcm", 13, f"{13:032x}", "2023-01-02T03:04:05.000Z"),
        ),
        ("a/x y/",),
        "t+/=",
    )
    data = s3_listing(keys, prefixes=["a/x y/"], token="t+/=")
    for pieces in feedings(data):
        assert read(pieces) == expected


@pytest.mark.parametrize("data", [s3_listing(["a", "b"], token="t"), s3_listing()])
def test_a_list_that_is_cut_is_never_a_list(data: bytes) -> None:
    for length in range(len(data)):
        assert verdict([data[:length]]) is Truncated


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)),
    st.lists(st.integers(0, 3000), max_size=5),
)
def test_any_name_comes_back(keys: list[str], places: list[int]) -> None:
    data = s3_listing(keys)
    page = read(cut(data, [min(place, len(data)) for place in places]))
    assert [entry.key for entry in page.entries] == keys


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(s3_listing(["a&b<c"], is_encoded=False, namespace=""), id="no namespace"),
        pytest.param(
            b"<s:ListBucketResult xmlns:s='u'><s:IsTruncated>false</s:IsTruncated><s:Contents>"
            b"<s:Key>a&amp;b&lt;c</s:Key><s:Size>5</s:Size></s:Contents></s:ListBucketResult>",
            id="a prefix",
        ),
        pytest.param(
            listing(WHOLE + "<Contents><Size> 5 </Size><Key><![CDATA[a&b<c]]></Key></Contents>"),
            id="a CDATA section, another order, blanks around a number",
        ),
    ],
)
def test_spellings_of_the_same(data: bytes) -> None:
    for pieces in feedings(data):
        (entry,) = read(pieces).entries
        assert (entry.key, entry.byte_count) == ("a&b<c", 5)


@pytest.mark.parametrize(
    ("etag", "expected"),
    [
        ("<ETag>&quot;ab&quot;</ETag>", "ab"),
        ("<ETag>ab</ETag>", "ab"),
        ("<ETag></ETag>", None),
        ("<ETag/>", None),
        ("<ETag>&quot;&quot;</ETag>", None),
        ("", None),
    ],
)
def test_an_etag_is_kept_without_its_quotes(etag: str, expected: str | None) -> None:
    data = listing(f"{WHOLE}<Contents><Key>k</Key><Size>1</Size>{etag}</Contents>")
    assert read([data]).entries[0].etag == expected


def test_names_are_decoded_only_where_they_were_encoded() -> None:
    one = "<Contents><Key>a%20b+c</Key><Size>1</Size></Contents>"
    coded = "<EncodingType>url</EncodingType>"
    assert read([listing(WHOLE + one)]).entries[0].key == "a%20b+c"
    assert read([listing(WHOLE + coded + one)]).entries[0].key == "a b c"
    # What says so may stand behind what it is said of.
    assert read([listing(WHOLE + one + coded)]).entries[0].key == "a b c"


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param("", id="whether it is whole is not said"),
        pytest.param("<IsTruncated>perhaps</IsTruncated>", id="no yes and no no"),
        pytest.param("<IsTruncated>true</IsTruncated>", id="more, but not where"),
        pytest.param(
            "<IsTruncated>true</IsTruncated><NextContinuationToken/>", id="more, but nowhere"
        ),
        pytest.param(WHOLE + "<Contents><Size>1</Size></Contents>", id="no name"),
        pytest.param(WHOLE + "<Contents><Key/><Size>1</Size></Contents>", id="an empty name"),
        pytest.param(WHOLE + "<Contents><Key>k</Key></Contents>", id="no size"),
        pytest.param(WHOLE + "<Contents><Key>k</Key><Size>-1</Size></Contents>", id="below 0"),
        pytest.param(WHOLE + "<Contents><Key>k</Key><Size>1e3</Size></Contents>", id="no number"),
        pytest.param(
            WHOLE + f"<Contents><Key>k</Key><Size>{'9' * 19}</Size></Contents>", id="too large"
        ),
        pytest.param(
            WHOLE
            + "<EncodingType>url</EncodingType><Contents><Key>%FF</Key><Size>1</Size></Contents>",
            id="a name that is not UTF-8",
        ),
        pytest.param(WHOLE + "<Contents></ListBucketResult>", id="no XML"),
    ],
)
def test_what_does_not_say_what_it_has_to_is_refused(inside: str) -> None:
    for pieces in feedings(listing(inside)):
        assert verdict(pieces) is ProtocolError


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(listing(WHOLE, root="Error"), id="another answer"),
        pytest.param(listing(WHOLE, root="html"), id="a page for people"),
        pytest.param(b"{}", id="JSON"),
        pytest.param(b"\xff\xff\x00", id="no text"),
        pytest.param(listing(WHOLE) + b"<more/>", id="more behind the end"),
        pytest.param(listing(WHOLE) + b"<mo", id="more behind the end, and cut"),
        pytest.param(listing(WHOLE, head="<!DOCTYPE x>"), id="a document type"),
        pytest.param(
            listing(
                WHOLE + "<Name>&b;</Name>",
                head="<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>",
            ),
            id="entities in entities",
        ),
        pytest.param(
            listing(WHOLE, head="<!DOCTYPE x SYSTEM 'file:///etc/passwd'>"), id="a file of ours"
        ),
        pytest.param(listing(WHOLE, head="<?php?>"), id="a processing instruction"),
        pytest.param(listing(WHOLE + "&unknown;"), id="an entity of nobody"),
    ],
)
def test_what_is_no_listing_is_refused(data: bytes) -> None:
    for pieces in feedings(data):
        assert verdict(pieces) is ProtocolError


@pytest.mark.parametrize(
    ("limit", "value", "inside"),
    [
        ("MAX_DEPTH", 3, WHOLE + "<a><b><c/></b></a>"),
        ("MAX_TEXT_CHARACTERS", 4, WHOLE + "<Contents><Key>12345</Key><Size>1</Size></Contents>"),
        ("MAX_LISTING_BYTES", 100, WHOLE + "<Name>" + "x" * 100 + "</Name>"),
        ("MAX_ENTRIES", 1, WHOLE + "<Contents><Key>k</Key><Size>1</Size></Contents>" * 2),
        (
            "MAX_ENTRIES",
            1,
            WHOLE + "<CommonPrefixes><Prefix>a</Prefix><Prefix>b</Prefix></CommonPrefixes>",
        ),
    ],
)
def test_what_is_larger_than_any_listing_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, inside: str
) -> None:
    for pieces in feedings(listing(inside)):
        assert isinstance(verdict(pieces), ListingPage)
    monkeypatch.setattr(module, limit, value)
    for pieces in feedings(listing(inside)):
        assert verdict(pieces) is LimitExceeded


def test_text_that_nobody_asked_for_is_not_kept() -> None:
    data = listing(WHOLE + "<Other>" + "x" * (2 * module.MAX_TEXT_CHARACTERS) + "</Other>")
    assert read([data]) == ListingPage(())


def test_errors_say_where_and_not_what() -> None:
    with pytest.raises(ProtocolError) as caught:
        read([b"<ListBucketResult><Key>PATIENT</Kay>"])
    assert caught.value.offset is not None
    assert "PATIENT" not in str(caught.value)


@pytest.mark.parametrize("coding", ["utf-7", "shift_jis", "nonsense", "UTF-16", "latin-1"])
def test_a_coding_that_is_declared_changes_nothing(coding: str) -> None:
    data = s3_listing(["é"], is_encoded=False).replace(b"UTF-8", coding.encode())
    assert read([data]).entries[0].key == "é"


def test_an_object_may_be_as_large_as_any_file_system_holds() -> None:
    data = listing(f"{WHOLE}<Contents><Key>k</Key><Size>{'9' * 18}</Size></Contents>")
    assert read([data]).entries[0].byte_count == 10**18 - 1
