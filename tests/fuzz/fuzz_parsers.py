"""Fuzz the multipart parser against a reference, and the field parsers against their promises.

    python -m tests.fuzz.fuzz_parsers --cases 1000000 --seed 7

Stops at the first counterexample, and writes it to the corpus, which each test run replays.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from asyncdicom.errors import ProtocolError, UsageError
from asyncdicom.protocol.http_fields import (
    content_length,
    content_range,
    headers_for_record,
    parse_field_lines,
    redacted,
    retry_after_s,
    warning_values,
)
from asyncdicom.protocol.media_types import boundary_of, format_media_type, parse_media_type
from asyncdicom.protocol.payload import payload_parser
from tests.fuzz.generators import FieldCase, MultipartCase, case_to_json, random_case
from tests.fuzz.verdicts import parse, reference, verdict_of
from tests.support.chunking import bytewise, whole

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CORPUS", "Counterexample", "check"]

CORPUS = Path(__file__).parent / "corpus"
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)

T = TypeVar("T")


class Counterexample(Exception):
    """A promise was broken."""


def check(case: MultipartCase | FieldCase) -> str:
    """Judge a case; return what it came to, for the statistics.

    Raises:
        Counterexample: If parser and reference differ, a cut changes the verdict, or a field
            parser breaks a promise.

    """
    if isinstance(case, FieldCase):
        return _check_fields(case.text)
    return _check_multipart(case)


def _check_multipart(case: MultipartCase) -> str:
    expected = reference(case.payload, case.boundary, case.limits)
    offsets = set()
    for chunks in (whole(case.payload), case.chunks(), bytewise(case.payload)):
        verdict = parse(chunks, case.boundary, case.limits)
        offsets.add(verdict.error_offset)
        if verdict.facts() != expected.facts():
            raise Counterexample(f"expected {expected}, parsed {verdict} from {chunks}")
        begun = verdict.begun
        if begun is not None and not case.payload.startswith(begun.content, begun.offset):
            raise Counterexample("content of an open part that the payload does not hold")
    if len(offsets) != 1:
        raise Counterexample(f"the cut moves the error: {offsets}")
    error = expected.error.__name__ if expected.error is not None else "whole"
    return f"multipart: {error}, {min(len(expected.parts), 3)} parts"


def _check_fields(text: str) -> str:
    _expect(_media_type_comes_back(text), "format and parse")
    _expect(_boundary_is_usable(text), "boundary")
    length = _tried(content_length, [text])
    _expect(
        length is None or str(length) == (text.strip().lstrip("0") or "0") or "," in text, "length"
    )
    found = _tried(content_range, text)
    if found is not None and found.first_byte is not None and found.last_byte is not None:
        _expect(found.first_byte <= found.last_byte, "range")
    pause_s = retry_after_s(text, now_utc=NOW)
    _expect(pause_s is None or 0 <= pause_s < 10**10, "pause")
    _expect(all(0 <= warning.code <= 999 for warning in warning_values([text])), "warning")
    _tried(lambda: parse_field_lines(f"{text}\r\n\r\n".encode(), max_headers=9))
    headers = [(text, text), (text.upper(), "v"), ("Authorization", text)]
    _expect(redacted(redacted(headers)) == redacted(headers), "redaction")
    _expect(headers_for_record(headers)["Authorization"] is not None, "record")
    verdict = verdict_of(payload_parser("a/b"), bytewise(text.encode("utf-8")))
    _expect(verdict.parts[0].content == text.encode("utf-8"), "single part")
    return "fields"


def _media_type_comes_back(text: str) -> bool:
    media_type = _tried(parse_media_type, text)
    if media_type is None:
        return True
    try:
        written = format_media_type(media_type)
    except UsageError:  # a name that was read tolerantly, but is no token
        return True
    return parse_media_type(written) == media_type


def _boundary_is_usable(text: str) -> bool:
    boundary = _tried(boundary_of, text)
    return boundary is None or parse([], boundary).error is not None


def _tried(function: Callable[..., T], *arguments: object) -> T | None:
    try:
        return function(*arguments)
    except ProtocolError:
        return None


def _expect(is_kept: bool, promise: str) -> None:  # noqa: FBT001 -- reads as a sentence
    if not is_kept:
        raise Counterexample(promise)


def _store(case: MultipartCase | FieldCase, why: str) -> Path:
    text = case_to_json(case, why)
    path = CORPUS / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    path.write_text(text, encoding="utf-8")
    return path


def main() -> int:
    """Run the fuzzer; return the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cases", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    source = random.Random(options.seed)
    outcomes: Counter[str] = Counter()
    began = time.perf_counter()
    for number in range(options.cases):
        case = random_case(source)
        try:
            outcomes[check(case)] += 1
        except Exception as error:  # noqa: BLE001 -- whatever escapes is a counterexample
            path = _store(case, repr(error))
            print(f"case {number}: {error!r}\nwritten to {path}", file=sys.stderr)  # noqa: T201 -- a tool
            return 1
    seconds = time.perf_counter() - began
    print(f"{options.cases} cases in {seconds:.1f} s: {options.cases / seconds:.0f}/s")  # noqa: T201 -- a tool
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:10d}  {outcome}")  # noqa: T201 -- a tool
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
