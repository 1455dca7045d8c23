"""URLs of objects, and keys on the wire."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from asyncdicom.errors import ConfigError, UnexpectedContent
from asyncdicom.protocol.object_stores.urls import (
    MAX_KEY_BYTES,
    ObjectUrl,
    check_bucket,
    escape_key,
    is_object_url,
    parse_object_url,
    query_of,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("s3://bucket/a/b.dcm", ("s3", "bucket", "a/b.dcm"), id="an object"),
        pytest.param("gs://bucket/a/", ("gs", "bucket", "a/"), id="a prefix"),
        pytest.param("s3://bucket", ("s3", "bucket", ""), id="a bucket"),
        pytest.param("s3://bucket/", ("s3", "bucket", ""), id="a bucket with a slash"),
        pytest.param("s3://bucket//a", ("s3", "bucket", "/a"), id="a key that begins with a slash"),
        pytest.param("S3://bucket/A", ("s3", "bucket", "A"), id="a scheme in upper case"),
        pytest.param("s3://my.b_1-x/k?a#b", ("s3", "my.b_1-x", "k?a#b"), id="? and # are letters"),
        pytest.param("s3://bucket/a/*/?.dcm", ("s3", "bucket", "a/*/?.dcm"), id="a pattern"),
        pytest.param("s3://b/k", ("s3", "b", "k"), id="a short name, as other servers have"),
        pytest.param("s3://bucket/a%20b", ("s3", "bucket", "a%20b"), id="a percent sign is one"),
    ],
)
def test_a_url_has_a_scheme_a_bucket_and_a_key(text: str, parts: tuple[str, str, str]) -> None:
    assert parse_object_url(text) == ObjectUrl(*parts)
    assert is_object_url(text)


@pytest.mark.parametrize(
    "text",
    ["", "bucket/key", "http://host/bucket/key", "s3:", "s3:/bucket", "s3:///key", "idc:", "s3://"],
)
def test_what_names_no_bucket_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_object_url(text)


@pytest.mark.parametrize(
    "bucket",
    ["", "-bucket", "bucket-", "bu cket", "bu@cket", "a..b", "b" * 256, "host:9000", "bücket"],
)
def test_what_no_bucket_is_called_is_refused(bucket: str) -> None:
    with pytest.raises(ConfigError):
        check_bucket(bucket)


def test_a_key_that_no_store_takes_is_refused() -> None:
    assert parse_object_url("s3://bucket/" + "k" * MAX_KEY_BYTES).key == "k" * MAX_KEY_BYTES
    with pytest.raises(ConfigError, match="1024"):
        parse_object_url("s3://bucket/" + "é" * (MAX_KEY_BYTES // 2) + "x")


def test_a_url_is_written_as_it_was_read() -> None:
    assert str(parse_object_url("s3://bucket/a//b c")) == "s3://bucket/a//b c"


def test_other_urls_are_none() -> None:
    assert not is_object_url("https://s3.amazonaws.com/bucket")
    assert not is_object_url("s3")


@pytest.mark.parametrize(
    ("key", "escaped"),
    [
        pytest.param("a/b.dcm", "a/b.dcm", id="plain"),
        pytest.param("a b+c%d", "a%20b%2Bc%25d", id="signs"),
        pytest.param("é", "%C3%A9", id="UTF-8"),
        pytest.param("a//b", "a//b", id="an empty segment"),
        pytest.param("a/../b", "a%2F..%2Fb", id="a segment that libraries would take out"),
        pytest.param("./a", ".%2Fa", id="a dot at the beginning"),
        pytest.param("a/..", "a%2F..", id="dots at the end"),
        pytest.param("a/.b/..c", "a/.b/..c", id="names that begin with dots"),
        pytest.param("it's(1)*!.dcm", "it%27s%281%29%2A%21.dcm", id="what RFC 3986 reserves"),
    ],
)
def test_a_key_travels_as_it_is(key: str, escaped: str) -> None:
    assert escape_key(key) == escaped


@pytest.mark.parametrize("key", [".", "..", "\ud800"])
def test_a_key_that_cannot_travel_is_refused(key: str) -> None:
    with pytest.raises(UnexpectedContent):
        escape_key(key)


KEYS = st.text(st.sampled_from("ab./%+ ?#é~*\\"), min_size=1, max_size=12).filter(
    lambda key: key not in (".", "..")
)


@given(KEYS)
def test_no_library_takes_anything_out_of_a_key(key: str) -> None:
    url = f"http://host/bucket/{escape_key(key)}"
    # yarl normalises as browsers do (RFC 3986 §5.2.4).
    for path in (urlsplit(url).path, URL(url).raw_path):
        assert unquote(path) == f"/bucket/{key}"


@given(st.dictionaries(st.sampled_from(["prefix", "delimiter", "a"]), st.text(max_size=8)))
def test_a_query_is_sorted_and_has_no_plus(values: dict[str, str]) -> None:
    query = query_of(values)
    assert "+" not in query
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    assert {unquote(name): unquote(value) for name, value in pairs} == values
    assert pairs == sorted(pairs)
