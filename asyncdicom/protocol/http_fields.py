"""HTTP and MIME fields as values (RFC 9110, RFC 9111, RFC 2046 §5.1).

Strategy: what frames or proves bytes (Content-Length, Content-Range, part
headers) is read strictly, and a `ProtocolError` is raised; what only advises
(Retry-After, Warning) is read leniently and never raises.

Rule: there is no clock here; whoever needs one passes `now_utc`. Each pattern
runs in linear time, whatever the server sends.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from asyncdicom.errors import LimitExceeded, ProtocolError
from asyncdicom.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncdicom.model import Header

__all__ = [
    "REDACTED",
    "ContentRange",
    "WarningValue",
    "capped",
    "content_length",
    "content_range",
    "field_values",
    "headers_for_record",
    "is_field_name",
    "is_sensitive",
    "parse_field_lines",
    "redacted",
    "retry_after_s",
    "warning_values",
]

REDACTED = "<redacted>"
"""What stands in records in place of a credential."""

MAX_LENGTH_DIGITS = 18
"""A length below 10^18 bytes fits any file system and a signed 64-bit integer."""

MAX_DELAY_DIGITS = 10
"""Longer Retry-After values saturate at 9,999,999,999 s (317 years), so they stay finite."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_DIGITS = re.compile(r"[0-9]+")
_DELAY = re.compile(r"([0-9]+)(?:\.([0-9]{1,9})[0-9]*)?")
_RANGE = re.compile(r"bytes[ \t]+(?:([0-9]+)-([0-9]+)|\*)/([0-9]+|\*)", re.IGNORECASE)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = r"([0-9]{2}):([0-9]{2}):([0-9]{2})"
# RFC 9110 §5.6.7: the preferred format, then the two obsolete ones that a
# recipient must accept as well. The day of the week is not compared.
_IMF_DATE = re.compile(rf"[a-z]+, ([0-9]{{1,2}}) ([a-z]{{3}}) ([0-9]{{4}}) {_TIME} (?:gmt|utc)")
_RFC850_DATE = re.compile(rf"[a-z]+, ([0-9]{{2}})-([a-z]{{3}})-([0-9]{{2}}) {_TIME} (?:gmt|utc)")
_ASCTIME_DATE = re.compile(rf"[a-z]+ ([a-z]{{3}})  ?([0-9]{{1,2}}) {_TIME} ([0-9]{{4}})")

# RFC 7234 §5.5: warn-code SP warn-agent SP warn-text [SP warn-date]. Archives
# write the text without quotes (PS3.18 §8.3.4.4 shows it so), hence the two forms;
# some repeat the name of the field in its value. Every part is optional behind
# the code, and an open quote reaches to the end, so that nothing is tried twice.
_WARNING = re.compile(
    r"(?:warning:[ \t]*)?([0-9]{3})(?:[ \t]+([^ \t\"]+))?[ \t]*(?:\"((?:[^\"\\]|\\.)*+)\"?)?(.*)",
    re.DOTALL | re.IGNORECASE,
)
_QUOTED_RUN = re.compile(r"(\"(?:[^\"\\]|\\.)*+(?:\"|\\?\Z))", re.DOTALL)
_NEXT_WARNING = re.compile(r",[ \t]*(?=[0-9]{3}[ \t])")

_SENSITIVE_NAMES = frozenset({"x-api-key", "x-amz-signature"})
_SENSITIVE_FRAGMENTS = (
    "authorization",
    "cookie",
    "token",
    "secret",
    "passw",
    "credential",
    "api-key",
    "apikey",
    "access-key",
    "subscription-key",
    "functions-key",
    "x-auth",
    "jwt",
    "session",
)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """A Content-Range field (RFC 9110 §14.4)."""

    first_byte: int | None
    """Offset of the first byte sent, or None where the range was unsatisfied (status 416)."""
    last_byte: int | None
    """Offset of the last byte sent, inclusive, or None where the range was unsatisfied."""
    complete_bytes: int | None
    """Length of the whole representation in bytes, or None where the server does not know."""


@dataclass(frozen=True, slots=True)
class WarningValue:
    """One value of a Warning field (RFC 7234 §5.5)."""

    code: int
    """Three digits; 299 says that an answer is not all there is (PS3.18 §8.3.4.4)."""
    agent: str
    text: str


def field_values(headers: Iterable[Header], name: str) -> list[str]:
    """Return all values of a field in order, whatever the case of its name."""
    wanted = name.lower()
    return [value for key, value in headers if key.lower() == wanted]


def is_field_name(text: str) -> bool:
    """Tell whether a field can have this name (RFC 9110 §5.1)."""
    return _TOKEN.fullmatch(text) is not None


