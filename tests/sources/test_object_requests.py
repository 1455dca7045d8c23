"""Requests to object stores: regions, credentials, patience, bandwidth."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import (
    ConfigError,
    ConnectionLost,
    FetchError,
    NotFound,
    ObjectChanged,
    OriginError,
    ProtocolError,
    RedirectRefused,
    Throttled,
    Truncated,
    Unauthorized,
)
from asyncdicom.protocol.object_stores.endpoints import AddressingStyle, Endpoint
from asyncdicom.protocol.object_stores.heads import entry_of_head
from asyncdicom.protocol.object_stores.values import ByteSpan
from asyncdicom.sources.object_requests import (
    ListRequest,
    ObjectFetch,
    ObjectRequest,
    StoreWay,
)
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncdicom.model import Header
    from asyncdicom.ports.http import HttpRequest

pytestmark = pytest.mark.anyio

AWS = Endpoint.of_aws("us-east-1")
OWN = Endpoint.parse("http://own.test:9000")


class NumberedSigner:
    """Signs with a number; each renewal counts on, as often as there are numbers."""

    def __init__(self, numbers: int = 1) -> None:
        self.number = 1
        self.numbers = numbers
        self.regions: list[str] = []

    async def signed(self, request: HttpRequest, *, region: str) -> tuple[Header, ...]:
        self.regions.append(region)
        return (*request.headers, ("authorization", str(self.number)))

    async def renew(self, rejected: tuple[Header, ...]) -> bool:
        assert dict(rejected)["authorization"] == str(self.number)
        self.number = min(self.number + 1, self.numbers)
        return self.number != int(dict(rejected)["authorization"])


def refusing(code: str, status_code: int = 400, *fields: Header) -> ScriptedAnswer:
    return ScriptedAnswer(status_code, fields, f"<Error><Code>{code}</Code></Error>".encode())


def way_over(
    answer: Callable[[HttpRequest], ScriptedAnswer | FetchError],
    endpoint: Endpoint = OWN,
    signer: NumberedSigner | None = None,
    *,
    bytes_per_s: float | None = None,
) -> tuple[StoreWay, ScriptedTransport]:
    transport = ScriptedTransport(answer)
    return StoreWay(transport, endpoint, signer=signer, bytes_per_s=bytes_per_s), transport


@pytest.mark.parametrize(
    "bucket",
    [
        pytest.param("localhost:8080?", id="another host, and the rest as its query"),
        pytest.param("localhost#", id="another host, and the rest as a fragment"),
        pytest.param("user@localhost", id="somebody at another host"),
        pytest.param("..", id="upwards"),
    ],
)
async def test_what_no_bucket_is_called_leads_nowhere(bucket: str) -> None:
    way, transport = way_over(lambda _: ScriptedAnswer(200), AWS)
    with pytest.raises(ConfigError, match="not the name of a bucket"):
        await ask(way, bucket)
    assert transport.requests == []


async def ask(way: StoreWay, bucket: str = "bucket", tail: str = "/key") -> int:
    async with ObjectRequest(way, bucket, tail, ()) as response:
        return response.status_code


def fetch(way: StoreWay, span: ByteSpan | None = None, etag: str | None = None) -> ObjectFetch:
    return ObjectFetch(ObjectRequest(way, "bucket", "/key", ()), "key", span, etag, entry_of_head)


async def body(fetched: ObjectFetch) -> bytes:
    data = b""
    async with fetched as stream:
        while piece := await stream.read():
            data += piece
    return data


def where(*regions: str) -> Callable[[HttpRequest], ScriptedAnswer]:
    """Answer as a bucket of the last region, which the others know of."""
    *_, last = regions

    def answer(request: HttpRequest) -> ScriptedAnswer:
        if last in request.url:
            return ScriptedAnswer(200)
        return refusing("PermanentRedirect", 301, ("x-amz-bucket-region", last))

    return answer


async def test_a_request_goes_to_its_bucket() -> None:
    way, transport = way_over(lambda _: ScriptedAnswer(206))
    assert await ask(way) == 206
    (request,) = transport.requests
    assert (request.url, request.method) == ("http://own.test:9000/bucket/key", "GET")
    assert transport.open_answers == 0


async def test_the_region_of_a_bucket_is_learnt_once() -> None:
    way, transport = way_over(where("eu-west-1"), AWS)
    assert await ask(way) == 200
    assert await ask(way) == 200
    assert [request.url for request in transport.requests] == [
        "https://bucket.s3.us-east-1.amazonaws.com/key",
        "https://bucket.s3.eu-west-1.amazonaws.com/key",
        "https://bucket.s3.eu-west-1.amazonaws.com/key",
    ]
    assert transport.open_answers == 0


async def test_other_buckets_stay_where_they_are() -> None:
    way, transport = way_over(where("eu-west-1"), AWS)
    await ask(way)
    transport._answer = lambda _: ScriptedAnswer(200)
    await ask(way, "other")
    assert transport.requests[-1].url == "https://other.s3.us-east-1.amazonaws.com/key"


async def test_a_request_is_signed_anew_for_the_region() -> None:
    signer = NumberedSigner()
    way, _ = way_over(where("eu-west-1"), AWS, signer)
    await ask(way)
    assert signer.regions == ["us-east-1", "eu-west-1"]


async def test_a_signature_for_the_wrong_region_tells_the_right_one() -> None:
    signer = NumberedSigner()

    def answer(_: HttpRequest) -> ScriptedAnswer:
        if signer.regions[-1] == "eu-west-1":
            return ScriptedAnswer(200)
        text = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"
        return ScriptedAnswer(400, (), text)

    way, transport = way_over(answer, OWN, signer)
    assert await ask(way) == 200
    assert {request.url for request in transport.requests} == {"http://own.test:9000/bucket/key"}


async def test_a_store_that_sends_us_in_circles_is_left() -> None:
    regions = iter(["a-1", "b-1", "c-1", "d-1", "e-1"])
    way, transport = way_over(
        lambda _: refusing("PermanentRedirect", 301, ("x-amz-bucket-region", next(regions))), AWS
    )
    with pytest.raises(RedirectRefused):
        await ask(way)
    assert len(transport.requests) == 3
    assert transport.open_answers == 0


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((("location", "https://evil.test/bucket/key"),), id="another host"),
        pytest.param((("x-amz-bucket-region", "evil.test/x"),), id="a region that is a host"),
        pytest.param((("x-amz-bucket-region", "us-east-1"),), id="the region it was asked in"),
        pytest.param((), id="nowhere"),
    ],
)
@pytest.mark.parametrize("status_code", [301, 302, 307, 308])
async def test_no_redirect_is_followed(fields: tuple[Header, ...], status_code: int) -> None:
    way, transport = way_over(lambda _: ScriptedAnswer(status_code, fields), AWS, NumberedSigner())
    with pytest.raises(RedirectRefused):
        await ask(way)
    assert len(transport.requests) == 1


async def test_credentials_that_expired_are_renewed_once() -> None:
    signer = NumberedSigner(numbers=2)

    def answer(request: HttpRequest) -> ScriptedAnswer:
        is_new = dict(request.headers)["authorization"] == "2"
        return ScriptedAnswer(200) if is_new else refusing("ExpiredToken", 400)

    way, transport = way_over(answer, OWN, signer)
    assert await ask(way) == 200
    assert len(transport.requests) == 2


@pytest.mark.parametrize(
    "refusal", [refusing("ExpiredToken", 400), ScriptedAnswer(401), refusing("ExpiredToken", 403)]
)
@pytest.mark.parametrize("numbers", [1, 9])
async def test_credentials_that_stay_refused_are_an_error(
    refusal: ScriptedAnswer, numbers: int
) -> None:
    way, transport = way_over(lambda _: refusal, OWN, NumberedSigner(numbers))
    with pytest.raises(Unauthorized):
        await ask(way)
    assert len(transport.requests) == (1 if numbers == 1 else 3)


async def test_who_came_without_credentials_renews_none() -> None:
    way, transport = way_over(lambda _: refusing("AccessDenied", 403))
    with pytest.raises(Unauthorized, match="without credentials the object"):
        await ask(way)
    with pytest.raises(Unauthorized, match="without credentials the bucket"):
        async with ListRequest(way, "bucket", "?list-type=2", ()):
            pass
    assert len(transport.requests) == 2


async def test_a_refusal_is_read_and_left() -> None:
    way, transport = way_over(lambda _: refusing("NoSuchKey", 404))
    with pytest.raises(NotFound, match="NoSuchKey"):
        await ask(way)
    assert transport.open_answers == 0


async def test_a_refusal_that_breaks_is_told_by_its_status() -> None:
    way, transport = way_over(
        lambda _: ScriptedAnswer(404, (), [b"<Error><Code>NoSuch", ConnectionLost("reset")])
    )
    with pytest.raises(NotFound, match="404"):
        await ask(way)
    assert transport.open_answers == 0


async def test_an_endless_refusal_is_not_read_to_its_end() -> None:
    pieces = [b"x" * 8192] * 3 + [ConnectionLost("was read too far")]
    way, _ = way_over(lambda _: ScriptedAnswer(500, (), pieces))
    with pytest.raises(OriginError, match="failed"):
        await ask(way)


async def test_a_connection_that_breaks_is_not_asked_again() -> None:
    way, transport = way_over(lambda _: ConnectionLost("reset"))
    with pytest.raises(ConnectionLost):
        await ask(way)
    assert len(transport.requests) == 1


async def test_a_pause_holds_for_all_requests() -> None:
    answers = iter([refusing("SlowDown", 503, ("retry-after", "0.15")), ScriptedAnswer(200)])
    way, transport = way_over(lambda _: next(answers))
    with pytest.raises(Throttled) as caught:
        await ask(way)
    assert caught.value.retry_after_s == 0.15
    began_s = asyncio.get_running_loop().time()
    assert await ask(way) == 200
    assert asyncio.get_running_loop().time() - began_s > 0.1
    assert len(transport.requests) == 2


async def test_an_absurd_pause_is_capped() -> None:
    way, _ = way_over(lambda _: ScriptedAnswer(503, (("retry-after", "99999999"),)))
    with pytest.raises(Throttled):
        await ask(way)
    assert way.patience.resume_at_s < asyncio.get_running_loop().time() + 301


async def test_without_a_pause_nobody_waits() -> None:
    way, _ = way_over(lambda _: refusing("SlowDown", 503))
    with pytest.raises(Throttled):
        await ask(way)
    assert way.patience.resume_at_s == 0.0


WHOLE = (("content-length", "6"), ("etag", '"e"'))


async def test_the_bytes_of_an_object_come_as_they_are() -> None:
    way, transport = way_over(lambda _: ScriptedAnswer(200, WHOLE, [b"abc", b"def"]))
    async with fetch(way) as stream:
        assert (stream.entry.key, stream.entry.byte_count, stream.first_byte) == ("key", 6, 0)
        assert (await stream.read(), await stream.read(), await stream.read()) == (
            b"abc",
            b"def",
            b"",
        )
    assert transport.open_answers == 0


async def test_a_span_says_where_it_begins() -> None:
    fields = (("content-length", "2"), ("content-range", "bytes 2-3/6"))
    way, _ = way_over(lambda _: ScriptedAnswer(206, fields, b"cd"))
    async with fetch(way, ByteSpan(2, 3)) as stream:
        assert (stream.first_byte, stream.entry.byte_count) == (2, 6)


async def test_an_answer_with_other_bytes_is_left() -> None:
    fields = (("content-length", "2"), ("content-range", "bytes 3-4/6"))
    way, transport = way_over(lambda _: ScriptedAnswer(206, fields, b"de"))
    with pytest.raises(ProtocolError):
        await body(fetch(way, ByteSpan(2, 3)))
    assert transport.open_answers == 0


async def test_a_server_that_does_not_know_if_match_is_found_out() -> None:
    way, transport = way_over(lambda _: ScriptedAnswer(200, WHOLE, b"abcdef"))
    assert await body(fetch(way, etag="e")) == b"abcdef"
    with pytest.raises(ObjectChanged):
        await body(fetch(way, etag="other"))
    assert transport.open_answers == 0


async def test_a_server_without_etags_cannot_be() -> None:
    way, _ = way_over(lambda _: ScriptedAnswer(200, WHOLE[:1], b"abcdef"))
    assert await body(fetch(way, etag="other")) == b"abcdef"


async def test_bytes_come_no_faster_than_the_bandwidth() -> None:
    fields = (("content-length", "2000"),)
    way, _ = way_over(lambda _: ScriptedAnswer(200, fields, [bytes(1000)] * 2), bytes_per_s=4000)
    began_s = asyncio.get_running_loop().time()
    assert len(await body(fetch(way))) == 2000
    assert asyncio.get_running_loop().time() - began_s >= 0.2


def on_the_way(data: bytes, *, stored: int) -> tuple[Header, ...]:
    return (
        ("content-encoding", "gzip"),
        ("content-length", str(len(data))),
        ("x-goog-stored-content-encoding", "identity"),
        ("x-goog-stored-content-length", str(stored)),
    )


async def test_what_was_compressed_on_the_way_only_is_inflated() -> None:
    plain = bytes(5000)
    packed = gzip.compress(plain)
    pieces = [packed[:9], packed[9:20], packed[20:]]
    way, _ = way_over(lambda _: ScriptedAnswer(200, on_the_way(packed, stored=5000), pieces))
    async with fetch(way) as stream:
        assert stream.entry.byte_count == 5000
    assert await body(fetch(way)) == plain


async def test_what_was_compressed_and_cut_is_not_whole() -> None:
    packed = gzip.compress(bytes(5000))[:-9]
    way, _ = way_over(lambda _: ScriptedAnswer(200, on_the_way(packed, stored=5000), packed))
    with pytest.raises(Truncated):
        await body(fetch(way))


async def test_what_is_stored_compressed_stays_so() -> None:
    packed = gzip.compress(bytes(5000))
    fields = (
        ("content-encoding", "gzip"),
        ("content-length", str(len(packed))),
        ("x-goog-stored-content-encoding", "gzip"),
        ("x-goog-stored-content-length", str(len(packed))),
    )
    way, _ = way_over(lambda _: ScriptedAnswer(200, fields, packed))
    assert await body(fetch(way)) == packed


async def test_a_bucket_may_be_in_the_host() -> None:
    endpoint = Endpoint.parse("http://localhost:9000", style=AddressingStyle.VIRTUAL)
    way, transport = way_over(lambda _: ScriptedAnswer(200), endpoint)
    await ask(way)
    assert transport.requests[0].url == "http://bucket.localhost:9000/key"
