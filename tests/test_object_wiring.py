"""From a URL and options to an object store."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from asyncdicom import object_wiring
from asyncdicom.errors import ConfigError, NotFound, Unauthorized
from asyncdicom.object_wiring import endpoint_of, open_object_store
from asyncdicom.protocol.object_stores.endpoints import ProfileSettings
from asyncdicom.sources.gcs_store import GcsStore
from asyncdicom.sources.object_store import S3Store
from tests.support.origin import Answer, Received, Step, open_origin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.anyio

NOBODY = {"no_sign_request": True}


@pytest.mark.parametrize(
    ("scheme", "options", "environment", "expected"),
    [
        pytest.param("s3", {}, {}, ("https://s3.us-east-1.amazonaws.com", "us-east-1"), id="S3"),
        pytest.param(
            "s3",
            {},
            {"AWS_REGION": "eu-west-1"},
            ("https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
            id="a region of the environment",
        ),
        pytest.param(
            "s3",
            {"region": "eu-north-1"},
            {"AWS_REGION": "eu-west-1"},
            ("https://s3.eu-north-1.amazonaws.com", "eu-north-1"),
            id="an option goes before it",
        ),
        pytest.param(
            "s3",
            {},
            {"S3_ENDPOINT_URL": "http://a:9000/"},
            ("http://a:9000", "us-east-1"),
            id="an endpoint of the environment",
        ),
        pytest.param(
            "s3",
            {"endpoint_url": "http://b:9000", "region": "here"},
            {"AWS_ENDPOINT_URL": "http://a:9000"},
            ("http://b:9000", "here"),
            id="an option goes before that, too",
        ),
        pytest.param(
            "gs",
            {},
            {"AWS_ENDPOINT_URL": "http://a:9000", "AWS_REGION": "eu-west-1"},
            ("https://storage.googleapis.com", "auto"),
            id="Google is nothing of Amazon's",
        ),
        pytest.param(
            "gs", {"endpoint_url": "http://b"}, {}, ("http://b", "us-east-1"), id="or an emulator"
        ),
        pytest.param(
            "s3",
            {"endpoint_url": "https://storage.googleapis.com"},
            {},
            ("https://storage.googleapis.com", "auto"),
            id="Google as S3",
        ),
    ],
)
def test_an_endpoint_is_chosen(
    scheme: str,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
    expected: tuple[str, str],
) -> None:
    endpoint = endpoint_of(scheme, options, environment)
    assert (endpoint.url, endpoint.region) == expected


def test_a_profile_comes_last() -> None:
    profile = ProfileSettings("eu-west-1", "http://p:9000", "virtual")
    endpoint = endpoint_of("s3", {"addressing_style": "auto"}, {}, profile)
    assert (endpoint.url, endpoint.region) == ("http://p:9000", "eu-west-1")
    assert endpoint.url_of("b") == "http://b.p:9000"
    named = endpoint_of(
        "s3", {"addressing_style": "path"}, {"AWS_ENDPOINT_URL": "http://a"}, profile
    )
    assert named.url_of("b") == "http://a/b"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        pytest.param("https://host/bucket", NOBODY, id="no URL of a store"),
        pytest.param("s3://", NOBODY, id="no bucket"),
        pytest.param("s3://b%", NOBODY, id="no name of a bucket"),
        pytest.param("s3://bucket", NOBODY | {"endpoint_url": "host:9000"}, id="no endpoint"),
        pytest.param("s3://bucket", NOBODY | {"addressing_style": "x"}, id="no addressing style"),
        pytest.param("s3://bucket", NOBODY | {"bearer": "t"}, id="anonymous, and somebody"),
        pytest.param("s3://bucket", {"bearer": "t", "user": "a:b"}, id="somebody twice"),
        pytest.param("gs://bucket", {"request_payer": True}, id="who pays, but not which project"),
        pytest.param("s3://bucket", NOBODY | {"bandwidth": "x"}, id="no bandwidth"),
        pytest.param("s3://bucket", NOBODY | {"header": ["x"]}, id="no field"),
        pytest.param("s3://bucket", {"profile": "nobody"}, id="no profile"),
        pytest.param("s3://bucket", {}, id="no credentials"),
        pytest.param("s3://bucket", NOBODY | {"http_engine": "x"}, id="no engine"),
    ],
)
async def test_what_cannot_be_used_is_refused(url: str, options: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError):
        async with open_object_store(url, options):
            pass


async def test_a_library_that_is_missing_has_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_wiring, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        async with open_object_store("s3://bucket", {}):
            pass
    assert "pip install 'asyncdicom[s3]'" in str(caught.value)
    assert "--no-sign-request" in str(caught.value)
    async with open_object_store("s3://bucket", NOBODY) as store:
        assert store.scheme == "s3"


@pytest.mark.parametrize(
    ("url", "options", "kind"),
    [
        ("s3://bucket", NOBODY, S3Store),
        ("gs://bucket", NOBODY, S3Store),
        ("gs://bucket", {}, S3Store),
        ("gs://bucket", {"bearer": "t"}, GcsStore),
        ("gs://bucket", {"gcs_json": True}, GcsStore),
        ("gs://bucket", {"bearer": "t", "gcs_json": False}, S3Store),
        ("s3://bucket", {"bearer": "t"}, S3Store),
    ],
)
async def test_an_interface_is_chosen(url: str, options: Mapping[str, Any], kind: type) -> None:
    async with open_object_store(url, options) as store:
        assert type(store) is kind
        assert store.scheme == url[:2]


async def seen(options: dict[str, Any], scheme: str = "s3", status: int = 404) -> Received:
    """Ask a server for an object; return the request as it came."""
    async with open_origin() as origin:
        paths = ("/bucket/k", "/storage/v1/b/bucket/o/k")
        for path in paths:
            origin.serve(path, Answer(status))
        settings = {"endpoint_url": origin.url("")} | options
        async with open_object_store(f"{scheme}://bucket", settings) as store:
            with pytest.raises((NotFound, Unauthorized)):
                async with store.fetch("bucket", "k"):
                    pass
        return origin.requests[0]


async def test_who_is_nobody_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    assert (await seen(NOBODY)).header("authorization") is None
    # Amazon's keys are none for Google, unless a profile was named for it.
    assert (await seen({}, "gs")).header("authorization") is None


async def test_keys_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    request = await seen({"region": "here", "request_payer": True})
    value = request.header("authorization")
    assert value is not None
    assert value.startswith("AWS4-HMAC-SHA256 Credential=KEY/")
    assert "/here/s3/aws4_request" in value
    assert "x-amz-request-payer" in value
    assert "SECRET" not in str(request.headers)


async def test_a_profile_signs_for_google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c").write_text("[hmac]\naws_access_key_id=GOOG\naws_secret_access_key=S\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "c"))
    value = (await seen({"profile": "hmac"}, "gs")).header("authorization")
    assert value is not None
    assert "Credential=GOOG/" in value


async def test_a_profile_may_say_where_and_not_who(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_origin() as origin:
        (tmp_path / "c").write_text(f"[profile p]\nendpoint_url = {origin.url('')}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "c"))
        async with open_object_store("s3://bucket", NOBODY | {"profile": "p"}) as store:
            with pytest.raises(NotFound):
                await store.page("bucket", "")
        assert origin.requests[0].header("authorization") is None


@pytest.mark.parametrize("scheme", ["s3", "gs"])
async def test_a_bearer_token_is_sent(scheme: str) -> None:
    request = await seen({"bearer": "t0ken"}, scheme)
    assert request.header("authorization") == "Bearer t0ken"


async def test_a_token_that_is_refused_is_renewed(tmp_path: Path) -> None:
    counter = tmp_path / "n"
    counter.write_text("")
    script = tmp_path / "token.sh"
    script.write_text(f"#!/bin/sh\nprintf x >> {counter}\necho token$(wc -c < {counter})\n")
    script.chmod(0o755)

    def rule(request: Received) -> Step:
        is_new = request.header("authorization") == "Bearer token2"
        return Answer(200, (), b"abc") if is_new else Answer(401)

    async with open_origin() as origin:
        origin.decide("/storage/v1/b/bucket/o/k", rule)
        options = {"endpoint_url": origin.url(""), "bearer_command": str(script)}
        async with (
            open_object_store("gs://bucket", options) as store,
            store.fetch("bucket", "k") as answer,
        ):
            assert bytes(await answer.read()) == b"abc"
        assert len(origin.requests) == 2


async def test_further_fields_are_sent() -> None:
    request = await seen(NOBODY | {"header": ["X-Site: A"]})
    assert request.header("x-site") == "A"


def test_anonymous_access_imports_no_library_of_amazon_s() -> None:
    program = """if True:
        import asyncio, sys
        from asyncdicom.object_wiring import open_object_store

        async def main():
            async with open_object_store("s3://bucket", {"no_sign_request": True}):
                pass
            async with open_object_store("gs://bucket", {}):
                pass

        asyncio.run(main())
        foreign = {"aiobotocore", "botocore", "aiohttp", "httpx", "duckdb", "pydicom"}
        print(sorted(foreign & set(sys.modules)))
        """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
