"""What a store means when it says no."""

from __future__ import annotations

import json

import pytest

from asyncdicom.errors import (
    AsyncDicomError,
    NotFound,
    ObjectChanged,
    OriginError,
    RedirectRefused,
    Throttled,
    Unauthorized,
    UnexpectedContent,
)
from asyncdicom.policy.retry import is_worth_another_try, requested_pause_s
from asyncdicom.protocol.object_stores.refusals import Refusal, read_refusal, refusal_of


def xml(code: str, more: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>PATIENT</Message>{more}'
        "<RequestId>1</RequestId></Error>"
    ).encode()


def in_json(reason: str) -> bytes:
    return json.dumps({"error": {"code": 400, "errors": [{"reason": reason}]}}).encode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(xml("NoSuchKey"), "NoSuchKey", id="S3"),
        pytest.param(
            b"<a:Error xmlns:a='u'><a:Code> SlowDown </a:Code>", "SlowDown", id="a prefix"
        ),
        pytest.param(xml("NoSuchKey")[:60], "NoSuchKey", id="cut behind the code"),
        pytest.param(in_json("notFound"), "notFound", id="JSON"),
        pytest.param(in_json("a b\n"), "", id="no word"),
        pytest.param(in_json("notFound")[:-3], "", id="JSON that was cut"),
        pytest.param(b'{"error": "x"}', "", id="JSON of another kind"),
        pytest.param(b'{"error": {"errors": []}}', "", id="JSON without a reason"),
        pytest.param(b'{"error": {"errors": [{"reason": 5}]}}', "", id="a number as reason"),
        pytest.param(b"{" + b'"a":{' * 5000, "", id="JSON without an end"),
        pytest.param(b"<Code><script></Code>", "", id="no code"),
        pytest.param(b"<html>nginx</html>", "", id="a page for people"),
        pytest.param(b"", "", id="HEAD"),
    ],
)
def test_the_code_is_found(body: bytes, code: str) -> None:
    assert read_refusal(400, body).code == code


def test_the_region_is_that_of_the_field_or_of_the_body() -> None:
    body = xml("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")
    assert read_refusal(400, body).region == "eu-west-1"
    assert read_refusal(400, body, region="eu-north-1").region == "eu-north-1"


@pytest.mark.parametrize("region", ["evil.test/", "a.b", "x" * 33, "A", "", "a\nb"])
def test_a_region_that_could_lead_elsewhere_is_none(region: str) -> None:
    assert read_refusal(301, b"", region=region).region is None
    assert read_refusal(301, xml("PermanentRedirect", f"<Region>{region}</Region>")).region is None


@pytest.mark.parametrize(
    ("refusal", "kind", "again", "words"),
    [
        (Refusal(404, "NoSuchKey"), NotFound, False, "no such object (NoSuchKey, 404)"),
        (Refusal(404, "NoSuchBucket"), NotFound, False, "there is no such bucket"),
        (Refusal(404), NotFound, False, "no such object (404)"),
        (Refusal(410), NotFound, False, "no such object"),
        (Refusal(503, "SlowDown"), Throttled, True, "slow down (SlowDown, 503)"),
        (Refusal(503), Throttled, True, "slow down"),
        (Refusal(429, "rateLimitExceeded"), Throttled, True, "slow down"),
        (Refusal(403, "rateLimitExceeded"), Throttled, True, "slow down"),
        (Refusal(403, "AccessDenied"), Unauthorized, False, "another --profile"),
        (Refusal(401), Unauthorized, False, "another --profile"),
        (Refusal(407), Unauthorized, False, "does not open"),
        (Refusal(400, "ExpiredToken"), Unauthorized, False, "have expired"),
        (Refusal(403, "InvalidObjectState"), OriginError, False, "archived"),
        (Refusal(403, "RequestTimeTooSkewed"), OriginError, False, "clock"),
        (Refusal(403, "SignatureDoesNotMatch"), Unauthorized, False, "secret key"),
        (Refusal(403, "InvalidAccessKeyId"), Unauthorized, False, "access key"),
        (Refusal(412, "PreconditionFailed"), ObjectChanged, True, "another version"),
        (Refusal(416, "InvalidRange"), OriginError, False, "ends before"),
        (Refusal(301, "PermanentRedirect"), RedirectRefused, False, "elsewhere"),
        (Refusal(204), UnexpectedContent, False, "no object"),
        (Refusal(400, "InvalidArgument"), OriginError, False, "refused (InvalidArgument, 400)"),
        (Refusal(500, "InternalError"), OriginError, True, "failed (InternalError, 500)"),
        (Refusal(502), OriginError, True, "failed"),
    ],
)
def test_a_refusal_has_one_meaning(
    refusal: Refusal,
    kind: type[AsyncDicomError],
    again: bool,  # noqa: FBT001 -- a column of a table
    words: str,
) -> None:
    error = refusal_of(refusal, what="object")
    assert type(error) is kind
    assert words in str(error)
    assert is_worth_another_try(error) is again


@pytest.mark.parametrize("what", ["object", "bucket"])
def test_who_came_without_credentials_is_told_so(what: str) -> None:
    error = refusal_of(Refusal(403, "AccessDenied"), what=what, is_anonymous=True)
    assert f"without credentials the {what} does not open" in str(error)
    assert "--no-sign-request" in str(error)
    # S3 says so, too, where there is no such object.
    assert ("it is not there" in str(error)) is (what == "object")


def test_a_pause_that_is_asked_for_is_kept() -> None:
    assert requested_pause_s(refusal_of(Refusal(503, "", None, 7.0), what="object")) == 7.0


def test_a_request_that_should_have_been_signed_was_not_allowed() -> None:
    refusal = Refusal(400, "UnsupportedAlgorithm")
    assert type(refusal_of(refusal, what="bucket", is_anonymous=True)) is Unauthorized
    assert type(refusal_of(refusal, what="bucket")) is OriginError
