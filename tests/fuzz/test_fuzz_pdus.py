"""A short run of the fuzzer of the upper layer, and all of its corpus, in each test run.

Millions are for the night: `python -m tests.fuzz.fuzz_pdus --cases 1000000`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from asyncdicom.protocol.upper_layer.pdu import Abort, Pdu, encode
from asyncdicom.protocol.upper_layer.reader import PduReader
from tests.fuzz.fuzz_pdus import CORPUS, Counterexample, check
from tests.fuzz.pdu_cases import (
    AssociationCase,
    Case,
    PduCase,
    StreamCase,
    case_from_json,
    case_to_json,
    random_pdu_case,
)
from tests.protocol.upper_layer.samples import ABORT_BYTES, REQUEST_BYTES, data_pdu

if TYPE_CHECKING:
    from pathlib import Path

CASES = 4_000
"""For each of three seeds: 12,000 cases, as the contract asks of each change."""


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_the_corpus_stays_solved(path: Path) -> None:
    check(case_from_json(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_random_cases_keep_every_promise(seed: int) -> None:
    source = random.Random(seed)
    outcomes = {check(random_pdu_case(source)) for _ in range(CASES)}
    assert outcomes >= OUTCOMES


OUTCOMES = {
    *(f"pdu: {kind}" for kind in ("AssociateRequest", "AssociateAccept", "ProtocolError", "Abort")),
    *(f"stream: {end}" for end in ("whole", "Truncated", "ProtocolError", "LimitExceeded")),
    *(f"association: STA{number}" for number in range(1, 14)),
}
"""What a run has to come across, to be worth its time."""


def test_a_writer_that_forgets_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(pdu: Pdu) -> bytes:
        return encode(Abort(pdu.source) if isinstance(pdu, Abort) else pdu)

    monkeypatch.setattr("tests.fuzz.fuzz_pdus.encode", forgetful)
    with pytest.raises(Counterexample, match="written again"):
        check(PduCase(ABORT_BYTES))


def test_a_reader_that_depends_on_cuts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PduReader, "receive_eof", lambda reader: reader._held.clear())
    with pytest.raises(Counterexample, match="expected"):
        check(StreamCase(ABORT_BYTES[:7]))


def test_a_machine_that_leaves_the_table_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "asyncdicom.protocol.upper_layer.association.AssociationMachine.abort",
        lambda machine: machine.release(),
    )
    with pytest.raises(Counterexample, match="abort"):
        check(AssociationCase(is_requestor=True, steps=("request", "connected", "AC", "abort")))


@pytest.mark.parametrize(
    "case",
    [
        PduCase(REQUEST_BYTES),
        StreamCase(data_pdu((1, 3, b"x")), (2, 9)),
        AssociationCase(is_requestor=False, steps=("connected", b"\x01\xff", "eof"), pieces=3),
    ],
    ids=lambda case: type(case).__name__,
)
def test_a_case_comes_back_from_the_corpus(case: Case) -> None:
    assert case_from_json(case_to_json(case, "why")) == case
