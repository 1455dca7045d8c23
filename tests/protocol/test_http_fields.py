from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncdicom.errors import LimitExceeded, ProtocolError
from asyncdicom.protocol.http_fields import (
    REDACTED,
    ContentRange,
    WarningValue,
    capped,
    content_length,
    content_range,
    field_values,
    headers_for_record,
    is_sensitive,
    parse_field_lines,
    redacted,
    retry_after_s,
    warning_values,
)

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("", None, id="empty"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("2", 2.0, id="two seconds"),
        pytest.param(" 120\t", 120.0, id="blanks around"),
        pytest.param("007", 7.0, id="leading zeros"),
        pytest.param("1.5", 1.5, id="a fraction, outside of the grammar"),
        pytest.param("31536000", 31_536_000.0, id="a year is told as it is"),
        pytest.param("9999999999", 9_999_999_999.0, id="the greatest"),
        pytest.param("1" + "0" * 10, 9_999_999_999.0, id="one digit more saturates"),
        pytest.param("9" * 5000, 9_999_999_999.0, id="5,000 digits saturate"),
        pytest.param("0" * 5000 + "3", 3.0, id="5,000 leading zeros"),
        pytest.param("-5", None, id="negative"),
        pytest.param("+5", None, id="plus sign"),
        pytest.param("soon", None, id="word"),
        pytest.param("5 s", None, id="unit"),
        pytest.param("5, 6", None, id="two values"),
        pytest.param("\u0665", None, id="digit of another script"),
        pytest.param("Sat, 21 Nov 2026 12:00:30 GMT", 30.0, id="IMF-fixdate"),
        pytest.param("sat, 21 nov 2026 12:00:30 gmt", 30.0, id="lower case"),
        pytest.param("Sat, 21 Nov 2026 12:00:30 UTC", 30.0, id="UTC for GMT"),
        pytest.param("Mon, 21 Nov 2026 12:00:30 GMT", 30.0, id="wrong day of the week"),
        pytest.param("Saturday, 21-Nov-26 12:00:30 GMT", 30.0, id="RFC 850"),
        pytest.param("Sat Nov 21 12:00:30 2026", 30.0, id="asctime"),
        pytest.param("Tue Dec  1 12:00:00 2026", 864_000.0, id="asctime, padded day"),
        pytest.param("Sat, 21 Nov 2026 12:00:60 GMT", 59.0, id="leap second"),
        pytest.param("Sat, 21 Nov 2026 11:59:59 GMT", 0.0, id="past"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", 0.0, id="RFC 850, past century"),
        pytest.param(
            "Saturday, 21-Nov-76 12:00:00 GMT", 1_577_923_200.0, id="RFC 850, in 50 years"
        ),
        pytest.param("Sunday, 22-Nov-76 12:00:00 GMT", 0.0, id="RFC 850, in more than 50 years"),
        pytest.param("Mon, 31 Feb 2026 12:00:00 GMT", None, id="impossible date"),
        pytest.param("Sat, 21 Foo 2026 12:00:00 GMT", None, id="impossible month"),
        pytest.param("Sat, 21 Nov 2026 25:00:00 GMT", None, id="impossible hour"),
        pytest.param("Sat, 21 Nov 2026 12:00:61 GMT", None, id="impossible second"),
        pytest.param("Sat, 21 Nov 0000 12:00:00 GMT", None, id="year 0"),
        pytest.param("Sat, 21 Nov 2026 12:00:00 +0100", None, id="other zone"),
        pytest.param("2026-11-21T12:00:30Z", None, id="ISO 8601"),
    ],
)
def test_retry_after_is_a_pause_or_nothing(value: str | None, expected_s: float | None) -> None:
    assert retry_after_s(value, now_utc=NOW) == expected_s


def test_a_two_digit_year_at_the_end_of_the_calendar_is_of_the_past_century() -> None:
    now = datetime(9999, 1, 1, tzinfo=UTC)
    assert retry_after_s("Monday, 01-Jan-99 00:00:05 GMT", now_utc=now) == 5.0


def test_a_two_digit_year_in_the_first_century_is_nothing() -> None:
    now = datetime(1, 1, 1, tzinfo=UTC)
    assert retry_after_s("Monday, 01-Jan-99 00:00:05 GMT", now_utc=now) is None


@given(seconds=st.integers(-(10**8), 10**8))
def test_any_date_comes_back_as_its_distance(seconds: int) -> None:
    value = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_s(value, now_utc=NOW) == max(0, seconds)


