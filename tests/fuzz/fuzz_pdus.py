"""Fuzz the upper layer: PDU decoder, reader and association machine against their promises.

    python -m tests.fuzz.fuzz_pdus --cases 1000000 --seed 7

Promises: nothing but our errors, no hang, bounded memory; what parses is written again as the
same; no cut of the network changes anything; states follow the Standard's table. Stops at the
first counterexample, and writes it to the corpus, which each test run replays.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asyncdicom.errors import FetchError, LimitExceeded, ProtocolError, Truncated, UsageError
from asyncdicom.protocol.upper_layer.association import (
    NEED_DATA,
    AssociationMachine,
    AssociationRequested,
    PdvFragment,
)
from asyncdicom.protocol.upper_layer.negotiation import accept
from asyncdicom.protocol.upper_layer.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    decode,
    encode,
)
from asyncdicom.protocol.upper_layer.reader import PduLimits, PduReader
from asyncdicom.protocol.upper_layer.table import State
from tests.fuzz.fuzz_parsers import Counterexample
from tests.fuzz.pdu_cases import (
    LOCAL_STEPS,
    AssociationCase,
    Case,
    PduCase,
    StreamCase,
    case_to_json,
    pieces_of,
    random_pdu_case,
)
from tests.fuzz.pdu_reference import Framed, canonical, framed
from tests.protocol.upper_layer.draining import drained, drained_at_once
from tests.protocol.upper_layer.samples import REQUEST, answer_to
from tests.protocol.upper_layer.transitions import NEXT_STATES, cells
from tests.support.chunking import bytewise, cut, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncdicom.protocol.upper_layer.pdu import Pdu

    Drain = Callable[[PduReader], Iterator[Pdu | PdvFragment]]

__all__ = ["CORPUS", "Counterexample", "check"]

CORPUS = Path(__file__).parent / "corpus_pdus"
MAX_PDU_BYTES = 64
MAX_ASSOCIATE_BYTES = 512
IDS = frozenset((1, 3))
LIMITS = PduLimits(max_associate_bytes=MAX_ASSOCIATE_BYTES)

ACCEPT = answer_to(REQUEST)
STEPS: dict[str, bytes] = {"AC": encode(ACCEPT), "RQ": encode(REQUEST)}
CELLS = cells()
ARTIM_STATES = (State.STA2, State.STA13)


def check(case: Case) -> str:
    """Judge a case; return what it came to, for the statistics.

    Raises:
        Counterexample: If a promise is broken.

    """
    if isinstance(case, PduCase):
        return _check_pdu(case.data)
    if isinstance(case, StreamCase):
        return _check_stream(case)
    return _check_association(case)


def _expect(is_kept: bool, promise: str) -> None:  # noqa: FBT001 -- reads as a sentence
    if not is_kept:
        raise Counterexample(promise)


def _check_pdu(data: bytes) -> str:
    try:
        pdu = decode(data)
    except ProtocolError as error:
        offset = error.offset
        _expect(offset is None or 0 <= offset <= len(data), "an offset within the PDU")
        return f"pdu: {type(error).__name__}"
    written = encode(pdu)
    _expect(written == canonical(data), f"written again as {canonical(data)!r}, not {written!r}")
    _expect(decode(written) == pdu, "what was written again is read as the same")
    return f"pdu: {type(pdu).__name__}"


@dataclass(slots=True)
class _Told:
    """What a reader told: all that no cut may change."""

    events: list[object] = field(default_factory=list)
    begun: bytes = b""
    error: type[ProtocolError] | None = None
    offset: int | None = None


def _read(chunks: Iterable[bytes], drain: Drain = drained) -> _Told:
    reader = PduReader(limits=LIMITS)
    reader.expect(max_pdu_bytes=MAX_PDU_BYTES, context_ids=IDS)
    told = _Told()
    try:
        for chunk in chunks:
            reader.receive_data(chunk)
            for event in drain(reader):
                if not isinstance(event, PdvFragment):
                    told.events.append(event)
                    continue
                told.begun += event.data
                if event.is_last:
                    told.events.append((event.context_id, event.is_command, told.begun))
                    told.begun = b""
        reader.receive_eof()
    except ProtocolError as error:
        told.error, told.offset = type(error), error.offset
    return told


_ENDS = {"whole": None, "truncated": Truncated, "broken": ProtocolError, "long": LimitExceeded}


def _expected(reference: Framed) -> _Told:
    """Decode what the reference framed, up to the first PDU that makes no sense."""
    told = _Told(begun=reference.begun, error=_ENDS[reference.end])
    told.offset = None if told.error is None else reference.offset
    for event in reference.events:
        if not isinstance(event, bytes):
            told.events.append(event)
            continue
        try:
            told.events.append(decode(event))
        except ProtocolError as error:
            told.error = type(error)
            break
    return told


def _check_stream(case: StreamCase) -> str:
    reference = framed(
        case.data, max_pdu_bytes=MAX_PDU_BYTES, ids=IDS, max_associate=MAX_ASSOCIATE_BYTES
    )
    expected = _expected(reference)
    told = _read(whole(case.data))
    _expect(told.events == expected.events, f"expected {expected}, told {told}")
    _expect(told.error is expected.error, f"expected {expected}, told {told}")
    if len(told.events) == len(reference.events):
        _expect(told.begun == expected.begun, f"expected {expected}, told {told}")
        _expect(told.offset == expected.offset, f"expected {expected}, told {told}")
    for chunks in (cut(case.data, case.places), bytewise(case.data)):
        other = _read(chunks)
        _expect(other == told, f"a cut made {other} of {told}")
    for chunks in (whole(case.data), cut(case.data, case.places)):
        other = _read(chunks, drained_at_once)
        _expect(other == told, f"who takes all at once is told {other}, not {told}")
    return f"stream: {'whole' if told.error is None else told.error.__name__}"


@dataclass(slots=True)
class _Side:
    """One side of an association, with what it was asked."""

    machine: AssociationMachine
    pieces: int
    request: AssociateRequest | None = None
    must_close: bool = False
    errors: int = 0

    def step(self, step: str | bytes) -> tuple[list[object], State, bytes]:
        """Do a step; return what came of it, which no cut may change."""
        before = self.machine.state
        told: list[object] = []
        try:
            if isinstance(step, bytes) or step in STEPS:
                self._feed(step if isinstance(step, bytes) else STEPS[step], told)
            elif step == "eof":
                self.machine.receive_eof()
                self._drain(told)
            else:
                _PRIMITIVES[step](self)
        except UsageError as error:
            told.append((type(error), str(error)))
        self._check(step, before, told)
        return told, self.machine.state, b"".join(self.machine.data_to_send())

    def _feed(self, data: bytes, told: list[object]) -> None:
        for chunk in pieces_of(data, self.pieces):
            self.machine.receive_data(chunk)
            self._drain(told)

    def _drain(self, told: list[object]) -> None:
        """Ask on after an error, too: nothing may follow it."""
        while True:
            try:
                event = self.machine.next_event()
            except FetchError as error:
                told.append((type(error), str(error)))
                self.errors += 1
                _expect(self.errors == 1, "an association ends once")
                continue
            if event is NEED_DATA:
                return
            if isinstance(event, AssociationRequested):
                self.request = event.request
            if isinstance(event, PdvFragment):
                self._join(told, event)
            else:
                told.append(event)

    @staticmethod
    def _join(told: list[object], fragment: PdvFragment) -> None:
        context_id, is_command, is_last, data = fragment
        known = told[-1] if told else None
        if isinstance(known, tuple) and known[:3] == (context_id, is_command, False):
            told[-1] = (context_id, is_command, is_last, known[3] + data)
        else:
            told.append((context_id, is_command, is_last, bytes(data)))

    def _check(self, step: str | bytes, before: State, told: list[object]) -> None:
        machine = self.machine
        _expect(machine.artim_is_running == (machine.state in ARTIM_STATES), "ARTIM")
        _expect(machine.must_close or not self.must_close, "a connection to be closed stays so")
        self.must_close = machine.must_close
        if isinstance(step, str) and step in LOCAL_STEPS:
            _expect(machine.state is _next_state(self, step, before, told), f"{step} in {before}")


def _next_state(side: _Side, step: str, before: State, told: list[object]) -> State:
    """Return the state after a local step, by the Standard's table."""
    event = LOCAL_STEPS[step]
    if step == "connected" and not side.machine._is_requestor:
        event = "Evt5"
    action = CELLS[event, before.name.capitalize()]
    is_refused = any(isinstance(one, tuple) and one[0] is UsageError for one in told)
    if action is None or is_refused:
        return before
    return State[f"STA{NEXT_STATES[action]}"]


