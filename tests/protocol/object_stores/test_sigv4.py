"""Signatures: those of botocore, which Amazon accepts, and of the documentation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.protocol.object_stores.sigv4 import SigV4
from asyncdicom.protocol.object_stores.urls import escape_key, query_of

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

HOSTS = st.sampled_from(
    [
        "https://bucket.s3.eu-west-1.amazonaws.com",
        "https://s3.amazonaws.com:443/bucket",
        "http://127.0.0.1:9000/bucket",
        "http://own.test:80/bucket",
        "http://[::1]:9000/bucket",
        "https://own.test:80/bucket",
    ]
)
KEYS = st.text(max_size=9).filter(
    # A path with dots is signed otherwise than it travels; that has its own test.
    lambda key: key.isprintable() and "." not in key
)
QUERIES = st.dictionaries(st.sampled_from(["prefix", "list-type", "p", "a-b", "a"]), KEYS)
HEADERS = st.lists(
    st.sampled_from(
        [
            ("accept-encoding", "identity"),
            ("range", "bytes=0-1"),
            ("if-match", '"e"'),
            ("x-amz-checksum-mode", "ENABLED"),
            ("x-amz-request-payer", "  requester   pays "),
        ]
    ),
    unique=True,
)


def theirs(
    url: str, headers: list[tuple[str, str]], token: str | None, now: datetime
) -> dict[str, str]:
    own = {name: value for name, value in headers if name.startswith("x-amz-")}
    request = AWSRequest("GET", url, headers=own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: now)
        keys = ReadOnlyCredentials(KEY, SECRET, token)
        S3SigV4Auth(keys, "s3", "eu-west-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    host=HOSTS,
    key=KEYS,
    query=QUERIES,
    headers=HEADERS,
    token=st.sampled_from([None, "a token"]),
    days=st.integers(0, 400),
)
def test_a_signature_is_that_of_botocore(  # noqa: PLR0917 -- one for each part of a request
    host: str,
    key: str,
    query: dict[str, str],
    headers: list[tuple[str, str]],
    token: str | None,
    days: int,
) -> None:
    url = f"{host}/{escape_key(key)}"
    url += f"?{query_of(query)}" if query else ""
    now = NOW + timedelta(days=days)
    signer = SigV4(KEY, SECRET, token)
    ours = dict(signer.signed("GET", url, tuple(headers), region="eu-west-1", now_utc=now))
    others = {name: value for name, value in headers if not name.startswith("x-amz-")}
    assert ours == theirs(url, headers, token, now) | others


def test_the_example_of_the_documentation() -> None:
    # "GET Bucket (List Objects)" of "Signature Calculations for the Authorization Header".
    signer = SigV4("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    fields = signer.signed(
        "GET",
        "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
        (),
        region="us-east-1",
        now_utc=datetime(2013, 5, 24, tzinfo=UTC),
    )
    signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    assert dict(fields)["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
    )


def test_a_bucket_may_be_asked_without_a_slash() -> None:
    signer = SigV4(KEY, SECRET)
    one, other = (
        signer.signed("GET", f"https://b.test{path}?a=1", (), region="r", now_utc=NOW)
        for path in ("", "/")
    )
    assert one == other


def test_a_slash_that_travels_escaped_is_signed_as_a_slash() -> None:
    signer = SigV4(KEY, SECRET)
    plain = "http://a.test/b/x/../y?prefix=a%2Fb"
    escaped = "http://a.test/b/x%2F..%2Fy?prefix=a%2Fb"
    other_query = "http://a.test/b/x%2F..%2Fy?prefix=a/b"
    one, two, three = (
        signer.signed("GET", url, (), region="r", now_utc=NOW)
        for url in (plain, escaped, other_query)
    )
    assert one == two != three


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_derived_key_is_that_of_day_and_region(method: str) -> None:
    kept = SigV4(KEY, SECRET)
    for days, region in ((0, "a-1"), (0, "b-1"), (1, "b-1"), (0, "a-1")):
        now = NOW + timedelta(days=days)
        fresh = SigV4(KEY, SECRET)
        expected = fresh.signed(method, "https://b.test/k", (), region=region, now_utc=now)
        assert kept.signed(method, "https://b.test/k", (), region=region, now_utc=now) == expected


def test_no_key_is_shown() -> None:
    assert repr(SigV4(KEY, SECRET, "a token")) == "SigV4(<redacted>)"
