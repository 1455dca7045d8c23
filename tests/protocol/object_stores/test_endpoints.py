"""Where a bucket answers."""

from __future__ import annotations

import pytest

from asyncdicom.errors import ConfigError
from asyncdicom.protocol.object_stores.endpoints import (
    GOOGLE,
    AddressingStyle,
    Endpoint,
    endpoint_in,
    region_in,
)

OWN = "http://127.0.0.1:9000"
PATH, VIRTUAL = AddressingStyle.PATH, AddressingStyle.VIRTUAL


@pytest.mark.parametrize(
    ("endpoint", "bucket", "url"),
    [
        pytest.param(
            Endpoint.of_aws("us-east-1"),
            "bucket",
            "https://bucket.s3.us-east-1.amazonaws.com",
            id="Amazon: in the host",
        ),
        pytest.param(
            Endpoint.of_aws("eu-central-1"),
            "my.bucket",
            "https://s3.eu-central-1.amazonaws.com/my.bucket",
            id="a dot that no certificate covers",
        ),
        pytest.param(
            Endpoint.of_aws("us-east-1"),
            "Old_Bucket",
            "https://s3.us-east-1.amazonaws.com/Old_Bucket",
            id="what no host is called",
        ),
        pytest.param(
            Endpoint.of_aws("us-east-1", PATH),
            "bucket",
            "https://s3.us-east-1.amazonaws.com/bucket",
            id="Amazon: in the path if asked to",
        ),
        pytest.param(
            Endpoint.of_aws("cn-north-1"),
            "bucket",
            "https://bucket.s3.cn-north-1.amazonaws.com.cn",
            id="China",
        ),
        pytest.param(Endpoint.parse(OWN), "bucket", f"{OWN}/bucket", id="others: in the path"),
        pytest.param(
            Endpoint.parse("http://localhost:9000", style=VIRTUAL),
            "bucket",
            "http://bucket.localhost:9000",
            id="others: in the host if asked to",
        ),
        pytest.param(Endpoint.parse(GOOGLE), "bucket", f"{GOOGLE}/bucket", id="Google"),
        pytest.param(
            Endpoint.parse("https://gate.test/s3/"), "b-1", "https://gate.test/s3/b-1", id="a path"
        ),
    ],
)
def test_a_bucket_has_a_place(endpoint: Endpoint, bucket: str, url: str) -> None:
    assert endpoint.url_of(bucket) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:9000",
        "s3://bucket",
        "http://",
        "http://host:port",
        "http://me:secret@host",
        "http://host?x=1",
        "http://host#x",
        "http://[::1",
    ],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Endpoint.parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["HTTP://Host:80/", "http://[::1]:9000"])
def test_an_endpoint_is_kept_as_it_is_sent(text: str) -> None:
    assert Endpoint.parse(text).url == text.lower().rstrip("/")


def test_another_region_of_amazon_has_another_host() -> None:
    moved = Endpoint.of_aws("us-east-1", PATH).in_region("eu-west-1")
    assert moved == Endpoint.of_aws("eu-west-1", PATH)


def test_another_region_of_others_has_the_same_host() -> None:
    moved = Endpoint.parse(OWN).in_region("eu-west-1")
    assert (moved.url, moved.region) == (OWN, "eu-west-1")


def test_a_name_that_ends_like_amazon_is_not_amazon() -> None:
    assert not Endpoint.parse("https://evilamazonaws.com").is_amazon
    assert not Endpoint.parse("https://amazonaws.com.evil.test").is_amazon
    assert Endpoint.parse("https://s3.amazonaws.com").is_amazon


def test_google_is_known_by_its_endpoint() -> None:
    assert Endpoint.parse("https://storage.googleapis.com/").is_google
    assert not Endpoint.parse("http://storage.googleapis.com").is_google
    assert not Endpoint.of_aws("us-east-1").is_google


def test_the_endpoint_for_s3_goes_before_the_general_one() -> None:
    environment = {"AWS_ENDPOINT_URL": "http://a", "S3_ENDPOINT_URL": "http://b"}
    assert endpoint_in(environment) == "http://a"
    assert endpoint_in(environment | {"AWS_ENDPOINT_URL_S3": "http://c"}) == "http://c"
    assert endpoint_in({"AWS_ENDPOINT_URL": "", "S3_ENDPOINT_URL": "http://b"}) == "http://b"
    assert endpoint_in({}) is None


def test_the_region_is_in_the_environment() -> None:
    assert region_in({"AWS_DEFAULT_REGION": "a", "AWS_REGION": "b"}) == "b"
    assert region_in({"AWS_DEFAULT_REGION": "a"}) == "a"
    assert region_in({}) is None
