"""What each change must outlive: thousands of cases of what stores of archives hold.

Millions are for the night: `python -m tests.fuzz.fuzz_cod --cases 2000000`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from asyncdicom.protocol.cod.tar import TarParser
from tests.fuzz import fuzz_cod
from tests.fuzz.fuzz_cod import KINDS
from tests.fuzz.fuzz_parsers import Counterexample
from tests.fuzz.running import source_of

CASES = 1_000

SEEN = {
    "tar": {"tar: whole", "tar: Truncated", "tar: ProtocolError"},
    "metadata": {"metadata: read", "metadata: Truncated", "metadata: ProtocolError"},
    "frames": {"frames: native", "frames: encapsulated", "frames: refused", "frames: none"},
}


@pytest.mark.parametrize("seed", range(1000, 1002))
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_random_cases_keep_every_promise(kind: str, seed: int) -> None:
    outcomes = Counter(KINDS[kind](source_of(seed, number)) for number in range(CASES))
    assert outcomes.keys() >= SEEN[kind]


def test_a_parser_that_believes_a_cut_archive_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(TarParser):
        def receive_data(self, data: object) -> None:
            super().receive_data(bytes(data)[:700])  # type: ignore[call-overload]  # -- bytes

    monkeypatch.setattr(fuzz_cod, "TarParser", Forgetful)
    with pytest.raises(Counterexample):
        [KINDS["tar"](source_of(1, number)) for number in range(50)]