# Parts of a study have the same header block, or one of few; 64 of the longest are 1 MB.
@lru_cache(maxsize=64)
def parse_field_lines(block: bytes, *, max_headers: int, offset: int = 0) -> tuple[Header, ...]:
    """Parse header lines up to the empty line (RFC 2046 §5.1, RFC 5322 §2.2).

    Lines end with CRLF or LF. A folded line (RFC 9112 §5.2) is joined with one
    space. Names keep their case; values are decoded as ISO 8859-1, which
    never fails and loses nothing.

    Args:
        block: Lines, the empty one last.
        max_headers: Lines accepted, the empty one not counted.
        offset: Payload offset of the block in bytes, for errors.

    Raises:
        ProtocolError: If a line has no colon, no valid name, or holds CR or NUL.
        LimitExceeded: If there are more than `max_headers` lines.

    """
    lines = block.split(b"\n")[:-2]  # the empty line, and nothing behind its LF
    if len(lines) > max_headers:
        raise LimitExceeded(f"more than {max_headers} header lines in a part", offset=offset)
    fields: list[Header] = []
    for raw in lines:
        _append_line(fields, raw.removesuffix(b"\r").decode("latin-1"), offset)
        offset += len(raw) + 1
    return tuple(fields)


def _append_line(fields: list[Header], line: str, offset: int) -> None:
    # RFC 9110 §5.5: CR and NUL are dangerous inside of a value.
    if "\r" in line or "\0" in line:
        raise ProtocolError("control character in a part header", offset=offset)
    if line.startswith((" ", "\t")):
        if not fields:
            raise ProtocolError("part header begins with a folded line", offset=offset)
        name, value = fields[-1]
        folded = line.strip(" \t")
        fields[-1] = (name, f"{value} {folded}".strip(" "))
        return
    name, colon, value = line.partition(":")
    name = name.rstrip(" \t")
    if not colon or not is_field_name(name):
        raise ProtocolError("part header without a valid name and colon", offset=offset)
    fields.append((name, value.strip(" \t")))


def content_length(values: Iterable[str], *, offset: int | None = None) -> int | None:
    """Read Content-Length (RFC 9110 §8.6).

    Args:
        values: All values of the field; equal repetitions count as one, be
            they separate fields or separated by commas.
        offset: Payload offset in bytes, for errors.

    Returns:
        Length in bytes, or None without the field.

    Raises:
        ProtocolError: If a value is not a plain decimal number below 10^18,
            or two values differ.

    """
    values = tuple(values)
    if len(values) == 1 and values[0].isdecimal() and values[0].isascii():
        return _length(values[0], offset)  # as nearly all are
    items = {item.strip(" \t") for value in values for item in value.split(",")}
    lengths = {_length(item, offset) for item in items}
    if len(lengths) > 1:
        raise ProtocolError("conflicting Content-Length values", offset=offset)
    return lengths.pop() if lengths else None


def _length(text: str, offset: int | None = None) -> int:
    significant = text.lstrip("0")
    if _DIGITS.fullmatch(text) is None or len(significant) > MAX_LENGTH_DIGITS:
        raise ProtocolError("a length that is no number of bytes", offset=offset)
    return int(significant or "0")


def content_range(value: str) -> ContentRange:
    """Read Content-Range in bytes (RFC 9110 §14.4).

    Raises:
        ProtocolError: If the unit is not bytes, the syntax is broken, or the
            range ends before it begins or behind the complete length.

    """
    match = _RANGE.fullmatch(value.strip(" \t"))
    if match is None:
        raise ProtocolError("Content-Range is not a byte range")
    first, last, complete = (None if t in (None, "*") else _length(t) for t in match.groups())
    if first is None and complete is None:
        raise ProtocolError("Content-Range says nothing")
    if first is not None and last is not None:
        end = last + 1 if complete is None else complete
        if not first <= last < end:
            raise ProtocolError("Content-Range contradicts itself")
    return ContentRange(first_byte=first, last_byte=last, complete_bytes=complete)


def retry_after_s(value: str | None, *, now_utc: datetime) -> float | None:
    """Read Retry-After (RFC 9110 §10.2.3).

    Rule: a delay is returned as it is, however long (who obeys it caps it); a
    date in the past is 0; anything else (negative, words, an impossible date)
    is None, as if the field were absent, so that the own back-off applies.

    Args:
        value: Value of the field, or None without one.
        now_utc: The present, with time zone UTC.

    Returns:
        Pause in seconds, 0 to 9,999,999,999, or None.

    """
    text = (value or "").strip(" \t")
    delay = _DELAY.fullmatch(text)
    if delay is not None:
        whole, fraction = delay.groups(default="0")
        if len(whole.lstrip("0")) > MAX_DELAY_DIGITS:
            return 10.0**MAX_DELAY_DIGITS - 1
        return float(f"{whole}.{fraction}")
    date = _http_date(text.lower(), now_utc=now_utc)
    return None if date is None else max(0.0, (date - now_utc).total_seconds())


