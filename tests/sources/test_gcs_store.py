"""The JSON interface of Google Cloud Storage: what is asked, and what is made of the answers."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncdicom.errors import (
    LimitExceeded,
    NotFound,
    ObjectChanged,
    ProtocolError,
    Throttled,
    Truncated,
    UnexpectedContent,
)
from asyncdicom.protocol.object_stores.digests import RunningDigests
from asyncdicom.protocol.object_stores.endpoints import GOOGLE, AddressingStyle, Endpoint
from asyncdicom.protocol.object_stores.values import ByteSpan
from asyncdicom.sources import gcs_store as module
from asyncdicom.sources.gcs_store import JSON_PATH, GcsStore
from asyncdicom.sources.object_requests import StoreOptions, StoreWay
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.errors import FetchError
    from asyncdicom.ports.http import HttpRequest
    from asyncdicom.ports.objects import ObjectStore

pytestmark = pytest.mark.anyio

BUCKET = f"{GOOGLE}/storage/v1/b/bucket"
DATA = b"abcdef"
ITEM = {"name": "a/b c", "size": "6", "generation": "5", "updated": "2023-01-02T03:04:05Z"}


def store_over(
    answer: Callable[[HttpRequest], ScriptedAnswer | FetchError],
    options: StoreOptions | None = None,
) -> tuple[GcsStore, ScriptedTransport]:
    transport = ScriptedTransport(answer)
    endpoint = Endpoint.parse(GOOGLE + JSON_PATH, style=AddressingStyle.PATH)
    return GcsStore(StoreWay(transport, endpoint), options), transport


def in_json(**fields: Any) -> ScriptedAnswer:
    return ScriptedAnswer(200, (), json.dumps(fields).encode())


def media(data: bytes = DATA, *, generation: str = "5") -> ScriptedAnswer:
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    fields = (
        ("content-length", str(len(data))),
        ("x-goog-hash", f"md5={md5}"),
        ("x-goog-generation", generation),
        ("etag", '"CAE="'),
    )
    return ScriptedAnswer(200, fields, data)


def asked_of(request: HttpRequest) -> dict[str, str]:
    query = urlsplit(request.url).query
    return {name: value for name, (value,) in parse_qs(query, keep_blank_values=True).items()}


async def test_it_is_an_object_store() -> None:
    store, _ = store_over(lambda _: in_json())
    port: ObjectStore = store
    assert port.scheme == "gs"


async def test_a_page_is_asked_for() -> None:
    store, transport = store_over(lambda _: in_json(items=[ITEM], nextPageToken="u"))
    page = await store.page("bucket", "a/b ", delimiter="/", continuation="t")
    assert (page.entries[0].key, page.entries[0].etag, page.continuation) == ("a/b c", "5", "u")
    (request,) = transport.requests
    assert request.url.startswith(f"{BUCKET}/o?")
    asked = asked_of(request)
    assert asked.pop("fields").startswith("kind,nextPageToken,prefixes,items(name,size,")
    assert asked == {"maxResults": "1000", "prefix": "a/b ", "delimiter": "/", "pageToken": "t"}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(ScriptedAnswer(200, (), b'{"items": ['), Truncated, id="cut"),
        pytest.param(in_json(items=[ITEM | {"name": "b"}]), ProtocolError, id="others, too"),
        pytest.param(in_json(nextPageToken="t"), ProtocolError, id="leads to itself"),
        pytest.param(in_json(items=5), ProtocolError, id="no listing"),
        pytest.param(ScriptedAnswer(404), NotFound, id="no such bucket"),
    ],
)
async def test_a_page_is_whole_or_an_error(answer: ScriptedAnswer, kind: type[FetchError]) -> None:
    store, transport = store_over(lambda _: answer)
    with pytest.raises(kind):
        await store.page("bucket", "a/", continuation="t")
    assert transport.open_answers == 0


async def test_an_object_is_asked_about() -> None:
    store, transport = store_over(lambda _: in_json(**ITEM))
    entry = await store.entry("bucket", "a/b c")
    assert (entry.byte_count, entry.etag) == (6, "5")
    (request,) = transport.requests
    assert request.url.startswith(f"{BUCKET}/o/a%2Fb%20c?fields=")


async def test_what_is_said_of_another_object_is_refused() -> None:
    store, _ = store_over(lambda _: in_json(**ITEM))
    with pytest.raises(UnexpectedContent):
        await store.entry("bucket", "a")


async def test_what_is_said_of_an_object_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RESOURCE_BYTES", 10)
    store, transport = store_over(lambda _: in_json(**ITEM))
    with pytest.raises(LimitExceeded):
        await store.entry("bucket", "a/b c")
    assert transport.open_answers == 0


async def test_an_object_is_fetched_and_proven() -> None:
    store, transport = store_over(
        lambda _: media(), StoreOptions("gs", further_headers=(("x-goog-user-project", "p"),))
    )
    async with store.fetch("bucket", "a/b c") as stream:
        digests = RunningDigests(stream.entry)
        digests.update(await stream.read())
        assert digests.verify()
        assert stream.entry.etag == "5"
    (request,) = transport.requests
    assert request.url == f"{BUCKET}/o/a%2Fb%20c?alt=media"
    assert dict(request.headers) == {"accept-encoding": "gzip", "x-goog-user-project": "p"}


async def test_a_span_of_a_generation_is_fetched() -> None:
    fields = (("content-length", "2"), ("content-range", "bytes 2-3/6"), ("x-goog-generation", "5"))
    store, transport = store_over(lambda _: ScriptedAnswer(206, fields, b"cd"))
    async with store.fetch("bucket", "k", span=ByteSpan(2, 3), etag="5") as stream:
        assert stream.first_byte == 2
    (request,) = transport.requests
    assert request.url == f"{BUCKET}/o/k?alt=media&ifGenerationMatch=5"
    assert dict(request.headers)["range"] == "bytes=2-3"


async def test_another_generation_is_another_object() -> None:
    answers = iter([ScriptedAnswer(412), media(generation="6")])
    store, transport = store_over(lambda _: next(answers))
    for _ in range(2):
        with pytest.raises(ObjectChanged):
            async with store.fetch("bucket", "k", etag="5"):
                pass
    assert transport.open_answers == 0


@pytest.mark.parametrize("key", [".", "..", "\ud800"])
async def test_a_key_that_cannot_travel_is_refused(key: str) -> None:
    store, _ = store_over(lambda _: media())
    with pytest.raises(UnexpectedContent):
        store.fetch("bucket", key)


async def test_a_limit_of_google_is_patience() -> None:
    body = json.dumps({"error": {"errors": [{"reason": "rateLimitExceeded"}]}}).encode()
    store, _ = store_over(lambda _: ScriptedAnswer(403, (), body))
    with pytest.raises(Throttled):
        await store.page("bucket", "")
