"""A short run of the fuzzer, and all of its corpus, in each test run."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.fuzz_parsers import CORPUS, Counterexample, check
from tests.fuzz.generators import (
    FieldCase,
    MultipartCase,
    case_from_json,
    case_to_json,
    random_case,
)
from tests.fuzz.verdicts import Verdict, parse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_the_corpus_stays_solved(path: Path) -> None:
    check(case_from_json(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_random_cases_keep_every_promise(seed: int) -> None:
    source = random.Random(seed)
    outcomes = {check(random_case(source)) for _ in range(1000)}
    assert "fields" in outcomes
    assert {f"multipart: whole, {n} parts" for n in (1, 2, 3)} <= outcomes
    assert {f"multipart: {error}, 0 parts" for error in REFUSALS} <= outcomes


REFUSALS = ("Truncated", "ProtocolError", "LimitExceeded")


def test_a_parser_that_believes_a_cut_payload_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(chunks: list[bytes], boundary: bytes, _: object = None) -> Verdict:
        return replace(parse(chunks, boundary), error=None, is_whole=True)

    monkeypatch.setattr("tests.fuzz.fuzz_parsers.parse", careless)
    with pytest.raises(Counterexample):
        check(MultipartCase(b"B", b"--B\r\n\r\nx"))


def test_a_parser_whose_error_moves_with_the_cut_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fickle(chunks: list[bytes], boundary: bytes, _: object = None) -> Verdict:
        return replace(parse(chunks, boundary), error_offset=len(chunks))

    monkeypatch.setattr("tests.fuzz.fuzz_parsers.parse", fickle)
    with pytest.raises(Counterexample, match="the cut moves the error"):
        check(MultipartCase(b"B", b"--B\r\n\r\nx"))


@pytest.mark.parametrize("seed", range(20))
def test_a_case_survives_the_corpus(seed: int) -> None:
    case = random_case(random.Random(seed))
    assert case_from_json(case_to_json(case, "why")) == case
    assert isinstance(case, MultipartCase | FieldCase)