def capped(pause_s: float, *, cap_s: float) -> float:
    """Return a pause in seconds, at least 0 and at most `cap_s`."""
    return max(0.0, min(pause_s, cap_s))


def _http_date(text: str, *, now_utc: datetime) -> datetime | None:
    try:
        if match := _IMF_DATE.fullmatch(text):
            day, month, year, *clock = match.groups()
        elif match := _RFC850_DATE.fullmatch(text):
            day, month, year, *clock = match.groups()
            year = str(now_utc.year // 100 * 100 + int(year))
        elif match := _ASCTIME_DATE.fullmatch(text):
            month, day, *clock, year = match.groups()
        else:
            return None
        date = _date(int(year), month, int(day), clock)
        in_50_years = (now_utc.year + 50, *now_utc.timetuple()[1:6])
        if "-" in text and tuple(date.timetuple()[:6]) > in_50_years:
            # RFC 9110 §5.6.7: a two-digit year more than 50 years ahead is of the past century.
            date = _date(int(year) - 100, month, int(day), clock)
    except ValueError:  # an impossible date or month
        return None
    return date


def _date(year: int, month: str, day: int, clock: list[str]) -> datetime:
    hour, minute, second = map(int, clock)
    # A leap second is written as 60 (RFC 9110 §5.6.7), which datetime does not know.
    second = 59 if second == 60 else second
    return datetime(year, _MONTHS.index(month) + 1, day, hour, minute, second, tzinfo=UTC)


def warning_values(values: Iterable[str]) -> tuple[WarningValue, ...]:
    """Read Warning fields (RFC 7234 §5.5), quoted or not.

    What does not begin with a code of three digits is skipped: a warning that
    cannot be read must not cost the answer it comes with.

    """
    found = []
    for value in values:
        for item in _split_warnings(value):
            match = _WARNING.fullmatch(item.strip(" \t\r\n"))
            if match is not None:
                code, agent, quoted, rest = match.groups(default="")
                text = re.sub(r"\\(.)", r"\1", quoted) if quoted else rest.strip(" \t:")
                found.append(WarningValue(int(code), agent.rstrip(":"), text))
    return tuple(found)


def _split_warnings(value: str) -> list[str]:
    # A comma may stand in a text, quoted or not; a new value begins only at a
    # comma outside of quotes that a code follows.
    pieces = [""]
    for index, run in enumerate(_QUOTED_RUN.split(value)):
        if index % 2:
            pieces[-1] += run
            continue
        first, *others = _NEXT_WARNING.split(run)
        pieces[-1] += first
        pieces.extend(others)
    return pieces


# Servers send the same few names again and again; 256 of them are 20 KB.
@lru_cache(maxsize=256)
def is_sensitive(name: str) -> bool:
    """Tell whether a field of this name may carry a credential."""
    # Some write api_key; proxies that pass fields on to CGI programs do it to all of them.
    lowered = name.lower().replace("_", "-")
    return lowered in _SENSITIVE_NAMES or any(part in lowered for part in _SENSITIVE_FRAGMENTS)


@lru_cache(maxsize=32)
def _are_plain(names: tuple[str, ...]) -> bool:
    """Tell whether no name is repeated, in whatever case, and none may carry a credential."""
    is_distinct = len({name.lower() for name in names}) == len(names)
    return is_distinct and not any(map(is_sensitive, names))


def redacted(headers: Iterable[Header]) -> tuple[Header, ...]:
    """Replace the values of fields that may carry credentials by `<redacted>`."""
    return tuple([(name, REDACTED if is_sensitive(name) else value) for name, value in headers])


def headers_for_record(headers: Iterable[Header]) -> dict[str, str | list[str]]:
    """Turn fields into a JSON object, credentials redacted.

    A repeated field becomes a list in the order received, under the name as it
    was spelled first; names are compared without case (RFC 9110 §5.1).

    """
    headers = tuple(headers)
    if _are_plain(tuple([name for name, _ in headers])):
        return dict[str, str | list[str]](headers)  # none is repeated or secret, as nearly always
    shown = redacted(headers)
    fields: dict[str, str | list[str]] = {}
    spelled: dict[str, str] = {}
    for name, value in shown:
        key = spelled.setdefault(name.lower(), name)
        found = fields.get(key)
        if found is None:
            fields[key] = value
        elif isinstance(found, list):
            found.append(value)
        else:
            fields[key] = [found, value]
    return fields