@pytest.mark.parametrize(
    ("pause_s", "expected_s"),
    [
        pytest.param(-1.0, 0.0, id="negative"),
        pytest.param(5.0, 5.0, id="below"),
        pytest.param(301.0, 300.0, id="above"),
    ],
)
def test_a_capped_pause_stays_in_bounds(pause_s: float, expected_s: float) -> None:
    assert capped(pause_s, cap_s=300.0) == expected_s


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], None, id="absent"),
        pytest.param(["0"], 0, id="zero"),
        pytest.param(["12"], 12, id="one"),
        pytest.param([" 12\t"], 12, id="blanks around"),
        pytest.param(["12", "12"], 12, id="equal fields"),
        pytest.param(["12, 12"], 12, id="equal list"),
        pytest.param(["012", "12"], 12, id="leading zero"),
        pytest.param(["9" * 18], 10**18 - 1, id="the greatest"),
        pytest.param(["0" * 9000 + "1"], 1, id="9,000 zeros"),
    ],
)
def test_content_length_is_one_number(values: list[str], expected: int | None) -> None:
    assert content_length(values) == expected


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([""], id="empty"),
        pytest.param(["12", "13"], id="different fields"),
        pytest.param(["12, 13"], id="different list"),
        pytest.param(["12,"], id="empty item"),
        pytest.param(["-1"], id="negative"),
        pytest.param(["+1"], id="plus sign"),
        pytest.param(["1.0"], id="fraction"),
        pytest.param(["0x10"], id="hexadecimal"),
        pytest.param(["1 2"], id="blank inside"),
        pytest.param(["1_0"], id="underscore"),
        pytest.param(["\u0661"], id="digit of another script"),
        pytest.param(["1" + "0" * 18], id="19 digits"),
        pytest.param(["9" * 9000], id="9,000 digits"),
    ],
)
def test_a_doubtful_content_length_is_refused(values: list[str]) -> None:
    with pytest.raises(ProtocolError) as caught:
        content_length(values, offset=7)
    assert caught.value.offset == 7


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes 0-0/1", ContentRange(0, 0, 1), id="first byte"),
        pytest.param("bytes 5-9/10", ContentRange(5, 9, 10), id="up to the end"),
        pytest.param("BYTES\t5-9/* ", ContentRange(5, 9, None), id="unknown length, odd case"),
        pytest.param("bytes */10", ContentRange(None, None, 10), id="unsatisfied"),
    ],
)
def test_content_range_is_read(value: str, expected: ContentRange) -> None:
    assert content_range(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("bytes", id="no range"),
        pytest.param("bytes 0-9", id="no length"),
        pytest.param("bytes */*", id="says nothing"),
        pytest.param("bytes 5-4/10", id="ends before it begins"),
        pytest.param("bytes 5-10/10", id="ends behind the length"),
        pytest.param("bytes 0-0/0", id="a byte of nothing"),
        pytest.param("bytes -5/10", id="suffix"),
        pytest.param("bytes=0-9/10", id="syntax of a request"),
        pytest.param("items 0-9/10", id="other unit"),
        pytest.param("bytes 0-9/" + "9" * 19, id="absurd length"),
    ],
)
def test_a_doubtful_content_range_is_refused(value: str) -> None:
    with pytest.raises(ProtocolError):
        content_range(value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], [], id="absent"),
        pytest.param(
            ['299 pacs:8080 "There are 3 additional results"'],
            [(299, "pacs:8080", "There are 3 additional results")],
            id="quoted",
        ),
        pytest.param(
            ["299 pacs: There are 3 additional results, ask again"],
            [(299, "pacs", "There are 3 additional results, ask again")],
            id="unquoted as the Standard prints it",
        ),
        pytest.param(["299 : text"], [(299, "", "text")], id="empty agent"),
        pytest.param(
            ["Warning: 299 {+service}: There are more"],
            [(299, "{+service}", "There are more")],
            id="name repeated in the value",
        ),
        pytest.param(
            ['110 a "stale", 299 b "more, 199 x" "Sat, 21 Nov 2026 12:00:00 GMT"'],
            [(110, "a", "stale"), (299, "b", "more, 199 x")],
            id="two in one field, one dated",
        ),
        pytest.param(
            ['110 - "a"', "299 - b, 199 c d"],
            [(110, "-", "a"), (299, "-", "b"), (199, "c", "d")],
            id="two fields, unquoted",
        ),
        pytest.param([r'299 - "a \"b\" \\ c"'], [(299, "-", r'a "b" \ c')], id="escapes"),
        pytest.param(['299 - "open'], [(299, "-", "open")], id="open quote"),
        pytest.param(['299 - "open\\'], [(299, "-", "open")], id="open quote, open escape"),
        pytest.param(["299"], [(299, "", "")], id="code alone"),
        pytest.param(["299 - got 1, 2 are left"], [(299, "-", "got 1, 2 are left")], id="numbers"),
        pytest.param(["299 - a\nb"], [(299, "-", "a\nb")], id="line end inside"),
        pytest.param(["careful", "A700 x: y", ""], [], id="no code"),
    ],
)
def test_warnings_are_read_or_skipped(
    values: list[str], expected: list[tuple[int, str, str]]
) -> None:
    assert warning_values(values) == tuple(WarningValue(*item) for item in expected)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param('"\\' * 50_000, id="escaped quotes"),
        pytest.param('"' * 100_001, id="quotes"),
        pytest.param("299 " + " " * 100_000 + "\n", id="blanks"),
        pytest.param("299 " + "a" * 100_000 + "\n", id="agent"),
        pytest.param(", 299" * 20_000, id="commas"),
        pytest.param("," + " " * 100_000, id="comma and blanks"),
        pytest.param(", " * 50_000, id="commas and blanks"),
    ],
)
def test_hostile_warnings_take_linear_time(value: str) -> None:
    began = time.thread_time()
    warning_values([value])
    assert time.thread_time() - began < 1.0


