"""The record beside a dumped file: its keys are a promise, and it tells no secrets."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from asyncdicom.errors import Truncated
from asyncdicom.jobs.payload import PartRecord
from asyncdicom.jobs.records import build_record
from asyncdicom.model import Resource, Target, Uid
from asyncdicom.ports.http import HttpRequest
from asyncdicom.sources.transaction import Transaction
from tests.support.scripted import ScriptedAnswer, ScriptedTransport

pytestmark = pytest.mark.anyio

TARGET = Target(Resource.FRAME, Uid("1"), Uid("2"), Uid("3"), 1)
FIELDS = (
    ("Content-Type", "multipart/related; boundary=b"),
    ("Warning", '299 - "a"'),
    ("Warning", '299 - "b"'),
    ("Set-Cookie", "session=secret"),
)
PART = PartRecord((("Content-Type", "application/octet-stream"),), 97, 3, "ab")


async def record(
    *parts: PartRecord, url: str = "http://a.test/x", sends_credentials: bool = False, **more: Any
) -> dict[str, Any]:
    transport = ScriptedTransport(lambda _: ScriptedAnswer(200, FIELDS, b"body", http_version="2"))
    request = HttpRequest(url, headers=(("accept", "*/*"), ("X-Api-Key", "secret")))
    transaction = Transaction(transport, request, TARGET, sends_credentials=sends_credentials)
    async with transaction:
        while await transaction.read():
            pass
    found: dict[str, Any] = orjson.loads(
        build_record(transaction, parts, attempts=2, waiting_s=0.0015, **more)
    )
    return found


async def test_the_keys_and_units_are_those_of_the_design() -> None:
    found = await record(PART)
    assert list(found)[:4] == ["url", "request", "response", "multipart"]
    assert found["response"] | {"headers": 0} == {
        "headers": 0,
        "statusCode": 200,
        "httpVersion": "2",
        "timeWaitingInMS": 1.5,
        "timeToFirstByteInMS": found["response"]["timeToFirstByteInMS"],
        "timeToLastByteInMS": found["response"]["timeToLastByteInMS"],
        "bytesDownloaded": 4,
    }
    assert found["multipart"] == [
        {
            "headers": {"Content-Type": "application/octet-stream"},
            "offset": 97,
            "length": 3,
            "sha256": "ab",
        }
    ]
    assert (found["attempts"], found["error"], found["sha256"]) == (2, None, None)


async def test_repeated_fields_are_a_list() -> None:
    headers = (await record(PART))["response"]["headers"]
    assert headers["Warning"] == ['299 - "a"', '299 - "b"']


async def test_a_payload_without_wrapper_has_a_digest_of_its_own() -> None:
    found = await record(PartRecord((), 0, 4, "cd"))
    assert (found["multipart"], found["sha256"]) == ([], "cd")


async def test_credentials_are_replaced() -> None:
    text = orjson.dumps(await record(PART, sends_credentials=True)).decode()
    assert '"authorization":"<redacted>"' in text
    assert "session=secret" not in text


async def test_secrets_in_a_url_are_replaced() -> None:
    found = await record(PART, url="http://a.test/x?token=secret&PatientID=Doe")
    assert "secret" not in found["url"]
    assert found["url"].startswith("http://a.test/x")


async def test_an_error_is_told_by_name_and_in_words() -> None:
    found = await record(error=Truncated("cut", offset=7))
    assert found["error"] == {"reason": "truncated", "message": "cut at byte 7"}


async def test_a_request_without_answer_has_no_response() -> None:
    transport = ScriptedTransport(lambda _: ScriptedAnswer())
    transaction = Transaction(transport, HttpRequest("http://a.test/x"), TARGET)
    found = orjson.loads(build_record(transaction, (), attempts=1, waiting_s=0.0))
    assert (found["response"], found["multipart"], found["sha256"]) == (None, [], None)
