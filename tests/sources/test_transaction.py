"""One request and its answer: read to the end, decoded, judged, timed and paced."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import pytest

from asyncdicom.errors import (
    ConnectionLost,
    Incomplete,
    NotFound,
    ProtocolError,
    Throttled,
    UsageError,
)
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.policy.pacing import Pacer
from asyncdicom.ports.http import HttpRequest
from asyncdicom.sources.transaction import Transaction
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

if TYPE_CHECKING:
    from asyncdicom.errors import FetchError

pytestmark = pytest.mark.anyio

METADATA = Target(Resource.METADATA, Uid("1"))
RENDERED = Target(Resource.RENDERED, Uid("1"))
GZIP = ("Content-Encoding", "gzip")


def transaction_of(
    answer: ScriptedAnswer | FetchError, target: Target = METADATA, pacer: Pacer | None = None
) -> Transaction:
    transport = ScriptedTransport(lambda _: answer)
    return Transaction(transport, HttpRequest("http://a.test/"), target, pacer=pacer)


async def payload_of(transaction: Transaction) -> bytes:
    content = b""
    async with transaction:
        while data := await transaction.read():
            content += data
        assert await transaction.read() == b"", "the end stays the end"
    return content


async def test_the_payload_is_read_to_its_end() -> None:
    transaction = transaction_of(ScriptedAnswer(200, (), [b"a", b"bc"]))
    assert await payload_of(transaction) == b"abc"
    assert transaction.bytes_downloaded == 3
    assert 0 <= transaction.first_byte_s <= transaction.last_byte_s


@pytest.mark.parametrize("size_bytes", [1, 5, 10_000])
async def test_a_content_coding_is_taken_off_and_still_counted(size_bytes: int) -> None:
    body = gzip.compress(b"metadata " * 500)
    pieces = [body[at : at + size_bytes] for at in range(0, len(body), size_bytes)]
    transaction = transaction_of(ScriptedAnswer(200, (GZIP,), pieces))
    assert await payload_of(transaction) == b"metadata " * 500
    assert transaction.bytes_downloaded == len(body)


async def test_a_content_coding_that_was_cut_is_an_error() -> None:
    body = gzip.compress(b"metadata " * 500)[:-4]
    with pytest.raises(ProtocolError):
        await payload_of(transaction_of(ScriptedAnswer(200, (GZIP,), body)))


async def test_a_content_coding_of_an_image_is_taken_off_as_well() -> None:
    answer = ScriptedAnswer(200, (GZIP,), gzip.compress(b"image"))
    assert await payload_of(transaction_of(answer, RENDERED)) == b"image"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (ScriptedAnswer(404), NotFound),
        (ScriptedAnswer(206), Incomplete),
        (ScriptedAnswer(503), Throttled),
    ],
)
async def test_a_status_is_judged(answer: ScriptedAnswer, kind: type[FetchError]) -> None:
    async with transaction_of(answer) as transaction:
        with pytest.raises(kind):
            transaction.judge()


async def test_the_pause_a_server_asks_for_is_heard() -> None:
    answer = ScriptedAnswer(429, (("Retry-After", "7"),))
    async with transaction_of(answer) as transaction:
        with pytest.raises(Throttled) as caught:
            transaction.judge()
    assert caught.value.retry_after_s == 7.0


async def test_200_is_no_refusal() -> None:
    async with transaction_of(ScriptedAnswer(200)) as transaction:
        transaction.judge()


async def test_an_answer_that_never_came_is_an_error() -> None:
    transaction = transaction_of(ConnectionLost("reset"))
    with pytest.raises(ConnectionLost):
        await transaction.__aenter__()
    assert not transaction.has_answer


async def test_what_was_not_begun_has_no_answer() -> None:
    transaction = transaction_of(ScriptedAnswer(200))
    with pytest.raises(UsageError):
        _ = transaction.response
    with pytest.raises(UsageError):
        await transaction.__aexit__(None, None, None)


async def test_bytes_are_paced() -> None:
    loop = asyncio.get_running_loop()
    # 1,000 bytes/s with an allowance of a quarter of a second: 500 bytes take 0.25 s.
    answer = ScriptedAnswer(200, (), [b"x" * 100] * 5)
    begun_s = loop.time()
    await payload_of(transaction_of(answer, pacer=Pacer(1000)))
    assert 0.2 <= loop.time() - begun_s < 15


@pytest.mark.parametrize(
    ("headers", "shows"),
    [
        pytest.param((("content-type", "multipart/related; boundary=b"),), True, id="multipart"),
        pytest.param((("content-length", "3"),), True, id="a length"),
        pytest.param((("transfer-encoding", "chunked"),), True, id="chunks"),
        pytest.param((("Transfer-Encoding", "gzip, Chunked"),), True, id="chunks of a coding"),
        pytest.param(
            (("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")), True, id="two fields"
        ),
        pytest.param((("transfer-encoding", "identity"),), False, id="a coding without an end"),
        pytest.param((("transfer-encoding", "chunked, gzip"),), False, id="chunks inside"),
        pytest.param(
            (("transfer-encoding", "identity"), ("content-length", "3")),
            False,
            id="a length that does not count",
        ),
        pytest.param((("content-type", "image/jpeg"),), False, id="nothing"),
    ],
)
async def test_some_answers_show_their_end(
    *, headers: tuple[tuple[str, str], ...], shows: bool
) -> None:
    async with transaction_of(ScriptedAnswer(200, headers)) as transaction:
        assert transaction.shows_its_end is shows