def block_of(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (*lines, b""))


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        pytest.param(b"\r\n", [], id="empty"),
        pytest.param(b"\n", [], id="empty, LF"),
        pytest.param(block_of(b"A: b", b"a:c"), [("A", "b"), ("a", "c")], id="case is kept"),
        pytest.param(b"A: b\nC: d\n\n", [("A", "b"), ("C", "d")], id="LF"),
        pytest.param(block_of(b"A :\t b \t"), [("A", "b")], id="blanks"),
        pytest.param(block_of(b"A:"), [("A", "")], id="no value"),
        pytest.param(block_of(b"A: b:c"), [("A", "b:c")], id="colon in the value"),
        pytest.param(block_of(b"A: b", b" c", b"\td "), [("A", "b c d")], id="folded"),
        pytest.param(block_of(b"A:", b" c"), [("A", "c")], id="value on a folded line"),
        pytest.param(block_of(b"A: b", b" "), [("A", "b")], id="blank folded line"),
        pytest.param(block_of(b"A: \xff"), [("A", "ÿ")], id="not ASCII"),
    ],
)
def test_field_lines_are_read(block: bytes, expected: list[tuple[str, str]]) -> None:
    assert parse_field_lines(block, max_headers=9) == tuple(expected)


@pytest.mark.parametrize(
    ("block", "offset"),
    [
        pytest.param(block_of(b"A: b", b"no colon"), 106, id="no colon"),
        pytest.param(block_of(b": b"), 100, id="no name"),
        pytest.param(block_of(b"A b: c"), 100, id="blank in the name"),
        pytest.param(block_of(b"\xe4: c"), 100, id="name not ASCII"),
        pytest.param(block_of(b" A: b"), 100, id="folded first line"),
        pytest.param(b"A: b\nA: \rb\n\n", 105, id="CR"),
        pytest.param(block_of(b"A: \0"), 100, id="NUL"),
        pytest.param(block_of(b"A: b", b"", b"C: d"), 106, id="empty line inside"),
    ],
)
def test_broken_field_lines_are_refused_without_showing_them(block: bytes, offset: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_field_lines(block, max_headers=9, offset=100)
    assert caught.value.offset == offset
    assert "A" not in str(caught.value)


def test_folded_lines_count_as_header_lines() -> None:
    block = block_of(b"A: b", b" c")
    assert parse_field_lines(block, max_headers=2) == (("A", "b c"),)
    with pytest.raises(LimitExceeded):
        parse_field_lines(block, max_headers=1)


def test_values_of_a_field_are_found_whatever_its_case() -> None:
    headers = [("Warning", "a"), ("x", "b"), ("warning", "c")]
    assert field_values(headers, "WARNING") == ["a", "c"]


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "SET-COOKIE",
        "X-Api-Key",
        "api_key",
        "HTTP_ACCESS_KEY",
        "x-functions-key",
        "apikey",
        "X-Amz-Security-Token",
        "x-csrf-token",
        "X-Auth-User",
        "Ocp-Apim-Subscription-Key",
        "client-secret",
        "X-Password",
        "x-goog-iap-jwt-assertion",
        "X-Session-Id",
        "x-credential",
        "x-access-key",
        "X-Amz-Signature",
    ],
)
def test_credentials_are_redacted(name: str) -> None:
    assert redacted([(name, "secret"), ("Accept", "*/*")]) == ((name, REDACTED), ("Accept", "*/*"))


@pytest.mark.parametrize(
    "name", ["WWW-Authenticate", "Content-Type", ":authority", "Retry-After", "ETag", "Location"]
)
def test_what_helps_to_understand_an_answer_is_kept(name: str) -> None:
    assert not is_sensitive(name)


def test_records_list_repeated_fields_and_hide_credentials() -> None:
    headers = [
        ("Content-Type", "a"),
        ("Warning", "1"),
        ("warning", "2"),
        ("Set-Cookie", "x"),
        ("set-cookie", "y"),
        ("WARNING", "3"),
    ]
    assert headers_for_record(headers) == {
        "Content-Type": "a",
        "Warning": ["1", "2", "3"],
        "Set-Cookie": ["<redacted>", "<redacted>"],
    }