def _accept(side: _Side) -> None:
    request = side.request or REQUEST
    results = [
        AnsweredContext(context.context_id, 0, context.transfer_syntaxes[0])
        if context.transfer_syntaxes
        else AnsweredContext(context.context_id, 4)
        for context in request.contexts
    ]
    side.machine.accept(accept(request, results, max_pdu_bytes=MAX_PDU_BYTES * 256))


def _send(side: _Side) -> None:
    side.machine.send_data(1, bytes(300), is_command=False, is_last=True)


_PRIMITIVES: dict[str, Callable[[_Side], object]] = {
    "request": lambda side: side.machine.request(REQUEST),
    "connected": lambda side: side.machine.connected(),
    "accept": _accept,
    "reject": lambda side: side.machine.reject(AssociateReject(1, 1, 1)),
    "send": _send,
    "release": lambda side: side.machine.release(),
    "respond": lambda side: side.machine.respond_to_release(),
    "abort": lambda side: side.machine.abort(),
    "artim": lambda side: side.machine.artim_expired(),
}


def _check_association(case: AssociationCase) -> str:
    sides = []
    for pieces in (1, case.pieces):
        machine = AssociationMachine(is_requestor=case.is_requestor, limits=LIMITS)
        sides.append(_Side(machine, pieces))
    sent = b""
    for step in case.steps:
        one, other = (side.step(step) for side in sides)
        _expect(one == other, f"a cut made {other} of {one}")
        sent += one[2]
    _check_sent(sent)
    return f"association: {sides[0].machine.state.name}"


