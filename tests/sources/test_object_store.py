"""The XML interface of S3: what is asked, and what is made of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncdicom.errors import ConnectionLost, NotFound, ProtocolError, Truncated, UnexpectedContent
from asyncdicom.protocol.object_stores.digests import RunningDigests
from asyncdicom.protocol.object_stores.endpoints import GOOGLE, Endpoint
from asyncdicom.protocol.object_stores.values import ByteSpan
from asyncdicom.sources.object_requests import StoreOptions, StoreWay
from asyncdicom.sources.object_store import S3Store
from tests.protocol.object_stores.listings import s3_listing
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.errors import FetchError
    from asyncdicom.model import Header
    from asyncdicom.ports.http import HttpRequest
    from asyncdicom.ports.objects import ObjectStore

pytestmark = pytest.mark.anyio

OWN = "http://own.test:9000"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"
EMPTY = (("content-length", "0"), ("etag", f'"{MD5}"'))


def store_over(
    answer: Callable[[HttpRequest], ScriptedAnswer | FetchError],
    options: StoreOptions | None = None,
    *,
    endpoint: str = OWN,
) -> tuple[S3Store, ScriptedTransport]:
    transport = ScriptedTransport(answer)
    return S3Store(StoreWay(transport, Endpoint.parse(endpoint)), options), transport


def asked_of(request: HttpRequest) -> dict[str, str]:
    query = urlsplit(request.url).query
    return {name: value for name, (value,) in parse_qs(query, keep_blank_values=True).items()}


async def test_it_is_an_object_store() -> None:
    store, _ = store_over(lambda _: ScriptedAnswer(200))
    port: ObjectStore = store
    assert port.scheme == "s3"
    assert S3Store(store._way, StoreOptions(scheme="gs")).scheme == "gs"


async def test_a_page_is_asked_for() -> None:
    store, transport = store_over(lambda _: ScriptedAnswer(200, (), s3_listing(["a b/1"])))
    page = await store.page("bucket", "a b/", delimiter="/", continuation="t+/=")
    assert [entry.key for entry in page.entries] == ["a b/1"]
    (request,) = transport.requests
    assert request.url.startswith(f"{OWN}/bucket?")
    assert "+" not in request.url
    assert asked_of(request) == {
        "list-type": "2",
        "max-keys": "1000",
        "encoding-type": "url",
        "prefix": "a b/",
        "delimiter": "/",
        "continuation-token": "t+/=",
    }
    assert transport.open_answers == 0


async def test_what_is_not_wanted_is_not_asked_for() -> None:
    store, transport = store_over(lambda _: ScriptedAnswer(200, (), s3_listing()))
    await store.page("bucket", "")
    assert asked_of(transport.requests[0]).keys() == {"list-type", "max-keys", "encoding-type"}


async def test_a_page_may_come_in_pieces() -> None:
    data = s3_listing(["a", "b"])
    pieces = [data[i : i + 7] for i in range(0, len(data), 7)]
    store, _ = store_over(lambda _: ScriptedAnswer(200, (), pieces))
    assert len((await store.page("bucket", "")).entries) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(ScriptedAnswer(200, (), s3_listing(["a"])[:-20]), Truncated, id="cut"),
        pytest.param(
            ScriptedAnswer(200, (), [s3_listing(["a"])[:90], ConnectionLost("x")]),
            ConnectionLost,
            id="broken",
        ),
        pytest.param(
            ScriptedAnswer(200, (), s3_listing(["a/1", "b/1"])), ProtocolError, id="others, too"
        ),
        pytest.param(
            ScriptedAnswer(200, (), s3_listing(token="t")), ProtocolError, id="leads to itself"
        ),
        pytest.param(ScriptedAnswer(200, (), b"<html/>"), ProtocolError, id="no listing"),
        pytest.param(ScriptedAnswer(404), NotFound, id="no such bucket"),
    ],
)
async def test_a_page_is_whole_or_an_error(answer: ScriptedAnswer, kind: type[FetchError]) -> None:
    store, transport = store_over(lambda _: answer)
    with pytest.raises(kind):
        await store.page("bucket", "a/", continuation="t")
    assert transport.open_answers == 0


async def test_an_object_is_asked_about() -> None:
    fields = (*EMPTY, ("last-modified", "Mon, 02 Jan 2023 03:04:05 GMT"))
    store, transport = store_over(lambda _: ScriptedAnswer(200, fields))
    entry = await store.entry("bucket", "a/../b c")
    assert (entry.key, entry.byte_count, entry.etag) == ("a/../b c", 0, MD5)
    assert entry.modified_at == "2023-01-02T03:04:05Z"
    (request,) = transport.requests
    assert (request.method, request.url) == ("HEAD", f"{OWN}/bucket/a%2F..%2Fb%20c")


PARTED = f"{MD5}-3"


def knows_parts(*fields: Header, status_code: int = 206) -> Callable[[HttpRequest], ScriptedAnswer]:
    """Answer HEAD of an object of three parts, and of its first part."""
    return answers_parts({1: ScriptedAnswer(status_code, fields)})


def answers_parts(parts: dict[int, ScriptedAnswer]) -> Callable[[HttpRequest], ScriptedAnswer]:
    """Answer HEAD of an object of 20 bytes in three parts, and of each of its parts."""

    def answer(request: HttpRequest) -> ScriptedAnswer:
        if number := asked_of(request).get("partNumber"):
            return parts.get(int(number), ScriptedAnswer(400))
        return ScriptedAnswer(200, (("content-length", "20"), ("etag", f'"{PARTED}"')))

    return answer


def part_of(size: int, *further: Header) -> ScriptedAnswer:
    """Return the answer to HEAD of a part."""
    fields = (("content-length", str(size)), ("x-amz-mp-parts-count", "3"), *further)
    return ScriptedAnswer(206, fields)


async def test_the_size_of_parts_is_asked_for_where_there_are_several() -> None:
    store, transport = store_over(answers_parts({1: part_of(8), 3: part_of(4)}))
    entry = await store.entry("bucket", "k")
    assert (entry.byte_count, entry.etag, entry.part_bytes) == (20, PARTED, 8)
    for asked in transport.requests[1:]:
        assert (asked.method, dict(asked.headers)["if-match"]) == ("HEAD", f'"{PARTED}"')
    assert transport.open_answers == 0


@pytest.mark.parametrize(
    "parts",
    [
        # 8, 7 and 5 bytes: three parts, as three of at most 8 bytes would be.
        pytest.param({1: part_of(8), 3: part_of(5)}, id="of other sizes"),
        pytest.param({1: part_of(8)}, id="of a size that the store does not tell"),
        pytest.param(
            {
                number: part_of(size, ("x-amz-server-side-encryption", "aws:kms"))
                for number, size in ((1, 8), (3, 4))
            },
            id="encrypted",
        ),
    ],
)
async def test_parts_that_say_nothing_of_the_etag_do_not_accuse_it(
    parts: dict[int, ScriptedAnswer],
) -> None:
    store, transport = store_over(answers_parts(parts))
    entry = await store.entry("bucket", "k")
    assert entry.part_bytes is None
    running = RunningDigests(entry)
    running.update(bytes(20))
    assert not running.verify()
    assert transport.open_answers == 0


async def test_an_etag_of_parts_need_not_be_trusted() -> None:
    answer = answers_parts({1: part_of(8), 3: part_of(4)})
    store, transport = store_over(answer, StoreOptions(trusts_etag=False))
    assert (await store.entry("bucket", "k")).part_bytes is None
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    ("status_code", "fields"),
    [
        pytest.param(200, (("content-length", "20"),), id="all of it"),
        pytest.param(206, (("x-amz-mp-parts-count", "3"),), id="no size"),
        pytest.param(400, (), id="a refusal"),
        pytest.param(412, (), id="another version"),
    ],
)
async def test_a_store_need_not_know_of_parts(status_code: int, fields: tuple[Header, ...]) -> None:
    store, transport = store_over(knows_parts(*fields, status_code=status_code))
    assert (await store.entry("bucket", "k")).part_bytes is None
    assert transport.open_answers == 0


@pytest.mark.parametrize("etag", [MD5, f"{MD5}-1", f"{MD5}-0", "odd-3"])
async def test_an_object_of_one_part_is_asked_about_once(etag: str) -> None:
    fields = (("content-length", "20"), ("etag", f'"{etag}"'))
    store, transport = store_over(lambda _: ScriptedAnswer(200, fields))
    await store.entry("bucket", "k")
    assert len(transport.requests) == 1


@pytest.mark.parametrize("status_code", [301, 307, 400])
async def test_the_region_of_an_object_is_found_though_heads_do_not_say_it(
    status_code: int,
) -> None:
    def answer(request: HttpRequest) -> ScriptedAnswer:
        if "eu-west-1" in request.url:
            return ScriptedAnswer(200, EMPTY)
        text = b"<Error><Code>x</Code><Region>eu-west-1</Region></Error>"
        return ScriptedAnswer(status_code, (), text if request.method == "GET" else b"")

    transport = ScriptedTransport(answer)
    store = S3Store(StoreWay(transport, Endpoint.of_aws("us-east-1")))
    assert (await store.entry("bucket", "k")).etag == MD5
    await store.entry("bucket", "k")
    assert [request.method for request in transport.requests] == ["HEAD", "GET", "GET", "HEAD"]
    assert transport.open_answers == 0


async def test_an_object_that_is_not_there_is_not_asked_for_again() -> None:
    store, transport = store_over(lambda _: ScriptedAnswer(404))
    with pytest.raises(NotFound):
        await store.entry("bucket", "k")
    assert len(transport.requests) == 1


async def test_an_object_is_fetched_and_proven() -> None:
    store, transport = store_over(lambda _: ScriptedAnswer(200, EMPTY))
    async with store.fetch("bucket", "k") as stream:
        assert RunningDigests(stream.entry).verify()
    fields = dict(transport.requests[0].headers)
    assert fields == {"accept-encoding": "identity", "x-amz-checksum-mode": "ENABLED"}


async def test_a_span_of_a_version_is_fetched() -> None:
    answer = ScriptedAnswer(
        206,
        (("content-length", "2"), ("content-range", "bytes 2-3/9"), ("etag", f'"{MD5}"')),
        b"cd",
    )
    store, transport = store_over(lambda _: answer)
    async with store.fetch("bucket", "k", span=ByteSpan(2, 3), etag=MD5) as stream:
        assert stream.first_byte == 2
    fields = dict(transport.requests[0].headers)
    assert (fields["range"], fields["if-match"]) == ("bytes=2-3", f'"{MD5}"')
    # A checksum would be that of the span, or of a part that it happens to be.
    assert "x-amz-checksum-mode" not in fields


async def test_who_pays_says_so_with_every_request() -> None:
    options = StoreOptions(pays=True, further_headers=(("x-site", "a"),))
    store, transport = store_over(lambda _: ScriptedAnswer(200, EMPTY, s3_listing()), options)
    await store.page("bucket", "")
    await store.entry("bucket", "k")
    async with store.fetch("bucket", "k"):
        pass
    for request in transport.requests:
        fields = dict(request.headers)
        assert (fields["x-amz-request-payer"], fields["x-site"]) == ("requester", "a")


async def test_an_etag_need_not_be_trusted() -> None:
    store, _ = store_over(lambda _: ScriptedAnswer(200, EMPTY), StoreOptions(trusts_etag=False))
    async with store.fetch("bucket", "k") as stream:
        assert stream.entry.digests == ()


async def test_google_is_told_that_we_could_inflate() -> None:
    store, transport = store_over(lambda _: ScriptedAnswer(200, EMPTY), endpoint=GOOGLE)
    async with store.fetch("bucket", "k"):
        pass
    assert dict(transport.requests[0].headers) == {"accept-encoding": "gzip"}


async def test_a_key_that_cannot_travel_is_refused() -> None:
    store, transport = store_over(lambda _: ScriptedAnswer(200, EMPTY))
    with pytest.raises(UnexpectedContent):
        store.fetch("bucket", "..")
    with pytest.raises(UnexpectedContent):
        await store.entry("bucket", ".")
    assert transport.requests == []
