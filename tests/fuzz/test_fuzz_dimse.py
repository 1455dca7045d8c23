"""What each change must outlive: 20,000 cases against the message layer of DIMSE.

Millions are for the night: `python -m tests.fuzz.fuzz_dimse --cases 2000000`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fuzz.fuzz_dimse import check
from tests.fuzz.running import source_of

CASES = 5_000


@pytest.mark.parametrize("seed", range(1000, 1004))
def test_thousands_of_random_cases_keep_every_promise(seed: int) -> None:
    outcomes = Counter(check(source_of(seed, number)) for number in range(CASES))
    assert outcomes["command set: C-STORE-RQ"]
    assert outcomes["command set: Truncated"]
    assert outcomes["assembler: 3 messages"]
    assert outcomes["identifier: read"]