def _check_sent(sent: bytes) -> None:
    """Check that whatever we send is sound, and not much."""
    _expect(len(sent) < 8192, "little is sent")
    reader = PduReader()
    reader.receive_data(sent)
    while (event := reader.next_event()) is not NEED_DATA:
        if isinstance(event, AssociateRequest | AssociateAccept):
            _expect(decode(encode(event)) == event, "what is sent is sound")
    reader.receive_eof()


def _store(case: Case, why: str) -> Path:
    text = case_to_json(case, why)
    CORPUS.mkdir(exist_ok=True)
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
    slowest_s = 0.0
    began = time.perf_counter()
    for number in range(options.cases):
        case = random_pdu_case(source)
        case_began = time.process_time()
        try:
            outcomes[check(case)] += 1
        except Exception as error:  # noqa: BLE001 -- whatever escapes is a counterexample
            path = _store(case, repr(error))
            print(f"case {number}: {error!r}\nwritten to {path}", file=sys.stderr)  # noqa: T201 -- a tool
            return 1
        slowest_s = max(slowest_s, time.process_time() - case_began)
    seconds = time.perf_counter() - began
    print(f"{options.cases} cases in {seconds:.1f} s: {options.cases / seconds:.0f}/s")  # noqa: T201 -- a tool
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"slowest case: {slowest_s * 1000:.1f} ms of CPU; peak RSS {peak_bytes / 1e6:.0f} MB")  # noqa: T201 -- a tool
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:10d}  {outcome}")  # noqa: T201 -- a tool
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
